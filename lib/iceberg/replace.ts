import { corrupt, refused } from '../errors.ts'
import type { Objects } from '../ports/objects.ts'
import { badlyClustered, wideManifests } from './clustering.ts'
import { countsOf, partitionsOf, type SummaryDelta } from './commit.ts'
import { CONTENT_DATA, CONTENT_POSITION_DELETES, type DataFile } from './data-file.ts'
import { ADDED, DELETED, EXISTING, type ManifestEntry } from './manifest.ts'
import type { ManifestFile } from './manifest-list.ts'
import { comparePartitionValues, type PartitionValue } from './partition-value.ts'
import { objectLocation } from './paths.ts'
import { newManifest, newSnapshot, type Prepared, prepareSnapshot, type SnapshotOptions } from './prepare.ts'
import { entriesOf, hasLiveFiles, inParallel, manifestsOf } from './snapshot.ts'
import type { TableMetadata } from './types.ts'

/** Iceberg's default of `commit.manifest.target-size-bytes`. */
const MANIFEST_TARGET_BYTES = 8 << 20
/** Manifests below half of the target are merged once there are so many; Iceberg's own appends merge at 100. */
const MANY_SMALL_MANIFESTS = 50

export interface ReplaceFiles extends SnapshotOptions {
  /** Spec, snapshot summary `operation`: `replace` keeps the rows as they are, `delete` only removes files. */
  readonly operation: 'replace' | 'delete'
  /** Locations of live files, data or deletes, as `readSnapshot` has them. */
  readonly remove: ReadonlySet<string>
  /** Data files. */
  readonly add: readonly DataFile[]
  /**
   * The data sequence number of `add`: that of the snapshot whose files they were made from, so that deletes which came since
   * still concern them. @default this commit's own
   */
  readonly addSequenceNumber?: bigint
  /** Merges all small manifests, however few. @default false */
  readonly mergeManifests?: boolean
}

export interface Replaced extends Prepared {
  readonly snapshotId: bigint
  readonly manifestsBefore: number
  readonly manifestsAfter: number
  readonly removed: readonly DataFile[]
}

interface Living {
  readonly manifest: ManifestFile
  /** Undefined: carried over as it is. */
  readonly entries: readonly ManifestEntry[] | undefined
}

/**
 * Writes all that a snapshot needs which takes files out of a table and puts others in: manifests for what is added and
 * removed, the manifests that held what is removed written anew, merged with other small ones and in order of partitions,
 * manifest list and metadata. With nothing to add or remove it only merges manifests. Nothing is visible before the caller
 * swaps the table's pointer. Throws `Corrupt` when a file to remove is not live, or when a `replace` would change the number of
 * rows: the caller decides on the same base.
 */
export async function replaceFiles(options: ReplaceFiles): Promise<Replaced> {
  const { metadata: base, objects, add, remove, operation } = options
  const snapshot = newSnapshot(options)
  const { parent, snapshotId } = snapshot
  if (parent === undefined)
    throw corrupt(`Cannot replace files of ${base.location}: expected a snapshot with them, found an empty table.`)
  const manifests = (await manifestsOf(objects, parent)).filter(hasLiveFiles)
  const living = await readTouched(objects, base, manifests, options)
  const removed: ManifestEntry[] = []
  const kept: ManifestEntry[] = []
  for (const entry of living.flatMap(({ entries }) => entries ?? [])) {
    if (entry.status === DELETED) continue
    if (remove.has(objectLocation(entry.file.filePath))) removed.push({ ...entry, status: DELETED, snapshotId })
    else kept.push({ ...entry, status: EXISTING })
  }
  const removedFiles = removed.map(({ file }) => file)
  assertSound(options, removedFiles)

  const added: ManifestEntry[] = add.map((file) => ({
    status: ADDED,
    snapshotId,
    sequenceNumber: options.addSequenceNumber ?? null,
    fileSequenceNumber: null,
    file,
  }))
  const keptBytes = living.reduce((sum, { manifest, entries }) => sum + (entries === undefined ? 0 : manifest.sizeBytes), 0)
  const most = entriesPerManifest(base, keptBytes, kept.length + removed.length)
  const groups = [...bySpec(added), ...bySpec(removed), ...bySpec(kept, most)]
  const written = groups.map((entries, i) => newManifest(snapshot, entries, i))
  const carried = living.filter(({ entries }) => entries === undefined).map(({ manifest }) => manifest)
  const prepared = await prepareSnapshot(snapshot, options, { operation, written, carried, delta: deltaOf(add, removedFiles) })
  return {
    ...prepared,
    snapshotId,
    manifestsBefore: manifests.length,
    manifestsAfter: [...written.map(({ file }) => file), ...carried].filter(hasLiveFiles).length,
    removed: removedFiles,
  }
}

/**
 * True when a snapshot's small manifests are so many, or its manifests so badly clustered, that readers gain by writing them
 * anew.
 */
