/**
 * Parquet's RLE / bit-packing hybrid (Encodings.md, RLE = 3): dictionary codes and definition levels. Runs of one value
 * and bit-packed groups of eight take turns.
 */

/** Groups in one bit-packed run: the most that a one-byte header tells, so it can be filled in afterwards. */
const MAX_GROUPS = 63

/** Bits that hold codes below `entries`; 1 for a single entry, as Arrow writes it (width 0 trips some readers). */
export function bitWidthOf(entries: number): number {
  return entries <= 2 ? 1 : 32 - Math.clz32(entries - 1)
}

/** Bytes that `encodeHybrid` may need at most. */
export function hybridBound(count: number, bitWidth: number): number {
  return Math.ceil(count / 8) * (bitWidth + 1) + 16
}

/**
 * Writes `values[0 .. count)`, each below 2^bitWidth (1 to 24), to `out` from `at`; returns where it ends. `out` must
 * have `hybridBound` bytes left.
 */
export function encodeHybrid(
  values: Int32Array | Uint8Array,
  count: number,
  bitWidth: number,
  out: Uint8Array,
  at: number,
): number {
  const minRun = bitWidth < 3 ? 32 : 8
  let end = at
  let headerAt = -1
  let groups = 0
  let i = 0
  while (i < count) {
    const value = values[i]
    let next = i + 1
    while (next < count && values[next] === value) next++
    if (next - i >= minRun) {
      if (headerAt >= 0) out[headerAt] = (groups << 1) | 1
      headerAt = -1
      end = writeRun(next - i, value, bitWidth, out, end)
      i = next
      continue
    }
    if (headerAt < 0 || groups === MAX_GROUPS) {
      if (headerAt >= 0) out[headerAt] = (groups << 1) | 1
      headerAt = end++
      groups = 0
    }
    const groupEnd = end + bitWidth
    let packed = 0
    let bits = 0
    const stop = Math.min(i + 8, count)
    for (; i < stop; i++) {
      packed |= values[i] << bits
      bits += bitWidth
      while (bits >= 8) {
        out[end++] = packed
        packed >>>= 8
        bits -= 8
      }
    }
    // Only the last group of all may be short: zeros fill it.
    if (end < groupEnd) {
      out[end++] = packed
      while (end < groupEnd) out[end++] = 0
    }
    groups++
  }
  if (headerAt >= 0) out[headerAt] = (groups << 1) | 1
  return end
}

/** One run: its length, then the value in as many whole bytes as the width takes. */
function writeRun(length: number, value: number, bitWidth: number, out: Uint8Array, at: number): number {
  let end = at
  let header = length * 2
  while (header > 0x7f) {
    out[end++] = (header & 0x7f) | 0x80
    header >>>= 7
  }
  out[end++] = header
  for (let shift = 0; shift < bitWidth; shift += 8) out[end++] = value >>> shift
  return end
}
