/**
 * Murmur3, 32 bits, x86 variant, seed 0, of `bytes[start .. end)`: the hash behind bucket partitions (Iceberg spec,
 * appendix B; Appleby, MurmurHash3). Signed, as the spec's test values are.
 */
export function murmur3(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const length = end - start
  const blocksEnd = start + (length & ~3)
  let hash = 0
  for (let i = start; i < blocksEnd; i += 4)
    hash = mixed(hash, bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24))
  let tail = 0
  for (let i = end - 1; i >= blocksEnd; i--) tail = (tail << 8) | bytes[i]
  if (length & 3) hash ^= scrambled(tail)
  return finished(hash, length)
}

/** The hash of a long's 8 bytes, given as its low and high words. Ints and timestamps are hashed as longs too. */
export function murmur3Long(low: number, high: number): number {
  return finished(mixed(mixed(0, low), high), 8)
}

function scrambled(block: number): number {
  const k = Math.imul(block, 0xcc9e2d51)
  return Math.imul((k << 15) | (k >>> 17), 0x1b873593)
}

function mixed(hash: number, block: number): number {
  const h = hash ^ scrambled(block)
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0
}

function finished(hash: number, length: number): number {
  let h = hash ^ length
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
