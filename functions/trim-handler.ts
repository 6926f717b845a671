import type { Plan } from '../lib/pipeline/plan.ts'
import { incarnationLogKey } from '../lib/protocol/names.ts'
import { checkpointAccess } from '../lib/runtime/checkpoints.ts'
import { cleanStaging } from '../lib/runtime/clean-staging.ts'
import { createStagingRuntime, type StagingPorts } from '../lib/runtime/runtime.ts'
import { foreseeTrim, trim } from '../lib/runtime/trim.ts'
import type { LogsConfig } from './config.ts'
import { sumOf } from './each-table.ts'
import type { Context, Telling } from './telemetry.ts'
import { withoutValues } from './values.ts'

/** Staged objects younger than this stay. What is deleted is proved dead; the age is for who wants to look at it. */
const STAGED_MS = 3 * 24 * 3_600_000

/** What a call did. */
export interface TrimSummary {
  /** The checkpoint that proves it; 0 before there is one. */
  readonly checkpoint: number
  /** Log entries deleted. */
  readonly entries: number
  /** Staged objects deleted, and those left there: needed, young, or of unknown origin. */
  readonly objects: number
  readonly bytes: number
  readonly kept: number
  /** Objects that the store would not read or delete now: the next call tries them again. */
  readonly failed: number
  /** True when the time was up: the next call goes on. */
  readonly more: boolean
}

const NOTHING: TrimSummary = { checkpoint: 0, entries: 0, objects: 0, bytes: 0, kept: 0, failed: 0, more: false }

/**
 * The handler that trims the logs and deletes from staging what the last checkpoint proves to be needed no more. What it is
 * called with does not matter. Before the pipeline has run there is nothing to do.
 */
export function trimHandler(plan: Plan, ports: StagingPorts & Telling, { staging }: Pick<LogsConfig, 'staging'>) {
  const { clock, telemetry } = ports

  const trimmed = async (context: Context): Promise<TrimSummary> => {
    const known = await ports.log.tail(incarnationLogKey(plan.name))
    if (known === undefined) return NOTHING
    const remainingMs = () => context.getRemainingTimeInMillis()
    const runtime = createStagingRuntime({ plan, ports, staging, incarnation: known.value })
    const foreseen = await foreseeTrim(runtime)
    const logs = await trim(runtime, remainingMs)
    const done = new Set(logs.logs.map(({ key }) => key))
    const options = { nowMs: clock.now(), olderThanMs: STAGED_MS, apply: true, remainingMs }
    const { checkpoint, dead, kept, failed, more } = await cleanStaging(checkpointAccess(runtime), options)
    return {
      checkpoint,
      entries: sumOf(foreseen.logs, ({ key, entries }) => (done.has(key) ? entries : 0)),
      objects: sumOf(Object.values(dead), ({ objects }) => objects),
      bytes: sumOf(Object.values(dead), ({ bytes }) => bytes),
      kept: sumOf(Object.values(kept), ({ objects }) => objects),
      failed,
      more: more || logs.more,
    }
  }

  return async (_event: unknown, context: Context): Promise<TrimSummary> => {
    const startMs = clock.now()
    telemetry.begin(context)
    try {
      const summary = await trimmed(context)
      const { entries, objects, bytes, ...facts } = summary
      const metrics = { trimmedLogEntries: entries, deletedStagingObjects: objects, deletedStagingBytes: bytes }
      telemetry.info('trimmed', { ...metrics, ...facts, ms: clock.now() - startMs })
      telemetry.publish(metrics)
      return summary
    } catch (thrown) {
      const error = withoutValues(thrown)
      telemetry.error(error)
      throw error
    }
  }
}
