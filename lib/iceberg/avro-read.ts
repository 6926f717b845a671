import { inflateRawSync, zstdDecompressSync } from 'node:zlib'
import { corrupt, isKind, messageOf, refused } from '../errors.ts'
import type { AvroField, AvroRow, AvroSchema, AvroValue } from './avro-schema.ts'

export interface AvroContents {
  /** The file's own schema, as its writer put it there. */
  readonly schema: AvroSchema
  /** The header's key-value pairs, `avro.schema` and `avro.codec` among them. */
  readonly metadata: Readonly<Record<string, string>>
  readonly rows: AvroRow[]
}

export interface AvroReadOptions {
  /** For messages: where the bytes came from. */
  readonly location: string
  /** Names to use for record fields by their `field-id`; fields without one here keep the name they have in the file. */
  readonly names?: ReadonlyMap<number, string>
}

/** A block larger than this after decompression is taken for damage. Our own writer stays near 64 KiB. */
const MAX_BLOCK_BYTES = 1 << 30
/** An item of these takes no byte in the file, so a damaged count could ask for any number of them. */
const MAX_ITEMS = 1 << 24
const MAGIC = 0x4f626a01

/**
 * Reads an Avro object container file by the schema embedded in it (Avro 1.12 specification): manifests and manifest lists
 * of any writer, null, deflate or zstandard. Throws `Corrupt` for damage and `Refused` for another codec.
 */
export function readAvro(bytes: Uint8Array, { location, names = new Map() }: AvroReadOptions): AvroContents {
  try {
    return readFile(bytes, names)
  } catch (error) {
    const message = `Cannot read Avro file ${location}: ${messageOf(error)}`
    if (isKind(error, 'Refused')) throw refused(message, { cause: error })
    throw corrupt(message, { cause: error })
  }
}

function readFile(bytes: Uint8Array, names: ReadonlyMap<number, string>): AvroContents {
  const source = new Source(bytes)
  if (bytes.length < 4 || source.view.getUint32(0) !== MAGIC) throw corrupt('expected it to begin with "Obj" and 1.')
  source.at = 4
  const metadata: Record<string, string> = {}
  for (let n = source.count(); n !== 0; n = source.count())
    for (let i = 0; i < n; i++) {
      const key = source.string()
      metadata[key] = source.string()
    }
  const sync = source.take(16)
  const schema = JSON.parse(metadata['avro.schema'] ?? 'null') as AvroSchema | null
  if (schema === null) throw corrupt('expected avro.schema in its header.')
  const inflate = decompressor(metadata['avro.codec'] ?? 'null')
  const decode = decoderOf(schema, names, new Map())
  const rows: AvroRow[] = []
  while (source.at < bytes.length) {
    const count = source.length(MAX_ITEMS)
    const block = new Source(inflate(source.take(source.length(bytes.length))))
    for (let i = 0; i < count; i++) rows.push(decode(block) as AvroRow)
    if (block.at !== block.view.byteLength) throw corrupt('expected a block to end with its last record.')
    if (Buffer.compare(source.take(16), sync) !== 0) throw corrupt('expected the sync marker after a block.')
  }
  return { schema, metadata, rows }
}

function decompressor(codec: string): (bytes: Uint8Array) => Uint8Array {
  switch (codec) {
    case 'null':
      return (bytes) => bytes
    case 'deflate':
      return (bytes) => inflateRawSync(bytes, { maxOutputLength: MAX_BLOCK_BYTES })
    case 'zstandard':
      return (bytes) => zstdDecompressSync(bytes, { maxOutputLength: MAX_BLOCK_BYTES })
    default:
      throw refused(`expected codec null, deflate or zstandard, found ${codec}. Rewrite the table's manifests with one of these.`)
  }
}

type Decoder = (source: Source) => AvroValue

/** `named` holds the decoders of record, fixed and enum types by name, for schemas that refer back to them. */
function decoderOf(schema: AvroSchema, names: ReadonlyMap<number, string>, named: Map<string, Decoder>): Decoder {
  if (Array.isArray(schema)) {
    const branches = (schema as readonly AvroSchema[]).map((branch) => decoderOf(branch, names, named))
    return (source) => branches[source.length(branches.length - 1)](source)
  }
  if (typeof schema === 'string') return primitiveDecoder(schema, named)
  const type = schema as Exclude<AvroSchema, readonly AvroSchema[] | string>
  switch (type.type) {
    case 'record':
      return recordDecoder(type.name, type.fields, names, named)
    case 'array': {
      const decode = decoderOf(type.items, names, named)
      return (source) => {
        const items: AvroValue[] = []
        for (let n = source.count(); n !== 0; n = source.count()) for (let i = 0; i < n; i++) items.push(decode(source))
        return items
      }
    }
    case 'map': {
      const decode = decoderOf(type.values, names, named)
      return (source) => {
        const entries = Object.create(null) as Record<string, AvroValue>
        for (let n = source.count(); n !== 0; n = source.count())
          for (let i = 0; i < n; i++) {
            const key = source.string()
            entries[key] = decode(source)
          }
        return entries
      }
    }
    case 'fixed': {
      const decode: Decoder = (source) => source.take(type.size)
      named.set(type.name, decode)
      return decode
    }
    case 'enum': {
      const decode: Decoder = (source) => type.symbols[source.length(type.symbols.length - 1)]
      named.set(type.name, decode)
      return decode
    }
    default:
      return decoderOf(type.type, names, named)
  }
}

