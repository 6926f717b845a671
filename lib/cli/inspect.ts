import { currentSnapshot } from '../iceberg/metadata.ts'
import { objectLocation } from '../iceberg/paths.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import type { PartitionSpec, SortOrder, TableMetadata } from '../iceberg/types.ts'
import { adviceOf, type Finding } from '../maintenance/advice.ts'
import { healthOf, type TableHealth } from '../maintenance/health.ts'
import { expiryOf } from '../maintenance/table-policy.ts'
import { DEFAULT_MAINTENANCE } from '../pipeline/maintenance.ts'
import { type WarehouseFlags, warehouseOf } from './arguments.ts'
import { shownMillis } from './format.ts'
import { inspectText } from './inspect-text.ts'
import { jsonLine } from './json-integers.ts'
import { lastCheckpointsOf } from './last-checkpoints.ts'
import { EXIT, type Output } from './output.ts'
import { type OpenTable, withTable } from './table-argument.ts'

/** All that is known of a table; `--json` has it as it is, but for times, which are ISO 8601 there. */
export interface TableInspection {
  readonly table: string
  readonly uuid: string
  readonly location: string
  readonly metadataLocation: string
  readonly formatVersion: number
  readonly lastUpdatedMs: number
  readonly lastSequenceNumber: bigint
  readonly currentSnapshot: bigint | null
  readonly columns: readonly ColumnReport[]
  /** The default one is what new files are written by; the others are past ones. */
  readonly partitionSpecs: readonly PartitioningReport[]
  readonly sortOrders: readonly OrderReport[]
  readonly refs: readonly RefReport[]
  readonly properties: Readonly<Record<string, string>>
  readonly health: TableHealth
  readonly findings: readonly Finding[]
}

export interface ColumnReport {
  readonly id: number
  readonly name: string
  /** A primitive's name, or the JSON of a nested type. */
  readonly type: string | Readonly<Record<string, unknown>>
  readonly required: boolean
  readonly doc: string | null
}

export interface PartitioningReport {
  readonly id: number
  readonly default: boolean
  /** `column` is null when it was dropped. */
  readonly fields: readonly { readonly name: string; readonly transform: string; readonly column: string | null }[]
}

export interface OrderReport {
  readonly id: number
  readonly default: boolean
  readonly fields: readonly {
    readonly column: string | null
    readonly transform: string
    readonly direction: 'asc' | 'desc'
    readonly nulls: 'first' | 'last'
  }[]
}

export interface RefReport {
  readonly name: string
  readonly type: 'branch' | 'tag'
  readonly snapshot: bigint
  readonly minSnapshotsToKeep: number | null
  readonly maxSnapshotAgeMs: number | null
  readonly maxRefAgeMs: number | null
}

/** `frazil inspect`: what a table is and how it does. Exits 1 when something is critical; warnings are no failure. */
export async function inspectCommand(name: string, flags: WarehouseFlags, output: Output): Promise<number> {
  const at = warehouseOf(flags)
  const logsAtHand = at.kind === 'directory' || (flags.logTable ?? process.env.FRAZIL_LOG_TABLE) !== undefined
  const inspection = await withTable(at, name, (open) => inspectionOf(open, logsAtHand))
  await output.data(output.json ? jsonLine(inspectionJson(inspection)) : inspectText(inspection))
  return inspection.findings.some(({ severity }) => severity === 'critical') ? EXIT.finding : EXIT.fine
}

async function inspectionOf({ table, warehouse }: OpenTable, logsAtHand: boolean): Promise<TableInspection> {
  const { objects, clock } = warehouse.ports
  const { metadata, pointer } = table
  const name = `${table.id.namespace}.${table.id.name}`
  const lastCheckpoints = logsAtHand ? await lastCheckpointsOf(table, warehouse) : {}
  const metadataBytes = (await objects.size(objectLocation(pointer.metadataLocation))) ?? 0
  const health = await healthOf(objects, metadata, {
    metadataBytes,
    policy: { ...DEFAULT_MAINTENANCE, expire: expiryOf(table) },
    nowMs: clock.now(),
    lastCheckpoints,
  })
  return { ...descriptionOf(name, table), health, findings: adviceOf(health, name) }
}

