import type { Fields } from '../columns/schema.ts'
import { commitUnknown, type FrazilError, refused } from '../errors.ts'
import { backoffMs, tried } from '../iceberg/change.ts'
import { createTable, descriptionOf, newTable } from '../iceberg/create.ts'
import { addColumns, columnsText, decideFit } from '../iceberg/evolve.ts'
import { serializeMetadata } from '../iceberg/metadata.ts'
import { metadataLocation, nextVersion } from '../iceberg/paths.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import type { TablePlan } from '../pipeline/plan.ts'
import { foreignTable, formatMarker, markerProperty } from '../protocol/marker.ts'
import { dueTables, load, type Tables } from './apply.ts'
import { type Last, lastCheckpoint } from './checkpoints.ts'
import { openPartitions } from './open-partitions.ts'
import { type Runtime, refuseTable, tableId, tableLocation } from './runtime.ts'

/** Creations and swaps tried for one table. */
const MAX_ATTEMPTS = 10
/** Of these, ones that the catalog or a store did not answer or did not take: they take long. One more ends it. */
const MAX_FAILURES = 2

/** What provisioning does to a table, or did, itself or another beside it. */
export interface TableChange {
  readonly table: string
  readonly change: 'as it was' | 'made with' | 'gets'
  /** Those that are new, as text: `note string?, at timestamptz`. */
  readonly columns: string
}

/** What a table needs before this definition can write to it. */
export type TableVerdict =
  | { readonly verdict: 'Same' }
  | { readonly verdict: 'Make' }
  | { readonly verdict: 'Add'; readonly table: LoadedTable; readonly columns: Fields }
  | { readonly verdict: 'Refuse'; readonly error: FrazilError }

export interface PlannedTable {
  readonly plan: TablePlan
  /** The table's, when a checkpoint has pinned it: another one, or none, is never replaced by an empty table. */
  readonly uuid: string | undefined
  readonly verdict: TableVerdict
}

/**
 * Makes every table that does not exist, adds the optional columns that are new, and lets partitions join: what must have
 * happened before the first record. May run again at any time, and beside itself. All tables are looked at before the first is
 * changed, so that a refusal leaves them as they were. A table with other properties keeps them.
 */
export async function provision(
  runtime: Runtime,
  partitions: Readonly<Record<string, readonly number[]>>,
): Promise<readonly TableChange[]> {
  const planned = await planTables(runtime)
  for (const { verdict } of planned) if (verdict.verdict === 'Refuse') throw verdict.error
  const changes: TableChange[] = []
  for (const table of planned) changes.push(await carryOut(runtime, table))
  await openPartitions(runtime, partitions)
  return changes
}

/** What `provision` would do to each table of the definition. Reads only. Throws `Refused` where tables do not fit the logs. */
export async function planTables(runtime: Runtime): Promise<readonly PlannedTable[]> {
  const { last, tables } = await tablesNow(runtime)
  return Object.values(runtime.plan.tables).map((plan) => {
    const uuid = last?.body?.tables[plan.name]?.uuid
    return { plan, uuid, verdict: verdictOn(runtime, plan, uuid, tables.get(plan.name)) }
  })
}

/** The last checkpoint, and the tables as it, or the one after it, left them. */
async function tablesNow(runtime: Runtime): Promise<{ readonly last: Last | undefined; readonly tables: Tables }> {
  for (;;) {
    const last = await lastCheckpoint(runtime)
    if (last !== undefined) {
      const found = await dueTables(runtime, last)
      if (found !== undefined) return { last, tables: found.tables }
      continue
    }
    const tables = new Map<string, LoadedTable>()
    for (const name of Object.keys(runtime.plan.tables)) {
      const table = await load(runtime, name)
      if (table !== undefined) tables.set(name, table)
    }
    return { last, tables }
  }
}

