import type { Batch } from '../columns/batch.ts'
import { take } from '../columns/operations.ts'
import { refused } from '../errors.ts'
import { lookup } from '../lookup.ts'
import type { AggregatePlan } from '../pipeline/plan.ts'
import { closedWatermark, type PartitionProgress, type StateRef } from '../protocol/checkpoint.ts'
import { stateName } from '../protocol/names.ts'
import { mergePartials, splitClosed, windowEnds } from '../stream/aggregate.ts'
import { decodeSlice, encodeSlice } from '../stream/slice.ts'
import type { Last } from './checkpoints.ts'
import { objectRange } from './object-range.ts'
import type { Runtime } from './runtime.ts'

/** Open windows as a checkpoint leaves them. */
export interface AdvancedState {
  /** The computed watermark, or a lower one when windows that it would close had to stay open. */
  readonly watermark: number | null
  readonly state: Readonly<Record<string, readonly StateRef[]>>
  /** Locations of the slices that were written. */
  readonly written: readonly string[]
}

/** How much is open in the windows of a checkpoint. */
export interface OpenState {
  /** One per key and window, or more while their parts lie in several slices. */
  readonly stateRows: number
  readonly stateBytes: number
}

export function openState(state: AdvancedState['state']): OpenState {
  const refs = Object.values(state).flat()
  return { stateRows: rowsOf(refs), stateBytes: refs.reduce((sum, { length }) => sum + length, 0) }
}

/** The watermark that progress allows, whether or not every window it closes fits one checkpoint. */
export function computedWatermark(
  previous: number | null,
  sources: Readonly<Record<string, Readonly<Record<string, PartitionProgress>>>>,
): number | null {
  return closedWatermark(
    previous,
    Object.values(sources).flatMap((partitions) => Object.values(partitions)),
  )
}

/**
 * Closes the windows of every operator up to `computed`, or to a lower watermark where state of more than `maxStateRows` would
 * have to be loaded for it, and writes what stays open.
 *
 * A window closes only when every slice that may hold a part of it is loaded. That holds for whatever watermark W is chosen:
 * a closing window ends at E with E + lateness <= W, and a slice is loaded if and only if its minEnd + lateness <= W. So a
 * slice that is not loaded has minEnd > E, and holds nothing of that window.
 *
 * @param fresh partial aggregates of this checkpoint's entries, by operator
 * @param resultsOf asked for an operator with windows to close before anything is written, so that a table that cannot be
 * written leaves nothing behind; what it returns takes their final state, one row per key and window
 */
export async function advanceState(
  runtime: Runtime,
  last: Last,
  computed: number | null,
  fresh: ReadonlyMap<string, readonly Batch[]>,
  resultsOf: (operator: AggregatePlan) => (closed: Batch) => void,
): Promise<AdvancedState> {
  const slices = new Map<AggregatePlan, readonly StateRef[]>()
  for (const [id, refs] of Object.entries(last.body?.state ?? {})) {
    for (const { fingerprint } of refs) knownOperator(runtime, id, fingerprint)
    if (Object.hasOwn(runtime.plan.operators, id)) slices.set(lookup(runtime.plan.operators, id, 'operator'), inOrder(refs))
  }
  let bound = computed
  for (const [operator, refs] of slices) bound = affordableWatermark(operator, refs, bound, runtime.limits.maxStateRows)

  const state: Record<string, readonly StateRef[]> = {}
  const written: string[] = []
  let stillDue = false
  for (const operator of Object.values(runtime.plan.operators)) {
    const write = async (rows: Batch): Promise<StateRef> => {
      const ref = await writeSlice(runtime, operator, rows, last.n + 1)
      written.push(runtime.staging + ref.object)
      return ref
    }
    const refs = slices.get(operator) ?? []
    const touched = refs.filter((ref) => isDue(operator, ref, bound))
    const kept = refs.filter((ref) => !isDue(operator, ref, bound))
    const open = await closeWindows(runtime, operator, touched, fresh.get(operator.id) ?? [], bound, write, resultsOf)
    // While windows wait to be closed, their slices are about to be read anyway.
    const spare = bound === computed ? runtime.limits.maxStateRows - rowsOf(touched) : 0
    const left = await mergeNeighbours(runtime, operator, kept, open.length, spare, write)
    state[operator.id] = inOrder([...left, ...open])
    stillDue ||= state[operator.id].some((ref) => isDue(operator, ref, computed))
  }
  // Where nothing is open below it after all, the computed watermark closes nothing more.
  return { watermark: stillDue ? bound : computed, state, written }
}

