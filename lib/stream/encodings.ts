import type { BytesVector, LongVector, Vector } from '../columns/batch.ts'
import { getLong, isSafeLong, words } from '../columns/numbers.ts'

/**
 * How a slice's columns become bytes (little-endian). A column is a validity byte, an encoding byte and what they ask for;
 * its reader is in `decodings.ts`.
 */
export const Validity = { noNulls: 0, bits: 1, allNull: 2 } as const

export const Encoding = {
  /** One value stands for all that are not null. */
  constant: 0,
  /** Differences from the least value, over a unit, in 1, 2 or 4 bytes. */
  frame: 1,
  /** 8 bytes a value. */
  raw: 2,
  /** A bit a value. */
  bits: 3,
  /** Distinct values in the order they first come, then a code of 1, 2 or 4 bytes a row. */
  dictionary: 4,
  /** A length and its bytes a row. */
  plain: 5,
} as const

/** Times are mostly whole milliseconds: a unit of this many microseconds makes their differences narrow. */
export const MICROS_UNIT = 1000

/** Appends a column's bytes to `parts`. O(rows); nothing allocated per row. */
export function encodeColumn(vector: Vector, rows: number, parts: Uint8Array[]): void {
  if (rows === 0) return
  const nulls = encodeValidity(vector.validity, rows, parts)
  if (nulls === rows) return
  const validity = nulls === 0 ? undefined : vector.validity
  switch (vector.type) {
    case 'boolean':
      encodeBooleans(vector.values, rows, parts)
      return
    case 'int':
      encodeInts(vector.values, validity, rows, parts)
      return
    case 'long':
    case 'timestamptz':
      encodeLongs(vector, validity, rows, parts)
      return
    case 'double':
      encodeDoubles(vector.values, validity, rows, parts)
      return
    case 'string':
    case 'binary':
      encodeBytes(vector, rows, parts)
      return
  }
}

/** Returns how many nulls there are. */
function encodeValidity(validity: Uint8Array | undefined, rows: number, parts: Uint8Array[]): number {
  let nulls = 0
  if (validity !== undefined) for (let i = 0; i < rows; i++) nulls += validity[i] === 0 ? 1 : 0
  if (validity === undefined || nulls === 0) parts.push(Uint8Array.of(Validity.noNulls))
  else if (nulls === rows) parts.push(Uint8Array.of(Validity.allNull))
  else parts.push(Uint8Array.of(Validity.bits), packBits(validity, rows))
  return nulls
}

function packBits(flags: Uint8Array, rows: number): Uint8Array {
  const bits = new Uint8Array((rows + 7) >>> 3)
  for (let i = 0; i < rows; i++) if (flags[i] !== 0) bits[i >>> 3] |= 1 << (i & 7)
  return bits
}

function encodeBooleans(values: Uint8Array, rows: number, parts: Uint8Array[]): void {
  parts.push(Uint8Array.of(Encoding.bits), packBits(values, rows))
}

function encodeInts(values: Int32Array, validity: Uint8Array | undefined, rows: number, parts: Uint8Array[]): void {
  let least = 0x7fffffff
  let greatest = -0x80000000
  for (let i = 0; i < rows; i++) {
    if (validity !== undefined && validity[i] === 0) continue
    const value = values[i]
    if (value < least) least = value
    if (value > greatest) greatest = value
  }
  if (least === greatest) parts.push(Uint8Array.of(Encoding.constant), longBytes(least))
  else {
    const deltas = deltaArray(greatest - least, rows)
    // A null's slot holds 0, whatever `least` is: the reader clears it again.
    for (let i = 0; i < rows; i++) deltas[i] = values[i] - least
    pushFrame(deltas, least, 1, parts)
  }
}

function encodeLongs(vector: LongVector, validity: Uint8Array | undefined, rows: number, parts: Uint8Array[]): void {
  const longs = words(vector.values)
  let least = Number.POSITIVE_INFINITY
  let greatest = Number.NEGATIVE_INFINITY
  let safe = true
  for (let i = 0; i < rows && safe; i++) {
    if (validity !== undefined && validity[i] === 0) continue
    const value = getLong(longs, i)
    safe = isSafeLong(longs, i)
    if (value < least) least = value
    if (value > greatest) greatest = value
  }
  if (safe && least === greatest) {
    parts.push(Uint8Array.of(Encoding.constant), longBytes(least))
    return
  }
  const unit = safe && vector.type === 'timestamptz' && inUnits(longs, validity, rows, least) ? MICROS_UNIT : 1
  if (!safe || (greatest - least) / unit > 0xffffffff) {
    parts.push(Uint8Array.of(Encoding.raw), bytesOf(vector.values, rows))
    return
  }
  const deltas = deltaArray((greatest - least) / unit, rows)
  for (let i = 0; i < rows; i++) deltas[i] = (getLong(longs, i) - least) / unit
  pushFrame(deltas, least, unit, parts)
}

function inUnits(longs: Int32Array, validity: Uint8Array | undefined, rows: number, least: number): boolean {
  for (let i = 0; i < rows; i++) {
    if (validity !== undefined && validity[i] === 0) continue
    const units = (getLong(longs, i) - least) / MICROS_UNIT
    if (units !== Math.floor(units)) return false
  }
  return true
}

