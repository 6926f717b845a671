import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bitWidthOf, encodeHybrid, hybridBound } from '../../lib/parquet/hybrid.ts'

/** A plain reading of Encodings.md, one bit at a time. */
function decodeHybrid(bytes: Uint8Array, bitWidth: number, count: number): number[] {
  const values: number[] = []
  let at = 0
  const varint = () => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  while (values.length < count) {
    const header = varint()
    if ((header & 1) === 0) {
      let value = 0
      for (let shift = 0; shift < bitWidth; shift += 8) value |= bytes[at++]! << shift
      for (let k = 0; k < header >> 1; k++) values.push(value)
    } else {
      const groups = header >> 1
      for (let k = 0; k < groups * 8; k++) {
        let value = 0
        for (let bit = 0; bit < bitWidth; bit++) {
          const position = k * bitWidth + bit
          value |= ((bytes[at + (position >> 3)]! >> (position & 7)) & 1) << bit
        }
        values.push(value)
      }
      at += groups * bitWidth
    }
  }
  expect(at).toBe(bytes.length)
  expect(values.length - count).toBeLessThan(8)
  return values.slice(0, count)
}

function encode(values: readonly number[], bitWidth: number): Uint8Array {
  const out = new Uint8Array(hybridBound(values.length, bitWidth) + 3)
  const end = encodeHybrid(Int32Array.from(values), values.length, bitWidth, out, 3)
  expect(end - 3).toBeLessThanOrEqual(hybridBound(values.length, bitWidth))
  return out.slice(3, end)
}

describe('the hybrid of runs and bit-packed groups', () => {
  test('any mixture of runs and single values, in any width, is read back, within the bound', () => {
    const cases = fc.integer({ min: 1, max: 24 }).chain((bitWidth) =>
      fc.tuple(
        fc.constant(bitWidth),
        fc.array(
          fc.tuple(fc.integer({ min: 0, max: 2 ** bitWidth - 1 }), fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 70 }))),
          {
            maxLength: 60,
            size: 'max',
          },
        ),
      ),
    )
    fc.assert(
      fc.property(cases, ([bitWidth, runs]) => {
        const values = runs.flatMap(([value, length]) => Array.from({ length }, () => value))
        expect(decodeHybrid(encode(values, bitWidth), bitWidth, values.length)).toEqual(values)
      }),
      { numRuns: 400 },
    )
  })

  test('runs that end each group worst for the bound still fit it', () => {
    for (let bitWidth = 1; bitWidth <= 24; bitWidth++) {
      const run = bitWidth < 3 ? 32 : 8
      const values: number[] = []
      for (let k = 0; k < 100; k++) {
        for (let i = 0; i < run; i++) values.push(1)
        for (let i = 0; i < 8; i++) values.push(i & 1)
      }
      expect(decodeHybrid(encode(values, bitWidth), bitWidth, values.length)).toEqual(values)
    }
  })

  test('more than 63 groups need a second header', () => {
    const values = Array.from({ length: 64 * 8 + 5 }, (_, i) => i & 1)
    expect(decodeHybrid(encode(values, 1), 1, values.length)).toEqual(values)
  })

  test('a million equal values take a handful of bytes', () => {
    expect(
      encode(
        Array.from({ length: 1_000_000 }, () => 5),
        3,
      ).length,
    ).toBe(4)
  })

  test('the width of codes grows when the entries pass a power of two', () => {
    expect([1, 2, 3, 4, 5, 256, 257, 65536, 65537].map(bitWidthOf)).toEqual([1, 1, 2, 2, 3, 8, 9, 16, 17])
  })
})
