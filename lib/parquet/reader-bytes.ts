import type { BytesVector } from '../columns/batch.ts'
import { appendBytes, grownBytes } from '../columns/dictionary.ts'
import { corrupt } from '../errors.ts'
import { decodeDelta } from './delta-read.ts'
import { PLAIN, RLE_DICTIONARY } from './pages.ts'
import type { BytesEntries } from './plain-bytes.ts'
import { decodeCodes, PLAIN_DICTIONARY, spreadCodes, unknownEncoding } from './reader-fixed.ts'
import { type ChunkPages, validityOf } from './reader-pages.ts'

const DELTA_LENGTH_BYTE_ARRAY = 6
const DELTA_BYTE_ARRAY = 7

/** Byte strings one behind the other, as they are decoded. */
interface Arena {
  readonly offsets: Int32Array<ArrayBuffer>
  bytes: Uint8Array
  sizeBytes: number
}

const newArena = (entries: number): Arena => ({ offsets: new Int32Array(entries + 1), bytes: new Uint8Array(0), sizeBytes: 0 })

/**
 * A column chunk of strings or binary. It stays dictionary coded while all its pages are; a chunk that falls back to another
 * encoding on the way becomes plain from its first row on.
 */
export function readBytes(chunk: ChunkPages, rows: number, type: 'string' | 'binary'): BytesVector {
  const validity = validityOf(rows)
  const dictionary = dictionaryOf(chunk.dictionary)
  let codes: Int32Array<ArrayBuffer> | undefined = new Int32Array(rows)
  let arena = newArena(0)
  let scratch = new Int32Array(0)
  let row = 0

  /** Spells the coded rows out that have come so far; nulls have the code of the empty string. */
  function fallBack(coded: Int32Array): void {
    arena = newArena(rows)
    codes = undefined
    expand(arena, dictionary, coded, row, 0)
  }

  for (const page of chunk.pages) {
    const { levels, values } = page.open()
    const count = validity.append(levels, row, page.rows)
    const isCoded = page.encoding === PLAIN_DICTIONARY || page.encoding === RLE_DICTIONARY
    // A page of nulls alone tells nothing, whatever its encoding.
    if (codes !== undefined && !isCoded && count > 0) fallBack(codes)
    if (codes !== undefined) {
      if (count > 0) decodeCodes(values, count, dictionary.entries, codes, row)
      if (count < page.rows) spreadCodes(codes, validity.bytes(), row, page.rows, count, dictionary.empty)
    } else {
      if (isCoded && count > 0) {
        if (scratch.length < count) scratch = new Int32Array(count)
        decodeCodes(values, count, dictionary.entries, scratch, 0)
        expand(arena, dictionary, scratch, count, row)
      } else if (count > 0) decodeValues(page.encoding, values, count, arena, row)
      if (count < page.rows) spreadOffsets(arena.offsets, validity.bytes(), row, page.rows, count)
    }
    row += page.rows
  }
  const shared = { type, validity: validity.bytes() }
  if (codes === undefined)
    return { ...shared, codes, entries: rows, offsets: arena.offsets, bytes: arena.bytes.subarray(0, arena.sizeBytes) }
  // The entry that nulls have is there only where there are nulls.
  const entries = shared.validity === undefined ? dictionary.entries : Math.max(dictionary.entries, dictionary.empty + 1)
  return { ...shared, codes, entries, offsets: dictionary.offsets, bytes: dictionary.bytes }
}

interface Dictionary extends BytesEntries {
  readonly entries: number
  /** The entry of the empty string: one of the entries, or the one behind the last. */
  readonly empty: number
}

function dictionaryOf(page: ChunkPages['dictionary']): Dictionary {
  const entries = page?.entries ?? 0
  if (page !== undefined && entries * 4 > page.plain.length)
    throw corrupt(`expected a dictionary of ${entries} values, found ${page.plain.length} bytes`)
  const arena = newArena(entries + 1)
  if (page !== undefined) decodeValues(PLAIN, page.plain, entries, arena, 0)
  const { offsets, bytes } = arena
  offsets[entries + 1] = offsets[entries]
  let empty = 0
  while (empty < entries && offsets[empty] !== offsets[empty + 1]) empty++
  return { entries, offsets, bytes, empty }
}

/** Makes room for `moreBytes`. Throws `Refused` when one column's bytes grow beyond 2 GB. */
function reserve(arena: Arena, moreBytes: number): void {
  const needed = arena.sizeBytes + moreBytes
  if (needed > arena.bytes.length) arena.bytes = grownBytes(arena.bytes, arena.sizeBytes, needed)
}

/** Copies a value to the arena's end. */
function push(arena: Arena, from: Uint8Array, start: number, end: number): void {
  arena.sizeBytes = appendBytes(arena.bytes, arena.sizeBytes, from, start, end)
}

