import { ancestors, decideExpire } from '../iceberg/expire.ts'
import { currentSnapshot } from '../iceberg/metadata.ts'
import type { Snapshot, TableMetadata } from '../iceberg/types.ts'
import type { ExpirePolicy } from '../pipeline/maintenance.ts'
import { markerProperty, markersOf } from '../protocol/marker.ts'

/** Snapshots that an expiry by `policy` would take for their age. What it would thin out besides is not among them. */
export function snapshotsDue(metadata: TableMetadata, policy: ExpirePolicy, nowMs: number): readonly Snapshot[] {
  const keep = newestOfMarkers(metadata)
  return decideExpire(metadata, { ...policy, thinAfterMs: undefined, nowMs, keep }).snapshots
}

/** Of each pipeline that marked the table, the newest snapshot with its marker: it stays, or no roll-back could be noticed. */
function newestOfMarkers(metadata: TableMetadata): ReadonlySet<bigint> {
  const head = currentSnapshot(metadata)
  const line = head === undefined ? [] : [...ancestors(metadata, head)]
  const newest = Object.keys(markersOf(metadata.properties)).flatMap(
    (pipeline) => line.find(({ summary }) => summary[markerProperty(pipeline)] !== undefined)?.['snapshot-id'] ?? [],
  )
  return new Set(newest)
}
