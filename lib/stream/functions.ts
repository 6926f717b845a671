import { expectType, type LongVector, type Vector } from '../columns/batch.ts'
import { getLong, isSafeLong, setLong, words } from '../columns/numbers.ts'
import { take } from '../columns/operations.ts'
import type { ColumnType, Field } from '../columns/schema.ts'
import { corrupt } from '../errors.ts'
import { aggregateType } from '../pipeline/aggregate-types.ts'
import type { Aggregate } from '../pipeline/plan.ts'
import { add, addColumn, addEncoded, type ExactSums, encodeSums, exactSums, integerSum, roundedSum } from './exact-sum.ts'
import { extremeRows, type Grouping, outermostRows, type Positions } from './extremes.ts'

/** A column before it gets its id. */
export type Column = Omit<Field, 'id'>

/**
 * What partial state holds of an aggregate, in columns named after it. Every state merges with any other, in any order.
 *
 * @param of the input column; undefined for `count()`
 */
export function stateColumns(aggregate: Aggregate, of: Field | undefined): Column[] {
  const column = (suffix: string, type: ColumnType, required: boolean): Column => ({
    name: `${aggregate.name}.${suffix}`,
    type,
    required,
  })
  const { type } = aggregateType(aggregate.fn, of)
  const required = of?.required ?? true
  switch (aggregate.fn) {
    case 'count':
      return [column('count', 'long', true)]
    case 'sum':
      return [column('sum', 'binary', required)]
    case 'avg':
      return [column('sum', 'binary', required), column('count', 'long', true)]
    case 'min':
    case 'max':
      return [column('value', type, required)]
    case 'first':
    case 'last':
      return [
        column('value', type, required),
        column('time', 'long', required),
        column('partition', 'int', required),
        column('offset', 'long', required),
      ]
  }
}

/** State of each group from input rows. `vector` is the input column, undefined for `count()`. */
export function foldAggregate(
  aggregate: Aggregate,
  vector: Vector | undefined,
  grouping: Grouping,
  positions: Positions,
): Vector[] {
  const { fn } = aggregate
  if (fn === 'count') return [counted(grouping, vector?.validity)]
  if (vector === undefined) throw corrupt(`Cannot aggregate with ${fn}: expected a column, found none.`)
  switch (fn) {
    case 'sum':
      return [summed(vector, grouping)]
    case 'avg':
      return [summed(vector, grouping), counted(grouping, vector.validity)]
    case 'min':
    case 'max':
      return [picked(vector, extremeRows(vector, grouping, fn === 'max'), grouping.rows)]
    case 'first':
    case 'last':
      return outermost(vector, positions, grouping, fn === 'last')
  }
}

/** State of each group from rows of state: the columns of `stateColumns`. */
export function mergeAggregate(aggregate: Aggregate, state: readonly Vector[], grouping: Grouping): Vector[] {
  switch (aggregate.fn) {
    case 'count':
      return [totalled(state[0], grouping)]
    case 'sum':
      return [summedAgain(state[0], grouping)]
    case 'avg':
      return [summedAgain(state[0], grouping), totalled(state[1], grouping)]
    case 'min':
    case 'max':
      return [picked(state[0], extremeRows(state[0], grouping, aggregate.fn === 'max'), grouping.rows)]
    case 'first':
    case 'last': {
      const positions: Positions = {
        timeMs: numbersOf(state[1], grouping.rows),
        partition: expectType(state[2], 'int').values,
        offset: numbersOf(state[3], grouping.rows),
      }
      return outermost(state[0], positions, grouping, aggregate.fn === 'last')
    }
  }
}

/** The result of each row of state. */
export function finishAggregate(aggregate: Aggregate, of: Field | undefined, state: readonly Vector[], rows: number): Vector {
  switch (aggregate.fn) {
    case 'sum': {
      const sums = decoded(state[0], rows)
      return aggregateType('sum', of).type === 'double'
        ? { type: 'double', values: roundedSums(sums), validity: state[0].validity }
        : integerSums(sums, state[0].validity, of?.type === 'long')
    }
    case 'avg': {
      const values = roundedSums(decoded(state[0], rows))
      const counts = words(expectType(state[1], 'long').values)
      let validity: Uint8Array | undefined
      for (let i = 0; i < rows; i++) {
        const count = getLong(counts, i)
        if (count > 0) values[i] /= count
        else (validity ??= new Uint8Array(rows).fill(1))[i] = 0
      }
      return { type: 'double', values, validity }
    }
    default:
      return state[0]
  }
}

/** A long or timestamptz column as numbers: exact up to 2^53, as event times and offsets are. */
export function numbersOf(vector: Vector, rows: number): Float64Array {
  const longs = words(expectType(vector, 'long', 'timestamptz').values)
  const numbers = new Float64Array(rows)
  for (let i = 0; i < rows; i++) numbers[i] = getLong(longs, i)
  return numbers
}

/** A column of longs from safe integers. */
export function longsFrom(numbers: Float64Array, validity?: Uint8Array): LongVector {
  const values = new BigInt64Array(numbers.length)
  const longs = words(values)
  for (let i = 0; i < numbers.length; i++) setLong(longs, i, numbers[i])
  return { type: 'long', values, validity }
}