/** Decodes `count` values as the entries from `from` on. */
function decodeValues(encoding: number, values: Uint8Array, count: number, arena: Arena, from: number): void {
  arena.offsets[from] = arena.sizeBytes
  switch (encoding) {
    case PLAIN:
      decodePlain(values, count, arena, from)
      return
    case DELTA_LENGTH_BYTE_ARRAY:
      decodeLengths(values, 0, count, arena, from)
      return
    case DELTA_BYTE_ARRAY:
      decodePrefixes(values, count, arena, from)
      return
    default:
      throw unknownEncoding(encoding)
  }
}

function decodePlain(values: Uint8Array, count: number, arena: Arena, from: number): void {
  const size = values.length
  if (size < count * 4) throw corrupt(`expected ${count} values, found ${size} bytes`)
  reserve(arena, size - count * 4)
  const { offsets, bytes } = arena
  let at = 0
  let to = arena.sizeBytes
  for (let i = 1; i <= count; i++) {
    const length = values[at] | (values[at + 1] << 8) | (values[at + 2] << 16) | (values[at + 3] << 24)
    at += 4
    // What the values before it took was within the page, so this one has room if it is.
    if (at > size || length < 0 || length > size - at)
      throw corrupt(`expected a value of ${length >>> 0} bytes, found ${size - at}`)
    to = appendBytes(bytes, to, values, at, at + length)
    at += length
    offsets[from + i] = to
  }
  arena.sizeBytes = to
}

/** DELTA_LENGTH_BYTE_ARRAY: all lengths, delta coded, then all bytes. */
function decodeLengths(values: Uint8Array, at: number, count: number, arena: Arena, from: number): void {
  const lengths = new Int32Array(count)
  const start = decodeDelta(values, at, 1, count, lengths, 0)
  const sizeBytes = sumOf(lengths, values.length - start)
  reserve(arena, sizeBytes)
  arena.bytes.set(values.subarray(start, start + sizeBytes), arena.sizeBytes)
  for (let i = 0; i < count; i++) {
    arena.sizeBytes += lengths[i]
    arena.offsets[from + i + 1] = arena.sizeBytes
  }
}

/** DELTA_BYTE_ARRAY: how much of the value before each begins with, then the rest as DELTA_LENGTH_BYTE_ARRAY. */
function decodePrefixes(values: Uint8Array, count: number, arena: Arena, from: number): void {
  const prefixes = new Int32Array(count)
  const suffixesAt = decodeDelta(values, 0, 1, count, prefixes, 0)
  const suffixes = newArena(count)
  decodeLengths(values, suffixesAt, count, suffixes, 0)
  let previous = 0
  for (let i = 0; i < count; i++) {
    const start = arena.sizeBytes
    const prefix = prefixes[i]
    if (prefix < 0 || prefix > (i === 0 ? 0 : start - previous))
      throw corrupt(`expected a prefix of the value before, found length ${prefix}`)
    reserve(arena, prefix + suffixes.offsets[i + 1] - suffixes.offsets[i])
    push(arena, arena.bytes, previous, previous + prefix)
    push(arena, suffixes.bytes, suffixes.offsets[i], suffixes.offsets[i + 1])
    arena.offsets[from + i + 1] = arena.sizeBytes
    previous = start
  }
}

function sumOf(lengths: Int32Array, most: number): number {
  let sum = 0
  for (const length of lengths) {
    if (length < 0) throw corrupt(`expected lengths of at least 0, found ${length}`)
    sum += length
  }
  if (sum > most) throw corrupt(`expected values of ${sum} bytes, found ${most} bytes`)
  return sum
}

/** The entries that `codes[0 .. count)` name, as the values from `from` on. */
function expand(arena: Arena, dictionary: Dictionary, codes: Int32Array, count: number, from: number): void {
  const { offsets, bytes } = dictionary
  let sizeBytes = 0
  for (let i = 0; i < count; i++) sizeBytes += offsets[codes[i] + 1] - offsets[codes[i]]
  reserve(arena, sizeBytes)
  arena.offsets[from] = arena.sizeBytes
  for (let i = 0; i < count; i++) {
    push(arena, bytes, offsets[codes[i]], offsets[codes[i] + 1])
    arena.offsets[from + i + 1] = arena.sizeBytes
  }
}

/** Moves the ends of `count` values to the rows that have a value; a null starts and ends where the value before it ends. */
function spreadOffsets(offsets: Int32Array, validity: Uint8Array | undefined, row: number, rows: number, count: number): void {
  if (validity === undefined) return
  let from = row + count
  for (let i = row + rows; i > row; i--) {
    offsets[i] = offsets[from]
    if (validity[i - 1] === 1) from--
  }
}
