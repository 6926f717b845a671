import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BytesVector } from '../../lib/columns/batch.ts'
import { componentsOf, roundedUnits, unitsOf } from '../../lib/stream/big-sum.ts'
import { add, addColumn, addEncoded, encodeSums, exactSums, integerSum, roundedSum } from '../../lib/stream/exact-sum.ts'
import { grow, normalise, rounded } from '../../lib/stream/expansion.ts'
import { exactSum, toDouble, units } from './oracle-sum.ts'

const finite = fc.double({ noNaN: true, noDefaultInfinity: true })
/** Values that cancel, tie, underflow and overflow far more often than chance would have it. */
const nasty = fc.oneof(
  finite,
  fc.constantFrom(1e308, -1e308, Number.MAX_VALUE, -Number.MAX_VALUE, 2 ** 900, -(2 ** 900), 2 ** 899, 2 ** 1023, -(2 ** 1023)),
  fc.constantFrom(5e-324, -5e-324, 2 ** -1022, 0, -0, 1, -1, 2 ** 53, 2 ** 53 + 2, 2 ** -53, -(2 ** -53), 0.1, -0.1, 1e16),
  fc.tuple(fc.integer({ min: -1074, max: 1023 }), fc.boolean()).map(([e, negative]) => (negative ? -1 : 1) * 2 ** e),
  fc.integer({ min: -1_000_000, max: 1_000_000 }).map((cents) => cents / 100),
)
const nastyList = fc.oneof(
  fc.array(nasty, { maxLength: 60 }),
  // x and -x apart: what is left over must be exact.
  fc.array(nasty, { maxLength: 30 }).map((list) => [...list, ...list.map((x) => -x).reverse(), 1.5]),
)
const bits = (x: number) => new BigUint64Array(Float64Array.of(x).buffer)[0]

function sumOf(values: readonly number[]) {
  const sums = exactSums(1)
  for (const x of values) add(sums, 0, x)
  return sums
}

const bytesOf = (vector: BytesVector, i: number) => Buffer.from(vector.bytes.subarray(vector.offsets[i], vector.offsets[i + 1]))

