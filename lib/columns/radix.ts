/** Below this many rows, 256 buckets a pass; above, 2048, which still stay in a core's first cache. */
const MANY_ROWS = 4096

/**
 * Sorts row numbers by `key[row]`, stable: counting passes over its digits, from the least, for as many bits as the greatest key
 * has. `rows` and `spare` are as long as each other; the result lies in the one that is returned, the other holds no more than
 * leavings.
 */
export function radixSort(
  key: Uint32Array,
  rows: Int32Array<ArrayBuffer>,
  spare: Int32Array<ArrayBuffer>,
): Int32Array<ArrayBuffer> {
  let greatest = 0
  for (let i = 0; i < key.length; i++) if (key[i] > greatest) greatest = key[i]
  const bits = 32 - Math.clz32(greatest)
  const passes = Math.ceil(bits / (rows.length < MANY_ROWS ? 8 : 11))
  const digitBits = Math.ceil(bits / passes)
  let from = rows
  let to = spare
  for (let pass = 0; pass < passes; pass++) if (countingPass(key, pass * digitBits, digitBits, from, to)) [from, to] = [to, from]
  return from
}

/** One stable pass; false when all rows have the same digit, and `to` is left alone. */
function countingPass(key: Uint32Array, shift: number, digitBits: number, from: Int32Array, to: Int32Array): boolean {
  const mask = (1 << digitBits) - 1
  const starts = new Int32Array(mask + 1)
  for (let i = 0; i < from.length; i++) starts[(key[i] >>> shift) & mask]++
  if (starts[(key[0] >>> shift) & mask] === from.length) return false
  let start = 0
  for (let digit = 0; digit <= mask; digit++) {
    const count = starts[digit]
    starts[digit] = start
    start += count
  }
  for (let i = 0; i < from.length; i++) {
    const row = from[i]
    to[starts[(key[row] >>> shift) & mask]++] = row
  }
  return true
}
