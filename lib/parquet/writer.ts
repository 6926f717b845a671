import type { Batch, Vector } from '../columns/batch.ts'
import type { Field, Fields } from '../columns/schema.ts'
import { corrupt, invalidPipeline } from '../errors.ts'
import { type Bounds, covering, truncatedLower, truncatedUpper } from './bounds.ts'
import { bytesColumn } from './bytes-column.ts'
import type { ColumnWriter, PageLimits } from './column.ts'
import { fixedColumn } from './fixed-column.ts'
import { fileMetadata, type RowGroup } from './footer.ts'
import { type Codec, type CompressionLevels, chunkBuilder, compressor, scratchMemory } from './pages.ts'

export interface ParquetOptions extends PageLimits, CompressionLevels {
  readonly codec: Codec
  /** 1 to 22; for the codec zstd. */
  readonly zstdLevel: number
  /** 0 (stored) to 9; for the codec gzip. */
  readonly gzipLevel: number
  /** A row group closes when its encoded columns reach this many bytes, before compression. */
  readonly rowGroupBytes: number
  /** A string or binary column's dictionary, per row group, at most 64 MB; 0 for none. */
  readonly maxDictionaryBytes: number
  /** About what a file has, compressed: at least `FULL_SHARE` of it where more rows come; default: no bound. */
  readonly targetFileBytes: number
}

export const MAX_PAGE_BYTES = 1 << 30
export const MAX_DICTIONARY_BYTES = 1 << 26

export const DEFAULT_ZSTD_LEVEL = 3
/** zlib's own. */
export const DEFAULT_GZIP_LEVEL = 6
export const DEFAULT_ROW_GROUP_BYTES = 32 << 20
export const DEFAULT_PAGE_BYTES = 1 << 20
export const DEFAULT_PAGE_ROWS = 131_072
export const DEFAULT_MAX_DICTIONARY_BYTES = 1 << 20

/** Iceberg's default metrics mode for strings and binary, truncate(16): code points or bytes. */
export const METRICS_WIDTH = 16

/** Rows between two looks at the sizes of row group and file. */
const STEP_ROWS = 4096
/** A step has at most this share of the target, so that a file does not go far beyond it. */
const STEP_SHARE = 1 / 8
/** A file is full at this share of its target: a row group for the rest would be a very small one. */
const FULL_SHARE = 0.9

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
   * Adds the batch's rows `from` to `to`, or those that `rows[from .. to)` names, in that order; all of them by default. The
   * batch may be reused afterwards. Returns the first row not taken: `to`, unless the file is full by then.
   * Throws `Corrupt` when the batch's columns are not the writer's, or a required column holds a null.
   */
  append(batch: Batch, rows?: Int32Array, from?: number, to?: number): number
  readonly rows: number
  /** Memory held: the file so far, and the pages being filled. */
  readonly bufferedBytes: number
  /** True once the file has about `targetFileBytes`: time for another. */
  readonly full: boolean
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
    gzipLevel: options.gzipLevel ?? DEFAULT_GZIP_LEVEL,
    rowGroupBytes: options.rowGroupBytes ?? DEFAULT_ROW_GROUP_BYTES,
    pageBytes: options.pageBytes ?? DEFAULT_PAGE_BYTES,
    pageRows: options.pageRows ?? DEFAULT_PAGE_ROWS,
    maxDictionaryBytes: options.maxDictionaryBytes ?? DEFAULT_MAX_DICTIONARY_BYTES,
    targetFileBytes: options.targetFileBytes ?? Number.POSITIVE_INFINITY,
  })
  const columns = columnWriters(fields, settings)
  const parts: Uint8Array[] = [MAGIC]
  const rowGroups: RowGroup[] = []
  let sizeBytes = MAGIC.length
  let closedRows = 0
  let openRows = 0
  let full = false
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

  const bufferedBytes = () => columns.reduce((bytes, column) => bytes + column.heldBytes(), sizeBytes)
  const seemsFull = () =>
    columns.reduce((bytes, column) => bytes + column.estimatedBytes(), sizeBytes) >= settings.targetFileBytes

  function append(batch: Batch, rows?: Int32Array, from = 0, to = rows === undefined ? batch.rows : rows.length): number {
    if (finished) throw corrupt('Cannot append to Parquet file: expected an open writer, found a finished one.')
    checkColumns(fields, batch.vectors)
    const step = stepRows(batch.vectors, Math.min(settings.rowGroupBytes, settings.targetFileBytes * STEP_SHARE))
    let at = from
    while (at < to) {
      const end = Math.min(to, at + step)
      let groupBytes = 0
      for (let i = 0; i < columns.length; i++) {
        columns[i].append(batch.vectors[i], rows, at, end)
        groupBytes += columns[i].uncompressedBytes()
      }
      openRows += end - at
      at = end
      const mayBeFull = seemsFull()
      // How well its rows compress is known when they are: the file goes on where they did better than it seemed.
      if (mayBeFull || groupBytes >= settings.rowGroupBytes) closeRowGroup()
      full = mayBeFull && sizeBytes >= settings.targetFileBytes * FULL_SHARE
      if (full) break
    }
    return at
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
      return bufferedBytes()
    },
    get full() {
      return full
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
  between('gzipLevel', 0, 9)
  between('rowGroupBytes', 1, 2 ** 40)
  between('pageBytes', 1, MAX_PAGE_BYTES)
  between('pageRows', 1, 2 ** 31 - 1)
  between('maxDictionaryBytes', 0, MAX_DICTIONARY_BYTES)
  between('targetFileBytes', 1, Number.POSITIVE_INFINITY)
  return options
}

function columnWriters(fields: Fields, options: ParquetOptions): ColumnWriter[] {
  const compress = compressor(options.codec, options)
  const pageScratch = scratchMemory()
  const codeScratch = scratchMemory()
  return fields.map((field) => {
    const pages = chunkBuilder(field.type, compress, pageScratch)
    return field.type === 'string' || field.type === 'binary'
      ? bytesColumn(field, field.type, pages, { ...options, scratch: codeScratch })
      : fixedColumn(field, field.type, pages, options)
  })
}

function checkColumns(fields: Fields, vectors: readonly Vector[]): void {
  const expected = fields.map((field) => field.type).join(', ')
  const found = vectors.map((vector) => vector.type).join(', ')
  if (expected !== found) throw corrupt(`Cannot append to Parquet file: expected columns of types ${expected}, found ${found}.`)
}

/** Of a value that is no string or binary, or of the length of one that is. */
const VALUE_BYTES = 8

/** So few rows that one step of the longest values cannot go far beyond the bound. */
function stepRows(vectors: readonly Vector[], boundBytes: number): number {
  const fixed = vectors.length * VALUE_BYTES
  let widest = fixed * STEP_ROWS <= boundBytes ? 0 : fixed
  for (const vector of vectors) {
    if (vector.type !== 'string' && vector.type !== 'binary') continue
    const { offsets, entries } = vector
    if ((offsets[entries] - offsets[0]) * STEP_ROWS <= boundBytes) continue
    let longest = 0
    for (let k = 0; k < entries; k++) longest = Math.max(longest, offsets[k + 1] - offsets[k])
    widest += longest
  }
  return widest === 0 ? STEP_ROWS : Math.max(1, Math.min(STEP_ROWS, Math.floor(boundBytes / widest)))
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
