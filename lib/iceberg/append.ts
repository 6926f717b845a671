import { corrupt } from '../errors.ts'
import { countsOf, NO_DELETES, NONE, partitionsOf } from './commit.ts'
import { CONTENT_DATA, type DataFile } from './data-file.ts'
import { ADDED, type ManifestEntry } from './manifest.ts'
import { type NewSnapshot, newManifest, newSnapshot, type Prepared, prepareSnapshot, type SnapshotOptions } from './prepare.ts'
import { hasLiveFiles, manifestsOf } from './snapshot.ts'

export interface AppendFiles extends SnapshotOptions {
  /** New to the table. None is fine: the snapshot then only carries summary and properties (protocol rule 12). */
  readonly files: readonly DataFile[]
}

/**
 * Writes all that a fast append needs (spec, "Snapshots", operation `append`): a manifest per partition spec among `files`, a
 * manifest list that carries the existing manifests over, and the new metadata file. Nothing is visible before the caller swaps
 * the table's pointer; after a lost swap these files are nobody's. One read and three writes, the writes at once.
 */
export async function appendFiles(options: AppendFiles): Promise<Prepared> {
  const { objects, files } = options
  const snapshot = newSnapshot(options)
  const written = bySpec(files, snapshot).map((entries, i) => newManifest(snapshot, entries, i))
  const carried = snapshot.parent === undefined ? [] : await manifestsOf(objects, snapshot.parent)
  return prepareSnapshot(snapshot, options, {
    operation: 'append',
    written,
    // Manifests without live files have nothing left to tell a reader of this snapshot.
    carried: carried.filter(hasLiveFiles),
    delta: { added: countsOf(files), removed: NONE, removedDeletes: NO_DELETES, changedPartitions: partitionsOf(files).size },
  })
}

function bySpec(files: readonly DataFile[], { snapshotId }: NewSnapshot): readonly ManifestEntry[][] {
  const groups = new Map<number, ManifestEntry[]>()
  for (const file of files) {
    if (file.content !== CONTENT_DATA)
      throw corrupt(`Cannot append ${file.filePath}: expected a data file, found content ${file.content}.`)
    const entries = groups.get(file.specId) ?? []
    // Sequence numbers are inherited, so that a manifest could serve another attempt (spec, "Sequence Number Inheritance").
    entries.push({ status: ADDED, snapshotId, sequenceNumber: null, fileSequenceNumber: null, file })
    groups.set(file.specId, entries)
  }
  return [...groups.values()]
}