function encodeDoubles(values: Float64Array, validity: Uint8Array | undefined, rows: number, parts: Uint8Array[]): void {
  let at = 0
  while (validity !== undefined && validity[at] === 0) at++
  const first = values[at]
  let constant = true
  for (let i = at + 1; i < rows && constant; i++)
    if (validity === undefined || validity[i] === 1) constant = Object.is(values[i], first)
  if (constant) parts.push(Uint8Array.of(Encoding.constant), new Uint8Array(Float64Array.of(first).buffer))
  else parts.push(Uint8Array.of(Encoding.raw), bytesOf(values, rows))
}

function encodeBytes(vector: BytesVector, rows: number, parts: Uint8Array[]): void {
  const { codes, offsets } = vector
  if (codes === undefined) {
    encodePlain(vector, rows, parts)
    return
  }
  // Entries get new codes in the order they are used: unused ones drop out, and equal rows give equal bytes.
  const renumbered = new Int32Array(vector.entries).fill(-1)
  const used = new Int32Array(Math.min(rows, vector.entries))
  const newCodes = new Int32Array(rows)
  let entries = 0
  let plainBytes = 0
  let dictionaryBytes = 0
  for (let i = 0; i < rows; i++) {
    const code = codes[i]
    const length = offsets[code + 1] - offsets[code]
    let to = renumbered[code]
    if (to < 0) {
      to = entries++
      renumbered[code] = to
      used[to] = code
      dictionaryBytes += length
    }
    newCodes[i] = to
    plainBytes += length
  }
  const narrow = deltaArray(entries - 1, rows)
  if (dictionaryBytes + entries + narrow.byteLength >= plainBytes + rows && entries > 1) {
    encodePlain(vector, rows, parts)
    return
  }
  narrow.set(newCodes)
  parts.push(Uint8Array.of(Encoding.dictionary), intBytes(entries))
  pushEntries(vector, used, entries, dictionaryBytes, parts)
  if (entries > 1) parts.push(Uint8Array.of(narrow.BYTES_PER_ELEMENT), bytesOf(narrow, rows))
}

function encodePlain(vector: BytesVector, rows: number, parts: Uint8Array[]): void {
  const { codes, offsets, bytes } = vector
  parts.push(Uint8Array.of(Encoding.plain))
  if (codes === undefined) {
    pushLengths((i) => offsets[i + 1] - offsets[i], rows, parts)
    parts.push(bytes.subarray(offsets[0], offsets[rows]))
    return
  }
  let sizeBytes = 0
  for (let i = 0; i < rows; i++) sizeBytes += offsets[codes[i] + 1] - offsets[codes[i]]
  pushEntries(vector, codes, rows, sizeBytes, parts)
}

/** Lengths and bytes of the entries `chosen[0 .. count)`. */
function pushEntries(vector: BytesVector, chosen: Int32Array, count: number, sizeBytes: number, parts: Uint8Array[]): void {
  const { offsets, bytes } = vector
  pushLengths((i) => offsets[chosen[i] + 1] - offsets[chosen[i]], count, parts)
  const joined = new Uint8Array(sizeBytes)
  let at = 0
  for (let i = 0; i < count; i++) for (let k = offsets[chosen[i]]; k < offsets[chosen[i] + 1]; k++) joined[at++] = bytes[k]
  parts.push(joined)
}

/** A width byte, then lengths in that many bytes; width 0: one length of 4 bytes for all. */
function pushLengths(lengthOf: (i: number) => number, count: number, parts: Uint8Array[]): void {
  let greatest = 0
  let least = 0x7fffffff
  for (let i = 0; i < count; i++) {
    const length = lengthOf(i)
    if (length > greatest) greatest = length
    if (length < least) least = length
  }
  if (least >= greatest) {
    parts.push(Uint8Array.of(0), intBytes(greatest))
    return
  }
  const lengths = deltaArray(greatest, count)
  for (let i = 0; i < count; i++) lengths[i] = lengthOf(i)
  parts.push(Uint8Array.of(lengths.BYTES_PER_ELEMENT), bytesOf(lengths, count))
}

/** The narrowest array that holds 0 to `greatest`. */
function deltaArray(greatest: number, length: number): Uint8Array | Uint16Array | Uint32Array {
  if (greatest <= 0xff) return new Uint8Array(length)
  return greatest <= 0xffff ? new Uint16Array(length) : new Uint32Array(length)
}

function pushFrame(deltas: Uint8Array | Uint16Array | Uint32Array, least: number, unit: number, parts: Uint8Array[]): void {
  const width = deltas.BYTES_PER_ELEMENT
  parts.push(Uint8Array.of(Encoding.frame, width, unit === 1 ? 0 : 1), longBytes(least), bytesOf(deltas, deltas.length))
}

const bytesOf = (values: ArrayBufferView & { readonly BYTES_PER_ELEMENT: number }, count: number) =>
  new Uint8Array(values.buffer, values.byteOffset, count * values.BYTES_PER_ELEMENT)

const longBytes = (n: number) => new Uint8Array(BigInt64Array.of(BigInt(n)).buffer)

const intBytes = (n: number) => new Uint8Array(Uint32Array.of(n).buffer)
