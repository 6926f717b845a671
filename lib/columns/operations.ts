import { corrupt } from '../errors.ts'
import { type Batch, type BytesVector, expectType, type Vector, vectorOf } from './batch.ts'
import { bytesDictionary, grownBytes } from './dictionary.ts'
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

/** Copies `from[start .. end)` to `to[at ..]` and returns where it ends. `set` costs more than a loop for short ranges. */
function appendBytes(to: Uint8Array, at: number, from: Uint8Array, start: number, end: number): number {
  const length = end - start
  if (length < 24) for (let i = 0; i < length; i++) to[at + i] = from[start + i]
  else to.set(from.subarray(start, end), at)
  return at + length
}

/**
 * All rows of `batches`, in order. They must have the same columns (names and types); the result carries the fields of
 * the first. Throws `Corrupt` when they differ or when there is none.
 */
export function concat(batches: readonly Batch[]): Batch {
  const [first] = batches
  if (first === undefined) throw corrupt('Cannot concatenate batches: expected at least one, found none.')
  if (batches.length === 1) return first
  for (const batch of batches) {
    if (batch.fields === first.fields) continue
    const same =
      batch.fields.length === first.fields.length &&
      batch.fields.every((field, k) => field.name === first.fields[k].name && field.type === first.fields[k].type)
    if (!same) throw corrupt(`Cannot concatenate batches: expected ${describe(first.fields)}, found ${describe(batch.fields)}.`)
  }
  const rows = batches.reduce((sum, batch) => sum + batch.rows, 0)
  return {
    fields: first.fields,
    rows,
    vectors: first.fields.map((field, k) => concatVectors(field.type, batches, k, rows)),
  }
}

const describe = (fields: Fields) => fields.map((field) => `${field.name} ${field.type}`).join(', ')

function concatVectors(type: ColumnType, batches: readonly Batch[], k: number, rows: number): Vector {
  const validity = batches.some((batch) => batch.vectors[k].validity !== undefined) ? new Uint8Array(rows) : undefined
  if (validity !== undefined) {
    let at = 0
    for (const batch of batches) {
      const part = batch.vectors[k].validity
      if (part === undefined) validity.fill(1, at, at + batch.rows)
      else validity.set(part.subarray(0, batch.rows), at)
      at += batch.rows
    }
  }
  switch (type) {
    case 'boolean': {
      const values = new Uint8Array(rows)
      let at = 0
      for (const batch of batches) {
        values.set(expectType(batch.vectors[k], type).values.subarray(0, batch.rows), at)
        at += batch.rows
      }
      return { type, values, validity }
    }
    case 'int': {
      const values = new Int32Array(rows)
      let at = 0
      for (const batch of batches) {
        values.set(expectType(batch.vectors[k], type).values.subarray(0, batch.rows), at)
        at += batch.rows
      }
      return { type, values, validity }
    }
    case 'double': {
      const values = new Float64Array(rows)
      let at = 0
      for (const batch of batches) {
        values.set(expectType(batch.vectors[k], type).values.subarray(0, batch.rows), at)
        at += batch.rows
      }
      return { type, values, validity }
    }
    case 'long':
    case 'timestamptz': {
      const values = new BigInt64Array(rows)
      let at = 0
      for (const batch of batches) {
        values.set(expectType(batch.vectors[k], type).values.subarray(0, batch.rows), at)
        at += batch.rows
      }
      return { type, values, validity }
    }
    case 'string':
    case 'binary': {
      const parts = batches.map((batch) => ({ rows: batch.rows, vector: expectType(batch.vectors[k], type) }))
      // One plain part means that a dictionary did not pay there: merging would hash every value of it for little.
      const merged = parts.every((part) => part.vector.codes !== undefined || part.rows === 0)
      return merged ? mergeDictionaries(type, parts, rows, validity) : concatPlain(type, parts, rows, validity)
    }
  }
}

interface BytesPart {
  readonly rows: number
  readonly vector: BytesVector
}

function mergeDictionaries(
  type: BytesVector['type'],
  parts: readonly BytesPart[],
  rows: number,
  validity: Uint8Array | undefined,
): BytesVector {
  const codes = new Int32Array(rows)
  const dictionary = bytesDictionary()
  let at = 0
  for (const { rows: partRows, vector } of parts) {
    // Entries are merged when first used, so that unused ones (left by `take`) drop out here.
    const merged = new Int32Array(vector.entries).fill(-1)
    for (let i = 0; i < partRows; i++) {
      const code = vector.codes === undefined ? i : vector.codes[i]
      let to = merged[code]
      if (to < 0) {
        to = dictionary.code(vector.bytes, vector.offsets[code], vector.offsets[code + 1])
        merged[code] = to
      }
      codes[at++] = to
    }
  }
  return { type, codes, ...dictionary.entries(), validity }
}

function concatPlain(
  type: BytesVector['type'],
  parts: readonly BytesPart[],
  rows: number,
  validity: Uint8Array | undefined,
): BytesVector {
  let sizeBytes = 0
  for (const { rows: partRows, vector } of parts)
    for (let i = 0; i < partRows; i++) {
      const entry = vector.codes === undefined ? i : vector.codes[i]
      sizeBytes += vector.offsets[entry + 1] - vector.offsets[entry]
    }
  const bytes = grownBytes(new Uint8Array(0), 0, sizeBytes)
  const offsets = new Int32Array(rows + 1)
  let row = 0
  let at = 0
  for (const { rows: partRows, vector } of parts)
    for (let i = 0; i < partRows; i++) {
      const entry = vector.codes === undefined ? i : vector.codes[i]
      at = appendBytes(bytes, at, vector.bytes, vector.offsets[entry], vector.offsets[entry + 1])
      offsets[++row] = at
    }
  return { type, codes: undefined, entries: rows, offsets, bytes, validity }
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
function nullVector(type: ColumnType, rows: number): Vector {
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

export { bytesDictionary } from './dictionary.ts'
export { batchOf, rowsOf, valueAt } from './values.ts'
