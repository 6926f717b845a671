import { constants, crc32, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Batch } from '../columns/batch.ts'
import type { ColumnType, Field, Fields } from '../columns/schema.ts'
import { corrupt, messageOf, refused } from '../errors.ts'
import { byteReader, decodeColumn } from './decodings.ts'
import { encodeColumn } from './encodings.ts'

/** Whose rows a slice holds and where they go. */
export interface SliceLabel {
  readonly source: string
  /** The operator whose state or late rows these are. */
  readonly operator?: string
  /** `table:<name>` or `state:<operator>` */
  readonly target: string
  /** Of the operator's definition, hex: whether its state can be read (protocol rule 19). */
  readonly fingerprint?: string
}

export interface SliceHeader extends SliceLabel {
  readonly rows: number
  /** Columns by field id, as they were when the slice was written. */
  readonly schema: Fields
}

/**
 * A slice: rows of one target as typed columns, in a segment, a log entry or a state object. Layout, little-endian:
 *
 * | bytes | what |
 * |---|---|
 * | 4 | `FZSL` |
 * | 1 | version, 1 |
 * | 1 | codec of the body: 0 none, 1 zstd |
 * | 2 | zero |
 * | 3 × 4 | lengths of header, body, body as stored |
 * | … | header, JSON |
 * | … | body: the columns in the order of the schema (`encodings.ts`) |
 * | 4 | CRC-32 of everything before |
 */
const MAGIC = 0x4c535a46
const VERSION = 1
const PREFIX_BYTES = 20
const CRC_BYTES = 4
const CODEC = { none: 0, zstd: 1 } as const

/** Bodies below this are stored as they are: a zstd frame would not pay. */
const MIN_ZSTD_BYTES = 256
const ZSTD_OPTIONS = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

/** Greatest body before compression. */
export const MAX_SLICE_BODY_BYTES = 1 << 29
/** Most values (rows × columns): a constant column takes no bytes, but memory once decoded. */
export const MAX_SLICE_VALUES = 1 << 27
/** Greatest header. */
const MAX_HEADER_BYTES = 1 << 20

/** Rows as bytes. Throws `Refused` when the batch is beyond the bounds above: split it. */
export function encodeSlice(label: SliceLabel, batch: Batch): Uint8Array {
  const { rows, fields } = batch
  checkBound('values', rows * fields.length, MAX_SLICE_VALUES)
  const columns = fields.map(({ id, name, type, required }) => [id, name, type, required ? 1 : 0])
  const { source, operator, target, fingerprint } = label
  const header = Buffer.from(JSON.stringify({ source, operator, target, fingerprint, rows, columns }))
  checkBound('header bytes', header.length, MAX_HEADER_BYTES)
  const parts: Uint8Array[] = []
  for (const vector of batch.vectors) encodeColumn(vector, rows, parts)
  const bodyBytes = parts.reduce((sum, part) => sum + part.length, 0)
  checkBound('bytes', bodyBytes, MAX_SLICE_BODY_BYTES)
  const body = Buffer.concat(parts, bodyBytes)
  const compressed = bodyBytes < MIN_ZSTD_BYTES ? body : zstdCompressSync(body, ZSTD_OPTIONS)
  const isSmaller = compressed.length < bodyBytes
  const stored = isSmaller ? compressed : body

  const slice = Buffer.allocUnsafe(PREFIX_BYTES + header.length + stored.length + CRC_BYTES)
  slice.writeUInt32LE(MAGIC, 0)
  slice[4] = VERSION
  slice[5] = isSmaller ? CODEC.zstd : CODEC.none
  slice.writeUInt16LE(0, 6)
  slice.writeUInt32LE(header.length, 8)
  slice.writeUInt32LE(bodyBytes, 12)
  slice.writeUInt32LE(stored.length, 16)
  slice.set(header, PREFIX_BYTES)
  slice.set(stored, PREFIX_BYTES + header.length)
  const end = slice.length - CRC_BYTES
  slice.writeUInt32LE(crc32(slice.subarray(0, end)), end)
  return slice
}

function checkBound(what: string, found: number, most: number): void {
  if (found > most) throw refused(`Cannot write a slice: expected at most ${most} ${what}, found ${found}. Use smaller batches.`)
}

