import { corrupt } from '../errors.ts'
import type { Objects } from '../ports/objects.ts'
import type { Random } from '../ports/time.ts'
import { newSnapshotId, nextTimestamp, summaryOf, uuidBytes, withSnapshot } from './commit.ts'
import { CONTENT_DATA, type DataFile } from './data-file.ts'
import { ADDED, type ManifestEntry, writeManifest } from './manifest.ts'
import { type ManifestFile, manifestFile, writeManifestList } from './manifest-list.ts'
import { currentSchema, currentSnapshot, serializeMetadata, specById } from './metadata.ts'
import { partitionKeyOf } from './partition-value.ts'
import { manifestListLocation, manifestLocation, metadataLocation, nextVersion } from './paths.ts'
import { manifestsOf } from './scan.ts'
import type { Snapshot, TableMetadata } from './types.ts'

export interface AppendFiles {
  /** The base: what the caller's swap will compare against. */
  readonly metadata: TableMetadata
  readonly metadataLocation: string
  readonly objects: Objects
  readonly random: Random
  readonly nowMs: number
  /** New to the table. None is fine: the snapshot then only carries summary and properties (protocol rule 12). */
  readonly files: readonly DataFile[]
  /** The caller's own summary fields; the standard ones are added. */
  readonly summary: Readonly<Record<string, string>>
  /** Table properties to set in the same swap. */
  readonly properties: Readonly<Record<string, string>>
}

export interface Prepared {
  readonly metadata: TableMetadata
  /** Of the new metadata file: what to swap to. */
  readonly location: string
  /** Of that file. Glue takes no more than 20 MB. */
  readonly metadataBytes: number
}

/**
 * Writes all that a fast append needs (spec, "Snapshots", operation `append`): a manifest per partition spec among `files`, a manifest list that carries the
 * existing manifests over, and the new metadata file. Nothing is visible before the caller swaps the table's pointer; after a
 * lost swap these files are nobody's. One read and three writes, the writes at once.
 */
export async function appendFiles(options: AppendFiles): Promise<Prepared> {
  const { metadata: base, objects, random, files } = options
  const parent = currentSnapshot(base)
  const snapshotId = newSnapshotId(base, random)
  const sequenceNumber = base['last-sequence-number'] + 1n
  const uuid = random.uuid()
  const sync = uuidBytes(uuid)

  const written = manifests(base, files, snapshotId, sequenceNumber, uuid)
  const carried = parent === undefined ? [] : await manifestsOf(objects, parent)
  // Manifests without live files have nothing left to tell a reader of this snapshot.
  const living = carried.filter((manifest) => manifest.addedFiles + manifest.existingFiles > 0)
  const listLocation = manifestListLocation(base, snapshotId, uuid)
  const list = writeManifestList({
    snapshotId,
    parentSnapshotId: parent?.['snapshot-id'],
    sequenceNumber,
    manifests: [...written.map(({ file }) => file), ...living],
    sync,
  })

  const snapshot: Snapshot = {
    'snapshot-id': snapshotId,
    'parent-snapshot-id': parent?.['snapshot-id'],
    'sequence-number': sequenceNumber,
    'timestamp-ms': nextTimestamp(base, options.nowMs),
    'manifest-list': listLocation,
    summary: { ...options.summary, operation: 'append', ...summaryOf(base, delta(files)) },
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

function manifests(
  base: TableMetadata,
  files: readonly DataFile[],
  snapshotId: bigint,
  sequenceNumber: bigint,
  uuid: string,
): readonly { readonly file: ManifestFile; readonly bytes: Uint8Array }[] {
  const schema = currentSchema(base)
  const bySpec = new Map<number, ManifestEntry[]>()
  for (const file of files) {
    if (file.content !== CONTENT_DATA)
      throw corrupt(`Cannot append ${file.filePath}: expected a data file, found content ${file.content}.`)
    const entries = bySpec.get(file.specId) ?? []
    // Sequence numbers are inherited, so that a manifest could serve another attempt (spec, "Sequence Number Inheritance").
    entries.push({ status: ADDED, snapshotId, sequenceNumber: null, fileSequenceNumber: null, file })
    bySpec.set(file.specId, entries)
  }
  return Array.from(bySpec, ([specId, entries], i) => {
    const spec = specById(base, specId)
    const bytes = writeManifest({ schema, spec, entries, sync: uuidBytes(uuid) })
    const path = manifestLocation(base, uuid, i)
    return { file: manifestFile({ path, sizeBytes: bytes.length, schema, spec, entries, snapshotId, sequenceNumber }), bytes }
  })
}

function delta(files: readonly DataFile[]) {
  let addedRows = 0
  let addedBytes = 0
  const partitions = new Set<string>()
  for (const file of files) {
    addedRows += file.recordCount
    addedBytes += file.sizeBytes
    partitions.add(`${file.specId} ${partitionKeyOf(file.partition)}`)
  }
  return { addedFiles: files.length, addedRows, addedBytes, changedPartitions: partitions.size }
}
