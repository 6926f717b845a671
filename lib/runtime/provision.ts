import { refused } from '../errors.ts'
import { createTable, newTable } from '../iceberg/create.ts'
import { loadTable } from '../iceberg/scan.ts'
import { mismatch } from '../iceberg/schema.ts'
import type { TablePlan } from '../pipeline/plan.ts'
import { formatMarker, markerProperty } from '../protocol/marker.ts'
import { openPartitions } from './open-partitions.ts'
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
