import { usage } from '../errors.ts'
import { defaultSpec } from '../iceberg/metadata.ts'
import type { Snapshot, TableMetadata } from '../iceberg/types.ts'
import { type ExpireReport, expireSnapshots } from '../maintenance/expire.ts'
import { isTimeTransform } from '../maintenance/file-times.ts'
import { assertOwnsFiles } from '../maintenance/owns-files.ts'
import { dropOldPartitions, type RetentionReport } from '../maintenance/retention.ts'
import { expiryOf } from '../maintenance/table-policy.ts'
import type { ExpirePolicy, RetentionPolicy } from '../pipeline/maintenance.ts'
import { parseAge, parseCount, shownAge, shownWarehouse, warehouseOf } from './arguments.ts'
import { counted, shownBytes, shownCount, shownMillis } from './format.ts'
import { jsonLine } from './json-integers.ts'
import { type MaintenanceFlags, NOTHING_WRITTEN, shownName, withMaintained } from './maintained-table.ts'
import { EXIT, type Output, tableWidth } from './output.ts'
import { type Cell, renderTable, styled } from './table.ts'
import type { OpenTable } from './table-argument.ts'

export interface ExpireFlags extends MaintenanceFlags {
  readonly olderThan?: string
  readonly retainLast?: string
  /** False by `--no-thin`. */
  readonly thin: boolean
  readonly thinAfter?: string
  readonly rowsOlderThan?: string
}

interface Expiry {
  readonly table: string
  readonly policy: ExpirePolicy
  /** Undefined: rows stay. */
  readonly rows: RetentionReport | undefined
  /** Those that go, oldest first. */
  readonly going: readonly Snapshot[]
  readonly oldestKept: Snapshot | undefined
  readonly report: ExpireReport
}

/** Iceberg reads counts as Java's int. */
const MAX_INT = 2 ** 31 - 1
/** A partition that may still be written is not old. */
const LEAST_ROWS_AGE_MS = 3_600_000

/** `frazil expire`: which snapshots a table would let go, with the files that only they need, and with `--apply` does it. */
export async function expireCommand(name: string, flags: ExpireFlags, output: Output): Promise<number> {
  const at = warehouseOf(flags)
  const given = givenOf(flags)
  const expiry = await withMaintained(at, name, flags.apply, (open) => expired(open, given, flags.apply))
  if (output.json) {
    await output.data(jsonLine({ warehouse: shownWarehouse(at), applied: flags.apply, ...expiryJson(expiry) }))
    return EXIT.fine
  }
  await output.data(expiryText(expiry, flags.apply))
  for (const note of notesOf(expiry, flags.apply)) output.note(note)
  return EXIT.fine
}

interface Given {
  readonly keepMs: number | undefined
  readonly retainLast: number | undefined
  readonly thinAfterMs: number | undefined
  readonly thin: boolean
  readonly rowsMs: number | undefined
}

/** Read before any store is looked at. */
function givenOf({ olderThan, retainLast, thin, thinAfter, rowsOlderThan }: ExpireFlags): Given {
  if (!thin && thinAfter !== undefined)
    throw usage('Cannot run: expected one of --thin-after and --no-thin, found both. Leave one out.')
  return {
    keepMs: olderThan === undefined ? undefined : parseAge('--older-than', olderThan),
    retainLast: retainLast === undefined ? undefined : parseCount('--retain-last', retainLast, MAX_INT),
    thinAfterMs: thinAfter === undefined ? undefined : parseAge('--thin-after', thinAfter),
    thin,
    rowsMs: rowsOlderThan === undefined ? undefined : parseAge('--rows-older-than', rowsOlderThan, LEAST_ROWS_AGE_MS),
  }
}

async function expired(open: OpenTable, given: Given, apply: boolean): Promise<Expiry> {
  const { ports } = open.warehouse
  const { id } = open.table
  const name = shownName(open)
  assertOwnsFiles(open.table)
  const { keepMs, retainLast, thin, thinAfterMs } = given
  const policy = expiryOf(open.table, { keepMs, retainLast, thinAfterMs: thin && thinAfterMs })
  const nowMs = ports.clock.now()
  const retention = given.rowsMs === undefined ? undefined : retentionOf(name, open.table.metadata, given.rowsMs)
  const rows = retention === undefined ? undefined : await dropOldPartitions(ports, id, retention, nowMs, apply)
  const report = await expireSnapshots(ports, id, policy, nowMs, apply)
  const going = report.going.toSorted(byTime)
  const [oldestKept] = report.staying.toSorted(byTime)
  return { table: name, policy, rows, going, oldestKept, report }
}

