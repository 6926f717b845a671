import { isKind, messageOf } from '../errors.ts'
import { lookup } from '../lookup.ts'
import type { Log, LogItem } from '../ports/log.ts'
import type { PartitionProgress } from '../protocol/checkpoint.ts'
import { partitionLabel, stagingLogKey } from '../protocol/names.ts'
import { assertFollows, decodeStagingEntry, type StagingEntry } from '../protocol/staging.ts'
import type { Finding } from './audit-findings.ts'
import { type Last, lastCheckpoint } from './checkpoints.ts'
import type { Runtime } from './runtime.ts'

/** Entries asked of a log at once: at 4 KB each, 1 MB. */
const PAGE = 256

/** What an audit keeps of a staging entry that a checkpoint has consumed. */
export interface LoggedEntry {
  /** Offsets [from, next), of which `missing` had no record. */
  readonly from: number
  readonly next: number
  readonly missing: number
  /** Without dead letters. */
  readonly accepted: number
  readonly deadLetters: number
  /** Rows staged for each table, by its name. */
  readonly rows: Readonly<Record<string, number>>
}

/** A partition as the logs tell of it. */
export interface PartitionLog {
  readonly source: string
  readonly topic: string
  readonly partition: number
  /** Offset after the last one that a checkpoint consumed; null: none yet. */
  readonly next: number | null
  /** The first offset ever staged; null: none, or the log was trimmed and no checkpoint tells. */
  readonly first: number | null
  /** Offsets in [first, next) that no record had; null when neither checkpoint nor log tells. */
  readonly gaps: number | null
  /** Consumed entries that hold offsets. All there ever were, if `whole`. */
  readonly entries: readonly LoggedEntry[]
  readonly whole: boolean
  /** Records staged that no checkpoint has consumed. */
  readonly waiting: number
}

export interface AuditedLogs {
  /** Undefined when there is none, or it cannot be read: a finding says so. */
  readonly last: Last | undefined
  readonly partitions: readonly PartitionLog[]
  readonly findings: readonly Finding[]
}

/**
 * Reads the last checkpoint and all that is left of the staging logs. What is gone or damaged becomes a finding. Throws
 * `Refused` for a definition that is not the checkpoint's.
 */
export async function readLogs(runtime: Runtime): Promise<AuditedLogs> {
  const finding = (message: string, partition: string | null = null): Finding => ({
    kind: 'logs',
    table: null,
    partition,
    message,
  })
  const findings: Finding[] = []
  let last: Last | undefined
  try {
    last = await lastCheckpoint(runtime)
    if (last === undefined) findings.push(finding(`Expected a checkpoint of pipeline ${runtime.plan.name}, found none.`))
  } catch (error) {
    if (!isKind(error, 'Corrupt')) throw error
    findings.push(finding(messageOf(error)))
  }
  const partitions: PartitionLog[] = []
  for (const [source, progresses] of Object.entries(last?.sources ?? {})) {
    const { topic } = lookup(runtime.plan.sources, source, 'source')
    for (const [p, progress] of Object.entries(progresses)) {
      const partition = Number(p)
      const label = partitionLabel(topic, partition)
      const key = stagingLogKey(runtime.plan.name, source, runtime.incarnation, topic, partition)
      const judge = stagingJudge(label, progress)
      // Read before the floor is: what a trim takes meanwhile lies below it.
      const items = await readAll(runtime.ports.log, key, judge)
      const [floor] = await runtime.ports.log.floors([key])
      const judged = items.finish(floor)
      for (const problem of judged.problems) findings.push(finding(problem, label))
      partitions.push({ source, topic, partition, next: progress.next, ...judged.log })
    }
  }
  return { last, partitions, findings }
}

type Judge = ReturnType<typeof stagingJudge>

async function readAll(log: Log, key: string, judge: Judge): Promise<Judge> {
  for (let after = 0; ; ) {
    const items = await log.read(key, after, PAGE)
    for (const item of items) judge.take(item)
    const end = items.at(-1)
    if (end === undefined || items.length < PAGE) return judge
    after = end.slot
  }
}

