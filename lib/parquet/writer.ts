import type { Batch, Vector } from '../columns/batch.ts'
import type { Field, Fields } from '../columns/schema.ts'
import { corrupt, invalidPipeline } from '../errors.ts'
import { type Bounds, covering, truncatedLower, truncatedUpper } from './bounds.ts'
import { bytesColumn } from './bytes-column.ts'
import type { ColumnWriter } from './column.ts'
import { fixedColumn } from './fixed-column.ts'
import { fileMetadata, type RowGroup } from './footer.ts'
import { chunkBuilder, compressor, scratchMemory } from './pages.ts'

export interface ParquetOptions {
  readonly codec: 'zstd' | 'none'
  /** 1 to 22. */
  readonly zstdLevel: number
  /** A row group closes when its encoded columns reach this many bytes, before compression. */
  readonly rowGroupBytes: number
  /** A page closes before it would exceed this many bytes, before compression; one larger value is a page of its own. */
  readonly pageBytes: number
  /** A string or binary column's dictionary, per row group, at most 64 MB; 0 for none. */
  readonly maxDictionaryBytes: number
}

export const DEFAULT_ZSTD_LEVEL = 3
export const DEFAULT_ROW_GROUP_BYTES = 32 << 20
export const DEFAULT_PAGE_BYTES = 1 << 20
export const DEFAULT_MAX_DICTIONARY_BYTES = 1 << 20

/** Iceberg's default metrics mode for strings and binary, truncate(16): code points or bytes. */
export const METRICS_WIDTH = 16

/** Rows between two looks at the row group's size. */
const STEP_ROWS = 4096

/** What Iceberg's data_file keeps of a column (spec, Manifests). */
export interface ColumnMetrics {
  readonly fieldId: number
  /** Compressed, as in the file. */
  readonly sizeBytes: number
  /** Nulls and NaNs included. */
  readonly values: number
  readonly nulls: number
  /** Doubles only. */
  readonly nans: number | undefined
  /**
   * Iceberg's single-value serialization (spec, appendix D), NaN left out; strings and binary cut to `METRICS_WIDTH`, the
   * upper bound then rounded up. Undefined when there is no such value.
   */
  readonly lower: Uint8Array | undefined
  readonly upper: Uint8Array | undefined
}

export interface ParquetFile {
  /** The file is these, one after another. */
  readonly parts: Uint8Array[]
  readonly sizeBytes: number
  readonly rows: number
  /** Where the row groups start, ascending. */
  readonly splitOffsets: number[]
  /** One per field, in order. */
  readonly columns: ColumnMetrics[]
}

export interface ParquetWriter {
  /**
   * Adds the batch's rows, or those that `rows[0 .. count)` names, in that order; the batch may be reused afterwards.
   * Throws `Corrupt` when the batch's columns are not the writer's, or a required column holds a null.
   */
  append(batch: Batch, rows?: Int32Array, count?: number): void
  readonly rows: number
  /** Memory held: the file so far, and the pages being filled. */
  readonly bufferedBytes: number
  /** Ends the file. The writer takes nothing afterwards. */
  finish(): ParquetFile
}

const MAGIC = new TextEncoder().encode('PAR1')

/**
 * Writes one Parquet file (format 2, data pages V1, PLAIN and RLE_DICTIONARY: what every reader has) in memory. Columns are
 * encoded and compressed page by page as batches come, so the rows themselves are never held.
 */
