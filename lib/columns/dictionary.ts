import { refused } from '../errors.ts'

/** Offsets are 32 bits wide: the bytes of one column stay below this. */
export const MAX_COLUMN_BYTES = 0x7fffffff

/** Longest walk through occupied slots before a key goes to the overflow map; only crafted keys get there. */
const MAX_PROBES = 48

/** What a dictionary holds, as a `BytesVector` wants it: own memory, cut to size. */
export interface DictionaryEntries {
  readonly entries: number
  readonly offsets: Int32Array
  readonly bytes: Uint8Array
}

/** Numbers byte strings 0, 1, 2 … in the order they first come. Equal bytes have one code, always. */
export interface BytesDictionary {
  /** How many different byte strings there are. */
  size(): number
  /** The code of `bytes[start .. end)`, added when new. */
  code(bytes: Uint8Array, start: number, end: number): number
  /** The same over a `DataView` (which `code` makes whenever it meets another array). */
  codeAt(view: DataView, start: number, end: number): number
  /** A copy of the entries: later additions do not reach it. */
  entries(): DictionaryEntries
  /** Forgets everything, keeps the memory. */
  clear(): void
}

/** A 32-bit hash of the bytes `start .. end - 1`: multiplicative, by words, the last one overlapping the one before. */
export function hashBytes(view: DataView, start: number, end: number): number {
  const length = end - start
  let hash = Math.imul(length + 1, 0x9e3779b1)
  if (length >= 4) {
    for (let i = start; i < end - 4; i += 4) {
      hash = Math.imul(hash ^ view.getInt32(i, true), 0x85ebca6b)
      hash ^= hash >>> 15
    }
    hash = Math.imul(hash ^ view.getInt32(end - 4, true), 0x85ebca6b)
  } else for (let i = start; i < end; i++) hash = Math.imul(hash ^ view.getUint8(i), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35)
  return hash ^ (hash >>> 13)
}

/** True when the bytes at `i` of `a` and at `j` of `b` are equal for `length` bytes. */
export function equalBytes(a: DataView, i: number, b: DataView, j: number, length: number): boolean {
  if (length >= 4) {
    const last = length - 4
    for (let k = 0; k < last; k += 4) if (a.getInt32(i + k, true) !== b.getInt32(j + k, true)) return false
    return a.getInt32(i + last, true) === b.getInt32(j + last, true)
  }
  for (let k = 0; k < length; k++) if (a.getUint8(i + k) !== b.getUint8(j + k)) return false
  return true
}

/**
 * An open-addressing hash table over a growing arena. Linear probing at a load of at most one half; a key that finds no
 * place within `MAX_PROBES` slots goes to a `Map`, whose hash is seeded, so that crafted keys cannot make it quadratic.
 */
export function bytesDictionary(): BytesDictionary {
  let slots = new Int32Array(256) // code + 1, 0 = free
  let hashes = new Int32Array(128)
  let offsets = new Int32Array(129)
  let arena = new Uint8Array(2048)
  let arenaView = viewOf(arena)
  let size = 0
  let overflow: Map<string, number> | undefined
  let lastBytes: Uint8Array = arena
  let lastView = arenaView

  /** Puts an entry known to be new where `codeAt` will look for it. */
  function place(code: number): void {
    const mask = slots.length - 1
    let slot = hashes[code] & mask
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      if (slots[slot] === 0) {
        slots[slot] = code + 1
        return
      }
      slot = (slot + 1) & mask
    }
    overflow ??= new Map()
    overflow.set(keyOf(arenaView, offsets[code], offsets[code + 1]), code)
  }

  function add(hash: number, view: DataView, start: number, end: number): number {
    const code = size
    const from = offsets[code]
    const length = end - start
    if (from + length > arena.length) {
      arena = grownBytes(arena, from, from + length)
      arenaView = viewOf(arena)
    }
    if (length < 24) for (let i = 0; i < length; i++) arena[from + i] = view.getUint8(start + i)
    else arena.set(new Uint8Array(view.buffer, view.byteOffset + start, length), from)
    if (code === hashes.length) {
      const moreHashes = new Int32Array(hashes.length * 2)
      moreHashes.set(hashes)
      hashes = moreHashes
      const moreOffsets = new Int32Array(hashes.length + 1)
      moreOffsets.set(offsets)
      offsets = moreOffsets
    }
    hashes[code] = hash
    offsets[code + 1] = from + length
    size++
    if (size * 2 > slots.length) {
      slots = new Int32Array(slots.length * 2)
      overflow = undefined
      for (let k = 0; k < size; k++) place(k)
    } else place(code)
    return code
  }

  function codeAt(view: DataView, start: number, end: number): number {
    const hash = hashBytes(view, start, end)
    const mask = slots.length - 1
    const length = end - start
    let slot = hash & mask
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const code = slots[slot] - 1
      if (code < 0) return add(hash, view, start, end)
      if (hashes[code] === hash) {
        const from = offsets[code]
        if (offsets[code + 1] - from === length && equalBytes(arenaView, from, view, start, length)) return code
      }
      slot = (slot + 1) & mask
    }
    return overflow?.get(keyOf(view, start, end)) ?? add(hash, view, start, end)
  }

  return {
    size: () => size,
    codeAt,
    code: (bytes, start, end) => {
      if (bytes !== lastBytes) {
        lastBytes = bytes
        lastView = viewOf(bytes)
      }
      return codeAt(lastView, start, end)
    },
    entries: () => ({ entries: size, offsets: offsets.slice(0, size + 1), bytes: arena.slice(0, offsets[size]) }),
    clear: () => {
      if (size > 0) slots.fill(0)
      size = 0
      overflow = undefined
    },
  }
}

/** The same memory as a `DataView`. */
export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Bytes as a string, one letter each. */
const keyOf = (view: DataView, start: number, end: number): string =>
  Buffer.from(view.buffer, view.byteOffset + start, end - start).toString('latin1')

/** A larger copy of an arena: at least `needed` bytes, at least twice as long, the first `used` bytes kept. */
export function grownBytes(arena: Uint8Array, used: number, needed: number): Uint8Array<ArrayBuffer> {
  if (needed > MAX_COLUMN_BYTES)
    throw refused(
      `Cannot hold a column's bytes: expected at most ${MAX_COLUMN_BYTES} in one batch, found ${needed}. Use smaller batches.`,
    )
  const larger = new Uint8Array(Math.min(MAX_COLUMN_BYTES, Math.max(needed, arena.length * 2)))
  larger.set(arena.subarray(0, used))
  return larger
}
