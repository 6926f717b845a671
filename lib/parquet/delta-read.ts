import { corrupt } from '../errors.ts'
import { bitsAt } from './hybrid-read.ts'

const WORD = 2 ** 32

/**
 * DELTA_BINARY_PACKED (Encodings.md): decodes `count` values from `bytes[at ..)` to `out` from value `from` on, each of `words`
 * 32-bit words; returns where the encoding ends. All sums wrap around, as the format wants. Throws `Corrupt`.
 */
export function decodeDelta(bytes: Uint8Array, at: number, words: 1 | 2, count: number, out: Int32Array, from: number): number {
  let p = at
  let low = 0
  let high = 0

  function varint(): void {
    low = 0
    high = 0
    for (let shift = 0; ; shift += 7) {
      if (p >= bytes.length || shift > 63) throw corrupt(`expected ${count} delta coded values, found them cut short`)
      const byte = bytes[p++]
      const part = byte & 0x7f
      if (shift < 32) low |= part << shift
      if (shift === 28) high = part >>> 4
      else if (shift > 28) high |= part << (shift - 32)
      if (byte < 0x80) return
    }
  }
  function zigzag(): void {
    varint()
    const sign = -(low & 1)
    low = ((low >>> 1) | (high << 31)) ^ sign
    high = (high >>> 1) ^ sign
  }
  function size(what: string): number {
    varint()
    if (high !== 0 || low < 0) throw corrupt(`expected ${what} of delta coding below 2^31, found a greater one`)
    return low
  }
  function put(i: number, valueLow: number, valueHigh: number): void {
    if (words === 1) out[i] = valueLow
    else {
      out[2 * i] = valueLow
      out[2 * i + 1] = valueHigh
    }
  }

  const blockValues = size('a block')
  const miniblocks = size('a number of miniblocks')
  const total = size('a number of values')
  const perMiniblock = blockValues / miniblocks
  // Miniblocks are multiples of 32 values; a multiple of 8 is all that is needed here.
  if (!Number.isInteger(perMiniblock) || perMiniblock === 0 || perMiniblock % 8 !== 0)
    throw corrupt(`expected delta miniblocks of a multiple of 32 values, found ${blockValues} values in ${miniblocks}`)
  if (total !== count) throw corrupt(`expected ${count} delta coded values, found ${total}`)
  zigzag()
  let valueLow = low
  let valueHigh = high
  let i = from
  const stop = from + count
  if (i < stop) put(i++, valueLow, valueHigh)
  while (i < stop) {
    zigzag()
    const minLow = low >>> 0
    const minHigh = high
    const widths = p
    p += miniblocks
    if (p > bytes.length) throw corrupt(`expected ${count} delta coded values, found ${i - from}`)
    for (let m = 0; m < miniblocks && i < stop; m++) {
      const width = bytes[widths + m]
      const taken = Math.min(perMiniblock, stop - i)
      if (width > words * 32 || p + Math.ceil((taken * width) / 8) > bytes.length)
        throw corrupt(`expected ${count} delta coded values, found ${i - from}`)
      const narrow = Math.min(width, 32)
      let q = p
      let bit = 0
      for (const end = i + taken; i < end; i++) {
        let deltaLow = 0
        let deltaHigh = 0
        if (width > 0) deltaLow = bitsAt(bytes, q, bit, narrow)
        if (width > 32) deltaHigh = bitsAt(bytes, q + 4, bit, width - 32)
        bit += width
        q += bit >>> 3
        bit &= 7
        const sum = (valueLow >>> 0) + minLow + (deltaLow >>> 0)
        valueLow = sum | 0
        valueHigh = (valueHigh + minHigh + deltaHigh + Math.floor(sum / WORD)) | 0
        put(i, valueLow, valueHigh)
      }
      p = Math.min(bytes.length, p + (perMiniblock * width) / 8)
    }
  }
  return p
}
