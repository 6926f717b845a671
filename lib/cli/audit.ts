import { type WarehouseFlags, warehouseOf } from './arguments.ts'
import type { AuditReport } from './audit-pipeline.ts'
import { counted, shownCount } from './format.ts'
import { EXIT, type Output, tableWidth } from './output.ts'
import { type Cell, renderTable, styled } from './table.ts'

/** `frazil audit`: proves that each offset landed exactly once. Writes nothing. Exits 1 on a finding. */
export async function auditCommand(pipelineFile: string, flags: WarehouseFlags, output: Output): Promise<number> {
  const at = warehouseOf(flags)
  const { loadPipeline } = await import('./load-pipeline.ts')
  const plan = await loadPipeline(pipelineFile)
  const { auditPipeline } = await import('./audit-pipeline.ts')
  const report = await auditPipeline(plan, at)
  await output.data(output.json ? `${JSON.stringify(report)}\n` : textOf(report))
  return report.findings.length > 0 ? EXIT.finding : EXIT.fine
}

function textOf(report: AuditReport): string {
  const { findings, notes } = report
  const lines = [headline(report), '', styled(tableOf(report), process.stdout)]
  for (const note of notes) lines.push(`note: ${note}`)
  for (const { kind, message } of findings) lines.push(`${kind}: ${message}`)
  if (notes.length + findings.length > 0) lines.push('')
  lines.push(findings.length === 0 ? 'No findings.' : `${counted(findings.length, 'finding')}.`)
  return `${lines.join('\n')}\n`
}

function headline({ pipeline, checkpoint, watermark, waiting }: AuditReport): string {
  const at = checkpoint === null ? 'no checkpoint' : `checkpoint ${checkpoint}`
  const closed = watermark === null ? 'no watermark' : `watermark ${watermark}`
  const staged = waiting === 0 ? '' : `, ${counted(waiting, 'record')} staged and not committed yet`
  return `Pipeline ${pipeline}: ${at}, ${closed}${staged}`
}

function tableOf({ tables }: AuditReport): string {
  const columns = [
    { name: 'table', right: false, whole: true },
    { name: 'holds', right: false },
    { name: 'partition', right: false, whole: true },
    { name: 'offsets', right: false, whole: true },
    { name: 'rows', right: true },
    { name: 'dead letters', right: true },
    { name: 'missing', right: true },
    { name: 'gaps', right: true },
    { name: 'verdict', right: false, whole: true },
  ]
  const rows = tables.flatMap(({ table, role, rows: count, verdict, partitions }): Cell[][] => {
    if (partitions.length === 0) return [[table, role, '-', '-', shownCount(count), '-', '-', '-', verdict]]
    return partitions.map((one) => [
      table,
      role,
      one.partition,
      one.first === null || one.next === null ? '-' : `[${one.first}, ${one.next})`,
      shownCount(one.rows),
      shownCount(one.deadLetters),
      shownCount(one.missing),
      one.gaps === null ? '?' : shownCount(one.gaps),
      one.verdict,
    ])
  })
  return renderTable(columns, rows, tableWidth())
}
