import { batchOf, rowsOf } from '../../../lib/columns/operations.ts'
import type { Field } from '../../../lib/columns/schema.ts'
import { countsOf, NO_DELETES, NONE, nextTimestamp, partitionOf, withProperties } from '../../../lib/iceberg/commit.ts'
import { CONTENT_POSITION_DELETES, type DataFile, dataFile } from '../../../lib/iceberg/data-file.ts'
import { writtenFields } from '../../../lib/iceberg/evolve.ts'
import { ADDED, DELETED, EXISTING, type ManifestEntry } from '../../../lib/iceberg/manifest.ts'
import { currentSnapshot, serializeMetadata } from '../../../lib/iceberg/metadata.ts'
import { dataDir, metadataLocation, nextVersion } from '../../../lib/iceberg/paths.ts'
import { newManifest, newSnapshot, prepareSnapshot } from '../../../lib/iceberg/prepare.ts'
import { type LoadedTable, loadTable } from '../../../lib/iceberg/scan.ts'
import { entriesOf, hasLiveFiles, manifestsOf, readSnapshot, type ScanFile } from '../../../lib/iceberg/snapshot.ts'
import type { TableMetadata } from '../../../lib/iceberg/types.ts'
import { parquetFiles } from '../../../lib/parquet/files.ts'
import { readParquet } from '../../../lib/parquet/reader.ts'
import type { TableId } from '../../../lib/ports/catalog.ts'
import type { Objects } from '../../../lib/ports/objects.ts'
import type { Random } from '../../../lib/ports/time.ts'
import type { Rng } from '../kernel.ts'
import type { Event, Stores } from '../ports.ts'

/** What other engines do to a table. */
export const DEEDS = ['append', 'delete', 'merge', 'rewrite', 'positions', 'tag', 'branch', 'untag', 'touch'] as const
export type Deed = (typeof DEEDS)[number]

/** Another engine, which knows nothing of our protocol. It acts in one step, below all faults. */
export interface Engine {
  readonly stores: Stores
  readonly rng: Rng
  readonly random: Random
  now(): number
}

/** A data file that lies there and is not committed yet. */
export interface Waiting {
  readonly file: DataFile
  readonly writtenMs: number
}

type Row = ReturnType<typeof rowsOf>[number]

/** Spec, "Position Delete Files". */
const DELETE_FIELDS: readonly Field[] = [
  { id: 2147483546, name: 'file_path', type: 'string', required: true },
  { id: 2147483545, name: 'pos', type: 'long', required: true },
]

const happened = async (engine: Engine, event: Event): Promise<void> => {
  engine.stores.events.push(event)
  await engine.stores.watch?.(event)
}

/** The bare objects, whose changes are noted. */
function objectsOf(engine: Engine): Objects {
  const { objects, archive } = engine.stores
  return {
    ...objects,
    async put(location, parts) {
      const bytes = Uint8Array.from(Buffer.concat(parts))
      await objects.put(location, [bytes])
      archive.set(location, bytes)
      await happened(engine, { at: 'object', by: 'foreign', location })
    },
  }
}

async function readRows(objects: Objects, metadata: TableMetadata, path: string): Promise<Row[]> {
  const bytes = await objects.get(path)
  if (bytes === undefined) throw new Error(`${path} is gone, and a table names it`)
  return [...readParquet(bytes, writtenFields(metadata), path)].flatMap(rowsOf)
}

async function writeRows(
  engine: Engine,
  objects: Objects,
  metadata: TableMetadata,
  like: DataFile,
  rows: readonly Row[],
): Promise<DataFile> {
  const fields = writtenFields(metadata)
  const files = parquetFiles(fields, { codec: 'snappy' })
  files.append(batchOf(fields, rows))
  const [file] = files.finish()
  const folder = like.filePath.slice(dataDir(metadata).length + 1, like.filePath.lastIndexOf('/') + 1)
  const location = `${dataDir(metadata)}/${folder}foreign-${engine.random.uuid()}.parquet`
  await objects.put(location, file.parts)
  return dataFile(file, { location, specId: like.specId, partition: like.partition })
}

