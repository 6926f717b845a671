import { corrupt } from '../errors.ts'

/**
 * Thrift's compact protocol, the reading half (thrift-compact-protocol.md): any struct as a map from field id to value, so that
 * fields of newer versions of parquet.thrift are passed over. Cold: one struct per page, one per file.
 */
export type ThriftValue = boolean | number | Uint8Array | readonly ThriftValue[] | ThriftStruct
export type ThriftStruct = ReadonlyMap<number, ThriftValue>

const TRUE = 1
const FALSE = 2
const BYTE = 3
const I16 = 4
const I32 = 5
const I64 = 6
const DOUBLE = 7
const BINARY = 8
const LIST = 9
const SET = 10
const STRUCT = 12

/** Far deeper than parquet.thrift goes. */
const MAX_DEPTH = 16

/**
 * The struct that starts at `bytes[at]` and must end within `bytes`, and where it ends. Integers are numbers: exact up to 2^53,
 * which counts, sizes and offsets stay below. Byte strings are views. Throws `Corrupt`.
 */
export function readThrift(bytes: Uint8Array, at: number): { readonly struct: ThriftStruct; readonly end: number } {
  let end = at

  function byte(): number {
    if (end >= bytes.length) throw corrupt('expected a Thrift struct, found its bytes cut short')
    return bytes[end++]
  }
  function varint(): number {
    let value = 0
    for (let shift = 0; shift < 70; shift += 7) {
      const part = byte()
      value += (part & 0x7f) * 2 ** shift
      if (part < 0x80) return value
    }
    throw corrupt('expected a Thrift integer of at most ten bytes, found a longer one')
  }
  function integer(): number {
    const zigzag = varint()
    return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2
  }
  function blob(length: number): Uint8Array {
    if (length > bytes.length - end) throw corrupt(`expected ${length} bytes of Thrift, found ${bytes.length - end}`)
    end += length
    return bytes.subarray(end - length, end)
  }
  function list(depth: number): ThriftValue[] {
    const header = byte()
    const count = header >>> 4 === 15 ? varint() : header >>> 4
    // Each element takes a byte at least, an empty struct its stop.
    if (count > bytes.length - end)
      throw corrupt(`expected a Thrift list of ${count} elements, found ${bytes.length - end} bytes`)
    const type = header & 15
    return Array.from({ length: count }, () => (type === TRUE || type === FALSE ? byte() === TRUE : value(type, depth)))
  }
  function value(type: number, depth: number): ThriftValue {
    switch (type) {
      case TRUE:
      case FALSE:
        return type === TRUE
      case BYTE:
        return (byte() << 24) >> 24
      case I16:
      case I32:
      case I64:
        return integer()
      case DOUBLE: {
        const eight = blob(8)
        return new DataView(eight.buffer, eight.byteOffset, 8).getFloat64(0, true)
      }
      case BINARY:
        return blob(varint())
      case LIST:
      case SET:
        return list(depth + 1)
      case STRUCT:
        return struct(depth + 1)
      default:
        throw corrupt(`expected a Thrift type of Parquet's, found ${type}`)
    }
  }
  function struct(depth: number): ThriftStruct {
    if (depth > MAX_DEPTH) throw corrupt(`expected Thrift structs at most ${MAX_DEPTH} deep, found deeper ones`)
    const fields = new Map<number, ThriftValue>()
    let id = 0
    for (let header = byte(); header !== 0; header = byte()) {
      id = header >>> 4 === 0 ? integer() : id + (header >>> 4)
      fields.set(id, value(header & 15, depth))
    }
    return fields
  }

  return { struct: struct(0), end }
}

const described = (value: ThriftValue | undefined) => (value === undefined ? 'none' : JSON.stringify(value))

/** Field `id`, a whole number of at least 0 (a size, count or enum), or undefined. */
export function countIn(struct: ThriftStruct, id: number, what: string): number | undefined {
  const value = struct.get(id)
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw corrupt(`expected ${what} of at least 0, found ${described(value)}`)
  return value
}

/** The same, where it has to be there. */
export function needCount(struct: ThriftStruct, id: number, what: string): number {
  const value = countIn(struct, id, what)
  if (value === undefined) throw corrupt(`expected ${what}, found none`)
  return value
}

export function structIn(struct: ThriftStruct, id: number): ThriftStruct | undefined {
  const value = struct.get(id)
  return value instanceof Map ? value : undefined
}

export function needStruct(struct: ThriftStruct, id: number, what: string): ThriftStruct {
  const value = structIn(struct, id)
  if (value === undefined) throw corrupt(`expected ${what}, found ${described(struct.get(id))}`)
  return value
}

/** A list of structs. */
export function needStructs(struct: ThriftStruct, id: number, what: string): readonly ThriftStruct[] {
  const value = struct.get(id)
  if (!Array.isArray(value)) throw corrupt(`expected ${what}, found ${described(value)}`)
  return value.map((item: ThriftValue) => {
    if (!(item instanceof Map)) throw corrupt(`expected ${what}, found ${described(item)} among them`)
    return item
  })
}

const utf8 = new TextDecoder()

/** A string; empty when it is not there. */
export function textIn(struct: ThriftStruct, id: number): string {
  const value = struct.get(id)
  return value instanceof Uint8Array ? utf8.decode(value) : ''
}
