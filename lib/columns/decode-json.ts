import { invalidPipeline } from '../errors.ts'
import type { Batch, Vector } from './batch.ts'
import { type BytesDictionary, bytesDictionary, HASH_START, hashEnd, hashWord, viewOf } from './dictionary.ts'
import { keyReader } from './json-keys.ts'
import { NOT_A_NUMBER, NOT_AN_INTEGER, OUT_OF_RANGE, scanDouble, scanInt, scanLong, textOf } from './json-number.ts'
import {
  bytesBelow,
  CLOSE_BRACE,
  COMMA,
  EXPECT,
  fail,
  newScratch,
  OPEN_BRACE,
  QUOTE,
  scanString,
  skipSpace,
  skipValue,
  specialBytes,
} from './json-scan.ts'
import { words } from './numbers.ts'
import type { Records } from './records.ts'
import { describeFailure, describeValue, RANGES, type Rejected, WANTED } from './rejected.ts'
import type { Fields, InputField, InputFields } from './schema.ts'

export type { Rejected, RejectReason } from './rejected.ts'

/** What became of a run of records: each is either a row or rejected. */
export interface Decoded {
  /** The accepted rows in record order, under the decoder's fields. Its memory is its own. */
  readonly batch: Batch
  /** Record index of each row; at least `batch.rows` long. */
  readonly indexes: Int32Array
  /** In record order. */
  readonly rejected: readonly Rejected[]
}

export interface JsonDecoder {
  /** Decodes the records `from .. to - 1`. */
  decode(records: Records, from: number, to: number): Decoded
}

/** What a record says of a column. From `WRONG_TYPE` on it is a reason to reject, unless a later duplicate overrides it. */
const ABSENT = 0
const PRESENT = 1
const NULL = 2
const WRONG_TYPE = 3
const FRACTION = 4
const TOO_GREAT = 5

/** Column types as small integers, which a switch tells apart faster than strings. */
const KINDS = { double: 0, long: 1, string: 2, int: 3, boolean: 4 } as const
const { double: DOUBLE, long: LONG, string: STRING, int: INT } = KINDS

/** A column while records are decoded into it: of the value arrays only that of its type is in use. */
interface Column {
  readonly field: InputField
  readonly kind: number
  readonly dictionary: BytesDictionary
  doubles: Float64Array
  longs: BigInt64Array
  longWords: Int32Array
  ints: Int32Array
  flags: Uint8Array
  /** Of an optional column. */
  validity: Uint8Array | undefined
  hasNulls: boolean
  /** What the record at hand says of it, and at which byte. */
  state: number
  at: number
}

/**
 * A decoder of JSON objects into columns by the rules of docs/reference/json-decoding.md (RFC 8259, UTF-8). No object is made per
 * record: one pass over the bytes writes into typed arrays. A record is rejected for its first defect of grammar, else
 * for its first column (in field order) that is missing, null though required, of the wrong type or out of range.
 *
 * Throws `InvalidPipeline` for columns of a type that JSON has no form for (timestamptz, binary), for a name and for a JSON key
 * used twice.
 */
