import { usage } from '../errors.ts'
import type { Records } from './records.ts'

/** Kafka's timestamps are 64 bits and producers may set any; outside JavaScript's instants there is none to speak of. */
const MAX_TIMESTAMP_MS = 8.64e15

const EVENT_SOURCES = ['aws:kafka', 'SelfManagedKafka']

/** A record of a Lambda event; what it holds is not known before it is checked. */
interface EventRecord {
  readonly topic?: unknown
  readonly partition?: unknown
  readonly offset?: unknown
  readonly timestamp?: unknown
  readonly key?: unknown
  readonly value?: unknown
}

/**
 * The records of a Kafka event as AWS Lambda delivers it (event source mappings for MSK and self-managed Kafka), one
 * `Records` per topic and partition in the order they first come. Topic and partition are the record's own. A value
 * that is null or absent is a tombstone; a missing, negative or absurd timestamp is none (NaN). Records of a partition
 * are put in offset order; one that comes twice with the same content is taken once.
 *
 * All values are decoded into one buffer, which the `Records` share. Throws `Usage` for anything that is not such an
 * event: nothing of it is taken then.
 */
export function parseKafkaEvent(event: unknown): Records[] {
  if (!isObject(event)) throw malformed('an event object', event)
  const { eventSource, records } = event
  if (typeof eventSource !== 'string' || !EVENT_SOURCES.includes(eventSource))
    throw malformed(`eventSource ${EVENT_SOURCES.join(' or ')}`, eventSource)
  if (!isObject(records)) throw malformed('records by topic and partition', records)
  const groups = new Map<string, EventRecord[]>()
  let capacity = 0
  for (const [name, list] of Object.entries(records)) {
    if (!Array.isArray(list)) throw malformed(`a list of records under ${name}`, list)
    let group: EventRecord[] | undefined
    let topic: unknown
    let partition: unknown
    for (let i = 0; i < list.length; i++) {
      const record: unknown = list[i]
      if (!isObject(record)) throw malformed(`a record at ${name}[${i}]`, record === null ? null : otherType(record))
      if (group === undefined || record.topic !== topic || record.partition !== partition) {
        topic = record.topic
        partition = record.partition
        if (typeof topic !== 'string' || topic === '') throw malformed(`a topic at ${name}[${i}]`, topic)
        if (typeof partition !== 'number' || (partition | 0) !== partition || partition < 0)
          throw malformed(`a partition number at ${name}[${i}]`, partition)
        // A topic's name has no slash.
        const key = `${topic}/${partition}`
        group = groups.get(key)
        if (group === undefined) groups.set(key, (group = []))
      }
      const { value, offset } = record
      if (typeof value === 'string') capacity += base64Length(value, name)
      else if (value !== null && value !== undefined) throw malformed(`a base64 value at ${name}[${i}]`, otherType(value))
      if (typeof offset !== 'number' || !Number.isSafeInteger(offset) || offset < 0)
        throw malformed(`an offset between 0 and 2^53 - 1 at ${name}[${i}]`, offset)
      group.push(record)
    }
  }
  const bytes = Buffer.allocUnsafeSlow(capacity) as LatinBuffer
  const result: Records[] = []
  let textAt = 0
  for (const group of groups.values()) {
    const list = inOffsetOrder(group)
    const places = placeValues(list, bytes, textAt)
    textAt = places.textEnd
    result.push(recordsOf(list, bytes, places))
  }
  decodeInPlace(bytes, textAt, groups.values())
  return result
}

/** Node's own writer of one-byte text, a third faster than `write(text, at, length, 'latin1')`, which leads to it. */
interface LatinBuffer extends Buffer<ArrayBuffer> {
  latin1Write(text: string, at: number, length: number): number
}

interface Places {
  readonly valueStart: Int32Array
  readonly valueEnd: Int32Array
  readonly textEnd: number
}

/** A multiple of 4: pieces end between groups. */
const PIECE_BYTES = 65_536
const A = 0x41
const EQUALS = 0x3d

/**
 * Lays the base64 text of the values end to end from `textAt` on, padded with A (zero bits) to whole groups of four, so
 * that one call can decode them all: twice as fast as a call per value. After that there are up to two zero bytes
 * behind a value.
 */
function placeValues(list: readonly EventRecord[], bytes: LatinBuffer, textAt: number): Places {
  const valueStart = new Int32Array(list.length)
  const valueEnd = new Int32Array(list.length)
  let at = textAt
  for (let i = 0; i < list.length; i++) {
    const { value } = list[i]
    if (typeof value !== 'string') {
      valueStart[i] = -1
      valueEnd[i] = -1
      continue
    }
    valueStart[i] = (at / 4) * 3
    let length = value.length
    bytes.latin1Write(value, at, length)
    if (length > 0 && bytes[at + length - 1] === EQUALS) length--
    if (length > 0 && bytes[at + length - 1] === EQUALS) length--
    valueEnd[i] = valueStart[i] + Math.floor((length * 3) / 4)
    at += length
    while (at % 4 !== 0) bytes[at++] = A
  }
  return { valueStart, valueEnd, textEnd: at }
}

/** Decodes the base64 text at the start of `bytes` over itself, piece by piece: each fits the processor's cache. */
function decodeInPlace(bytes: Buffer, textEnd: number, groups: Iterable<readonly EventRecord[]>): void {
  let isBase64 = true
  for (let at = 0; at < textEnd && isBase64; at += PIECE_BYTES) {
    const stop = Math.min(at + PIECE_BYTES, textEnd)
    const sizeBytes = ((stop - at) / 4) * 3
    isBase64 = bytes.write(bytes.toString('latin1', at, stop), (at / 4) * 3, sizeBytes, 'base64') === sizeBytes
  }
  if (isBase64) return
  // Node skips what is not base64: something was skipped.
  for (const group of groups)
    for (const { value, offset } of group)
      if (typeof value === 'string' && !/^[A-Za-z0-9+/]*={0,2}$/.test(value))
        throw malformed(`base64 at offset ${offset}`, otherText(value))
  throw malformed('base64 values', 'other characters')
}

