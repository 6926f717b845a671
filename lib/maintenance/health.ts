import { countsOf, type FileCounts, NONE, partitionOf } from '../iceberg/commit.ts'
import type { ManifestFile } from '../iceberg/manifest-list.ts'
import { defaultSortOrder } from '../iceberg/metadata.ts'
import { isSmallManifest } from '../iceberg/replace.ts'
import { hasLiveFiles, readSnapshot, type ScanFile, type SnapshotFiles } from '../iceberg/snapshot.ts'
import type { TableMetadata } from '../iceberg/types.ts'
import { DEFAULT_MAINTENANCE, type MaintenancePlan } from '../pipeline/maintenance.ts'
import type { Objects } from '../ports/objects.ts'
import { markersOf } from '../protocol/marker.ts'
import { fenceOf } from './fence.ts'
import { fileTimes } from './file-times.ts'
import { limitsOf } from './limits.ts'
import { partitionText } from './partition-text.ts'
import { type CompactionLimits, MIN_FILE_SHARE, planCompaction, targetFileBytes } from './plan-compaction.ts'
import { snapshotsDue } from './snapshots-due.ts'

const MB = 1 << 20
/** Upper bounds of the histogram's buckets, bytes; a last bucket has what is larger. */
export const HISTOGRAM_BOUNDS_BYTES: readonly number[] = [8 * MB, 32 * MB, 128 * MB, 512 * MB]

/** Those of a compaction function that is deployed as it is by default. */
const DEFAULT_LIMITS: CompactionLimits = limitsOf(2048)

export interface PartitionHealth {
  /** As its folder is named; empty for an unpartitioned table. */
  readonly partition: string
  readonly data: FileCounts
  /** Files below `MIN_FILE_SHARE` of the target. */
  readonly small: FileCounts
  /** What a compaction would rewrite now. */
  readonly compactable: FileCounts
  /** Position and equality deletes of another engine. */
  readonly deletes: FileCounts
  /** When its newest rows came, or a little later: by the snapshots that are left. */
  readonly lastAddedMs: number
}

/** Manifests of the current snapshot that have live files. */
export interface ManifestsHealth {
  readonly count: number
  readonly bytes: number
  /** Below half of `commit.manifest.target-size-bytes`: what a rewrite merges once there are many. */
  readonly small: { readonly count: number; readonly bytes: number }
}

export interface SnapshotsHealth {
  readonly count: number
  /** Null: there is none. */
  readonly oldestMs: number | null
  /** How many an expiry would take for their age, and the oldest of them; 0 and null where the policy keeps all. */
  readonly due: number
  readonly oldestDueMs: number | null
}

/** A table's marker beside the logs of its pipeline. */
export interface MarkerHealth {
  readonly pipeline: string
  readonly incarnation: string
  readonly n: number
  /** Undefined: the logs are not at hand. */
  readonly last: LastCheckpoint | undefined
}

/** The last checkpoint of a pipeline, as its logs have it. */
export interface LastCheckpoint {
  readonly incarnation: string
  readonly n: number
  /** The last checkpoint with work for this table (protocol rule 12); undefined when its body could not be read. */
  readonly need: number | undefined
  /** When it was made; undefined when its body could not be found. */
  readonly atMs: number | undefined
}

/** How a table is. Sizes in bytes, times in milliseconds. Of the current snapshot, where nothing else is said. */
export interface TableHealth {
  readonly atMs: number
  readonly data: FileCounts
  readonly targetFileBytes: number
  /** Below `MIN_FILE_SHARE` of the target; those of partitions that still collect are among them. */
  readonly small: FileCounts
  /** What a compaction would rewrite now: only what is cold. */
  readonly compactable: FileCounts
  /** Files up to each of `HISTOGRAM_BOUNDS_BYTES`, then those beyond. */
  readonly histogram: readonly FileCounts[]
  /** Files in the table's default sort order; undefined where it has none. */
  readonly sorted: FileCounts | undefined
  /** Those with most to compact first, then those with most files. */
  readonly partitions: readonly PartitionHealth[]
  readonly deletes: FileCounts
  readonly snapshots: SnapshotsHealth
  readonly refs: number
  readonly manifests: ManifestsHealth
  readonly metadataBytes: number
  /** Earlier metadata files that the metadata names. */
  readonly metadataLog: number
  readonly statisticsFiles: number
  readonly markers: readonly MarkerHealth[]
  /** Raised by each sweep of orphans, so that no compaction from before it is committed; 0 where there was none. */
  readonly fence: number
  /** What the policy says of snapshots; undefined: all are kept. */
  readonly keepSnapshotsMs: number | undefined
}

export interface HealthOptions {
  /** Of the metadata file as it lies. */
  readonly metadataBytes: number
  readonly policy: MaintenancePlan
  readonly nowMs: number
  /** Of the compaction that is to come: it takes no more at a time. Default: those of a function of 2,048 MB. */
  readonly limits?: CompactionLimits
  /** By pipeline, for those whose logs are at hand. Read after `metadata`, or a marker may seem to be ahead of them. */
  readonly lastCheckpoints?: Readonly<Record<string, LastCheckpoint>>
}

/**
 * How a table is, from its metadata and the manifests of its current snapshot: one read each, no data file is opened. Any
 * engine's tables of format version 2, those with delete files too.
 */
