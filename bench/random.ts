/**
 * xoshiro128** seeded by splitmix32 (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021): the same
 * numbers from the same seed everywhere. Returns unsigned 32-bit integers.
 */
export function xoshiro128(seed: number): () => number {
  let mix = seed | 0
  const next = () => {
    mix = (mix + 0x9e3779b9) | 0
    let z = mix
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return z ^ (z >>> 16)
  }
  let a = next()
  let b = next()
  let c = next()
  let d = next()
  return () => {
    const x = Math.imul(b, 5)
    const result = Math.imul((x << 7) | (x >>> 25), 9)
    const t = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = (d << 11) | (d >>> 21)
    return result >>> 0
  }
}

/** The bound that `random() < threshold(share)` needs to be true in `share` (0 to 1) of the cases. */
export function threshold(share: number): number {
  return share * 2 ** 32
}
