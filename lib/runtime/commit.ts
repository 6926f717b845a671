import { type CheckpointEntry, decodeCheckpointEntry } from '../protocol/checkpoint.ts'
import { bodyName, checkpointLogKey } from '../protocol/names.ts'
import { applyAll, applyTables, type SwapCounts } from './apply.ts'
import { type Built, build, mayBeStale } from './build.ts'
import { appendCheckpoint, digestOf, type Last, lastCheckpoint } from './checkpoints.ts'
import { readStaging } from './read-staging.ts'
import type { Runtime } from './runtime.ts'
import { computedWatermark, type OpenState, openState } from './state.ts'

/** What one round of commit did. All zero when there was nothing to do, or when another committer did it. */
export interface CommitReport extends OpenState {
  /** The checkpoint in force afterwards. */
  readonly n: number
  readonly entries: number
  readonly records: number
  readonly files: number
  readonly fileBytes: number
  /** Milliseconds; null before any. */
  readonly watermark: number | null
  /** Races lost to another committer: for the checkpoint, and for the swaps of tables. */
  readonly conflicts: number
  /** Size of the greatest table metadata file that was swapped to; null when no table was. */
  readonly metadataBytes: number | null
  /** True when bounds, or a lost race, left staged entries or windows to close behind: call again. */
  readonly more: boolean
}

/**
 * One round: bring every table up to its need, take new staging entries, append checkpoint n+1, apply it. Any number of
 * these may run at the same time: whoever loses a race reads again and finds the work done (docs/explanation/exactly-once.md).
 */
export async function commit(runtime: Runtime): Promise<CommitReport> {
  const last = await lastCheckpoint(runtime)
  const swaps: SwapCounts = { lost: 0, metadataBytes: null }
  if (last === undefined) return nothing(last, swaps)
  const tables = await applyAll(runtime, last, swaps)
  if (tables === undefined) return overtaken(last, swaps)
  const taken = await unlessStale(runtime, last, () => readStaging(runtime, last))
  if (taken === undefined) return overtaken(last, swaps)
  // Windows may be left to close: the checkpoint before had too many.
  if (taken.entries === 0 && computedWatermark(last.watermark, last.sources) === last.watermark) return nothing(last, swaps)

  const built = await unlessStale(runtime, last, () => build(runtime, last, taken, tables))
  if (built === undefined) return overtaken(last, swaps)
  const entry = await writeBody(runtime, built)
  if (!(await appendCheckpoint(runtime, built.body.n, entry))) {
    await discard(runtime, built, entry)
    return overtaken(last, swaps)
  }
  const { body } = built
  const { n, watermark, sources } = body
  const mine: Last = { ...last, n, entry, body, watermark, sources }
  const applied = await applyTables(runtime, Object.keys(body.intents), mine, tables, swaps)
  return {
    n,
    entries: taken.entries,
    records: taken.partitions.reduce((sum, p) => sum + p.entries.reduce((of, { entry }) => of + entry.records, 0), 0),
    files: built.files,
    fileBytes: built.fileBytes,
    watermark,
    conflicts: swaps.lost,
    metadataBytes: swaps.metadataBytes,
    ...openState(body.state),
    // Others appended meanwhile: whether what they appended is applied is for the next round to see.
    more: taken.more || built.more || !applied,
  }
}

/** A round that appended no checkpoint. */
function nothing(last: Last | undefined, { lost, metadataBytes }: SwapCounts): CommitReport {
  const { n, watermark } = last ?? { n: 0, watermark: null }
  const state = openState(last?.body?.state ?? {})
  return { n, entries: 0, records: 0, files: 0, fileBytes: 0, watermark, conflicts: lost, metadataBytes, ...state, more: false }
}

/** A round that ended because somebody else appended the next checkpoint. */
function overtaken(last: Last, swaps: SwapCounts): CommitReport {
  return { ...nothing(last, swaps), conflicts: swaps.lost + 1, more: true }
}

/**
 * A missing object, or a staging log that does not go on where the checkpoint ends, means that we are stale (a zombie may even
 * have filled a trimmed slot), or that something is lost: the checkpoint log tells which (protocol rules 2, 20).
 */
async function unlessStale<T>(runtime: Runtime, last: Last, read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (!mayBeStale(error)) throw error
    const now = await lastCheckpoint(runtime)
    if (now?.n === last.n) throw error
    return undefined
  }
}

async function writeBody(runtime: Runtime, built: Built): Promise<CheckpointEntry> {
  const { n } = built.body
  const uuid = runtime.ports.random.uuid()
  const bytes = Buffer.from(JSON.stringify(built.body))
  const name = bodyName(runtime.plan.name, runtime.incarnation, n, uuid)
  await runtime.ports.objects.put(runtime.staging + name, [bytes])
  return { v: 1, kind: 'commit', writer: uuid, body: { name, digest: digestOf(bytes), n }, opened: [] }
}

/**
 * Deletes what was written for a checkpoint that lost, after reading who won (protocol rule 14). Only a slot that was never
 * trimmed tells: below the floor it may have held ours, been applied, and been taken again by a zombie. Then cleaning decides.
 */
async function discard(runtime: Runtime, built: Built, entry: CheckpointEntry): Promise<void> {
  const { log, objects } = runtime.ports
  const { n } = built.body
  const key = checkpointLogKey(runtime.plan.name, runtime.incarnation)
  const [item] = await log.read(key, n - 1, 1)
  const [floor] = await log.floors([key])
  if (item?.slot !== n || floor >= n || decodeCheckpointEntry(item.value).writer === entry.writer) return
  const own = entry.body === null ? [] : [runtime.staging + entry.body.name]
  for (const location of [...built.written, ...own]) await objects.delete(location)
}
