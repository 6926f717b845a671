import type { Objects } from '../ports/objects.ts'
import type { Random } from '../ports/time.ts'
import { newSnapshotId, nextTimestamp, type SummaryDelta, summaryOf, uuidBytes, withSnapshot } from './commit.ts'
import { CONTENT_DATA } from './data-file.ts'
import { DATA_MANIFEST, DELETES_MANIFEST, type ManifestEntry, writeManifest } from './manifest.ts'
import { type ManifestFile, manifestFile, writeManifestList } from './manifest-list.ts'
import { currentSchema, currentSnapshot, serializeMetadata, specById } from './metadata.ts'
import { manifestListLocation, manifestLocation, metadataLocation, nextVersion } from './paths.ts'
import type { Snapshot, TableMetadata } from './types.ts'

/** What every operation that adds a snapshot is given. */
export interface SnapshotOptions {
  /** The base: what the caller's swap will compare against. */
  readonly metadata: TableMetadata
  readonly metadataLocation: string
  readonly objects: Objects
  readonly random: Random
  readonly nowMs: number
  /** The caller's own summary fields; the standard ones are added. */
  readonly summary: Readonly<Record<string, string>>
  /** Table properties to set in the same swap. */
  readonly properties: Readonly<Record<string, string>>
}

/** A snapshot in the making. */
export interface NewSnapshot {
  readonly base: TableMetadata
  readonly parent: Snapshot | undefined
  readonly snapshotId: bigint
  readonly sequenceNumber: bigint
  /** Names its files. */
  readonly uuid: string
}

export interface WrittenManifest {
  readonly file: ManifestFile
  readonly bytes: Uint8Array
}

export interface Prepared {
  readonly metadata: TableMetadata
  /** Of the new metadata file: what to swap to. */
  readonly location: string
  /** Of that file. Glue takes no more than 20 MB. */
  readonly metadataBytes: number
}

export function newSnapshot({ metadata: base, random }: Pick<SnapshotOptions, 'metadata' | 'random'>): NewSnapshot {
  return {
    base,
    parent: currentSnapshot(base),
    snapshotId: newSnapshotId(base, random),
    sequenceNumber: base['last-sequence-number'] + 1n,
    uuid: random.uuid(),
  }
}

/** A manifest of entries of one spec and kind, at least one; `i` tells it from the snapshot's others. */
export function newManifest(
  { base, snapshotId, sequenceNumber, uuid }: NewSnapshot,
  entries: readonly ManifestEntry[],
  i: number,
): WrittenManifest {
  const schema = currentSchema(base)
  const [{ file }] = entries
  const spec = specById(base, file.specId)
  const content = file.content === CONTENT_DATA ? DATA_MANIFEST : DELETES_MANIFEST
  const bytes = writeManifest({ schema, spec, entries, content, sync: uuidBytes(uuid) })
  const path = manifestLocation(base, uuid, i)
  return {
    file: manifestFile({ path, sizeBytes: bytes.length, schema, spec, entries, content, snapshotId, sequenceNumber }),
    bytes,
  }
}

/**
 * Writes the manifests, the manifest list and the new metadata file, all at once. Nothing is visible before the caller swaps the
 * table's pointer; after a lost swap these files are nobody's.
 */
export async function prepareSnapshot(
  { base, parent, snapshotId, sequenceNumber, uuid }: NewSnapshot,
  options: SnapshotOptions,
  change: {
    readonly operation: string
    readonly written: readonly WrittenManifest[]
    readonly carried: readonly ManifestFile[]
    readonly delta: SummaryDelta
  },
): Promise<Prepared> {
  const { objects, random } = options
  const { operation, written, carried, delta } = change
  const listLocation = manifestListLocation(base, snapshotId, uuid)
  const list = writeManifestList({
    snapshotId,
    parentSnapshotId: parent?.['snapshot-id'],
    sequenceNumber,
    manifests: [...written.map(({ file }) => file), ...carried],
    sync: uuidBytes(uuid),
  })
  const snapshot: Snapshot = {
    'snapshot-id': snapshotId,
    'parent-snapshot-id': parent?.['snapshot-id'],
    'sequence-number': sequenceNumber,
    'timestamp-ms': nextTimestamp(base, options.nowMs),
    'manifest-list': listLocation,
    summary: { ...options.summary, operation, ...summaryOf(base, delta) },
    'schema-id': base['current-schema-id'],
  }
  const metadata = withSnapshot({ base, baseLocation: options.metadataLocation, snapshot, properties: options.properties })
  const location = metadataLocation(metadata, nextVersion(options.metadataLocation), random.uuid())
  const serialized = serializeMetadata(metadata)
  await Promise.all([
    ...written.map(({ file, bytes }) => objects.put(file.path, [bytes])),
    objects.put(listLocation, [list]),
    objects.put(location, [serialized]),
  ])
  return { metadata, location, metadataBytes: serialized.length }
}