const byTime = (a: Snapshot, b: Snapshot) => a['timestamp-ms'] - b['timestamp-ms']

/** By the one column that the table is partitioned by in time. */
function retentionOf(name: string, metadata: TableMetadata, keepMs: number): RetentionPolicy {
  const times = defaultSpec(metadata).fields.filter(({ transform }) => isTimeTransform(transform))
  const sources = [...new Set(times.map((field) => field['source-id']))]
  const columns = sources.map((id) => metadata.schemas.flatMap(({ fields }) => fields).findLast((field) => field.id === id)?.name)
  const [column, other] = columns
  if (column === undefined || other !== undefined)
    throw usage(
      `Cannot drop old rows of table ${name}: expected partitions by year, month, day or hour of one column, found ${columns.join(' and ') || 'none'}. Only whole partitions are dropped; delete its rows with another engine.`,
    )
  return { keepMs, column }
}

function expiryJson({ table, policy, rows, going, oldestKept, report }: Expiry) {
  return {
    table,
    policy: { olderThanMs: policy.keepMs, retainLast: policy.retainLast, thinAfterMs: policy.thinAfterMs ?? null },
    rows: rows ?? null,
    snapshots: going.map((snapshot) => ({ id: snapshot['snapshot-id'], time: shownMillis(snapshot['timestamp-ms']) })),
    expired: report.expired,
    kept: report.kept,
    oldestKept:
      oldestKept === undefined ? null : { id: oldestKept['snapshot-id'], time: shownMillis(oldestKept['timestamp-ms']) },
    refs: report.refs,
    files: report.files,
    left: report.left,
  }
}

function expiryText({ rows, going, report }: Expiry, apply: boolean): string {
  const columns = [
    { name: apply ? 'gone' : 'would go', right: false, whole: true },
    { name: 'count', right: true },
    { name: 'which', right: false },
  ]
  const span = [going[0], going.at(-1)].map((one) => (one === undefined ? '' : shownMillis(one['timestamp-ms'])))
  const lines: Cell[][] = [
    ...(rows === undefined ? [] : [['rows', shownCount(rows.rows), rowsText(rows)]]),
    ['snapshots', shownCount(report.expired), going.length === 0 ? '-' : [...new Set(span)].join(' to ')],
    ['branches and tags', shownCount(report.refs.length), report.refs.join(', ') || '-'],
    ['files', shownCount(report.files), '-'],
  ]
  return styled(renderTable(columns, lines, tableWidth()), process.stdout)
}

function rowsText({ partitions, files, bytes }: RetentionReport): string {
  if (partitions.length === 0) return '-'
  const named = [...new Set([partitions[0], partitions.at(-1)])].join(' to ')
  return `${named}: ${counted(partitions.length, 'partition')}, ${counted(files, 'file')}, ${shownBytes(bytes)}`
}

function notesOf({ policy, rows, oldestKept, report }: Expiry, apply: boolean): readonly string[] {
  const { keepMs, retainLast, thinAfterMs } = policy
  const thinned =
    thinAfterMs === undefined || thinAfterMs >= keepMs ? '' : `, of those older than ${shownAge(thinAfterMs)} one an hour`
  const marked = report.keptForMarker ? ", and the newest with a pipeline's marker" : ''
  const oldest = oldestKept === undefined ? '' : `, the oldest of ${shownMillis(oldestKept['timestamp-ms'])}`
  const droppedRows = (rows?.files ?? 0) > 0
  const nothing = !droppedRows && report.expired === 0 && report.refs.length === 0
  return [
    `Kept: the last ${shownCount(retainLast)}, and those younger than ${shownAge(keepMs)}${thinned}${marked}: ${counted(report.kept, 'snapshot')}${oldest}.`,
    ...(droppedRows ? ['The files of dropped rows go when the last snapshot with them does.'] : []),
    ...(report.left > 0 ? [`${counted(report.left, 'file')} could not be deleted just now: run it again.`] : []),
    ...(apply || nothing ? [] : [NOTHING_WRITTEN]),
  ]
}
