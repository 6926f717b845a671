import type { BytesVector, Vector } from '../columns/batch.ts'
import { setLong, words } from '../columns/numbers.ts'
import type { ColumnType } from '../columns/schema.ts'
import { corrupt } from '../errors.ts'
import { Encoding, MICROS_UNIT, Validity } from './encodings.ts'

/** Reads bytes in order; every size is checked against what is left before anything is allocated for it. */
export interface ByteReader {
  readonly left: () => number
  /** A view of the next `length` bytes. */
  readonly bytes: (length: number) => Uint8Array
  readonly byte: () => number
  readonly int: () => number
  readonly long: () => bigint
  readonly double: () => number
}

/** Throws `Corrupt` when asked for more than there is. */
export function byteReader(buffer: Uint8Array): ByteReader {
  // A Buffer's `slice` would not copy.
  const source = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength)
  let at = 0
  const next = (length: number): number => {
    if (length > source.length - at)
      throw corrupt(`Cannot read a slice: expected ${length} more bytes, found ${source.length - at}.`)
    at += length
    return at - length
  }
  return {
    left: () => source.length - at,
    bytes: (length) => {
      const start = next(length)
      return source.subarray(start, start + length)
    },
    byte: () => source[next(1)],
    int: () => view.getUint32(next(4), true),
    long: () => view.getBigInt64(next(8), true),
    double: () => view.getFloat64(next(8), true),
  }
}

/** The inverse of `encodeColumn`. Throws `Corrupt` for bytes that it does not write. */
export function decodeColumn(type: ColumnType, rows: number, reader: ByteReader): Vector {
  let validity: Uint8Array | undefined
  let isAllNull = false
  if (rows > 0) {
    const kind = reader.byte()
    if (kind === Validity.bits) validity = unpackBits(reader.bytes((rows + 7) >>> 3), rows)
    else if (kind === Validity.allNull) {
      validity = new Uint8Array(rows)
      isAllNull = true
    } else if (kind !== Validity.noNulls) throw unknown('validity', kind)
  }
  const encoding = rows === 0 || isAllNull ? undefined : reader.byte()
  switch (type) {
    case 'boolean':
      if (encoding !== undefined && encoding !== Encoding.bits) throw unknown('encoding of booleans', encoding)
      return {
        type,
        values: encoding === undefined ? new Uint8Array(rows) : unpackBits(reader.bytes((rows + 7) >>> 3), rows),
        validity,
      }
    case 'int': {
      const values = new Int32Array(rows)
      if (encoding !== undefined) decodeInts(encoding, values, reader)
      clearNulls(values, validity)
      return { type, values, validity }
    }
    case 'long':
    case 'timestamptz': {
      const values = new BigInt64Array(rows)
      if (encoding !== undefined) decodeLongs(encoding, values, reader)
      if (validity !== undefined) for (let i = 0; i < rows; i++) if (validity[i] === 0) values[i] = 0n
      return { type, values, validity }
    }
    case 'double': {
      const values = new Float64Array(rows)
      if (encoding === Encoding.constant) values.fill(reader.double())
      else if (encoding === Encoding.raw) new Uint8Array(values.buffer).set(reader.bytes(rows * 8))
      else if (encoding !== undefined) throw unknown('encoding of doubles', encoding)
      clearNulls(values, validity)
      return { type, values, validity }
    }
    case 'string':
    case 'binary':
      return decodeBytes(type, encoding, rows, validity, reader)
  }
}

const unknown = (what: string, found: number) => corrupt(`Cannot read a slice: expected a known ${what}, found ${found}.`)

function unpackBits(bits: Uint8Array, rows: number): Uint8Array {
  const flags = new Uint8Array(rows)
  for (let i = 0; i < rows; i++) flags[i] = (bits[i >>> 3] >>> (i & 7)) & 1
  return flags
}

function clearNulls(values: Int32Array | Float64Array, validity: Uint8Array | undefined): void {
  if (validity !== undefined) for (let i = 0; i < validity.length; i++) if (validity[i] === 0) values[i] = 0
}

