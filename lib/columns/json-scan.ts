/**
 * RFC 8259 over bytes (a `DataView`: some are read four at a time), without recursion and without objects: every function takes
 * a position and returns the position behind what it read, or a negative number that tells the first defect (`failureAt`,
 * `failureOf`). All of them stay within `end`. Time is linear in the bytes read, whatever the nesting.
 *
 * Stricter than the RFC's grammar in one place, as I-JSON (RFC 7493 section 2.1) is: a `\u` escape of half a surrogate
 * pair has no UTF-8 form and is a defect.
 */

export const QUOTE = 0x22
export const COMMA = 0x2c
export const MINUS = 0x2d
export const COLON = 0x3a
export const OPEN_BRACE = 0x7b
export const CLOSE_BRACE = 0x7d
const BACKSLASH = 0x5c
const BACKSLASH_U = 0x5c75
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d

/** What was expected where the text is not JSON; the position in this list is the failure's number. */
export const EXPECTATIONS = [
  'a value',
  'a key in quotes',
  'a colon after the key',
  'a comma or the end of the object',
  'a comma or the end of the array',
  'a digit',
  'the end of the string',
  'no control character in a string',
  'an escape that JSON knows',
  'both halves of a surrogate pair',
  'nothing but white space after the value',
  'valid UTF-8',
] as const
const VALUE = 0
const KEY = 1
const AFTER_KEY = 2
const IN_OBJECT = 3
const IN_ARRAY = 4
const DIGIT = 5
const STRING_END = 6
const CONTROL = 7
const ESCAPE = 8
const SURROGATE = 9
const TRAILING = 10
const UTF8 = 11
export const EXPECT = { VALUE, KEY, AFTER_KEY, IN_OBJECT, TRAILING, UTF8 } as const

const CODES = 16

/** A failure at a position: always negative. */
export const fail = (at: number, expectation: number): number => -(at * CODES + expectation) - 1
export const failureAt = (failure: number): number => Math.floor((-failure - 1) / CODES)
export const failureOf = (failure: number): number => (-failure - 1) % CODES

/** Memory that grows and is used again: the text of strings with escapes, the open containers of nested values. */
export interface Scratch {
  text: Uint8Array
  textLength: number
  /** 1 for an open object, 0 for an open array. */
  nesting: Uint8Array
}

export const newScratch = (): Scratch => ({ text: new Uint8Array(1024), textLength: 0, nesting: new Uint8Array(64) })

/** The first byte at or behind `p` that is not JSON white space. */
export function skipSpace(view: DataView, p: number, end: number): number {
  while (p < end) {
    const c = view.getUint8(p)
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) break
    p++
  }
  return p
}

/**
 * Length of the well-formed UTF-8 sequence at `p`, 0 when there is none (Unicode standard, table 3-7: no overlong
 * forms, no surrogates, nothing above U+10FFFF).
 */
export function utf8Length(view: DataView, p: number, end: number): number {
  const c = view.getUint8(p)
  if (c < 0x80) return 1
  if (c < 0xc2 || c > 0xf4) return 0
  const length = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4
  if (p + length > end) return 0
  const second = view.getUint8(p + 1)
  const least = c === 0xe0 ? 0xa0 : c === 0xf0 ? 0x90 : 0x80
  const most = c === 0xed ? 0x9f : c === 0xf4 ? 0x8f : 0xbf
  if (second < least || second > most) return 0
  for (let i = 2; i < length; i++) if ((view.getUint8(p + i) & 0xc0) !== 0x80) return 0
  return length
}

/**
 * High bits of the bytes of `word` that are no plain string bytes: quotes, backslashes, control characters and what is
 * not ASCII. Only the lowest bit set is to be trusted (Mycroft's test for a zero byte: a borrow may set others above it).
 */
export function specialBytes(word: number): number {
  const quote = word ^ 0x22222222
  const backslash = word ^ 0x5c5c5c5c
  return (
    (((quote - 0x01010101) & ~quote) | ((backslash - 0x01010101) & ~backslash) | ((word - 0x20202020) & ~word) | word) & HIGH_BITS
  )
}
const HIGH_BITS = 0x80808080 | 0

