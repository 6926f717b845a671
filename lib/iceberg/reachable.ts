import type { Objects } from '../ports/objects.ts'
import { DELETED } from './manifest.ts'
import type { ManifestFile } from './manifest-list.ts'
import { objectLocation } from './paths.ts'
import { entriesOf, hasLiveFiles, inParallel, manifestsOf } from './snapshot.ts'
import type { Snapshot, StatisticsFile, TableMetadata } from './types.ts'

/** Locations as the Objects port names them. */
export type Locations = ReadonlySet<string>

/**
 * Every file that some of a table's snapshots need: manifest lists, manifests, live data and delete files, statistics. All
 * snapshots unless some are named; a file that only an entry with status DELETED names is needed by none of them. Each manifest
 * is read once, however many snapshots share it. Memory: a string per file. Throws `Corrupt` when a manifest or its list is
 * gone: nothing may be concluded then.
 */
export async function reachableFiles(
  objects: Objects,
  metadata: TableMetadata,
  snapshots: readonly Snapshot[] = metadata.snapshots,
): Promise<Locations> {
  const reached = new Set<string>()
  const manifests = new Map<string, ManifestFile>()
  for (const list of await inParallel(snapshots, (snapshot) => manifestsOf(objects, snapshot)))
    for (const manifest of list) manifests.set(objectLocation(manifest.path), manifest)
  for (const { 'manifest-list': list } of snapshots) reached.add(objectLocation(list))
  await inParallel([...manifests.values()], async (manifest) => {
    reached.add(objectLocation(manifest.path))
    if (!hasLiveFiles(manifest)) return
    for (const { status, file } of await entriesOf(objects, metadata, manifest))
      if (status !== DELETED) reached.add(objectLocation(file.filePath))
  })
  const ids = new Set(snapshots.map((snapshot) => snapshot['snapshot-id']))
  for (const file of statisticsOf(metadata))
    if (ids.has(file['snapshot-id'])) reached.add(objectLocation(file['statistics-path']))
  return reached
}

/** The metadata file itself and the earlier ones that its log names. */
export function reachableMetadata(metadata: TableMetadata, location: string): Locations {
  return new Set([location, ...metadata['metadata-log'].map((entry) => entry['metadata-file'])].map(objectLocation))
}

function statisticsOf(metadata: TableMetadata): readonly StatisticsFile[] {
  return [...(metadata.statistics ?? []), ...(metadata['partition-statistics'] ?? [])]
}
