import { corrupt } from '../errors.ts'

/**
 * One value of a partition tuple: a number for int, date and double, a bigint for long and timestamptz (microseconds).
 * Which it is follows from the partition field's type.
 */
export type PartitionValue = boolean | number | bigint | string | Uint8Array | null

/** JSON of a partition value; what JSON has no word for is wrapped. */
export type PartitionValueJson =
  | boolean
  | number
  | string
  | null
  | { readonly long: string }
  | { readonly double: 'NaN' | 'Infinity' | '-Infinity' | '-0' }
  | { readonly binary: string }

export function partitionValueToJson(value: PartitionValue): PartitionValueJson {
  if (typeof value === 'bigint') return { long: String(value) }
  if (value instanceof Uint8Array) return { binary: Buffer.from(value).toString('base64') }
  if (typeof value !== 'number' || (Number.isFinite(value) && !Object.is(value, -0))) return value
  return { double: Object.is(value, -0) ? '-0' : (String(value) as 'NaN' | 'Infinity' | '-Infinity') }
}

export function partitionValueFromJson(json: PartitionValueJson): PartitionValue {
  if (typeof json !== 'object' || json === null) return json
  if ('long' in json) return BigInt(json.long)
  if ('double' in json) return Number(json.double)
  return new Uint8Array(Buffer.from(json.binary, 'base64'))
}

/** A string that equal tuples, and only they, share. */
export function partitionKeyOf(values: readonly PartitionValue[]): string {
  return JSON.stringify(values.map(partitionValueToJson))
}

/** The value's bytes as bounds hold them (spec, appendix D, "Single-value serialization"). `type` is Iceberg's name. */
export function singleValueBytes(type: string, value: Exclude<PartitionValue, null>): Uint8Array {
  if (type === 'boolean' && typeof value === 'boolean') return Uint8Array.of(value ? 1 : 0)
  if ((type === 'int' || type === 'date') && typeof value === 'number') return new Uint8Array(Int32Array.of(value).buffer)
  if ((type === 'long' || type === 'timestamptz') && typeof value === 'bigint')
    return new Uint8Array(BigInt64Array.of(value).buffer)
  if (type === 'double' && typeof value === 'number') return new Uint8Array(Float64Array.of(value).buffer)
  if (type === 'string' && typeof value === 'string') return new TextEncoder().encode(value)
  if (type === 'binary' && value instanceof Uint8Array) return value
  throw corrupt(`Cannot write a bound: expected a value of type ${type}, found ${typeof value}.`)
}

/**
 * Iceberg's order of two values of one partition field: strings and binary by unsigned bytes, false before true, -0 before 0.
 * NaN is no bound and must not come here.
 */
export function comparePartitionValues(a: Exclude<PartitionValue, null>, b: Exclude<PartitionValue, null>): number {
  if (typeof a === 'string' && typeof b === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b))
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b)
  if (a === b) return Object.is(a, b) ? 0 : Object.is(a, -0) ? -1 : 1
  return a < b ? -1 : 1
}
