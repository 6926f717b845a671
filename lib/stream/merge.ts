import type { Batch, Vector } from '../columns/batch.ts'
import { bytesDictionary } from '../columns/dictionary.ts'
import { concat, emptyBatch, take } from '../columns/operations.ts'
import type { Fields } from '../columns/schema.ts'
import { sortedRows } from '../columns/sort.ts'
import type { AggregatePlan } from '../pipeline/plan.ts'
import { groupRows, keysOf } from './fold.ts'
import { mergeAggregate } from './functions.ts'
import { intern } from './intern.ts'
import { stateFields, stateVectors, windowStarts } from './layout.ts'
import { isPast } from './watermark.ts'
import { windowEnd } from './windows.ts'

/**
 * Merges partial state, in any order and any nesting: one row per key and window, sorted by window_start, then keys
 * (nulls first). Equal input rows give equal output, bit for bit, however they were split and merged.
 */
export function mergePartials(op: AggregatePlan, batches: readonly Batch[]): Batch {
  const fields = stateFields(op)
  const full = batches.filter((batch) => batch.rows > 0)
  if (full.length === 0) return emptyBatch(fields)
  const state = concat(full)
  const windows = intern(state.vectors[op.keys.length], state.rows)
  const grouping = groupRows(windows.of, windows.count, state.vectors.slice(0, op.keys.length), state.rows)
  const perAggregate = stateVectors(op, state)
  const starts = take(
    { fields: [fields[op.keys.length]], rows: state.rows, vectors: [state.vectors[op.keys.length]] },
    grouping.first,
  )
  const inOneForm = (vector: Vector) => coded(vector, grouping.count)
  const merged: Batch = {
    fields,
    rows: grouping.count,
    vectors: [
      ...keysOf(op, state, grouping).map(inOneForm),
      ...starts.vectors,
      ...op.aggregates.flatMap((aggregate, k) => {
        const vectors = mergeAggregate(aggregate, perAggregate[k], grouping)
        return aggregate.fn === 'sum' || aggregate.fn === 'avg' ? vectors : vectors.map(inOneForm)
      }),
    ],
  }
  return take(merged, sortedByWindow(op, merged, windowStarts(op, merged)))
}

/**
 * Keys and picked values as a dictionary, even where it does not pay: whether they came as one depends on how slices were
 * cut, and equal state must be equal bytes. (Sums are never coded.)
 */
function coded(vector: Vector, rows: number): Vector {
  if ((vector.type !== 'string' && vector.type !== 'binary') || vector.codes !== undefined) return vector
  const { type, offsets, bytes, validity } = vector
  const dictionary = bytesDictionary()
  const codes = new Int32Array(rows)
  for (let i = 0; i < rows; i++) codes[i] = dictionary.code(bytes, offsets[i], offsets[i + 1])
  return { type, codes, ...dictionary.entries(), validity }
}

/**
 * Rows of a batch that begins with the operator's keys, by window start, then keys: the order of state and of results.
 * Window starts come as numbers, since comparing 64-bit slots makes a BigInt each time.
 */
export function sortedByWindow(op: AggregatePlan, batch: Batch, startsMs: Float64Array): Int32Array {
  const keys = op.keys.length
  const start: Vector = { type: 'double', values: startsMs, validity: undefined }
  const fields: Fields = [{ id: 0, name: 'window_start', type: 'double', required: true }, ...batch.fields.slice(0, keys)]
  return sortedRows(
    { fields, rows: batch.rows, vectors: [start, ...batch.vectors.slice(0, keys)] },
    fields.map((field) => ({ column: field.name, direction: 'asc' })),
  )
}

/** State of windows that are final at `watermarkMs`, and of those that are not (rule E3). Row order is kept. */
export function splitClosed(op: AggregatePlan, state: Batch, watermarkMs: number): { closed: Batch; open: Batch } {
  const starts = windowStarts(op, state)
  const closed: number[] = []
  const open: number[] = []
  for (let i = 0; i < state.rows; i++) {
    const end = windowEnd(starts[i], op.windowMs)
    if (isPast(end, op.allowedLatenessMs, watermarkMs)) closed.push(i)
    else open.push(i)
  }
  if (open.length === 0) return { closed: state, open: emptyBatch(state.fields) }
  if (closed.length === 0) return { closed: emptyBatch(state.fields), open: state }
  return { closed: take(state, Int32Array.from(closed)), open: take(state, Int32Array.from(open)) }
}

/** Least and greatest window end in a batch of state, milliseconds; Infinity and -Infinity when it is empty. */
export function windowEnds(op: AggregatePlan, state: Batch): { least: number; greatest: number } {
  let least = Number.POSITIVE_INFINITY
  let greatest = Number.NEGATIVE_INFINITY
  for (const start of windowStarts(op, state)) {
    const end = windowEnd(start, op.windowMs)
    if (end < least) least = end
    if (end > greatest) greatest = end
  }
  return { least, greatest }
}
