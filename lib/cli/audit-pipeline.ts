import { isKind, messageOf, refused, usage } from '../errors.ts'
import { currentSchema, currentSnapshot } from '../iceberg/metadata.ts'
import { type LoadedTable, planFiles } from '../iceberg/scan.ts'
import { fieldsOf } from '../iceberg/schema.ts'
import { lookAtWarehouse, type WarehouseAt } from '../local/warehouse.ts'
import type { Plan } from '../pipeline/plan.ts'
import type { Objects } from '../ports/objects.ts'
import { checkpointTail } from '../protocol/checkpoint.ts'
import { checkpointLogKey, incarnationLogKey, partitionLabel } from '../protocol/names.ts'
import type { Finding } from '../runtime/audit-findings.ts'
import { type AuditedLogs, readLogs } from '../runtime/audit-logs.ts'
import { judgeOffsets } from '../runtime/audit-offsets.ts'
import { type JudgedTable, judgeTable } from '../runtime/audit-table.ts'
import { createRuntime } from '../runtime/runtime.ts'
import type { AuditedTable } from './audit-source.ts'
import { type AuditSql, openAuditSql } from './audit-sql.ts'
import { auditTables, type TableAudit } from './audit-tables.ts'
import { shownMillis } from './format.ts'
import { type ReadWarehouse, readWarehouse, tableName } from './read-warehouse.ts'

/** Sizes of data files asked for at once. */
const PARALLEL = 16

export interface AuditReport {
  readonly pipeline: string
  readonly warehouse: string
  /** Null when the logs are lost. */
  readonly incarnation: string | null
  /** The last checkpoint when the audit began. */
  readonly checkpoint: number | null
  /** Its closed watermark, ISO 8601. */
  readonly watermark: string | null
  /** Records staged that no checkpoint had consumed: they are in no table yet. */
  readonly waiting: number
  readonly tables: readonly TableAudit[]
  readonly notes: readonly string[]
  readonly findings: readonly Finding[]
}

/** A table that is there, with all that is known of it before its rows are counted. */
interface Loaded {
  readonly plan: string
  readonly table: LoadedTable
  readonly judged: JudgedTable
}

/**
 * Audits a pipeline's tables against its logs. The checkpoint is read first, then each table once, then the number of the
 * checkpoint in force: what a run commits meanwhile is above the checkpoint that was read, and is left alone.
 * Throws `Usage` when there is nothing of the pipeline, `Refused` for another definition than the logs'.
 */
export async function auditPipeline(plan: Plan, at: WarehouseAt): Promise<AuditReport> {
  const look = await lookAtWarehouse(at)
  let warehouse: ReadWarehouse | undefined
  let sql: AuditSql | undefined
  try {
    const { ports } = look
    const incarnation = (await ports.log.tail(incarnationLogKey(plan.name)))?.value
    const logs = incarnation === undefined ? noLogs(plan, at) : await readLogs(runtimeOf(incarnation))
    warehouse = await readWarehouse(at)
    const newest =
      incarnation === undefined ? 0 : (checkpointTail(await ports.log.tail(checkpointLogKey(plan.name, incarnation)))?.n ?? 0)
    const findings: Finding[] = [...logs.findings]
    const loaded = loadedTables(plan, logs, warehouse, { incarnation, newest }, findings)
    if (loaded.length === 0 && incarnation === undefined)
      throw usage(
        `Cannot audit pipeline ${plan.name}: expected its logs or tables in ${warehouse.name}, found neither. Check --warehouse.`,
      )
    sql = await openAuditSql(warehouse)
    const notes: string[] = []
    const tables = new Map<string, AuditedTable>()
    const offsets: { readonly table: string; readonly n: number; readonly next: ReadonlyMap<string, number | null> }[] = []
    for (const one of loaded) {
      findings.push(...one.judged.findings)
      const next = await nextOf(one, look.staging, ports.objects)
      const name = tableName(one.table)
      if (next === undefined) notes.push(`${name}: the checkpoint's body that its offsets are in is gone.`)
      if (next !== undefined && one.judged.marker !== undefined) offsets.push({ table: name, n: one.judged.marker.n, next })
      if (one.judged.pending.length > 0)
        notes.push(
          `${name}: checkpoint ${logs.last?.n} is not applied to it yet; its ${one.judged.pending.length} files count as there.`,
        )
      if (!Object.hasOwn(plan.tables, one.plan)) continue
      const { view, countedRows } = await viewOf(sql, warehouse, one, findings)
      // What is to be applied goes as far as the checkpoint.
      const isPending = one.judged.pending.length > 0
      tables.set(one.plan, {
        plan: one.plan,
        name,
        view,
        next: isPending ? undefined : next,
        droppedRows: one.judged.droppedRows,
        ahead: one.judged.ahead,
        countedRows,
      })
    }
    findings.push(...judgeOffsets(offsets, nextOfLogs(logs), logs.last?.body?.n))
    const audits = await auditTables({
      sql,
      plan,
      logs,
      tables,
      judged: new Map(loaded.map((one) => [one.plan, one.judged])),
    })
    const all = [...findings, ...audits.findings]
    return {
      pipeline: plan.name,
      warehouse: warehouse.name,
      incarnation: incarnation ?? null,
      checkpoint: logs.last?.n ?? null,
      watermark: logs.last?.watermark == null ? null : shownMillis(logs.last.watermark),
      waiting: logs.partitions.reduce((sum, { waiting }) => sum + waiting, 0),
      tables: audits.tables,
      notes: [...new Set([...notes, ...audits.notes])],
      findings: [...new Map(all.map((finding) => [JSON.stringify(finding), finding])).values()],
    }
  } finally {
    await sql?.close()
    await warehouse?.close()
    look.close()
  }

  function runtimeOf(incarnation: string) {
    return createRuntime({ plan, ports: look.ports, staging: look.staging, warehouse: look.tables, incarnation })
  }
}

