import { corrupt, isKind } from '../errors.ts'
import type { ObjectInfo, Objects } from '../ports/objects.ts'
import { type CleaningVerdict, decideNumbered, decideSegment, type Needs, needsOf } from '../protocol/cleaning.ts'
import { parseStagingName, type StagingName, stagingPrefix } from '../protocol/names.ts'
import { type SegmentPair, segmentFooterBytes, segmentPairs } from '../protocol/segment.ts'
import { type CheckpointAccess, readCheckpoint } from './checkpoints.ts'

/** Objects looked at, and deleted, at once. */
const AT_ONCE = 8
/** Read from a segment's end: the footer of a call with some 60 partitions. A longer one is read again. */
const FOOTER_GUESS_BYTES = 4096
/** Time left below which no further object is begun: the worst of what one read and one delete may wait. */
const MARGIN_MS = 20_000

export interface CleanStagingOptions {
  readonly nowMs: number
  /** Younger objects are left alone, dead or not. An extra: what is not proved dead stays, however old. */
  readonly olderThanMs: number
  /** False: only tells what it would delete. */
  readonly apply: boolean
  /** How much time is left, at the moment of asking. @default no end */
  readonly remainingMs?: () => number
}

export interface ObjectCount {
  readonly objects: number
  readonly bytes: number
}

export interface StagingReport {
  /** The checkpoint that proves it; 0 before there is one. */
  readonly checkpoint: number
  /** What is dead and old enough, by kind: deleted, or to be deleted. */
  readonly dead: Readonly<Record<StagingName['kind'], ObjectCount>>
  /**
   * What stays: too young to be looked at; needed, or not proved otherwise; or unknown: a name or a footer that is not ours, a
   * log that nobody opened.
   */
  readonly kept: Readonly<Record<'young' | 'needed' | 'unknown', ObjectCount>>
  /** Objects that the store would not read or delete just now: the next call tries them again. */
  readonly failed: number
  /** True when the time was up: call again. */
  readonly more: boolean
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/**
 * Deletes what lies in staging and is proved to be needed no more: segments, checkpoint bodies, state (protocol rules 6, 7, 13).
 * Runs beside anything, itself too. The checkpoint is read first, and what is listed is decided as it comes, so memory does not
 * grow with what lies there: whatever comes to be needed after that read is for a higher slot, and stays. Throws `Corrupt` when
 * the last checkpoint cannot be read, since then nothing is proved.
 */
export async function cleanStaging(access: CheckpointAccess, options: CleanStagingOptions): Promise<StagingReport> {
  const { remainingMs = () => Number.POSITIVE_INFINITY } = options
  const none = (): Mutable<ObjectCount> => ({ objects: 0, bytes: 0 })
  const report = {
    checkpoint: 0,
    dead: { segments: none(), bodies: none(), state: none() },
    kept: { young: none(), needed: none(), unknown: none() },
    failed: 0,
    more: false,
  }
  const last = await readCheckpoint(access)
  if (last === undefined) return report
  report.checkpoint = last.n
  const needs = needsOf(last, access.pipeline, access.incarnation)

  const clean = async (object: ObjectInfo): Promise<void> => {
    const { location, sizeBytes, modifiedMs } = object
    const count = (to: Mutable<ObjectCount>) => {
      to.objects++
      to.bytes += sizeBytes
    }
    if (modifiedMs > options.nowMs - options.olderThanMs) return count(report.kept.young)
    const name = location.slice(access.staging.length)
    const parsed = parseStagingName(access.pipeline, access.incarnation, name)
    if (parsed === undefined) return count(report.kept.unknown)
    try {
      const verdict = await decide(access.objects, object, name, parsed, needs)
      if (verdict === undefined) return
      if (verdict.verdict === 'Keep') return count(report.kept[verdict.why])
      if (options.apply) await access.objects.delete(location)
      count(report.dead[parsed.kind])
    } catch (error) {
      if (!isKind(error, 'Unavailable')) throw error
      report.failed++
    }
  }

  async function* listed(): AsyncGenerator<ObjectInfo> {
    for await (const object of access.objects.list(access.staging + stagingPrefix(access.pipeline, access.incarnation))) {
      report.more = remainingMs() < MARGIN_MS
      if (report.more) return
      yield object
    }
  }
  await eachOf(listed(), clean)
  return report
}

/** Undefined: it is gone, deleted by another cleaner. */
async function decide(
  objects: Objects,
  { location, sizeBytes }: ObjectInfo,
  name: string,
  parsed: StagingName,
  needs: Needs,
): Promise<CleaningVerdict | undefined> {
  if (parsed.kind !== 'segments') return decideNumbered(parsed.n, name, needs)
  try {
    const pairs = await pairsOf(objects, location, sizeBytes)
    return pairs === undefined ? undefined : decideSegment(name, pairs, needs)
  } catch (error) {
    if (isKind(error, 'Corrupt')) return { verdict: 'Keep', why: 'unknown' }
    throw error
  }
}

/** The pairs in a segment's footer; undefined when the segment is gone. Throws `Corrupt` for what is no segment. */
async function pairsOf(objects: Objects, location: string, sizeBytes: number): Promise<readonly SegmentPair[] | undefined> {
  let length = Math.min(sizeBytes, FOOTER_GUESS_BYTES)
  for (;;) {
    const end = await objects.get(location, { offset: sizeBytes - length, length })
    if (end === undefined) return undefined
    const footerBytes = segmentFooterBytes(end)
    if (footerBytes <= end.length) return segmentPairs(end)
    if (footerBytes > sizeBytes) throw corrupt(`Cannot read segment ${location}: its footer is longer than the segment.`)
    length = footerBytes
  }
}

/** Runs each as it comes, a few at once. After a failure no more is begun; what was begun is waited for. */
async function eachOf<T>(items: AsyncGenerator<T>, run: (item: T) => Promise<void>): Promise<void> {
  // Workers share the generator: a failing one closes it for all.
  const worker = async () => {
    for await (const item of items) await run(item)
  }
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}
