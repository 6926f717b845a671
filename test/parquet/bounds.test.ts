import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareBytes, truncatedLower, truncatedUpper } from '../../lib/parquet/bounds.ts'

const utf8 = new TextEncoder()
const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
const upperText = (value: string, width: number) => text(truncatedUpper('string', utf8.encode(value), width))
const lowerText = (value: string, width: number) => text(truncatedLower('string', utf8.encode(value), width))
const compare = (a: Uint8Array, b: Uint8Array) => compareBytes(a, 0, a.length, b, 0, b.length)

describe('the bounds of long strings, by the examples of Iceberg', () => {
  test.each([
    ['Hello, world!', 5, 'Hello', 'Hellp'],
    ['Customer#000001500', 16, 'Customer#0000015', 'Customer#0000016'],
    ['イロハニホヘト', 4, 'イロハニ', 'イロハヌ'],
    ['Hi', 5, 'Hi', 'Hi'],
    ['', 16, '', ''],
    ['Hello 🌍!', 7, 'Hello 🌍', 'Hello 🌎'],
  ])('%s at width %i', (value, width, lower, upper) => {
    expect(lowerText(value, width)).toBe(lower)
    expect(upperText(value, width)).toBe(upper)
  })

  test('the greatest code point cannot grow, the one before it does', () => {
    expect(upperText('a\u{10ffff}b', 2)).toBe('b')
    expect(upperText('\u{10ffff}\u{10ffff}b', 2)).toBeUndefined()
  })

  test('growing jumps over the surrogates, which no UTF-8 can hold', () => {
    expect(upperText('a\ud7ffb', 2)).toBe('a\ue000')
  })

  test('a byte order mark is a code point like any other', () => {
    expect(lowerText('\ufeffab', 2)).toBe('\ufeffa')
    expect(upperText('\ufeffab', 2)).toBe('\ufeffb')
  })
})

describe('the bounds of long binary values', () => {
  test.each([
    [[1, 2, 3], 2, [1, 2], [1, 3]],
    [[1, 255, 3], 2, [1, 255], [2]],
    [[255, 255, 3], 2, [255, 255], undefined],
    [[255, 255], 2, [255, 255], [255, 255]],
  ])('%j at width %i', (value, width, lower, upper) => {
    expect([...truncatedLower('binary', Uint8Array.from(value), width)]).toEqual(lower)
    const found = truncatedUpper('binary', Uint8Array.from(value), width)
    expect(found && [...found]).toEqual(upper)
  })
})

test('truncated bounds enclose the value, stay within the width, and strings stay well-formed', () => {
  const string = fc.string({ unit: 'binary', maxLength: 8 }).filter((value) => value.isWellFormed())
  fc.assert(
    fc.property(string, fc.integer({ min: 1, max: 6 }), (value, width) => {
      const bytes = utf8.encode(value)
      const lower = truncatedLower('string', bytes, width)
      const upper = truncatedUpper('string', bytes, width)
      expect(compare(lower, bytes)).toBeLessThanOrEqual(0)
      expect(Array.from(text(lower) ?? '').length).toBeLessThanOrEqual(width)
      if (upper === undefined) return
      expect(compare(upper, bytes)).toBeGreaterThanOrEqual(0)
      expect(Array.from(text(upper) ?? '').length).toBeLessThanOrEqual(width)
    }),
    { numRuns: 500 },
  )
})
