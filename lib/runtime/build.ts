import type { Batch } from '../columns/batch.ts'
import { corrupt, isKind, refused } from '../errors.ts'
import type { DataFileJson } from '../iceberg/data-file.ts'
import type { TableMetadata } from '../iceberg/types.ts'
import type { TablePlan } from '../pipeline/plan.ts'
import { assertSucceeds, type Intent, type PartitionProgress, type TableProgress } from '../protocol/checkpoint.ts'
import type { StagingEntry } from '../protocol/staging.ts'
import { finish, mergePartials } from '../stream/aggregate.ts'
import { decodeSlice } from '../stream/slice.ts'
import type { Tables } from './apply.ts'
import type { Body, Last } from './checkpoints.ts'
import { droppedTable } from './dropped-table.ts'
import { objectRange } from './object-range.ts'
import type { Taken } from './read-staging.ts'
import { type Runtime, tableId } from './runtime.ts'
import { advanceState, computedWatermark, knownOperator, unknownTarget } from './state.ts'
import { type TableWriter, tableWriter } from './table-writer.ts'

/** A checkpoint ready to be appended, and every object that was written for it. */
export interface Built {
  readonly body: Body
  /** Locations to delete, should another checkpoint win the slot (protocol rule 14). */
  readonly written: readonly string[]
  readonly files: number
  readonly fileBytes: number
  /** True when windows are left open that the staged watermarks would close: there were too many for one checkpoint. */
  readonly more: boolean
}

/** Segments read at once. */
const READ_AHEAD = 4
/** Batches of partial aggregates held before they are merged into one. */
const MERGE_AT = 64

/**
 * Builds checkpoint n+1 from what was taken: computes the watermark, closes windows, writes data files and open state.
 * Nothing it writes is visible to anyone until the checkpoint is appended.
 *
 * @param found the tables, as `last` left them
 */
export async function build(runtime: Runtime, last: Last, taken: Taken, found: Tables): Promise<Built> {
  const n = last.n + 1
  const sources: Record<string, Record<string, PartitionProgress>> = {}
  for (const [source, partitions] of Object.entries(last.sources)) sources[source] = { ...partitions }
  for (const { source, partition, progress } of taken.partitions) sources[source][partition] = progress
  const computed = computedWatermark(last.watermark, sources)

  const plans = new Map<string, TablePlan>(Object.entries(runtime.plan.tables))
  const there = new Map(found)
  const tables = new Map<string, TableWriter>()
  const writerOf = (name: string): TableWriter => {
    let writer = tables.get(name)
    if (writer === undefined) {
      const plan = plans.get(name)
      if (plan === undefined) throw unknownTarget(runtime, `table ${name}`)
      writer = tableWriter(runtime, plan, n, metadataOf(runtime, name, there))
      tables.set(name, writer)
    }
    return writer
  }
  /** Rows may be staged by functions of another definition, for a table that only it has. */
  const findDropped = async (name: string): Promise<void> => {
    if (plans.has(name)) return
    const dropped = await droppedTable(runtime, name, last)
    if (dropped === undefined) return
    plans.set(name, dropped.plan)
    there.set(name, dropped.table)
  }
  const partials = new Map<string, Batch[]>()
  for await (const { target, batch, fingerprint } of stagedSlices(runtime, taken)) {
    const [kind, name] = splitTarget(target)
    if (kind === 'table') {
      await findDropped(name)
      writerOf(name).append(batch)
    } else {
      const operator = knownOperator(runtime, name, fingerprint)
      const batches = partials.get(name) ?? []
      batches.push(batch)
      partials.set(name, batches.length < MERGE_AT ? batches : [mergePartials(operator, batches)])
    }
  }

  const { watermark, state, ...slices } = await advanceState(runtime, last, computed, partials, (operator) => {
    const writer = writerOf(operator.table)
    return (closed) => writer.append(finish(operator, closed))
  })
  const written = [...slices.written]
  const intents: Record<string, readonly Intent<DataFileJson>[]> = {}
  // Tables that the definition dropped keep their entry: they may come back.
  const progress: Record<string, TableProgress> = { ...last.body?.tables }
  let files = 0
  let fileBytes = 0
  for (const name of [...plans.keys()].sort()) {
    const before = last.body?.tables[name]
    const added = (await tables.get(name)?.finish()) ?? []
    if (added.length > 0) intents[name] = [{ kind: 'addFiles', files: added }]
    for (const file of added) {
      written.push(file.path)
      files++
      fileBytes += file.sizeBytes
    }
    const { uuid, need, base } = before ?? { uuid: metadataOf(runtime, name, there)['table-uuid'], need: 0, base: 0 }
    progress[name] = added.length > 0 ? { uuid, need: n, base: need } : { uuid, need, base }
  }
  const { name: pipeline } = runtime.plan
  const body: Body = {
    v: 1,
    pipeline,
    incarnation: runtime.incarnation,
    n,
    watermark,
    topics: last.topics,
    sources,
    state,
    tables: progress,
    intents,
  }
  assertSucceeds(last, body)
  return { body, written, files, fileBytes, more: watermark !== computed }
}

