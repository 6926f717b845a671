import { parseKafkaEvent } from '../columns/event.ts'
import type { Records } from '../columns/records.ts'
import { isKind, refused, usage } from '../errors.ts'
import type { Plan } from '../pipeline/plan.ts'
import { type LineChunk, openLines } from './lines.ts'
import type { Source } from './source.ts'
import type { Pin } from './source-pin.ts'

/** Lines (events) handed on at once: events are large already. */
const EVENTS_AT_ONCE = 1

/**
 * `--events`: one Lambda event a line, delivered in order, redeliveries and all. The file is read twice: once for its
 * partitions, which are opened before the first record, then for its records. A run always starts from the first line.
 */
export async function openEventsFile(options: { plan: Plan; file: string; pin: Pin; bounded: boolean }): Promise<Source> {
  const pin = options.pin.value
  if (pin?.kind === 'input')
    throw refused(`Cannot run on events ${options.file}: this warehouse reads the input file ${pin.file}. Use a new --warehouse.`)
  if (pin === undefined) await options.pin.set({ kind: 'kafka' })
  const sourceOf = new Map(Object.values(options.plan.sources).map((source) => [source.topic, source.id]))
  const partitions = new Map<string, Set<number>>()
  await scan(options, (records) => {
    const id = sourceOf.get(records.topic)
    if (id === undefined)
      throw usage(
        `Cannot run on ${options.file}: it holds topic ${records.topic}, the pipeline reads ${[...sourceOf.keys()].join(', ')}.`,
      )
    const known = partitions.get(records.topic) ?? new Set()
    partitions.set(records.topic, known.add(records.partition))
  })
  const lines = await openLines(options.file, EVENTS_AT_ONCE)
  const ends = new Map<string, number>()
  let lineNumber = 0
  let position = 0
  let ended = false

  return {
    async partitionsBySource() {
      const result: Record<string, number[]> = {}
      for (const source of Object.values(options.plan.sources)) {
        const fromPlan = Array.from({ length: source.partitions ?? 0 }, (_, p) => p)
        result[source.id] = [...new Set([...fromPlan, ...(partitions.get(source.topic) ?? [])])].sort((a, b) => a - b)
      }
      return result
    },
    async next() {
      const chunk = (await lines.next()) ?? (options.bounded ? lines.rest() : undefined)
      ended = chunk === undefined
      if (chunk === undefined) return undefined
      position = chunk.position
      const batches = eventsOf(options.file, chunk, lineNumber)
      lineNumber += chunk.count
      for (const { topic, partition, offsets, count } of batches) {
        const key = `${topic}/${partition}`
        ends.set(key, Math.max(ends.get(key) ?? 0, offsets[count - 1] + 1))
      }
      return batches
    },
    progress: () => ({ bytesRead: position, totalBytes: lines.sizeBytes }),
    async partitions(topic) {
      return [...(partitions.get(topic) ?? [])].sort((a, b) => a - b)
    },
    async nothingUnread(topic, partition, offset) {
      return ended && offset >= (ends.get(`${topic}/${partition}`) ?? 0)
    },
    idle: () => [],
    close: () => lines.close(),
  }
}

async function scan(options: { file: string; bounded: boolean }, visit: (records: Records) => void): Promise<void> {
  const lines = await openLines(options.file, EVENTS_AT_ONCE)
  try {
    for (let line = 0; ; line++) {
      const chunk = (await lines.next()) ?? (options.bounded ? lines.rest() : undefined)
      if (chunk === undefined) return
      for (const records of eventsOf(options.file, chunk, line)) visit(records)
    }
  } finally {
    await lines.close()
  }
}

function eventsOf(file: string, chunk: LineChunk, firstLine: number): Records[] {
  const batches: Records[] = []
  for (let i = 0; i < chunk.count; i++) {
    const text = Buffer.from(
      chunk.bytes.buffer,
      chunk.bytes.byteOffset + chunk.start[i],
      chunk.end[i] - chunk.start[i],
    ).toString()
    if (text.trim() === '') continue
    try {
      batches.push(...parseKafkaEvent(JSON.parse(text)))
    } catch (error) {
      if (!isKind(error, 'Usage') && !(error instanceof SyntaxError)) throw error
      throw usage(
        `Cannot read ${file}, line ${firstLine + i + 1}: expected a Lambda event of Kafka records as one line of JSON. ${error.message}`,
        { cause: error },
      )
    }
  }
  return batches
}
