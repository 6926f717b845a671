import { Buffer } from 'node:buffer'
import type { IHeaders } from 'kafkajs'

/** What a synchronous invocation takes at most: Lambda's quota of 6 MB. */
export const PAYLOAD_LIMIT_BYTES = 6 * 1024 * 1024

/** A record as it stands in the event: serialised once, however often it is delivered. */
export interface MappedRecord {
  readonly offset: number
  /** Milliseconds since the epoch; -1 when the record has none. */
  readonly timestampMs: number
  readonly json: string
  /** UTF-8 bytes of `json`. */
  readonly jsonBytes: number
}

/** Records of one partition that follow one another, under the partition's name in the event: `orders-0`. */
export interface Run {
  readonly name: string
  readonly topic: string
  readonly partition: number
  readonly records: readonly MappedRecord[]
}

/** What kafkajs reads, as far as an event holds it. It hands `batchContext` along without naming it in its types. */
export interface ReadMessage {
  readonly offset: string
  readonly timestamp: string
  readonly key: Buffer | null
  /** null: a tombstone. */
  readonly value: Buffer | null
  readonly headers?: IHeaders | undefined
  readonly batchContext?: { readonly timestampType?: number }
}
const LOG_APPEND_TIME = 1

export const partitionName = (topic: string, partition: number): string => `${topic}-${partition}`

/**
 * The records of a partition as AWS documents them in Kafka events: keys and values in base64, a tombstone's value null, no
 * `key` where there is none, header bytes as signed numbers (what the Java poller behind the service writes; aws-lambda-go
 * reads and writes them so). kafkajs groups a header that comes several times, so only the order among different names can
 * change.
 */
export function mapRecords(topic: string, partition: number, messages: readonly ReadMessage[]): MappedRecord[] {
  const start = `{"topic":${JSON.stringify(topic)},"partition":${partition},"offset":`
  return messages.map((message) => {
    const { offset, timestamp, key, value, batchContext } = message
    const type = batchContext?.timestampType === LOG_APPEND_TIME ? 'LOG_APPEND_TIME' : 'CREATE_TIME'
    const keyField = key === null ? '' : `"key":"${key.toString('base64')}",`
    const valueJson = value === null ? 'null' : `"${value.toString('base64')}"`
    const headers = headersOf(message)
    const json = `${start}${offset},"timestamp":${timestamp},"timestampType":"${type}",${keyField}"value":${valueJson},"headers":${headers}}`
    return {
      offset: Number(offset),
      timestampMs: Number(timestamp),
      json,
      // All of it is ASCII, a header's name excepted.
      jsonBytes: headers === NO_HEADERS ? json.length : Buffer.byteLength(json),
    }
  })
}

const NO_HEADERS = '[]'

function headersOf({ headers }: ReadMessage): string {
  if (headers === undefined) return NO_HEADERS
  const list: string[] = []
  for (const [name, value] of Object.entries(headers)) {
    const values = Array.isArray(value) ? value : [value]
    for (const bytes of values)
      list.push(`{${JSON.stringify(name)}:${bytes ? `[${new Int8Array(Buffer.from(bytes)).join(',')}]` : 'null'}}`)
  }
  return `[${list.join(',')}]`
}

export interface EventOrigin {
  readonly eventSource: 'aws:kafka' | 'SelfManagedKafka'
  readonly eventSourceArn?: string | undefined
  readonly brokers: readonly string[]
}

const CLOSE = '}}'

/** The event up to its first partition. */
export function eventStart({ eventSource, eventSourceArn, brokers }: EventOrigin): string {
  const origin = { eventSource, ...(eventSourceArn === undefined ? {} : { eventSourceArn }), bootstrapServers: brokers.join(',') }
  return `${JSON.stringify(origin).slice(0, -1)},"records":{`
}

export function eventJson(start: string, runs: readonly Run[]): string {
  const partitions = runs.map(
    ({ name, records }) => `${JSON.stringify(name)}:[${records.map((record) => record.json).join(',')}]`,
  )
  return `${start}${partitions.join(',')}${CLOSE}`
}

/** Bytes of an event without partitions. */
export const emptyEventBytes = (start: string): number => Buffer.byteLength(start) + CLOSE.length

/** Bytes that a partition adds besides its records and the commas between them; topic names are ASCII. */
export const runFrameBytes = (name: string): number => name.length + '"":[]'.length

/** Exactly the UTF-8 bytes of `eventJson`. */
export function eventBytes(start: string, runs: readonly Run[]): number {
  let bytes = emptyEventBytes(start) + Math.max(0, runs.length - 1)
  for (const { name, records } of runs) {
    bytes += runFrameBytes(name) + Math.max(0, records.length - 1)
    for (const { jsonBytes } of records) bytes += jsonBytes
  }
  return bytes
}

export const countRecords = (runs: readonly Run[]): number => runs.reduce((sum, { records }) => sum + records.length, 0)