interface Slot {
  readonly slot: number
  readonly entry: StagingEntry
}

/** Judges a staging log item by item, keeping a few numbers of each (protocol rules 1, 9, 28). */
export function stagingJudge(label: string, progress: PartitionProgress) {
  const slots: Slot[] = []
  const damaged: string[] = []
  return {
    take({ slot, value }: LogItem): void {
      try {
        // Inline rows are not looked at, and may be the most of it.
        slots.push({ slot, entry: { ...decodeStagingEntry(value), inline: null } })
      } catch (error) {
        if (!isKind(error, 'Corrupt')) throw error
        damaged.push(`Staging log ${label}, slot ${slot}: ${messageOf(error)}`)
      }
    },
    /** @param floor read after the items: slots at or below it prove nothing (protocol rule 2) */
    finish(floor: number) {
      const live = slots.filter(({ slot }) => slot > floor)
      const consumed = live.filter(({ slot }) => slot <= progress.slot)
      const whole = floor === 0 && consumed.length === progress.slot
      const entries = consumed.flatMap(({ entry }) => loggedEntry(entry))
      const logged = whole ? { first: entries[0]?.from ?? null, gaps: sumOf(entries, ({ missing }) => missing) } : undefined
      const first = progress.first ?? logged?.first ?? null
      const gaps = progress.missing ?? logged?.gaps ?? null
      const problems = [...damaged, ...problemsOf(label, live, floor, progress)]
      if (logged !== undefined && (first !== logged.first || gaps !== logged.gaps))
        problems.push(
          `Expected staging log ${label} to begin at offset ${first} and to have ${gaps} gaps, as the last checkpoint says, found ${logged.first} and ${logged.gaps}.`,
        )
      const waiting = sumOf(live, ({ slot, entry }) => (slot > progress.slot ? entry.records : 0))
      return { log: { first, gaps, entries, whole, waiting }, problems }
    },
  }
}

const sumOf = <T>(items: readonly T[], of: (item: T) => number): number => items.reduce((sum, item) => sum + of(item), 0)

function problemsOf(label: string, live: readonly Slot[], floor: number, progress: PartitionProgress): readonly string[] {
  const problems: string[] = []
  let before: Slot | undefined
  for (const at of live) {
    const expected = (before?.slot ?? floor) + 1
    if (at.slot !== expected)
      problems.push(
        `Expected slot ${expected} in staging log ${label}, found slot ${at.slot} with nothing trimmed above ${floor}: ${at.slot - expected} ${at.slot - expected === 1 ? 'entry is' : 'entries are'} gone.`,
      )
    else if (before !== undefined) {
      const follows = whyNotFollows(label, before.entry, at.entry)
      if (follows !== undefined) problems.push(follows)
    }
    if (at.slot === progress.slot && at.entry.next !== progress.next)
      problems.push(
        `Expected slot ${at.slot} of staging log ${label} to end at offset ${progress.next}, as the last checkpoint says, found ${at.entry.next}.`,
      )
    before = at
  }
  const end = before?.slot ?? floor
  if (end < progress.slot)
    problems.push(
      `Expected staging log ${label} to reach slot ${progress.slot}, which the last checkpoint consumed, found its end at ${end}.`,
    )
  return problems
}

function whyNotFollows(label: string, before: StagingEntry, entry: StagingEntry): string | undefined {
  try {
    assertFollows(label, before.next, before.watermark, entry)
    return undefined
  } catch (error) {
    if (!isKind(error, 'Corrupt')) throw error
    return messageOf(error)
  }
}

function loggedEntry({ from, next, missing, records, deadLetters, slices }: StagingEntry): LoggedEntry[] {
  if (from === null || next === null || next === from) return []
  const rows: Record<string, number> = {}
  for (const { target, rows: count } of slices)
    if (target.startsWith('table:')) rows[target.slice(6)] = (rows[target.slice(6)] ?? 0) + count
  return [{ from, next, missing, accepted: records - deadLetters, deadLetters, rows }]
}
