import { corrupt } from '../errors.ts'
import type { LogItem } from '../ports/log.ts'
import { decodeEntry, encodeEntry } from './entry.ts'
import type { StagingEntry } from './staging.ts'

/** How far one partition's staging log is consumed. */
export interface PartitionProgress {
  /** Last consumed slot; 0: none yet. */
  readonly slot: number
  /** Kafka offset after the last consumed record; null: none known yet. */
  readonly next: number | null
  /** Milliseconds; null counts as minus infinity (protocol rule 22). */
  readonly watermark: number | null
  /**
   * Offsets up to `next` that no record had: the gaps of all entries consumed so far, which outlive the entries when those are
   * trimmed (9). Undefined when unknown: an earlier version, which did not count, consumed entries of it.
   */
  readonly missing?: number
  /** The first offset ever consumed. Undefined when nothing was, or when unknown, as above. */
  readonly first?: number
}

/** Progress after one more entry. */
export function consume(before: PartitionProgress, slot: number, entry: StagingEntry): PartitionProgress {
  const { from, next, watermark } = entry
  const nothingYet = before.next === null
  const missing = before.missing ?? (nothingYet ? 0 : undefined)
  const first = before.first ?? (nothingYet && from !== null ? from : undefined)
  return {
    slot,
    next,
    watermark,
    ...(missing !== undefined && { missing: missing + entry.missing }),
    ...(first !== undefined && { first }),
  }
}

/** A slice of window state inside a state object. */
export interface StateRef {
  /** Name below the staging location. */
  readonly object: string
  readonly offset: number
  readonly length: number
  readonly rows: number
  readonly fingerprint: string
  /** Least and greatest window end in it, milliseconds: which slices a closing window needs. */
  readonly minEnd: number
  readonly maxEnd: number
}

/** What a table is to become at this checkpoint. `F` is the table format's data file, as plain JSON. */
export type Intent<F> = { readonly kind: 'addFiles'; readonly files: readonly F[] }

export interface TableProgress {
  /** Pinned: a table of this name with another uuid is another table (protocol rule 15). */
  readonly uuid: string
  /** The last checkpoint with work for this table, and its marker once that is applied; 0: never touched (12). */
  readonly need: number
  /** Its need before that: the marker it must still have when `need` is applied. */
  readonly base: number
}

/** What checkpoint n says. Stored as an object `<n>-<uuid>`; the log entry carries its name and digest. */
export interface CheckpointBody<F> {
  readonly v: 1
  readonly pipeline: string
  readonly incarnation: string
  readonly n: number
  /** The closed watermark, milliseconds: every window that ends (plus allowed lateness) at or before it is final. */
  readonly watermark: number | null
  /** The topic each source reads, by source id: another topic's offsets are not its own. */
  readonly topics: Readonly<Record<string, string>>
  /** By source id, then partition number. */
  readonly sources: Readonly<Record<string, Readonly<Record<string, PartitionProgress>>>>
  /** By operator id. */
  readonly state: Readonly<Record<string, readonly StateRef[]>>
  readonly tables: Readonly<Record<string, TableProgress>>
  /** Of this checkpoint only, by table. */
  readonly intents: Readonly<Record<string, readonly Intent<F>[]>>
}

/** Partitions that joined since the body was written, with the closed watermark as their floor (protocol rule 23). */
export interface Opened {
  readonly source: string
  readonly topic: string
  /** Inclusive ranges of partition numbers. */
  readonly partitions: readonly (readonly [number, number])[]
  readonly floor: number | null
}

export interface CheckpointEntry {
  readonly v: 1
  readonly kind: 'commit' | 'open'
  readonly writer: string
  /** Null only before the first commit. An `open` entry carries the last body forward. */
  readonly body: { readonly name: string; readonly digest: string; readonly n: number } | null
  readonly opened: readonly Opened[]
}

/** The last checkpoint, resolved: body plus what was opened since. */
export interface Checkpoint<F> {
  readonly n: number
  readonly entry: CheckpointEntry
  /** Undefined only before the first commit. */
  readonly body: CheckpointBody<F> | undefined
  readonly watermark: number | null
  readonly topics: Readonly<Record<string, string>>
  readonly sources: Readonly<Record<string, Readonly<Record<string, PartitionProgress>>>>
}

export function encodeCheckpointEntry(entry: CheckpointEntry): string {
  return encodeEntry('a checkpoint entry', entry)
}

export function decodeCheckpointEntry(text: string): CheckpointEntry {
  return decodeEntry('a checkpoint entry', text)
}

/** The entry at the tail of the checkpoint log; undefined when the pipeline was never provisioned. */
export function checkpointTail(tail: LogItem | undefined): { n: number; entry: CheckpointEntry } | undefined {
  return tail === undefined ? undefined : { n: tail.slot, entry: decodeCheckpointEntry(tail.value) }
}

/** Body and opened partitions as one. */
export function resolveCheckpoint<F>(n: number, entry: CheckpointEntry, body: CheckpointBody<F> | undefined): Checkpoint<F> {
  const sources: Record<string, Record<string, PartitionProgress>> = {}
  const topics: Record<string, string> = { ...body?.topics }
  for (const [source, partitions] of Object.entries(body?.sources ?? {})) sources[source] = { ...partitions }
  for (const opened of entry.opened) {
    topics[opened.source] = opened.topic
    const partitions = (sources[opened.source] ??= {})
    for (const [first, last] of opened.partitions)
      for (let p = first; p <= last; p++) partitions[p] ??= { slot: 0, next: null, watermark: opened.floor }
  }
  return { n, entry, body, watermark: body?.watermark ?? null, topics, sources }
}

