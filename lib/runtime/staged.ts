import { refused } from '../errors.ts'
import { type Last, lastCheckpoint } from './checkpoints.ts'
import { readStaging } from './read-staging.ts'
import type { Runtime } from './runtime.ts'

/**
 * Throws `Refused` when rows wait for a table or an operator that this definition lacks: every commit under it would be refused
 * until the older one is back. Looks at what one checkpoint would take. A deployment asks this; functions of before may stage
 * more in the moment after, so whoever removes something stops them first.
 */
export async function assertStagedIsKnown(runtime: Runtime): Promise<void> {
  const { plan } = runtime
  for (let last = await lastCheckpoint(runtime); last !== undefined; last = await lastCheckpoint(runtime)) {
    const targets = await stagedTargets(runtime, last)
    if (targets === undefined) continue
    const known = [
      ...Object.keys(plan.tables).map((name) => `table:${name}`),
      ...Object.keys(plan.operators).map((name) => `state:${name}`),
    ]
    const unknown = targets.find((target) => !known.includes(target))
    if (unknown === undefined) return
    throw refused(
      `Cannot go on with pipeline ${plan.name}: expected what is staged to be for ${known.join(', ')}, found ${unknown}. Disable the event source mapping, let commit finish, and deploy again.`,
    )
  }
}

/** Undefined: the checkpoint is not the last any more. */
async function stagedTargets(runtime: Runtime, last: Last): Promise<readonly string[] | undefined> {
  const taken = await readStaging(runtime, last)
  return taken?.partitions.flatMap(({ entries }) => entries.flatMap(({ entry }) => entry.slices.map(({ target }) => target)))
}
