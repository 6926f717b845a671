import { refused } from '../errors.ts'
import type { Random } from '../ports/time.ts'
import type { DataFile } from './data-file.ts'
import { currentSnapshot, snapshotById } from './metadata.ts'
import { partitionKeyOf } from './partition-value.ts'
import { MAIN_BRANCH, type Snapshot, type TableMetadata } from './types.ts'

/** What every operation that replaces a table's metadata shares. Pure: no file is read or written here. */

/** How many earlier metadata files the log names (Iceberg's default; property `write.metadata.previous-versions-max`). */
const PREVIOUS_VERSIONS_MAX = 100

/**
 * A snapshot id that the table does not have: the halves of a random UUID, exclusive-or'ed, without the sign, as Iceberg's
 * libraries make them.
 */
export function newSnapshotId(metadata: TableMetadata, random: Random): bigint {
  for (;;) {
    const bits = BigInt(`0x${random.uuid().replaceAll('-', '')}`)
    const id = BigInt.asUintN(63, (bits >> 64n) ^ bits)
    if (id !== 0n && snapshotById(metadata, id) === undefined) return id
  }
}

/** A UUID's 16 bytes: the sync marker of an Avro file. */
export function uuidBytes(uuid: string): Uint8Array {
  return new Uint8Array(Buffer.from(uuid.replaceAll('-', ''), 'hex'))
}

/** Never before the table's last change: time travel reads the log in order. */
export function nextTimestamp(metadata: TableMetadata, nowMs: number): number {
  return Math.max(nowMs, metadata['last-updated-ms'], metadata['snapshot-log'].at(-1)?.['timestamp-ms'] ?? 0)
}

export interface NextMetadata {
  readonly base: TableMetadata
  /** Where `base` was read from. */
  readonly baseLocation: string
  readonly snapshot: Snapshot
  /** Set in the same swap; others stay. */
  readonly properties: Readonly<Record<string, string>>
}

/** `base` with one more snapshot, which becomes current. */
export function withSnapshot({ base, baseLocation, snapshot, properties }: NextMetadata): TableMetadata {
  const id = snapshot['snapshot-id']
  const allProperties = { ...base.properties, ...properties }
  const main = base.refs[MAIN_BRANCH]
  if (main !== undefined && main.type !== 'branch')
    throw refused(`Cannot commit to table ${base.location}: expected main to be a branch, found a ${main.type}.`)
  return {
    ...base,
    'last-sequence-number': snapshot['sequence-number'],
    'last-updated-ms': snapshot['timestamp-ms'],
    properties: allProperties,
    'current-snapshot-id': id,
    snapshots: [...base.snapshots, snapshot],
    'snapshot-log': [...base['snapshot-log'], { 'timestamp-ms': snapshot['timestamp-ms'], 'snapshot-id': id }],
    'metadata-log': metadataLogOf(base, baseLocation, allProperties),
    refs: { ...base.refs, [MAIN_BRANCH]: { ...main, 'snapshot-id': id, type: 'branch' } },
  }
}

/** `base` with other table properties and nothing else changed. */
export function withProperties(
  base: TableMetadata,
  baseLocation: string,
  properties: Readonly<Record<string, string>>,
  nowMs: number,
): TableMetadata {
  const all = { ...base.properties, ...properties }
  return {
    ...base,
    'last-updated-ms': nextTimestamp(base, nowMs),
    properties: all,
    'metadata-log': metadataLogOf(base, baseLocation, all),
  }
}

/** The log of a metadata file that replaces `base`, which was read from `baseLocation`; `properties` are the new file's. */
export function metadataLogOf(
  base: TableMetadata,
  baseLocation: string,
  properties: TableMetadata['properties'],
): TableMetadata['metadata-log'] {
  const entry = { 'timestamp-ms': base['last-updated-ms'], 'metadata-file': baseLocation }
  return [...base['metadata-log'], entry].slice(-previousVersionsMax(properties))
}