describe('an exact sum', () => {
  test('is the sum of all its values rounded once, whatever they are', () => {
    fc.assert(
      fc.property(nastyList, (values) => {
        expect(bits(roundedSum(sumOf(values), 0))).toBe(bits(exactSum(values)))
      }),
      { numRuns: 5000 },
    )
  })

  test('is the same, to the last byte of its state, however values are split, ordered and merged', () => {
    fc.assert(
      fc.property(nastyList, fc.array(fc.nat(5), { minLength: 60, maxLength: 61 }), fc.boolean(), (values, parts, reversed) => {
        const split = exactSums(6)
        const list = reversed ? [...values].reverse() : values
        for (const [i, x] of list.entries()) add(split, parts[i % parts.length], x)
        const encoded = encodeSums(split, undefined)
        const merged = exactSums(1)
        addEncoded(merged, new Int32Array(6), encoded, 6)
        const once = encodeSums(sumOf(values), undefined)
        expect(bytesOf(encodeSums(merged, undefined), 0)).toEqual(bytesOf(once, 0))
        expect(bits(roundedSum(merged, 0))).toBe(bits(exactSum(values)))
      }),
      { numRuns: 3000 },
    )
  })

  test('of a column equals the sum value by value, with rows left out and nulls ignored', () => {
    const row = fc.record({ x: nasty, group: fc.integer({ min: -1, max: 3 }), valid: fc.boolean() })
    fc.assert(
      fc.property(fc.array(row, { maxLength: 100 }), (rows) => {
        const sums = exactSums(4)
        addColumn(
          sums,
          Int32Array.from(rows, (r) => r.group),
          Float64Array.from(rows, (r) => r.x),
          Uint8Array.from(rows, (r) => (r.valid ? 1 : 0)),
          rows.length,
        )
        for (let g = 0; g < 4; g++)
          expect(roundedSum(sums, g)).toBe(exactSum(rows.filter((r) => r.valid && r.group === g).map((r) => r.x)))
      }),
      { numRuns: 2000 },
    )
  })

  test('widens for groups whose values spread over all magnitudes', () => {
    const values = Array.from({ length: 2098 }, (_, i) => 2 ** (i - 1074))
      .filter((_, i) => i % 2 === 0)
      .map((x, i) => (i % 3 === 0 ? -x : x))
    expect(roundedSum(sumOf(values), 0)).toBe(exactSum(values))
    expect(roundedSum(sumOf([...values].reverse()), 0)).toBe(exactSum(values))
    const both = exactSums(2)
    for (const x of values) {
      add(both, 0, x)
      add(both, 1, 0.1)
    }
    expect(roundedSum(both, 0)).toBe(exactSum(values))
    expect(roundedSum(both, 1)).toBe(exactSum(values.map(() => 0.1)))
    const vector = encodeSums(both, undefined)
    expect(vector.offsets[1]).toBeLessThanOrEqual(8 * 41 + 1)
    const again = exactSums(1)
    addEncoded(again, Int32Array.of(0, -1), vector, 2)
    expect(roundedSum(again, 0)).toBe(exactSum(values))
  })

  test('does not overflow on the way, and is infinite only when the exact sum is', () => {
    expect(roundedSum(sumOf([1e308, 1e308, -1e308, -1e308, 1]), 0)).toBe(1)
    expect(roundedSum(sumOf([Number.MAX_VALUE, Number.MAX_VALUE]), 0)).toBe(Number.POSITIVE_INFINITY)
    expect(roundedSum(sumOf([-Number.MAX_VALUE, -Number.MAX_VALUE]), 0)).toBe(Number.NEGATIVE_INFINITY)
    const halfUlp = 2 ** 970
    expect(roundedSum(sumOf([Number.MAX_VALUE, halfUlp]), 0)).toBe(Number.POSITIVE_INFINITY)
    expect(roundedSum(sumOf([Number.MAX_VALUE, halfUlp, -5e-324]), 0)).toBe(Number.MAX_VALUE)
    const below900 = Array.from({ length: 3000 }, () => 2 ** 900 * (1 - 2 ** -53))
    expect(roundedSum(sumOf(below900), 0)).toBe(exactSum(below900))
  })

  test('is never -0', () => {
    for (const values of [[], [-0], [-0, -0], [1, -1], [-1e308, 1e308], [-5e-324, 5e-324]])
      expect(Object.is(roundedSum(sumOf(values), 0), 0)).toBe(true)
  })

  test('breaks ties to even, unless what lies far below pulls', () => {
    expect(roundedSum(sumOf([1, 2 ** -53]), 0)).toBe(1)
    expect(roundedSum(sumOf([1, 2 ** -53, 2 ** -1074]), 0)).toBe(1 + 2 ** -52)
    expect(roundedSum(sumOf([1 + 2 ** -52, 2 ** -53]), 0)).toBe(1 + 2 ** -51)
    expect(roundedSum(sumOf([1 + 2 ** -52, 2 ** -53, -(2 ** -1074)]), 0)).toBe(1 + 2 ** -52)
    expect(roundedSum(sumOf([2, -(2 ** -53)]), 0)).toBe(2)
    expect(roundedSum(sumOf([2, -(2 ** -53), -(2 ** -1000)]), 0)).toBe(2 - 2 ** -52)
  })

  test('of infinities is infinite, of opposed ones NaN, in any order', () => {
    expect(roundedSum(sumOf([1, Number.POSITIVE_INFINITY, -1e308]), 0)).toBe(Number.POSITIVE_INFINITY)
    const apart = exactSums(2)
    for (const [group, x] of [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY].entries()) add(apart, group, x)
    const again = exactSums(1)
    addEncoded(again, Int32Array.of(0, 0), encodeSums(apart, undefined), 2)
    expect(roundedSum(again, 0)).toBeNaN()
  })

  test('of integers is that integer beyond 64 bits', () => {
    const sums = sumOf([2 ** 63, 2 ** 63, 1, -3, 2 ** 32])
    expect(integerSum(sums, 0)).toBe(2n ** 64n - 2n + 2n ** 32n)
    expect(() => integerSum(sumOf([0.5]), 0)).toThrow(/Corrupt|integer component/)
  })

  test('refuses state that is no list of doubles', () => {
    const vector = (bytes: Uint8Array): BytesVector => ({
      type: 'binary',
      codes: undefined,
      entries: 1,
      offsets: Int32Array.of(0, bytes.length),
      bytes,
      validity: undefined,
    })
    for (const bad of [new Uint8Array(7), new Uint8Array(10), Uint8Array.of(...new Uint8Array(8), 2), new Uint8Array(8 * 50)])
      expect(() => addEncoded(exactSums(1), Int32Array.of(0), vector(bad), 1)).toThrow(/Cannot read an exact sum/)
  })
})

describe('an expansion', () => {
  test('keeps the exact value in every form it takes, and its normal form is one only', () => {
    const small = fc.array(
      nasty.filter((x) => Math.abs(x) < 2 ** 900),
      { maxLength: 30 },
    )
    fc.assert(
      fc.property(small, (values) => {
        const p = new Float64Array(128)
        let count = 0
        for (const x of values) count = grow(p, 0, count, x)
        const exact = values.reduce((sum, x) => sum + units(x), 0n)
        expect([...p.subarray(0, count)].reduce((sum, x) => sum + units(x), 0n)).toBe(exact)
        expect(rounded(p, 0, count)).toBe(toDouble(exact) + 0)
        count = normalise(p, 0, count)
        expect([...p.subarray(0, count)].reduce((sum, x) => sum + units(x), 0n)).toBe(exact)
        let rest = exact
        for (let i = count - 1; i >= 0; i--) {
          expect(p[i]).toBe(toDouble(rest))
          rest -= units(p[i])
        }
      }),
      { numRuns: 3000 },
    )
  })

  test('in big integers agrees with the platform', () => {
    fc.assert(
      fc.property(fc.array(nasty, { maxLength: 20 }), (values) => {
        const exact = values.reduce((sum, x) => sum + units(x), 0n)
        for (const x of values) expect(unitsOf(x)).toBe(units(x))
        expect(roundedUnits(exact)).toBe(toDouble(exact) + 0)
        const { normal, scaled } = componentsOf(exact)
        const sum = (list: number[]) => list.reduce((total, x) => total + units(x), 0n)
        expect(sum(normal) + (sum(scaled) << 128n)).toBe(exact)
        for (const x of normal) expect(Math.abs(x)).toBeLessThan(2 ** 900)
        for (const x of scaled) expect(Math.abs(x)).toBeGreaterThanOrEqual(2 ** 772)
      }),
      { numRuns: 3000 },
    )
  })
})
