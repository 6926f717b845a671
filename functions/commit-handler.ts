import type { Plan } from '../lib/pipeline/plan.ts'
import { type CommitSummary, commitLoop } from '../lib/runtime/commit-until.ts'
import { declaredPartitions } from '../lib/runtime/open-partitions.ts'
import { provision } from '../lib/runtime/provision.ts'
import { createRuntime, nameIncarnation, type Ports } from '../lib/runtime/runtime.ts'
import { type CommitConfig, planForFunctions } from './config.ts'
import { commitMetrics } from './metrics.ts'
import { once } from './once.ts'
import type { Context, Telling } from './telemetry.ts'
import { withoutValues } from './values.ts'

/**
 * The handler of the schedule: commits what is staged, round by round, within the function's time. Any number may run beside
 * each other. Tables that are missing are made, and partitions opened, once per cold start. Throws `InvalidPipeline` for a plan
 * that cannot run in functions.
 */
export function commitHandler(definition: Plan, ports: Ports & Telling, config: CommitConfig) {
  const plan = planForFunctions(definition, config)
  const { staging, warehouse, maxCheckpointBytes } = config
  const { clock, telemetry } = ports
  // A cached incarnation is sound: a deliberate restart fences the old one's logs by their floor.
  const loop = once(async () => {
    const incarnation = await nameIncarnation(ports.log, ports.random, plan.name)
    const opened = createRuntime({ plan, ports, staging, warehouse, incarnation, limits: { maxCheckpointBytes } })
    await provision(opened, declaredPartitions(plan))
    return commitLoop(opened)
  })

  return async (_event: unknown, context: Context): Promise<CommitSummary> => {
    const startMs = clock.now()
    telemetry.begin(context)
    let soFar: CommitSummary | undefined
    const keep = (summary: CommitSummary) => {
      soFar = summary
    }
    try {
      const commitUntil = await loop()
      const summary = await commitUntil(() => context.getRemainingTimeInMillis(), keep)
      const { rounds, checkpoint, entries, watermark, more } = summary
      const endMs = clock.now()
      const metrics = { commits: 1, commitsBehind: Number(more), ...commitMetrics(summary, endMs) }
      telemetry.info('committed', { ...metrics, rounds, checkpoint, entries, watermark, ms: endMs - startMs })
      telemetry.publish(metrics)
      return summary
    } catch (thrown) {
      const error = withoutValues(thrown)
      telemetry.error(error)
      if (soFar !== undefined) telemetry.publish(commitMetrics(soFar, clock.now()))
      throw error
    }
  }
}