/**
 * Metadata files that `next` no longer names though `base` did, to be deleted once it is swapped in, when the table asks for that
 * (property `write.metadata.delete-after-commit.enabled`).
 */
export function forgottenMetadata(base: TableMetadata, next: TableMetadata): readonly string[] {
  if (next.properties['write.metadata.delete-after-commit.enabled'] !== 'true') return []
  const named = new Set(next['metadata-log'].map((entry) => entry['metadata-file']))
  return base['metadata-log'].map((entry) => entry['metadata-file']).filter((file) => !named.has(file))
}

function previousVersionsMax(properties: Readonly<Record<string, string>>): number {
  const value = Number(properties['write.metadata.previous-versions-max'] ?? PREVIOUS_VERSIONS_MAX)
  return Number.isInteger(value) && value >= 1 ? value : 1
}

/** Files, rows and bytes that an operation adds or removes. */
export interface FileCounts {
  readonly files: number
  readonly rows: number
  readonly bytes: number
}

/** What an operation changes, for a snapshot's summary. */
export interface SummaryDelta {
  /** Data files. */
  readonly added: FileCounts
  readonly removed: FileCounts
  /** Delete files: how many of each kind, and the rows in them. */
  readonly removedDeletes: {
    readonly files: number
    readonly positions: number
    readonly equalities: number
    readonly bytes: number
  }
  readonly changedPartitions: number
}

export const NONE: FileCounts = { files: 0, rows: 0, bytes: 0 }
export const NO_DELETES: SummaryDelta['removedDeletes'] = { files: 0, positions: 0, equalities: 0, bytes: 0 }

export function countsOf(files: readonly DataFile[]): FileCounts {
  let rows = 0
  let bytes = 0
  for (const { recordCount, sizeBytes } of files) {
    rows += recordCount
    bytes += sizeBytes
  }
  return { files: files.length, rows, bytes }
}

/** The partitions that files lie in, equal for equal tuples of a spec. */
export function partitionsOf(files: readonly DataFile[]): ReadonlySet<string> {
  return new Set(files.map(partitionOf))
}

export const partitionOf = ({ specId, partition }: Pick<DataFile, 'specId' | 'partition'>): string =>
  `${specId} ${partitionKeyOf(partition)}`

/**
 * The standard summary fields (spec, appendix F, "Optional Snapshot Summary Fields"). A total is kept only where the parent has
 * it: an unknown number plus ten is unknown.
 */
export function summaryOf(
  metadata: TableMetadata,
  { added, removed, removedDeletes, changedPartitions }: SummaryDelta,
): Record<string, string> {
  const parent = currentSnapshot(metadata)?.summary
  const summary: Record<string, string> = {}
  if (added.files > 0) {
    summary['added-data-files'] = String(added.files)
    summary['added-records'] = String(added.rows)
    summary['added-files-size'] = String(added.bytes)
  }
  if (removed.files > 0) {
    summary['deleted-data-files'] = String(removed.files)
    summary['deleted-records'] = String(removed.rows)
  }
  if (removedDeletes.files > 0) summary['removed-delete-files'] = String(removedDeletes.files)
  if (removed.files + removedDeletes.files > 0) summary['removed-files-size'] = String(removed.bytes + removedDeletes.bytes)
  summary['changed-partition-count'] = String(changedPartitions)
  const totals: Readonly<Record<string, number>> = {
    'total-records': added.rows - removed.rows,
    'total-files-size': added.bytes - removed.bytes - removedDeletes.bytes,
    'total-data-files': added.files - removed.files,
    'total-delete-files': -removedDeletes.files,
    'total-position-deletes': -removedDeletes.positions,
    'total-equality-deletes': -removedDeletes.equalities,
  }
  for (const [name, change] of Object.entries(totals)) {
    const before = parent === undefined ? '0' : parent[name]
    if (before === undefined || !/^\d+$/.test(before)) continue
    const after = BigInt(before) + BigInt(change)
    if (after >= 0n) summary[name] = String(after)
  }
  return summary
}
