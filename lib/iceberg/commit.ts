import { refused } from '../errors.ts'
import type { Random } from '../ports/time.ts'
import { currentSnapshot, snapshotById } from './metadata.ts'
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

/** The log of a metadata file that replaces `base`, which was read from `baseLocation`; `properties` are the new file's. */
export function metadataLogOf(
  base: TableMetadata,
  baseLocation: string,
  properties: TableMetadata['properties'],
): TableMetadata['metadata-log'] {
  const entry = { 'timestamp-ms': base['last-updated-ms'], 'metadata-file': baseLocation }
  return [...base['metadata-log'], entry].slice(-previousVersionsMax(properties))
}

function previousVersionsMax(properties: Readonly<Record<string, string>>): number {
  const value = Number(properties['write.metadata.previous-versions-max'] ?? PREVIOUS_VERSIONS_MAX)
  return Number.isInteger(value) && value >= 1 ? value : 1
}

/** What an operation changes, for a snapshot's summary. Files that hold deletes are not changed by anything here yet. */
export interface SummaryDelta {
  readonly addedFiles: number
  readonly addedRows: number
  readonly addedBytes: number
  readonly changedPartitions: number
}

/**
 * The standard summary fields (spec, appendix F, "Optional Snapshot Summary Fields"). A total is kept only where the parent has it: an unknown
 * number plus ten is unknown.
 */
export function summaryOf(metadata: TableMetadata, delta: SummaryDelta): Record<string, string> {
  const parent = currentSnapshot(metadata)?.summary
  const summary: Record<string, string> = {}
  if (delta.addedFiles > 0) {
    summary['added-data-files'] = String(delta.addedFiles)
    summary['added-records'] = String(delta.addedRows)
    summary['added-files-size'] = String(delta.addedBytes)
  }
  summary['changed-partition-count'] = String(delta.changedPartitions)
  const totals: Readonly<Record<string, number>> = {
    'total-records': delta.addedRows,
    'total-files-size': delta.addedBytes,
    'total-data-files': delta.addedFiles,
    'total-delete-files': 0,
    'total-position-deletes': 0,
    'total-equality-deletes': 0,
  }
  for (const [name, added] of Object.entries(totals)) {
    const before = parent === undefined ? '0' : parent[name]
    if (before !== undefined && /^\d+$/.test(before)) summary[name] = String(BigInt(before) + BigInt(added))
  }
  return summary
}