/**
 * Every slice of every taken entry, segment by segment, in the order of source, partition and slot; reads ahead a few segments.
 * What one call staged of several partitions lies in one segment, and is read at once.
 */
async function* stagedSlices(
  runtime: Runtime,
  taken: Taken,
): AsyncGenerator<{ target: string; batch: Batch; fingerprint: string | undefined }> {
  const entries = taken.partitions
    .flatMap((partition) => partition.entries.map((item) => item.entry))
    .filter((entry) => entry.slices.length > 0)
  const groups = [...Map.groupBy(entries, ({ segment, writer }) => segment ?? writer).values()]
  const reads: Promise<Span>[] = []
  for (let i = 0; i < groups.length; i++) {
    while (reads.length < READ_AHEAD && i + reads.length < groups.length) {
      const read = readSpan(runtime, groups[i + reads.length])
      // The first failure is thrown where it is awaited; those behind it must not count as unhandled.
      read.catch(() => {})
      reads.push(read)
    }
    const { start, bytes } = await (reads.shift() as Promise<Span>)
    for (const slice of groups[i].flatMap(({ slices }) => slices)) {
      const { header, batch } = decodeSlice(bytes.subarray(slice.offset - start, slice.offset - start + slice.length))
      if (header.target !== slice.target || batch.rows !== slice.rows)
        throw corrupt(
          `Cannot read a slice: expected ${slice.rows} rows for ${slice.target}, found ${batch.rows} for ${header.target}.`,
        )
      yield { target: slice.target, batch, fingerprint: header.fingerprint }
    }
  }
}

/** A range of a segment, or the inline bytes of an entry. */
interface Span {
  readonly start: number
  readonly bytes: Uint8Array
}

/** The bytes that hold the slices of all of `entries`: of one segment, or of the one entry that holds them itself. */
async function readSpan(runtime: Runtime, entries: readonly StagingEntry[]): Promise<Span> {
  const [{ inline, segment }] = entries
  if (inline !== null) return { start: 0, bytes: Buffer.from(inline, 'base64') }
  const slices = entries.flatMap((entry) => entry.slices)
  const start = Math.min(...slices.map(({ offset }) => offset))
  const end = Math.max(...slices.map(({ offset, length }) => offset + length))
  return { start, bytes: await objectRange(runtime, segment ?? '', start, end - start) }
}

function splitTarget(target: string): ['table' | 'state', string] {
  const at = target.indexOf(':')
  const kind = target.slice(0, at)
  if (kind !== 'table' && kind !== 'state')
    throw corrupt(`Cannot read a slice: expected target table: or state:, found ${target}.`)
  return [kind, target.slice(at + 1)]
}

/** A missing table can be made by running again: one that a checkpoint has pinned was looked for before. */
function metadataOf(runtime: Runtime, name: string, found: Tables): TableMetadata {
  const table = found.get(name)
  if (table !== undefined) return table.metadata
  const id = tableId(runtime, name)
  throw refused(`Cannot commit to table ${id.namespace}.${id.name}: it does not exist. Run the pipeline again to make it.`)
}

/** True when an error while building may only mean that another checkpoint was appended meanwhile. */
export function mayBeStale(error: unknown): boolean {
  return isKind(error, 'Corrupt')
}
