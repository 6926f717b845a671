import type { Records } from '../columns/records.ts'
import { corrupt, refused, unavailable } from '../errors.ts'
import type { SourcePlan } from '../pipeline/plan.ts'
import type { LogItem } from '../ports/log.ts'
import { partitionLabel, segmentName, stagingLogKey } from '../protocol/names.ts'
import { segmentParts } from '../protocol/segment.ts'
import {
  decideAppend,
  decideStage,
  encodeStagingEntry,
  greatestTimestamp,
  type SliceRef,
  type StageVerdict,
  type StagingEntry,
  type StagingTail,
  stagingTail,
} from '../protocol/staging.ts'
import { lastCheckpoint } from './checkpoints.ts'
import { declaredPartitions, openPartitions } from './open-partitions.ts'
import { addReasons, type Processed, processRecords, type Reasons } from './process.ts'
import { put } from './put.ts'
import type { StagingRuntime } from './runtime.ts'

/** What one call staged. Records that were in the log before are in none of the counts. */
export interface IngestReport {
  readonly records: number
  readonly deadLetters: number
  /** Dead letters by reason. */
  readonly reasons: Reasons
  readonly late: number
  /** Offsets that no record had (protocol rule 9). */
  readonly missing: number
  /** Of the records' Kafka values. */
  readonly valueBytes: number
  /** Bytes of slices written. */
  readonly bytes: number
  /** How far the batch furthest behind reaches: its greatest Kafka timestamp, milliseconds; null when no record has one. */
  readonly reachedTimestamp: number | null
  /** Likewise by event time. */
  readonly reachedTime: number | null
}

interface Delivery {
  readonly source: SourcePlan
  readonly records: Records
  readonly logKey: string
}

interface Prepared {
  readonly delivery: Delivery
  readonly stage: Extract<StageVerdict, { verdict: 'Stage' }>
  readonly tail: StagingTail
  readonly processed: Processed
}

/** A delivery that is not, or not certainly, in the log as a whole. A retry finds what is in already. */
export interface Unstaged {
  readonly records: Records
  readonly error: unknown
}

export interface PartitionReport extends IngestReport {
  readonly unstaged: readonly Unstaged[]
}

type Counts = { -readonly [K in keyof IngestReport]: IngestReport[K] }

/**
 * Stages every delivered record, at least once called, exactly once kept: any number of these may run at the same time,
 * zombies included. Returns only when all of it is in the logs; throws otherwise, and a retry finds what is in already.
 */
export async function ingest(runtime: StagingRuntime, deliveries: readonly Records[]): Promise<IngestReport> {
  const { unstaged, ...report } = await ingestByPartition(runtime, deliveries)
  if (unstaged.length > 0) throw unstaged[0].error
  return report
}

/**
 * As `ingest`, for a caller that can tell partitions apart: what cannot be staged is told instead of thrown. Throws `Refused`,
 * before anything is staged, for a topic that is none of the pipeline's.
 */
export async function ingestByPartition(runtime: StagingRuntime, deliveries: readonly Records[]): Promise<PartitionReport> {
  const none = { records: 0, deadLetters: 0, reasons: {}, late: 0, missing: 0, valueBytes: 0, bytes: 0 }
  const report: Counts = { ...none, reachedTimestamp: null, reachedTime: null }
  const failed = new Map<string, unknown>()
  const unstaged: Unstaged[] = []
  let pending = deliveries.map((records) => deliveryOf(runtime, records))
  for (let attempt = 0; pending.length > 0; attempt++) {
    if (attempt === runtime.limits.maxAttempts) {
      const error = unavailable(
        `Cannot stage ${pending.map((d) => partitionLabel(d.records.topic, d.records.partition)).join(', ')}: lost the race for the log ${attempt} times.`,
      )
      for (const { logKey } of pending) failed.set(logKey, error)
    } else {
      // One batch a partition at a time: a second one in the same call sees what the first one staged.
      const wave = new Map<string, Delivery>()
      for (const delivery of pending) if (!wave.has(delivery.logKey)) wave.set(delivery.logKey, delivery)
      const done = await stageApart(runtime, [...wave.values()], report, failed)
      pending = pending.filter((delivery) => !done.has(delivery))
    }
    // Behind a batch that failed nothing of its partition is staged, or the log would take that batch for a gap.
    for (const { records, logKey } of pending) if (failed.has(logKey)) unstaged.push({ records, error: failed.get(logKey) })
    pending = pending.filter(({ logKey }) => !failed.has(logKey))
  }
  return { ...report, unstaged }
}

