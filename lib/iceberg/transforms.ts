import { type BytesVector, expectType, type LongVector, type Vector } from '../columns/batch.ts'
import { bytesDictionary } from '../columns/dictionary.ts'
import { getLong, words as wordsOf } from '../columns/numbers.ts'
import { valueAt } from '../columns/values.ts'
import { refused } from '../errors.ts'
import type { Transform } from '../pipeline/plan.ts'
import { civilFromDays, daysFromMonth } from './civil.ts'
import { murmur3, murmur3Long } from './murmur3.ts'
import type { PartitionValue } from './partition-value.ts'

/** A transformed column: row i has the value `values[codes[i]]`; equal values, and only they, have one code. */
export interface CodedValues {
  readonly codes: Int32Array
  readonly values: readonly PartitionValue[]
}

const MICROS_PER_DAY = 86_400_000_000
const MICROS_PER_HOUR = 3_600_000_000

/**
 * The partition values of a column's first `rows` rows (spec, "Partition Transforms"). Null stays null. A row costs a few
 * nanoseconds where it shares its value with the row before, as the times of a batch nearly always do.
 */
export function transformColumn(transform: Transform, vector: Vector, rows: number): CodedValues {
  switch (transform.kind) {
    case 'identity':
      return identity(vector, rows)
    case 'bucket':
      return bucket(vector, transform.buckets, rows)
    case 'year':
    case 'month':
    case 'day':
    case 'hour':
      return time(transform.kind, expectType(vector, 'timestamptz'), rows)
  }
}

/** Numbers values in the order they first come. */
function coder() {
  const values: PartitionValue[] = []
  const codes = new Map<PartitionValue | 'minus zero', number>()
  let ofNull = -1
  const add = (value: PartitionValue): number => values.push(value) - 1
  return {
    values,
    add,
    nothing: () => (ofNull = ofNull < 0 ? add(null) : ofNull),
    /** For every type but bytes. -0 and 0 are two values in Iceberg, NaN is one. */
    of(value: boolean | number | bigint): number {
      const key = Object.is(value, -0) ? 'minus zero' : value
      let code = codes.get(key)
      if (code === undefined) codes.set(key, (code = add(value)))
      return code
    },
  }
}

type TimeKind = 'year' | 'month' | 'day' | 'hour'

function time(kind: TimeKind, vector: LongVector, rows: number): CodedValues {
  const { values, nothing, of } = coder()
  const { validity } = vector
  const words = wordsOf(vector.values)
  const codes = new Int32Array(rows)
  // The microseconds [from, to) that share the value last computed.
  let from = 0
  let to = 0
  let code = 0
  for (let i = 0; i < rows; i++) {
    if (validity !== undefined && validity[i] === 0) {
      codes[i] = nothing()
      continue
    }
    const micros = getLong(words, i)
    if (!(micros >= from && micros < to)) {
      const value = timeValue(kind, micros, vector.values, i)
      code = of(value)
      // Beyond 2^53 a number does not hold the microseconds exactly: such rows never find themselves in the range.
      from = Math.max(startMicros(kind, value), Number.MIN_SAFE_INTEGER)
      to = Math.min(startMicros(kind, value + 1), Number.MAX_SAFE_INTEGER)
    }
    codes[i] = code
  }
  return { codes, values }
}

/** Times before 1970 are floored, not truncated (spec: "transforms round down"). */
function timeValue(kind: TimeKind, micros: number, exact: BigInt64Array, i: number): number {
  const unit = kind === 'hour' ? MICROS_PER_HOUR : MICROS_PER_DAY
  const units = Number.isSafeInteger(micros) ? Math.floor(micros / unit) : floorDivide(exact[i], unit)
  switch (kind) {
    case 'day':
      return units
    case 'hour':
      // Hours of the years beyond 246,000 exceed an int: they wrap, as in Iceberg's Java library.
      return units | 0
    case 'year':
      return civilFromDays(units).year - 1970
    case 'month': {
      const { year, month } = civilFromDays(units)
      return (year - 1970) * 12 + month - 1
    }
  }
}

