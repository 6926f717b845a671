import { corrupt } from '../errors.ts'
import { type Batch, type BytesVector, expectType, type Vector, vectorOf } from './batch.ts'
import { appendBytes, grownBytes } from './dictionary.ts'
import { words } from './numbers.ts'
import { type ColumnType, type Field, type Fields, indexOfField } from './schema.ts'

/**
 * The rows `rows[0 .. count)` of `batch`, in that order; a row may come more than once. Dictionaries are shared with
 * `batch`, only codes are gathered.
 */
export function take(batch: Batch, rows: Int32Array, count: number = rows.length): Batch {
  return { fields: batch.fields, rows: count, vectors: batch.vectors.map((vector) => takeVector(vector, rows, count)) }
}

function takeVector(vector: Vector, rows: Int32Array, count: number): Vector {
  const validity = vector.validity && gather(vector.validity, new Uint8Array(count), rows, count)
  switch (vector.type) {
    case 'boolean':
      return { type: vector.type, values: gather(vector.values, new Uint8Array(count), rows, count), validity }
    case 'int':
      return { type: vector.type, values: gather(vector.values, new Int32Array(count), rows, count), validity }
    case 'double':
      return { type: vector.type, values: gather(vector.values, new Float64Array(count), rows, count), validity }
    case 'long':
    case 'timestamptz': {
      const values = new BigInt64Array(count)
      const from = words(vector.values)
      const to = words(values)
      for (let i = 0; i < count; i++) {
        const row = rows[i]
        to[2 * i] = from[2 * row]
        to[2 * i + 1] = from[2 * row + 1]
      }
      return { type: vector.type, values, validity }
    }
    case 'string':
    case 'binary':
      if (vector.codes !== undefined)
        return { ...vector, codes: gather(vector.codes, new Int32Array(count), rows, count), validity }
      return { ...takeBytes(vector, rows, count), validity }
  }
}

function gather<T extends Uint8Array | Int32Array | Float64Array>(from: T, to: T, rows: Int32Array, count: number): T {
  for (let i = 0; i < count; i++) to[i] = from[rows[i]]
  return to
}

function takeBytes(vector: BytesVector, rows: Int32Array, count: number): BytesVector {
  const from = vector.offsets
  const offsets = new Int32Array(count + 1)
  let sizeBytes = 0
  for (let i = 0; i < count; i++) sizeBytes += from[rows[i] + 1] - from[rows[i]]
  const bytes = grownBytes(new Uint8Array(0), 0, sizeBytes)
  let at = 0
  for (let i = 0; i < count; i++) {
    const row = rows[i]
    at = appendBytes(bytes, at, vector.bytes, from[row], from[row + 1])
    offsets[i + 1] = at
  }
  return { type: vector.type, codes: undefined, entries: count, offsets, bytes, validity: undefined }
}

/**
 * The columns named by `fields`, in their order and under their ids, without copying. Throws `Corrupt` when a column is
 * missing, has another type, or holds a null where the target is required.
 */
export function select(batch: Batch, fields: Fields): Batch {
  return { fields, rows: batch.rows, vectors: fields.map((field) => selectVector(batch, field)) }
}

/**
 * The columns named by `fields` as a table reads them from rows that may be older than itself: as `select`, but an optional
 * column that the batch lacks is null. Throws `Corrupt` as `select` does.
 */
export function project(batch: Batch, fields: Fields): Batch {
  const vectors = fields.map((field) =>
    field.required || indexOfField(batch.fields, field.name) >= 0
      ? selectVector(batch, field)
      : nullVector(field.type, batch.rows),
  )
  return { fields, rows: batch.rows, vectors }
}

/** A null in every row. */
export function nullVector(type: ColumnType, rows: number): Vector {
  const validity = new Uint8Array(rows)
  switch (type) {
    case 'boolean':
      return { type, values: new Uint8Array(rows), validity }
    case 'int':
      return { type, values: new Int32Array(rows), validity }
    case 'double':
      return { type, values: new Float64Array(rows), validity }
    case 'long':
    case 'timestamptz':
      return { type, values: new BigInt64Array(rows), validity }
    case 'string':
    case 'binary':
      // One entry, the empty string, for all rows.
      return { type, codes: new Int32Array(rows), entries: 1, offsets: new Int32Array(2), bytes: new Uint8Array(0), validity }
  }
}

function selectVector(batch: Batch, field: Field): Vector {
  const vector = expectType(vectorOf(batch, field.name), field.type)
  const { validity } = vector
  if (!field.required || validity === undefined) return vector
  for (let i = 0; i < batch.rows; i++)
    if (validity[i] === 0)
      throw corrupt(`Cannot select required column ${field.name}: expected a value in every row, found null in row ${i}.`)
  return { ...vector, validity: undefined }
}

/** No rows of `fields`. */
export function emptyBatch(fields: Fields): Batch {
  return { fields, rows: 0, vectors: fields.map((field) => emptyVector(field.type)) }
}

function emptyVector(type: ColumnType): Vector {
  switch (type) {
    case 'boolean':
      return { type, values: new Uint8Array(0), validity: undefined }
    case 'int':
      return { type, values: new Int32Array(0), validity: undefined }
    case 'double':
      return { type, values: new Float64Array(0), validity: undefined }
    case 'long':
    case 'timestamptz':
      return { type, values: new BigInt64Array(0), validity: undefined }
    case 'string':
    case 'binary':
      return {
        type,
        codes: new Int32Array(0),
        entries: 0,
        offsets: new Int32Array(1),
        bytes: new Uint8Array(0),
        validity: undefined,
      }
  }
}

export { type BatchBuilder, batchBuilder, concat } from './concat.ts'
export { bytesDictionary } from './dictionary.ts'
export { batchOf, rowsOf, valueAt } from './values.ts'