const rowsOf = (refs: readonly StateRef[]): number => refs.reduce((sum, { rows }) => sum + rows, 0)
const inOrder = (refs: readonly StateRef[]): StateRef[] => [...refs].sort((a, b) => a.minEnd - b.minEnd || a.maxEnd - b.maxEnd)

/** True when a slice holds a window that the watermark closes. */
function isDue({ allowedLatenessMs }: AggregatePlan, ref: StateRef, watermark: number | null): boolean {
  return watermark !== null && ref.minEnd + allowedLatenessMs <= watermark
}

/**
 * The greatest watermark up to `watermark` that touches slices of at most `maxRows`: just below the first slice left out. Slices
 * with the same first window can only be had together: then the watermark closes that one window, so that each checkpoint
 * gets on. It is never below the one before, since every open window lies above that.
 *
 * @param refs in order of minEnd
 */
function affordableWatermark(
  operator: AggregatePlan,
  refs: readonly StateRef[],
  watermark: number | null,
  maxRows: number,
): number | null {
  const due = refs.filter((ref) => isDue(operator, ref, watermark))
  let rows = 0
  const leftOut = due.find((ref, i) => (rows += ref.rows) > maxRows && i > 0)
  if (leftOut === undefined) return watermark
  const [{ minEnd }] = due
  return operator.allowedLatenessMs + (leftOut.minEnd > minEnd ? leftOut.minEnd - 1 : minEnd)
}

/**
 * Loads the touched slices one by one and keeps in memory what closes. What stays open of them is merged with what is fresh,
 * unless they are more than one checkpoint should hold (they share their first window): then each is written again without its
 * closed windows, and in smaller pieces, so that as many as overlap can be loaded together next time.
 */
async function closeWindows(
  runtime: Runtime,
  operator: AggregatePlan,
  touched: readonly StateRef[],
  fresh: readonly Batch[],
  watermark: number | null,
  write: (rows: Batch) => Promise<StateRef>,
  resultsOf: (operator: AggregatePlan) => (closed: Batch) => void,
): Promise<StateRef[]> {
  const { maxStateRows } = runtime.limits
  const at = watermark ?? Number.NEGATIVE_INFINITY
  const tooMany = rowsOf(touched) > maxStateRows
  const refs: StateRef[] = []
  const writeAll = async (open: Batch, maxRows: number): Promise<void> => {
    for (const piece of pieces(operator, open, maxRows)) refs.push(await write(piece))
  }
  const merged = splitClosed(operator, mergePartials(operator, fresh), at)
  const emit = touched.length > 0 || merged.closed.rows > 0 ? resultsOf(operator) : () => {}
  let closed = [merged.closed]
  const open = [merged.open]
  let unmerged = 0
  for (const ref of touched) {
    const part = splitClosed(operator, await loadSlice(runtime, ref), at)
    closed.push(part.closed)
    unmerged += part.closed.rows
    if (unmerged > maxStateRows) {
      // Many checkpoints may each hold a part of the same keys: merged, they are one row per key.
      closed = [mergePartials(operator, closed)]
      unmerged = 0
    }
    if (tooMany) await writeAll(part.open, Math.max(1, Math.floor(maxStateRows / touched.length)))
    else open.push(part.open)
  }
  emit(asOne(operator, closed))
  await writeAll(asOne(operator, open), maxStateRows)
  return refs
}

/** Parts that are each merged, as one. Most checkpoints have but one. */
function asOne(operator: AggregatePlan, parts: readonly Batch[]): Batch {
  const full = parts.filter(({ rows }) => rows > 0)
  return full.length === 1 ? full[0] : mergePartials(operator, full)
}

async function loadSlice(runtime: Runtime, ref: StateRef): Promise<Batch> {
  return decodeSlice(await objectRange(runtime, ref.object, ref.offset, ref.length)).batch
}

/**
 * Merged state, which is in order of windows, as pieces of at most `maxRows`; a cut goes between two windows where it can, so
 * that a piece covers few of them and shares none.
 */
