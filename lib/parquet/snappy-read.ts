import { corrupt } from '../errors.ts'

/**
 * Snappy's raw block format, the decompressing half (google/snappy, format_description.txt). Throws `Corrupt` when the input is
 * not in that format or not of `sizeBytes` when decompressed.
 */
export function snappyDecompress(input: Uint8Array, sizeBytes: number): Uint8Array {
  const damaged = () => corrupt(`expected ${sizeBytes} bytes in Snappy's format, found damage`)
  let at = 0
  let size = 0
  for (let shift = 0; ; shift += 7) {
    if (at >= input.length || shift > 28) throw damaged()
    const part = input[at++]
    size += (part & 0x7f) * 2 ** shift
    if (part < 0x80) break
  }
  if (size !== sizeBytes) throw damaged()
  const out = new Uint8Array(size)
  let end = 0
  while (at < input.length) {
    const tag = input[at++]
    const kind = tag & 3
    if (kind === 0) {
      let length = (tag >>> 2) + 1
      if (length > 60) {
        const width = length - 60
        if (at + width > input.length) throw damaged()
        length = 1
        for (let i = 0; i < width; i++) length += input[at++] * 2 ** (8 * i)
      }
      if (length > input.length - at || length > size - end) throw damaged()
      // `set` costs more than a loop for short ranges.
      if (length < 24) for (let i = 0; i < length; i++) out[end + i] = input[at + i]
      else out.set(input.subarray(at, at + length), end)
      at += length
      end += length
      continue
    }
    const width = kind === 3 ? 4 : kind
    if (at + width > input.length) throw damaged()
    const length = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1
    let offset = kind === 1 ? ((tag & 0xe0) << 3) | input[at] : input[at] | (input[at + 1] << 8)
    if (kind === 3) offset = (offset | (input[at + 2] << 16) | (input[at + 3] << 24)) >>> 0
    at += width
    if (offset === 0 || offset > end || length > size - end) throw damaged()
    // A copy may reach into what it writes: then it repeats.
    const from = end - offset
    if (length > 32 && offset >= length) out.copyWithin(end, from, from + length)
    else for (let i = 0; i < length; i++) out[end + i] = out[from + i]
    end += length
  }
  if (end !== size) throw damaged()
  return out
}
