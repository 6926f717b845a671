import { isUtf8 } from 'node:buffer'
import { Partitioners } from 'kafkajs'
import { threshold, xoshiro128 } from './random.ts'

/** A record as a producer hands it to Kafka. */
export interface ProducedRecord {
  readonly partition: number
  readonly key: string | null
  readonly value: Buffer
  /** When it was sent, ms since the epoch, by the event times around it. */
  readonly timestampMs: number
}

export interface LambdaEventOptions {
  /** @default 'trades' */
  readonly topic?: string | undefined
  /** @default 4 */
  readonly partitions?: number | undefined
  /** Events hold from one record to so many (AWS allows 10,000). @default 10_000 */
  readonly batchRecords?: number | undefined
  /** Decides the sizes of batches, how partitions interleave and what is delivered again. @default 1 */
  readonly seed?: number | undefined
  /** For each event, how likely something before it is delivered again. @default 0 */
  readonly duplicateShare?: number | undefined
  /** Whether records carry Kafka timestamps. @default false */
  readonly timestamps?: boolean | undefined
}

const KEY = 'symbol'
const MAX_BATCH_RECORDS = 10_000
/** Of JSON text: below the 6 MB that a function may be called with. */
const MAX_EVENT_CHARS = 5_500_000
/** So many batches' records wait, so that partitions can run ahead of one another. */
const LOOKAHEAD_BATCHES = 3
const EVENTS_REMEMBERED = 8
const RECORDS_REMEMBERED = 2000
const MAX_STEP_MS = 600_000
const PLAUSIBLE_FIRST_MS = [1e12, 4e12] as const
const NEWLINE = 0x0a

/** The lines of NDJSON chunks, without their newline; lines may span chunks. */
export function* linesOf(chunks: Iterable<Buffer>): Generator<Buffer, void, undefined> {
  let rest: Buffer | undefined
  for (const piece of chunks) {
    const chunk = rest === undefined ? piece : Buffer.concat([rest, piece])
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      yield chunk.subarray(start, end)
      start = end + 1
    }
    rest = start < chunk.length ? chunk.subarray(start) : undefined
  }
  if (rest !== undefined) yield rest
}

/** JSON.parse lets unpaired surrogates pass; the decoding rules don't, wherever they are. */
function refuseUnpaired(name: string, value: unknown): unknown {
  if (!name.isWellFormed() || (typeof value === 'string' && !value.isWellFormed())) throw new SyntaxError('unpaired surrogate')
  return value
}

/** The symbol of a value and its event time, as far as they can be read. */
function readTrade(line: Buffer): { readonly key: string | null; readonly ts: number | undefined } {
  const nothing = { key: null, ts: undefined }
  if (!isUtf8(line)) return nothing
  const text = line.toString('utf8')
  let value: unknown
  try {
    value = text.includes('\\u') ? JSON.parse(text, refuseUnpaired) : JSON.parse(text)
  } catch {
    return nothing
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return nothing
  const { [KEY]: key, ts } = value as Record<string, unknown>
  return {
    key: typeof key === 'string' ? key : null,
    ts: typeof ts === 'number' && Number.isInteger(ts) ? ts : undefined,
  }
}

/**
 * What a producer makes of NDJSON values: the symbol is the key, the default partitioner chooses by it. A value whose symbol
 * cannot be read has no key and goes to partition (line number, from 0) modulo `partitions`.
 */
export function* producedRecords(chunks: Iterable<Buffer>, topic: string, partitions: number): Generator<ProducedRecord, void> {
  const choose = Partitioners.DefaultPartitioner()
  const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({
    partitionErrorCode: 0,
    partitionId,
    leader: 1,
    replicas: [1],
    isr: [1],
  }))
  const partitionOf = new Map<string, number>()
  let clockMs: number | undefined
  let lineNumber = 0
  for (const value of linesOf(chunks)) {
    const { key, ts } = readTrade(value)
    let partition = lineNumber % partitions
    if (key !== null) {
      const known = partitionOf.get(key)
      partition = known ?? choose({ topic, partitionMetadata, message: { key, value } })
      if (known === undefined) partitionOf.set(key, partition)
    }
    if (ts !== undefined) {
      if (clockMs === undefined) {
        if (ts > PLAUSIBLE_FIRST_MS[0] && ts < PLAUSIBLE_FIRST_MS[1]) clockMs = ts
      } else if (ts > clockMs && ts <= clockMs + MAX_STEP_MS) clockMs = ts
    }
    yield { partition, key, value, timestampMs: clockMs ?? PLAUSIBLE_FIRST_MS[0] }
    lineNumber++
  }
}