/**
 * The rows of a slice. `bytes` is the slice and nothing else.
 *
 * @throws Corrupt when it is damaged, cut short or none at all
 * @throws Refused when a later version of Frazil wrote it
 */
export function decodeSlice(bytes: Uint8Array): { header: SliceHeader; batch: Batch } {
  const slice = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (slice.length < PREFIX_BYTES + CRC_BYTES || slice.readUInt32LE(0) !== MAGIC)
    throw corrupt(`Cannot read a slice: expected its magic bytes, found ${slice.length} other bytes.`)
  if (slice[4] !== VERSION)
    throw refused(`Cannot read a slice: expected version ${VERSION}, found ${slice[4]}. Run the version of Frazil that wrote it.`)
  const end = slice.length - CRC_BYTES
  if (crc32(slice.subarray(0, end)) !== slice.readUInt32LE(end))
    throw corrupt('Cannot read a slice: its checksum does not match, so its bytes are not those written.')
  const codec = slice[5]
  const headerBytes = slice.readUInt32LE(8)
  const bodyBytes = slice.readUInt32LE(12)
  const storedBytes = slice.readUInt32LE(16)
  if (PREFIX_BYTES + headerBytes + storedBytes !== end || bodyBytes > MAX_SLICE_BODY_BYTES || codec > CODEC.zstd)
    throw corrupt(`Cannot read a slice: its lengths (${headerBytes}, ${bodyBytes}, ${storedBytes}) do not fit its ${end} bytes.`)
  const header = parseHeader(slice.toString('utf8', PREFIX_BYTES, PREFIX_BYTES + headerBytes))
  const body = bodyOf(slice.subarray(PREFIX_BYTES + headerBytes, end), codec, bodyBytes)
  const reader = byteReader(body)
  const { rows, schema } = header
  const batch: Batch = { fields: schema, rows, vectors: schema.map(({ type }) => decodeColumn(type, rows, reader)) }
  if (reader.left() > 0) throw corrupt(`Cannot read a slice: expected its columns to fill it, found ${reader.left()} more bytes.`)
  return { header, batch }
}

function bodyOf(stored: Uint8Array, codec: number, bodyBytes: number): Uint8Array {
  let body = stored
  try {
    if (codec === CODEC.zstd) body = zstdDecompressSync(stored, { maxOutputLength: Math.max(1, bodyBytes) })
  } catch (error) {
    throw corrupt(`Cannot read a slice: its body does not decompress: ${messageOf(error)}`, { cause: error })
  }
  if (body.length !== bodyBytes)
    throw corrupt(`Cannot read a slice: expected a body of ${bodyBytes} bytes, found ${body.length}.`)
  return body
}

const TYPES: readonly string[] = ['boolean', 'int', 'long', 'double', 'string', 'binary', 'timestamptz'] satisfies ColumnType[]

function parseHeader(text: string): SliceHeader {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw corrupt(`Cannot read a slice: expected its header to be JSON, found other bytes.`, { cause: error })
  }
  const wrong = () => corrupt(`Cannot read a slice: expected a header, found other JSON.`)
  if (typeof json !== 'object' || json === null) throw wrong()
  const { source, operator, target, fingerprint, rows, columns } = json as Record<string, unknown>
  const isText = (value: unknown): value is string => typeof value === 'string'
  const isOptionalText = (value: unknown): value is string | undefined => value === undefined || isText(value)
  if (!isText(source) || !isText(target) || !isOptionalText(operator) || !isOptionalText(fingerprint)) throw wrong()
  if (!Array.isArray(columns) || !Number.isSafeInteger(rows) || typeof rows !== 'number' || rows < 0) throw wrong()
  if (rows * Math.max(1, columns.length) > MAX_SLICE_VALUES) throw wrong()
  const schema = columns.map((column): Field => {
    if (!Array.isArray(column)) throw wrong()
    const [id, name, type, required] = column as unknown[]
    if (!Number.isInteger(id) || !isText(name) || !isText(type) || !TYPES.includes(type)) throw wrong()
    return { id: id as number, name, type: type as ColumnType, required: required === 1 }
  })
  return {
    source,
    ...(operator !== undefined && { operator }),
    target,
    ...(fingerprint !== undefined && { fingerprint }),
    rows,
    schema,
  }
}