/**
 * Tries deliveries of as many partitions, once: returns those that are in the log now, counts what it staged, and notes in
 * `failed`, by log, why one cannot be. A wave that fails as a whole is tried again delivery by delivery: one partition that
 * cannot be staged must not keep the others out.
 */
async function stageApart(
  runtime: StagingRuntime,
  wave: readonly Delivery[],
  report: Counts,
  failed: Map<string, unknown>,
): Promise<ReadonlySet<Delivery>> {
  try {
    return await stageWave(runtime, wave, report)
  } catch (error) {
    if (wave.length > 1) {
      const each = await Promise.all(wave.map((delivery) => stageApart(runtime, [delivery], report, failed)))
      return new Set(each.flatMap((done) => [...done]))
    }
    for (const { logKey } of wave) failed.set(logKey, error)
    return new Set()
  }
}

function deliveryOf(runtime: StagingRuntime, records: Records): Delivery {
  const source = Object.values(runtime.plan.sources).find((candidate) => candidate.topic === records.topic)
  if (source === undefined)
    throw refused(
      `Cannot ingest topic ${records.topic}: expected one of ${Object.values(runtime.plan.sources)
        .map((s) => s.topic)
        .join(', ')}. Point the event source at a topic of pipeline ${runtime.plan.name}.`,
    )
  const logKey = stagingLogKey(runtime.plan.name, source.id, runtime.incarnation, records.topic, records.partition)
  return { source, records, logKey }
}

/** Tries each delivery once; returns those that are in the log now. */
async function stageWave(runtime: StagingRuntime, wave: readonly Delivery[], report: Counts): Promise<ReadonlySet<Delivery>> {
  const { log, objects, random } = runtime.ports
  // Always read: memory of an earlier call is never trusted (protocol rule 1).
  const tails = await Promise.all(wave.map((delivery) => log.tail(delivery.logKey)))
  const floors = await joinedFloors(
    runtime,
    wave.filter((_, i) => tails[i] === undefined),
  )
  const done = new Set<Delivery>()
  const prepared: Prepared[] = []
  for (const [i, delivery] of wave.entries()) {
    const item = prepare(runtime, delivery, tails[i], floors)
    if (item === undefined) done.add(delivery)
    else prepared.push(item)
  }
  if (prepared.length === 0) return done

  const { entries, segment, parts } = layOut(runtime, prepared, random.uuid())
  if (segment !== null) await objects.put(runtime.staging + segment, parts)
  const values = entries.map(encodeStagingEntry)
  const results = await Promise.allSettled(
    prepared.map(({ delivery, stage }, i) => put(log, delivery.logKey, stage.slot, values[i])),
  )
  // After the puts: an entry below a floor raised meanwhile would be read by nobody (protocol rule 2).
  const trimFloors = await log.floors(prepared.map(({ delivery }) => delivery.logKey))
  for (const [i, { delivery, stage, processed }] of prepared.entries()) {
    const result = results[i]
    if (result.status === 'rejected') continue
    if (decideAppend(result.value, values[i], stage.slot, trimFloors[i]).verdict !== 'Appended') continue
    done.add(delivery)
    report.records += delivery.records.count - stage.start
    report.deadLetters += processed.deadLetters
    report.reasons = addReasons(report.reasons, processed.reasons)
    report.late += processed.late
    report.missing += stage.missing
    report.valueBytes += valueBytes(delivery.records, stage.start)
    report.bytes += processed.slices.reduce((sum, slice) => sum + slice.bytes.length, 0)
    report.reachedTimestamp = leastOf(report.reachedTimestamp, greatestTimestamp(null, delivery.records, stage.start))
    report.reachedTime = leastOf(report.reachedTime, known(processed.greatestTime))
  }
  const rejected = results.find((result) => result.status === 'rejected')
  if (rejected !== undefined) throw rejected.reason
  return done
}

const known = (time: number): number | null => (time === Number.NEGATIVE_INFINITY ? null : time)
const leastOf = (a: number | null, b: number | null): number | null => (a === null || b === null ? (a ?? b) : Math.min(a, b))

function valueBytes({ count, valueStart, valueEnd }: Records, start: number): number {
  let bytes = 0
  for (let i = start; i < count; i++) if (valueStart[i] >= 0) bytes += valueEnd[i] - valueStart[i]
  return bytes
}

