import { isKind, refused } from '../errors.ts'
import { changeTable, deleteIfPossible, readTable, type TablePorts } from '../iceberg/change.ts'
import { withProperties } from '../iceberg/commit.ts'
import { serializeMetadata } from '../iceberg/metadata.ts'
import { dataDir, metadataDir, metadataLocation, nextVersion, objectLocation } from '../iceberg/paths.ts'
import { reachableFiles, reachableMetadata } from '../iceberg/reachable.ts'
import { type LoadedTable, loadTable } from '../iceberg/scan.ts'
import { inParallel } from '../iceberg/snapshot.ts'
import type { OrphanPolicy } from '../pipeline/maintenance.ts'
import type { TableId } from '../ports/catalog.ts'
import type { ObjectInfo } from '../ports/objects.ts'
import { decideDataFile, type TableStand } from '../protocol/cleaning.ts'
import { markersOf } from '../protocol/marker.ts'
import { parseCompactFileName, parseDataFileName } from '../protocol/names.ts'
import { FENCE_PROPERTY, fenceOf } from './fence.ts'
import { isList, readLists, writeLists } from './lists.ts'
import { assertOwnsFiles } from './owns-files.ts'
import { assertOneSpelling } from './spelling.ts'

/**
 * What the logs of a table's pipeline say of it; undefined when they are not at hand, `another` when they mean a table of
 * another uuid.
 */
export type LogsOf = (
  pipeline: string,
  incarnation: string,
  table: { readonly name: string; readonly uuid: string },
) => Promise<TableStand['logs'] | 'another'>

export interface OrphanOptions extends OrphanPolicy {
  readonly nowMs: number
  readonly apply: boolean
  readonly logsOf: LogsOf
  /** Tables that may have put their files below this one's location: it then refuses. */
  readonly others: readonly TableId[]
}

export interface OrphanReport {
  /** Files below the table's location, and of these the ones that some snapshot or the metadata log needs. */
  readonly listed: number
  readonly needed: number
  /** Hidden files, and lists of earlier sweeps and expiries: nobody's orphans. */
  readonly own: number
  /** Nobody's, but too young to tell. */
  readonly young: number
  /** Found now and put on a list; with `apply` false: to be. Oldest first. */
  readonly found: readonly OrphanFile[]
  /** On a list from before that waits. */
  readonly waiting: number
  /** From lists whose time has come: deleted, or with `apply` false to be. */
  readonly deleted: readonly OrphanFile[]
  /** Of these, ones that the store would not delete now: the next sweep tries again. */
  readonly left: number
  /** Data files of commits whose fate the logs do not tell. */
  readonly undecided: number
}

/** A list whose files the store would not delete is tried again this long. */
const STALE_LIST_MS = 7 * 24 * 3_600_000

export interface OrphanFile {
  readonly location: string
  readonly sizeBytes: number
  readonly modifiedMs: number
}

/**
 * Finds files below a table's location that nothing names, and deletes them in two steps: a sweep puts what it finds on a list,
 * and one that comes `quarantineMs` later deletes what is on the list and still nobody's. Before that it raises the table's
 * fence by a swap of its own: every commit that was prepared on the metadata before loses its swap, and a rewrite of files
 * gives up, so that nothing of theirs is deleted and then committed (protocol rule 29). Files of the commit lane go by the
 * proofs of protocol rule 13; those of other engines by their age alone. Throws `Refused` when files are listed under other
 * names than the table calls them by.
 */
