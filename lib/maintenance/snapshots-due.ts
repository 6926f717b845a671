import { decideExpire } from '../iceberg/expire.ts'
import type { Snapshot, TableMetadata } from '../iceberg/types.ts'
import type { ExpirePolicy } from '../pipeline/maintenance.ts'
import { newestOfMarkers } from './expire.ts'

/** Snapshots that an expiry by `policy` would take for their age. What it would thin out besides is not among them. */
export function snapshotsDue(metadata: TableMetadata, policy: ExpirePolicy, nowMs: number): readonly Snapshot[] {
  const keep = newestOfMarkers(metadata)
  return decideExpire(metadata, { ...policy, thinAfterMs: undefined, nowMs, keep }).snapshots
}
