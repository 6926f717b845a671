import { deflateRawSync } from 'node:zlib'
import { corrupt } from '../errors.ts'
import type { AvroRow, AvroSchema, AvroValue } from './avro-schema.ts'

export interface AvroFileOptions {
  /** A record. Of unions only `[null, T]` can be written. */
  readonly schema: AvroSchema
  readonly rows: Iterable<AvroRow>
  /** Key-value pairs for the file's header, besides `avro.schema` and `avro.codec`. */
  readonly metadata: Readonly<Record<string, string>>
  /** 16 bytes between blocks; they should differ from file to file. */
  readonly sync: Uint8Array
  /** @default 'deflate' */
  readonly codec?: 'deflate' | 'null'
}

/** Bytes of a block before compression, about: as much as a reader must hold at once. */
const BLOCK_BYTES = 64 * 1024
const MAGIC = Uint8Array.of(0x4f, 0x62, 0x6a, 1)

/** An Avro object container file (Avro 1.12 specification, "Object Container Files"). */
export function writeAvro({ schema, rows, metadata, sync, codec = 'deflate' }: AvroFileOptions): Uint8Array {
  if (sync.length !== 16) throw corrupt(`Cannot write an Avro file: expected a sync marker of 16 bytes, found ${sync.length}.`)
  const encode = encoderOf(schema, 'record')
  const file = new Sink()
  const header = { ...metadata, 'avro.schema': JSON.stringify(schema), 'avro.codec': codec }
  file.raw(MAGIC)
  file.int(Object.keys(header).length)
  for (const [key, value] of Object.entries(header)) {
    file.string(key)
    file.string(value)
  }
  file.int(0)
  file.raw(sync)

  const block = new Sink()
  let count = 0
  const flush = () => {
    if (count === 0) return
    const bytes = codec === 'deflate' ? deflateRawSync(block.taken()) : block.taken()
    file.int(count)
    file.bytes(bytes)
    file.raw(sync)
    block.clear()
    count = 0
  }
  for (const row of rows) {
    encode(block, row)
    count++
    if (block.length >= BLOCK_BYTES) flush()
  }
  flush()
  return file.taken().slice()
}

type Encoder = (sink: Sink, value: AvroValue | undefined) => void

/** One closure per place in the schema, made once per file. */
function encoderOf(schema: AvroSchema, at: string): Encoder {
  if (Array.isArray(schema)) return unionEncoder(schema as readonly AvroSchema[], at)
  const type = typeof schema === 'string' ? schema : (schema as Exclude<AvroSchema, readonly AvroSchema[] | string>)
  if (typeof type !== 'string' && type.type === 'record') {
    const fields = type.fields.map((field) => ({ name: field.name, encode: encoderOf(field.type, `${at}.${field.name}`) }))
    return (sink, value) => {
      const record = (typeof value === 'object' && value !== null ? value : {}) as AvroRow
      for (const { name, encode } of fields) encode(sink, record[name])
    }
  }
  if (typeof type !== 'string' && type.type === 'array') {
    const encode = encoderOf(type.items, `${at}[]`)
    return (sink, value) => {
      if (!Array.isArray(value)) throw wrong(at, 'an array', value)
      if (value.length > 0) sink.int(value.length)
      for (const item of value as readonly AvroValue[]) encode(sink, item)
      sink.int(0)
    }
  }
  return primitiveEncoder(typeof type === 'string' ? type : type.type, at)
}

function primitiveEncoder(type: string, at: string): Encoder {
  switch (type) {
    case 'boolean':
      return (sink, value) => {
        if (typeof value !== 'boolean') throw wrong(at, type, value)
        sink.byte(value ? 1 : 0)
      }
    case 'int':
      return (sink, value) => {
        if (typeof value !== 'number' || (value | 0) !== value) throw wrong(at, type, value)
        sink.int(value)
      }
    case 'long':
      return (sink, value) => {
        if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) sink.long(value)
        else if (typeof value === 'number' && Number.isSafeInteger(value)) sink.long(BigInt(value))
        else throw wrong(at, type, value)
      }
    case 'double':
      return (sink, value) => {
        if (typeof value !== 'number') throw wrong(at, type, value)
        sink.double(value)
      }
    case 'bytes':
      return (sink, value) => {
        if (!(value instanceof Uint8Array)) throw wrong(at, type, value)
        sink.bytes(value)
      }
    case 'string':
      return (sink, value) => {
        if (typeof value !== 'string') throw wrong(at, type, value)
        sink.string(value)
      }
    default:
      throw corrupt(`Cannot write Avro field ${at}: expected a type that Iceberg's metadata uses, found ${type}.`)
  }
}

function unionEncoder(branches: readonly AvroSchema[], at: string): Encoder {
  if (branches.length !== 2 || branches[0] !== 'null')
    throw corrupt(`Cannot write Avro field ${at}: expected a union of null and one type, found ${JSON.stringify(branches)}.`)
  const encode = encoderOf(branches[1], at)
  return (sink, value) => {
    if (value === null || value === undefined) sink.byte(0)
    else {
      sink.byte(2)
      encode(sink, value)
    }
  }
}

function wrong(at: string, expected: string, found: unknown) {
  return corrupt(`Cannot write Avro field ${at}: expected ${expected}, found ${found === null ? 'null' : typeof found}.`)
}

/** A growing buffer with Avro's primitive encodings. */
class Sink {
  #buffer = Buffer.allocUnsafe(4096)
  length = 0

  taken(): Uint8Array {
    return this.#buffer.subarray(0, this.length)
  }

  clear(): void {
    this.length = 0
  }

  #room(bytes: number): void {
    if (this.length + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.length + bytes))
    this.#buffer.copy(larger, 0, 0, this.length)
    this.#buffer = larger
  }

  byte(value: number): void {
    this.#room(1)
    this.#buffer[this.length++] = value
  }

  /** Zigzag, 7 bits a byte, least significant first. */
  int(value: number): void {
    this.#room(5)
    let rest = ((value << 1) ^ (value >> 31)) >>> 0
    while (rest > 0x7f) {
      this.#buffer[this.length++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#buffer[this.length++] = rest
  }

  long(value: bigint): void {
    if (value >= -0x40000000n && value < 0x40000000n) {
      this.int(Number(value))
      return
    }
    this.#room(10)
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
    while (rest > 0x7fn) {
      this.#buffer[this.length++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#buffer[this.length++] = Number(rest)
  }

  double(value: number): void {
    this.#room(8)
    this.length = this.#buffer.writeDoubleLE(value, this.length)
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#buffer.set(bytes, this.length)
    this.length += bytes.length
  }

  bytes(bytes: Uint8Array): void {
    this.long(BigInt(bytes.length))
    this.raw(bytes)
  }

  string(text: string): void {
    const length = Buffer.byteLength(text)
    this.long(BigInt(length))
    this.#room(length)
    this.length += this.#buffer.write(text, this.length)
  }
}
