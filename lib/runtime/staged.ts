import { refused } from '../errors.ts'
import { lookup } from '../lookup.ts'
import type { SliceRef } from '../protocol/staging.ts'
import { type Last, lastCheckpoint } from './checkpoints.ts'
import { droppedTable } from './dropped-table.ts'
import { readStaging } from './read-staging.ts'
import type { Runtime } from './runtime.ts'

/**
 * Throws `Refused` when something waits that no commit under this definition could take: windows that it lacks or that mean
 * something else, rows of a table that is nowhere. Every commit would be refused until the older definition is back. Looks at
 * what one checkpoint would take. A deployment asks this; functions of before may stage more in the moment after, so whoever
 * removes something stops them first.
 */
export async function assertStagedIsKnown(runtime: Runtime): Promise<void> {
  const { plan } = runtime
  for (let last = await lastCheckpoint(runtime); last !== undefined; last = await lastCheckpoint(runtime)) {
    const slices = await stagedSlices(runtime, last)
    if (slices === undefined) continue
    const unknown = await firstUnknown(runtime, slices, last)
    if (unknown === undefined) return
    throw refused(
      `Cannot go on with pipeline ${plan.name}: expected that all that is staged can be committed under this definition, found ${unknown}. Disable the event source mapping, let the definition before commit it, and deploy again.`,
    )
  }
}

/** In words. */
async function firstUnknown(runtime: Runtime, slices: readonly SliceRef[], last: Last): Promise<string | undefined> {
  const { tables, operators } = runtime.plan
  const dropped = new Map<string, boolean>()
  for (const { target, fingerprint } of slices) {
    const name = target.slice(target.indexOf(':') + 1)
    if (target.startsWith('state:')) {
      if (!Object.hasOwn(operators, name)) return `windows of ${name}, which it does not have`
      // Entries from before refs had fingerprints have none; their slices do, and commit looks.
      if (fingerprint !== undefined && fingerprint !== lookup(operators, name, 'operator').fingerprint)
        return `windows of ${name} of another meaning`
    } else if (!Object.hasOwn(tables, name)) {
      if (!dropped.has(name)) dropped.set(name, (await droppedTable(runtime, name, last)) !== undefined)
      if (dropped.get(name) === false) return `rows of table ${name}, which neither it nor the catalog has`
    }
  }
  return undefined
}

/** Undefined: the checkpoint is not the last any more. */
async function stagedSlices(runtime: Runtime, last: Last): Promise<readonly SliceRef[] | undefined> {
  const taken = await readStaging(runtime, last)
  return taken?.partitions.flatMap(({ entries }) => entries.flatMap(({ entry }) => entry.slices))
}
