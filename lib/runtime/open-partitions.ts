import { unavailable } from '../errors.ts'
import { lookup } from '../lookup.ts'
import type { Plan } from '../pipeline/plan.ts'
import { decideOpen } from '../protocol/checkpoint.ts'
import { appendCheckpoint, lastCheckpoint } from './checkpoints.ts'
import type { StagingRuntime } from './runtime.ts'

/** By source id, the partitions that the definition says there are; none where it is silent. */
export function declaredPartitions(plan: Plan): Readonly<Record<string, readonly number[]>> {
  return Object.fromEntries(
    Object.values(plan.sources).map(({ id, partitions = 0 }) => [id, Array.from({ length: partitions }, (_, p) => p)]),
  )
}

/**
 * Lets partitions join by an `open` entry in the checkpoint log (protocol rule 23). Whoever loses the race for the slot
 * reads again: a commit in preparation that loses to us counts them.
 */
export async function openPartitions(
  runtime: StagingRuntime,
  partitions: Readonly<Record<string, readonly number[]>>,
): Promise<void> {
  const wanted = Object.entries(partitions).map(([source, of]) => {
    return { source, topic: lookup(runtime.plan.sources, source, 'source').topic, partitions: of }
  })
  for (let attempt = 0; attempt < runtime.limits.maxAttempts; attempt++) {
    const last = await lastCheckpoint(runtime)
    const entry = decideOpen(last, runtime.ports.random.uuid(), wanted)
    if (entry === undefined) return
    if (await appendCheckpoint(runtime, (last?.n ?? 0) + 1, entry)) return
  }
  throw unavailable(
    `Cannot open partitions of pipeline ${runtime.plan.name}: lost the race for the checkpoint log ${runtime.limits.maxAttempts} times.`,
  )
}
