import { corrupt } from '../errors.ts'
import { currentSchema, defaultSortOrder, defaultSpec } from '../iceberg/metadata.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import { fieldsOf, partitionByOf, sortByOf } from '../iceberg/schema.ts'
import { NO_MAINTENANCE } from '../pipeline/maintenance.ts'
import type { TablePlan } from '../pipeline/plan.ts'
import { foreignTable } from '../protocol/marker.ts'
import { judge, load } from './apply.ts'
import type { Last } from './checkpoints.ts'
import type { Runtime } from './runtime.ts'

/** A table that this definition does not have, and how it is written. */
export interface DroppedTable {
  readonly plan: TablePlan
  readonly table: LoadedTable
}

/**
 * The table of this name, if the pipeline has one that its definition does not know: functions of another definition stage rows
 * for it while a deployment is rolled out or back, and whoever commits them finds all that it needs in the table's metadata
 * (protocol rule 19). Undefined when there is none. Throws `Refused` when it stands where these logs cannot have left it.
 */
export async function droppedTable(runtime: Runtime, name: string, last: Last): Promise<DroppedTable | undefined> {
  const table = await load(runtime, name)
  if (table === undefined || foreignTable(table.metadata.properties, runtime.plan.name, runtime.incarnation) !== undefined)
    return undefined
  if ((await judge(runtime, name, table, last)) !== 'Done')
    throw corrupt(`Cannot write to table ${name}: expected checkpoint ${last.n} to be the last, found another. Commit again.`)
  const { metadata } = table
  const schema = currentSchema(metadata)
  const plan: TablePlan = {
    name,
    fields: fieldsOf(schema),
    partitionBy: partitionByOf(defaultSpec(metadata), schema),
    sortBy: sortByOf(defaultSortOrder(metadata), schema),
    properties: metadata.properties,
    maintenance: NO_MAINTENANCE,
  }
  return { plan, table }
}