export async function sweepOrphans(ports: TablePorts, id: TableId, options: OrphanOptions): Promise<OrphanReport> {
  const { objects, random } = ports
  const { nowMs, apply } = options
  const doing = 'look for orphans of'
  const table = await readTable(ports, id, doing, async (one) => one)
  assertOwnsFiles(table)
  await assertAlone(ports, table, options.others)
  // Lists first: what is on one that this sweep does not see is found again, and listed twice.
  const lists = [...(await readLists(objects, table.metadata, 'quarantine'))]
  const listed: ObjectInfo[] = []
  for await (const info of objects.list(`${objectLocation(table.metadata.location)}/`)) listed.push(info)
  const sweep = await readTable(ports, id, doing, (now) => looked(ports, now, options, fenceOf(now.metadata) + 1))
  assertOneSpelling(id, sweep.needed, listed)

  const known = new Set(lists.flatMap(({ files }) => files.map(({ location }) => location)))
  const orphans = listed.filter(({ location }) => !sweep.needed.has(location) && isFile(table, location))
  const fresh = orphans.filter(({ location }) => !known.has(location))
  const old = fresh.filter(({ modifiedMs }) => nowMs - modifiedMs >= options.olderThanMs)
  const found = old.filter(({ location }) => sweep.mayGo(location)).sort((a, b) => a.modifiedMs - b.modifiedMs)
  if (apply && found.length > 0) {
    const files = found.map(({ location, sizeBytes }) => ({ location, sizeBytes }))
    lists.push(...(await writeLists(objects, random, table.metadata, 'quarantine', nowMs, files)))
  }
  const due = lists.filter(({ atMs }) => nowMs - atMs >= options.quarantineMs)
  const waiting = lists.filter((list) => !due.includes(list)).reduce((sum, { files }) => sum + files.length, 0)
  const there = new Map(orphans.map((info) => [info.location, info]))
  const report = {
    listed: listed.length,
    needed: listed.filter(({ location }) => sweep.needed.has(location)).length,
    own: listed.filter(({ location }) => !sweep.needed.has(location) && !isFile(table, location)).length,
    young: fresh.length - old.length,
    found,
    waiting,
    undecided: old.length - found.length,
  }
  const wanted = new Set(due.flatMap(({ files }) => files.map(({ location }) => location)))
  const candidates = [...wanted].flatMap((location) => there.get(location) ?? [])
  if (!apply) return { ...report, deleted: candidates.filter(({ location }) => sweep.mayGo(location)), left: 0 }
  if (due.length === 0) return { ...report, deleted: [], left: 0 }
  const { deleted, left } = await deleteAll(ports, id, options, candidates)
  // What the store will not delete is found anew after a while, so lists do not pile up.
  const done = due.filter(({ atMs }) => left === 0 || nowMs - atMs > options.quarantineMs + STALE_LIST_MS)
  await inParallel(done, ({ location }) => deleteIfPossible(objects, location))
  return { ...report, deleted, left }
}

interface Sweep {
  readonly needed: ReadonlySet<string>
  /** Given that no snapshot names a file. */
  mayGo(location: string): boolean
}

/**
 * What a table needs as it is loaded, and which of the rest may go.
 *
 * @param fence files of compactions from before it are dead; those of the fence in force may be committed yet, and wait on a list
 * until it is raised
 */
async function looked(
  { objects }: TablePorts,
  { id, metadata, pointer }: LoadedTable,
  { logsOf }: OrphanOptions,
  fence: number,
): Promise<Sweep> {
  const stands: (TableStand | undefined)[] = []
  for (const [pipeline, { incarnation, n }] of Object.entries(markersOf(metadata.properties))) {
    const logs = await logsOf(pipeline, incarnation, { name: id.name, uuid: metadata['table-uuid'] })
    stands.push(logs === 'another' ? undefined : { marker: n, logs })
  }
  // A table has one pipeline; with several, or none, nobody can tell whose file it is.
  const stand = stands.length === 1 ? stands[0] : undefined
  const needed = new Set(await reachableFiles(objects, metadata))
  for (const location of reachableMetadata(metadata, pointer.metadataLocation)) needed.add(location)
  return {
    needed,
    mayGo(location) {
      const ofCommit = parseDataFileName(location)
      if (ofCommit !== undefined) return stand !== undefined && decideDataFile(ofCommit.n, stand).verdict === 'Dead'
      const ofRewrite = parseCompactFileName(location)
      return ofRewrite === undefined || ofRewrite.fence < fence
    },
  }
}