function decodeInts(encoding: number, values: Int32Array, reader: ByteReader): void {
  if (encoding === Encoding.constant) {
    values.fill(Number(reader.long()))
    return
  }
  if (encoding !== Encoding.frame) throw unknown('encoding of ints', encoding)
  const width = reader.byte()
  if (reader.byte() !== 0) throw corrupt('Cannot read a slice: expected ints in units of 1.')
  const least = Number(reader.long())
  const deltas = unsigned(width, values.length, reader)
  for (let i = 0; i < values.length; i++) values[i] = least + deltas[i]
}

function decodeLongs(encoding: number, values: BigInt64Array, reader: ByteReader): void {
  if (encoding === Encoding.constant) {
    values.fill(reader.long())
    return
  }
  if (encoding === Encoding.raw) {
    new Uint8Array(values.buffer).set(reader.bytes(values.byteLength))
    return
  }
  if (encoding !== Encoding.frame) throw unknown('encoding of longs', encoding)
  const width = reader.byte()
  const unitCode = reader.byte()
  if (unitCode > 1) throw unknown('unit', unitCode)
  const unit = unitCode === 0 ? 1 : MICROS_UNIT
  const least = Number(reader.long())
  const deltas = unsigned(width, values.length, reader)
  const longs = words(values)
  for (let i = 0; i < values.length; i++) setLong(longs, i, least + deltas[i] * unit)
}

/** `count` unsigned integers of `width` bytes, in memory of their own (the source need not be aligned). */
function unsigned(width: number, count: number, reader: ByteReader): Uint8Array | Uint16Array | Uint32Array {
  if (width !== 1 && width !== 2 && width !== 4) throw unknown('width', width)
  // Not `slice`: a Buffer's slice is a view, and its memory is a pool's.
  const bytes = new Uint8Array(reader.bytes(count * width))
  if (width === 1) return bytes
  return width === 2 ? new Uint16Array(bytes.buffer, 0, count) : new Uint32Array(bytes.buffer, 0, count)
}

function decodeBytes(
  type: BytesVector['type'],
  encoding: number | undefined,
  rows: number,
  validity: Uint8Array | undefined,
  reader: ByteReader,
): BytesVector {
  // No rows, or all null: one empty entry (none without rows) stands for every row.
  if (encoding === undefined) {
    const entries = Math.min(rows, 1)
    return {
      type,
      codes: new Int32Array(rows),
      entries,
      offsets: new Int32Array(entries + 1),
      bytes: new Uint8Array(0),
      validity,
    }
  }
  if (encoding === Encoding.plain) return { type, codes: undefined, entries: rows, ...decodeEntries(rows, reader), validity }
  if (encoding !== Encoding.dictionary) throw unknown(`encoding of ${type} values`, encoding)
  const entries = reader.int()
  if (entries < 1 || entries > rows)
    throw corrupt(`Cannot read a slice: expected a dictionary of 1 to ${rows} entries, found ${entries}.`)
  const dictionary = decodeEntries(entries, reader)
  const codes = new Int32Array(rows)
  if (entries > 1) {
    codes.set(unsigned(reader.byte(), rows, reader))
    // Unsigned on the way in: one too great for 31 bits shows as negative here.
    for (let i = 0; i < rows; i++)
      if (codes[i] < 0 || codes[i] >= entries)
        throw corrupt(`Cannot read a slice: expected codes below ${entries}, found ${codes[i]}.`)
  }
  return { type, codes, entries, ...dictionary, validity }
}

function decodeEntries(count: number, reader: ByteReader): { offsets: Int32Array; bytes: Uint8Array } {
  const width = reader.byte()
  const offsets = new Int32Array(count + 1)
  let total = 0
  const lengths = width === 0 ? undefined : unsigned(width, count, reader)
  const length = width === 0 ? reader.int() : 0
  for (let i = 0; i < count; i++) {
    total += lengths === undefined ? length : lengths[i]
    offsets[i + 1] = total
  }
  // `bytes` refuses a total beyond what is left, so offsets that wrapped never get out. A copy: the slice may be a part of
  // a segment that nothing else needs.
  return { offsets, bytes: reader.bytes(total).slice() }
}