function* pieces(operator: AggregatePlan, state: Batch, maxRows: number): Generator<Batch> {
  if (state.rows === 0) return
  if (state.rows <= maxRows) return yield state
  const rows = Int32Array.from({ length: state.rows }, (_, i) => i)
  const endAt = (row: number) => windowEnds(operator, take(state, rows.subarray(row, row + 1))).least
  for (let from = 0, to = 0; from < state.rows; from = to) {
    to = Math.min(from + maxRows, state.rows)
    if (to < state.rows && endAt(from) < endAt(to - 1)) {
      // The first row of the window that row `to` belongs to.
      const end = endAt(to)
      let below = from
      while (to - below > 1) {
        const middle = (below + to) >> 1
        if (endAt(middle) < end) below = middle
        else to = middle
      }
    }
    yield take(state, rows.subarray(from, to))
  }
}

/**
 * Merges slices when they are more than `maxStateSlices`: neighbours in order of window end, so that each goes on covering a
 * narrow range of windows, the smallest first, and only while a merged slice has at most `maxStateRows`. Where none fit, the list
 * grows: two neighbours then hold more than that, so it stays short for what it holds.
 *
 * @param refs in order of minEnd
 * @param others slices the operator has beside these
 * @param spare rows that may be loaded for it
 */
async function mergeNeighbours(
  runtime: Runtime,
  operator: AggregatePlan,
  refs: readonly StateRef[],
  others: number,
  spare: number,
  write: (rows: Batch) => Promise<StateRef>,
): Promise<StateRef[]> {
  const most = Math.max(1, runtime.limits.maxStateSlices - others)
  const groups = refs.map((ref) => [ref])
  const loaded = () => groups.reduce((sum, group) => sum + (group.length > 1 ? rowsOf(group) : 0), 0)
  while (groups.length > most) {
    let best = -1
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i + 1 < groups.length; i++) {
      const rows = rowsOf(groups[i]) + rowsOf(groups[i + 1])
      if (rows < least) [best, least] = [i, rows]
    }
    const both = [...groups[best], ...groups[best + 1]]
    const added = [groups[best], groups[best + 1]].reduce((sum, group) => sum + (group.length > 1 ? 0 : rowsOf(group)), 0)
    if (loaded() + added > spare) break
    groups.splice(best, 2, both)
  }
  const merged: StateRef[] = []
  for (const group of groups) {
    if (group.length === 1) merged.push(group[0])
    else {
      const batches: Batch[] = []
      for (const ref of group) batches.push(await loadSlice(runtime, ref))
      merged.push(await write(mergePartials(operator, batches)))
    }
  }
  return merged
}

async function writeSlice(runtime: Runtime, operator: AggregatePlan, open: Batch, n: number): Promise<StateRef> {
  const name = stateName(runtime.plan.name, runtime.incarnation, n, runtime.ports.random.uuid())
  const target = `state:${operator.id}`
  const bytes = encodeSlice({ source: operator.source, target, operator: operator.id, fingerprint: operator.fingerprint }, open)
  await runtime.ports.objects.put(runtime.staging + name, [bytes])
  const { least, greatest } = windowEnds(operator, open)
  return {
    object: name,
    offset: 0,
    length: bytes.length,
    rows: open.rows,
    fingerprint: operator.fingerprint,
    minEnd: least,
    maxEnd: greatest,
  }
}

/** Commit refuses only a fingerprint it does not know (protocol rule 19). */
export function knownOperator(runtime: Runtime, id: string, fingerprint: string | undefined): AggregatePlan {
  if (!Object.hasOwn(runtime.plan.operators, id)) throw unknownTarget(runtime, `operator ${id}`)
  const operator = lookup(runtime.plan.operators, id, 'operator')
  if (fingerprint !== operator.fingerprint)
    throw refused(
      `Cannot commit pipeline ${runtime.plan.name}: operator ${id} has open state of fingerprint ${fingerprint}, this definition is ${operator.fingerprint}. Run the definition that wrote it until its windows are closed, or start this one under another pipeline name.`,
    )
  return operator
}

export function unknownTarget(runtime: Runtime, what: string) {
  return refused(
    `Cannot commit pipeline ${runtime.plan.name}: staged data is for ${what}, which this definition does not have. Run the definition that staged it first.`,
  )
}