/**
 * NDJSON values as the events that Lambda's Kafka event source mapping would call a function with, each as JSON text.
 * Batches mix partitions at random but keep each one's order; with `duplicateShare` whole events come again, and batches
 * begin before the end of the one before.
 */
export function* lambdaEvents(chunks: Iterable<Buffer>, options: LambdaEventOptions = {}): Generator<string, void, undefined> {
  const { topic = 'trades', partitions = 4, timestamps = false } = options
  const batchRecords = Math.min(options.batchRecords ?? MAX_BATCH_RECORDS, MAX_BATCH_RECORDS)
  const random = xoshiro128(options.seed ?? 1)
  const again = threshold(options.duplicateShare ?? 0)
  const waiting: string[][] = Array.from({ length: partitions }, () => [])
  const delivered: string[][] = Array.from({ length: partitions }, () => [])
  const nextOffset = new Array<number>(partitions).fill(0)
  const events: string[] = []
  let waitingCount = 0

  function* deliver(): Generator<string, void, undefined> {
    const { batches, count } = takeBatches(waiting, 1 + (random() % batchRecords), random)
    waitingCount -= count
    const redeliver = random() < again
    const whole = redeliver && random() % 2 === 0 && events.length > 0
    if (whole) yield events[random() % events.length] as string
    let space = batchRecords - count
    for (const [partition, batch] of batches) {
      const before = delivered[partition] as string[]
      const fresh = batch.length
      const room = Math.min(before.length, space)
      if (redeliver && !whole && room > 0) {
        const repeated = before.slice(-(1 + (random() % room)))
        batch.unshift(...repeated)
        space -= repeated.length
      }
      before.push(...batch.slice(batch.length - fresh))
      before.splice(0, before.length - RECORDS_REMEMBERED)
    }
    const event = eventText(topic, batches)
    events.push(event)
    if (events.length > EVENTS_REMEMBERED) events.shift()
    yield event
  }

  for (const record of producedRecords(chunks, topic, partitions)) {
    const { partition, timestampMs } = record
    const offset = nextOffset[partition] as number
    nextOffset[partition] = offset + 1
    const time = timestamps ? `,"timestamp":${timestampMs},"timestampType":"CREATE_TIME"` : ''
    const key = record.key === null ? 'null' : `"${Buffer.from(record.key, 'utf8').toString('base64')}"`
    const value = record.value.toString('base64')
    waiting[partition]?.push(
      `{"topic":"${topic}","partition":${partition},"offset":${offset}${time},"key":${key},"value":"${value}","headers":[]}`,
    )
    waitingCount++
    while (waitingCount >= LOOKAHEAD_BATCHES * batchRecords) yield* deliver()
  }
  while (waitingCount > 0) yield* deliver()
}

/** Takes about `wanted` records from the front of a random choice of queues, within an event's bound of bytes. */
function takeBatches(waiting: readonly string[][], wanted: number, random: () => number) {
  const batches = new Map<number, string[]>()
  const filled = waiting.flatMap((queue, partition) => (queue.length > 0 ? [partition] : []))
  const first = random() % filled.length
  const spread = 1 + (random() % filled.length)
  let chars = 0
  let count = 0
  for (let i = 0; i < spread; i++) {
    const partition = filled[(first + i) % filled.length] as number
    const queue = waiting[partition] as string[]
    const left = wanted - count
    const share = i === spread - 1 ? left : Math.ceil((left * (1 + (random() % 100))) / 100)
    let take = 0
    while (take < Math.min(share, queue.length)) {
      chars += (queue[take]?.length ?? 0) + 1
      if (chars > MAX_EVENT_CHARS && count + take > 0) break
      take++
    }
    if (take > 0) batches.set(partition, queue.splice(0, take))
    count += take
  }
  return { batches, count }
}

function eventText(topic: string, batches: ReadonlyMap<number, readonly string[]>): string {
  const records = [...batches].map(([partition, batch]) => `"${topic}-${partition}":[${batch.join(',')}]`)
  return (
    '{"eventSource":"aws:kafka","eventSourceArn":"arn:aws:kafka:us-east-1:123456789012:cluster/trades/0","bootstrapServers":' +
    `"b-1.trades.example:9092","records":{${records.join(',')}}}`
  )
}