export function parquetWriter(fields: Fields, options: Partial<ParquetOptions> = {}): ParquetWriter {
  const settings = checked({
    codec: options.codec ?? 'zstd',
    zstdLevel: options.zstdLevel ?? DEFAULT_ZSTD_LEVEL,
    rowGroupBytes: options.rowGroupBytes ?? DEFAULT_ROW_GROUP_BYTES,
    pageBytes: options.pageBytes ?? DEFAULT_PAGE_BYTES,
    maxDictionaryBytes: options.maxDictionaryBytes ?? DEFAULT_MAX_DICTIONARY_BYTES,
  })
  const columns = columnWriters(fields, settings)
  const parts: Uint8Array[] = [MAGIC]
  const rowGroups: RowGroup[] = []
  let sizeBytes = MAGIC.length
  let closedRows = 0
  let openRows = 0
  let finished = false

  function closeRowGroup(): void {
    if (openRows === 0) return
    const chunks = columns.map((column) => column.finish())
    rowGroups.push({ offset: sizeBytes, rows: openRows, chunks: chunks.map((chunk) => ({ ...chunk, parts: [] })) })
    for (const chunk of chunks) {
      for (const part of chunk.parts) parts.push(part)
      sizeBytes += chunk.compressedBytes
    }
    closedRows += openRows
    openRows = 0
  }

  function append(batch: Batch, rows?: Int32Array, count: number = rows === undefined ? batch.rows : rows.length): void {
    if (finished) throw corrupt('Cannot append to Parquet file: expected an open writer, found a finished one.')
    checkColumns(fields, batch.vectors)
    const step = stepRows(batch.vectors, settings.rowGroupBytes)
    for (let from = 0; from < count; from += step) {
      const to = Math.min(count, from + step)
      let groupBytes = 0
      for (let i = 0; i < columns.length; i++) {
        columns[i].append(batch.vectors[i], rows, from, to)
        groupBytes += columns[i].uncompressedBytes()
      }
      openRows += to - from
      if (groupBytes >= settings.rowGroupBytes) closeRowGroup()
    }
  }

  function finish(): ParquetFile {
    if (finished) throw corrupt('Cannot finish Parquet file: expected an open writer, found a finished one.')
    finished = true
    closeRowGroup()
    const footer = fileMetadata(fields, rowGroups, settings.codec)
    parts.push(footer, Uint8Array.of(...new Uint8Array(Int32Array.of(footer.length).buffer), ...MAGIC))
    return {
      parts,
      sizeBytes: sizeBytes + footer.length + 4 + MAGIC.length,
      rows: closedRows,
      splitOffsets: rowGroups.map((group) => group.offset),
      columns: fields.map((field, i) => columnMetrics(field, rowGroups, i)),
    }
  }

  return {
    append,
    get rows() {
      return closedRows + openRows
    },
    get bufferedBytes() {
      return columns.reduce((bytes, column) => bytes + column.heldBytes(), sizeBytes)
    },
    finish,
  }
}

function checked(options: ParquetOptions): ParquetOptions {
  const between = (name: keyof ParquetOptions, least: number, most: number) => {
    const value = options[name]
    if (typeof value !== 'number' || !(value >= least && value <= most))
      throw invalidPipeline(`Cannot write Parquet: expected ${name} from ${least} to ${most}, found ${value}.`)
  }
  between('zstdLevel', 1, 22)
  between('rowGroupBytes', 1, 2 ** 40)
  between('pageBytes', 1, 1 << 30)
  between('maxDictionaryBytes', 0, 1 << 26)
  return options
}

function columnWriters(fields: Fields, options: ParquetOptions): ColumnWriter[] {
  const compress = compressor(options.codec, options.zstdLevel)
  const pageScratch = scratchMemory()
  const codeScratch = scratchMemory()
  return fields.map((field) => {
    const pages = chunkBuilder(field.type, compress, pageScratch)
    return field.type === 'string' || field.type === 'binary'
      ? bytesColumn(field, field.type, pages, { ...options, scratch: codeScratch })
      : fixedColumn(field, field.type, pages, options.pageBytes)
  })
}

function checkColumns(fields: Fields, vectors: readonly Vector[]): void {
  const expected = fields.map((field) => field.type).join(', ')
  const found = vectors.map((vector) => vector.type).join(', ')
  if (expected !== found) throw corrupt(`Cannot append to Parquet file: expected columns of types ${expected}, found ${found}.`)
}

/** So few rows that one step of the longest values cannot go far beyond the row group's bound. */
function stepRows(vectors: readonly Vector[], rowGroupBytes: number): number {
  let widest = 0
  for (const vector of vectors) {
    if (vector.type !== 'string' && vector.type !== 'binary') continue
    const { offsets, entries } = vector
    if ((offsets[entries] - offsets[0]) * STEP_ROWS <= rowGroupBytes) continue
    let longest = 0
    for (let k = 0; k < entries; k++) longest = Math.max(longest, offsets[k + 1] - offsets[k])
    widest += longest
  }
  return widest === 0 ? STEP_ROWS : Math.max(1, Math.min(STEP_ROWS, Math.floor(rowGroupBytes / widest)))
}

function columnMetrics(field: Field, rowGroups: readonly RowGroup[], column: number): ColumnMetrics {
  let sizeBytes = 0
  let values = 0
  let nulls = 0
  let nans = 0
  let bounds: Bounds | undefined
  for (const { chunks } of rowGroups) {
    const chunk = chunks[column]
    sizeBytes += chunk.compressedBytes
    values += chunk.values
    nulls += chunk.nulls
    nans += chunk.nans
    bounds = covering(field.type, bounds, chunk.bounds)
  }
  return {
    fieldId: field.id,
    sizeBytes,
    values,
    nulls,
    nans: field.type === 'double' ? nans : undefined,
    lower: bounds && truncatedLower(field.type, bounds.min, METRICS_WIDTH).slice(),
    upper: bounds && truncatedUpper(field.type, bounds.max, METRICS_WIDTH)?.slice(),
  }
}
