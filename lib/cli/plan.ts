import type { Fields } from '../columns/schema.ts'
import { isKind, refused } from '../errors.ts'
import { columnsText } from '../iceberg/evolve.ts'
import { lookAtWarehouse, type WarehouseAt } from '../local/warehouse.ts'
import type { Plan } from '../pipeline/plan.ts'
import type { Catalog } from '../ports/catalog.ts'
import { incarnationLogKey } from '../protocol/names.ts'
import { type PlannedTable, planTables, type TableVerdict } from '../runtime/provision.ts'
import { createRuntime, type Runtime } from '../runtime/runtime.ts'
import { assertStagedIsKnown } from '../runtime/staged.ts'
import { type WarehouseFlags, warehouseOf } from './arguments.ts'
import { EXIT, type Output, tableWidth } from './output.ts'
import { renderTable, styled } from './table.ts'

export interface PlanFlags extends WarehouseFlags {
  readonly exitCode: boolean
}

const SHOWN: Readonly<Record<TableVerdict['verdict'], string>> = {
  Same: 'stays',
  Make: 'is made',
  Add: 'gets',
  Refuse: 'refused',
}

/** `frazil plan`: what the next run or deployment of a pipeline would change in tables. Writes nothing. */
export async function planCommand(pipelineFile: string, flags: PlanFlags, output: Output): Promise<number> {
  const warehouse = warehouseOf(flags)
  const { loadPipeline } = await import('./load-pipeline.ts')
  const plan = await loadPipeline(pipelineFile)
  const { tables, refusals } = await foresee(plan, warehouse)
  const nameOf = (table: PlannedTable) => `${plan.namespace}.${table.plan.name}`
  if (output.json) {
    const changes = tables.map((table) => ({
      table: nameOf(table),
      change: SHOWN[table.verdict.verdict],
      columns: newColumns(table).map(({ name, type, required }) => ({ name, type, required })),
    }))
    await output.data(`${JSON.stringify(changes)}\n`)
  } else {
    const columns = [
      { name: 'table', right: false, whole: true },
      { name: 'change', right: false, whole: true },
      { name: 'columns', right: false },
    ]
    const rows = tables.map((table) => [nameOf(table), SHOWN[table.verdict.verdict], columnsText(newColumns(table))])
    await output.data(styled(renderTable(columns, rows, tableWidth()), process.stdout))
  }
  if (refusals.length > 0) throw refused(refusals.join('\n'))
  return flags.exitCode && tables.some(({ verdict }) => verdict.verdict !== 'Same') ? EXIT.finding : EXIT.fine
}

interface Foreseen {
  readonly tables: readonly PlannedTable[]
  /** Messages of all that a deployment would refuse. */
  readonly refusals: readonly string[]
}

async function foresee(plan: Plan, at: ReturnType<typeof warehouseOf>): Promise<Foreseen> {
  const { ports, staging, tables: location, close } = await lookAtWarehouse(at)
  try {
    const known = await ports.log.tail(incarnationLogKey(plan.name))
    if (known === undefined) await assertNoTableYet(plan, ports.catalog, at)
    const incarnation = known?.value ?? ports.random.uuid().slice(0, 8)
    const runtime = createRuntime({ plan, ports, staging, warehouse: location, incarnation })
    const tables = await planTables(runtime)
    const ofTables = tables.flatMap(({ verdict }) => (verdict.verdict === 'Refuse' ? [verdict.error.message] : []))
    return { tables, refusals: [...ofTables, ...(known === undefined ? [] : await refusalsOfStaged(runtime))] }
  } finally {
    close()
  }
}

/** Tables without logs: the logs are elsewhere, as a rule, and to say of each table that it is foreign would hide that. */
async function assertNoTableYet(plan: Plan, catalog: Catalog, at: WarehouseAt): Promise<void> {
  const [where, remedy] =
    at.kind === 'aws'
      ? [`table ${at.logTable} of DynamoDB`, 'Name their table by --log-table; a deployment has it in its output LogTableOutput.']
      : [`${at.dir}/.frazil`, 'Put them back.']
  for (const name of Object.keys(plan.tables)) {
    const id = { namespace: plan.namespace, name }
    if ((await catalog.load(id)) !== undefined)
      throw refused(
        `Cannot plan for pipeline ${plan.name}: expected its logs in ${where}, found none there, but table ${id.namespace}.${id.name} in the catalog. ${remedy}`,
      )
  }
}

/** As a refusal and not as a failure: the tables are shown all the same. */
async function refusalsOfStaged(runtime: Runtime): Promise<readonly string[]> {
  try {
    await assertStagedIsKnown(runtime)
    return []
  } catch (error) {
    if (isKind(error, 'Refused')) return [error.message]
    throw error
  }
}

function newColumns({ plan, verdict }: PlannedTable): Fields {
  switch (verdict.verdict) {
    case 'Make':
      return plan.fields
    case 'Add':
      return verdict.columns
    case 'Same':
    case 'Refuse':
      return []
  }
}