function verdictOn(runtime: Runtime, plan: TablePlan, uuid: string | undefined, table: LoadedTable | undefined): TableVerdict {
  const refuse = (why: string) => ({ verdict: 'Refuse', error: refuseTable(runtime, plan.name, why) }) as const
  if (table === undefined) return uuid === undefined ? { verdict: 'Make' } : refuse('it does not exist any more')
  const { metadata } = table
  const foreign = foreignTable(metadata.properties, runtime.plan.name, runtime.incarnation)
  if (foreign !== undefined) return refuse(foreign)
  if (uuid !== undefined && metadata['table-uuid'] !== uuid) return refuse('it was dropped and created again')
  const location = tableLocation(runtime, plan.name)
  if (metadata.location !== location)
    return refuse(`expected it at ${location}, found it at ${metadata.location}: another --warehouse, or FRAZIL_WAREHOUSE`)
  const fits = decideFit(metadata, plan)
  if (fits.verdict === 'Refuse') {
    const { namespace, name } = table.id
    const error = refused(
      `Cannot use table ${namespace}.${name}: ${fits.why}. Change the pipeline back, or give it another table name: of a table that exists only optional columns can be added or left out.`,
    )
    return { verdict: 'Refuse', error }
  }
  return fits.verdict === 'Add' ? { ...fits, table } : fits
}

/** The change that a table's verdict asks for. Throws what it refuses. */
function changeOf({ plan, verdict }: PlannedTable): TableChange {
  switch (verdict.verdict) {
    case 'Same':
      return { table: plan.name, change: 'as it was', columns: '' }
    case 'Make':
      return { table: plan.name, change: 'made with', columns: columnsText(plan.fields) }
    case 'Add':
      return { table: plan.name, change: 'gets', columns: columnsText(verdict.columns) }
    case 'Refuse':
      throw verdict.error
  }
}

/**
 * Does what the verdict says, once; where that is lost or not known to have happened, judges the table again, on the base that
 * the next swap replaces (protocol rules 10, 11).
 */
async function carryOut(runtime: Runtime, planned: PlannedTable): Promise<TableChange> {
  const { plan, uuid } = planned
  let { verdict } = planned
  let failures = 0
  /** True: done. False: look again. */
  const carried = async (change: () => Promise<boolean>): Promise<boolean> => {
    const outcome = await tried(change)
    if (!outcome.done && outcome.error !== undefined && ++failures > MAX_FAILURES) throw outcome.error
    return outcome.done
  }
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (attempt > 0) {
      await runtime.ports.clock.sleep(backoffMs(attempt))
      verdict = verdictOn(runtime, plan, uuid, await load(runtime, plan.name))
    }
    switch (verdict.verdict) {
      case 'Same':
        return changeOf(planned)
      case 'Refuse':
        throw verdict.error
      case 'Make':
        if (await carried(() => makeTable(runtime, plan))) return changeOf(planned)
        break
      case 'Add': {
        const { table, columns } = verdict
        if (await carried(() => addTo(runtime, table, columns))) return changeOf({ ...planned, verdict })
      }
    }
  }
  const { namespace, name } = tableId(runtime, plan.name)
  if (verdict.verdict === 'Make')
    throw refused(
      `Cannot make table ${namespace}.${name}: expected a table or nothing of this name in the catalog, found an entry that is no Iceberg table. Remove the entry, or give the table another name.`,
    )
  throw commitUnknown(
    `Cannot add columns to table ${namespace}.${name}: lost ${MAX_ATTEMPTS} swaps to others. Try again; columns that were added stay.`,
  )
}

/** False: something of this name is in the catalog already. */
function makeTable(runtime: Runtime, plan: TablePlan): Promise<boolean> {
  const { catalog, objects, random, clock } = runtime.ports
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
  return createTable({ catalog, objects, random, id: tableId(runtime, plan.name), metadata })
}

/** One swap. False: it was lost. */
async function addTo(runtime: Runtime, table: LoadedTable, columns: Fields): Promise<boolean> {
  const { objects, random, clock } = runtime.ports
  const { metadataLocation: baseLocation } = table.pointer
  const metadata = addColumns({ base: table.metadata, baseLocation, columns, nowMs: clock.now() })
  const location = metadataLocation(metadata, nextVersion(baseLocation), random.uuid())
  await objects.put(location, [serializeMetadata(metadata)])
  if (!(await runtime.ports.catalog.swap(table.id, table.pointer, location, descriptionOf(metadata)))) return false
  runtime.metadata.set(location, metadata)
  return true
}
