import type { TablePorts } from '../lib/iceberg/change.ts'
import { limitsOf } from '../lib/maintenance/limits.ts'
import type { Plan } from '../lib/pipeline/plan.ts'
import { parseCompactEvent } from './compact-event.ts'
import {
  allSteps,
  type CompactedFiles,
  type CompactSetting,
  type PlannedCompaction,
  planStep,
  type Step,
  timeKeeper,
  workStep,
} from './compact-steps.ts'
import type { CompactConfig } from './config.ts'
import type { Context, Facts, Telling } from './telemetry.ts'
import { withoutValues } from './values.ts'

/**
 * The handler of compaction, in two steps that a state machine calls: `plan` merges manifests and answers with jobs, `work`
 * does one. Called by a schedule, or with `{}`, it does both while its time lasts. A job that is done twice, by a retry or at
 * the same time, is done once.
 */
export function compactHandler(plan: Plan, ports: TablePorts & Telling, { memoryMb }: CompactConfig) {
  const { clock, telemetry } = ports
  const setting: CompactSetting = { plan, ports, limits: limitsOf(memoryMb) }

  const done = async (event: unknown, context: Context): Promise<Told> => {
    const call = parseCompactEvent(event, plan)
    if (call.step === 'plan') {
      const { failed, ...planned } = await planStep(setting, context)
      const { jobs, more } = planned.answer
      // Not thrown: the jobs of the other tables are to be done. The answer tells how many there are.
      return { ...planned, failed: [], message: 'planned', facts: { jobs: jobs.length, failed: failed.length, more } }
    }
    if (call.step === 'work') {
      const worked = await workStep(setting, call.job, call.policy, timeKeeper(context))
      return { ...worked, message: 'compacted', facts: { table: call.job.table.name, ...worked.answer } }
    }
    const all = await allSteps(setting, context)
    return { ...all, message: 'compacted', facts: { ...all.answer, failed: all.failed.length } }
  }

  return async (event: unknown, context: Context): Promise<PlannedCompaction | CompactedFiles> => {
    const startMs = clock.now()
    telemetry.begin(context)
    const { answer, metrics, failed, message, facts } = await done(event, context).catch((thrown) => {
      const error = withoutValues(thrown)
      telemetry.error(error)
      throw error
    })
    telemetry.info(message, { ...metrics, ...facts, ms: clock.now() - startMs })
    telemetry.publish(metrics)
    // After all was tried; each was logged.
    if (failed.length > 0) throw failed[0]
    return answer
  }
}

/** A step, and how it is told. */
interface Told extends Step<PlannedCompaction | CompactedFiles> {
  readonly message: string
  readonly facts: Facts
}
