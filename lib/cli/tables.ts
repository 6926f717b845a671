import { currentSchema, currentSnapshot, defaultSpec } from '../iceberg/metadata.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import { markersOf } from '../protocol/marker.ts'
import { type WarehouseFlags, warehouseOf } from './arguments.ts'
import { shownBytes, shownCount, shownMillis } from './format.ts'
import { EXIT, type Output, tableWidth } from './output.ts'
import { readWarehouse, tableName } from './read-warehouse.ts'
import { renderTable, styled } from './table.ts'

export interface TableReport {
  readonly table: string
  readonly rows: number
  readonly files: number
  readonly bytes: number
  readonly snapshots: number
  /** ISO 8601; null before the first commit. */
  readonly lastCommit: string | null
  /** Last checkpoint applied, by pipeline. */
  readonly markers: Readonly<Record<string, number>>
  /** `day(event_time)` and the like. */
  readonly partitioning: readonly string[]
  readonly location: string
}

/** `frazil tables`: what the catalog holds, from metadata alone; no data file is opened. */
export async function tablesCommand(flags: WarehouseFlags, output: Output): Promise<number> {
  const warehouse = await readWarehouse(warehouseOf(flags))
  const { name, tables } = warehouse
  await warehouse.close()
  const reports = tables.map(reportOf)
  if (output.json) {
    await output.data(`${JSON.stringify(reports)}\n`)
    return EXIT.fine
  }
  if (reports.length === 0) {
    output.note(`${name} has no tables.`)
    return EXIT.fine
  }
  const columns = [
    { name: 'table', right: false, whole: true },
    { name: 'rows', right: true },
    { name: 'files', right: true },
    { name: 'size', right: true },
    { name: 'snapshots', right: true },
    { name: 'last commit', right: false },
    { name: 'marker', right: false },
    { name: 'partitioned by', right: false },
  ]
  const rows = reports.map((report) => [
    report.table,
    shownCount(report.rows),
    shownCount(report.files),
    shownBytes(report.bytes),
    shownCount(report.snapshots),
    report.lastCommit,
    markersText(report.markers),
    report.partitioning.join(', ') || '-',
  ])
  await output.data(styled(renderTable(columns, rows, tableWidth()), process.stdout))
  return EXIT.fine
}

function reportOf(table: LoadedTable): TableReport {
  const { metadata } = table
  const snapshot = currentSnapshot(metadata)
  const total = (key: string) => Number(snapshot?.summary[key] ?? 0)
  return {
    table: tableName(table),
    rows: total('total-records'),
    files: total('total-data-files'),
    bytes: total('total-files-size'),
    snapshots: metadata.snapshots.length,
    lastCommit: snapshot === undefined ? null : shownMillis(snapshot['timestamp-ms']),
    markers: Object.fromEntries(Object.entries(markersOf(metadata.properties)).map(([pipeline, { n }]) => [pipeline, n])),
    partitioning: partitioning(table),
    location: metadata.location,
  }
}

function markersText(markers: Readonly<Record<string, number>>): string {
  const all = Object.entries(markers)
  return all.map(([pipeline, n]) => (all.length === 1 ? `checkpoint ${n}` : `${pipeline} ${n}`)).join(', ') || '-'
}

function partitioning({ metadata }: LoadedTable): string[] {
  const { fields } = currentSchema(metadata)
  return defaultSpec(metadata).fields.map((field) => {
    const column = fields.find((candidate) => candidate.id === field['source-id'])?.name ?? `column ${field['source-id']}`
    const bucket = /^(\w+)\[(\d+)\]$/.exec(field.transform)
    if (bucket !== null) return `${bucket[1]}(${bucket[2]}, ${column})`
    return field.transform === 'identity' ? column : `${field.transform}(${column})`
  })
}
