import { corrupt } from '../errors.ts'
import { lookup } from '../lookup.ts'
import type { LogItem } from '../ports/log.ts'
import { consume, type PartitionProgress } from '../protocol/checkpoint.ts'
import { partitionLabel, stagingLogKey } from '../protocol/names.ts'
import { assertFollows, decodeStagingEntry, type StagingEntry } from '../protocol/staging.ts'
import type { Last } from './checkpoints.ts'
import type { Runtime } from './runtime.ts'

export interface TakenEntry {
  readonly slot: number
  readonly entry: StagingEntry
}

/** One partition of one source, with the entries a checkpoint takes from it. */
export interface TakenPartition {
  readonly source: string
  readonly topic: string
  readonly partition: number
  readonly progress: PartitionProgress
  readonly entries: readonly TakenEntry[]
}

export interface Taken {
  readonly partitions: readonly TakenPartition[]
  readonly entries: number
  readonly bytes: number
  /** True when the bounds left entries behind. */
  readonly more: boolean
}

/** Entries asked of a log at once: at 4 KB each, 256 KB a partition. */
const PAGE = 64

interface Reading {
  readonly source: string
  readonly topic: string
  readonly partition: number
  readonly key: string
  progress: PartitionProgress
  readonly taken: TakenEntry[]
  page: TakenEntry[]
  /** Its consumed end was seen to be the one that the checkpoint tells of. */
  known: boolean
  ended: boolean
}

/**
 * New entries of every partition since the last checkpoint, within its bounds, furthest-behind partitions first: it is they
 * who hold the watermark. Undefined when the logs moved on under us (our checkpoint is not the last any more).
 */
export async function readStaging(runtime: Runtime, last: Last): Promise<Taken | undefined> {
  const readings: Reading[] = []
  for (const [source, partitions] of Object.entries(last.sources)) {
    const plan = lookup(runtime.plan.sources, source, 'source')
    for (const [p, progress] of Object.entries(partitions)) {
      const partition = Number(p)
      const key = stagingLogKey(runtime.plan.name, source, runtime.incarnation, plan.topic, partition)
      readings.push({ source, topic: plan.topic, partition, key, progress, taken: [], page: [], known: false, ended: false })
    }
  }
  const { maxCheckpointBytes, maxCheckpointEntries } = runtime.limits
  let entries = 0
  let bytes = 0
  let more = false
  const filled = await Promise.all(readings.map((reading) => fillPage(runtime, reading)))
  if (filled.includes(false)) return undefined
  for (;;) {
    const reading = furthestBehind(readings)
    if (reading === undefined) break
    const [item] = reading.page
    const size = item.entry.slices.reduce((sum, slice) => sum + slice.length, 0)
    if (entries > 0 && (bytes + size > maxCheckpointBytes || entries >= maxCheckpointEntries)) {
      more = true
      break
    }
    take(reading)
    if (!(await fillPage(runtime, reading))) return undefined
    entries++
    bytes += size
  }
  return {
    partitions: readings.map(({ source, topic, partition, progress, taken }) => ({
      source,
      topic,
      partition,
      progress,
      entries: taken,
    })),
    entries,
    bytes,
    more,
  }
}

/** Reads the next page when the one at hand is used up. False: the log was trimmed past what we wanted. */
async function fillPage(runtime: Runtime, reading: Reading): Promise<boolean> {
  if (reading.page.length > 0 || reading.ended) return true
  const { slot } = reading.progress
  // The first read begins with the last entry consumed, if trimming has left it: the log must be the one we know (28).
  const after = reading.known ? slot : Math.max(0, slot - 1)
  let items = await runtime.ports.log.read(reading.key, after, PAGE + 1)
  // No need to ask again what there is behind a page that is not full: it can be taken by the next checkpoint.
  reading.ended = items.length <= PAGE
  if (!reading.known && slot > 0) {
    await assertKnown(runtime, reading, items[0])
    if (items[0].slot === slot) items = items.slice(1)
  }
  reading.known = true
  if (items.length === 0) return true
  // A hole above what is consumed: consumed by a later checkpoint and trimmed, or lost.
  if (items[0].slot !== slot + 1) {
    const [floor] = await runtime.ports.log.floors([reading.key])
    if (floor > slot) return false
    throw corrupt(
      `Cannot read staging log ${reading.key}: expected slot ${slot + 1}, found ${items[0].slot} with nothing trimmed above ${floor}.`,
    )
  }
  for (const [i, item] of items.entries()) {
    if (item.slot !== slot + 1 + i)
      throw corrupt(`Cannot read staging log ${reading.key}: slots ${slot + 1 + i} to ${item.slot} are missing.`)
    reading.page.push({ slot: item.slot, entry: decodeStagingEntry(item.value) })
  }
  return true
}

/**
 * A log that lost its end would be written again from a lower slot, and nobody would read that: halt. What stands in a trimmed
 * slot proves nothing: a zombie may have won it.
 */
async function assertKnown({ ports }: Runtime, { key, progress }: Reading, item: LogItem | undefined): Promise<void> {
  if (item !== undefined && item.slot > progress.slot) return
  const next = item === undefined ? undefined : decodeStagingEntry(item.value).next
  if (item !== undefined && next === progress.next) return
  const [floor] = await ports.log.floors([key])
  if (item !== undefined && floor >= progress.slot) return
  throw corrupt(
    `Cannot read staging log ${key}: expected slot ${progress.slot} to end at offset ${progress.next}, found ${item === undefined ? 'no entry' : `offset ${next}`}. Restore the log.`,
  )
}

function furthestBehind(readings: readonly Reading[]): Reading | undefined {
  let behind: Reading | undefined
  for (const reading of readings) {
    if (reading.page.length === 0) continue
    if (behind === undefined || watermarkOf(reading) < watermarkOf(behind)) behind = reading
  }
  return behind
}

const watermarkOf = (reading: Reading): number => reading.progress.watermark ?? Number.NEGATIVE_INFINITY

/** Moves one entry from the page to what is taken, checking that it follows the one before. */
function take(reading: Reading): void {
  const item = reading.page.shift()
  if (item === undefined) return
  const { slot, entry } = item
  assertFollows(partitionLabel(reading.topic, reading.partition), reading.progress.next, reading.progress.watermark, entry)
  reading.taken.push(item)
  reading.progress = consume(reading.progress, slot, entry)
}