export async function healthOf(objects: Objects, metadata: TableMetadata, options: HealthOptions): Promise<TableHealth> {
  const { policy, nowMs, limits = DEFAULT_LIMITS, lastCheckpoints = {} } = options
  const files = await readSnapshot(objects, metadata)
  const target = targetFileBytes(metadata, policy.compact ?? DEFAULT_MAINTENANCE.compact)
  const partitions = partitionsOf(metadata, files, target, compactableOf(metadata, files, policy, limits, nowMs))
  const order = defaultSortOrder(metadata)
  const due = policy.expire === undefined ? [] : snapshotsDue(metadata, policy.expire, nowMs)
  return {
    atMs: nowMs,
    data: counted(files.data),
    targetFileBytes: target,
    small: total(partitions.map(({ small }) => small)),
    compactable: total(partitions.map(({ compactable }) => compactable)),
    histogram: histogramOf(files.data),
    sorted:
      order === undefined || order['order-id'] === 0
        ? undefined
        : counted(files.data.filter(({ file }) => file.sortOrderId === order['order-id'])),
    partitions,
    deletes: counted(files.deletes),
    snapshots: {
      count: metadata.snapshots.length,
      oldestMs: oldest(metadata.snapshots),
      due: due.length,
      oldestDueMs: oldest(due),
    },
    refs: Object.keys(metadata.refs).length,
    manifests: manifestsHealth(metadata, files.manifests),
    metadataBytes: options.metadataBytes,
    metadataLog: metadata['metadata-log'].length,
    statisticsFiles: (metadata.statistics?.length ?? 0) + (metadata['partition-statistics']?.length ?? 0),
    markers: Object.entries(markersOf(metadata.properties)).map(([pipeline, { incarnation, n }]) => ({
      pipeline,
      incarnation,
      n,
      last: Object.hasOwn(lastCheckpoints, pipeline) ? lastCheckpoints[pipeline] : undefined,
    })),
    fence: fenceOf(metadata),
    keepSnapshotsMs: policy.expire?.keepMs,
  }
}

/** What a compaction by `policy` would rewrite, by partition. */
function compactableOf(
  metadata: TableMetadata,
  files: SnapshotFiles,
  { compact }: MaintenancePlan,
  limits: CompactionLimits,
  nowMs: number,
): ReadonlyMap<string, FileCounts> {
  const found = new Map<string, FileCounts>()
  if (compact === undefined) return found
  for (const group of planCompaction(metadata, files, compact, limits, nowMs).groups) {
    const key = partitionOf(group)
    found.set(key, total([found.get(key) ?? NONE, counted(group.files)]))
  }
  return found
}

function partitionsOf(
  metadata: TableMetadata,
  { data, deletes }: SnapshotFiles,
  target: number,
  compactable: ReadonlyMap<string, FileCounts>,
): readonly PartitionHealth[] {
  const groups = new Map<string, { data: ScanFile[]; deletes: ScanFile[] }>()
  const groupOf = ({ file }: ScanFile) => {
    const key = partitionOf(file)
    const group = groups.get(key) ?? { data: [], deletes: [] }
    groups.set(key, group)
    return group
  }
  for (const file of data) groupOf(file).data.push(file)
  for (const file of deletes) groupOf(file).deletes.push(file)
  const timeOf = fileTimes(metadata)
  return Array.from(groups, ([key, group]): PartitionHealth => {
    const all = [...group.data, ...group.deletes]
    const [{ file }] = all
    return {
      partition: partitionText(metadata, file.specId, file.partition),
      data: counted(group.data),
      small: counted(group.data.filter((one) => one.file.sizeBytes < target * MIN_FILE_SHARE)),
      compactable: compactable.get(key) ?? NONE,
      deletes: counted(group.deletes),
      lastAddedMs: all.reduce((last, one) => Math.max(last, timeOf(one)), 0),
    }
  }).sort(
    (a, b) => b.compactable.files - a.compactable.files || b.data.files - a.data.files || (a.partition < b.partition ? -1 : 1),
  )
}

function histogramOf(files: readonly ScanFile[]): readonly FileCounts[] {
  const bounds = [...HISTOGRAM_BOUNDS_BYTES, Number.POSITIVE_INFINITY]
  const buckets: ScanFile[][] = bounds.map(() => [])
  for (const file of files) buckets[bounds.findIndex((bound) => file.file.sizeBytes <= bound)].push(file)
  return buckets.map(counted)
}

function manifestsHealth(metadata: TableMetadata, manifests: readonly ManifestFile[]): ManifestsHealth {
  const living = manifests.filter(hasLiveFiles)
  const summed = (some: readonly ManifestFile[]) => ({
    count: some.length,
    bytes: some.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  })
  return { ...summed(living), small: summed(living.filter((manifest) => isSmallManifest(metadata, manifest))) }
}

const counted = (files: readonly ScanFile[]): FileCounts => countsOf(files.map(({ file }) => file))

const total = (counts: readonly FileCounts[]): FileCounts =>
  counts.reduce(
    (sum, { files, rows, bytes }) => ({ files: sum.files + files, rows: sum.rows + rows, bytes: sum.bytes + bytes }),
    NONE,
  )

const oldest = (snapshots: TableMetadata['snapshots']): number | null =>
  snapshots.reduce<number | null>((least, { 'timestamp-ms': ms }) => (least === null || ms < least ? ms : least), null)
