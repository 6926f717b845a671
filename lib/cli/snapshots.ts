import { type LoadedTable, snapshots } from '../iceberg/scan.ts'
import type { TableMetadata } from '../iceberg/types.ts'
import { parseMarker } from '../protocol/marker.ts'
import { type WarehouseFlags, warehouseOf } from './arguments.ts'
import { shownCount, shownMillis } from './format.ts'
import { jsonLine } from './json-integers.ts'
import { EXIT, type Output, tableWidth } from './output.ts'
import { type Cell, renderTable, styled } from './table.ts'
import { withTable } from './table-argument.ts'

/** A count that the snapshot's writer left out is null. */
export interface SnapshotReport {
  readonly id: bigint
  readonly parent: bigint | null
  readonly sequenceNumber: bigint
  /** ISO 8601. */
  readonly time: string
  readonly operation: string | null
  readonly addedFiles: number | null
  readonly removedFiles: number | null
  readonly addedRows: number | null
  readonly removedRows: number | null
  readonly addedBytes: number | null
  readonly totalRows: number | null
  readonly totalFiles: number | null
  /** Checkpoint that it put into the table, by pipeline. */
  readonly markers: Readonly<Record<string, number>>
  /** ISO 8601, by pipeline. */
  readonly watermarks: Readonly<Record<string, string>>
  /** Branches and tags that point to it. */
  readonly refs: readonly string[]
  readonly current: boolean
}

/** `frazil snapshots`: what a table was, oldest first, as engines list them; the current one is by the prompt. */
export async function snapshotsCommand(name: string, flags: WarehouseFlags, output: Output): Promise<number> {
  const reports = await withTable(warehouseOf(flags), name, async ({ table }) => reportsOf(table))
  if (output.json) await output.data(jsonLine(reports))
  else if (reports.length === 0) output.note(`${name} has no snapshots: nothing was committed to it.`)
  else await output.data(styled(renderTable(COLUMNS, reports.map(row), tableWidth()), process.stdout))
  return EXIT.fine
}

function reportsOf({ metadata }: LoadedTable): readonly SnapshotReport[] {
  return snapshots(metadata).map(({ id, parent, sequenceNumber, timestampMs, operation, summary, current }) => {
    const count = (key: string) => (/^\d{1,15}$/.test(summary[key] ?? '') ? Number(summary[key]) : null)
    // What a writer that tells of its files does not name, it did not do.
    const told = summary['total-data-files'] !== undefined || summary['added-data-files'] !== undefined ? 0 : null
    return {
      id,
      parent: parent ?? null,
      sequenceNumber,
      time: shownMillis(timestampMs),
      operation: operation ?? null,
      addedFiles: count('added-data-files') ?? told,
      removedFiles: count('deleted-data-files') ?? told,
      addedRows: count('added-records') ?? told,
      removedRows: count('deleted-records') ?? told,
      addedBytes: count('added-files-size') ?? told,
      totalRows: count('total-records'),
      totalFiles: count('total-data-files'),
      markers: byPipeline(summary, /^frazil\.(.+)\.marker$/, (text) => parseMarker(text)?.n),
      watermarks: byPipeline(summary, /^frazil\.(.+)\.watermark$/, (text) =>
        /^-?\d{1,15}$/.test(text) ? shownMillis(Number(text)) : undefined,
      ),
      refs: refsTo(metadata, id),
      current,
    }
  })
}

function byPipeline<T>(
  summary: Readonly<Record<string, string>>,
  key: RegExp,
  read: (text: string) => T | undefined,
): Readonly<Record<string, T>> {
  const found: Record<string, T> = {}
  for (const [name, text] of Object.entries(summary)) {
    const pipeline = key.exec(name)?.[1]
    const value = read(text)
    if (pipeline !== undefined && value !== undefined) found[pipeline] = value
  }
  return found
}

const refsTo = ({ refs }: TableMetadata, id: bigint): readonly string[] =>
  Object.entries(refs).flatMap(([name, ref]) => (ref['snapshot-id'] === id ? [name] : []))

const COLUMNS = [
  { name: 'snapshot', right: false, whole: true },
  { name: 'time', right: false, whole: true },
  { name: 'operation', right: false },
  { name: 'files', right: true },
  { name: 'rows', right: true },
  { name: 'rows after', right: true },
  { name: 'marker', right: false },
  { name: 'watermark', right: false },
  { name: 'refs', right: false },
]

function row(report: SnapshotReport): Cell[] {
  const { refs, current } = report
  return [
    String(report.id),
    report.time,
    report.operation ?? '-',
    change(report.addedFiles, report.removedFiles),
    change(report.addedRows, report.removedRows),
    report.totalRows === null ? '-' : shownCount(report.totalRows),
    perPipeline(report.markers),
    perPipeline(report.watermarks),
    (current && !refs.includes('main') ? ['(current)', ...refs] : refs).join(', ') || '-',
  ]
}

/** `+4`, `-1,440 +12`; `0` for neither. */
function change(added: number | null, removed: number | null): string {
  if (added === null && removed === null) return '-'
  const parts = [removed ? `-${shownCount(removed)}` : '', added ? `+${shownCount(added)}` : '']
  return parts.filter((part) => part !== '').join(' ') || '0'
}

function perPipeline(values: Readonly<Record<string, number | string>>): string {
  const all = Object.entries(values)
  return all.map(([pipeline, value]) => (all.length === 1 ? String(value) : `${pipeline} ${value}`)).join(', ') || '-'
}
