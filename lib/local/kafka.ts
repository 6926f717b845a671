import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import kafkajs, { type Admin, type Kafka } from 'kafkajs'
import { messageOf, refused, unavailable } from '../errors.ts'
import type { KafkaSecurity } from './kafka-config.ts'

// kafkajs is CommonJS: its names come by the default export.
const { CompressionCodecs, CompressionTypes, logLevel } = kafkajs

CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder: { buffer: Buffer }) => zstdCompressSync(encoder.buffer),
  decompress: async (buffer: Buffer) => zstdDecompressSync(buffer),
})

/**
 * kafkajs's request queue sets timers in the past when nothing is throttled. Node 24 uses 1 ms, which is what is meant, and
 * warns; that one warning is dropped. All others go where they went.
 */
function dropTimerWarning(): void {
  const emitWarning = process.emitWarning.bind(process) as (warning: string | Error, ...rest: unknown[]) => void
  process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
    if (rest[0] !== 'TimeoutNegativeWarning') emitWarning(warning, ...rest)
  }
}
dropTimerWarning()

/** A broker that does not answer within this is down, as far as a command's start is concerned. */
const CONNECT_TIMEOUT_MS = 3000
const START_RETRIES = 2

export interface Connection {
  readonly kafka: Kafka
  readonly admin: Admin
  /** The topic's partition numbers, ascending. */
  partitions(topic: string): Promise<readonly number[]>
  /** By partition: the earliest offset still there, and the end a reader of uncommitted records sees. */
  bounds(topic: string): Promise<ReadonlyMap<number, { readonly low: number; readonly high: number }>>
  close(): Promise<void>
}

/** The part of kafkajs's own cluster object that we use; see `uncommittedCluster`. */
interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addTargetTopic(topic: string): Promise<void>
  refreshMetadata(): Promise<void>
  fetchTopicsOffset(
    topics: readonly { topic: string; partitions: readonly { partition: number }[]; fromBeginning: boolean }[],
  ): Promise<readonly { topic: string; partitions: readonly { partition: number; offset: string }[] }[]>
}

const READ_UNCOMMITTED = 0

/**
 * kafkajs's admin asks for ends as a reader of committed records sees them; an open transaction's records lie beyond that
 * end, and the proof of idleness must count them (protocol rule 24). Its own cluster object can ask the other way, and is
 * reached through a symbol. The version of kafkajs is pinned; another one fails here, loudly.
 */
function uncommittedCluster(kafka: Kafka): Cluster {
  const symbol = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === 'private:Kafka:createCluster')
  const create = symbol === undefined ? undefined : (kafka as unknown as Record<symbol, unknown>)[symbol]
  if (typeof create !== 'function')
    throw refused('Cannot ask Kafka for its end offsets: expected kafkajs 2.2.4. Install that version.')
  return create({ metadataMaxAge: 30_000, allowAutoTopicCreation: false, isolationLevel: READ_UNCOMMITTED }) as Cluster
}

/** Connects, or throws `Unavailable` that names the brokers. */
export async function connectKafka(brokers: readonly string[], security: KafkaSecurity = {}): Promise<Connection> {
  const kafka = new kafkajs.Kafka({
    clientId: 'frazil',
    brokers: [...brokers],
    ...security,
    logLevel: logLevel.NOTHING,
    connectionTimeout: CONNECT_TIMEOUT_MS,
    retry: { retries: START_RETRIES, initialRetryTime: 200 },
  })
  const admin = kafka.admin()
  const cluster = uncommittedCluster(kafka)
  const where = brokers.join(', ')
  const asked = async <T>(what: string, ask: () => Promise<T>): Promise<T> => {
    try {
      return await ask()
    } catch (cause) {
      throw unavailable(
        `Cannot ${what}: Kafka at ${where} says: ${messageOf(cause)}. Check --brokers and --kafka-config, and that the broker is up.`,
        { cause },
      )
    }
  }
  await asked('connect', async () => {
    await admin.connect()
    await cluster.connect()
  })
  const partitions = (topic: string) =>
    asked(`read topic ${topic}`, async () => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
      return topics.flatMap((found) => found.partitions.map((partition) => partition.partitionId)).sort((a, b) => a - b)
    })
  return {
    kafka,
    admin,
    partitions,
    bounds: (topic) =>
      asked(`read the offsets of topic ${topic}`, async () => {
        await cluster.addTargetTopic(topic)
        const wanted = (await partitions(topic)).map((partition) => ({ partition }))
        const [low] = await cluster.fetchTopicsOffset([{ topic, partitions: wanted, fromBeginning: true }])
        const [high] = await cluster.fetchTopicsOffset([{ topic, partitions: wanted, fromBeginning: false }])
        const ends = new Map(high.partitions.map(({ partition, offset }) => [partition, Number(offset)]))
        return new Map(
          low.partitions.map(({ partition, offset }) => [
            partition,
            { low: Number(offset), high: ends.get(partition) ?? Number(offset) },
          ]),
        )
      }),
    async close() {
      await admin.disconnect()
      await cluster.disconnect()
    },
  }
}
