import { usage } from '../errors.ts'
import { snapshotById } from '../iceberg/metadata.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import { readSnapshot, type ScanFile } from '../iceberg/snapshot.ts'
import type { TableMetadata } from '../iceberg/types.ts'
import { partitionText } from '../maintenance/partition-text.ts'
import type { Objects } from '../ports/objects.ts'
import { type WarehouseFlags, warehouseOf } from './arguments.ts'
import { shownBytes, shownCount } from './format.ts'
import { jsonLine } from './json-integers.ts'
import { EXIT, type Output, tableWidth } from './output.ts'
import { type Cell, renderTable, styled } from './table.ts'
import { withTable } from './table-argument.ts'

export interface FilesFlags extends WarehouseFlags {
  readonly snapshot?: string
  readonly partition?: string
}

export interface FileReport {
  readonly path: string
  readonly content: 'data' | 'position deletes' | 'equality deletes'
  readonly format: string
  /** As its folder is named; empty for an unpartitioned table. */
  readonly partition: string
  readonly spec: number
  readonly rows: number
  readonly bytes: number
  /** Id of the order that its rows are in; 0: none. */
  readonly sortOrder: number
  /** The data sequence number. */
  readonly sequenceNumber: bigint
  /** The snapshot that added it. */
  readonly snapshot: bigint
}

/** `frazil files`: the live files of a snapshot, by partition, then as they came. */
export async function filesCommand(name: string, flags: FilesFlags, output: Output): Promise<number> {
  const at = warehouseOf(flags)
  const snapshotId = snapshotIdOf(flags.snapshot)
  const { reports, location } = await withTable(at, name, async ({ table, warehouse }) => ({
    reports: await reportsOf(warehouse.ports.objects, table, name, snapshotId),
    location: table.metadata.location,
  }))
  const shown = reports.filter(({ partition }) => partition.includes(flags.partition ?? ''))
  if (output.json) await output.data(jsonLine(shown))
  else if (shown.length > 0)
    await output.data(styled(renderTable(COLUMNS, shown.map(row(location)), tableWidth()), process.stdout))
  else
    output.note(reports.length === 0 ? `${name} has no files.` : `${name} has no files in partitions with '${flags.partition}'.`)
  return EXIT.fine
}

function snapshotIdOf(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,19}$/.test(text)) throw usage(`Cannot read --snapshot: expected a snapshot id, a whole number, found '${text}'.`)
  return BigInt(text)
}

async function reportsOf(
  objects: Objects,
  { metadata }: LoadedTable,
  name: string,
  snapshotId: bigint | undefined,
): Promise<readonly FileReport[]> {
  if (snapshotId !== undefined && snapshotById(metadata, snapshotId) === undefined)
    throw usage(
      `Cannot list files of ${name} at snapshot ${snapshotId}: expected one of its ${metadata.snapshots.length} snapshots. It may have expired; "frazil snapshots ${name}" lists them.`,
    )
  const { data, deletes } = await readSnapshot(objects, metadata, snapshotId)
  return [...data, ...deletes].map((file) => reportOf(metadata, file)).sort(byPartition)
}

/** Spec, `data_file.content`. */
const CONTENTS: readonly FileReport['content'][] = ['data', 'position deletes', 'equality deletes']

function reportOf(metadata: TableMetadata, { file, sequenceNumber, snapshotId }: ScanFile): FileReport {
  return {
    path: file.filePath,
    content: CONTENTS[file.content],
    format: file.fileFormat.toLowerCase(),
    partition: partitionText(metadata, file.specId, file.partition),
    spec: file.specId,
    rows: file.recordCount,
    bytes: file.sizeBytes,
    sortOrder: file.sortOrderId ?? 0,
    sequenceNumber,
    snapshot: snapshotId,
  }
}

function byPartition(a: FileReport, b: FileReport): number {
  if (a.partition !== b.partition) return a.partition < b.partition ? -1 : 1
  if (a.sequenceNumber !== b.sequenceNumber) return a.sequenceNumber < b.sequenceNumber ? -1 : 1
  return a.path < b.path ? -1 : 1
}

const COLUMNS = [
  { name: 'file', right: false, whole: true },
  { name: 'content', right: false },
  { name: 'partition', right: false },
  { name: 'rows', right: true },
  { name: 'size', right: true },
  { name: 'sort order', right: true },
  { name: 'sequence', right: true },
]

/** Paths below the table's location are shown from there. */
const row =
  (location: string) =>
  (report: FileReport): Cell[] => [
    report.path.startsWith(`${location}/`) ? report.path.slice(location.length + 1) : report.path,
    report.content,
    report.partition || '-',
    shownCount(report.rows),
    shownBytes(report.bytes),
    report.sortOrder === 0 ? '-' : String(report.sortOrder),
    String(report.sequenceNumber),
  ]
