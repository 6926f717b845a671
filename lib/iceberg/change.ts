import { commitUnknown, type FrazilError, isKind, refused } from '../errors.ts'
import type { Catalog, TableId } from '../ports/catalog.ts'
import type { Objects } from '../ports/objects.ts'
import type { Clock, Random } from '../ports/time.ts'
import { forgottenMetadata } from './commit.ts'
import { objectLocation } from './paths.ts'
import type { Prepared, SnapshotOptions } from './prepare.ts'
import { type LoadedTable, loadTable } from './scan.ts'
import type { TableMetadata } from './types.ts'

/** What a change of a table needs. */
export interface TablePorts {
  readonly catalog: Catalog
  readonly objects: Objects
  readonly clock: Clock
  readonly random: Random
}

/** Swaps tried for one change before the call gives up; the next call goes on. */
export const MAX_SWAP_ATTEMPTS = 10
/** First pause after a lost swap, doubled each time. */
const BACKOFF_MS = 20

export const backoffMs = (attempt: number): number => BACKOFF_MS * 2 ** (attempt - 1)

/** What is known of the attempts before. */
export interface Attempts {
  /** One of them may have landed, or may land yet. */
  readonly unknown: boolean
}

/** What a table asks for, seen on the base that the swap would replace. */
export type Changes<T> =
  /** Everything `to` names is written: swap to it. */
  | { readonly verdict: 'Swap'; readonly to: Pick<Prepared, 'location' | 'metadata'>; readonly result: T }
  /** Nothing is left to do: an earlier try of ours landed, somebody else did it, or it must not be done. */
  | { readonly verdict: 'Done'; readonly result: T }

/**
 * Changes a table: load, decide on that very base, one swap, and on anything but success load and decide again (protocol rules
 * 10, 11). `decide` must know its own earlier success, since a swap whose answer was lost may have landed. Nothing is deleted
 * here but metadata files that the table itself wants gone. Throws `Refused` when there is no such table, `CommitUnknown` when
 * every swap was lost; the next call goes on from there.
 *
 * @param doing ends "Cannot …": `compact`
 */
export async function changeTable<T>(
  ports: TablePorts,
  id: TableId,
  doing: string,
  decide: (table: LoadedTable, before: Attempts) => Promise<Changes<T>>,
): Promise<T> {
  const name = `${id.namespace}.${id.name}`
  let lost: FrazilError | undefined
  let unknown = false
  for (let attempt = 0; attempt < MAX_SWAP_ATTEMPTS; attempt++) {
    if (attempt > 0) await ports.clock.sleep(backoffMs(attempt))
    const table = await loadTable(ports.catalog, ports.objects, id)
    if (table === undefined)
      throw refused(`Cannot ${doing} table ${name}: expected it in the catalog, found none of this name. Check the name.`)
    const decision = await unlessMoved(ports.catalog, table, () => decide(table, { unknown }))
    if (decision === undefined) continue
    if (decision.verdict === 'Done') return decision.result
    const swap = await tried(() => ports.catalog.swap(id, table.pointer, decision.to.location))
    if (swap.done) {
      await forgetMetadata(ports.objects, table.metadata, decision.to.metadata)
      return decision.result
    }
    lost = swap.error
    unknown ||= lost !== undefined
  }
  throw commitUnknown(
    `Cannot ${doing} table ${name}: lost ${MAX_SWAP_ATTEMPTS} swaps to ${lostTo(lost)}. The next call goes on from here.`,
    { cause: lost },
  )
}

/**
 * What `read` finds of a table as it was loaded. Undefined: something it names is gone, and so is the table as it was: others
 * changed it, and let go of what they replaced. Then it is to be loaded again (protocol rule 20).
 */
export async function unlessMoved<T>(
  catalog: Catalog,
  { id, pointer }: LoadedTable,
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (!isKind(error, 'Corrupt') || (await catalog.load(id))?.version === pointer.version) throw error
    return undefined
  }
}

/** Reads from a table, and again from what it has become when that was changed meanwhile. Throws as `changeTable` does. */
export function readTable<T>(
  ports: TablePorts,
  id: TableId,
  doing: string,
  read: (table: LoadedTable) => Promise<T>,
): Promise<T> {
  return changeTable<T>(ports, id, doing, async (table) => ({ verdict: 'Done', result: await read(table) }))
}

/** What an operation on a table as it was loaded is given, but for what it changes: no summary, no properties. */
export function snapshotOptions({ objects, random, clock }: TablePorts, { metadata, pointer }: LoadedTable): SnapshotOptions {
  const { metadataLocation } = pointer
  return { metadata, metadataLocation, objects, random, nowMs: clock.now(), summary: {}, properties: {} }
}

/** What became of one try. `error`: of one whose outcome nobody knows, or that the catalog did not take. */
export type Tried = { readonly done: true } | { readonly done: false; readonly error?: FrazilError }

/** `done` only when the change of the catalog certainly happened; a lost or unknown one is looked at again. */
export async function tried(change: () => Promise<boolean>): Promise<Tried> {
  try {
    return (await change()) ? { done: true } : { done: false }
  } catch (error) {
    if (isKind(error, 'CommitUnknown', 'Unavailable')) return { done: false, error }
    throw error
  }
}

/** What tries were lost to, in words. */
export const lostTo = (error: FrazilError | undefined): string =>
  error === undefined ? 'others' : `what the catalog says: ${error.message.replace(/\.$/, '')}`

/**
 * Deletes the metadata files that a successful swap from `base` to `next` let go, where the table asks for it. What cannot be
 * deleted now is found as an orphan: a commit that succeeded must not fail for it.
 */
export async function forgetMetadata(objects: Objects, base: TableMetadata, next: TableMetadata): Promise<void> {
  await Promise.all(forgottenMetadata(base, next).map((location) => deleteIfPossible(objects, location)))
}

/** False: the store did not take it, or does not let us; a later call may find it otherwise. A defect is thrown. */
export async function deleteIfPossible(objects: Objects, location: string): Promise<boolean> {
  try {
    await objects.delete(objectLocation(location))
    return true
  } catch (error) {
    if (isKind(error, 'Unavailable', 'Usage', 'Refused')) return false
    throw error
  }
}
