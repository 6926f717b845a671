/**
 * The cold way for sums that touch 2^900 and above: exact integers in units of 2^-1074, the least double.
 */

const view = new DataView(new ArrayBuffer(8))
const FRACTION = (1n << 52n) - 1n

/** A finite double in units of 2^-1074. */
export function unitsOf(x: number): bigint {
  view.setFloat64(0, x)
  const bits = view.getBigUint64(0)
  const exponent = (bits >> 52n) & 0x7ffn
  const fraction = bits & FRACTION
  const magnitude = exponent === 0n ? fraction : (fraction | (1n << 52n)) << (exponent - 1n)
  return bits >> 63n === 0n ? magnitude : -magnitude
}

/** `units` to 53 significant bits, ties to even: `mantissa * 2^shift` units, as if exponents had no end. */
function leading(units: bigint): { mantissa: bigint; shift: number } {
  const magnitude = units < 0n ? -units : units
  const shift = Math.max(0, magnitude.toString(16).length * 4 - 53 - leadingZeros(magnitude))
  const whole = magnitude >> BigInt(shift)
  const rest = magnitude - (whole << BigInt(shift))
  const half = shift === 0 ? 1n : 1n << BigInt(shift - 1)
  const up = rest > half || (rest === half && (whole & 1n) === 1n)
  const mantissa = up ? whole + 1n : whole
  return { mantissa: units < 0n ? -mantissa : mantissa, shift }
}

/** Zero bits in the top hexadecimal digit. */
const leadingZeros = (magnitude: bigint) => Math.clz32(Number.parseInt(magnitude.toString(16)[0], 16)) - 28

/** `units` as a double, rounded once: infinite beyond the greatest double. */
export function roundedUnits(units: bigint): number {
  const { mantissa, shift } = leading(units)
  return units === 0n ? 0 : Number(mantissa) * 2 ** Math.min(shift - 1074, 971) * (shift - 1074 > 971 ? 2 ** 53 : 1)
}

/**
 * `units` as components, least first, each the rounded sum of itself and all below: first those below 2^900, then the
 * others times 2^-128.
 */
export function componentsOf(units: bigint): { normal: number[]; scaled: number[] } {
  const normal: number[] = []
  const scaled: number[] = []
  for (let rest = units; rest !== 0n; ) {
    const { mantissa, shift } = leading(rest)
    const component = Number(mantissa) * 2 ** (shift - 1074 - SCALE_BITS)
    if (Math.abs(component) >= HUGE * SCALE) scaled.unshift(component)
    else normal.unshift(Number(mantissa) * 2 ** (shift - 1074))
    rest -= mantissa << BigInt(shift)
  }
  return { normal, scaled }
}

/** Values from here on are added up times `SCALE`, so that no partial sum overflows. */
export const HUGE = 2 ** 900
export const SCALE_BITS = 128
export const SCALE = 2 ** -SCALE_BITS