/** Hidden files are not a table's, as Hadoop and Iceberg see it; lists are ours, and the hint is a Hadoop catalog's. */
function isFile({ metadata }: LoadedTable, location: string): boolean {
  const below = location.slice(objectLocation(metadata.location).length + 1)
  return (
    !isList(metadata, location) &&
    !below.endsWith('/version-hint.text') &&
    !below.split('/').some((part) => part.startsWith('_') || part.startsWith('.'))
  )
}

/** Raises the fence, looks again, and deletes what is still nobody's. */
async function deleteAll(
  ports: TablePorts,
  id: TableId,
  options: OrphanOptions,
  candidates: readonly OrphanFile[],
): Promise<{ readonly deleted: readonly OrphanFile[]; readonly left: number }> {
  if (candidates.length === 0) return { deleted: [], left: 0 }
  const { objects, random, clock } = ports
  const doing = 'raise the fence of'
  await changeTable<undefined>(ports, id, doing, async ({ metadata: base, pointer }) => {
    const raised = { [FENCE_PROPERTY]: String(fenceOf(base) + 1) }
    const metadata = withProperties(base, pointer.metadataLocation, raised, clock.now())
    const location = metadataLocation(metadata, nextVersion(pointer.metadataLocation), random.uuid())
    await objects.put(location, [serializeMetadata(metadata)])
    return { verdict: 'Swap', to: { location, metadata }, result: undefined }
  })
  // Judged by what the table is since: whatever is committed after the fence was prepared after it, from files that are not
  // candidates.
  const sweep = await readTable(ports, id, doing, (fenced) => looked(ports, fenced, options, fenceOf(fenced.metadata)))
  const dead = candidates.filter(({ location }) => !sweep.needed.has(location) && sweep.mayGo(location))
  const gone = await inParallel(dead, ({ location }) => deleteIfPossible(objects, location))
  const deleted = dead.filter((_, i) => gone[i])
  return { deleted, left: dead.length - deleted.length }
}

/**
 * Throws `Refused` when another table has its files, or some of them, inside this one's location: they would look like orphans.
 * Of a table that cannot be read only the place of its metadata is known.
 */
async function assertAlone(ports: TablePorts, { id, metadata }: LoadedTable, others: readonly TableId[]): Promise<void> {
  const inside = `${objectLocation(metadata.location)}/`
  for (const other of others) {
    if (other.namespace === id.namespace && other.name === id.name) continue
    const dir = (await directoriesOf(ports, other)).find((one) => `${objectLocation(one)}/`.startsWith(inside))
    if (dir === undefined) continue
    throw refused(
      `Cannot look for orphans of table ${id.namespace}.${id.name}: expected its location ${metadata.location} to hold no other table's files, found those of ${other.namespace}.${other.name} at ${dir}. Move one of them.`,
    )
  }
}

/** Where a table's writers may put files, by any engine's properties. */
async function directoriesOf({ catalog, objects }: TablePorts, id: TableId): Promise<readonly string[]> {
  const readable = <T>(promise: Promise<T>): Promise<T | undefined> =>
    promise.catch((error: unknown) => {
      if (!isKind(error, 'Refused', 'Corrupt')) throw error
      return undefined
    })
  const at = (await readable(catalog.load(id)))?.metadataLocation
  if (at === undefined) return []
  const dirs = [at.slice(0, at.lastIndexOf('/'))]
  const table = await readable(loadTable(catalog, objects, id))
  if (table === undefined) return dirs
  const { properties, location } = table.metadata
  const paths = ['write.folder-storage.path', 'write.object-storage.path'].flatMap((name) => properties[name] ?? [])
  return [...dirs, location, dataDir(table.metadata), metadataDir(table.metadata), ...paths]
}