function recordsOf(list: readonly EventRecord[], bytes: Buffer, { valueStart, valueEnd }: Places): Records {
  const count = list.length
  const offsets = new Float64Array(count)
  const timestamps = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    const { offset, timestamp } = list[i]
    offsets[i] = offset as number
    timestamps[i] = timestampOf(timestamp)
  }
  const { topic, partition } = list[0]
  return {
    topic: topic as string,
    partition: partition as number,
    count,
    offsets,
    timestamps,
    bytes,
    valueStart,
    valueEnd,
    key(i) {
      const { key } = list[i]
      if (key === null || key === undefined) return null
      if (typeof key !== 'string') throw malformed(`a base64 key at offset ${offsets[i]}`, otherType(key))
      return Buffer.from(key, 'base64')
    },
  }
}

/** Length of base64 text (RFC 4648 section 4; padding is there as a whole or not at all) in whole groups of four. */
function base64Length(text: string, where: string): number {
  const { length } = text
  const over = length % 4
  if (over === 1 || (over > 1 && text.charCodeAt(length - 1) === EQUALS)) throw malformed(`base64 at ${where}`, otherText(text))
  return over === 0 ? length : length + 4 - over
}

function timestampOf(timestamp: unknown): number {
  if (timestamp === undefined || timestamp === null) return Number.NaN
  if (typeof timestamp !== 'number') throw malformed('a timestamp in milliseconds', timestamp)
  return Number.isInteger(timestamp) && timestamp >= 0 && timestamp <= MAX_TIMESTAMP_MS ? timestamp : Number.NaN
}

function inOffsetOrder(list: readonly EventRecord[]): readonly EventRecord[] {
  const offset = (record: EventRecord) => record.offset as number
  let isAscending = true
  for (let i = 1; i < list.length; i++) if (offset(list[i]) <= offset(list[i - 1])) isAscending = false
  if (isAscending) return list
  const sorted = list.toSorted((a, b) => offset(a) - offset(b))
  return sorted.filter((record, i) => {
    if (i === 0 || offset(record) !== offset(sorted[i - 1])) return true
    const { topic, partition, value, timestamp } = record
    if ((value ?? null) !== (sorted[i - 1].value ?? null) || timestamp !== sorted[i - 1].timestamp)
      throw malformed('each offset once', `two different records at offset ${offset(record)} of ${topic}-${partition}`)
    return false
  })
}

/** What a poller or a test hands over. */
export interface RecordValues {
  readonly topic: string
  readonly partition: number
  /** Of the first value, when offsets follow one another (0 when nothing is said); `offsets` otherwise. */
  readonly firstOffset?: number
  /** Ascending; one per value. */
  readonly offsets?: ArrayLike<number>
  /** null: a tombstone. */
  readonly values: readonly (Uint8Array | null)[]
  readonly keys?: readonly (Uint8Array | null)[]
  /** Milliseconds since the epoch; NaN for none. None at all when absent. */
  readonly timestamps?: ArrayLike<number>
}

/** Records of one partition from values at hand, copied into one buffer. Throws `Usage` when offsets do not ascend. */
export function recordsFromValues({
  topic,
  partition,
  firstOffset = 0,
  offsets,
  values,
  keys,
  timestamps,
}: RecordValues): Records {
  const count = values.length
  const bytes = new Uint8Array(values.reduce((sum, value) => sum + (value?.length ?? 0), 0))
  const valueStart = new Int32Array(count)
  const valueEnd = new Int32Array(count)
  const ownOffsets = new Float64Array(count)
  const ownTimestamps = new Float64Array(count).fill(Number.NaN)
  let at = 0
  for (let i = 0; i < count; i++) {
    ownOffsets[i] = offsets === undefined ? firstOffset + i : offsets[i]
    if (!Number.isSafeInteger(ownOffsets[i]) || (i > 0 && ownOffsets[i] <= ownOffsets[i - 1]))
      throw usage(`Cannot take records of ${topic}-${partition}: expected ascending offsets, found ${ownOffsets[i]} at ${i}.`)
    if (timestamps !== undefined) ownTimestamps[i] = timestampOf(timestamps[i])
    const value = values[i]
    if (value === null) {
      valueStart[i] = -1
      valueEnd[i] = -1
      continue
    }
    bytes.set(value, at)
    valueStart[i] = at
    at += value.length
    valueEnd[i] = at
  }
  const key = (i: number) => keys?.[i] ?? null
  return { topic, partition, count, offsets: ownOffsets, timestamps: ownTimestamps, bytes, valueStart, valueEnd, key }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Keys and values are nobody's business: their texts are told by length. */
const otherText = (text: string): string => `${text.length} other characters`

const otherType = (found: unknown): string =>
  Array.isArray(found) ? 'a list' : isObject(found) ? 'an object' : `a ${typeof found}`

function malformed(expected: string, found: unknown) {
  const text = Array.isArray(found) ? 'a list' : isObject(found) ? 'an object' : String(found)
  return usage(
    `Cannot read the Kafka event: expected ${expected}, found ${text.length > 80 ? `${text.slice(0, 80)}…` : text}. ` +
      'Events have the form that AWS Lambda documents for Amazon MSK and self-managed Apache Kafka.',
  )
}
