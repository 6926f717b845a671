import { metadataDir } from '../iceberg/paths.ts'
import type { TableMetadata } from '../iceberg/types.ts'
import type { Objects } from '../ports/objects.ts'
import type { Random } from '../ports/time.ts'

/**
 * Lists of files that are to be deleted, kept beside a table's metadata so that a rerun finishes what a crash left. A list is a
 * hint, never a proof: before anything is deleted the table as it is then decides. `doomed`: what an expiry let go.
 * `quarantine`: orphans that wait.
 */
export type ListKind = 'doomed' | 'quarantine'

export interface ListedFile {
  readonly location: string
  /** Null: not known. */
  readonly sizeBytes: number | null
}

export interface FileList {
  readonly v: 1
  /** The table's uuid: another may keep its metadata in the same place. */
  readonly table: string
  /** When it was written, milliseconds. */
  readonly atMs: number
  readonly files: readonly ListedFile[]
}

export interface StoredList extends FileList {
  /** Where it lies itself. */
  readonly location: string
}

const prefixOf = (metadata: TableMetadata, kind: ListKind): string => `${metadataDir(metadata)}/frazil-${kind}-`

/** True for a list of ours. */
export const isList = (metadata: TableMetadata, location: string): boolean =>
  (['doomed', 'quarantine'] as const).some((kind) => location.startsWith(prefixOf(metadata, kind)))

/** Files on one list: so many are deleted before what was done is known to be done. */
export const MAX_LISTED = 10_000

/** Writes as many lists as it takes, and tells where they are. */
export async function writeLists(
  objects: Objects,
  random: Random,
  metadata: TableMetadata,
  kind: ListKind,
  atMs: number,
  files: readonly ListedFile[],
): Promise<readonly StoredList[]> {
  const lists: StoredList[] = []
  for (let at = 0; at < files.length; at += MAX_LISTED) {
    const list: FileList = { v: 1, table: metadata['table-uuid'], atMs, files: files.slice(at, at + MAX_LISTED) }
    const location = `${prefixOf(metadata, kind)}${random.uuid()}.json`
    await objects.put(location, [new TextEncoder().encode(JSON.stringify(list))])
    lists.push({ ...list, location })
  }
  return lists
}

/**
 * All lists of a table of a kind, oldest first. One that goes while it is read was done by somebody else; one that cannot be
 * read names nothing, and goes as any other whose files are gone: it was only a hint.
 */
export async function readLists(objects: Objects, metadata: TableMetadata, kind: ListKind): Promise<readonly StoredList[]> {
  const lists: StoredList[] = []
  const table = metadata['table-uuid']
  for await (const { location, modifiedMs } of objects.list(prefixOf(metadata, kind))) {
    const bytes = await objects.get(location)
    if (bytes === undefined) continue
    const list = parsed(bytes) ?? { v: 1, table, atMs: modifiedMs, files: [] }
    if (list.table === table) lists.push({ ...list, location })
  }
  return lists.sort((a, b) => a.atMs - b.atMs || (a.location < b.location ? -1 : 1))
}

function parsed(bytes: Uint8Array): FileList | undefined {
  let list: Partial<FileList> | null
  try {
    list = JSON.parse(Buffer.from(bytes).toString()) as Partial<FileList> | null
  } catch {
    return undefined
  }
  if (list?.v !== 1 || typeof list.atMs !== 'number' || typeof list.table !== 'string' || !Array.isArray(list.files))
    return undefined
  const files = list.files.filter((file: Partial<ListedFile> | null) => typeof file?.location === 'string')
  return { v: 1, table: list.table, atMs: list.atMs, files }
}
