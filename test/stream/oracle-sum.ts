/** Exact sums another way: integers in units of 2^-1074, and the platform's own rounding of BigInts. */
export function units(x: number): bigint {
  const whole = Math.trunc(x)
  const upper = (x - whole) * 2 ** 537
  const lower = (upper - Math.trunc(upper)) * 2 ** 537
  return (BigInt(whole) << 1074n) + (BigInt(Math.trunc(upper)) << 537n) + BigInt(lower)
}

/** To nearest, ties to even: `Number(bigint)` is specified so; beyond 2^1024 units the bits cut off leave a sticky one. */
export function toDouble(sum: bigint): number {
  const magnitude = sum < 0n ? -sum : sum
  const shift = magnitude >> 1000n === 0n ? 0n : BigInt(magnitude.toString(2).length - 1000)
  const sticky = (magnitude >> shift) << shift === magnitude ? 0n : 1n
  const top = Number((magnitude >> shift) | sticky)
  const e = Number(shift) - 1074
  const value = e > 0 ? top * 2 ** e : top * 2 ** Math.max(e, -1074)
  return sum < 0n ? -value : value
}

export const exactSum = (values: readonly number[]): number => toDouble(values.reduce((sum, x) => sum + units(x), 0n)) + 0
