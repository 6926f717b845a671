import type { Batch, Vector } from '../columns/batch.ts'
import { nullVector } from '../columns/operations.ts'
import type { ColumnType, Field, Fields } from '../columns/schema.ts'
import { corrupt, FrazilError, refused } from '../errors.ts'
import { readBytes } from './reader-bytes.ts'
import { readBooleans, readFixed } from './reader-fixed.ts'
import { type Annotation, type FileColumn, type FileFooter, type FileRowGroup, readFooter } from './reader-footer.ts'
import { chunkPages } from './reader-pages.ts'

/** What the footer of a file tells. */
export interface ParquetSummary {
  readonly rows: number
  readonly rowGroups: number
  /** Of the encoded columns, before compression: dictionary coded ones take more in memory. */
  readonly uncompressedBytes: number
  /** Iceberg's field ids of its top-level columns. */
  readonly fieldIds: readonly number[]
}

/** The footer of a whole file. Throws `Corrupt` and `Refused` as `readParquet` does. */
export function parquetSummary(bytes: Uint8Array, location: string): ParquetSummary {
  return located(`file ${location}`, () => {
    const { rows, rowGroups, columns } = footerOf(bytes)
    return {
      rows,
      rowGroups: rowGroups.length,
      uncompressedBytes: rowGroups.flatMap((group) => group.chunks).reduce((sum, chunk) => sum + chunk.uncompressedBytes, 0),
      fieldIds: columns.flatMap(({ id }) => id ?? []),
    }
  })
}

/**
 * Reads a whole Parquet file, row group by row group, into batches of the wanted fields, matched by Iceberg's field id (spec,
 * Column Projection); an optional field that the file lacks is null. Strings and binary stay dictionary coded where the file
 * has them so. Takes data pages V1 and V2, all encodings but those of repeated values, the codecs uncompressed, snappy, gzip
 * and zstd, and Iceberg's promotions int to long and float to double. Checksums are looked at where there are any.
 *
 * Throws `Refused` for a file that it cannot read (encrypted, without field ids, of a codec, encoding or type that it does not
 * know) and `Corrupt` for a damaged one, and for a null in a required field.
 */
export function* readParquet(bytes: Uint8Array, fields: Fields, location: string): Generator<Batch> {
  const footer = located(`file ${location}`, () => footerOf(bytes))
  const columns = fields.map((field) => located(`column ${field.name} of ${location}`, () => columnFor(field, footer)))
  for (const group of footer.rowGroups) {
    const vectors = fields.map((field, i) =>
      located(`column ${field.name} of ${location}`, () => readColumn(bytes, field, columns[i], group)),
    )
    yield { fields, rows: group.rows, vectors }
  }
}

/** Says what could not be read: below, messages tell only what was expected and what was found. */
function located<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    // What no array can hold: V8's own words say how much was asked for.
    if (error instanceof RangeError) throw refused(`Cannot read Parquet ${what}: ${error.message}.`, { cause: error })
    if (!(error instanceof FrazilError)) throw error
    throw new FrazilError(error.kind, `Cannot read Parquet ${what}: ${error.message.replace(/\.$/, '')}.`, { cause: error })
  }
}

function footerOf(bytes: Uint8Array): FileFooter {
  const footer = readFooter(bytes)
  if (footer.columns.every((column) => column.id === undefined))
    throw refused("expected columns with Iceberg's field ids, found none (files that were imported have names only)")
  return footer
}

/** The column that has the field's id and a type the field may be read from. */
function columnFor(field: Field, footer: FileFooter): FileColumn | undefined {
  const [column, another] = footer.columns.filter(({ id }) => id === field.id)
  if (another !== undefined)
    throw corrupt(`expected one column of field id ${field.id}, found ${column.name} and ${another.name}`)
  if (column === undefined) {
    if (field.required) throw corrupt(`expected a column of field id ${field.id}, for the field is required, found none`)
    return undefined
  }
  if (column.chunk === undefined || column.repeated) throw refused('expected a column that is not nested, found a nested one')
  const stored = physicalType(column)
  if (!STORED_AS[field.type].includes(`${stored} ${column.annotation}`))
    throw refused(`expected a column of type ${field.type}, found ${stored} (${column.annotation})`)
  return column
}

/** Physical types by their number in parquet.thrift. */
const PHYSICAL = ['BOOLEAN', 'INT32', 'INT64', 'INT96', 'FLOAT', 'DOUBLE', 'BYTE_ARRAY', 'FIXED_LEN_BYTE_ARRAY']

const physicalType = ({ physical = -1 }: FileColumn): string => PHYSICAL[physical] ?? 'another type'

/** What each type may be stored as: physical type and annotation (Iceberg's spec, appendix A, and its promotions). */
const STORED_AS: Readonly<Record<ColumnType, readonly `${string} ${Annotation}`[]>> = {
  boolean: ['BOOLEAN none'],
  int: ['INT32 none', 'INT32 signed'],
  long: ['INT64 none', 'INT64 signed', 'INT32 none', 'INT32 signed'],
  double: ['DOUBLE none', 'FLOAT none'],
  string: ['BYTE_ARRAY string'],
  binary: ['BYTE_ARRAY none'],
  timestamptz: ['INT64 timestamp micros utc'],
}

function readColumn(bytes: Uint8Array, field: Field, column: FileColumn | undefined, { rows, chunks }: FileRowGroup): Vector {
  if (column?.chunk === undefined) return nullVector(field.type, rows)
  const chunk = chunks[column.chunk]
  if (chunk.values !== rows) throw corrupt(`expected ${rows} values in a row group of as many rows, found ${chunk.values}`)
  const vector = readVector(bytes, field, column, chunk, rows)
  if (!field.required || vector.validity === undefined) return vector
  throw corrupt(
    `expected a value in every row of a required field, found null in row ${vector.validity.indexOf(0)} of a row group`,
  )
}

function readVector(
  bytes: Uint8Array,
  field: Field,
  column: FileColumn,
  chunk: FileRowGroup['chunks'][number],
  rows: number,
): Vector {
  const pages = chunkPages(bytes, chunk, rows, column.optional)
  const isNarrow = ['INT32', 'FLOAT'].includes(physicalType(column))
  const { type } = field
  switch (type) {
    case 'boolean':
      return { type, ...readBooleans(pages, rows) }
    case 'string':
    case 'binary':
      return readBytes(pages, rows, type)
    case 'int': {
      const { words, validity } = readFixed(pages, rows, 1, true)
      return { type, values: words, validity }
    }
    case 'long':
    case 'timestamptz': {
      const { words, validity } = readFixed(pages, rows, isNarrow ? 1 : 2, true)
      return { type, values: new BigInt64Array((isNarrow ? widened(words) : words).buffer), validity }
    }
    case 'double': {
      const { words, validity } = readFixed(pages, rows, isNarrow ? 1 : 2, false)
      const values = isNarrow ? Float64Array.from(new Float32Array(words.buffer)) : new Float64Array(words.buffer)
      return { type, values, validity }
    }
  }
}

/** 32-bit integers as pairs of words. */
function widened(ints: Int32Array): Int32Array<ArrayBuffer> {
  const words = new Int32Array(ints.length * 2)
  for (let i = 0; i < ints.length; i++) {
    words[2 * i] = ints[i]
    words[2 * i + 1] = ints[i] >> 31
  }
  return words
}