export function jsonDecoder(input: InputFields): JsonDecoder {
  const columns = input.map((field) => newColumn(field, input))
  const fields: Fields = input.map(({ id, name, type, required }) => ({ id, name, type, required }))
  const scratch = newScratch()
  const keys = keyReader(input.map(keyOf), scratch)

  /** The string whose opening quote is at `p` into row `row` of `column`. */
  function scanText(column: Column, view: DataView, p: number, end: number, row: number): number {
    // Hashes while it looks for the closing quote. A word may reach behind `end`; what it found there does not count.
    const limit = view.byteLength - 4
    let hash = HASH_START
    for (let q = p + 1; q < end && q <= limit; q += 4) {
      const word = view.getInt32(q, true)
      const special = specialBytes(word)
      if (special === 0) {
        hash = hashWord(hash, word)
        continue
      }
      const rest = bytesBelow(special)
      const stop = q + rest
      if (stop >= end || view.getUint8(stop) !== QUOTE) break
      if (rest > 0) hash = hashWord(hash, word & (0xffffff >>> (24 - 8 * rest)))
      column.ints[row] = column.dictionary.codeOfHash(hashEnd(hash, stop - p - 1), view, p + 1, stop)
      return stop + 1
    }
    const next = scanString(view, p, end, scratch)
    if (next >= 0) column.ints[row] = column.dictionary.code(scratch.text, 0, scratch.textLength)
    return next
  }

  /** A value that is not what the column takes: null, or a problem unless a later duplicate of the key overrides it. */
  function scanOther(column: Column, view: DataView, p: number, end: number, refusal: number): number {
    const next = skipValue(view, p, end, scratch)
    if (next < 0) return next
    if (view.getUint8(p) === 0x6e) column.state = NULL
    else column.state = refusal === NOT_AN_INTEGER ? FRACTION : refusal === OUT_OF_RANGE ? TOO_GREAT : WRONG_TYPE
    column.at = p
    return next
  }

  /** The value at `p` into row `row` of `column`. */
  function scanColumn(column: Column, view: DataView, p: number, end: number, row: number): number {
    let next = NOT_A_NUMBER
    switch (column.kind) {
      case DOUBLE:
        next = scanDouble(view, p, end, column.doubles, row)
        break
      case LONG:
        next = scanLong(view, p, end, column.longWords, row)
        break
      case STRING:
        if (view.getUint8(p) !== QUOTE) break
        next = scanText(column, view, p, end, row)
        if (next < 0) return next
        break
      case INT:
        next = scanInt(view, p, column.ints, row)
        break
      default: {
        const isTrue = view.getUint8(p) === 0x74
        if (!isTrue && view.getUint8(p) !== 0x66) break
        next = skipValue(view, p, end, scratch)
        if (next < 0) return next
        column.flags[row] = isTrue ? 1 : 0
      }
    }
    if (next < 0) return scanOther(column, view, p, end, next)
    column.state = PRESENT
    return next
  }

  /**
   * The object whose opening brace is at `p` and whose text ends with a brace at `end - 1`. That last brace is what the
   * number scanners rely on: nothing but a string can run past it, and strings are held to `end`.
   */
  function scanObject(view: DataView, p: number, end: number, row: number): number {
    p++
    if (view.getUint8(p) <= 0x20) p = skipSpace(view, p, end)
    if (view.getUint8(p) === CLOSE_BRACE) return p + 1 === end ? end : fail(skipSpace(view, p + 1, end), EXPECT.TRAILING)
    for (let position = 0; ; position++) {
      if (view.getUint8(p) !== QUOTE) return fail(p, EXPECT.KEY)
      p = keys.read(view, p, end, position)
      if (p < 0) return p
      if (p >= end) return fail(end, EXPECT.VALUE)
      if (view.getUint8(p) <= 0x20) p = skipSpace(view, p, end)
      p = keys.column < 0 ? skipValue(view, p, end, scratch) : scanColumn(columns[keys.column], view, p, end, row)
      if (p < 0) return p
      if (p >= end) return fail(end, EXPECT.IN_OBJECT)
      let separator = view.getUint8(p)
      if (separator <= 0x20) {
        p = skipSpace(view, p, end)
        separator = view.getUint8(p)
      }
      if (separator !== COMMA) {
        if (separator !== CLOSE_BRACE) return fail(p, EXPECT.IN_OBJECT)
        return p + 1 === end ? end : fail(skipSpace(view, p + 1, end), EXPECT.TRAILING)
      }
      p++
      if (view.getUint8(p) <= 0x20) p = skipSpace(view, p, end)
    }
  }

  /** True when every column has a value, or null where it may. */
  function isRow(row: number): boolean {
    for (let k = 0; k < columns.length; k++) {
      const column = columns[k]
      const { validity } = column
      if (column.state === PRESENT) {
        if (validity !== undefined) validity[row] = 1
      } else {
        if (column.state > NULL || validity === undefined) return false
        putNull(column, row)
      }
    }
    return true
  }

  /** Why the object just scanned is no row. */
  function columnProblem(index: number, view: DataView, start: number, end: number): Rejected {
    const problem = (column: Column) => column.state > NULL || (column.field.required && column.state !== PRESENT)
    const { field, state, at } = columns[columns.findIndex(problem)]
    const key = field.jsonKey === undefined ? '' : ` (key ${JSON.stringify(field.jsonKey)})`
    const say = (expected: string, found: string) =>
      `Cannot decode column ${field.name}${key}: expected ${expected}, found ${found}`
    const where = `at byte ${at - start}.`
    const wanted = WANTED[field.type]
    switch (state) {
      case ABSENT:
        return { index, reason: 'missing_field', detail: `${say(wanted, 'no such key')}.` }
      case FRACTION:
        return { index, reason: 'wrong_type', detail: say(wanted, `a number with a fraction or an exponent ${where}`) }
      case TOO_GREAT: {
        const stop = skipValue(view, at, end, scratch)
        const text = stop - at > 40 ? `${textOf(view, at, at + 40)}…` : textOf(view, at, stop)
        return { index, reason: 'out_of_range', detail: say(RANGES[field.type], `${text} ${where}`) }
      }
      default:
        return { index, reason: 'wrong_type', detail: say(wanted, `${describeValue(view.getUint8(at))} ${where}`) }
    }
  }

  /** Why a value that does not start and end with a brace is no row. */
  function notAnObject(index: number, view: DataView, start: number, end: number): Rejected {
    if (start === end)
      return { index, reason: 'empty_value', detail: 'Cannot decode JSON: expected an object, found an empty value.' }
    let p = skipValue(view, start, end, scratch)
    if (p >= 0) {
      p = skipSpace(view, p, end)
      if (p < end) p = fail(p, EXPECT.TRAILING)
    }
    if (p < 0) return { index, ...describeFailure(view, start, end, p) }
    const first = skipSpace(view, start, end)
    const found = `${describeValue(view.getUint8(first))} at byte ${first - start}`
    return { index, reason: 'not_an_object', detail: `Cannot decode JSON: expected an object, found ${found}.` }
  }

  /** Row `row` from record `index`, or why there is none. */
  function decodeRecord(records: Records, view: DataView, index: number, row: number): Rejected | undefined {
    const start = records.valueStart[index]
    const stop = records.valueEnd[index]
    if (start < 0)
      return { index, reason: 'tombstone', detail: 'Cannot decode JSON: expected an object, found a null value (tombstone).' }
    let first = start
    let end = stop
    while (end > start && isSpace(view.getUint8(end - 1))) end--
    while (first < end && isSpace(view.getUint8(first))) first++
    if (end - first < 2 || view.getUint8(first) !== OPEN_BRACE || view.getUint8(end - 1) !== CLOSE_BRACE)
      return notAnObject(index, view, start, stop)
    for (let k = 0; k < columns.length; k++) columns[k].state = ABSENT
    const p = scanObject(view, first, end, row)
    if (p < 0) return { index, ...describeFailure(view, start, stop, p) }
    return isRow(row) ? undefined : columnProblem(index, view, start, end)
  }

  return {
    decode(records, from, to) {
      for (const column of columns) startBatch(column, to - from)
      const indexes = new Int32Array(to - from)
      const rejected: Rejected[] = []
      const view = viewOf(records.bytes)
      let rows = 0
      for (let index = from; index < to; index++) {
        const problem = decodeRecord(records, view, index, rows)
        if (problem === undefined) indexes[rows++] = index
        else rejected.push(problem)
      }
      return { batch: { fields, rows, vectors: columns.map(finishBatch) }, indexes, rejected }
    },
  }
}

