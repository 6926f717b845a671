import { corrupt, refused } from '../errors.ts'
import { countIn, needCount, needStruct, needStructs, readThrift, structIn, type ThriftStruct, textIn } from './thrift-read.ts'

/** A top-level column as the file's schema tells it. */
export interface FileColumn {
  readonly name: string
  /** Iceberg's field id. */
  readonly id: number | undefined
  /** Its place among the chunks of a row group; undefined for a group of columns. */
  readonly chunk: number | undefined
  /** Physical type, by its number in parquet.thrift. */
  readonly physical: number | undefined
  readonly optional: boolean
  readonly repeated: boolean
  readonly annotation: Annotation
}

/** What a column's physical type stands for, of the newer LogicalType or else the older ConvertedType. */
export type Annotation = 'none' | 'string' | 'signed' | 'timestamp micros utc' | 'other'

export interface FileChunk {
  readonly codec: number
  readonly values: number
  readonly compressedBytes: number
  readonly uncompressedBytes: number
  /** Of its first page. */
  readonly offset: number
}

export interface FileRowGroup {
  readonly rows: number
  readonly chunks: readonly FileChunk[]
}

export interface FileFooter {
  readonly rows: number
  readonly columns: readonly FileColumn[]
  readonly rowGroups: readonly FileRowGroup[]
}

const MAGIC = 0x31524150 // PAR1
const ENCRYPTED_MAGIC = 0x45524150 // PARE
const OPTIONAL = 1
const REPEATED = 2
/** Row numbers are 32 bits wide. */
const MAX_GROUP_ROWS = 0x7fffffff

/** FileMetaData at the end of a file. Throws `Corrupt`, and `Refused` for an encrypted file. */
export function readFooter(bytes: Uint8Array): FileFooter {
  if (bytes.length < 12) throw corrupt(`expected a Parquet file, found ${bytes.length} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const magic = view.getUint32(bytes.length - 4, true)
  if (magic === ENCRYPTED_MAGIC) throw refused('expected a file that is not encrypted, found an encrypted one')
  if (magic !== MAGIC || view.getUint32(0, true) !== MAGIC) throw corrupt('expected PAR1 at both ends, found other bytes')
  const length = view.getUint32(bytes.length - 8, true)
  if (length > bytes.length - 12) throw corrupt(`expected a footer within ${bytes.length} bytes, found one of ${length}`)
  const start = bytes.length - 8 - length
  const { struct } = readThrift(bytes.subarray(0, bytes.length - 8), start)
  const { columns, leaves } = readSchema(needStructs(struct, 2, 'the schema'))
  const rowGroups = needStructs(struct, 4, 'row groups').map((group) => readRowGroup(group, leaves, start))
  const rows = needCount(struct, 3, 'the number of rows')
  const found = rowGroups.reduce((sum, group) => sum + group.rows, 0)
  if (found !== rows) throw corrupt(`expected ${rows} rows in all, found row groups of ${found}`)
  return { rows, columns, rowGroups }
}

/** The schema is a tree, parents first; only its top level is of use, but all leaves count for the order of chunks. */
function readSchema(elements: readonly ThriftStruct[]): { readonly columns: FileColumn[]; readonly leaves: number } {
  const columns: FileColumn[] = []
  let at = 0
  let leaves = 0
  /** Passes over what is below the next `count` elements. */
  function skip(count: number): void {
    for (let open = count; open > 0; open--) {
      if (at >= elements.length) throw corrupt(`expected all children of the schema's groups, found ${elements.length} elements`)
      const children = countIn(elements[at++], 5, 'a number of children') ?? 0
      if (children === 0) leaves++
      open += children
    }
  }
  if (elements.length === 0) throw corrupt('expected a schema, found an empty one')
  at++
  for (let left = countIn(elements[0], 5, 'a number of children') ?? 0; left > 0; left--) {
    const element = elements[at]
    const isLeaf = element !== undefined && (countIn(element, 5, 'a number of children') ?? 0) === 0
    const chunk = leaves
    skip(1)
    columns.push({
      name: textIn(element, 4),
      id: countIn(element, 9, 'a field id'),
      chunk: isLeaf ? chunk : undefined,
      physical: countIn(element, 1, 'a physical type'),
      optional: countIn(element, 3, 'a repetition') === OPTIONAL,
      repeated: countIn(element, 3, 'a repetition') === REPEATED,
      annotation: annotationOf(element),
    })
  }
  return { columns, leaves }
}

/** SchemaElement: logicalType is field 10, converted_type field 6. */
function annotationOf(element: ThriftStruct): Annotation {
  const logical = structIn(element, 10)
  if (logical !== undefined) {
    if (logical.has(1)) return 'string'
    const integer = structIn(logical, 10)
    if (integer !== undefined) return integer.get(2) === true ? 'signed' : 'other'
    const timestamp = structIn(logical, 8)
    if (timestamp === undefined) return 'other'
    const isMicros = structIn(timestamp, 2)?.has(2) === true
    return isMicros && timestamp.get(1) === true ? 'timestamp micros utc' : 'other'
  }
  switch (countIn(element, 6, 'a converted type')) {
    case undefined:
      return 'none'
    case 0:
      return 'string'
    case 10:
      return 'timestamp micros utc'
    case 15: // INT_8 to INT_64
    case 16:
    case 17:
    case 18:
      return 'signed'
    default:
      return 'other'
  }
}

function readRowGroup(group: ThriftStruct, leaves: number, footerAt: number): FileRowGroup {
  const rows = needCount(group, 3, "a row group's number of rows")
  if (rows > MAX_GROUP_ROWS) throw refused(`expected row groups of at most ${MAX_GROUP_ROWS} rows, found ${rows}`)
  const columns = needStructs(group, 1, 'column chunks')
  if (columns.length !== leaves) throw corrupt(`expected ${leaves} columns in a row group, found ${columns.length}`)
  return { rows, chunks: columns.map((column) => readChunk(column, footerAt)) }
}

/** ColumnChunk and its ColumnMetaData. */
function readChunk(column: ThriftStruct, footerAt: number): FileChunk {
  if (column.has(1)) throw refused(`expected all columns in one file, found one in ${textIn(column, 1)}`)
  if (column.has(8)) throw refused('expected a file that is not encrypted, found an encrypted column')
  const metadata = needStruct(column, 3, "a column's metadata")
  const dataAt = needCount(metadata, 9, "a column's offset")
  // Some writers put 0 where there is no dictionary.
  const dictionaryAt = countIn(metadata, 11, "a dictionary's offset") || dataAt
  const chunk = {
    codec: needCount(metadata, 4, 'a codec'),
    values: needCount(metadata, 5, "a column's number of values"),
    uncompressedBytes: needCount(metadata, 6, "a column's size"),
    compressedBytes: needCount(metadata, 7, "a column's size"),
    offset: Math.min(dataAt, dictionaryAt),
  }
  if (chunk.offset + chunk.compressedBytes > footerAt)
    throw corrupt(
      `expected columns to end before the footer at ${footerAt}, found one that ends at ${chunk.offset + chunk.compressedBytes}`,
    )
  return chunk
}