function noLogs(plan: Plan, at: WarehouseAt): AuditedLogs {
  const where = at.kind === 'aws' ? `table ${at.logTable} of DynamoDB` : `${at.dir}/.frazil`
  const message = `Expected the logs of pipeline ${plan.name} in ${where}, found none: which offsets are gaps, and what is staged, cannot be told.`
  return { last: undefined, partitions: [], findings: [{ kind: 'logs', table: null, partition: null, message }] }
}

function loadedTables(
  plan: Plan,
  logs: AuditedLogs,
  warehouse: ReadWarehouse,
  at: { readonly incarnation: string | undefined; readonly newest: number },
  findings: Finding[],
): readonly Loaded[] {
  const { last } = logs
  const loaded: Loaded[] = []
  for (const name of new Set([...Object.keys(plan.tables), ...Object.keys(last?.body?.tables ?? {})])) {
    const shown = `${plan.namespace}.${name}`
    const table = warehouse.tables.find(({ id }) => id.namespace === plan.namespace && id.name === name)
    if (table !== undefined) {
      loaded.push({ plan: name, table, judged: judgeTable(shown, table, { pipeline: plan.name, last, ...at }) })
    } else if (last?.body?.tables[name] !== undefined) {
      const message = `Table ${shown} does not exist any more: the last checkpoint knows it.`
      findings.push({ kind: 'marker', table: shown, partition: null, message })
    }
  }
  return loaded
}

/** Next offsets by partition that a table's own marker tells; undefined when the body that told them is gone. */
async function nextOf(
  { judged }: Loaded,
  staging: string,
  objects: Objects,
): Promise<ReadonlyMap<string, number | null> | undefined> {
  const { offsets } = judged
  if (offsets === undefined) return judged.marker === undefined ? undefined : new Map()
  if (offsets.startsWith('{')) return new Map(Object.entries(JSON.parse(offsets) as Record<string, number | null>))
  const bytes = await objects.get(staging + offsets)
  if (bytes === undefined) return undefined
  const body = JSON.parse(Buffer.from(bytes).toString()) as Pick<
    NonNullable<NonNullable<AuditedLogs['last']>['body']>,
    'topics' | 'sources'
  >
  return new Map(
    Object.entries(body.sources).flatMap(([source, partitions]) =>
      Object.entries(partitions).map(([p, { next }]) => [partitionLabel(body.topics[source], Number(p)), next] as const),
    ),
  )
}

const nextOfLogs = ({ partitions }: AuditedLogs): ReadonlyMap<string, number | null> =>
  new Map(partitions.map(({ topic, partition, next }) => [partitionLabel(topic, partition), next]))

/** The rows of the snapshot that was loaded, and of files still to be applied. Files that are gone are a finding. */
async function viewOf(sql: AuditSql, warehouse: ReadWarehouse, loaded: Loaded, findings: Finding[]) {
  const { table, judged } = loaded
  const name = tableName(table)
  const fields = fieldsOf(currentSchema(table.metadata))
  const unreadable = (message: string, files: readonly string[] = []) =>
    findings.push({ kind: 'unreadable', table: name, partition: null, message, ...(files.length > 0 && { files }) })
  try {
    const planned = await planFiles(warehouse.objects, table.metadata)
    const foreign = planned.find(({ file }) => file.fileFormat.toUpperCase() !== 'PARQUET')
    if (foreign !== undefined)
      throw refused(`Cannot read ${foreign.file.filePath}: expected Parquet, found ${foreign.file.fileFormat}.`)
    const files = [
      ...planned.map(({ file }) => ({ path: file.filePath, sizeBytes: file.sizeBytes })),
      ...judged.pending.map(({ path, sizeBytes }) => ({ path, sizeBytes })),
    ]
    const there = await existing(warehouse.objects, files)
    const gone = files.filter((_, i) => !there[i]).map(({ path }) => path)
    if (gone.length > 0)
      unreadable(`${gone.length} data files of ${name} are gone or of another size: ${gone.slice(0, 5).join(', ')}.`, gone)
    const view = await sql.addTable(
      fields,
      files.filter((_, i) => there[i]).map(({ path }) => path),
    )
    const total = currentSnapshot(table.metadata)?.summary['total-records']
    const pending = judged.pending.reduce((sum, file) => sum + file.rows, 0)
    return { view, countedRows: gone.length > 0 || total === undefined ? undefined : Number(total) + pending }
  } catch (error) {
    if (!isKind(error, 'Corrupt', 'Refused')) throw error
    unreadable(messageOf(error))
    return { view: await sql.addTable(fields, []), countedRows: undefined }
  }
}

async function existing(objects: Objects, files: readonly { readonly path: string; readonly sizeBytes: number }[]) {
  const there: boolean[] = []
  for (let at = 0; at < files.length; at += PARALLEL) {
    const some = files.slice(at, at + PARALLEL)
    there.push(...(await Promise.all(some.map(async ({ path, sizeBytes }) => (await objects.size(path)) === sizeBytes))))
  }
  return there
}