function floorDivide(dividend: bigint, divisor: number): number {
  const by = BigInt(divisor)
  return Number((dividend - (((dividend % by) + by) % by)) / by)
}

function startMicros(kind: TimeKind, value: number): number {
  switch (kind) {
    case 'day':
      return value * MICROS_PER_DAY
    case 'hour':
      return value * MICROS_PER_HOUR
    case 'year':
      return daysFromMonth(value * 12) * MICROS_PER_DAY
    case 'month':
      return daysFromMonth(value) * MICROS_PER_DAY
  }
}

/** `(hash & Integer.MAX_VALUE) % N` (spec, "Bucket Transform Details"). */
function bucket(vector: Vector, buckets: number, rows: number): CodedValues {
  const { values, nothing, of } = coder()
  const codeOf = (hash: number) => of((hash & 0x7fffffff) % buckets)
  switch (vector.type) {
    case 'int':
      return {
        codes: codesOf(vector, rows, nothing, (i) => codeOf(murmur3Long(vector.values[i], vector.values[i] >> 31))),
        values,
      }
    case 'long':
    case 'timestamptz': {
      const words = wordsOf(vector.values)
      return { codes: codesOf(vector, rows, nothing, (i) => codeOf(murmur3Long(words[2 * i], words[2 * i + 1]))), values }
    }
    case 'string':
    case 'binary':
      return { codes: bytesCodes(vector, rows, nothing, (start, end) => codeOf(murmur3(vector.bytes, start, end))), values }
    default:
      throw refused(`Cannot partition by bucket: expected int, long, string, binary or timestamptz, found ${vector.type}.`)
  }
}

function identity(vector: Vector, rows: number): CodedValues {
  const { values, add, nothing, of } = coder()
  switch (vector.type) {
    case 'boolean':
      return { codes: codesOf(vector, rows, nothing, (i) => of(vector.values[i] === 1)), values }
    case 'int':
    case 'double':
      return { codes: codesOf(vector, rows, nothing, (i) => of(vector.values[i])), values }
    case 'long':
    case 'timestamptz':
      return { codes: codesOf(vector, rows, nothing, longCode(vector, of)), values }
    case 'string':
    case 'binary': {
      const dictionary = bytesDictionary()
      const codeByEntry: number[] = []
      const codes = bytesCodes(vector, rows, nothing, (start, end, row) => {
        const entry = dictionary.code(vector.bytes, start, end)
        return (codeByEntry[entry] ??= add(valueAt(vector, row)))
      })
      return { codes, values }
    }
  }
}

/** Makes a bigint only where a value differs from the one before. */
function longCode({ values }: LongVector, of: (value: bigint) => number): (i: number) => number {
  const words = wordsOf(values)
  let last = -1
  let code = 0
  return (i) => {
    if (last < 0 || words[2 * i] !== words[2 * last] || words[2 * i + 1] !== words[2 * last + 1]) code = of(values[i])
    last = i
    return code
  }
}

function codesOf(
  vector: Exclude<Vector, BytesVector>,
  rows: number,
  nothing: () => number,
  codeAt: (i: number) => number,
): Int32Array {
  const { validity } = vector
  const codes = new Int32Array(rows)
  for (let i = 0; i < rows; i++) codes[i] = validity !== undefined && validity[i] === 0 ? nothing() : codeAt(i)
  return codes
}

/** With a dictionary the work is done once per entry in use, not per row. */
function bytesCodes(
  vector: BytesVector,
  rows: number,
  nothing: () => number,
  codeAt: (start: number, end: number, row: number) => number,
): Int32Array {
  const { validity, offsets, codes: entryOf } = vector
  const known = entryOf === undefined ? undefined : new Int32Array(vector.entries).fill(-1)
  const codes = new Int32Array(rows)
  for (let i = 0; i < rows; i++) {
    if (validity !== undefined && validity[i] === 0) {
      codes[i] = nothing()
      continue
    }
    const entry = entryOf === undefined ? i : entryOf[i]
    let code = known === undefined ? -1 : known[entry]
    if (code < 0) {
      code = codeAt(offsets[entry], offsets[entry + 1], i)
      if (known !== undefined) known[entry] = code
    }
    codes[i] = code
  }
  return codes
}
