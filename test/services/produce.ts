import { closeSync, openSync, readSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import kafkajs, { type Message } from 'kafkajs'
import { producedRecords } from '../../bench/lambda-events.ts'
import { unavailable, usage } from '../../lib/errors.ts'

// CommonJS: not all of its names can be imported one by one.
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs

const HELP = `node test/services/produce.ts --brokers H:P --topic T --file F.ndjson
  [--compression none|gzip|zstd|mixed] [--batch N] [--transactional] [--tombstone-every N]`
const TYPES = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, zstd: CompressionTypes.ZSTD } as const
const MIXED = ['none', 'gzip', 'zstd'] as const
type Compression = keyof typeof TYPES | 'mixed'
const BATCH_RECORDS = 5000
const CHUNK_BYTES = 1 << 20

CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder: { readonly buffer: Buffer }) => zstdCompressSync(encoder.buffer),
  decompress: async (buffer: Buffer) => zstdDecompressSync(buffer),
})

function* chunksOf(path: string): Generator<Buffer, void, undefined> {
  const file = openSync(path, 'r')
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
      const size = readSync(file, chunk)
      if (size === 0) return
      yield chunk.subarray(0, size)
    }
  } finally {
    closeSync(file)
  }
}

export interface ProduceOptions {
  readonly brokers: readonly string[]
  readonly topic: string
  readonly file: string
  /** `mixed` takes another for each batch. */
  readonly compression: Compression
  readonly batchRecords: number
  /** Each batch a transaction, whose marker leaves a gap in the offsets. */
  readonly transactional: boolean
  /** After each so many records, one with the same key and no value. */
  readonly tombstoneEvery: number | undefined
}

/**
 * Produces NDJSON values to a topic that exists: the symbol is the key, the default partitioner chooses by it, timestamps
 * (CreateTime) follow the event times, acks = all, idempotent, so that a retry doubles nothing. Returns the number of records.
 */
export async function produce(options: ProduceOptions): Promise<number> {
  const { topic, batchRecords } = options
  const kafka = new Kafka({ clientId: 'frazil-produce', brokers: [...options.brokers], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] }).finally(() => admin.disconnect())
  const partitions = topics[0]?.partitions.length ?? 0
  if (partitions === 0) throw unavailable(`Cannot produce to ${topic}: expected a topic with partitions, found none.`)
  const producer = kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    ...(options.transactional ? { transactionalId: `frazil-produce-${topic}` } : {}),
  })
  await producer.connect()
  let messages: Message[] = []
  let sent = 0
  let batches = 0
  const send = async () => {
    const compression = options.compression === 'mixed' ? MIXED[batches % MIXED.length] : options.compression
    const record = { topic, messages, acks: -1, compression: TYPES[compression ?? 'none'] }
    if (options.transactional) {
      const transaction = await producer.transaction()
      await transaction.send(record)
      await transaction.commit()
    } else await producer.send(record)
    sent += messages.length
    batches++
    messages = []
  }
  let records = 0
  try {
    for (const { partition, key, value, timestampMs } of producedRecords(chunksOf(options.file), topic, partitions)) {
      const timestamp = String(timestampMs)
      messages.push({ partition, key, value, timestamp })
      if (options.tombstoneEvery !== undefined && ++records % options.tombstoneEvery === 0)
        messages.push({ partition, key, value: null, timestamp })
      if (messages.length >= batchRecords) await send()
    }
    if (messages.length > 0) await send()
  } finally {
    await producer.disconnect()
  }
  return sent
}

function isCompression(text: string): text is Compression {
  return text === 'mixed' || Object.hasOwn(TYPES, text)
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      brokers: text,
      topic: text,
      file: text,
      compression: text,
      batch: text,
      'tombstone-every': text,
      transactional: { type: 'boolean', default: false },
    },
  })
  const { brokers, topic, file, compression = 'none', transactional } = values
  if (brokers === undefined || topic === undefined || file === undefined || !isCompression(compression)) throw usage(HELP)
  const began = performance.now()
  const records = await produce({
    brokers: brokers.split(','),
    topic,
    file,
    compression,
    batchRecords: Number(values.batch ?? BATCH_RECORDS),
    transactional,
    tombstoneEvery: values['tombstone-every'] === undefined ? undefined : Number(values['tombstone-every']),
  })
  const seconds = (performance.now() - began) / 1000
  console.log(JSON.stringify({ records, seconds: Number(seconds.toFixed(2)), records_per_second: Math.round(records / seconds) }))
}

if (import.meta.main) await main()