async function writeDeletes(engine: Engine, objects: Objects, metadata: TableMetadata, target: DataFile): Promise<DataFile> {
  const files = parquetFiles(DELETE_FIELDS, { codec: 'snappy' })
  files.append(batchOf(DELETE_FIELDS, [{ file_path: target.filePath, pos: BigInt(engine.rng.int(target.recordCount)) }]))
  const [file] = files.finish()
  const location = `${dataDir(metadata)}/foreign-${engine.random.uuid()}-deletes.parquet`
  await objects.put(location, file.parts)
  const written = dataFile(file, { location, specId: target.specId, partition: target.partition })
  const referencedDataFile = engine.rng.chance(0.5) ? target.filePath : undefined
  return { ...written, content: CONTENT_POSITION_DELETES, referencedDataFile }
}

/** Rows of theirs: some of a file's, under another symbol. */
const marked = (engine: Engine, rows: readonly Row[]): Row[] =>
  rows.map((row) => ({ ...row, symbol: `foreign ${engine.random.uuid().slice(0, 8)}` }))

/** One snapshot that takes files out and puts others in. */
async function commitSnapshot(
  engine: Engine,
  table: LoadedTable,
  operation: string,
  remove: ReadonlySet<string>,
  add: readonly DataFile[],
): Promise<void> {
  const { metadata, pointer } = table
  const objects = objectsOf(engine)
  const options = {
    metadata,
    metadataLocation: pointer.metadataLocation,
    objects,
    random: engine.random,
    nowMs: engine.now(),
    summary: { 'engine-name': 'other' },
    properties: {},
  }
  const snapshot = newSnapshot(options)
  const { snapshotId, parent } = snapshot
  const manifests = parent === undefined ? [] : (await manifestsOf(objects, parent)).filter(hasLiveFiles)
  const carried: typeof manifests = []
  const groups: ManifestEntry[][] = []
  for (const manifest of manifests) {
    const entries = (await entriesOf(objects, metadata, manifest)).filter(({ status }) => status !== DELETED)
    if (!entries.some(({ file }) => remove.has(file.filePath))) carried.push(manifest)
    else
      groups.push(
        entries.map((entry) =>
          remove.has(entry.file.filePath) ? { ...entry, status: DELETED, snapshotId } : { ...entry, status: EXISTING },
        ),
      )
  }
  for (const content of new Set(add.map((file) => file.content)))
    groups.push(
      add
        .filter((file) => file.content === content)
        .map((file) => ({ status: ADDED, snapshotId, sequenceNumber: null, fileSequenceNumber: null, file })),
    )
  const next = await prepareSnapshot(snapshot, options, {
    operation,
    written: groups.map((entries, i) => newManifest(snapshot, entries, i)),
    carried,
    delta: { added: countsOf(add), removed: NONE, removedDeletes: NO_DELETES, changedPartitions: 1 },
  })
  await swap(engine, table, next.location)
}

async function swap(engine: Engine, { id, pointer }: LoadedTable, location: string): Promise<void> {
  if (!(await engine.stores.catalog.swap(id, pointer, location))) throw new Error('nobody can have come between')
  await happened(engine, { at: 'swap', by: 'foreign', table: id.name, location })
}

async function commitMetadata(engine: Engine, table: LoadedTable, metadata: TableMetadata): Promise<void> {
  const location = metadataLocation(metadata, nextVersion(table.pointer.metadataLocation), engine.random.uuid())
  await objectsOf(engine).put(location, [serializeMetadata(metadata)])
  await swap(engine, table, location)
}

