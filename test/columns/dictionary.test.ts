import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesDictionary, HASH_START, hashBytes, hashWord, viewOf } from '../../lib/columns/dictionary.ts'

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

/** Solves for the word that takes the hash from one state to another: each step is a bijection of its word. */
function wordBetween(state: number, target: number): number {
  let inverse = 1
  for (let i = 0; i < 5; i++) inverse = Math.imul(inverse, 2 - Math.imul(inverse, 0x85ebca6b))
  return state ^ Math.imul(target ^ (target >>> 15) ^ (target >>> 30), inverse)
}

const littleEndian = (...words: number[]) => {
  const bytes = Buffer.alloc(words.length * 4)
  for (const [i, word] of words.entries()) bytes.writeInt32LE(word | 0, i * 4)
  return bytes
}

test('keys crafted to share one hash stay correct and do not take quadratic time', () => {
  const keys = Array.from({ length: 20_000 }, (_, i) => littleEndian(i, wordBetween(hashWord(HASH_START, i), 12345)))
  expect(new Set(keys.map((key) => hashBytes(viewOf(key), 0, 8))).size).toBe(1)
  const dictionary = bytesDictionary()
  for (const round of [1, 2])
    for (const [i, key] of keys.entries()) expect([round, dictionary.code(key, 0, 8)]).toEqual([round, i])
})

test('a key is not taken for a shorter one of the same hash that lies before its rest', () => {
  const word = 0x61626364
  const state = hashWord(HASH_START, word)
  const rest = wordBetween(state, state ^ 4 ^ 8)
  const short = littleEndian(word)
  const long = littleEndian(word, rest)
  expect(hashBytes(viewOf(long), 0, 8)).toBe(hashBytes(viewOf(short), 0, 4))
  const dictionary = bytesDictionary()
  expect([short, littleEndian(rest), long].map((key) => dictionary.code(key, 0, key.length))).toEqual([0, 1, 2])
})
