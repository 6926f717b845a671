import { styleText } from 'node:util'
import type { FileCounts } from '../iceberg/commit.ts'
import { HISTOGRAM_BOUNDS_BYTES, type MarkerHealth, type TableHealth } from '../maintenance/health.ts'
import { shownSize } from './arguments.ts'
import { counted, shownBytes, shownCount, shownDuration, shownMillis } from './format.ts'
import type { OrderReport, PartitioningReport, TableInspection } from './inspect.ts'
import { COMMAND, tableWidth } from './output.ts'
import { type Cell, printable, renderTable, styled, type TableColumn } from './table.ts'

/** Partitions beyond are only in `--json`. */
const MAX_PARTITIONS = 10

/** What `frazil inspect` shows to people: sections, with what wants doing at the end, by the prompt. */
export function inspectText(inspection: TableInspection): string {
  const { table, health, findings } = inspection
  return [
    section(table, facts(generalFacts(inspection))),
    section('columns', columnsTable(inspection)),
    section('partition specs', layoutTable(inspection.partitionSpecs.map(specRow))),
    section('sort orders', layoutTable(inspection.sortOrders.map(orderRow))),
    section('refs', refsTable(inspection)),
    section('properties', facts(Object.entries(inspection.properties).sort(([a], [b]) => (a < b ? -1 : 1)))),
    section('files by size', histogramTable(health)),
    section(partitionsTitle(health), partitionsTable(health)),
    section('health', findings.length === 0 ? 'nothing to do\n' : findings.map((finding) => findingText(finding)).join('')),
  ].join('\n')
}

function generalFacts({ health, ...table }: TableInspection): readonly (readonly [string, string])[] {
  const { snapshots, manifests, sorted } = health
  const age = snapshots.oldestMs === null ? '' : `, the oldest of ${shownMillis(snapshots.oldestMs)}`
  return [
    ['location', table.location],
    ['uuid', table.uuid],
    ['format', `version ${table.formatVersion}`],
    ['last change', `${shownMillis(table.lastUpdatedMs)}, sequence number ${table.lastSequenceNumber}`],
    ['rows', shownCount(health.data.rows)],
    ['data files', shownFiles(health.data)],
    ['small files', `${shownFiles(health.small)}: below 75 % of ${shownSize(health.targetFileBytes)}`],
    ['to compact', shownFiles(health.compactable)],
    ['in sort order', sorted === undefined ? 'the table has none' : `${shownFiles(sorted)} of ${shownFiles(health.data)}`],
    ['delete files', shownFiles(health.deletes)],
    ['snapshots', `${shownCount(snapshots.count)}${age}`],
    ['manifests', `${shownCount(manifests.count)}, ${shownBytes(manifests.bytes)}; ${shownCount(manifests.small.count)} small`],
    ['metadata file', shownBytes(health.metadataBytes)],
    ['metadata log', counted(health.metadataLog, 'earlier file')],
    ['statistics files', shownCount(health.statisticsFiles)],
    ...health.markers.map((marker) => ['marker', markerText(marker)] as const),
    ['fence', shownCount(health.fence)],
  ]
}

function markerText({ pipeline, n, last }: MarkerHealth): string {
  const shown = `${pipeline}: checkpoint ${n}`
  if (last === undefined) return `${shown}; its logs are not at hand`
  if (last.need === undefined) return `${shown}; the last is ${last.n}`
  return `${shown} of ${last.n}${n < last.need ? `, which waits` : ', all there is for this table'}`
}

function columnsTable({ columns }: TableInspection): string {
  const type = (of: (typeof columns)[number]['type']) => (typeof of === 'string' ? of : JSON.stringify(of))
  return shownTable(
    [
      { name: 'id', right: true },
      { name: 'column', right: false, whole: true },
      { name: 'type', right: false },
      { name: 'required', right: false },
    ],
    columns.map((column) => [String(column.id), column.name, type(column.type), column.required ? 'yes' : 'no']),
  )
}

const layoutTable = (rows: readonly (readonly Cell[])[]): string =>
  shownTable(
    [
      { name: 'id', right: true },
      { name: 'fields', right: false },
      { name: 'for', right: false },
    ],
    rows,
  )

const usedFor = (isDefault: boolean) => (isDefault ? 'new files' : 'earlier files')

