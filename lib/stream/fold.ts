import { type Batch, expectType, type Vector, vectorOf } from '../columns/batch.ts'
import { emptyBatch, select, take } from '../columns/operations.ts'
import type { Fields } from '../columns/schema.ts'
import type { AggregatePlan } from '../pipeline/plan.ts'
import type { Grouping } from './extremes.ts'
import { foldAggregate, numbersOf } from './functions.ts'
import { combine, firsts, intern } from './intern.ts'
import { inputField, stateFields, timestamps } from './layout.ts'
import { assignWindows } from './windows.ts'

/** Partial state of a batch, and its late rows. */
export interface Folded {
  /** One row per key and window that has an on-time row, in the order they first came; columns: `stateFields`. */
  readonly partials: Batch
  /** Row numbers, ascending. */
  readonly late: Int32Array
  /** Start of the window that each was late for, milliseconds. */
  readonly lateWindowStart: Float64Array
}

/**
 * Folds rows into partial aggregates, one row per key and window: column by column, nothing allocated per row.
 *
 * @param batch the operator's input columns, kafka_partition and kafka_offset among them
 * @param eventTimeMs by row, within ±8.64e15
 * @param watermarkBefore by row, as `judge` tells it: what makes a row late
 */
export function fold(op: AggregatePlan, batch: Batch, eventTimeMs: Float64Array, watermarkBefore: Float64Array): Folded {
  const { rows } = batch
  const fields = stateFields(op)
  const { windowOf, startsMs, late, lateStartsMs } = assignWindows(
    eventTimeMs,
    watermarkBefore,
    rows,
    op.windowMs,
    op.allowedLatenessMs,
  )
  if (late.length === rows) return { partials: emptyBatch(fields), late, lateWindowStart: lateStartsMs }
  const keys = op.keys.map((key) => vectorOf(batch, key))
  const grouping = groupRows(windowOf, startsMs.length, keys, rows)
  const positions = {
    timeMs: eventTimeMs,
    partition: expectType(vectorOf(batch, 'kafka_partition'), 'int').values,
    offset: numbersOf(vectorOf(batch, 'kafka_offset'), rows),
  }
  const starts = new Float64Array(grouping.count)
  for (let g = 0; g < grouping.count; g++) starts[g] = startsMs[windowOf[grouping.first[g]]]
  const vectors = [
    ...keysOf(op, batch, grouping),
    timestamps(starts),
    ...op.aggregates.flatMap((aggregate) =>
      foldAggregate(aggregate, aggregate.of === undefined ? undefined : vectorOf(batch, aggregate.of), grouping, positions),
    ),
  ]
  return { partials: { fields, rows: grouping.count, vectors }, late, lateWindowStart: lateStartsMs }
}

/** Groups rows by window and keys; `windowOf` -1 leaves a row out. */
export function groupRows(windowOf: Int32Array, windows: number, keys: readonly Vector[], rows: number): Grouping {
  let groups = { of: windowOf, count: windows, first: firsts(windowOf, windows, rows) }
  for (const key of keys) {
    const { of, count } = intern(key, rows)
    groups = combine(groups.of, groups.count, of, count, rows)
  }
  return { rows, ...groups }
}

/** The key columns of each group. -0 and 0 are one key: it is written as 0. */
export function keysOf(op: AggregatePlan, batch: Batch, grouping: Grouping): Vector[] {
  return take(
    select(
      batch,
      op.keys.map((key) => inputField(op, key)),
    ),
    grouping.first,
  ).vectors.map((vector) => (vector.type === 'double' ? { ...vector, values: vector.values.map((value) => value + 0) } : vector))
}

/**
 * Rows of the late table: the columns of `fields` that the batch has, and window_start, window_end and the watermark that
 * made the row late (timestamptz), one row per window that it was too late for.
 *
 * @param late row numbers of `batch`, as `fold` tells them, with `lateWindowStart` and the same `watermarkBefore`
 */
export function lateBatch(
  op: AggregatePlan,
  batch: Batch,
  late: Int32Array,
  lateWindowStart: Float64Array,
  watermarkBefore: Float64Array,
  fields: Fields,
): Batch {
  const watermarks = new Float64Array(late.length)
  for (let i = 0; i < late.length; i++) watermarks[i] = watermarkBefore[late[i]]
  const added: Record<string, Vector> = {
    window_start: timestamps(lateWindowStart),
    window_end: timestamps(lateWindowStart.map((start) => start + op.windowMs)),
    watermark: timestamps(watermarks),
  }
  const kept = fields.filter((field) => !Object.hasOwn(added, field.name))
  const rows = take(select(batch, kept), late)
  return {
    fields,
    rows: late.length,
    vectors: fields.map((field) => (Object.hasOwn(added, field.name) ? added[field.name] : vectorOf(rows, field.name))),
  }
}
