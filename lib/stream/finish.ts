import type { Batch } from '../columns/batch.ts'
import { take } from '../columns/operations.ts'
import type { AggregatePlan } from '../pipeline/plan.ts'
import { finishAggregate } from './functions.ts'
import { fieldOf, resultFields, stateVectors, timestamps, windowStarts } from './layout.ts'
import { sortedByWindow } from './merge.ts'

/**
 * The results of merged state (one row per key and window): columns `resultFields`, sorted by window_start, then keys.
 */
export function finish(op: AggregatePlan, state: Batch): Batch {
  const perAggregate = stateVectors(op, state)
  const starts = windowStarts(op, state)
  const results: Batch = {
    fields: resultFields(op),
    rows: state.rows,
    vectors: [
      ...state.vectors.slice(0, op.keys.length),
      timestamps(starts),
      timestamps(starts.map((start) => start + op.windowMs)),
      ...op.aggregates.map((aggregate, k) => finishAggregate(aggregate, fieldOf(op, aggregate), perAggregate[k], state.rows)),
    ],
  }
  return take(results, sortedByWindow(op, results, starts))
}
