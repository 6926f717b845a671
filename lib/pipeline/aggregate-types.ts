import type { ColumnType, Field } from '../columns/schema.ts'
import { invalidPipeline } from '../errors.ts'
import type { AggregateFunction } from './plan.ts'

/** Types each function takes, besides `count`, which takes any and none. */
const TAKES: Readonly<Record<Exclude<AggregateFunction, 'count'>, readonly ColumnType[]>> = {
  sum: ['int', 'long', 'double'],
  avg: ['int', 'long', 'double'],
  min: ['boolean', 'int', 'long', 'double', 'string', 'timestamptz'],
  max: ['boolean', 'int', 'long', 'double', 'string', 'timestamptz'],
  first: ['boolean', 'int', 'long', 'double', 'string', 'binary', 'timestamptz'],
  last: ['boolean', 'int', 'long', 'double', 'string', 'binary', 'timestamptz'],
}

/**
 * Type of an aggregate's result. Aggregates ignore nulls, so a result is null only where a window may hold none but nulls:
 * it is required iff its input is. Two differ: a count always is; a sum of longs never is, since it is null when the exact
 * sum does not fit 64 bits.
 *
 * @param of the input column; undefined only for `count()`
 * @throws InvalidPipeline when the function does not take that type
 */
export function aggregateType(fn: AggregateFunction, of: Field | undefined): { type: ColumnType; required: boolean } {
  if (fn === 'count') return { type: 'long', required: true }
  if (of === undefined)
    throw invalidPipeline(`Cannot aggregate with ${fn}: expected a column, found none. Name one, as in ${fn}('price').`)
  if (!TAKES[fn].includes(of.type))
    throw invalidPipeline(
      `Cannot aggregate column ${of.name} with ${fn}: expected ${TAKES[fn].join(', ')}, found ${of.type}. Use another column or function.`,
    )
  switch (fn) {
    case 'sum':
      return of.type === 'double'
        ? { type: 'double', required: of.required }
        : { type: 'long', required: of.type === 'int' && of.required }
    case 'avg':
      return { type: 'double', required: of.required }
    default:
      return { type: of.type, required: of.required }
  }
}
