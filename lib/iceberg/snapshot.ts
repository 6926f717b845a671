import { corrupt, refused } from '../errors.ts'
import type { Objects } from '../ports/objects.ts'
import { CONTENT_DATA, type DataFile } from './data-file.ts'
import { ADDED, DATA_MANIFEST, DELETED, type ManifestEntry, readManifest } from './manifest.ts'
import { type ManifestFile, readManifestList } from './manifest-list.ts'
import { currentSnapshot, snapshotById, specById } from './metadata.ts'
import { objectLocation } from './paths.ts'
import type { Snapshot, TableMetadata } from './types.ts'

/** Small objects read at a time. */
const MAX_PARALLEL_READS = 8

/** A live file of a snapshot, data or deletes, its inherited numbers filled in. */
export interface ScanFile {
  readonly file: DataFile
  /** The data sequence number: which deletes concern it. */
  readonly sequenceNumber: bigint
  readonly fileSequenceNumber: bigint
  /** The snapshot that added it. */
  readonly snapshotId: bigint
}

/** What a snapshot holds. */
export interface SnapshotFiles {
  /** As its manifest list has them, those without live files too. */
  readonly manifests: readonly ManifestFile[]
  readonly data: readonly ScanFile[]
  /** Position and equality deletes. */
  readonly deletes: readonly ScanFile[]
}

/**
 * All live files of a snapshot, the current one unless another is named; none for a table without a snapshot. Throws `Refused`
 * for an unknown snapshot.
 */
export async function readSnapshot(objects: Objects, metadata: TableMetadata, snapshotId?: bigint): Promise<SnapshotFiles> {
  const snapshot = snapshotId === undefined ? currentSnapshot(metadata) : snapshotById(metadata, snapshotId)
  if (snapshot === undefined) {
    if (snapshotId === undefined) return { manifests: [], data: [], deletes: [] }
    throw refused(
      `Cannot read snapshot ${snapshotId} of ${metadata.location}: expected one of its snapshots. It may have expired; list them with "snapshots".`,
    )
  }
  const manifests = await manifestsOf(objects, snapshot)
  const living = manifests.filter(hasLiveFiles)
  const data: ScanFile[] = []
  const deletes: ScanFile[] = []
  const read = await inParallel(living, (manifest) => entriesOf(objects, metadata, manifest))
  for (const [i, entries] of read.entries()) {
    const files = living[i].content === DATA_MANIFEST ? data : deletes
    for (const entry of entries) if (entry.status !== DELETED) files.push(scanFile(entry, living[i]))
  }
  return { manifests, data, deletes }
}

/** What `read` makes of each, in their order; a few at a time. */
export async function inParallel<T, R>(items: readonly T[], read: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let at = 0; at < items.length; at += MAX_PARALLEL_READS)
    results.push(...(await Promise.all(items.slice(at, at + MAX_PARALLEL_READS).map(read))))
  return results
}

export const hasLiveFiles = ({ addedFiles, existingFiles }: ManifestFile): boolean => addedFiles + existingFiles > 0

/** The manifests of a snapshot. Throws `Corrupt` when the manifest list is gone. */
export async function manifestsOf(objects: Objects, snapshot: Snapshot): Promise<readonly ManifestFile[]> {
  const location = snapshot['manifest-list']
  const bytes = await objects.get(objectLocation(location))
  if (bytes === undefined)
    throw corrupt(
      `Cannot read snapshot ${snapshot['snapshot-id']}: expected its manifest list at ${location}, found nothing. Restore the file.`,
    )
  return readManifestList(bytes, location)
}

/** The entries of a manifest, deleted ones too, with what they inherit from its place in the list filled in. */
export async function entriesOf(
  objects: Objects,
  metadata: TableMetadata,
  manifest: ManifestFile,
): Promise<readonly ManifestEntry[]> {
  const bytes = await objects.get(objectLocation(manifest.path))
  if (bytes === undefined)
    throw corrupt(`Cannot read ${metadata.location}: expected a manifest at ${manifest.path}, found nothing. Restore the file.`)
  return readManifest(bytes, specById(metadata, manifest.specId), manifest.path).map((entry) => inherited(entry, manifest))
}

/** Spec, "Sequence Number Inheritance". Manifests of version 1 have number 0 and so do their files, whatever their status. */
function inherited(entry: ManifestEntry, manifest: ManifestFile): ManifestEntry {
  const inherits = entry.status === ADDED || manifest.sequenceNumber === 0n
  if (!inherits && (entry.sequenceNumber === null || entry.fileSequenceNumber === null))
    throw corrupt(
      `Cannot read manifest ${manifest.path}: expected sequence numbers for ${entry.file.filePath}, which is not new, found none.`,
    )
  return {
    ...entry,
    snapshotId: entry.snapshotId ?? manifest.addedSnapshotId,
    sequenceNumber: entry.sequenceNumber ?? manifest.sequenceNumber,
    fileSequenceNumber: entry.fileSequenceNumber ?? manifest.sequenceNumber,
  }
}

function scanFile({ file, sequenceNumber, fileSequenceNumber, snapshotId }: ManifestEntry, { content }: ManifestFile): ScanFile {
  if (
    (content === DATA_MANIFEST && file.content !== CONTENT_DATA) ||
    sequenceNumber === null ||
    fileSequenceNumber === null ||
    snapshotId === null
  )
    throw corrupt(`Cannot read ${file.filePath}: expected a file of its manifest's kind with its sequence numbers.`)
  const filePath = objectLocation(file.filePath)
  // What a delete names is compared with files' own locations.
  const referencedDataFile = file.referencedDataFile === undefined ? undefined : objectLocation(file.referencedDataFile)
  return { file: { ...file, filePath, referencedDataFile }, sequenceNumber, fileSequenceNumber, snapshotId }
}
