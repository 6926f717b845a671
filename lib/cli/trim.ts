import { usage } from '../errors.ts'
import { lookAtWarehouse, openWarehouse, type Warehouse, type WarehouseAt } from '../local/warehouse.ts'
import type { Plan } from '../pipeline/plan.ts'
import { incarnationLogKey } from '../protocol/names.ts'
import { checkpointAccess } from '../runtime/checkpoints.ts'
import { cleanStaging, type ObjectCount, type StagingReport } from '../runtime/clean-staging.ts'
import { createStagingRuntime } from '../runtime/runtime.ts'
import { foreseeTrim, trim } from '../runtime/trim.ts'
import { parseAge, shownWarehouse, type WarehouseFlags, warehouseOf } from './arguments.ts'
import { counted, shownBytes, shownCount } from './format.ts'
import { EXIT, type Output, tableWidth } from './output.ts'
import { renderTable, styled } from './table.ts'

export interface TrimFlags extends WarehouseFlags {
  readonly olderThan: string
  readonly apply: boolean
}

interface Trimmed extends StagingReport {
  readonly logs: Awaited<ReturnType<typeof foreseeTrim>>['logs']
}

/**
 * `frazil trim`: what logs and staging hold that no checkpoint needs any more, and with `--apply` deletes it. Takes no lock: a
 * run may go on beside it. Without `--apply` it writes nothing, and nowhere does it make a warehouse.
 */
export async function trimCommand(pipelineFile: string, flags: TrimFlags, output: Output): Promise<number> {
  const at = warehouseOf(flags)
  const olderThanMs = parseAge('--older-than', flags.olderThan, 0)
  const { loadPipeline } = await import('./load-pipeline.ts')
  const plan = await loadPipeline(pipelineFile)
  const { logs, checkpoint, dead, kept, failed } = await trimWarehouse(plan, at, olderThanMs, flags.apply)
  const entries = logs.reduce((sum, log) => sum + log.entries, 0)
  if (output.json) {
    const { name: pipeline } = plan
    const report = {
      pipeline,
      warehouse: shownWarehouse(at),
      applied: flags.apply,
      checkpoint,
      entries,
      logs,
      ...dead,
      kept,
      failed,
    }
    await output.data(`${JSON.stringify(report)}\n`)
    return EXIT.fine
  }
  const columns = [
    { name: flags.apply ? 'deleted' : 'would delete', right: false, whole: true },
    { name: 'count', right: true },
    { name: 'size', right: true },
  ]
  const row = (name: string, { objects, bytes }: ObjectCount) => [name, shownCount(objects), shownBytes(bytes)]
  const rows = [
    ['log entries', shownCount(entries), '-'],
    row('segments', dead.segments),
    row('checkpoint bodies', dead.bodies),
    row('open windows of before', dead.state),
  ]
  await output.data(styled(renderTable(columns, rows, tableWidth()), process.stdout))
  output.note(keptText(kept, flags.olderThan))
  if (failed > 0) output.note(`${counted(failed, 'object')} could not be read or deleted just now: run it again.`)
  if (!flags.apply) output.note('Nothing was deleted. --apply does it.')
  return EXIT.fine
}

async function trimWarehouse(plan: Plan, at: WarehouseAt, olderThanMs: number, apply: boolean): Promise<Trimmed> {
  const seen = await lookAtWarehouse(at)
  let warehouse: Warehouse = seen
  try {
    const known = await seen.ports.log.tail(incarnationLogKey(plan.name))
    if (known === undefined) throw unknownLogs(plan, at)
    if (apply) warehouse = await openWarehouse(at)
    const { ports, staging } = warehouse
    const runtime = createStagingRuntime({ plan, ports, staging, incarnation: known.value })
    const { logs } = await foreseeTrim(runtime)
    if (apply) await trim(runtime)
    const nowMs = ports.clock.now()
    return { ...(await cleanStaging(checkpointAccess(runtime), { nowMs, olderThanMs, apply })), logs }
  } finally {
    seen.close()
    if (warehouse !== seen) warehouse.close()
  }
}

function unknownLogs({ name }: Plan, at: WarehouseAt) {
  const [where, remedy] =
    at.kind === 'aws'
      ? [`table ${at.logTable} of DynamoDB`, 'Check --log-table; a deployment has it in its output LogTableOutput.']
      : [`${at.dir}/.frazil`, 'Check --warehouse.']
  return usage(`Cannot trim pipeline ${name}: expected its logs in ${where}, found none there. ${remedy}`)
}

function keptText({ young, needed, unknown }: StagingReport['kept'], olderThan: string): string {
  const part = ({ objects, bytes }: ObjectCount, why: string) =>
    objects === 0 ? [] : [`${counted(objects, 'object')} (${shownBytes(bytes)}) ${why}`]
  const parts = [...part(young, `younger than ${olderThan}`), ...part(needed, 'needed'), ...part(unknown, 'of unknown origin')]
  return `Stays: ${parts.join(', ') || 'nothing'}.`
}
