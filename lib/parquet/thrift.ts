/**
 * Thrift's compact protocol, the writing half, as far as Parquet's metadata needs it (thrift-compact-protocol.md). Cold:
 * one small struct per page, one large one per file.
 */

const TRUE = 1
const FALSE = 2
const I16 = 4
const I32 = 5
const I64 = 6
const BINARY = 8
const LIST = 9
const STRUCT = 12

/** Writes fields of the struct that is open; ids must ascend within a struct, as they do in parquet.thrift. */
export interface ThriftWriter {
  bool(id: number, value: boolean): void
  i16(id: number, value: number): void
  i32(id: number, value: number): void
  /** A safe integer: file offsets, sizes and counts stay below 2^53. */
  i64(id: number, value: number): void
  string(id: number, value: string): void
  binary(id: number, value: Uint8Array): void
  struct(id: number, body: () => void): void
  i32s(id: number, values: readonly number[]): void
  strings(id: number, values: readonly string[]): void
  structs<T>(id: number, items: readonly T[], body: (item: T) => void): void
}

const utf8 = new TextEncoder()

/** The bytes of one top-level struct. */
export function thriftStruct(body: (writer: ThriftWriter) => void): Uint8Array {
  let bytes = new Uint8Array(256)
  let at = 0
  let lastId = 0

  function reserve(count: number): void {
    if (at + count <= bytes.length) return
    const larger = new Uint8Array(Math.max(at + count, bytes.length * 2))
    larger.set(bytes)
    bytes = larger
  }
  function byte(value: number): void {
    reserve(1)
    bytes[at++] = value
  }
  function varint(value: number): void {
    let rest = value
    while (rest > 0x7f) {
      byte((rest % 128) | 0x80)
      rest = Math.floor(rest / 128)
    }
    byte(rest)
  }
  /** Zigzag, without 32-bit operators: i64 values pass here too. */
  const integer = (value: number) => varint(value < 0 ? -2 * value - 1 : 2 * value)
  function blob(value: Uint8Array): void {
    varint(value.length)
    reserve(value.length)
    bytes.set(value, at)
    at += value.length
  }
  function header(id: number, type: number): void {
    const delta = id - lastId
    if (delta > 0 && delta < 16) byte((delta << 4) | type)
    else {
      byte(type)
      integer(id)
    }
    lastId = id
  }
  function listHeader(id: number, count: number, type: number): void {
    header(id, LIST)
    if (count < 15) byte((count << 4) | type)
    else {
      byte(0xf0 | type)
      varint(count)
    }
  }
  function nested(fields: () => void): void {
    const outer = lastId
    lastId = 0
    fields()
    byte(0)
    lastId = outer
  }

  nested(() =>
    body({
      bool: (id, value) => header(id, value ? TRUE : FALSE),
      i16: (id, value) => {
        header(id, I16)
        integer(value)
      },
      i32: (id, value) => {
        header(id, I32)
        integer(value)
      },
      i64: (id, value) => {
        header(id, I64)
        integer(value)
      },
      string: (id, value) => {
        header(id, BINARY)
        blob(utf8.encode(value))
      },
      binary: (id, value) => {
        header(id, BINARY)
        blob(value)
      },
      struct: (id, fields) => {
        header(id, STRUCT)
        nested(fields)
      },
      i32s: (id, values) => {
        listHeader(id, values.length, I32)
        for (const value of values) integer(value)
      },
      strings: (id, values) => {
        listHeader(id, values.length, BINARY)
        for (const value of values) blob(utf8.encode(value))
      },
      structs: (id, items, fields) => {
        listHeader(id, items.length, STRUCT)
        for (const item of items) nested(() => fields(item))
      },
    }),
  )
  return bytes.slice(0, at)
}
