import { commitUnknown, corrupt, type FrazilError } from '../errors.ts'
import { appendFiles } from '../iceberg/append.ts'
import { backoffMs, forgetMetadata, lostTo, MAX_SWAP_ATTEMPTS, tried, unlessMoved } from '../iceberg/change.ts'
import { type DataFileJson, dataFileFromJson } from '../iceberg/data-file.ts'
import { type LoadedTable, loadTable } from '../iceberg/scan.ts'
import type { TableMetadata } from '../iceberg/types.ts'
import { lookup } from '../lookup.ts'
import {
  decideApply,
  formatMarker,
  markerProperty,
  offsetsProperty,
  parseMarker,
  type TableView,
  watermarkProperty,
} from '../protocol/marker.ts'
import { partitionLabel } from '../protocol/names.ts'
import { type Body, type Last, lastCheckpoint } from './checkpoints.ts'
import { type Runtime, refuseTable, tableId } from './runtime.ts'

/** Above this many partitions a table's offsets property names the checkpoint's body instead. */
const MAX_OFFSETS_IN_PROPERTY = 200

/** What swaps came to, added up while they are made: a call that fails has made some. */
export interface SwapCounts {
  /** Lost to somebody else, or not known to have happened. */
  lost: number
  /** Size of the greatest metadata file swapped to; null while none was. */
  metadataBytes: number | null
}

/** Tables as they were found, by name. Those that nobody has made are missing. */
export type Tables = ReadonlyMap<string, LoadedTable>

/**
 * Brings every table up to its need in the last checkpoint, a no-op in the usual case (protocol rule 12), and tells how they
 * are then. All are looked at before the first is touched, so that a refusal leaves them as they were. Undefined: another
 * checkpoint was appended meanwhile, so what we hold is not the last any more; read it again.
 */
export async function applyAll(runtime: Runtime, last: Last, swaps: SwapCounts): Promise<Tables | undefined> {
  const found = await dueTables(runtime, last)
  if (found === undefined || found.due.length === 0) return found?.tables
  if (!(await applyTables(runtime, found.due, last, found.tables, swaps))) return undefined
  return (await dueTables(runtime, last))?.tables
}

/**
 * All tables, and the names of those that the last checkpoint has yet to be applied to. Undefined: it is not the last any
 * more. Throws `Refused` when a table stands where these logs cannot have left it (protocol rules 15, 28).
 */
export async function dueTables(
  runtime: Runtime,
  last: Last,
): Promise<{ readonly tables: Tables; readonly due: readonly string[] } | undefined> {
  const pending = Object.keys(last.body?.intents ?? {})
  const tables = new Map<string, LoadedTable>()
  const due: string[] = []
  for (const name of new Set([...pending, ...Object.keys(runtime.plan.tables)])) {
    const table = await load(runtime, name)
    const verdict = await judge(runtime, name, table, last)
    if (verdict === undefined) return undefined
    if (verdict === 'Apply') due.push(name)
    if (table !== undefined) tables.set(name, table)
  }
  return { tables, due }
}

/**
 * Applies the last checkpoint to tables it has work for. False: it is not the last any more.
 *
 * @param found what the first swap of each is tried on: it fails, and costs a few small objects, if they changed since
 */
export async function applyTables(
  runtime: Runtime,
  names: readonly string[],
  last: Last,
  found: Tables,
  swaps: SwapCounts,
): Promise<boolean> {
  if (last.body === undefined) return true
  for (const name of names) if (!(await applyTable(runtime, name, last.body, last, found.get(name), swaps))) return false
  return true
}

export function load(runtime: Runtime, name: string): Promise<LoadedTable | undefined> {
  const { catalog, objects } = runtime.ports
  return loadTable(catalog, objects, tableId(runtime, name), runtime.metadata)
}

/** Whether `last` is applied to a table. Undefined: it is not the last any more. Throws `Refused` as `dueTables` does. */
export async function judge(
  runtime: Runtime,
  name: string,
  table: LoadedTable | undefined,
  last: Last,
): Promise<'Done' | 'Apply' | undefined> {
  const { uuid, need, base } = last.body?.tables[name] ?? { uuid: undefined, need: 0, base: 0 }
  // Nobody has made it yet; the first checkpoint that finds it pins it.
  if (table === undefined && uuid === undefined) return 'Done'
  const expected = { uuid, incarnation: runtime.incarnation, need, base, body: last.body?.n ?? 0, last: last.n }
  const verdict =
    table === undefined
      ? ({ verdict: 'Refuse', why: 'it does not exist any more' } as const)
      : decideApply(viewOf(runtime.plan.name, table.metadata), expected)
  if (verdict.verdict !== 'Refuse') return verdict.verdict
  // To a committer that was asleep, a table that others brought further looks foreign: only the log tells them apart.
  const now = await lastCheckpoint(runtime)
  if (now !== undefined && now.n > last.n) return undefined
  throw refuseTable(runtime, name, verdict.why)
}