function descriptionOf(name: string, { metadata, pointer }: LoadedTable): Omit<TableInspection, 'health' | 'findings'> {
  const schema = metadata.schemas.find((candidate) => candidate['schema-id'] === metadata['current-schema-id'])
  return {
    table: name,
    uuid: metadata['table-uuid'],
    location: metadata.location,
    metadataLocation: pointer.metadataLocation,
    formatVersion: metadata['format-version'],
    lastUpdatedMs: metadata['last-updated-ms'],
    lastSequenceNumber: metadata['last-sequence-number'],
    currentSnapshot: currentSnapshot(metadata)?.['snapshot-id'] ?? null,
    columns: (schema?.fields ?? []).map(({ id, name: column, type, required, doc }) => ({
      id,
      name: column,
      type,
      required,
      doc: doc ?? null,
    })),
    partitionSpecs: metadata['partition-specs'].map((spec) => partitioning(metadata, spec)),
    sortOrders: metadata['sort-orders'].map((order) => sortOrder(metadata, order)),
    refs: Object.entries(metadata.refs).map(([ref, entry]) => ({
      name: ref,
      type: entry.type,
      snapshot: entry['snapshot-id'],
      minSnapshotsToKeep: entry['min-snapshots-to-keep'] ?? null,
      maxSnapshotAgeMs: entry['max-snapshot-age-ms'] ?? null,
      maxRefAgeMs: entry['max-ref-age-ms'] ?? null,
    })),
    properties: metadata.properties,
  }
}

function partitioning(metadata: TableMetadata, { 'spec-id': id, fields }: PartitionSpec): PartitioningReport {
  return {
    id,
    default: id === metadata['default-spec-id'],
    fields: fields.map(({ name, transform, 'source-id': source }) => ({ name, transform, column: columnOf(metadata, source) })),
  }
}

function sortOrder(metadata: TableMetadata, { 'order-id': id, fields }: SortOrder): OrderReport {
  return {
    id,
    default: id === metadata['default-sort-order-id'],
    fields: fields.map(({ transform, direction, 'source-id': source, 'null-order': nulls }) => ({
      column: columnOf(metadata, source),
      transform,
      direction,
      nulls: nulls === 'nulls-first' ? 'first' : 'last',
    })),
  }
}

/** By its newest name. */
const columnOf = ({ schemas }: TableMetadata, id: number): string | null =>
  schemas.flatMap(({ fields }) => fields).findLast((field) => field.id === id)?.name ?? null

function inspectionJson({ health, lastUpdatedMs, findings, ...rest }: TableInspection) {
  const { atMs, snapshots, partitions, markers, sorted, keepSnapshotsMs: _, ...figures } = health
  const time = (ms: number | null | undefined) => (ms === null || ms === undefined ? null : shownMillis(ms))
  return {
    ...rest,
    lastUpdated: time(lastUpdatedMs),
    health: {
      at: time(atMs),
      ...figures,
      sorted: sorted ?? null,
      snapshots: {
        count: snapshots.count,
        oldest: time(snapshots.oldestMs),
        due: snapshots.due,
        oldestDue: time(snapshots.oldestDueMs),
      },
      markers: markers.map(({ last, ...marker }) => ({
        ...marker,
        last:
          last === undefined ? null : { incarnation: last.incarnation, n: last.n, need: last.need ?? null, at: time(last.atMs) },
      })),
      partitions: partitions.map(({ lastAddedMs, ...partition }) => ({ ...partition, lastAdded: time(lastAddedMs) })),
    },
    findings: findings.map(({ run, hint, ...finding }) => ({
      ...finding,
      run: run === undefined ? null : `frazil ${run}`,
      hint: hint ?? null,
    })),
  }
}
