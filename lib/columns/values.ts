import { corrupt } from '../errors.ts'
import type { Batch, Value, Vector } from './batch.ts'
import { bytesDictionary } from './dictionary.ts'
import type { Field, Fields } from './schema.ts'

/** Cold paths, tools and tests: rows as plain objects. Nothing on the way of a record uses this file. */

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** The value in row `i`: string, a copy of the bytes, bigint for long and timestamptz, null. */
export function valueAt(vector: Vector, i: number): Value {
  if (vector.validity !== undefined && vector.validity[i] === 0) return null
  switch (vector.type) {
    case 'boolean':
      return vector.values[i] === 1
    case 'int':
    case 'double':
    case 'long':
    case 'timestamptz':
      return vector.values[i]
    case 'string':
    case 'binary': {
      const entry = vector.codes === undefined ? i : vector.codes[i]
      const bytes = vector.bytes.subarray(vector.offsets[entry], vector.offsets[entry + 1])
      return vector.type === 'string' ? utf8.decode(bytes) : bytes.slice()
    }
  }
}

/** Every row as an object by column name. */
export function rowsOf(batch: Batch): Record<string, Value>[] {
  return Array.from({ length: batch.rows }, (_, i) =>
    Object.fromEntries(batch.fields.map((field, k) => [field.name, valueAt(batch.vectors[k], i)])),
  )
}

/**
 * A batch of rows given as objects; an absent property is null. long and timestamptz take a bigint or a safe integer,
 * strings become a dictionary. Throws `Corrupt` for a value of another type and for a null in a required column.
 */
export function batchOf(fields: Fields, rows: readonly Readonly<Record<string, Value>>[]): Batch {
  return { fields, rows: rows.length, vectors: fields.map((field) => vectorFrom(field, rows)) }
}

function vectorFrom(field: Field, rows: readonly Readonly<Record<string, Value>>[]): Vector {
  const values = rows.map((row) => (Object.hasOwn(row, field.name) ? row[field.name] : null))
  const hasNulls = values.includes(null)
  if (hasNulls && field.required)
    throw corrupt(`Cannot build column ${field.name}: expected a value in every row, found null in row ${values.indexOf(null)}.`)
  const validity = hasNulls ? Uint8Array.from(values, (value) => (value === null ? 0 : 1)) : undefined
  const wrong = (value: Value) => corrupt(`Cannot build column ${field.name}: expected ${field.type}, found a ${typeof value}.`)
  const { type } = field
  switch (type) {
    case 'boolean':
      return {
        type,
        values: Uint8Array.from(values, (value) => {
          if (value !== null && typeof value !== 'boolean') throw wrong(value)
          return value === true ? 1 : 0
        }),
        validity,
      }
    case 'int':
      return {
        type,
        values: Int32Array.from(values, (value) => {
          if (value !== null && (typeof value !== 'number' || (value | 0) !== value)) throw wrong(value)
          return value ?? 0
        }),
        validity,
      }
    case 'double':
      return {
        type,
        values: Float64Array.from(values, (value) => {
          if (value !== null && typeof value !== 'number') throw wrong(value)
          return value ?? 0
        }),
        validity,
      }
    case 'long':
    case 'timestamptz':
      return {
        type,
        values: BigInt64Array.from(values, (value) => {
          if (value === null) return 0n
          if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return value
          if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value)
          throw wrong(value)
        }),
        validity,
      }
    case 'string':
    case 'binary': {
      const dictionary = bytesDictionary()
      const codes = Int32Array.from(values, (value) => {
        if (value !== null && (type === 'string' ? typeof value !== 'string' : !(value instanceof Uint8Array))) throw wrong(value)
        const bytes = value instanceof Uint8Array ? value : new TextEncoder().encode((value ?? '') as string)
        return dictionary.code(bytes, 0, bytes.length)
      })
      return { type, codes, ...dictionary.entries(), validity }
    }
  }
}
