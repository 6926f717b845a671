import type { BytesVector } from '../columns/batch.ts'
import { type Bounds, compareBytes } from './bounds.ts'

/** In PLAIN encoding a value is its length in four bytes, little-endian, then itself. */
export const LENGTH_BYTES = 4

/** Byte strings one after another: entry k is `bytes[offsets[k] .. offsets[k + 1])`. */
export type BytesEntries = Pick<BytesVector, 'offsets' | 'bytes'>

/** The open page of strings or binary in PLAIN encoding, nulls left out. */
export interface PlainBytesPage {
  readonly sizeBytes: number
  /**
   * Takes rows `from` to `to` of `vector` (through `rows`, where given) while the page stays within its bound; returns
   * the first row not taken. An empty page takes one value of any size.
   */
  append(vector: BytesVector, rows: Int32Array | undefined, from: number, to: number): number
  /** Valid until the next append. */
  bytes(): Uint8Array
  bounds(): Bounds | undefined
  clear(): void
}

export function plainBytesPage(pageBytes: number): PlainBytesPage {
  let memory = new Uint8Array(4096)
  let size = 0

  function grow(needed: number): void {
    const larger = new Uint8Array(Math.max(needed, Math.min(memory.length * 2, pageBytes)))
    larger.set(memory.subarray(0, size))
    memory = larger
  }

  function append(vector: BytesVector, rows: Int32Array | undefined, from: number, to: number): number {
    const { codes, validity, offsets, bytes } = vector
    for (let i = from; i < to; i++) {
      const row = rows === undefined ? i : rows[i]
      if (validity !== undefined && validity[row] === 0) continue
      const entry = codes === undefined ? row : codes[row]
      const start = offsets[entry]
      const end = offsets[entry + 1]
      const after = size + LENGTH_BYTES + end - start
      if (after > pageBytes && size > 0) return i
      if (after > memory.length) grow(after)
      writeValue(memory, size, bytes, start, end)
      size = after
    }
    return to
  }

  return {
    get sizeBytes() {
      return size
    },
    append,
    bytes: () => memory.subarray(0, size),
    bounds: () => plainBounds(memory, size),
    clear: () => {
      size = 0
      // One huge value must not stay in memory for the rest of the file.
      if (memory.length > 2 * pageBytes) memory = new Uint8Array(4096)
    },
  }
}

/** The first `count` entries in PLAIN encoding. */
export function plainBytes(from: BytesEntries, count: number): Uint8Array {
  const { offsets, bytes } = from
  const plain = new Uint8Array(offsets[count] - offsets[0] + count * LENGTH_BYTES)
  let at = 0
  for (let entry = 0; entry < count; entry++) at = writeValue(plain, at, bytes, offsets[entry], offsets[entry + 1])
  return plain
}

/** Writes one value at `at`; returns where it ends. `set` costs more than a loop for short ranges. */
function writeValue(to: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): number {
  const length = end - start
  to[at] = length
  to[at + 1] = length >>> 8
  to[at + 2] = length >>> 16
  to[at + 3] = length >>> 24
  const first = at + LENGTH_BYTES
  if (length < 24) for (let i = 0; i < length; i++) to[first + i] = bytes[start + i]
  else to.set(bytes.subarray(start, end), first)
  return first + length
}

/** Bounds of the first `count` entries. */
export function entryBounds(from: BytesEntries, count: number): Bounds | undefined {
  if (count === 0) return undefined
  const { offsets, bytes } = from
  let min = 0
  let max = 0
  for (let k = 1; k < count; k++) {
    if (compareBytes(bytes, offsets[k], offsets[k + 1], bytes, offsets[min], offsets[min + 1]) < 0) min = k
    else if (compareBytes(bytes, offsets[k], offsets[k + 1], bytes, offsets[max], offsets[max + 1]) > 0) max = k
  }
  return { min: bytes.slice(offsets[min], offsets[min + 1]), max: bytes.slice(offsets[max], offsets[max + 1]) }
}

/** Bounds of the values of a page in PLAIN encoding. */
function plainBounds(page: Uint8Array, size: number): Bounds | undefined {
  if (size === 0) return undefined
  const lengthAt = (at: number) => page[at] | (page[at + 1] << 8) | (page[at + 2] << 16) | (page[at + 3] << 24)
  let minStart = LENGTH_BYTES
  let minEnd = LENGTH_BYTES + lengthAt(0)
  let maxStart = minStart
  let maxEnd = minEnd
  let at = minEnd
  while (at < size) {
    const start = at + LENGTH_BYTES
    const end = start + lengthAt(at)
    if (compareBytes(page, start, end, page, minStart, minEnd) < 0) {
      minStart = start
      minEnd = end
    } else if (compareBytes(page, start, end, page, maxStart, maxEnd) > 0) {
      maxStart = start
      maxEnd = end
    }
    at = end
  }
  return { min: page.slice(minStart, minEnd), max: page.slice(maxStart, maxEnd) }
}
