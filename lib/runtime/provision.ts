import { refused, unavailable } from '../errors.ts'
import { createTable, newTable } from '../iceberg/create.ts'
import { loadTable } from '../iceberg/scan.ts'
import { mismatch } from '../iceberg/schema.ts'
import type { TablePlan } from '../pipeline/plan.ts'
import { decideOpen } from '../protocol/checkpoint.ts'
import { formatMarker, markerProperty } from '../protocol/marker.ts'
import { appendCheckpoint, lastCheckpoint } from './checkpoints.ts'
import { type Runtime, tableId, tableLocation } from './runtime.ts'

/**
 * Makes every table that does not exist and lets partitions join: what must have happened before the first record.
 * May run again at any time, and beside itself. A table that exists with other columns refuses before anything is written.
 */
export async function provision(runtime: Runtime, partitions: Readonly<Record<string, readonly number[]>>): Promise<void> {
  for (const table of Object.values(runtime.plan.tables)) await provisionTable(runtime, table)
  await openPartitions(runtime, partitions)
}

async function provisionTable(runtime: Runtime, plan: TablePlan): Promise<void> {
  const { catalog, objects, random, clock } = runtime.ports
  const id = tableId(runtime, plan.name)
  for (;;) {
    const existing = await loadTable(catalog, objects, id)
    if (existing !== undefined) {
      const why = mismatch(existing.metadata, plan)
      if (why === undefined) return
      throw refused(
        `Cannot use table ${id.namespace}.${id.name}: ${why}. Change the pipeline back, or give it another table name: tables are not changed yet.`,
      )
    }
    const metadata = newTable({
      uuid: random.uuid(),
      location: tableLocation(runtime, plan.name),
      plan,
      properties: { [markerProperty(runtime.plan.name)]: formatMarker({ incarnation: runtime.incarnation, n: 0 }) },
      nowMs: clock.now(),
    })
    if (await createTable({ catalog, objects, random, id, metadata })) return
  }
}

/**
 * Lets partitions join by an `open` entry in the checkpoint log (PROTOCOL-REVIEW 23). Whoever loses the race for the slot
 * reads again: a commit in preparation that loses to us counts them.
 */
export async function openPartitions(runtime: Runtime, partitions: Readonly<Record<string, readonly number[]>>): Promise<void> {
  for (let attempt = 0; attempt < runtime.limits.maxAttempts; attempt++) {
    const last = await lastCheckpoint(runtime)
    const entry = decideOpen(last, runtime.ports.random.uuid(), partitions)
    if (entry === undefined) return
    if (await appendCheckpoint(runtime, (last?.n ?? 0) + 1, entry)) return
  }
  throw unavailable(
    `Cannot open partitions of pipeline ${runtime.plan.name}: lost the race for the checkpoint log ${runtime.limits.maxAttempts} times.`,
  )
}
