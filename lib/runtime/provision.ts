import type { Fields } from '../columns/schema.ts'
import { refused } from '../errors.ts'
import { createTable, newTable } from '../iceberg/create.ts'
import { loadTable } from '../iceberg/scan.ts'
import { mismatch } from '../iceberg/schema.ts'
import type { TablePlan } from '../pipeline/plan.ts'
import { foreignTable, formatMarker, markerProperty } from '../protocol/marker.ts'
import { dueTables } from './apply.ts'
import { lastCheckpoint } from './checkpoints.ts'
import { openPartitions } from './open-partitions.ts'
import { type Runtime, refuseTable, tableId, tableLocation } from './runtime.ts'

/** Lost creations of a table that is not there afterwards, before we say that its name is taken by something else. */
const MAX_CREATE_ATTEMPTS = 3

/** What provisioning did to a table. */
export interface TableChange {
  readonly table: string
  readonly change: 'as it was' | 'made with'
  /** Those that are new, as text: `note string?, at timestamptz`. */
  readonly columns: string
}

/**
 * Makes every table that does not exist and lets partitions join: what must have happened before the first record.
 * May run again at any time, and beside itself. A table that exists with other columns refuses before anything is written; one
 * with other properties keeps them.
 */
export async function provision(
  runtime: Runtime,
  partitions: Readonly<Record<string, readonly number[]>>,
): Promise<readonly TableChange[]> {
  // What cannot go on is refused before a table is made.
  let last = await lastCheckpoint(runtime)
  while (last !== undefined && (await dueTables(runtime, last)) === undefined) last = await lastCheckpoint(runtime)
  const changes: TableChange[] = []
  for (const table of Object.values(runtime.plan.tables))
    changes.push(await provisionTable(runtime, table, last?.body?.tables[table.name]?.uuid))
  await openPartitions(runtime, partitions)
  return changes
}

/** @param uuid the table's, when a checkpoint has pinned it: another one, or none, is never replaced by an empty table. */
async function provisionTable(runtime: Runtime, plan: TablePlan, uuid: string | undefined): Promise<TableChange> {
  const { catalog, objects, random, clock } = runtime.ports
  const id = tableId(runtime, plan.name)
  for (let attempt = 0; attempt < MAX_CREATE_ATTEMPTS; attempt++) {
    const existing = await loadTable(catalog, objects, id, runtime.metadata)
    if (existing === undefined && uuid !== undefined) throw refuseTable(runtime, plan.name, 'it does not exist any more')
    if (existing !== undefined) {
      const foreign = foreignTable(existing.metadata.properties, runtime.plan.name, runtime.incarnation)
      if (foreign !== undefined) throw refuseTable(runtime, plan.name, foreign)
      const location = tableLocation(runtime, plan.name)
      if (existing.metadata.location !== location)
        throw refuseTable(
          runtime,
          plan.name,
          `expected it at ${location}, found it at ${existing.metadata.location}: another --warehouse, or FRAZIL_WAREHOUSE`,
        )
      const why = mismatch(existing.metadata, plan)
      if (why === undefined) return { table: plan.name, change: 'as it was', columns: '' }
      throw refused(
        `Cannot use table ${id.namespace}.${id.name}: ${why}. Change the pipeline back, or give it another table name: tables are not changed yet.`,
      )
    }
    const metadata = newTable({
      uuid: random.uuid(),
      location: tableLocation(runtime, plan.name),
      plan,
      properties: {
        ...plan.properties,
        [markerProperty(runtime.plan.name)]: formatMarker({ incarnation: runtime.incarnation, n: 0 }),
      },
      nowMs: clock.now(),
    })
    if (await createTable({ catalog, objects, random, id, metadata }))
      return { table: plan.name, change: 'made with', columns: columnsText(plan.fields) }
  }
  throw refused(
    `Cannot make table ${id.namespace}.${id.name}: expected a table or nothing of this name in the catalog, found an entry that is no Iceberg table. Remove the entry, or give the table another name.`,
  )
}

function columnsText(fields: Fields): string {
  return fields.map(({ name, type, required }) => `${name} ${type}${required ? '' : '?'}`).join(', ')
}
