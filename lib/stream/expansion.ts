/**
 * Expansions: a real number as a sum of doubles whose bits do not overlap, least first, none of them zero (J. R. Shewchuk,
 * "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates", 1997). They lie in a slice of a
 * `Float64Array`, so that one array holds those of many groups. No operation here may overflow: keep magnitudes below 2^1000.
 */

/** What an expansion may hold after `normalise`: 2,098 bits lie between 2^1024 and 2^-1074, each component takes 53 at least. */
export const MAX_NORMAL_COMPONENTS = 40

/**
 * Adds `x` exactly to the `count` components at `p[base]` and returns their new number, at most `count + 1`
 * (Shewchuk's Grow-Expansion with zero elimination, Theorem 10; 6 flops a component).
 */
export function grow(p: Float64Array, base: number, count: number, x: number): number {
  let n = base
  for (let j = base; j < base + count; j++) {
    const y = p[j]
    const high = x + y
    const virtual = high - x
    const low = x - (high - virtual) + (y - virtual)
    if (low !== 0) p[n++] = low
    x = high
  }
  if (x !== 0) p[n++] = x
  return n - base
}

/**
 * The sum rounded once, to nearest, ties to even; 0, never -0, when there is nothing. The top components decide; the one
 * below them only breaks a tie (as Python's `math.fsum`).
 */
export function rounded(p: Float64Array, base: number, count: number): number {
  let n = base + count
  if (n === base) return 0
  let high = p[--n]
  let low = 0
  while (n > base && low === 0) {
    const x = high
    const y = p[--n]
    high = x + y
    low = y - (high - x)
  }
  return n > base ? away(high, low, p[n - 1]) : high
}

/** `high` is `high + low` rounded to even; when that was a tie and what lies below pulls to the other side, its neighbour. */
function away(high: number, low: number, below: number): number {
  if (low < 0 !== below < 0) return high
  const twice = low * 2
  const neighbour = high + twice
  return neighbour - high === twice ? neighbour : high
}

/**
 * Rewrites the components so that each is the sum of itself and all below, rounded: one number has one such form, however
 * it was added up. Returns their number, never more than before, at most `MAX_NORMAL_COMPONENTS`.
 */
export function normalise(p: Float64Array, base: number, count: number): number {
  if (count < 2) return count
  const result: number[] = []
  let n = base + count
  while (n > base) {
    let high = p[--n]
    let low = 0
    while (n > base && low === 0) {
      const x = high
      const y = p[--n]
      high = x + y
      low = y - (high - x)
    }
    if (low !== 0 && n > base) {
      const corrected = away(high, low, p[n - 1])
      if (corrected !== high) {
        high = corrected
        low = -low
      }
    }
    result.push(high)
    if (low !== 0) p[n++] = low
  }
  for (let i = 0; i < result.length; i++) p[base + i] = result[result.length - 1 - i]
  return result.length
}
