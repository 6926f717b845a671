import { corrupt } from '../errors.ts'
import { type BytesVector, expectType, type Vector } from './batch.ts'
import { compareLongs, getLong, words } from './numbers.ts'

/** Less, equal, greater; 2: not ordered, one is NaN. */
export type Order = -1 | 0 | 1 | 2

/**
 * The order of two columns row by row; whatever a null's slot gives is no one's business. Numbers compare by value
 * whatever their types (a long and a double exactly, without rounding the long; -0 equals 0), strings by their UTF-8
 * bytes, false before true.
 */
export function compareVectors(left: Vector, right: Vector, rows: number): Int8Array {
  if (left.type === 'string' && right.type === 'string') return compareBytes(left, right, rows)
  const orders = new Int8Array(rows)
  const isLong = left.type === 'long' || left.type === 'timestamptz'
  if (isLong && right.type === left.type) {
    const a = words(left.values)
    const b = words(right.values)
    for (let i = 0; i < rows; i++) orders[i] = Math.sign(compareLongs(a, i, b, i))
    return orders
  }
  if (left.type === 'boolean' || right.type === 'boolean') {
    const a = expectType(left, 'boolean').values
    const b = expectType(right, 'boolean').values
    for (let i = 0; i < rows; i++) orders[i] = a[i] - b[i]
    return orders
  }
  if (left.type === 'long') return compareMixed(left.values, numbersOf(right), 1, rows)
  if (right.type === 'long') return compareMixed(right.values, numbersOf(left), -1, rows)
  const a = numbersOf(left)
  const b = numbersOf(right)
  for (let i = 0; i < rows; i++) orders[i] = order(a[i], b[i])
  return orders
}

const order = (a: number, b: number): Order => (a < b ? -1 : a > b ? 1 : a === b ? 0 : 2)

function numbersOf(vector: Vector): Float64Array | Int32Array {
  if (vector.type !== 'double' && vector.type !== 'int')
    throw corrupt(`Cannot compare columns: expected a number, found ${vector.type}.`)
  return vector.values
}

/** Longs against doubles or ints; `sign` -1 when the longs stand on the right. */
function compareMixed(longs: BigInt64Array, numbers: Float64Array | Int32Array, sign: 1 | -1, rows: number): Int8Array {
  const from = words(longs)
  const orders = new Int8Array(rows)
  for (let i = 0; i < rows; i++) {
    const number = numbers[i]
    const long = getLong(from, i)
    // Rounding to a double keeps order: only where the rounded long equals the number may the exact one differ.
    let result: number = order(long, number)
    if (result === 0 && !Number.isSafeInteger(long)) {
      const exact = BigInt(number)
      result = longs[i] < exact ? -1 : longs[i] > exact ? 1 : 0
    }
    orders[i] = result === 2 ? 2 : result * sign
  }
  return orders
}

function compareBytes(left: BytesVector, right: BytesVector, rows: number): Int8Array {
  const orders = new Int8Array(rows)
  const a = entriesOf(left)
  const b = entriesOf(right)
  if (left.codes !== undefined && right.codes !== undefined && right.entries === 1) {
    // A dictionary against a literal: once per entry, not per row.
    const byCode = Int8Array.from({ length: left.entries }, (_, code) => Buffer.compare(a(code), b(0)))
    for (let i = 0; i < rows; i++) orders[i] = byCode[left.codes[i]]
    return orders
  }
  for (let i = 0; i < rows; i++) orders[i] = Buffer.compare(a(left.codes?.[i] ?? i), b(right.codes?.[i] ?? i))
  return orders
}

const entriesOf = (vector: BytesVector) => (entry: number) =>
  vector.bytes.subarray(vector.offsets[entry], vector.offsets[entry + 1])
