import { corrupt } from '../errors.ts'

/**
 * The reading half of `hybrid.ts`: decodes `count` values of `bitWidth` (0 to 32) bits from `bytes[at .. end)` to `out` from
 * `from` on. Throws `Corrupt` when the bytes hold fewer.
 */
export function decodeHybrid(
  bytes: Uint8Array,
  at: number,
  end: number,
  bitWidth: number,
  out: Int32Array | Uint8Array,
  from: number,
  count: number,
): void {
  const valueBytes = (bitWidth + 7) >>> 3
  const stop = from + count
  let to = from
  let p = at
  while (to < stop) {
    let header = 0
    for (let shift = 0; ; shift += 7) {
      if (p >= end || shift > 28) throw short(count, to - from)
      const part = bytes[p++]
      header += (part & 0x7f) * 2 ** shift
      if (part < 0x80) break
    }
    const length = Math.floor(header / 2)
    if (header % 2 === 0) {
      if (p + valueBytes > end) throw short(count, to - from)
      let value = 0
      for (let i = 0; i < valueBytes; i++) value |= bytes[p + i] << (8 * i)
      p += valueBytes
      const runEnd = Math.min(stop, to + length)
      out.fill(value, to, runEnd)
      to = runEnd
    } else {
      const taken = Math.min(stop - to, length * 8)
      // The last run may hold more than is asked for, or end short of its padding.
      if (p + Math.ceil((taken * bitWidth) / 8) > end) throw short(count, to - from)
      if (bitWidth <= 24) unpackNarrow(bytes, p, bitWidth, out, to, to + taken)
      else unpackWide(bytes, p, bitWidth, out, to, to + taken)
      p += length * bitWidth
      to += taken
    }
  }
}

const short = (expected: number, found: number) => corrupt(`expected ${expected} run-length coded values, found ${found}`)

function unpackNarrow(
  bytes: Uint8Array,
  at: number,
  bitWidth: number,
  out: Int32Array | Uint8Array,
  from: number,
  to: number,
): void {
  const mask = (1 << bitWidth) - 1
  let p = at
  let packed = 0
  let bits = 0
  for (let i = from; i < to; i++) {
    while (bits < bitWidth) {
      packed |= bytes[p++] << bits
      bits += 8
    }
    out[i] = packed & mask
    packed >>>= bitWidth
    bits -= bitWidth
  }
}

function unpackWide(
  bytes: Uint8Array,
  at: number,
  bitWidth: number,
  out: Int32Array | Uint8Array,
  from: number,
  to: number,
): void {
  let p = at
  let bit = 0
  for (let i = from; i < to; i++) {
    out[i] = bitsAt(bytes, p, bit, bitWidth)
    bit += bitWidth
    p += bit >>> 3
    bit &= 7
  }
}

/** `width` (1 to 32) bits, least significant first, from bit `bit` (0 to 7) of `bytes[at]` on. Behind the end lie zeros. */
export function bitsAt(bytes: Uint8Array, at: number, bit: number, width: number): number {
  let value = (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> bit
  if (bit + width > 32) value |= bytes[at + 4] << (32 - bit)
  return width === 32 ? value | 0 : value & ((1 << width) - 1)
}
