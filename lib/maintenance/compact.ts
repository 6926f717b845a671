import { isKind, messageOf } from '../errors.ts'
import { changeTable, readTable, snapshotOptions, type TablePorts } from '../iceberg/change.ts'
import { currentSnapshot, snapshotById } from '../iceberg/metadata.ts'
import { replaceFiles, worthMerging } from '../iceberg/replace.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import { hasLiveFiles, inParallel, manifestsOf, readSnapshot } from '../iceberg/snapshot.ts'
import type { CompactPolicy } from '../pipeline/maintenance.ts'
import type { TableId } from '../ports/catalog.ts'
import { commitRewrites, type GaveUp } from './commit-rewrites.ts'
import { partitionText } from './partition-text.ts'
import { type CompactionLimits, type CompactionPlan, type Group, planCompaction } from './plan-compaction.ts'
import { isUnreadable, type Rewritten, rewriteGroup } from './rewrite-group.ts'

/**
 * Groups of one table that one call rewrites. Small and plain, so that it can be handed to a worker anywhere: the plan is made
 * again from the snapshot it was made from, which gives the same groups.
 */
export interface CompactJob {
  readonly table: TableId
  /** Id in digits. */
  readonly snapshot: string
  /** What "cold" was measured against. */
  readonly nowMs: number
  /** Numbers of the plan's groups: from, and up to but not with. */
  readonly from: number
  readonly to: number
}

/** What compacting a table would do. */
export interface CompactionPreview {
  readonly jobs: readonly CompactJob[]
  readonly groups: readonly {
    readonly partition: string
    readonly files: number
    readonly bytes: number
    readonly sorted: boolean
  }[]
  readonly leftAlone: readonly { readonly partition: string; readonly files: number; readonly why: string }[]
  readonly targetFileBytes: number
  /** Live manifests, and whether they are worth merging. */
  readonly manifests: number
  readonly manyManifests: boolean
}

/** Files of a group that stay as they are: all of it, or one that cannot be read while the others were rewritten. */
export interface GivenUp {
  readonly partition: string
  readonly files: number
  readonly why: string
  /** True when a file of it cannot be read, now or by the next compaction; false when others were first. */
  readonly unreadable: boolean
  /** True when that is since the file is not what was committed: until it is restored its rows are lost. */
  readonly damaged: boolean
}

/** What one job did. */
export interface CompactReport {
  readonly filesBefore: number
  readonly filesAfter: number
  readonly bytesBefore: number
  readonly bytesAfter: number
  readonly gaveUp: readonly GivenUp[]
  /** Live manifests of the table before its first commit and after its last; undefined when it made none. */
  readonly manifests: ManifestsReport | undefined
  /** True when time ran out before the last group: the next plan has it. */
  readonly more: boolean
}

/** Bytes of input that one call rewrites; with the limits of a group it bounds a function's time. */
export const MAX_JOB_BYTES = 4 * 2 ** 30
/** Snapshots that one job may leave behind (Iceberg: `partial-progress.max-commits`). */
const MAX_COMMITS = 10

/** Plans the compaction of a table as it is now. Throws `Refused` when the catalog has no such table. */
export async function previewCompaction(
  ports: TablePorts,
  id: TableId,
  policy: CompactPolicy,
  limits: CompactionLimits,
  nowMs: number,
): Promise<CompactionPreview> {
  return readTable(ports, id, 'compact', async ({ metadata }) => {
    const snapshot = currentSnapshot(metadata)
    if (snapshot === undefined)
      return { jobs: [], groups: [], leftAlone: [], targetFileBytes: 0, manifests: 0, manyManifests: false }
    const files = await readSnapshot(ports.objects, metadata)
    const plan = planCompaction(metadata, files, policy, limits, nowMs)
    const job = { table: id, snapshot: String(snapshot['snapshot-id']), nowMs }
    return {
      jobs: jobsOf(plan.groups).map(([from, to]) => ({ ...job, from, to })),
      groups: plan.groups.map(({ specId, partition, files, bytes, sorted }) => ({
        partition: partitionText(metadata, specId, partition),
        files: files.length,
        bytes,
        sorted,
      })),
      leftAlone: plan.leftAlone.map(({ specId, partition, files, why }) => ({
        partition: partitionText(metadata, specId, partition),
        files,
        why,
      })),
      targetFileBytes: plan.targetFileBytes,
      manifests: files.manifests.filter(hasLiveFiles).length,
      manyManifests: worthMerging(metadata, files.manifests),
    }
  })
}

/** Runs of groups, as many in each as one call does. */
function jobsOf(groups: readonly Group[]): readonly (readonly [number, number])[] {
  const jobs: [number, number][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const [i, group] of groups.entries()) {
    const last = jobs.at(-1)
    if (last === undefined || bytes + group.bytes > MAX_JOB_BYTES) {
      jobs.push([i, i + 1])
      bytes = group.bytes
    } else {
      last[1] = i + 1
      bytes += group.bytes
    }
  }
  return jobs
}

/**
 * Rewrites the groups of a job and commits them, several times on the way. Safe beside commits, other engines and another call
 * of the same job: what somebody else rewrote or deleted first is left to them. Where the snapshot that was planned on has
 * expired nothing is left to do.
 *
 * @param hasTime asked before each group; false ends the job after what was rewritten is committed
 */
