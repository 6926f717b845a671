import { needsOf } from '../protocol/cleaning.ts'
import { checkpointLogKey } from '../protocol/names.ts'
import { checkpointTrimFloor, stagingTrimFloor } from '../protocol/trim.ts'
import { type Last, lastCheckpoint } from './checkpoints.ts'
import type { StagingRuntime } from './runtime.ts'

/** Time left below which no further log is begun. A trim that is cut off is harmless: the next one deletes the rest. */
const MARGIN_MS = 20_000

/** A log, and the slot up to which nobody needs it: 0 when all of it is needed. */
export interface TrimmedLog {
  readonly key: string
  readonly floor: number
}

export interface TrimReport {
  /** The checkpoint that proves it; 0 before there is one. */
  readonly checkpoint: number
  /** The logs trimmed, staging logs first. */
  readonly logs: readonly TrimmedLog[]
  /** True when the time was up: call again. */
  readonly more: boolean
}

/**
 * Trims the logs as far as the last checkpoint proves that nobody needs them (protocol rules 2, 3). Runs beside anything: each
 * log raises its floor before it deletes. Throws `Refused` for a definition that cannot go on from that checkpoint.
 *
 * @param remainingMs how much time is left, at the moment of asking
 */
export async function trim(
  runtime: StagingRuntime,
  remainingMs: () => number = () => Number.POSITIVE_INFINITY,
): Promise<TrimReport> {
  const last = await lastCheckpoint(runtime)
  const logs: TrimmedLog[] = []
  const report = { checkpoint: last?.n ?? 0, logs }
  if (last === undefined) return { ...report, more: false }
  for await (const { key, floor } of trimmable(runtime, last)) {
    if (remainingMs() < MARGIN_MS) return { ...report, more: true }
    // Also when the floor is there already: a trim that was cut off has left slots below it.
    if (floor > 0) await runtime.ports.log.trim(key, floor)
    logs.push({ key, floor })
  }
  return { ...report, more: false }
}

/**
 * What `trim` would do now, log by log: `entries` are slots by which it would raise the floor. Reads only; throws as `trim`
 * does.
 */
export async function foreseeTrim(
  runtime: StagingRuntime,
): Promise<{ readonly checkpoint: number; readonly logs: readonly (TrimmedLog & { readonly entries: number })[] }> {
  const last = await lastCheckpoint(runtime)
  if (last === undefined) return { checkpoint: 0, logs: [] }
  const logs: TrimmedLog[] = []
  for await (const log of trimmable(runtime, last)) logs.push(log)
  const before = await runtime.ports.log.floors(logs.map(({ key }) => key))
  // Another trim, by a later checkpoint, may have come between.
  return { checkpoint: last.n, logs: logs.map((log, i) => ({ ...log, entries: Math.max(0, log.floor - before[i]) })) }
}

/** Every log and how far it may be trimmed, each judged by its tail as it is asked for. */
async function* trimmable({ ports, plan, incarnation }: StagingRuntime, last: Last): AsyncGenerator<TrimmedLog> {
  for (const [key, consumed] of needsOf(last, plan.name, incarnation).consumed)
    yield { key, floor: stagingTrimFloor(consumed, (await ports.log.tail(key))?.slot ?? 0) }
  yield { key: checkpointLogKey(plan.name, incarnation), floor: checkpointTrimFloor(last.n) }
}