/** How many bytes of a word lie below the first that `specialBytes` found. */
export const bytesBelow = (special: number): number => (31 - Math.clz32(special & -special)) >> 3

/** Where a run of plain string bytes ends: the first other byte, or `end`. */
export function plainEnd(view: DataView, p: number, end: number): number {
  for (; p + 4 <= end; p += 4) {
    const special = specialBytes(view.getInt32(p, true))
    if (special !== 0) return p + bytesBelow(special)
  }
  for (; p < end; p++) {
    const c = view.getUint8(p)
    if (c === QUOTE || c === BACKSLASH || c < 0x20 || c >= 0x80) break
  }
  return p
}

/** Four hexadecimal digits as a number, or -1. */
function hex4(view: DataView, p: number, end: number): number {
  if (p + 4 > end) return -1
  let code = 0
  for (let i = 0; i < 4; i++) {
    const c = view.getUint8(p + i)
    const lower = c | 0x20
    if (c >= 0x30 && c <= 0x39) code = code * 16 + c - 0x30
    else if (lower >= 0x61 && lower <= 0x66) code = code * 16 + lower - 0x57
    else return -1
  }
  return code
}

/** The byte that `\x` stands for, by x; 0 when JSON has no such escape. */
const ESCAPES = new Uint8Array(256)
for (const [name, byte] of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t'])
  ESCAPES[name.charCodeAt(0)] = byte.charCodeAt(0)

/**
 * Reads the string whose opening quote is at `p` into `scratch.text[0 .. textLength)`, unescaped: also the way to
 * check one. The text is never longer than its escaped form.
 */
export function scanString(view: DataView, p: number, end: number, scratch: Scratch): number {
  if (scratch.text.length < end - p) scratch.text = new Uint8Array(Math.max(end - p, scratch.text.length * 2))
  const { text } = scratch
  let length = 0
  p++
  while (p < end) {
    const c = view.getUint8(p)
    if (c === QUOTE) {
      scratch.textLength = length
      return p + 1
    }
    if (c === BACKSLASH) {
      const name = p + 1 < end ? view.getUint8(p + 1) : 0
      const byte = ESCAPES[name]
      if (byte !== 0) {
        text[length++] = byte
        p += 2
        continue
      }
      let code = name === 0x75 ? hex4(view, p + 2, end) : -1
      if (code < 0) return fail(p, ESCAPE)
      if (code >= 0xd800 && code < 0xe000) {
        const isPair = code < 0xdc00 && p + 12 <= end && view.getUint16(p + 6) === BACKSLASH_U
        const low = isPair ? hex4(view, p + 8, end) : -1
        if (low < 0xdc00 || low > 0xdfff) return fail(p, SURROGATE)
        code = 0x10000 + (code - 0xd800) * 0x400 + (low - 0xdc00)
        p += 6
      }
      length = putCodePoint(text, length, code)
      p += 6
    } else if (c < 0x80) {
      if (c < 0x20) return fail(p, CONTROL)
      text[length++] = c
      p++
    } else {
      const sequence = utf8Length(view, p, end)
      if (sequence === 0) return fail(p, UTF8)
      for (let i = 0; i < sequence; i++) text[length++] = view.getUint8(p++)
    }
  }
  return fail(end, STRING_END)
}

/** Writes a code point's UTF-8 to `text[at ..]` and returns where it ends. */
function putCodePoint(text: Uint8Array, at: number, code: number): number {
  if (code < 0x80) text[at++] = code
  else {
    if (code < 0x800) text[at++] = 0xc0 | (code >> 6)
    else {
      if (code < 0x10000) text[at++] = 0xe0 | (code >> 12)
      else {
        text[at++] = 0xf0 | (code >> 18)
        text[at++] = 0x80 | ((code >> 12) & 0x3f)
      }
      text[at++] = 0x80 | ((code >> 6) & 0x3f)
    }
    text[at++] = 0x80 | (code & 0x3f)
  }
  return at
}

/** A string whose text nobody wants. */
function skipString(view: DataView, p: number, end: number, scratch: Scratch): number {
  const stop = plainEnd(view, p + 1, end)
  return stop < end && view.getUint8(stop) === QUOTE ? stop + 1 : scanString(view, p, end, scratch)
}

function skipDigits(view: DataView, p: number, end: number): number {
  const first = p
  while (p < end && view.getUint8(p) >= 0x30 && view.getUint8(p) <= 0x39) p++
  return p > first ? p : fail(p, DIGIT)
}

/** RFC 8259 section 6: minus, int, frac, exp; no leading zeros. */
function skipNumber(view: DataView, p: number, end: number): number {
  if (view.getUint8(p) === MINUS) p++
  if (p < end && view.getUint8(p) === 0x30) p++
  else {
    p = skipDigits(view, p, end)
    if (p < 0) return p
  }
  if (p < end && view.getUint8(p) === 0x2e) {
    p = skipDigits(view, p + 1, end)
    if (p < 0) return p
  }
  if (p < end && (view.getUint8(p) | 0x20) === 0x65) {
    p++
    if (p < end && (view.getUint8(p) === 0x2b || view.getUint8(p) === MINUS)) p++
    p = skipDigits(view, p, end)
  }
  return p
}

const LITERALS = ['true', 'false', 'null'].map((word) => Uint8Array.from(word, (letter) => letter.charCodeAt(0)))

function skipLiteral(view: DataView, p: number, end: number): number {
  for (const literal of LITERALS) {
    let i = 0
    while (i < literal.length && p + i < end && view.getUint8(p + i) === literal[i]) i++
    if (i === literal.length) return p + i
  }
  return fail(p, VALUE)
}

/** A key and its colon, white space around both allowed. */
function skipKey(view: DataView, p: number, end: number, scratch: Scratch): number {
  p = skipSpace(view, p, end)
  if (p >= end || view.getUint8(p) !== QUOTE) return fail(p, KEY)
  p = skipString(view, p, end, scratch)
  if (p < 0) return p
  p = skipSpace(view, p, end)
  return p < end && view.getUint8(p) === COLON ? p + 1 : fail(p, AFTER_KEY)
}

/** Checks the value at `p` (white space before it allowed) and returns the position behind it. */
export function skipValue(view: DataView, p: number, end: number, scratch: Scratch): number {
  let depth = 0
  for (;;) {
    p = skipSpace(view, p, end)
    if (p >= end) return fail(p, VALUE)
    const c = view.getUint8(p)
    if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      const inner = skipSpace(view, p + 1, end)
      if (inner < end && view.getUint8(inner) === c + 2) p = inner + 1
      else {
        if (depth === scratch.nesting.length) {
          const deeper = new Uint8Array(depth * 2)
          deeper.set(scratch.nesting)
          scratch.nesting = deeper
        }
        scratch.nesting[depth++] = c === OPEN_BRACE ? 1 : 0
        p = c === OPEN_BRACE ? skipKey(view, inner, end, scratch) : inner
        if (p < 0) return p
        continue
      }
    } else {
      if (c === QUOTE) p = skipString(view, p, end, scratch)
      else if (c === MINUS || (c >= 0x30 && c <= 0x39)) p = skipNumber(view, p, end)
      else p = skipLiteral(view, p, end)
      if (p < 0) return p
    }
    for (;;) {
      if (depth === 0) return p
      p = skipSpace(view, p, end)
      const inObject = scratch.nesting[depth - 1] === 1
      const separator = p < end ? view.getUint8(p) : 0
      if (separator === COMMA) {
        p = inObject ? skipKey(view, p + 1, end, scratch) : p + 1
        if (p < 0) return p
        break
      }
      if (separator !== (inObject ? CLOSE_BRACE : CLOSE_BRACKET)) return fail(p, inObject ? IN_OBJECT : IN_ARRAY)
      p++
      depth--
    }
  }
}
