import type { ColumnType, Field, Fields } from '../columns/schema.ts'
import { truncatedLower, truncatedUpper } from './bounds.ts'
import { type Chunk, type Codec, DATA_PAGE, DICTIONARY_PAGE, PLAIN, RLE, RLE_DICTIONARY } from './pages.ts'
import { type ThriftWriter, thriftStruct } from './thrift.ts'

/** Where a row group's columns lie in the file. */
export interface RowGroup {
  readonly offset: number
  readonly rows: number
  /** One per field, in order; each starts where the one before ends. */
  readonly chunks: readonly Chunk[]
}

/** Numbers of parquet.thrift. */
const PHYSICAL_TYPE: Readonly<Record<ColumnType, number>> = {
  boolean: 0,
  int: 1,
  long: 2,
  timestamptz: 2,
  double: 5,
  string: 6,
  binary: 6,
}
const CODEC: Readonly<Record<Codec, number>> = { none: 0, snappy: 1, gzip: 2, zstd: 6 }
const CONVERTED_UTF8 = 0
const CONVERTED_TIMESTAMP_MICROS = 10
const REQUIRED = 0
const OPTIONAL = 1

/** Longer strings and bytes are cut in a row group's statistics, and said to be (is_min_value_exact). In code points or bytes. */
const MAX_STATISTICS_WIDTH = 64

/** parquet-mr parses this form to know whose bugs to work around. */
const CREATED_BY = 'frazil version 0.1.0'

/** FileMetaData of parquet.thrift. */
export function fileMetadata(fields: Fields, rowGroups: readonly RowGroup[], codec: Codec): Uint8Array {
  return thriftStruct((file) => {
    file.i32(1, 2)
    file.structs(2, [undefined, ...fields], (field) => schemaElement(file, field, fields.length))
    file.i64(
      3,
      rowGroups.reduce((rows, group) => rows + group.rows, 0),
    )
    file.structs(4, rowGroups, (group) => rowGroup(file, fields, group, rowGroups.indexOf(group), codec))
    file.string(6, CREATED_BY)
    // TYPE_ORDER for each column: without it readers ignore min_value and max_value.
    file.structs(7, fields, () => file.struct(1, () => {}))
  })
}

function schemaElement(out: ThriftWriter, field: Field | undefined, children: number): void {
  if (field === undefined) {
    out.string(4, 'table')
    out.i32(5, children)
    return
  }
  out.i32(1, PHYSICAL_TYPE[field.type])
  out.i32(3, field.required ? REQUIRED : OPTIONAL)
  out.string(4, field.name)
  if (field.type === 'string') out.i32(6, CONVERTED_UTF8)
  if (field.type === 'timestamptz') out.i32(6, CONVERTED_TIMESTAMP_MICROS)
  out.i32(9, field.id)
  if (field.type === 'string') out.struct(10, () => out.struct(1, () => {}))
  if (field.type === 'timestamptz')
    out.struct(10, () =>
      out.struct(8, () => {
        out.bool(1, true) // isAdjustedToUTC
        out.struct(2, () => out.struct(2, () => {})) // MICROS
      }),
    )
}

function rowGroup(out: ThriftWriter, fields: Fields, group: RowGroup, ordinal: number, codec: Codec): void {
  let offset = group.offset
  const columns = group.chunks.map((chunk, i) => {
    const column = { chunk, field: fields[i], offset }
    offset += chunk.compressedBytes
    return column
  })
  out.structs(1, columns, (column) => {
    out.i64(2, 0) // ColumnChunk.file_offset: deprecated, to be 0
    out.struct(3, () => columnMetadata(out, column.field, column.chunk, column.offset, CODEC[codec]))
  })
  out.i64(
    2,
    group.chunks.reduce((bytes, chunk) => bytes + chunk.uncompressedBytes, 0),
  )
  out.i64(3, group.rows)
  out.i64(5, group.offset)
  out.i64(6, offset - group.offset)
  out.i16(7, ordinal)
}

function columnMetadata(out: ThriftWriter, field: Field, chunk: Chunk, offset: number, codec: number): void {
  const coded = chunk.dictionaryCodedPages > 0
  out.i32(1, PHYSICAL_TYPE[field.type])
  out.i32s(2, coded ? [PLAIN, RLE, RLE_DICTIONARY] : [PLAIN, RLE])
  out.strings(3, [field.name])
  out.i32(4, codec)
  out.i64(5, chunk.values)
  out.i64(6, chunk.uncompressedBytes)
  out.i64(7, chunk.compressedBytes)
  out.i64(9, offset + chunk.dictionaryPageBytes)
  if (coded) out.i64(11, offset)
  out.struct(12, () => statistics(out, field, chunk))
  // Tells readers (Iceberg's among them) whether every page is coded, so that they may work on codes alone.
  const pages = [
    { type: DICTIONARY_PAGE, encoding: PLAIN, count: coded ? 1 : 0 },
    { type: DATA_PAGE, encoding: RLE_DICTIONARY, count: chunk.dictionaryCodedPages },
    { type: DATA_PAGE, encoding: PLAIN, count: chunk.plainPages },
  ].filter((page) => page.count > 0)
  out.structs(13, pages, (page) => {
    out.i32(1, page.type)
    out.i32(2, page.encoding)
    out.i32(3, page.count)
  })
}

function statistics(out: ThriftWriter, field: Field, chunk: Chunk): void {
  out.i64(3, chunk.nulls)
  const { bounds } = chunk
  // Engines for which NaN is the greatest value would prune by a maximum that leaves it out.
  if (bounds === undefined || chunk.nans > 0) return
  const max = truncatedUpper(field.type, bounds.max, MAX_STATISTICS_WIDTH)
  const min = truncatedLower(field.type, bounds.min, MAX_STATISTICS_WIDTH)
  if (max !== undefined) out.binary(5, max)
  out.binary(6, min)
  if (max !== undefined) out.bool(7, max === bounds.max)
  out.bool(8, min.length === bounds.min.length)
}
