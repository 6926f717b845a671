import { corrupt } from '../errors.ts'
import type { ColumnType, Fields } from './schema.ts'

/**
 * Rows as typed columns: never an array of objects. A vector's arrays hold at least `rows` values (they may be longer);
 * `validity`, where present, holds 1 for a value and 0 for null (the value slot of a null is 0 or the empty string).
 */
export interface Batch {
  readonly fields: Fields
  readonly rows: number
  /** One per field, in order. */
  readonly vectors: readonly Vector[]
}

export interface BooleanVector {
  readonly type: 'boolean'
  readonly values: Uint8Array
  readonly validity: Uint8Array | undefined
}
export interface IntVector {
  readonly type: 'int'
  readonly values: Int32Array
  readonly validity: Uint8Array | undefined
}
/** 64 bits, kept exactly. Hot paths read and write it through `numbers.ts` without making BigInts. */
export interface LongVector {
  readonly type: 'long' | 'timestamptz'
  readonly values: BigInt64Array
  readonly validity: Uint8Array | undefined
}
export interface DoubleVector {
  readonly type: 'double'
  readonly values: Float64Array
  readonly validity: Uint8Array | undefined
}
/**
 * Strings (UTF-8) and binary. Entry k is `bytes[offsets[k] .. offsets[k + 1])`. With `codes`, row i is entry
 * `codes[i]` (a dictionary; entries need not all be used); without, row i is entry i.
 */
export interface BytesVector {
  readonly type: 'string' | 'binary'
  readonly codes: Int32Array | undefined
  readonly entries: number
  readonly offsets: Int32Array
  readonly bytes: Uint8Array
  readonly validity: Uint8Array | undefined
}

export type Vector = BooleanVector | IntVector | LongVector | DoubleVector | BytesVector

/** A single value as tests, tools and cold paths see it. `timestamptz` is microseconds as bigint. */
export type Value = boolean | number | bigint | string | Uint8Array | null

/** The vector of a column by name; a missing one is a defect, not a user's error. */
export function vectorOf(batch: Batch, name: string): Vector {
  const at = batch.fields.findIndex((field) => field.name === name)
  const vector = batch.vectors[at]
  if (vector === undefined)
    throw corrupt(`Cannot find column ${name}: the batch holds ${batch.fields.map((f) => f.name).join(', ')}.`)
  return vector
}

/** The vectors that may be of one of the types `T`. */
export type VectorOf<T extends ColumnType> = Vector extends infer V
  ? V extends Vector
    ? V['type'] & T extends never
      ? never
      : V
    : never
  : never

/** Makes sure a vector is of the type its user needs, and tells the type checker so. */
export function expectType<T extends ColumnType>(vector: Vector, ...types: T[]): VectorOf<T> {
  if (!(types as ColumnType[]).includes(vector.type))
    throw corrupt(`Cannot read column: expected ${types.join(' or ')}, found ${vector.type}.`)
  return vector as VectorOf<T>
}
