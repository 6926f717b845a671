import { unavailable } from '../errors.ts'
import { lookup } from '../lookup.ts'
import { decideAdvance } from '../protocol/advance.ts'
import { stagingLogKey } from '../protocol/names.ts'
import { decideAppend, encodeStagingEntry, stagingTail } from '../protocol/staging.ts'
import { lastCheckpoint } from './checkpoints.ts'
import { type CommitReport, commit } from './commit.ts'
import { put } from './put.ts'
import type { Runtime } from './runtime.ts'

/**
 * `Unproven`: something is unread, nobody can be asked, or the partition is not open. `Lost`: somebody wrote to the log
 * meanwhile.
 */
export type AdvanceOutcome = 'Advanced' | 'AlreadyIn' | 'Unproven' | 'Lost'

/**
 * Raises one partition's watermark to `toMs` if the broker proves that nothing is unread (protocol rule 24). The order
 * is the proof: tail first, then the broker, then the put at tail + 1.
 */
export async function advance(runtime: Runtime, sourceId: string, partition: number, toMs: number): Promise<AdvanceOutcome> {
  const { log, broker, random } = runtime.ports
  if (broker === undefined) return 'Unproven'
  const source = lookup(runtime.plan.sources, sourceId, 'source')
  const key = stagingLogKey(runtime.plan.name, source.id, runtime.incarnation, source.topic, partition)
  const tail = stagingTail(await log.tail(key))
  if (tail.entry === undefined) {
    // An empty log says nothing of the partition: it must have joined, and its watermark starts from the floor (23).
    const joined = (await lastCheckpoint(runtime))?.sources[source.id]?.[partition]
    if (joined === undefined) return 'Unproven'
    if (joined.watermark !== null && joined.watermark >= toMs) return 'AlreadyIn'
  }
  const verdict = decideAdvance(tail, random.uuid(), toMs)
  if (verdict.verdict === 'AlreadyIn') return 'AlreadyIn'
  if (!(await broker.nothingUnread(source.topic, partition, verdict.from))) return 'Unproven'
  const value = encodeStagingEntry(verdict.entry)
  const result = await put(log, key, verdict.slot, value)
  const [floor] = await log.floors([key])
  return decideAppend(result, value, verdict.slot, floor).verdict === 'Appended' ? 'Advanced' : 'Lost'
}

/** A partition from which nothing has come for a while. */
export interface Idle {
  readonly source: string
  readonly partition: number
}

/**
 * Advances partitions that the caller saw idle for at least their source's `idleAfter`: to where the furthest other
 * partition is, and at most to the time of reading less idle time and delay.
 */
export async function advanceIdle(runtime: Runtime, idle: readonly Idle[]): Promise<void> {
  const nowMs = runtime.ports.clock.now()
  const last = await lastCheckpoint(runtime)
  if (last === undefined) return
  let furthest = Number.NEGATIVE_INFINITY
  for (const partitions of Object.values(last.sources))
    for (const { watermark } of Object.values(partitions)) furthest = Math.max(furthest, watermark ?? furthest)
  for (const { source, partition } of idle) {
    const { idleAfterMs, delayMs } = lookup(runtime.plan.sources, source, 'source')
    const behind = last.sources[source]?.[partition]?.watermark ?? Number.NEGATIVE_INFINITY
    if (idleAfterMs === undefined) continue
    const toMs = Math.min(furthest, nowMs - idleAfterMs - delayMs)
    if (toMs > behind && Number.isFinite(toMs)) await advance(runtime, source, partition, toMs)
  }
}

/**
 * The end of a bounded source: commits all that is staged, then advances every partition, by the same proof as for
 * idleness, to the greatest end (plus allowed lateness) of any open window, and commits again. Repeating it adds nothing,
 * and windows after that stay open to come (protocol rule 25).
 *
 * @returns false when a partition still has something unread: read on and call again.
 */
export async function advanceToEnd(
  runtime: Runtime,
  commitStaged: () => Promise<void> = () => commitAll(runtime),
): Promise<boolean> {
  if (!(await allRead(runtime))) return false
  await commitStaged()
  const last = await lastCheckpoint(runtime)
  if (last === undefined) return true
  const end = lastWindowEnd(runtime, last.body?.state ?? {})
  if (end === undefined) return true
  let complete = true
  for (const [source, partitions] of Object.entries(last.sources)) {
    for (const partition of Object.keys(partitions)) {
      const outcome = await advance(runtime, source, Number(partition), end)
      if (outcome === 'Unproven' || outcome === 'Lost') complete = false
    }
  }
  if (complete) await commitStaged()
  return complete
}

/** True when the broker proves of every partition that nothing is unread. Without open windows nothing else would ask. */
async function allRead(runtime: Runtime): Promise<boolean> {
  const { log, broker } = runtime.ports
  const last = await lastCheckpoint(runtime)
  for (const [source, partitions] of Object.entries(last?.sources ?? {})) {
    const { topic } = lookup(runtime.plan.sources, source, 'source')
    for (const partition of Object.keys(partitions).map(Number)) {
      const { entry } = stagingTail(
        await log.tail(stagingLogKey(runtime.plan.name, source, runtime.incarnation, topic, partition)),
      )
      if (broker === undefined || !(await broker.nothingUnread(topic, partition, entry?.next ?? 0))) return false
    }
  }
  return true
}

function lastWindowEnd(runtime: Runtime, state: Readonly<Record<string, readonly { maxEnd: number }[]>>): number | undefined {
  let end: number | undefined
  for (const [operator, refs] of Object.entries(state)) {
    const { allowedLatenessMs } = lookup(runtime.plan.operators, operator, 'operator')
    for (const { maxEnd } of refs) end = Math.max(end ?? Number.NEGATIVE_INFINITY, maxEnd + allowedLatenessMs)
  }
  return end
}

/** Commits until nothing is left that was staged before the call. */
export async function commitAll(runtime: Runtime, onCommit: (report: CommitReport) => void = () => {}): Promise<void> {
  let lost = 0
  for (;;) {
    const report = await commit(runtime)
    onCommit(report)
    if (!report.more) return
    // A round may take no entries and yet close windows: those are files.
    lost = report.entries === 0 && report.files === 0 ? lost + 1 : 0
    if (lost === runtime.limits.maxAttempts)
      throw unavailable(`Cannot commit pipeline ${runtime.plan.name}: lost the race for the checkpoint log ${lost} times.`)
  }
}
