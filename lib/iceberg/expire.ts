import { metadataLogOf, nextTimestamp } from './commit.ts'
import { currentSnapshot, snapshotById } from './metadata.ts'
import { MAIN_BRANCH, type Snapshot, type SnapshotRef, type TableMetadata } from './types.ts'

/** Which snapshots stay. Times are milliseconds. */
export interface ExpireOptions {
  readonly nowMs: number
  /** Snapshots older than this go, of branches that do not say otherwise. */
  readonly keepMs: number
  /** So many of the newest of each branch stay, however old. */
  readonly retainLast: number
  /** Of the main branch's older than this only the last of each hour (UTC) stays; undefined: all stay. */
  readonly thinAfterMs: number | undefined
  /** Ids that stay in any case. */
  readonly keep: ReadonlySet<bigint>
}

/** What goes. */
export interface ToExpire {
  readonly snapshots: readonly Snapshot[]
  /** Names of refs that are older than they may become. */
  readonly refs: readonly string[]
}

const HOUR_MS = 3_600_000

/**
 * Decides which snapshots and refs a table no longer needs, as Iceberg does (spec, "Snapshot References", "Snapshot Retention
 * Policy"): what a ref names stays, and of each branch what its own settings, or else the options, keep; a snapshot that no
 * branch leads to stays while it is young. The current snapshot always stays. What one pipeline's commits need is the caller's
 * to keep.
 */
export function decideExpire(metadata: TableMetadata, options: ExpireOptions): ToExpire {
  const { nowMs, keepMs } = options
  const refs: string[] = []
  const kept = new Set(options.keep)
  const led = new Set<bigint>()
  const current = currentSnapshot(metadata)
  if (current !== undefined) kept.add(current['snapshot-id'])
  for (const [name, ref] of Object.entries(withMain(metadata))) {
    const head = snapshotById(metadata, ref['snapshot-id'])
    if (head === undefined) continue
    const branch = ref.type === 'branch' ? [...ancestors(metadata, head)] : [head]
    if (name !== MAIN_BRANCH && nowMs - head['timestamp-ms'] > (ref['max-ref-age-ms'] ?? Number.POSITIVE_INFINITY)) {
      refs.push(name)
      continue
    }
    for (const snapshot of branch) led.add(snapshot['snapshot-id'])
    for (const snapshot of ref.type === 'branch' ? keptOfBranch(name, ref, branch, options) : branch)
      kept.add(snapshot['snapshot-id'])
  }
  const young = ({ 'snapshot-id': id, 'timestamp-ms': at }: Snapshot) => !led.has(id) && nowMs - at <= keepMs
  return { refs, snapshots: metadata.snapshots.filter((one) => !kept.has(one['snapshot-id']) && !young(one)) }
}

/** Tables of other writers may leave `main` out (spec: it is then the current snapshot). */
function withMain(metadata: TableMetadata): TableMetadata['refs'] {
  const current = metadata['current-snapshot-id']
  if (current === undefined || metadata.refs[MAIN_BRANCH] !== undefined) return metadata.refs
  return { ...metadata.refs, [MAIN_BRANCH]: { 'snapshot-id': current, type: 'branch' } }
}

/** A snapshot and those it was made from, as far back as the table has them, newest first. */
export function* ancestors(metadata: TableMetadata, head: Snapshot): Generator<Snapshot> {
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot['snapshot-id'], snapshot]))
  for (let at: Snapshot | undefined = head; at !== undefined; ) {
    yield at
    // Each is met once: damaged metadata may name a circle.
    byId.delete(at['snapshot-id'])
    const parent: bigint | undefined = at['parent-snapshot-id']
    at = parent === undefined ? undefined : byId.get(parent)
  }
}

function keptOfBranch(
  name: string,
  ref: SnapshotRef,
  newestFirst: readonly Snapshot[],
  { nowMs, keepMs, retainLast, thinAfterMs }: ExpireOptions,
): readonly Snapshot[] {
  const most = ref['max-snapshot-age-ms'] ?? keepMs
  const least = Math.max(1, ref['min-snapshots-to-keep'] ?? retainLast)
  const thins = name === MAIN_BRANCH && thinAfterMs !== undefined && ref['max-snapshot-age-ms'] === undefined
  const hours = new Set<number>()
  return newestFirst.filter(({ 'timestamp-ms': at }, i) => {
    const hour = Math.floor(at / HOUR_MS)
    const lastOfHour = !hours.has(hour)
    hours.add(hour)
    const age = nowMs - at
    return i < least || (age <= most && (!thins || age <= thinAfterMs || lastOfHour))
  })
}

/**
 * `base` without what expires. The history keeps the entries of snapshots that stay, also before ones that go: an older time
 * then means the last snapshot there still is from before it (docs/decisions/0039). Snapshots that stay name parents that may
 * be gone.
 */
export function withoutSnapshots(
  base: TableMetadata,
  baseLocation: string,
  { snapshots, refs }: ToExpire,
  nowMs: number,
): TableMetadata {
  const gone = new Set(snapshots.map((snapshot) => snapshot['snapshot-id']))
  const stays = (part: { readonly 'snapshot-id': bigint }) => !gone.has(part['snapshot-id'])
  const { statistics, 'partition-statistics': partitionStatistics } = base
  return {
    ...base,
    'last-updated-ms': nextTimestamp(base, nowMs),
    snapshots: base.snapshots.filter(stays),
    'snapshot-log': base['snapshot-log'].filter(stays),
    'metadata-log': metadataLogOf(base, baseLocation, base.properties),
    refs: Object.fromEntries(Object.entries(base.refs).filter(([name]) => !refs.includes(name))),
    ...(statistics === undefined ? {} : { statistics: statistics.filter(stays) }),
    ...(partitionStatistics === undefined ? {} : { 'partition-statistics': partitionStatistics.filter(stays) }),
  }
}