function specRow({ id, fields, default: isDefault }: PartitioningReport): Cell[] {
  const shown = fields.map(({ name, transform, column }) => `${name}: ${transformed(transform, column)}`)
  return [String(id), shown.join(', ') || 'unpartitioned', usedFor(isDefault)]
}

function orderRow({ id, fields, default: isDefault }: OrderReport): Cell[] {
  const shown = fields.map(
    ({ column, transform, direction, nulls }) => `${transformed(transform, column)} ${direction}, nulls ${nulls}`,
  )
  return [String(id), shown.join('; ') || 'unsorted', usedFor(isDefault)]
}

function transformed(transform: string, column: string | null): string {
  const of = column ?? 'a dropped column'
  return transform === 'identity' ? of : `${transform}(${of})`
}

function refsTable({ refs }: TableInspection): string {
  if (refs.length === 0) return 'none: nothing was committed yet\n'
  const age = (ms: number | null) => (ms === null ? '-' : shownDuration(ms))
  return shownTable(
    [
      { name: 'ref', right: false, whole: true },
      { name: 'type', right: false },
      { name: 'snapshot', right: false, whole: true },
      { name: 'keeps snapshots', right: true },
      { name: 'for', right: true },
      { name: 'itself for', right: true },
    ],
    refs.map((ref) => [
      ref.name,
      ref.type,
      String(ref.snapshot),
      ref.minSnapshotsToKeep === null ? '-' : shownCount(ref.minSnapshotsToKeep),
      age(ref.maxSnapshotAgeMs),
      age(ref.maxRefAgeMs),
    ]),
  )
}

function histogramTable({ histogram }: TableHealth): string {
  const bounds = HISTOGRAM_BOUNDS_BYTES.map((bound) => `up to ${bound / (1 << 20)} MiB`)
  return shownTable(
    [
      { name: 'a file', right: false, whole: true },
      { name: 'files', right: true },
      { name: 'size', right: true },
    ],
    histogram.map(({ files, bytes }, i) => [bounds[i] ?? 'larger', shownCount(files), shownBytes(bytes)]),
  )
}

function partitionsTitle({ partitions }: TableHealth): string {
  const shown = partitions.length > MAX_PARTITIONS ? `${MAX_PARTITIONS} of ${shownCount(partitions.length)}, ` : ''
  return `partitions: ${shown}most to compact first`
}

function partitionsTable({ partitions }: TableHealth): string {
  if (partitions.length === 0) return 'none: no files yet\n'
  return shownTable(
    [
      { name: 'partition', right: false },
      { name: 'files', right: true },
      { name: 'size', right: true },
      { name: 'rows', right: true },
      { name: 'small', right: true },
      { name: 'to compact', right: true },
      { name: 'deletes', right: true },
      { name: 'newest rows', right: false, whole: true },
    ],
    partitions
      .slice(0, MAX_PARTITIONS)
      .map((of) => [
        of.partition || '-',
        shownCount(of.data.files),
        shownBytes(of.data.bytes),
        shownCount(of.data.rows),
        shownCount(of.small.files),
        shownCount(of.compactable.files),
        shownCount(of.deletes.files),
        shownMillis(of.lastAddedMs),
      ]),
  )
}

function findingText({ severity, code, what, run, hint }: TableInspection['findings'][number]): string {
  const colour = severity === 'critical' ? 'red' : 'yellow'
  const lines = [
    `${styleText([colour, 'bold'], severity, { stream: process.stdout })} ${code}: ${printable(what)}`,
    ...(run === undefined ? [] : [`  run: ${COMMAND} ${run}`]),
    ...(hint === undefined ? [] : [`  ${hint}.`]),
  ]
  return `${lines.join('\n')}\n`
}

const section = (title: string, text: string): string =>
  `${styleText('bold', title, { stream: process.stdout })}\n${text.replace(/^(?=.)/gm, '  ')}`

/** Names and values, the values under one another. */
function facts(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...pairs.map(([name]) => name.length))
  return pairs.map(([name, value]) => `${printable(name).padEnd(width)}  ${printable(value)}\n`).join('')
}

function shownTable(columns: readonly TableColumn[], rows: readonly (readonly Cell[])[]): string {
  const width = tableWidth()
  return styled(renderTable(columns, rows, width === undefined ? undefined : width - 2), process.stdout)
}

const shownFiles = ({ files, bytes }: FileCounts): string => (files === 0 ? '0' : `${shownCount(files)}, ${shownBytes(bytes)}`)
