import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesDictionary, HASH_START, hashBytes, viewOf } from '../../lib/columns/dictionary.ts'

/** What a dictionary says of its entries, as text. */
function texts(dictionary: ReturnType<typeof bytesDictionary>): string[] {
  const { entries, offsets, bytes } = dictionary.entries()
  return Array.from({ length: entries }, (_, k) => Buffer.from(bytes.subarray(offsets[k], offsets[k + 1])).toString('latin1'))
}

test('a dictionary numbers byte strings by first appearance, as a map would', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 12, max: 3 }), { maxLength: 600 }), (list) => {
      const dictionary = bytesDictionary()
      const map = new Map<string, number>()
      for (const bytes of list) {
        const text = Buffer.from(bytes).toString('latin1')
        if (!map.has(text)) map.set(text, map.size)
        const padded = Uint8Array.of(9, 9, 9, ...bytes, 9)
        expect(dictionary.code(padded, 3, 3 + bytes.length)).toBe(map.get(text))
      }
      expect(dictionary.size()).toBe(map.size)
      expect(texts(dictionary)).toEqual([...map.keys()])
    }),
  )
})

test('a dictionary of 100,000 different strings, some long, finds them all again', () => {
  const dictionary = bytesDictionary()
  const list = Array.from({ length: 100_000 }, (_, i) => Buffer.from(`${i}`.padStart(i % 1000 === 0 ? 5000 : 1, 'x')))
  for (const [i, bytes] of list.entries()) expect(dictionary.code(bytes, 0, bytes.length)).toBe(i)
  for (const [i, bytes] of list.entries()) expect(dictionary.code(bytes, 0, bytes.length)).toBe(i)
})

test('entries handed out are not touched by what comes later', () => {
  const dictionary = bytesDictionary()
  dictionary.code(Buffer.from('first'), 0, 5)
  const entries = dictionary.entries()
  dictionary.clear()
  expect(dictionary.size()).toBe(0)
  expect(dictionary.code(Buffer.from('other'), 0, 5)).toBe(0)
  expect(Buffer.from(entries.bytes).toString()).toBe('first')
  expect(texts(dictionary)).toEqual(['other'])
})

test('keys crafted to share one hash stay correct and do not take quadratic time', () => {
  // Each step is a bijection of its word, so a collision can be solved for: prefixes whose states differ are brought
  // together by the word that follows.
  const inverse = (() => {
    let x = 1
    for (let i = 0; i < 5; i++) x = Math.imul(x, 2 - Math.imul(x, 0x85ebca6b))
    return x
  })()
  const unshift = (h: number) => h ^ (h >>> 15) ^ (h >>> 30)
  expect(Math.imul(inverse, 0x85ebca6b)).toBe(1)
  const target = 12345
  const keys = Array.from({ length: 20_000 }, (_, i) => {
    const first = Math.imul(HASH_START ^ i, 0x85ebca6b)
    const state = first ^ (first >>> 15)
    const bytes = Buffer.alloc(8)
    bytes.writeInt32LE(i, 0)
    bytes.writeInt32LE(state ^ Math.imul(unshift(target), inverse), 4)
    return bytes
  })
  expect(new Set(keys.map((key) => hashBytes(viewOf(key), 0, 8))).size).toBe(1)
  const dictionary = bytesDictionary()
  for (const round of [1, 2])
    for (const [i, key] of keys.entries()) expect([round, dictionary.code(key, 0, 8)]).toEqual([round, i])
})
