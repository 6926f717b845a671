import { setLong } from './numbers.ts'

/**
 * JSON numbers straight into typed arrays. These run on the fast path of the decoder, which promises that a byte which
 * is no part of any number (the object's closing brace) follows somewhere: they need no end. Where they refuse, they
 * return one of the numbers below and the caller scans the value again for its end and for defects of grammar.
 */

/** Not a JSON number. */
export const NOT_A_NUMBER = -1
/** A JSON number too great for the column's type. */
export const OUT_OF_RANGE = -2
/** A JSON number with a fraction or an exponent where only an integer will do. */
export const NOT_AN_INTEGER = -3

const ZERO = 0x30
const MINUS = 0x2d
const PLUS = 0x2b
const POINT = 0x2e
const SMALL_E = 0x65
const CAPITAL_E = 0x45

/** 10^0 … 10^22: the powers of ten that a double holds exactly. */
const POWERS = Float64Array.from({ length: 23 }, (_, k) => Number(`1e${k}`))
const EXACT = 2 ** 53

/**
 * True when the four bytes of `word` are all digits: high nibbles 3, and still so when 6 is added to each.
 * (Lemire, Quickly parsing eight digits, 2018; here with 32 bits.)
 */
const isFourDigits = (word: number): boolean =>
  (word & HIGH_NIBBLES) === 0x30303030 && ((word + 0x06060606) & HIGH_NIBBLES) === 0x30303030
const HIGH_NIBBLES = 0xf0f0f0f0 | 0

/** The number that four digits spell, the first one in the lowest byte. */
function fourDigits(word: number): number {
  const digits = word & 0x0f0f0f0f
  const pairs = (digits * 10 + (digits >> 8)) & 0x00ff00ff
  return (pairs & 0xff) * 100 + (pairs >> 16)
}

/**
 * The number at `p`, correctly rounded, into `to[row]`. Clinger's fast path (How to Read Floating Point Numbers
 * Accurately, 1990): a mantissa below 2^53 and a power of ten up to 22 are both exact, so one division or
 * multiplication rounds once. All else goes through `Number(text)`.
 */
export function scanDouble(view: DataView, p: number, end: number, to: Float64Array, row: number): number {
  const start = p
  let c = view.getUint8(p)
  const negative = c === MINUS
  if (negative) c = view.getUint8(++p)
  let digit = c - ZERO
  if (digit < 0 || digit > 9) return NOT_A_NUMBER
  // Once it has passed 2^53 a sum may be inexact, but it stays there.
  let mantissa = digit
  p++
  if (digit !== 0) {
    for (; p + 4 <= end; p += 4) {
      const word = view.getInt32(p, true)
      if (!isFourDigits(word)) break
      mantissa = mantissa * 10_000 + fourDigits(word)
    }
    while ((digit = view.getUint8(p) - ZERO) >= 0 && digit <= 9) {
      mantissa = mantissa * 10 + digit
      p++
    }
  }
  let exponent = 0
  if (view.getUint8(p) === POINT) {
    const first = ++p
    for (; p + 4 <= end; p += 4) {
      const word = view.getInt32(p, true)
      if (!isFourDigits(word)) break
      mantissa = mantissa * 10_000 + fourDigits(word)
    }
    while ((digit = view.getUint8(p) - ZERO) >= 0 && digit <= 9) {
      mantissa = mantissa * 10 + digit
      p++
    }
    if (p === first) return NOT_A_NUMBER
    exponent = first - p
  }
  c = view.getUint8(p)
  if (c === SMALL_E || c === CAPITAL_E) {
    c = view.getUint8(++p)
    const down = c === MINUS
    if (down || c === PLUS) p++
    const first = p
    let shift = 0
    while ((digit = view.getUint8(p) - ZERO) >= 0 && digit <= 9) {
      if (shift < 100_000) shift = shift * 10 + digit
      p++
    }
    if (p === first) return NOT_A_NUMBER
    exponent += down ? -shift : shift
  }
  let value: number
  if (mantissa < EXACT && exponent >= -22 && exponent <= 22) {
    value = exponent < 0 ? mantissa / POWERS[-exponent] : mantissa * POWERS[exponent]
    if (negative) value = -value
  } else {
    value = Number(textOf(view, start, p))
    if (!Number.isFinite(value)) return OUT_OF_RANGE
  }
  to[row] = value
  return p
}

/** The integer at `p`, exactly, into slot `row` of 64-bit `longs` (`words` of `numbers.ts`). */
export function scanLong(view: DataView, p: number, end: number, longs: Int32Array, row: number): number {
  const start = p
  let c = view.getUint8(p)
  const negative = c === MINUS
  if (negative) c = view.getUint8(++p)
  let digit = c - ZERO
  if (digit < 0 || digit > 9) return NOT_A_NUMBER
  const first = p
  let value = digit
  p++
  if (digit !== 0) {
    for (; p + 4 <= end; p += 4) {
      const word = view.getInt32(p, true)
      if (!isFourDigits(word)) break
      value = value * 10_000 + fourDigits(word)
    }
    while ((digit = view.getUint8(p) - ZERO) >= 0 && digit <= 9) {
      value = value * 10 + digit
      p++
    }
  }
  c = view.getUint8(p)
  if (c === POINT || c === SMALL_E || c === CAPITAL_E) return NOT_AN_INTEGER
  if (value < EXACT) {
    setLong(longs, row, negative ? -value : value)
    return p
  }
  if (p - first > 19) return OUT_OF_RANGE
  const exact = BigInt(textOf(view, start, p))
  if (BigInt.asIntN(64, exact) !== exact) return OUT_OF_RANGE
  longs[2 * row] = Number(BigInt.asIntN(32, exact))
  longs[2 * row + 1] = Number(exact >> 32n)
  return p
}

/** The integer at `p` into `to[row]`. */
export function scanInt(view: DataView, p: number, to: Int32Array, row: number): number {
  let c = view.getUint8(p)
  const negative = c === MINUS
  if (negative) c = view.getUint8(++p)
  let digit = c - ZERO
  if (digit < 0 || digit > 9) return NOT_A_NUMBER
  let value = digit
  c = view.getUint8(++p)
  if (digit !== 0)
    while ((digit = c - ZERO) >= 0 && digit <= 9) {
      value = value * 10 + digit
      c = view.getUint8(++p)
    }
  if (c === POINT || c === SMALL_E || c === CAPITAL_E) return NOT_AN_INTEGER
  if (negative) value = -value
  if (value !== (value | 0)) return OUT_OF_RANGE
  to[row] = value
  return p
}

/** Bytes known to be ASCII as text. */
export function textOf(view: DataView, start: number, end: number): string {
  return Buffer.from(view.buffer, view.byteOffset + start, end - start).toString('latin1')
}