/** Sorted partition numbers as inclusive ranges, so that an entry stays small. */
export function ranges(partitions: readonly number[]): [number, number][] {
  const sorted = [...new Set(partitions)].sort((a, b) => a - b)
  const result: [number, number][] = []
  for (const p of sorted) {
    const last = result.at(-1)
    if (last !== undefined && last[1] === p - 1) last[1] = p
    else result.push([p, p])
  }
  return result
}

/** What a checkpoint asks of the definition that goes on from it. */
export interface Definition {
  readonly sources: Readonly<Record<string, { readonly topic: string }>>
  readonly operators: Readonly<Record<string, { readonly fingerprint: string }>>
}

/**
 * Why a definition cannot go on from a checkpoint. Each source it has read must still be there and read the same topic: another
 * topic's first records would stand in logs that the checkpoint believes to have consumed. Each operator with open windows
 * must be there as it was (protocol rule 19).
 */
export function whyForeign<F>(last: Pick<Checkpoint<F>, 'topics' | 'body'>, definition: Definition): string | undefined {
  const { sources, operators } = definition
  for (const [source, topic] of Object.entries(last.topics)) {
    if (!Object.hasOwn(sources, source)) return `it has read source ${source} (topic ${topic}), which this definition lacks`
    if (sources[source].topic !== topic)
      return `its source ${source} has read topic ${topic}, found topic ${sources[source].topic}`
  }
  for (const [id, refs] of Object.entries(last.body?.state ?? {}))
    for (const { fingerprint } of refs) {
      if (!Object.hasOwn(operators, id)) return `the windows of ${id} are open, and this definition lacks them`
      if (operators[id].fingerprint !== fingerprint)
        return `the windows of ${id} are open, and this definition has them otherwise (state ${fingerprint}, found ${operators[id].fingerprint})`
    }
  return undefined
}

/**
 * The entry that lets partitions join, or undefined when all of them are in. It carries the last checkpoint forward: same
 * body, same needs, same watermark; so a window can never close on a partition nobody counted (protocol rule 23).
 */
export function decideOpen<F>(
  last: Checkpoint<F> | undefined,
  writer: string,
  wanted: readonly { readonly source: string; readonly topic: string; readonly partitions: readonly number[] }[],
): CheckpointEntry | undefined {
  const opened = [...(last?.entry.opened ?? [])]
  let joining = 0
  for (const { source, topic, partitions } of wanted) {
    const known = last?.sources[source] ?? {}
    const fresh = partitions.filter((p) => !Object.hasOwn(known, p))
    if (fresh.length === 0) continue
    joining += fresh.length
    const floor = last?.watermark ?? null
    // With those that joined at the same floor: partitions that come one by one must not fill the entry.
    const at = opened.findIndex((one) => one.source === source && one.topic === topic && one.floor === floor)
    if (at < 0) opened.push({ source, topic, partitions: ranges(fresh), floor })
    else opened[at] = { source, topic, partitions: ranges([...numbersOf(opened[at]), ...fresh]), floor }
  }
  if (joining === 0) return undefined
  return { v: 1, kind: 'open', writer, body: last?.entry.body ?? null, opened }
}

function numbersOf({ partitions }: Opened): number[] {
  return partitions.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i))
}

/**
 * The pipeline's watermark: the least over every partition of every source, those without an entry counting as minus
 * infinity, and never below what was closed before (protocol rules 22, 23).
 */
export function closedWatermark(previous: number | null, partitions: Iterable<PartitionProgress>): number | null {
  let least = Number.POSITIVE_INFINITY
  for (const partition of partitions) least = Math.min(least, partition.watermark ?? Number.NEGATIVE_INFINITY)
  const watermark = Math.max(
    previous ?? Number.NEGATIVE_INFINITY,
    least === Number.POSITIVE_INFINITY ? Number.NEGATIVE_INFINITY : least,
  )
  return watermark === Number.NEGATIVE_INFINITY ? null : watermark
}

/** What never falls must not fall from one checkpoint to the next (protocol rule 28). */
export function assertSucceeds<F>(last: Checkpoint<F>, next: CheckpointBody<F>): void {
  const fail = (what: string) => corrupt(`Cannot append checkpoint ${next.n}: ${what}.`)
  if (next.n !== last.n + 1) throw fail(`expected it to follow ${last.n}`)
  if (last.watermark !== null && (next.watermark === null || next.watermark < last.watermark))
    throw fail(`its watermark ${next.watermark} is below ${last.watermark}`)
  for (const [source, partitions] of Object.entries(last.sources)) {
    for (const [p, before] of Object.entries(partitions)) {
      const now = next.sources[source]?.[p]
      if (now === undefined) throw fail(`it forgets partition ${p} of source ${source}`)
      if (now.slot < before.slot || (before.next ?? 0) > (now.next ?? 0))
        throw fail(`partition ${p} of source ${source} goes back`)
    }
  }
}
