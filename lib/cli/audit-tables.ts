import { lookup } from '../lookup.ts'
import type { AggregatePlan, Plan, SourcePlan } from '../pipeline/plan.ts'
import { partitionLabel } from '../protocol/names.ts'
import { stagedRows, type Verdict } from '../runtime/audit-coverage.ts'
import { type Finding, runsText } from '../runtime/audit-findings.ts'
import type { AuditedLogs, PartitionLog } from '../runtime/audit-logs.ts'
import type { JudgedTable } from '../runtime/audit-table.ts'
import { type AuditedTable, auditCoverage, auditUnique, memberOf, type PartitionReport } from './audit-source.ts'
import type { AuditSql } from './audit-sql.ts'
import { counted, shownCount, shownMillis } from './format.ts'

/** What is proved of a table. */
export type Role =
  /** It takes all records: each offset is in it or in the dead letters, once. */
  | 'all records'
  /** Each offset at most once, and as many rows as were staged. */
  | 'some records'
  /** It has no offsets: as many rows as were staged. */
  | 'rows without offsets'
  | 'dead letters'
  | 'windows'
  | 'late rows'

export interface TableAudit {
  readonly table: string
  readonly role: Role
  /** The last checkpoint in it. */
  readonly marker: number | null
  readonly rows: number
  /** Of a table that takes all records. */
  readonly partitions: readonly PartitionReport[]
  readonly verdict: Verdict
}

export interface Auditing {
  readonly sql: AuditSql
  readonly plan: Plan
  readonly logs: AuditedLogs
  /** Those that are there, by their names in the plan. */
  readonly tables: ReadonlyMap<string, AuditedTable>
  readonly judged: ReadonlyMap<string, JudgedTable>
}

interface Audited {
  readonly role: Role
  readonly findings: readonly Finding[]
  readonly notes?: readonly string[]
  readonly partitions?: readonly PartitionReport[]
}

/** Audits the rows of every table of the plan. */
export async function auditTables(auditing: Auditing) {
  const { plan, tables, sql, judged } = auditing
  const audits: TableAudit[] = []
  const findings: Finding[] = []
  const notes: string[] = []
  for (const name of Object.keys(plan.tables)) {
    const table = tables.get(name)
    if (table === undefined) {
      notes.push(`${plan.namespace}.${name} does not exist.`)
      continue
    }
    const audited = await auditTable(auditing, table)
    const rows = await sql.rows(table.view)
    const uncounted = judgeCount(table, rows)
    findings.push(...audited.findings, ...uncounted)
    notes.push(...(audited.notes ?? []))
    const partitions = audited.partitions ?? []
    const isWrong = audited.findings.length + uncounted.length > 0 || (judged.get(name)?.findings.length ?? 0) > 0
    audits.push({
      table: table.name,
      role: audited.role,
      marker: judged.get(name)?.marker?.n ?? null,
      rows,
      partitions,
      verdict: isWrong ? 'finding' : partitions.some(({ verdict }) => verdict === 'unproved') ? 'unproved' : 'proved',
    })
  }
  return { tables: audits, findings, notes }
}

/** A snapshot may claim rows that its files do not have. */
function judgeCount({ name, countedRows }: AuditedTable, rows: number): readonly Finding[] {
  if (countedRows === undefined || countedRows === rows) return []
  const kind = rows < countedRows ? 'missing' : 'surplus'
  const message = `${name}: its files have ${counted(rows, 'row')}, its snapshot counts ${shownCount(countedRows)} (total-records).`
  return [{ kind, table: name, partition: null, message }]
}

async function auditTable(auditing: Auditing, table: AuditedTable): Promise<Audited> {
  const { plan } = auditing
  for (const source of Object.values(plan.sources))
    for (const output of source.outputs) {
      if (output.kind === 'rows') {
        if (output.table === table.plan) return auditRows(auditing, table, source)
        continue
      }
      const operator = lookup(plan.operators, output.operator, 'operator')
      if (operator.table === table.plan) return auditWindows(auditing, table, operator)
      if (operator.lateTable === table.plan) return auditLate(auditing, table, source)
    }
  return auditDeadLetters(auditing, table)
}

const logsOf = ({ logs }: Auditing, source: SourcePlan): readonly PartitionLog[] =>
  logs.partitions.filter((partition) => partition.source === source.id)

/** The tables that take all records of a source and say which. */
function takesAll({ plan }: Auditing, source: SourcePlan): readonly string[] {
  return source.outputs.flatMap((output) =>
    output.kind === 'rows' && !output.steps.some(({ kind }) => kind === 'filter') && hasOffsets(plan, output.table)
      ? [output.table]
      : [],
  )
}

function hasOffsets(plan: Plan, table: string): boolean {
  const names = plan.tables[table].fields.map(({ name }) => name)
  return names.includes('kafka_partition') && names.includes('kafka_offset')
}

async function auditRows(auditing: Auditing, table: AuditedTable, source: SourcePlan): Promise<Audited> {
  const { sql, plan, tables } = auditing
  const logs = logsOf(auditing, source)
  const dead = tables.get(source.deadLetters)
  if (takesAll(auditing, source).includes(table.plan) && dead !== undefined) {
    const sharesDead = Object.values(plan.sources).some((other) => other !== source && other.deadLetters === source.deadLetters)
    const { partitions, findings, notes } = await auditCoverage(sql, source.topic, logs, table, dead, sharesDead)
    return { role: 'all records', partitions, findings, notes }
  }
  const staged = await auditStaged(auditing, table)
  if (!hasOffsets(plan, table.plan)) return { role: 'rows without offsets', ...staged }
  const unique = await auditUnique(sql, source.topic, logs, table, false)
  return { role: 'some records', findings: [...unique, ...staged.findings], notes: staged.notes }
}