const isSpace = (c: number): boolean => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09

const keyOf = ({ name, jsonKey }: InputField): string => jsonKey ?? name

function newColumn(field: InputField, fields: InputFields): Column {
  const { name, type } = field
  if (type === 'timestamptz' || type === 'binary')
    throw invalidPipeline(
      `Cannot decode column ${name} from JSON: expected boolean, int, long, double or string, found ${type}. ` +
        'Declare a long or a string and compute the column from it.',
    )
  if (fields.some((other) => other !== field && other.name === name))
    throw invalidPipeline(`Cannot decode JSON: expected each column once, found ${name} twice. Rename one.`)
  const twin = fields.find((other) => other !== field && keyOf(other) === keyOf(field))
  if (twin !== undefined)
    throw invalidPipeline(
      `Cannot decode JSON: expected each key once, found ${JSON.stringify(keyOf(field))} read into both ${name} and ${twin.name}. ` +
        'Keep one of them and compute the other from it.',
    )
  const nothing = { doubles: new Float64Array(0), longs: new BigInt64Array(0), longWords: new Int32Array(0) }
  return {
    field,
    kind: KINDS[type],
    dictionary: bytesDictionary(),
    ...nothing,
    ints: new Int32Array(0),
    flags: new Uint8Array(0),
    validity: undefined,
    hasNulls: false,
    state: ABSENT,
    at: 0,
  }
}

/** Fresh memory for up to `capacity` rows: what a batch has been given is not written again. */
function startBatch(column: Column, capacity: number): void {
  column.dictionary.clear()
  column.validity = column.field.required ? undefined : new Uint8Array(capacity)
  column.hasNulls = false
  switch (column.kind) {
    case DOUBLE:
      column.doubles = new Float64Array(capacity)
      break
    case LONG:
      column.longs = new BigInt64Array(capacity)
      column.longWords = words(column.longs)
      break
    case STRING:
    case INT:
      column.ints = new Int32Array(capacity)
      break
    default:
      column.flags = new Uint8Array(capacity)
  }
}

/** Null in `row`: its value slot is 0 or the empty string (an earlier, rejected record may have left its own there). */
function putNull(column: Column, row: number): void {
  if (column.validity !== undefined) column.validity[row] = 0
  column.hasNulls = true
  switch (column.kind) {
    case DOUBLE:
      column.doubles[row] = 0
      break
    case LONG:
      column.longWords[2 * row] = 0
      column.longWords[2 * row + 1] = 0
      break
    case STRING:
      column.ints[row] = column.dictionary.code(EMPTY, 0, 0)
      break
    case INT:
      column.ints[row] = 0
      break
    default:
      column.flags[row] = 0
  }
}
const EMPTY = new Uint8Array(0)

function finishBatch(column: Column): Vector {
  const validity = column.hasNulls ? column.validity : undefined
  switch (column.kind) {
    case DOUBLE:
      return { type: 'double', values: column.doubles, validity }
    case LONG:
      return { type: 'long', values: column.longs, validity }
    case STRING:
      return { type: 'string', codes: column.ints, ...column.dictionary.entries(), validity }
    case INT:
      return { type: 'int', values: column.ints, validity }
    default:
      return { type: 'boolean', values: column.flags, validity }
  }
}
