/**
 * 64-bit slots without BigInts. A `BigInt64Array` read element by element makes a heap object per value; the same memory
 * as 32-bit words (little-endian: word 2i is the low half, 2i + 1 the high one) does not.
 */

const WORD = 4294967296

/** The memory of `values` as 32-bit words, two per value: what `setLong`, `getLong` and `compareLongs` work on. */
export function words(values: BigInt64Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length * 2)
}

/** Writes the safe integer `n` (negative ones too) to slot `i`. */
export function setLong(longs: Int32Array, i: number, n: number): void {
  const high = Math.floor(n / WORD)
  longs[2 * i] = n - high * WORD
  longs[2 * i + 1] = high
}

/** Slot `i` as a number: exact when its magnitude is at most 2^53, else the nearest double. */
export function getLong(longs: Int32Array, i: number): number {
  return longs[2 * i + 1] * WORD + (longs[2 * i] >>> 0)
}

/** True when slot `i` holds an integer between -(2^53 - 1) and 2^53 - 1, which `getLong` then tells exactly. */
export function isSafeLong(longs: Int32Array, i: number): boolean {
  return Number.isSafeInteger(getLong(longs, i))
}

/** Copies slot `i` of `from` to slot `j` of `to`. */
export function copyLong(from: Int32Array, i: number, to: Int32Array, j: number): void {
  to[2 * j] = from[2 * i]
  to[2 * j + 1] = from[2 * i + 1]
}

/** Exact order of two slots: negative, 0 or positive. */
export function compareLongs(a: Int32Array, i: number, b: Int32Array, j: number): number {
  const high = a[2 * i + 1] - b[2 * j + 1]
  return high !== 0 ? high : (a[2 * i] >>> 0) - (b[2 * j] >>> 0)
}

/**
 * Writes `n` times `factor` to slot `i`, exactly, where the product may pass 2^53 but not 63 bits. `n` is a safe integer,
 * `factor` an integer from 1 to 2^20.
 */
export function setProduct(longs: Int32Array, i: number, n: number, factor: number): void {
  const high = Math.floor(n / WORD)
  const low = (n - high * WORD) * factor
  const carry = Math.floor(low / WORD)
  longs[2 * i] = low - carry * WORD
  longs[2 * i + 1] = high * factor + carry
}

/** Slot `i` divided by `divisor` (an integer from 1 to 2^20) and floored: microseconds to milliseconds, exactly. */
export function getQuotient(longs: Int32Array, i: number, divisor: number): number {
  const high = longs[2 * i + 1]
  const whole = Math.floor(high / divisor)
  return whole * WORD + Math.floor(((high - whole * divisor) * WORD + (longs[2 * i] >>> 0)) / divisor)
}