export function worthMerging(metadata: TableMetadata, manifests: readonly ManifestFile[]): boolean {
  const living = manifests.filter(hasLiveFiles)
  return (
    living.filter((manifest) => isSmallManifest(metadata, manifest)).length >= MANY_SMALL_MANIFESTS ||
    badlyClustered(metadata, living)
  )
}

/** Reads the manifests that hold what is removed, and the small ones when they are to be merged. */
async function readTouched(
  objects: Objects,
  base: TableMetadata,
  manifests: readonly ManifestFile[],
  { remove, mergeManifests = false }: ReplaceFiles,
): Promise<readonly Living[]> {
  const merge = mergeManifests || worthMerging(base, manifests)
  const wide = new Set(badlyClustered(base, manifests) ? wideManifests(base, manifests) : [])
  const wanted = (manifest: ManifestFile) => merge && (isSmallManifest(base, manifest) || wide.has(manifest))
  return inParallel(manifests, async (manifest) => {
    if (remove.size === 0 && !wanted(manifest)) return { manifest, entries: undefined }
    const entries = await entriesOf(objects, base, manifest)
    const touched = entries.some(({ status, file }) => status !== DELETED && remove.has(objectLocation(file.filePath)))
    return { manifest, entries: touched || wanted(manifest) ? entries : undefined }
  })
}

/** Below half of the size that the table's manifests should have. */
export const isSmallManifest = (base: TableMetadata, { sizeBytes }: ManifestFile): boolean =>
  sizeBytes < manifestTargetBytes(base) / 2

function manifestTargetBytes({ properties }: TableMetadata): number {
  const bytes = Number(properties['commit.manifest.target-size-bytes'] ?? MANIFEST_TARGET_BYTES)
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : MANIFEST_TARGET_BYTES
}

function entriesPerManifest(base: TableMetadata, bytes: number, entries: number): number {
  if (entries === 0) return Number.POSITIVE_INFINITY
  return Math.max(1, Math.floor((manifestTargetBytes(base) * entries) / Math.max(1, bytes)))
}

function assertSound({ metadata, operation, remove, add }: ReplaceFiles, removed: readonly DataFile[]): void {
  const { location } = metadata
  if (removed.length !== remove.size)
    throw corrupt(`Cannot replace files of ${location}: expected ${remove.size} live files to remove, found ${removed.length}.`)
  const other = add.find(({ content }) => content !== CONTENT_DATA)
  if (other !== undefined) throw corrupt(`Cannot add ${other.filePath}: expected a data file, found content ${other.content}.`)
  const [before, after] = [countsOf(removed.filter(isData)).rows, countsOf(add).rows]
  if (operation === 'replace' && before !== after)
    throw corrupt(`Cannot rewrite files of ${location}: expected the ${before} rows that were read, found ${after} written.`)
  if (operation === 'delete' && add.length > 0)
    throw refused(`Cannot delete files of ${location}: expected no file to add, found ${add.length}.`)
}

const isData = ({ content }: DataFile): boolean => content === CONTENT_DATA

function deltaOf(add: readonly DataFile[], removed: readonly DataFile[]): SummaryDelta {
  const deletes = removed.filter((file) => !isData(file))
  const rowsOf = (positions: boolean) =>
    countsOf(deletes.filter(({ content }) => (content === CONTENT_POSITION_DELETES) === positions)).rows
  return {
    added: countsOf(add),
    removed: countsOf(removed.filter(isData)),
    removedDeletes: {
      files: deletes.length,
      positions: rowsOf(true),
      equalities: rowsOf(false),
      bytes: countsOf(deletes).bytes,
    },
    changedPartitions: partitionsOf([...add, ...removed]).size,
  }
}

/** Entries that may share a manifest, at most `most` in each, in order of their partitions: each manifest covers few of them. */
function bySpec(entries: readonly ManifestEntry[], most = Number.POSITIVE_INFINITY): ManifestEntry[][] {
  const groups = new Map<string, ManifestEntry[]>()
  for (const entry of entries) {
    const kind = `${entry.file.specId} ${isData(entry.file)}`
    const group = groups.get(kind)
    if (group === undefined) groups.set(kind, [entry])
    else group.push(entry)
  }
  return [...groups.values()].flatMap((group) => {
    group.sort((a, b) => comparePartitions(a.file.partition, b.file.partition))
    const pieces: ManifestEntry[][] = []
    for (let at = 0; at < group.length; at += most) pieces.push(group.slice(at, at + most))
    return pieces
  })
}

function comparePartitions(a: readonly PartitionValue[], b: readonly PartitionValue[]): number {
  for (const [i, value] of a.entries()) {
    const other = b[i]
    if (value === null || other === null) {
      if (value !== other) return value === null ? -1 : 1
      continue
    }
    const order = comparePartitionValues(value, other)
    if (order !== 0) return order
  }
  return 0
}