/** Decodes and folds what is new in a delivery; undefined when nothing is. */
function prepare(
  runtime: StagingRuntime,
  delivery: Delivery,
  logTail: LogItem | undefined,
  floors: ReadonlyMap<Delivery, number | null>,
): Prepared | undefined {
  const { source, records } = delivery
  const tail = stagingTail(logTail)
  const stage = decideStage(tail, records)
  switch (stage.verdict) {
    case 'AlreadyIn':
      return undefined
    case 'Refuse':
      throw refused(
        `Cannot stage ${partitionLabel(records.topic, records.partition)}: ${stage.why}. The topic was created again; start the pipeline on a new warehouse, or under a new name, to read it from the start.`,
      )
    case 'Stage': {
      const before = tail.entry === undefined ? floors.get(delivery) : tail.entry.watermark
      const decoder = runtime.decoders.get(source.id)
      if (decoder === undefined) throw refused(`Cannot decode source ${source.id}: it is not in the plan.`)
      const processed = processRecords(runtime.plan, source, decoder, records, stage.start, before ?? Number.NEGATIVE_INFINITY)
      return { delivery, stage, tail, processed }
    }
  }
}

/**
 * The watermarks that partitions with empty logs start from: they join, all at once, before any record of them is judged
 * (protocol rule 23).
 */
async function joinedFloors(
  runtime: StagingRuntime,
  deliveries: readonly Delivery[],
): Promise<ReadonlyMap<Delivery, number | null>> {
  if (deliveries.length === 0) return new Map()
  for (;;) {
    const last = await lastCheckpoint(runtime)
    const floors = new Map<Delivery, number | null>()
    // With all that the definition counts on: no window closes before a partition that has yet to speak (protocol rule 22).
    const wanted: Record<string, number[]> = {}
    for (const [source, partitions] of Object.entries(declaredPartitions(runtime.plan))) wanted[source] = [...partitions]
    for (const delivery of deliveries) {
      const { source, records } = delivery
      const partition = last?.sources[source.id]?.[records.partition]
      if (partition === undefined) wanted[source.id].push(records.partition)
      else {
        if (partition.slot > 0) await assertLogIsThere(runtime, delivery, partition.slot)
        floors.set(delivery, partition.watermark)
      }
    }
    if (floors.size === deliveries.length) return floors
    await openPartitions(runtime, wanted)
  }
}

/** The log was empty when we looked, before the checkpoint: by now it must hold what that consumed (protocol rule 28). */
async function assertLogIsThere(runtime: StagingRuntime, { records, logKey }: Delivery, consumed: number): Promise<void> {
  if ((await runtime.ports.log.tail(logKey)) !== undefined) return
  throw corrupt(
    `Cannot stage ${partitionLabel(records.topic, records.partition)}: its log is empty, but checkpoints consumed ${consumed} entries of it. Restore the log.`,
  )
}

/** Lays slices out in one segment, or inside the entries when they are few, and makes the entries. */
function layOut(
  runtime: StagingRuntime,
  prepared: readonly Prepared[],
  uuid: string,
): { entries: StagingEntry[]; segment: string | null; parts: Uint8Array[] } {
  const slices: Uint8Array[] = []
  const pairs: { log: string; slot: number }[] = []
  let position = 0
  const [{ delivery, stage }] = prepared
  const { topic, partition } = delivery.records
  const segment = segmentName(runtime.plan.name, runtime.incarnation, topic, partition, stage.slot, uuid)
  const entries = prepared.map((item, i) => {
    const { processed, tail, delivery, stage } = item
    const { records } = delivery
    const total = processed.slices.reduce((sum, slice) => sum + slice.bytes.length, 0)
    const inline = total <= runtime.limits.inlineBytes
    if (!inline) pairs.push({ log: delivery.logKey, slot: stage.slot })
    let offset = inline ? 0 : position
    const refs: SliceRef[] = processed.slices.map(({ bytes, ...slice }) => {
      const ref = { ...slice, offset, length: bytes.length }
      offset += bytes.length
      if (!inline) slices.push(bytes)
      return ref
    })
    if (!inline) position = offset
    const lastAt = records.count - 1
    const timestamp = records.timestamps[lastAt]
    return {
      v: 1,
      kind: 'records',
      writer: `${uuid}-${i}`,
      from: stage.from,
      next: records.offsets[lastAt] + 1,
      watermark: known(processed.watermark),
      records: records.count - stage.start,
      deadLetters: processed.deadLetters,
      late: processed.late,
      missing: stage.missing,
      last: { offset: records.offsets[lastAt], timestamp: Number.isNaN(timestamp) ? null : timestamp },
      maxTimestamp: greatestTimestamp(tail.entry?.maxTimestamp ?? null, records, stage.start),
      segment: inline ? null : segment,
      inline: inline && total > 0 ? Buffer.concat(processed.slices.map((slice) => slice.bytes)).toString('base64') : null,
      slices: refs,
    } satisfies StagingEntry
  })
  return { entries, segment: slices.length === 0 ? null : segment, parts: segmentParts(slices, pairs) }
}
