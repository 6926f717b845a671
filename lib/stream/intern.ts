import type { Vector } from '../columns/batch.ts'
import { bytesDictionary } from '../columns/dictionary.ts'
import { words } from '../columns/numbers.ts'

/** Rows numbered by value: equal values have equal numbers, 0, 1, 2 … in the order they first come. */
export interface Interned {
  /** Number by row; -1 for a row that takes no part. */
  readonly of: Int32Array
  readonly count: number
  /** First row of each number. */
  readonly first: Int32Array
}

/** Longest walk through occupied slots before a pair goes to the overflow map; only crafted values get there. */
const MAX_PROBES = 48
/** Largest table that stands for all combinations of two numbers; a hash table beyond. */
const MAX_TABLE = 1 << 16

/** Numbers a column's values; nulls are one value of their own, -0 equals 0 (as SQL groups). O(rows). */
export function intern(vector: Vector, rows: number): Interned {
  const { validity } = vector
  switch (vector.type) {
    case 'string':
    case 'binary': {
      const { codes, offsets, bytes } = vector
      const of = new Int32Array(rows)
      const dictionary = bytesDictionary()
      if (codes === undefined) {
        for (let i = 0; i < rows; i++) of[i] = dictionary.code(bytes, offsets[i], offsets[i + 1])
      } else {
        // One look per entry, not per row: the common case is a handful of keys.
        const numbers = new Int32Array(vector.entries).fill(-1)
        for (let i = 0; i < rows; i++) {
          const code = codes[i]
          let number = numbers[code]
          if (number < 0) {
            number = dictionary.code(bytes, offsets[code], offsets[code + 1])
            numbers[code] = number
          }
          of[i] = number
        }
      }
      return withNulls({ of, count: dictionary.size(), first: firsts(of, dictionary.size(), rows) }, validity, rows)
    }
    case 'long':
    case 'timestamptz': {
      const longs = words(vector.values)
      return withNulls(internPairs(longs, longs, 2, 1, rows, false), validity, rows)
    }
    case 'double': {
      const values = new Float64Array(rows)
      for (let i = 0; i < rows; i++) values[i] = vector.values[i] + 0
      const halves = new Int32Array(values.buffer)
      return withNulls(internPairs(halves, halves, 2, 1, rows, false), validity, rows)
    }
    case 'int':
      return withNulls(internPairs(vector.values, vector.values, 1, 0, rows, false), validity, rows)
    case 'boolean': {
      const values = Int32Array.from(vector.values.subarray(0, rows))
      return withNulls(internPairs(values, values, 1, 0, rows, false), validity, rows)
    }
  }
}

/** Tells nulls from the values that fill their slots. */
function withNulls(interned: Interned, validity: Uint8Array | undefined, rows: number): Interned {
  if (validity === undefined) return interned
  const marks = new Int32Array(rows)
  for (let i = 0; i < rows; i++) marks[i] = validity[i] === 0 ? 1 : 0
  return combine(interned.of, interned.count, marks, 2, rows)
}

/** Numbers the pairs (a, b) of rows; a row where either is negative takes no part. */
export function combine(a: Int32Array, aCount: number, b: Int32Array, bCount: number, rows: number): Interned {
  if (aCount * bCount > Math.max(MAX_TABLE, 4 * rows)) return internPairs(a, b, 1, 0, rows, true)
  const table = new Int32Array(aCount * bCount).fill(-1)
  const of = new Int32Array(rows)
  let count = 0
  for (let i = 0; i < rows; i++) {
    if (a[i] < 0 || b[i] < 0) {
      of[i] = -1
      continue
    }
    const at = a[i] * bCount + b[i]
    let number = table[at]
    if (number < 0) {
      number = count++
      table[at] = number
    }
    of[i] = number
  }
  return { of, count, first: firsts(of, count, rows) }
}

/** First row of each number, where numbers were given in the order they first came. */
export function firsts(of: Int32Array, count: number, rows: number): Int32Array {
  const first = new Int32Array(count).fill(-1)
  for (let i = 0; i < rows; i++) if (of[i] >= 0 && first[of[i]] < 0) first[of[i]] = i
  return first
}

/**
 * Numbers pairs of 32-bit words: row i is (`low[i * stride]`, `high[i * stride + shift]`). With `skipNegative` a row with a
 * negative word takes no part. Open addressing, linear probing, load at most one half; keys are not stored, the first row
 * of a number holds them.
 */
function internPairs(
  low: Int32Array,
  high: Int32Array,
  stride: number,
  shift: number,
  rows: number,
  skipNegative: boolean,
): Interned {
  const of = new Int32Array(rows)
  let first = new Int32Array(64)
  let slots = new Int32Array(256)
  let count = 0
  let overflow: Map<string, number> | undefined

  function place(number: number): void {
    const row = first[number]
    let slot = mix(low[row * stride], high[row * stride + shift]) & (slots.length - 1)
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      if (slots[slot] === 0) {
        slots[slot] = number + 1
        return
      }
      slot = (slot + 1) & (slots.length - 1)
    }
    overflow ??= new Map()
    overflow.set(`${low[row * stride]},${high[row * stride + shift]}`, number)
  }

  function added(row: number): number {
    if (count === first.length) {
      const longer = new Int32Array(count * 2)
      longer.set(first)
      first = longer
    }
    const number = count++
    first[number] = row
    if (count * 2 > slots.length) {
      slots = new Int32Array(slots.length * 2)
      overflow = undefined
      for (let k = 0; k < count; k++) place(k)
    } else place(number)
    return number
  }

  for (let i = 0; i < rows; i++) {
    const a = low[i * stride]
    const b = high[i * stride + shift]
    if (skipNegative && (a < 0 || b < 0)) {
      of[i] = -1
      continue
    }
    const mask = slots.length - 1
    let slot = mix(a, b) & mask
    let number = -1
    let probe = 0
    for (; probe < MAX_PROBES; probe++) {
      const candidate = slots[slot] - 1
      if (candidate < 0) break
      const row = first[candidate]
      if (low[row * stride] === a && high[row * stride + shift] === b) {
        number = candidate
        break
      }
      slot = (slot + 1) & mask
    }
    if (number < 0 && probe === MAX_PROBES) number = overflow?.get(`${a},${b}`) ?? -1
    of[i] = number < 0 ? added(i) : number
  }
  return { of, count, first: first.slice(0, count) }
}

/** Spreads 64 bits over 32 (the finisher of MurmurHash3, by A. Appleby, over a multiply-and-xor of the halves). */
function mix(a: number, b: number): number {
  let h = Math.imul(a, 0x9e3779b1) ^ Math.imul(b ^ (b >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
