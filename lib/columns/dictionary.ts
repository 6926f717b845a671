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
  /** The same for a caller that has the bytes as a `DataView`, and their hash already. */
  codeOfHash(hash: number, view: DataView, start: number, end: number): number
  /** A copy of the entries: later additions do not reach it. */
  entries(): DictionaryEntries
  /** Forgets everything, keeps the memory. */
  clear(): void
}

/** Where a hash starts. Then come all words of four bytes, the rest of one to three as a word padded with zeros, the length. */
export const HASH_START = 0x2c1b3c6d

export const hashWord = (hash: number, word: number): number => {
  const product = Math.imul(hash ^ word, 0x85ebca6b)
  return product ^ (product >>> 15)
}

export const hashEnd = (hash: number, length: number): number => {
  const product = Math.imul(hash ^ length, 0xc2b2ae35)
  return product ^ (product >>> 16)
}

/** A 32-bit hash of the bytes `start .. end - 1`, by words. */
export function hashBytes(view: DataView, start: number, end: number): number {
  let hash = HASH_START
  let i = start
  for (; i + 4 <= end; i += 4) hash = hashWord(hash, view.getInt32(i, true))
  if (i < end) {
    let rest = 0
    for (let k = 0; i + k < end; k++) rest |= view.getUint8(i + k) << (8 * k)
    hash = hashWord(hash, rest)
  }
  return hashEnd(hash, end - start)
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

  /** Puts an entry known to be new where `codeOfHash` will look for it. */
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

  function codeOfHash(hash: number, view: DataView, start: number, end: number): number {
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
    codeOfHash,
    code: (bytes, start, end) => {
      if (bytes !== lastBytes) {
        lastBytes = bytes
        lastView = viewOf(bytes)
      }
      return codeOfHash(hashBytes(lastView, start, end), lastView, start, end)
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
  const larger = new Uint8Array(grownSize(arena.length, needed))
  larger.set(arena.subarray(0, used))
  return larger
}

/** How long an arena of `sizeBytes` becomes when it needs `needed`. Throws `Refused` above `MAX_COLUMN_BYTES`. */
export function grownSize(sizeBytes: number, needed: number): number {
  if (needed > MAX_COLUMN_BYTES)
    throw refused(
      `Cannot hold a column's bytes: expected at most ${MAX_COLUMN_BYTES} in one batch, found ${needed}. Use smaller batches.`,
    )
  return Math.min(MAX_COLUMN_BYTES, Math.max(needed, sizeBytes * 2))
}

/** Copies `from[start .. end)` to `to[at ..]` and returns where it ends. `set` costs more than a loop for short ranges. */
export function appendBytes(to: Uint8Array, at: number, from: Uint8Array, start: number, end: number): number {
  const length = end - start
  if (length < 24) for (let i = 0; i < length; i++) to[at + i] = from[start + i]
  else to.set(from.subarray(start, end), at)
  return at + length
}
