/**
 * Exact sums of doubles by big integers: every double is a whole multiple of 2^-1074 (IEEE 754-2019, 3.3). Slow and plain;
 * nothing of it is shared with the library.
 */
const view = new DataView(new ArrayBuffer(8))

function scaled(x: number): bigint {
  view.setFloat64(0, x)
  const bits = view.getBigUint64(0)
  const exponent = (bits >> 52n) & 0x7ffn
  const fraction = bits & 0xf_ffff_ffff_ffffn
  const magnitude = exponent === 0n ? fraction : (fraction | 0x10_0000_0000_0000n) << (exponent - 1n)
  return bits >> 63n === 1n ? -magnitude : magnitude
}

/** The exact sum, rounded once to nearest, ties to even; an exact zero is +0. */
export function exactSum(values: readonly number[]): number {
  let sum = 0n
  for (const value of values) sum += scaled(value)
  const negative = sum < 0n
  let magnitude = negative ? -sum : sum
  const length = magnitude === 0n ? 0 : magnitude.toString(2).length
  let shift = 0
  if (length > 53) {
    shift = length - 53
    const low = magnitude & ((1n << BigInt(shift)) - 1n)
    const half = 1n << BigInt(shift - 1)
    magnitude >>= BigInt(shift)
    if (low > half || (low === half && (magnitude & 1n) === 1n)) magnitude += 1n
  }
  const result = length <= 53 ? Number(magnitude) * 2 ** -1074 : Number(magnitude) * 2 ** (shift - 1074)
  return negative ? -result : result
}
