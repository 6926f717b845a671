import type { EachBatchPayload } from 'kafkajs'
import { recordsFromValues } from '../columns/event.ts'
import type { Records } from '../columns/records.ts'
import { messageOf, refused, unavailable } from '../errors.ts'
import type { Plan } from '../pipeline/plan.ts'
import { connectKafka } from './kafka.ts'
import type { KafkaSecurity } from './kafka-config.ts'
import { MAX_BATCH_RECORDS, type Source } from './source.ts'
import type { Pin } from './source-pin.ts'
import { systemRandom } from './system.ts'

export interface KafkaSourceOptions {
  readonly plan: Plan
  readonly brokers: readonly string[]
  readonly security: KafkaSecurity
  readonly pin: Pin
  /** Where each partition's log ends: reading goes on from there. By topic, then partition. */
  readonly positions: (topic: string, partitions: readonly number[]) => Promise<ReadonlyMap<number, number>>
  readonly bounded: boolean
}

/** Bytes asked of one partition at once: about one full batch of small records. */
const FETCH_BYTES = 1048576
/** How long `next` waits for records before it says that there are none for now. */
const POLL_MS = 500

interface Handed {
  readonly records: readonly Records[]
  readonly taken: () => void
  readonly failed: (error: unknown) => void
}

/**
 * `--brokers`: each partition in order, in bounded batches, from where its staging log ends. A batch is handed over only
 * when the one before was taken, so memory holds one fetch and two batches.
 */
export async function openKafkaSource(options: KafkaSourceOptions): Promise<Source> {
  const pin = options.pin.value
  if (pin?.kind === 'input')
    throw refused(`Cannot run on brokers: this warehouse reads the input file ${pin.file}. Use a new --warehouse.`)
  const connection = await connectKafka(options.brokers, options.security)
  const sources = Object.values(options.plan.sources)
  const partitions = new Map<string, readonly number[]>()
  /** Offset up to which everything was handed over, control records included; by topic/partition. */
  const positions = new Map<string, number>()
  const lastRecordMs = new Map<string, number>()
  const starts: { topic: string; partition: number; offset: string }[] = []
  let handedBytes = 0
  let handed: Handed | undefined
  let current: Handed | undefined
  let wake = () => {}
  let crash: unknown

  const groupId = `frazil-${options.plan.name}-${systemRandom.uuid()}`
  const consumer = connection.kafka.consumer({
    groupId,
    allowAutoTopicCreation: false,
    maxBytesPerPartition: FETCH_BYTES,
    maxWaitTimeInMs: 200,
    retry: { retries: 8 },
  })

  const hand = (records: readonly Records[]): Promise<void> =>
    new Promise((resolve, reject) => {
      handed = { records, taken: resolve, failed: reject }
      wake()
    })

  const eachBatch = async ({ batch, heartbeat }: EachBatchPayload): Promise<void> => {
    const key = `${batch.topic}/${batch.partition}`
    const { messages } = batch
    for (let from = 0; from < messages.length; from += MAX_BATCH_RECORDS) {
      const some = messages.slice(from, from + MAX_BATCH_RECORDS)
      const records = recordsFromValues({
        topic: batch.topic,
        partition: batch.partition,
        offsets: some.map((message) => Number(message.offset)),
        values: some.map((message) => message.value),
        keys: some.map((message) => message.key),
        timestamps: some.map((message) => Number(message.timestamp)),
      })
      await hand([records])
      handedBytes += records.bytes.length
      await heartbeat()
    }
    lastRecordMs.set(key, Date.now())
    positions.set(key, Math.max(positions.get(key) ?? 0, Number(batch.lastOffset()) + 1))
  }

  try {
    for (const { topic } of sources) partitions.set(topic, await connection.partitions(topic))
    await consumer.connect()
    for (const { topic } of sources) {
      const stagedTo = await options.positions(topic, partitions.get(topic) ?? [])
      await assertSameTopic(connection, topic, stagedTo)
      for (const [partition, offset] of stagedTo) {
        positions.set(`${topic}/${partition}`, offset)
        starts.push({ topic, partition, offset: String(offset) })
      }
      for (const partition of partitions.get(topic) ?? []) lastRecordMs.set(`${topic}/${partition}`, Date.now())
      await consumer.subscribe({ topic, fromBeginning: true })
    }
    if (pin === undefined) await options.pin.set({ kind: 'kafka' })
  } catch (error) {
    await connection.close()
    throw error
  }
  // Batches of control records alone never reach eachBatch; this event tells that they were passed.
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
    const key = `${payload.topic}/${payload.partition}`
    positions.set(key, Math.max(positions.get(key) ?? 0, Number(payload.lastOffset) + 1))
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (payload.restart) return
    crash = payload.error
    wake()
  })

  // Seeking is possible only once the consumer runs. What it may fetch before that is in the logs and dropped there.
  const start = async (): Promise<void> => {
    await consumer.run({ autoCommit: false, eachBatch, partitionsConsumedConcurrently: 1 })
    for (const position of starts) consumer.seek(position)
  }
  let running: Promise<void> | undefined
  const waitForBatch = (): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, POLL_MS)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
      if (handed !== undefined || crash !== undefined) wake()
    })

  const nothingUnread = async (topic: string, partition: number, offset: number): Promise<boolean> => {
    const bounds = (await connection.bounds(topic)).get(partition)
    if (bounds === undefined) return false
    if (bounds.low === bounds.high || offset >= bounds.high) return true
    // Between the staged end and the broker's there may be control records only: read past, nothing handed over.
    return handed === undefined && (positions.get(`${topic}/${partition}`) ?? 0) >= bounds.high
  }

  return {
    async partitionsBySource() {
      return Object.fromEntries(sources.map((source) => [source.id, partitions.get(source.topic) ?? []]))
    },
    async next() {
      current?.taken()
      current = undefined
      running ??= start()
      await running
      if (handed === undefined) await waitForBatch()
      if (crash !== undefined)
        throw unavailable(`Cannot read from Kafka: ${messageOf(crash)}. Start again: nothing is lost.`, { cause: crash })
      current = handed
      handed = undefined
      return current?.records
    },
    progress: () => ({ bytesRead: handedBytes, totalBytes: undefined }),
    partitions: (topic) => connection.partitions(topic),
    nothingUnread,
    idle() {
      return sources.flatMap(({ id, topic, idleAfterMs }) =>
        idleAfterMs === undefined
          ? []
          : (partitions.get(topic) ?? [])
              .filter((partition) => Date.now() - (lastRecordMs.get(`${topic}/${partition}`) ?? 0) >= idleAfterMs)
              .map((partition) => ({ source: id, partition })),
      )
    },
    async close() {
      current?.failed(new Error('closed'))
      handed?.failed(new Error('closed'))
      await consumer.disconnect()
      await connection.admin.deleteGroups([groupId]).catch(() => {})
      await connection.close()
    },
  }
}

/** The broker's end must be at least where staging stands (protocol rule 8). */
async function assertSameTopic(
  connection: Awaited<ReturnType<typeof connectKafka>>,
  topic: string,
  stagedTo: ReadonlyMap<number, number>,
): Promise<void> {
  if (stagedTo.size === 0) return
  const bounds = await connection.bounds(topic)
  for (const [partition, next] of stagedTo) {
    const high = bounds.get(partition)?.high
    if (high === undefined || high < next)
      throw refused(
        `Cannot read ${topic}-${partition}: staging stands at offset ${next}, but the topic ends at ${high ?? 'nothing: the partition is gone'}. The topic was created again; use a new --warehouse to read it from the start.`,
      )
  }
}
