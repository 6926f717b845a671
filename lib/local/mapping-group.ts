import { usage } from '../errors.ts'
import type { Connection } from './kafka.ts'
import { partitionName } from './mapping-event.ts'
import type { ErrorHandling } from './mapping-retry.ts'

export type StartingPosition = 'TRIM_HORIZON' | { readonly atTimestampMs: number }

/** What the group has committed, by partition name; nothing for a partition without a commit. */
export async function groupOffsets(
  { admin }: Connection,
  groupId: string,
  topics: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const found = await admin.fetchOffsets({ groupId, topics: [...topics] })
  return new Map(
    found.flatMap(({ topic, partitions }) =>
      partitions
        .filter(({ offset }) => Number(offset) >= 0)
        .map(({ partition, offset }) => [partitionName(topic, partition), Number(offset)] as const),
    ),
  )
}

/**
 * Where to start in partitions for which the group has committed nothing: a group that has goes on from there, whatever the
 * mapping says ("Customizable consumer group ID"). The earliest offset needs no mention: it is where the consumer starts.
 */
export async function startOffsets(
  connection: Connection,
  groupId: string,
  topics: readonly string[],
  position: StartingPosition,
): Promise<ReadonlyMap<string, number>> {
  const starts = new Map<string, number>()
  for (const topic of topics) {
    if ((await connection.partitions(topic)).length === 0) throw usage(`Cannot poll topic ${topic}: it has no partitions.`)
    if (position === 'TRIM_HORIZON') continue
    const committed = await groupOffsets(connection, groupId, [topic])
    for (const { partition, offset } of await connection.admin.fetchTopicOffsetsByTimestamp(topic, position.atTimestampMs)) {
      const name = partitionName(topic, partition)
      if (!committed.has(name)) starts.set(name, Number(offset))
    }
  }
  return starts
}

/** Bounds of CreateEventSourceMapping. */
const MAX_BATCH_SIZE = 10_000
const MAX_WINDOW_MS = 300_000
const MAX_RETRY_ATTEMPTS = 10_000
const RECORD_AGE_MS = [60_000, 604_800_000] as const

export interface CheckedOptions {
  readonly topics: readonly string[]
  readonly batchSize: number
  readonly batchingWindowMs: number
  readonly maxConcurrency: number
  readonly provisioned?: ErrorHandling | undefined
}

/** Throws `Usage` for what CreateEventSourceMapping would not take. */
export function checkMapping({ topics, batchSize, batchingWindowMs, maxConcurrency, provisioned = {} }: CheckedOptions): void {
  if (topics.length === 0) throw usage('Cannot start the mapping: expected at least one topic, found none.')
  check('batchSize', batchSize, 1, MAX_BATCH_SIZE)
  check('batchingWindowMs', batchingWindowMs, 0, MAX_WINDOW_MS)
  check('maxConcurrency', maxConcurrency, 1, Number.MAX_SAFE_INTEGER)
  const { retryAttempts = -1, maxRecordAgeMs = -1 } = provisioned
  if (retryAttempts !== -1) check('retryAttempts', retryAttempts, 0, MAX_RETRY_ATTEMPTS)
  if (maxRecordAgeMs !== -1) check('maxRecordAgeMs', maxRecordAgeMs, ...RECORD_AGE_MS)
}

function check(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw usage(`Cannot start the mapping: expected ${name} to be a whole number from ${min} to ${max}, found ${value}.`)
}
