import { corrupt } from '../errors.ts'
import type { LogItem, PutResult } from '../ports/log.ts'
import { decodeEntry, encodeEntry } from './entry.ts'

/** A run of rows with one target inside a segment, or inside the entry itself. */
export interface SliceRef {
  /** `table:<name>` or `state:<operator>` */
  readonly target: string
  readonly rows: number
  /** Of a slice of state: which meaning of the operator it was folded by (protocol rule 19). */
  readonly fingerprint?: string
  /** Bytes from the start of the segment (or of the inline bytes). */
  readonly offset: number
  readonly length: number
}

/** The last record of a partition that was staged, kept to notice a topic created again (protocol rule 8). */
export interface LastRecord {
  readonly offset: number
  readonly timestamp: number | null
}

/**
 * One entry of a staging log: the offsets [from, next) of a partition are staged. An `advance` covers no offsets and
 * raises the watermark. Times are milliseconds since the epoch; `null` means none yet.
 */
export interface StagingEntry {
  readonly v: 1
  readonly kind: 'records' | 'advance'
  /** Unique to one put, so that a writer whose put timed out knows its own (protocol rule 4). */
  readonly writer: string
  /** Where the entry before ended; for a log's first records, their first offset. Null: no offset is known yet. */
  readonly from: number | null
  readonly next: number | null
  readonly watermark: number | null
  readonly records: number
  readonly deadLetters: number
  readonly late: number
  /** Offsets in [from, next) that no record had: gaps (protocol rule 9). */
  readonly missing: number
  readonly last: LastRecord | null
  /** Greatest Kafka timestamp ever staged. */
  readonly maxTimestamp: number | null
  /** Name of the segment below the staging location, when the slices are not inline. */
  readonly segment: string | null
  /** The slices' bytes, base64, when they are few. */
  readonly inline: string | null
  readonly slices: readonly SliceRef[]
}

export function encodeStagingEntry(entry: StagingEntry): string {
  return encodeEntry('a staging entry', entry)
}

export function decodeStagingEntry(text: string): StagingEntry {
  return decodeEntry('a staging entry', text)
}

/** What is known of a partition's log before a batch is staged. */
export interface StagingTail {
  readonly slot: number
  readonly entry: StagingEntry | undefined
}

export function stagingTail(tail: LogItem | undefined): StagingTail {
  return { slot: tail?.slot ?? 0, entry: tail === undefined ? undefined : decodeStagingEntry(tail.value) }
}

/** The records of one partition, as far as the protocol looks at them. */
export interface DeliveredOffsets {
  readonly count: number
  readonly offsets: Float64Array
  readonly timestamps: Float64Array
}

export type StageVerdict =
  /** Everything delivered is in the log already: report success. */
  | { readonly verdict: 'AlreadyIn' }
  /** Stage the records from index `start` on, as slot `slot`. */
  | { readonly verdict: 'Stage'; readonly slot: number; readonly start: number; readonly from: number; readonly missing: number }
  /** Acknowledging would lose records: these are not the ones the log knows. */
  | { readonly verdict: 'Refuse'; readonly why: string }

/**
 * Decides what of a delivery is new. Records below `next` are dropped one by one (protocol rule 5), but not before they
 * are seen to be the ones we know (8). Offsets above `next` leave a counted gap, save in a log's first entry (9).
 */
export function decideStage(tail: StagingTail, delivered: DeliveredOffsets): StageVerdict {
  const { count, offsets } = delivered
  const { entry } = tail
  const next = entry?.next ?? null
  let start = 0
  if (entry !== undefined && next !== null) {
    while (start < count && offsets[start] < next) {
      const why = foreignRecord(entry, offsets[start], delivered.timestamps[start])
      if (why !== undefined) return { verdict: 'Refuse', why }
      start++
    }
  }
  if (start === count) return { verdict: 'AlreadyIn' }
  const from = next ?? offsets[start]
  const missing = offsets[count - 1] + 1 - from - (count - start)
  return { verdict: 'Stage', slot: tail.slot + 1, start, from, missing }
}

/** Why a record below `next` cannot be the one that was staged under its offset; undefined when it may be. */
function foreignRecord(entry: StagingEntry, offset: number, timestamp: number): string | undefined {
  if (Number.isNaN(timestamp)) return undefined
  if (entry.maxTimestamp !== null && timestamp > entry.maxTimestamp)
    return `offset ${offset} is below ${entry.next}, where staging stands, yet its timestamp ${timestamp} is newer than any staged (${entry.maxTimestamp})`
  const { last } = entry
  if (last !== null && last.offset === offset && last.timestamp !== null && last.timestamp !== timestamp)
    return `offset ${offset} was staged with timestamp ${last.timestamp} and came again with ${timestamp}`
  return undefined
}

/** Greatest of a known timestamp (or none) and those delivered from index `start` on. */
export function greatestTimestamp(known: number | null, delivered: DeliveredOffsets, start: number): number | null {
  let greatest = known ?? Number.NEGATIVE_INFINITY
  for (let i = start; i < delivered.count; i++) if (delivered.timestamps[i] > greatest) greatest = delivered.timestamps[i]
  return greatest === Number.NEGATIVE_INFINITY ? null : greatest
}

export type AppendVerdict = { readonly verdict: 'Appended' } | { readonly verdict: 'Reload' }

/**
 * Decides what a put came to. It counts only when the slot is ours (also when an earlier put of ours, thought to have failed,
 * took it) and lies above the trim floor read AFTER the put: below it nobody would read the entry (protocol rules 2, 4).
 */
export function decideAppend(result: PutResult, value: string, slot: number, floorAfter: number): AppendVerdict {
  const ours = result.won || result.existing === value
  return ours && floorAfter < slot ? { verdict: 'Appended' } : { verdict: 'Reload' }
}

/** Checks that an entry follows the one before it; anything else would skip or double records (protocol rules 1, 28). */
export function assertFollows(
  where: string,
  beforeNext: number | null,
  beforeWatermark: number | null,
  entry: StagingEntry,
): void {
  if (beforeNext !== null && entry.from !== beforeNext)
    throw corrupt(`Cannot read staging log ${where}: expected an entry from offset ${beforeNext}, found one from ${entry.from}.`)
  if (entry.from !== null && entry.next !== null && entry.next < entry.from)
    throw corrupt(`Cannot read staging log ${where}: expected offsets to grow, found [${entry.from}, ${entry.next}).`)
  if (beforeWatermark !== null && (entry.watermark === null || entry.watermark < beforeWatermark))
    throw corrupt(
      `Cannot read staging log ${where}: expected a watermark of at least ${beforeWatermark}, found ${entry.watermark}.`,
    )
}