function recordDecoder(
  name: string,
  recordFields: readonly AvroField[],
  names: ReadonlyMap<number, string>,
  named: Map<string, Decoder>,
): Decoder {
  const fields: { name: string; decode: Decoder }[] = []
  const decode: Decoder = (source) => {
    const record: Record<string, AvroValue> = {}
    for (const field of fields) record[field.name] = field.decode(source)
    return record
  }
  named.set(name, decode)
  for (const field of recordFields)
    fields.push({ name: safeName(names.get(field['field-id'] ?? -1) ?? field.name), decode: decoderOf(field.type, names, named) })
  return decode
}

/** Records are plain objects, which are several times faster than those without a prototype. */
function safeName(name: string): string {
  if (name === '__proto__') throw corrupt('expected names that Iceberg or its users give, found __proto__.')
  return name
}

function primitiveDecoder(type: string, named: ReadonlyMap<string, Decoder>): Decoder {
  switch (type) {
    case 'null':
      return () => null
    case 'boolean':
      return (source) => source.take(1)[0] === 1
    case 'int':
      return (source) => source.int()
    case 'long':
      return (source) => source.long()
    case 'float':
      return (source) => {
        source.at += 4
        return source.view.getFloat32(source.at - 4, true)
      }
    case 'double':
      return (source) => {
        source.at += 8
        return source.view.getFloat64(source.at - 8, true)
      }
    case 'bytes':
      return (source) => source.take(source.length(source.view.byteLength)).slice()
    case 'string':
      return (source) => source.string()
    default: {
      const decode = named.get(type)
      if (decode === undefined) throw corrupt(`expected a type of Avro, found ${JSON.stringify(type)}.`)
      return decode
    }
  }
}

/** A cursor over bytes with Avro's primitive encodings. Reading past the end throws. */
class Source {
  readonly view: DataView
  readonly #bytes: Uint8Array
  readonly #text: Buffer
  at = 0

  constructor(bytes: Uint8Array) {
    // A plain array: a Buffer's slice() would share its memory.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Zigzag, 7 bits a byte. */
  long(): bigint {
    const start = this.at
    const short = this.#short()
    if (short !== undefined) return BigInt(short)
    this.at = start
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.view.getUint8(this.at++)
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n))
    }
    throw corrupt('expected a long of at most 10 bytes.')
  }

  /** A number of at most 4 bytes, as nearly all are; undefined when more follow. */
  #short(): number | undefined {
    let bits = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.view.getUint8(this.at++)
      bits |= (byte & 0x7f) << shift
      if (byte < 0x80) return (bits >>> 1) ^ -(bits & 1)
    }
    return undefined
  }

  /** Rounded beyond 2^53: for numbers that are then held against a bound far below. */
  #number(): number {
    const start = this.at
    const short = this.#short()
    if (short !== undefined) return short
    this.at = start
    return Number(this.long())
  }

  int(): number {
    const value = this.#number()
    if ((value | 0) !== value) throw corrupt(`expected an int, found ${value}.`)
    return value
  }

  /** A number from 0 to `most`. */
  length(most: number): number {
    const value = this.#number()
    if (value < 0 || value > most) throw corrupt(`expected a number from 0 to ${most}, found ${value}.`)
    return value
  }

  /** Items in the next block of an array or map; a negative count is followed by the block's size in bytes. */
  count(): number {
    const value = this.#number()
    if (value < 0) this.length(this.view.byteLength)
    const count = Math.abs(value)
    if (count > MAX_ITEMS) throw corrupt(`expected at most ${MAX_ITEMS} items, found ${count}.`)
    return count
  }

  take(length: number): Uint8Array {
    if (this.at + length > this.#bytes.length) throw corrupt('expected more bytes, found its end.')
    this.at += length
    return this.#bytes.subarray(this.at - length, this.at)
  }

  string(): string {
    const length = this.length(this.#bytes.length)
    if (this.at + length > this.#bytes.length) throw corrupt('expected more bytes, found its end.')
    this.at += length
    return this.#text.toString('utf8', this.at - length, this.at)
  }
}
