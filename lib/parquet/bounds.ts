import type { ColumnType } from '../columns/schema.ts'

/**
 * Least and greatest value of a column, in the form that Parquet's statistics (PLAIN, without length prefix) and Iceberg's
 * single-value serialization (spec, appendix D) share: little-endian numbers, one byte for a boolean, UTF-8, bytes. NaN never
 * counts; a zero is -0 as least and +0 as greatest, so that bounds hold whichever way a reader orders the two
 * (parquet.thrift, ColumnOrder).
 */
export interface Bounds {
  readonly min: Uint8Array
  readonly max: Uint8Array
}

/** Unsigned bytewise order, which for UTF-8 is the order of code points. */
export function compareBytes(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): number {
  const shorter = Math.min(aEnd - aStart, bEnd - bStart)
  for (let i = 0; i < shorter; i++) {
    const difference = a[aStart + i] - b[bStart + i]
    if (difference !== 0) return difference
  }
  return aEnd - aStart - (bEnd - bStart)
}

/** Order of two serialized values of one type: negative, 0 or positive. Cold: once per page and row group. */
export function compareSerialized(type: ColumnType, a: Uint8Array, b: Uint8Array): number {
  switch (type) {
    case 'int':
      return order(view(a).getInt32(0, true), view(b).getInt32(0, true))
    case 'double':
      return order(view(a).getFloat64(0, true), view(b).getFloat64(0, true))
    case 'long':
    case 'timestamptz':
      return order(view(a).getBigInt64(0, true), view(b).getBigInt64(0, true))
    case 'boolean':
    case 'string':
    case 'binary':
      return compareBytes(a, 0, a.length, b, 0, b.length)
  }
}

/** The bounds that cover both. */
export function covering(type: ColumnType, a: Bounds | undefined, b: Bounds | undefined): Bounds | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return {
    min: compareSerialized(type, b.min, a.min) < 0 ? b.min : a.min,
    max: compareSerialized(type, b.max, a.max) > 0 ? b.max : a.max,
  }
}

/** `min` cut to `width` code points (string) or bytes (binary); other types and shorter values as they are. */
export function truncatedLower(type: ColumnType, min: Uint8Array, width: number): Uint8Array {
  return min.subarray(0, prefixLength(type, min, width))
}

/**
 * A value at least `max`, of at most `width` code points or bytes: the prefix with its last unit that can grow grown by
 * one (Iceberg's UnicodeUtil.truncateStringMax, BinaryUtil.truncateBinaryMax); undefined when none can.
 */
export function truncatedUpper(type: ColumnType, max: Uint8Array, width: number): Uint8Array | undefined {
  const length = prefixLength(type, max, width)
  if (length === max.length) return max
  return type === 'string' ? nextString(max.subarray(0, length)) : nextBytes(max.subarray(0, length))
}

function prefixLength(type: ColumnType, value: Uint8Array, width: number): number {
  if (type === 'binary') return Math.min(width, value.length)
  if (type !== 'string' || value.length <= width) return value.length
  let points = 0
  for (let i = 0; i < value.length; i++) {
    const startsPoint = (value[i] & 0xc0) !== 0x80
    if (startsPoint && points++ === width) return i
  }
  return value.length
}

function nextBytes(prefix: Uint8Array): Uint8Array | undefined {
  const last = prefix.findLastIndex((byte) => byte !== 0xff)
  if (last < 0) return undefined
  const next = prefix.slice(0, last + 1)
  next[last]++
  return next
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

function nextString(prefix: Uint8Array): Uint8Array | undefined {
  const points = Array.from(utf8.decode(prefix), (character) => character.codePointAt(0) ?? 0)
  const last = points.findLastIndex((point) => point !== 0x10ffff)
  if (last < 0) return undefined
  // U+D800 to U+DFFF are surrogates: no characters, no UTF-8.
  const next = points[last] === 0xd7ff ? 0xe000 : points[last] + 1
  return new TextEncoder().encode(String.fromCodePoint(...points.slice(0, last), next))
}

function order<T extends number | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function view(value: Uint8Array): DataView {
  return new DataView(value.buffer, value.byteOffset, value.byteLength)
}