/** 1 for groups that have a value; undefined when all have. */
function present(grouping: Grouping, validity: Uint8Array | undefined): Uint8Array | undefined {
  if (validity === undefined) return undefined
  const seen = new Uint8Array(grouping.count)
  for (let i = 0; i < grouping.rows; i++) if (grouping.of[i] >= 0 && validity[i] === 1) seen[grouping.of[i]] = 1
  return seen.includes(0) ? seen : undefined
}

/** Rows (with a value, where there is a validity) of each group. */
function counted(grouping: Grouping, validity: Uint8Array | undefined): LongVector {
  const { rows, of } = grouping
  const counts = new Float64Array(grouping.count)
  for (let i = 0; i < rows; i++) if (of[i] >= 0 && (validity === undefined || validity[i] === 1)) counts[of[i]]++
  return longsFrom(counts)
}

function totalled(vector: Vector, grouping: Grouping): LongVector {
  const { rows, of } = grouping
  const counts = words(expectType(vector, 'long').values)
  const totals = new Float64Array(grouping.count)
  for (let i = 0; i < rows; i++) if (of[i] >= 0) totals[of[i]] += getLong(counts, i)
  return longsFrom(totals)
}

function summed(vector: Vector, grouping: Grouping): Vector {
  const { validity } = vector
  const sums = exactSums(grouping.count)
  if (vector.type === 'double' || vector.type === 'int') addColumn(sums, grouping.of, vector.values, validity, grouping.rows)
  else addLongs(sums, expectType(vector, 'long'), grouping)
  return encodeSums(sums, present(grouping, validity))
}

/** A long beyond 2^53 is two doubles: its halves. */
function addLongs(sums: ExactSums, vector: LongVector, { of, rows }: Grouping): void {
  const longs = words(vector.values)
  const numbers = new Float64Array(rows)
  let safe = true
  for (let i = 0; i < rows; i++) {
    numbers[i] = getLong(longs, i)
    safe &&= isSafeLong(longs, i)
  }
  if (safe) {
    addColumn(sums, of, numbers, vector.validity, rows)
    return
  }
  for (let i = 0; i < rows; i++) {
    if (of[i] < 0 || (vector.validity !== undefined && vector.validity[i] === 0)) continue
    add(sums, of[i], longs[2 * i + 1] * 4294967296)
    add(sums, of[i], longs[2 * i] >>> 0)
  }
}

function summedAgain(vector: Vector, grouping: Grouping): Vector {
  const sums = exactSums(grouping.count)
  addEncoded(sums, grouping.of, expectType(vector, 'binary'), grouping.rows)
  return encodeSums(sums, present(grouping, vector.validity))
}

function decoded(vector: Vector, rows: number): ExactSums {
  const sums = exactSums(rows)
  const itself = new Int32Array(rows)
  for (let i = 0; i < rows; i++) itself[i] = i
  addEncoded(sums, itself, expectType(vector, 'binary'), rows)
  return sums
}

function roundedSums(sums: ExactSums): Float64Array {
  const values = new Float64Array(sums.groups)
  for (let g = 0; g < sums.groups; g++) values[g] = roundedSum(sums, g)
  return values
}

/** Exact sums of integers; null (where `nullable`) when one does not fit 64 bits, as Spark's try_sum. */
function integerSums(sums: ExactSums, validity: Uint8Array | undefined, nullable: boolean): LongVector {
  const values = new BigInt64Array(sums.groups)
  let present = validity
  for (let g = 0; g < sums.groups; g++) {
    const sum = integerSum(sums, g)
    if (BigInt.asIntN(64, sum) === sum) {
      values[g] = sum
      continue
    }
    if (!nullable) throw corrupt(`Cannot finish a sum of ints: expected it to fit 64 bits, found a greater one.`)
    if (present === validity) present = validity?.slice(0, sums.groups) ?? new Uint8Array(sums.groups).fill(1)
    if (present !== undefined) present[g] = 0
  }
  return { type: 'long', values, validity: present }
}

/** Those rows of a column; its validity only if a null is among them. */
function picked(vector: Vector, best: Int32Array, rows: number): Vector {
  const field: Field = { id: 1, name: 'value', type: vector.type, required: false }
  const [chosen] = take({ fields: [field], rows, vectors: [vector] }, best).vectors
  return chosen.validity === undefined || chosen.validity.includes(0) ? chosen : { ...chosen, validity: undefined }
}

function outermost(vector: Vector, positions: Positions, grouping: Grouping, last: boolean): Vector[] {
  const best = outermostRows(vector.validity, positions, grouping, last)
  const value = picked(vector, best, grouping.rows)
  const { validity } = value
  const times = new Float64Array(grouping.count)
  const partitions = new Int32Array(grouping.count)
  const offsets = new Float64Array(grouping.count)
  for (let g = 0; g < grouping.count; g++) {
    if (validity !== undefined && validity[g] === 0) continue
    times[g] = positions.timeMs[best[g]]
    partitions[g] = positions.partition[best[g]]
    offsets[g] = positions.offset[best[g]]
  }
  return [value, longsFrom(times, validity), { type: 'int', values: partitions, validity }, longsFrom(offsets, validity)]
}
