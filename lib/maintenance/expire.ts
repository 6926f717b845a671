import { changeTable, deleteIfPossible, readTable, type TablePorts } from '../iceberg/change.ts'
import { decideExpire, type ToExpire, withoutSnapshots } from '../iceberg/expire.ts'
import { serializeMetadata } from '../iceberg/metadata.ts'
import { metadataLocation, nextVersion } from '../iceberg/paths.ts'
import { reachableFiles, reachableMetadata } from '../iceberg/reachable.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import { inParallel } from '../iceberg/snapshot.ts'
import type { Snapshot, TableMetadata } from '../iceberg/types.ts'
import type { ExpirePolicy } from '../pipeline/maintenance.ts'
import type { TableId } from '../ports/catalog.ts'
import { markerProperty, markersOf } from '../protocol/marker.ts'
import { readLists, writeLists } from './lists.ts'
import { assertOwnsFiles } from './owns-files.ts'

export interface ExpireReport {
  /** Snapshots that go, and those that stay. */
  readonly expired: number
  readonly kept: number
  /** Those that go, and those that stay, as the metadata has them. */
  readonly going: readonly Snapshot[]
  readonly staying: readonly Snapshot[]
  /** True when one stays for nothing but a pipeline's marker. */
  readonly keptForMarker: boolean
  /** Names of branches and tags that go. */
  readonly refs: readonly string[]
  /** Files that no snapshot needs any more: deleted, or with `apply` false to be. */
  readonly files: number
  /** Those that the store would not delete now, or that there was no time for: the next expiry goes on. */
  readonly left: number
}

/**
 * A doomed list is kept this long that names a file in use, since the expiry that wrote it may not have swapped yet, or one
 * that the store would not delete. Then sweeps of orphans find what is left.
 */
const PENDING_LIST_MS = 24 * 3_600_000

/**
 * Lets go of old snapshots and deletes the files that only they needed: first one swap, then, judged by the table as it is
 * after it, the files. A list of them is written before the swap, so that the next expiry goes on where a crash stopped this
 * one. With `apply` false nothing is written. The newest snapshot of each pipeline's marker stays: by it a roll-back is noticed
 * (protocol rule 15).
 *
 * @param hasTime asked between lists, of 10,000 files at most; false leaves the rest to the next call
 */
export async function expireSnapshots(
  ports: TablePorts,
  id: TableId,
  policy: ExpirePolicy,
  nowMs: number,
  apply: boolean,
  hasTime: () => boolean = () => true,
): Promise<ExpireReport> {
  const { objects, random, clock } = ports
  let tried: Omit<ExpireReport, 'left'> | undefined
  const report = await changeTable<Omit<ExpireReport, 'left'>>(ports, id, 'expire snapshots of', async (table, { unknown }) => {
    const { metadata } = table
    assertOwnsFiles(table)
    const goingBut = (keep: ReadonlySet<bigint>) => decideExpire(metadata, { ...policy, nowMs, keep })
    const going = goingBut(newestOfMarkers(metadata))
    const doomed = await filesOnlyOf(ports, metadata, going)
    const gone = new Set(going.snapshots)
    const staying = metadata.snapshots.filter((snapshot) => !gone.has(snapshot))
    const expired = going.snapshots.length
    const result = {
      expired,
      kept: staying.length,
      going: going.snapshots,
      staying,
      keptForMarker: expired < goingBut(new Set()).snapshots.length,
      refs: going.refs,
      files: doomed.length,
    }
    if (!apply || (expired === 0 && going.refs.length === 0)) return { verdict: 'Done', result: (unknown && tried) || result }
    tried = result
    const files = doomed.map((location) => ({ location, sizeBytes: null }))
    await writeLists(objects, random, metadata, 'doomed', clock.now(), files)
    return { verdict: 'Swap', to: await prepared(ports, table, going), result }
  })
  if (!apply) return { ...report, left: 0 }
  const { deleted, left } = await deleteDoomed(ports, id, hasTime)
  return { ...report, files: deleted, left }
}

/** Of each pipeline that marked the table, the newest snapshot with its marker, also behind ancestors that are gone. */
export function newestOfMarkers({ properties, snapshots }: TableMetadata): ReadonlySet<bigint> {
  const newest = Object.keys(markersOf(properties)).map((pipeline) =>
    snapshots
      .filter(({ summary }) => summary[markerProperty(pipeline)] === properties[markerProperty(pipeline)])
      .reduce<Snapshot | undefined>(
        (a, b) => (a === undefined || b['sequence-number'] > a['sequence-number'] ? b : a),
        undefined,
      ),
  )
  return new Set(newest.flatMap((snapshot) => snapshot?.['snapshot-id'] ?? []))
}

async function filesOnlyOf(
  { objects }: TablePorts,
  metadata: TableMetadata,
  { snapshots }: ToExpire,
): Promise<readonly string[]> {
  if (snapshots.length === 0) return []
  const gone = new Set(snapshots)
  const staying = await reachableFiles(
    objects,
    metadata,
    metadata.snapshots.filter((snapshot) => !gone.has(snapshot)),
  )
  return [...(await reachableFiles(objects, metadata, snapshots))].filter((location) => !staying.has(location))
}

async function prepared({ objects, random, clock }: TablePorts, { metadata: base, pointer }: LoadedTable, going: ToExpire) {
  const metadata = withoutSnapshots(base, pointer.metadataLocation, going, clock.now())
  const location = metadataLocation(metadata, nextVersion(pointer.metadataLocation), random.uuid())
  await objects.put(location, [serializeMetadata(metadata)])
  return { metadata, location }
}

/** Deletes what doomed lists name and the table, as it is now, does not reach: list by list, so that what is done stays done. */
async function deleteDoomed(
  ports: TablePorts,
  id: TableId,
  hasTime: () => boolean,
): Promise<{ readonly deleted: number; readonly left: number }> {
  const { objects, clock } = ports
  const doing = 'expire snapshots of'
  const lists = await readTable(ports, id, doing, ({ metadata }) => readLists(objects, metadata, 'doomed'))
  if (lists.length === 0) return { deleted: 0, left: 0 }
  // Looked at after the lists were read: each was written by an expiry that read an earlier table.
  const { reached, earlier } = await readTable(ports, id, doing, async ({ metadata, pointer }) => ({
    reached: await reachableFiles(objects, metadata),
    earlier: reachableMetadata(metadata, pointer.metadataLocation),
  }))
  let deleted = 0
  let left = 0
  for (const { location: at, atMs, files } of lists) {
    const due = files.map(({ location }) => location).filter((location) => !reached.has(location) && !earlier.has(location))
    if (!hasTime()) {
      left += due.length
      continue
    }
    const gone = await inParallel(due, (location) => deleteIfPossible(objects, location))
    const failed = gone.filter((ok) => !ok).length
    deleted += gone.length - failed
    left += failed
    const isDone = failed === 0 && due.length === files.length
    if (isDone || clock.now() - atMs > PENDING_LIST_MS) await deleteIfPossible(objects, at)
  }
  return { deleted, left }
}