export async function compactJob(
  ports: TablePorts,
  job: CompactJob,
  policy: CompactPolicy,
  limits: CompactionLimits,
  hasTime: () => boolean = () => true,
): Promise<CompactReport> {
  const planned = await readTable(ports, job.table, 'compact', async (table) => {
    const snapshot = snapshotById(table.metadata, BigInt(job.snapshot))
    if (snapshot === undefined) return undefined
    const files = await readSnapshot(ports.objects, table.metadata, snapshot['snapshot-id'])
    return { table, snapshot, plan: planCompaction(table.metadata, files, policy, limits, job.nowMs) }
  })
  if (planned === undefined)
    return { filesBefore: 0, filesAfter: 0, bytesBefore: 0, bytesAfter: 0, gaveUp: [], manifests: undefined, more: false }
  const { table, snapshot, plan } = planned
  const { metadata } = table
  const groups = plan.groups.slice(job.from, job.to)
  const perCommit = Math.ceil(groups.length / MAX_COMMITS)
  const tally = { filesBefore: 0, filesAfter: 0, bytesBefore: 0, bytesAfter: 0 }
  const gaveUp: GivenUp[] = []
  const leave = ({ specId, partition, files }: Group, reason: Reason, count = files.length) => {
    gaveUp.push({ partition: partitionText(metadata, specId, partition), files: count, ...reason })
  }
  let manifests: ManifestsReport | undefined
  let pending: Rewritten[] = []
  const commitPending = async () => {
    if (pending.length === 0) return
    const done = await commitRewrites(ports, job.table, pending, snapshot['sequence-number'])
    pending = []
    for (const { rewritten, why } of done.gaveUp) leave(rewritten.group, raced(why))
    if (done.committed.length > 0) manifests = { before: manifests?.before ?? done.manifestsBefore, after: done.manifestsAfter }
    for (const { group, added } of done.committed) {
      tally.filesBefore += group.files.length
      tally.bytesBefore += group.bytes
      tally.filesAfter += added.length
      tally.bytesAfter += added.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    }
  }
  let more = false
  for (const group of groups) {
    more = !hasTime()
    if (more) break
    const rewritten = await tryRewrite(ports, table, group, plan)
    if ('why' in rewritten) leave(group, rewritten)
    else {
      for (const { why, damaged } of rewritten.skipped ?? []) leave(group, { why, damaged, unreadable: true }, 1)
      pending.push(rewritten)
    }
    if (pending.length >= perCommit) await commitPending()
  }
  await commitPending()
  return { ...tally, gaveUp, manifests, more }
}

type Reason = Pick<GivenUp, 'why' | 'unreadable' | 'damaged'>

const raced = (why: GaveUp): Reason => ({ why, unreadable: false, damaged: false })

async function tryRewrite(
  ports: TablePorts,
  table: LoadedTable,
  group: Group,
  { targetFileBytes }: CompactionPlan,
): Promise<Rewritten | Reason> {
  const { objects, random } = ports
  try {
    return (await rewriteGroup({ table, objects, random, group, targetFileBytes })) ?? (await whyGone(ports, table.id, group))
  } catch (error) {
    if (!isUnreadable(error)) throw error
    return { why: messageOf(error), unreadable: true, damaged: isKind(error, 'Corrupt') }
  }
}

/** A file of a group is not there: others replaced it, or it was lost, and the table names it still. */
async function whyGone(ports: TablePorts, id: TableId, { files }: Group): Promise<Reason> {
  const locations = files.map(({ file }) => file.filePath)
  const sizes = await inParallel(locations, (location) => ports.objects.size(location))
  const gone = locations.filter((_, i) => sizes[i] === undefined)
  // Looked at after the files: what is live now was never to be deleted.
  const { data } = await readTable(ports, id, 'compact', ({ metadata }) => readSnapshot(ports.objects, metadata))
  const live = new Set(data.map(({ file }) => file.filePath))
  const lost = gone.find((location) => live.has(location))
  if (lost === undefined) return raced('its files were replaced or deleted')
  const why = `Cannot compact ${lost}: expected the file that the table names, found none. Restore the file.`
  return { why, unreadable: true, damaged: true }
}

/** What merging the manifests of a table did. */
export interface ManifestsReport {
  readonly before: number
  readonly after: number
}

/**
 * Merges the small manifests of a table, in order of partitions, where they are many, or `always`: a reader opens fewer, and each
 * tells it more. Rows and files stay as they are.
 */
export async function mergeManifests(ports: TablePorts, id: TableId, always = false): Promise<ManifestsReport> {
  const { objects } = ports
  let before: number | undefined
  return changeTable<ManifestsReport>(ports, id, 'merge the manifests of', async (table, { unknown }) => {
    const { metadata } = table
    const snapshot = currentSnapshot(metadata)
    const manifests = snapshot === undefined ? [] : (await manifestsOf(objects, snapshot)).filter(hasLiveFiles)
    before ??= manifests.length
    // Where a merge may have landed already once is enough: what cannot be merged further would be written for ever.
    const told = always && !unknown && manifests.length > 1
    if (!told && !worthMerging(metadata, manifests)) return { verdict: 'Done', result: { before, after: manifests.length } }
    const to = await replaceFiles({
      ...snapshotOptions(ports, table),
      operation: 'replace',
      remove: new Set(),
      add: [],
      mergeManifests: true,
    })
    return { verdict: 'Swap', to, result: { before: to.manifestsBefore, after: to.manifestsAfter } }
  })
}
