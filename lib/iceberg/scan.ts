import { corrupt, refused } from '../errors.ts'
import type { Catalog, TableId, TablePointer } from '../ports/catalog.ts'
import type { Objects } from '../ports/objects.ts'
import { CONTENT_DATA, type DataFile } from './data-file.ts'
import { ADDED, DELETED, DELETES_MANIFEST, type ManifestEntry, readManifest } from './manifest.ts'
import { type ManifestFile, readManifestList } from './manifest-list.ts'
import { currentSnapshot, parseMetadata, snapshotById, specById } from './metadata.ts'
import { objectLocation } from './paths.ts'
import type { Snapshot, TableMetadata } from './types.ts'

/** Manifests read at a time. */
const MAX_PARALLEL_READS = 8

export interface LoadedTable {
  readonly id: TableId
  /** What a swap is compared against. */
  readonly pointer: TablePointer
  readonly metadata: TableMetadata
}

/**
 * Parsed metadata by location. A metadata file never changes, so what was parsed once need not be read again; the pointer is
 * always asked for. A committer that also puts in what it just swapped to reads no metadata at all.
 */
export interface MetadataCache {
  get(location: string): TableMetadata | undefined
  set(location: string, metadata: TableMetadata): void
}

/** Keeps the `maxEntries` files last used. */
export function metadataCache(maxEntries = 32): MetadataCache {
  const entries = new Map<string, TableMetadata>()
  return {
    get(location) {
      const metadata = entries.get(location)
      if (metadata !== undefined) {
        entries.delete(location)
        entries.set(location, metadata)
      }
      return metadata
    },
    set(location, metadata) {
      entries.delete(location)
      entries.set(location, metadata)
      const [oldest] = entries.keys()
      if (entries.size > maxEntries && oldest !== undefined) entries.delete(oldest)
    },
  }
}

/** A table as the catalog names it now; undefined when it has none of this name. Throws `Corrupt` when its metadata is gone. */
export async function loadTable(
  catalog: Catalog,
  objects: Objects,
  id: TableId,
  cache?: MetadataCache,
): Promise<LoadedTable | undefined> {
  const pointer = await catalog.load(id)
  if (pointer === undefined) return undefined
  const known = cache?.get(pointer.metadataLocation)
  if (known !== undefined) return { id, pointer, metadata: known }
  const bytes = await objects.get(objectLocation(pointer.metadataLocation))
  if (bytes === undefined)
    throw corrupt(
      `Cannot read table ${id.namespace}.${id.name}: expected its metadata at ${pointer.metadataLocation}, found nothing. Restore the file.`,
    )
  const metadata = parseMetadata(bytes, pointer.metadataLocation)
  cache?.set(pointer.metadataLocation, metadata)
  return { id, pointer, metadata }
}

/** A live data file of a snapshot, its inherited numbers filled in. */
export interface ScanFile {
  readonly file: DataFile
  /** The data sequence number: which deletes concern it. */
  readonly sequenceNumber: bigint
  readonly fileSequenceNumber: bigint
  /** The snapshot that added it. */
  readonly snapshotId: bigint
}

/**
 * The live data files of a snapshot, the current one unless another is named; none for a table without a snapshot. Throws
 * `Refused` for an unknown snapshot and for one with delete files, which this version does not apply.
 */
export async function planFiles(objects: Objects, metadata: TableMetadata, snapshotId?: bigint): Promise<readonly ScanFile[]> {
  const snapshot = snapshotId === undefined ? currentSnapshot(metadata) : snapshotById(metadata, snapshotId)
  if (snapshot === undefined) {
    if (snapshotId === undefined) return []
    throw refused(
      `Cannot read snapshot ${snapshotId} of ${metadata.location}: expected one of its snapshots. It may have expired; list them with "snapshots".`,
    )
  }
  const living = (await manifestsOf(objects, snapshot)).filter((manifest) => manifest.addedFiles + manifest.existingFiles > 0)
  if (living.some((manifest) => manifest.content === DELETES_MANIFEST))
    throw refused(
      `Cannot read ${metadata.location}: expected data files only, found delete files. Rewrite the table with the engine that wrote them.`,
    )
  const files: ScanFile[] = []
  for (let at = 0; at < living.length; at += MAX_PARALLEL_READS) {
    const read = await Promise.all(
      living.slice(at, at + MAX_PARALLEL_READS).map((manifest) => entriesOf(objects, metadata, manifest)),
    )
    for (const entries of read) for (const entry of entries) if (entry.status !== DELETED) files.push(scanFile(entry))
  }
  return files
}

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

function scanFile({ file, sequenceNumber, fileSequenceNumber, snapshotId }: ManifestEntry): ScanFile {
  if (file.content !== CONTENT_DATA || sequenceNumber === null || fileSequenceNumber === null || snapshotId === null)
    throw corrupt(`Cannot read ${file.filePath}: expected a data file with its sequence numbers.`)
  return { file: { ...file, filePath: objectLocation(file.filePath) }, sequenceNumber, fileSequenceNumber, snapshotId }
}

/** A snapshot as tools show it. */
export interface SnapshotInfo {
  readonly id: bigint
  readonly parent: bigint | undefined
  readonly sequenceNumber: bigint
  readonly timestampMs: number
  readonly operation: string | undefined
  readonly summary: Readonly<Record<string, string>>
  readonly current: boolean
}

/** All snapshots the table still has, in the order they were committed. */
export function snapshots(metadata: TableMetadata): readonly SnapshotInfo[] {
  return metadata.snapshots
    .map((snapshot) => ({
      id: snapshot['snapshot-id'],
      parent: snapshot['parent-snapshot-id'],
      sequenceNumber: snapshot['sequence-number'],
      timestampMs: snapshot['timestamp-ms'],
      operation: snapshot.summary.operation,
      summary: snapshot.summary,
      current: snapshot['snapshot-id'] === metadata['current-snapshot-id'],
    }))
    .sort((a, b) =>
      a.sequenceNumber < b.sequenceNumber ? -1 : a.sequenceNumber > b.sequenceNumber ? 1 : a.timestampMs - b.timestampMs,
    )
}

/**
 * The snapshot that was current at a time (milliseconds), by the table's log: what `FOR TIMESTAMP AS OF` means. Undefined
 * when the table had none yet, or when the log does not reach that far back.
 */
export function snapshotAsOf(metadata: TableMetadata, timestampMs: number): bigint | undefined {
  return metadata['snapshot-log'].findLast((entry) => entry['timestamp-ms'] <= timestampMs)?.['snapshot-id']
}