async function auditDeadLetters(auditing: Auditing, table: AuditedTable): Promise<Audited> {
  const findings: Finding[] = []
  for (const source of Object.values(auditing.plan.sources))
    if (source.deadLetters === table.plan)
      findings.push(...(await auditUnique(auditing.sql, source.topic, logsOf(auditing, source), table, true)))
  return { role: 'dead letters', findings }
}

/** As many rows as the logs staged, as long as they tell of all. */
async function auditStaged({ sql, logs, judged }: Auditing, table: AuditedTable) {
  const expected = logs.last === undefined ? undefined : stagedRows(logs.partitions, table.plan)
  const notes: string[] = []
  if (expected === undefined && logs.last !== undefined)
    notes.push(`${table.name}: how many rows were staged for it cannot be told: the logs were trimmed.`)
  if (expected === undefined || judged.get(table.plan)?.ahead === true) return { findings: [], notes }
  const rows = await sql.rows(table.view)
  const dropped = table.droppedRows
  if (rows + dropped === expected) return { findings: [], notes }
  const finding: Finding = {
    kind: rows + dropped < expected ? 'missing' : 'surplus',
    table: table.name,
    partition: null,
    message: `${table.name} has ${counted(rows, 'row')}${dropped === 0 ? '' : ` (retention dropped ${dropped})`}, ${expected} were staged for it.`,
  }
  return { findings: [finding], notes }
}

async function auditWindows({ sql, judged }: Auditing, table: AuditedTable, operator: AggregatePlan): Promise<Audited> {
  const findings: Finding[] = []
  const notes: string[] = []
  const same = await sql.sameWindows(table.view, operator.keys)
  if (same.length > 0) {
    const [{ windows }] = same
    const files = [...new Set(same.flatMap((one) => one.files))]
    const shown = same.map(({ window, count }) => `(${window}) ${count} times`).join('; ')
    const more = windows > same.length ? `; and ${windows - same.length} more` : ''
    findings.push({
      kind: 'windows',
      table: table.name,
      partition: null,
      message: `${table.name}: ${counted(windows, 'result')} (${[...operator.keys, 'window_start'].join(', ')}) ${windows === 1 ? 'is' : 'are'} there more than once: ${shown}${more}. In ${files.join(', ')}.`,
      files,
    })
  }
  const watermark = judged.get(table.plan)?.watermark
  if (watermark === undefined) {
    notes.push(`${table.name}: which windows were closed cannot be told: no snapshot with its marker is left.`)
    return { role: 'windows', findings, notes }
  }
  const open = await sql.openWindows(table.view, watermark, operator.allowedLatenessMs)
  if (open.rows > 0)
    findings.push({
      kind: 'windows',
      table: table.name,
      partition: null,
      message: `${table.name}: ${counted(open.rows, 'result')} of windows that are still open, ending from ${open.least === null ? '?' : shownMillis(open.least)}; the closed watermark of its marker is ${watermark === null ? 'none' : shownMillis(watermark)}. In ${open.files.join(', ')}.`,
      files: open.files,
    })
  return { role: 'windows', findings, notes }
}

async function auditLate(auditing: Auditing, table: AuditedTable, source: SourcePlan): Promise<Audited> {
  const { sql, tables } = auditing
  const logs = logsOf(auditing, source)
  const staged = await auditStaged(auditing, table)
  const findings: Finding[] = [...staged.findings]
  const label = (partition: number) => partitionLabel(source.topic, partition)
  const doubled = await sql.doubled([memberOf(table)], 'window_start')
  for (const [partition, runs] of Map.groupBy(doubled, (one) => one.partition)) {
    const shown = runs.map(({ run }) => run)
    const files = [...new Set(runs.flatMap((one) => one.files))]
    const [{ offsets, runs: all }] = runs
    findings.push({
      kind: 'overlap',
      table: table.name,
      partition: label(partition),
      message: `${label(partition)}: ${counted(offsets, 'offset')} more than once for one window in ${table.name}: ${runsText(shown, all - shown.length)}. In ${files.join(', ')}.`,
      offsets: shown,
      moreRuns: all - shown.length,
      files,
    })
  }
  for (const name of takesAll(auditing, source)) {
    const rows = tables.get(name)
    // Rows that retention dropped are missed here, too; coverage counts them.
    if (rows === undefined || rows.droppedRows > 0) continue
    const ranges = logs.map(({ partition, next }) => ({ partition, from: 0, next: next ?? 0 }))
    for (const lost of await sql.notIn(memberOf(table), [memberOf(rows)], ranges))
      findings.push({
        kind: 'missing',
        table: table.name,
        partition: label(lost.partition),
        message: `${label(lost.partition)}: ${counted(lost.offsets, 'record')} in ${table.name} ${lost.offsets === 1 ? 'is' : 'are'} not in ${rows.name}, between offsets ${lost.least} and ${lost.greatest}.`,
        offsets: [[lost.least, lost.greatest + 1]],
      })
  }
  return { role: 'late rows', findings, notes: staged.notes }
}
