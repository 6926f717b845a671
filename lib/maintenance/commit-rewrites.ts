import { type Changes, changeTable, deleteIfPossible, snapshotOptions, type TablePorts } from '../iceberg/change.ts'
import type { DataFile } from '../iceberg/data-file.ts'
import { objectLocation } from '../iceberg/paths.ts'
import { replaceFiles } from '../iceberg/replace.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import { hasLiveFiles, readSnapshot, type SnapshotFiles } from '../iceberg/snapshot.ts'
import type { TableId } from '../ports/catalog.ts'
import type { Objects } from '../ports/objects.ts'
import { fenceOf } from './fence.ts'
import { concerns } from './plan-compaction.ts'
import type { Rewritten } from './rewrite-group.ts'

/** Why a group that was rewritten is not committed: its files stay as they are. */
export type GaveUp =
  | 'its files were replaced or deleted'
  | 'new deletes concern its files'
  | 'orphans were swept meanwhile'
  | 'what was written is gone'

export interface CommittedRewrites {
  readonly committed: readonly Rewritten[]
  readonly gaveUp: readonly { readonly rewritten: Rewritten; readonly why: GaveUp }[]
  /** Live ones of the table, before and after. */
  readonly manifestsBefore: number
  readonly manifestsAfter: number
}

/**
 * Puts rewritten files in the place of those they were made from, all groups in one swap; on each base anew only those whose
 * inputs are all live there and that no delete concerns which came since (protocol rule 18). A group that gives up loses
 * nothing: its files stay. What it wrote is deleted, if it is certain that no table names it, else left to the sweep of
 * orphans.
 *
 * @param plannedAt sequence number of the snapshot that was read: that of the new files, so that later deletes still concern them
 */
export async function commitRewrites(
  ports: TablePorts,
  id: TableId,
  rewrites: readonly Rewritten[],
  plannedAt: bigint,
): Promise<CommittedRewrites> {
  let certain = true
  const result = await changeTable<CommittedRewrites>(ports, id, 'compact', async (table, { unknown }) => {
    certain = !unknown
    return decide(ports, table, rewrites, plannedAt)
  })
  if (certain)
    for (const { rewritten } of result.gaveUp)
      for (const { filePath } of rewritten.added) await deleteIfPossible(ports.objects, filePath)
  return result
}

async function decide(
  ports: TablePorts,
  table: LoadedTable,
  rewrites: readonly Rewritten[],
  plannedAt: bigint,
): Promise<Changes<CommittedRewrites>> {
  const { objects } = ports
  const { metadata } = table
  const base = await readSnapshot(objects, metadata)
  const live = new Set(base.data.map(({ file }) => file.filePath))
  const due: Rewritten[] = []
  const done: Rewritten[] = []
  const gaveUp: { rewritten: Rewritten; why: GaveUp }[] = []
  for (const rewritten of rewrites) {
    const why = await whyNot(objects, metadata, base, live, rewritten, plannedAt)
    if (why === 'done') done.push(rewritten)
    else if (why === undefined) due.push(rewritten)
    else gaveUp.push({ rewritten, why })
  }
  const manifestsBefore = base.manifests.filter(hasLiveFiles).length
  if (due.length === 0)
    return { verdict: 'Done', result: { committed: done, gaveUp, manifestsBefore, manifestsAfter: manifestsBefore } }
  const to = await replaceFiles({
    ...snapshotOptions(ports, table),
    operation: 'replace',
    remove: new Set(due.flatMap(({ group }) => group.files.map(({ file }) => file.filePath))),
    add: due.flatMap(({ added }) => added),
    addSequenceNumber: plannedAt,
  })
  const { manifestsAfter } = to
  return { verdict: 'Swap', to, result: { committed: [...done, ...due], gaveUp, manifestsBefore, manifestsAfter } }
}

/** Undefined: it may be committed on this base. `done`: it is. */
async function whyNot(
  objects: Objects,
  metadata: LoadedTable['metadata'],
  base: SnapshotFiles,
  live: ReadonlySet<string>,
  { group, added, fence }: Rewritten,
  plannedAt: bigint,
): Promise<GaveUp | 'done' | undefined> {
  if (added.length > 0 && added.every(({ filePath }) => live.has(objectLocation(filePath)))) return 'done'
  if (!group.files.every(({ file }) => live.has(file.filePath))) return 'its files were replaced or deleted'
  const deletes = base.deletes.filter(({ sequenceNumber }) => sequenceNumber > plannedAt)
  if (group.files.some((file) => deletes.some((one) => concerns(metadata, one, file)))) return 'new deletes concern its files'
  if (fenceOf(metadata) !== fence) return 'orphans were swept meanwhile'
  return (await allThere(objects, added)) ? undefined : 'what was written is gone'
}

/** Never commit a table that cannot be read (protocol rule 13). */
async function allThere(objects: Objects, files: readonly DataFile[]): Promise<boolean> {
  for (const { filePath, sizeBytes } of files) if ((await objects.size(filePath)) !== sizeBytes) return false
  return true
}