/**
 * The one commit loop there is: load, check uuid, incarnation and marker on that very base, one swap, and on anything but
 * success load again (protocol rules 10, 11). No file of an attempt is deleted here, whatever happens.
 */
async function applyTable(
  runtime: Runtime,
  name: string,
  body: Body,
  last: Last,
  found: LoadedTable | undefined,
  swaps: SwapCounts,
): Promise<boolean> {
  const { objects, clock, random } = runtime.ports
  const id = tableId(runtime, name)
  const { need } = body.tables[name]
  const pipeline = runtime.plan.name
  let lost: FrazilError | undefined
  for (let attempt = 0; attempt < MAX_SWAP_ATTEMPTS; attempt++) {
    if (attempt > 0) await clock.sleep(backoffMs(attempt))
    const table = attempt === 0 && found !== undefined ? found : await load(runtime, name)
    const verdict = await judge(runtime, name, table, last)
    if (verdict === undefined) return false
    if (verdict === 'Done' || table === undefined) return true
    const files = filesOf(body, name)
    const marker = formatMarker({ incarnation: runtime.incarnation, n: need })
    const watermark = String(body.watermark ?? '')
    // To a committer that slept, files are gone that others committed, rewrote and let go of.
    const next = await unlessMoved(runtime.ports.catalog, table, async () => {
      await assertFilesExist(runtime, files)
      return appendFiles({
        metadata: table.metadata,
        metadataLocation: table.pointer.metadataLocation,
        objects,
        random,
        nowMs: clock.now(),
        files: files.map(dataFileFromJson),
        summary: { [markerProperty(pipeline)]: marker, [watermarkProperty(pipeline)]: watermark },
        properties: { [markerProperty(pipeline)]: marker, [offsetsProperty(pipeline)]: offsetsOf(runtime, body, last) },
      })
    })
    if (next === undefined) {
      swaps.lost++
      continue
    }
    const swap = await tried(() => runtime.ports.catalog.swap(table.id, table.pointer, next.location))
    if (!swap.done) {
      swaps.lost++
      lost = swap.error
      continue
    }
    swaps.metadataBytes = Math.max(swaps.metadataBytes ?? 0, next.metadataBytes)
    runtime.metadata.set(next.location, next.metadata)
    await forgetMetadata(objects, table.metadata, next.metadata)
    return true
  }
  throw commitUnknown(
    `Cannot commit checkpoint ${need} to table ${id.namespace}.${id.name}: lost ${MAX_SWAP_ATTEMPTS} swaps to ${lostTo(lost)}. The next commit goes on from here.`,
    { cause: lost },
  )
}

function filesOf(body: Body, name: string): readonly DataFileJson[] {
  return (body.intents[name] ?? []).flatMap((intent) => intent.files)
}

/** A file that is gone means that something is lost: halt, never commit a table that cannot be read (protocol rule 13). */
async function assertFilesExist(runtime: Runtime, files: readonly DataFileJson[]): Promise<void> {
  for (const file of files) {
    const size = await runtime.ports.objects.size(file.path)
    if (size !== file.sizeBytes)
      throw corrupt(
        `Cannot commit data file ${file.path}: expected ${file.sizeBytes} bytes, found ${size ?? 'no file'}. Restore it; the checkpoint waits.`,
      )
  }
}

/** Next offsets by topic-partition, as JSON; above 200 partitions the name of the checkpoint's body. */
function offsetsOf(runtime: Runtime, body: Body, last: Last): string {
  const offsets: Record<string, number | null> = {}
  for (const [source, partitions] of Object.entries(body.sources)) {
    const { topic } = lookup(runtime.plan.sources, source, 'source')
    for (const [p, { next }] of Object.entries(partitions)) offsets[partitionLabel(topic, Number(p))] = next
  }
  return Object.keys(offsets).length <= MAX_OFFSETS_IN_PROPERTY ? JSON.stringify(offsets) : (last.entry.body?.name ?? '')
}

/** A table as far as the protocol looks at it. */
export function viewOf(pipeline: string, metadata: TableMetadata): TableView {
  const property = markerProperty(pipeline)
  const snapshots = new Map(metadata.snapshots.map((snapshot) => [snapshot['snapshot-id'], snapshot]))
  const text: string | undefined = metadata.properties[property]
  return {
    uuid: metadata['table-uuid'],
    marker: text === undefined ? undefined : parseMarker(text),
    current: metadata['current-snapshot-id'],
    snapshot(id) {
      const snapshot = snapshots.get(id)
      if (snapshot === undefined) return undefined
      const marker: string | undefined = snapshot.summary[property]
      return { id, parent: snapshot['parent-snapshot-id'], marker: marker === undefined ? undefined : parseMarker(marker) }
    },
  }
}
