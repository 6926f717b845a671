import { corrupt, refused } from '../errors.ts'
import type { Catalog, TableId, TablePointer } from '../ports/catalog.ts'
import type { Objects } from '../ports/objects.ts'
import { parseMetadata } from './metadata.ts'
import { objectLocation } from './paths.ts'
import { readSnapshot, type ScanFile } from './snapshot.ts'
import type { TableMetadata } from './types.ts'

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
  let pointer = await catalog.load(id)
  let bytes: Uint8Array | undefined
  for (;;) {
    if (pointer === undefined) return undefined
    const known = cache?.get(pointer.metadataLocation)
    if (known !== undefined) return { id, pointer, metadata: known }
    bytes = await objects.get(objectLocation(pointer.metadataLocation))
    if (bytes !== undefined) break
    // Others may have replaced it so often meanwhile that it was let go (protocol rule 20).
    const now = await catalog.load(id)
    if (now?.version === pointer.version)
      throw corrupt(
        `Cannot read table ${id.namespace}.${id.name}: expected its metadata at ${pointer.metadataLocation}, found nothing. Restore the file.`,
      )
    pointer = now
  }
  const metadata = parseMetadata(bytes, pointer.metadataLocation)
  cache?.set(pointer.metadataLocation, metadata)
  return { id, pointer, metadata }
}

/**
 * The live data files of a snapshot, the current one unless another is named; none for a table without a snapshot. Throws
 * `Refused` for an unknown snapshot and for one with delete files, which this version does not apply.
 */
export async function planFiles(objects: Objects, metadata: TableMetadata, snapshotId?: bigint): Promise<readonly ScanFile[]> {
  const { data, deletes } = await readSnapshot(objects, metadata, snapshotId)
  if (deletes.length > 0)
    throw refused(
      `Cannot read ${metadata.location}: expected data files only, found delete files. Rewrite the table with the engine that wrote them.`,
    )
  return data
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