/** Does one thing to a table, if it can be done there. */
export async function commitDeed(engine: Engine, id: TableId, deed: Deed): Promise<string> {
  const { rng, stores } = engine
  const objects = objectsOf(engine)
  const table = await loadTable(stores.catalog, stores.objects, id)
  const current = table === undefined ? undefined : currentSnapshot(table.metadata)
  if (table === undefined || current === undefined) return 'nothing to do'
  const { metadata, pointer } = table
  const { data, deletes } = await readSnapshot(stores.objects, metadata)
  // Their own rewrites apply deletes; ours does not read them, so they leave such partitions alone.
  const touched = new Set(deletes.map(({ file }) => partitionOf(file)))
  const clean = data.filter(({ file }) => !touched.has(partitionOf(file)))
  // Now and then the newest: what somebody has only just written.
  const pick = (files: readonly ScanFile[]): DataFile | undefined => {
    if (files.length === 0) return undefined
    const newest = files.reduce((a, b) => (b.fileSequenceNumber > a.fileSequenceNumber ? b : a))
    return (rng.chance(0.4) ? newest : rng.pick(files)).file
  }
  switch (deed) {
    case 'append': {
      const like = pick(data)
      if (like === undefined) return 'no file'
      const rows = await readRows(objects, metadata, like.filePath)
      const file = await writeRows(engine, objects, metadata, like, marked(engine, rows.slice(0, 2)))
      await commitSnapshot(engine, table, 'append', new Set(), [file])
      return file.filePath
    }
    case 'delete': {
      const file = pick(clean.filter((one) => one.file.filePath.includes('/foreign-')))
      if (file === undefined) return 'no file'
      await commitSnapshot(engine, table, 'delete', new Set([file.filePath]), [])
      return file.filePath
    }
    case 'merge': {
      const file = pick(clean)
      if (file === undefined) return 'no file'
      const rows = await readRows(objects, metadata, file.filePath)
      const [first, ...rest] = rows
      const written = await writeRows(engine, objects, metadata, file, [...rest, ...marked(engine, [first, first])])
      await commitSnapshot(engine, table, 'overwrite', new Set([file.filePath]), [written])
      return file.filePath
    }
    case 'rewrite': {
      const one = pick(clean)
      const other = pick(clean.filter(({ file }) => file !== one && one !== undefined && partitionOf(file) === partitionOf(one)))
      if (one === undefined || other === undefined) return 'no two files'
      const rows = [...(await readRows(objects, metadata, one.filePath)), ...(await readRows(objects, metadata, other.filePath))]
      const written = await writeRows(engine, objects, metadata, one, rows)
      await commitSnapshot(engine, table, 'replace', new Set([one.filePath, other.filePath]), [written])
      return `${one.filePath} and ${other.filePath}`
    }
    case 'positions': {
      const file = pick(data)
      if (file === undefined) return 'no file'
      await commitSnapshot(engine, table, 'overwrite', new Set(), [await writeDeletes(engine, objects, metadata, file)])
      return file.filePath
    }
    case 'tag':
    case 'branch': {
      const name = `${deed}-${engine.random.uuid().slice(0, 8)}`
      const ref = { 'snapshot-id': rng.pick(metadata.snapshots)['snapshot-id'], type: deed }
      const next = withProperties(metadata, pointer.metadataLocation, {}, engine.now())
      await commitMetadata(engine, table, { ...next, refs: { ...next.refs, [name]: ref } })
      return `${name} at ${ref['snapshot-id']}`
    }
    case 'untag': {
      const names = Object.keys(metadata.refs).filter((name) => name !== 'main')
      if (names.length === 0) return 'no ref'
      const gone = rng.pick(names)
      const next = withProperties(metadata, pointer.metadataLocation, {}, engine.now())
      const refs = Object.fromEntries(Object.entries(next.refs).filter(([name]) => name !== gone))
      await commitMetadata(engine, table, { ...next, refs })
      return gone
    }
    case 'touch': {
      const nowMs = nextTimestamp(metadata, engine.now())
      const theirs = { 'other.writer': engine.random.uuid() }
      await commitMetadata(engine, table, withProperties(metadata, pointer.metadataLocation, theirs, nowMs))
      return 'properties'
    }
  }
}

/** The first half of a slow append: the data file. Only its age protects it from a sweep of orphans. */
export async function prepareAppend(engine: Engine, id: TableId): Promise<Waiting | undefined> {
  const { stores } = engine
  const table = await loadTable(stores.catalog, stores.objects, id)
  if (table === undefined || currentSnapshot(table.metadata) === undefined) return undefined
  const { data } = await readSnapshot(stores.objects, table.metadata)
  if (data.length === 0) return undefined
  const like = engine.rng.pick(data).file
  const objects = objectsOf(engine)
  const rows = await readRows(objects, table.metadata, like.filePath)
  const file = await writeRows(engine, objects, table.metadata, like, marked(engine, rows.slice(0, 1)))
  return { file, writtenMs: engine.now() }
}

/** The second half, as long after it as the sweep's age allows. */
export async function commitAppend(engine: Engine, id: TableId, { file }: Waiting): Promise<void> {
  const { stores } = engine
  const table = await loadTable(stores.catalog, stores.objects, id)
  if (table !== undefined) await commitSnapshot(engine, table, 'append', new Set(), [file])
}
