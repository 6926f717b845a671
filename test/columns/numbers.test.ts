import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  compareLongs,
  copyLong,
  getLong,
  getQuotient,
  isSafeLong,
  setLong,
  setProduct,
  words,
} from '../../lib/columns/numbers.ts'

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(0n, -1n, 1n, 2n ** 32n, -(2n ** 32n), 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)),
)

test('safe integers go into 64-bit slots and come out the same', () => {
  const values = new BigInt64Array(3)
  const view = words(values)
  fc.assert(
    fc.property(fc.maxSafeInteger(), (n) => {
      setLong(view, 1, n)
      expect([...values]).toEqual([0n, BigInt(n), 0n])
      expect(getLong(view, 1)).toBe(n)
      expect(isSafeLong(view, 1)).toBe(true)
    }),
  )
})

test('a view of a part of a buffer addresses that part', () => {
  const all = new BigInt64Array(4)
  setLong(words(all.subarray(2, 3)), 0, -7)
  expect([...all]).toEqual([0n, 0n, -7n, 0n])
})

test('slots beyond 2^53 are read as the nearest double and known as unsafe', () => {
  fc.assert(
    fc.property(int64, (value) => {
      const view = words(BigInt64Array.of(value))
      expect(getLong(view, 0)).toBe(Number(value))
      expect(isSafeLong(view, 0)).toBe(value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= -BigInt(Number.MAX_SAFE_INTEGER))
    }),
  )
})

test('slots are compared and copied exactly', () => {
  fc.assert(
    fc.property(int64, int64, (a, b) => {
      const to = BigInt64Array.of(0n, 0n)
      copyLong(words(BigInt64Array.of(a)), 0, words(to), 1)
      expect([...to]).toEqual([0n, a])
      expect(Math.sign(compareLongs(words(to), 1, words(BigInt64Array.of(b)), 0))).toBe(a < b ? -1 : a > b ? 1 : 0)
    }),
  )
})

test('products and floored quotients are exact over the whole range of instants', () => {
  const values = new BigInt64Array(1)
  const view = words(values)
  const millis = fc.oneof(fc.integer({ min: -8.64e15, max: 8.64e15 }), fc.constantFrom(0, -1, 1, 8.64e15, -8.64e15))
  fc.assert(
    fc.property(millis, fc.integer({ min: 0, max: 999 }), (ms, micros) => {
      setProduct(view, 0, ms, 1000)
      expect(values[0]).toBe(BigInt(ms) * 1000n)
      values[0] += BigInt(micros)
      expect(getQuotient(view, 0, 1000)).toBe(ms)
      const seconds = Math.trunc(ms / 1000)
      setProduct(view, 0, seconds, 1_000_000)
      expect(values[0]).toBe(BigInt(seconds) * 1_000_000n)
    }),
  )
})
