import type { Batch, LongVector, Vector } from '../columns/batch.ts'
import { getQuotient, setProduct, words } from '../columns/numbers.ts'
import { type Field, type Fields, indexOfField, numbered } from '../columns/schema.ts'
import { corrupt } from '../errors.ts'
import { aggregateType } from '../pipeline/aggregate-types.ts'
import type { Aggregate, AggregatePlan } from '../pipeline/plan.ts'
import { type Column, stateColumns } from './functions.ts'

const MICROS_PER_MILLI = 1000

/** A column of the operator's input by name. */
export function inputField(op: AggregatePlan, name: string): Field {
  const field = op.input[indexOfField(op.input, name)]
  if (field === undefined)
    throw corrupt(`Cannot find column ${name}: operator ${op.id} takes ${op.input.map((f) => f.name).join(', ')}.`)
  return field
}

/** The input column of an aggregate; undefined for `count()`. */
export function fieldOf(op: AggregatePlan, aggregate: Aggregate): Field | undefined {
  return aggregate.of === undefined ? undefined : inputField(op, aggregate.of)
}

const keyColumns = (op: AggregatePlan): Column[] =>
  op.keys.map((key) => {
    const { name, type, required } = inputField(op, key)
    return { name, type, required }
  })

/** Columns of an operator's results: keys, window_start, window_end, aggregates, numbered in that order. */
export function resultFields(op: AggregatePlan): Fields {
  return numbered([
    ...keyColumns(op),
    { name: 'window_start', type: 'timestamptz', required: true },
    { name: 'window_end', type: 'timestamptz', required: true },
    ...op.aggregates.map((aggregate) => ({ name: aggregate.name, ...aggregateType(aggregate.fn, fieldOf(op, aggregate)) })),
  ])
}

/** Columns of an operator's partial state: keys, window_start, then what each aggregate keeps (`stateColumns`). */
export function stateFields(op: AggregatePlan): Fields {
  return numbered([
    ...keyColumns(op),
    { name: 'window_start', type: 'timestamptz', required: true },
    ...op.aggregates.flatMap((aggregate) => stateColumns(aggregate, fieldOf(op, aggregate))),
  ])
}

/** The state columns of each aggregate, in their order. */
export function stateVectors(op: AggregatePlan, state: Batch): Vector[][] {
  let at = op.keys.length + 1
  return op.aggregates.map((aggregate) => {
    const from = at
    at += stateColumns(aggregate, fieldOf(op, aggregate)).length
    return state.vectors.slice(from, at)
  })
}

/** window_start of each row of state, in milliseconds. */
export function windowStarts(op: AggregatePlan, state: Batch): Float64Array {
  const vector = state.vectors[op.keys.length]
  if (vector?.type !== 'timestamptz')
    throw corrupt(`Cannot read state of operator ${op.id}: expected window_start after its keys.`)
  const longs = words(vector.values)
  const starts = new Float64Array(state.rows)
  for (let i = 0; i < state.rows; i++) starts[i] = getQuotient(longs, i, MICROS_PER_MILLI)
  return starts
}

/** Milliseconds as a timestamptz column: microseconds, exact over the whole range of event time. */
export function timestamps(ms: Float64Array): LongVector {
  const values = new BigInt64Array(ms.length)
  const longs = words(values)
  for (let i = 0; i < ms.length; i++) setProduct(longs, i, ms[i], MICROS_PER_MILLI)
  return { type: 'timestamptz', values, validity: undefined }
}
