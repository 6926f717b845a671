import { type Fields, indexOfField } from '../columns/schema.ts'
import { invalidPipeline } from '../errors.ts'
import { aggregateType } from './aggregate-types.ts'
import { checkColumnName, deepFreeze, shown } from './check.ts'
import { fieldOf } from './nodes.ts'
import type { Aggregate, AggregateFunction } from './plan.ts'
import type { Column, NamesOf, Schema } from './schema-types.ts'

/** One aggregate of a window: a function and the column it is of. */
export interface AggregateCall<C extends Column = Column> {
  readonly fn: AggregateFunction
  readonly of: string | undefined
  readonly column: C
}

type ColumnOf<S extends Schema, N> = N extends keyof S ? Column<S[N]['type'], S[N]['required']> : never
/** As `aggregateType` has it: a sum of longs is null when it does not fit 64 bits. */
type SumOf<S extends Schema, N> = N extends keyof S
  ? S[N]['type'] extends 'double'
    ? Column<'double', S[N]['required']>
    : Column<'long', S[N]['type'] extends 'int' ? S[N]['required'] : false>
  : never
type AverageOf<S extends Schema, N> = N extends keyof S ? Column<'double', S[N]['required']> : never

/**
 * What can be said of the rows of a window, per key. All of it merges in any order: the same rows give the same result
 * whatever their batches, retries and arrival. Nulls are ignored; of nothing but nulls the result is null.
 */
export interface Aggregates<S extends Schema> {
  /** How many rows. */
  count(): AggregateCall<Column<'long', true>>
  /** The exact sum, rounded once at the end; of whole numbers a long, and null when it does not fit 64 bits. */
  sum<N extends NamesOf<S>['number']>(of: N): AggregateCall<SumOf<S, N>>
  /** The exact sum, rounded once, divided by the count. */
  avg<N extends NamesOf<S>['number']>(of: N): AggregateCall<AverageOf<S, N>>
  min<N extends NamesOf<S>['ordered']>(of: N): AggregateCall<ColumnOf<S, N>>
  max<N extends NamesOf<S>['ordered']>(of: N): AggregateCall<ColumnOf<S, N>>
  /** The value of the earliest row, by event time, then partition, then offset. */
  first<N extends NamesOf<S>['any']>(of: N): AggregateCall<ColumnOf<S, N>>
  /** The value of the latest row, by event time, then partition, then offset. */
  last<N extends NamesOf<S>['any']>(of: N): AggregateCall<ColumnOf<S, N>>
}

/** Runs an `aggregate` callback, once, and checks what it gave. Throws `InvalidPipeline`. */
export function aggregatesFrom(build: unknown, row: Fields, keys: readonly string[]): readonly Aggregate[] {
  if (typeof build !== 'function')
    throw invalidPipeline(
      `Cannot aggregate: expected a callback such as (a) => ({ volume: a.sum('qty') }), found ${shown(build)}.`,
    )
  const built: unknown = build(aggregatesOver(row))
  if (typeof built !== 'object' || built === null || Array.isArray(built))
    throw invalidPipeline(`Cannot aggregate: expected the callback to give an object of aggregates, found ${shown(built)}.`)
  const aggregates = Object.entries(built).map(([name, value]: [string, unknown]) => {
    checkColumnName(`name an aggregate`, name)
    if (keys.includes(name)) throw invalidPipeline(`Cannot name an aggregate ${name}: it is a key of the window. Choose another.`)
    const call = value as AggregateCall | null | undefined
    if (!calls.has(call as object))
      throw invalidPipeline(`Cannot aggregate ${name}: expected an aggregate such as a.sum('qty'), found ${shown(value)}.`)
    return { name, fn: (call as AggregateCall).fn, of: (call as AggregateCall).of }
  })
  if (aggregates.length === 0) throw invalidPipeline(`Cannot aggregate: expected at least one aggregate, such as a.count().`)
  return deepFreeze(aggregates)
}

const calls = new WeakSet<object>()

function aggregatesOver(row: Fields): Aggregates<Schema> {
  const call = (fn: AggregateFunction, of: string | undefined): AggregateCall<never> => {
    const field = of === undefined ? undefined : fieldOf(row, of)
    if (field === undefined && fn !== 'count')
      throw invalidPipeline(
        `Cannot aggregate ${fn}(${shown(of)}): expected one of ${row.map((candidate) => candidate.name).join(', ')}.`,
      )
    const made = deepFreeze({ fn, of, column: aggregateType(fn, field) }) as AggregateCall<never>
    calls.add(made)
    return made
  }
  return Object.freeze({
    count: () => call('count', undefined),
    sum: (of: string) => call('sum', of),
    avg: (of: string) => call('avg', of),
    min: (of: string) => call('min', of),
    max: (of: string) => call('max', of),
    first: (of: string) => call('first', of),
    last: (of: string) => call('last', of),
  })
}

/** Checks the keys of a window. Throws `InvalidPipeline`. */
export function keysFrom(names: readonly unknown[], row: Fields): readonly string[] {
  if (names.length === 0) throw invalidPipeline(`Cannot key a stream: expected at least one column, found none.`)
  const keys: string[] = []
  for (const name of names) {
    const field = typeof name === 'string' ? row[indexOfField(row, name)] : undefined
    if (field === undefined)
      throw invalidPipeline(`Cannot key a stream by ${shown(name)}: expected one of ${row.map((f) => f.name).join(', ')}.`)
    if (field.type === 'double' || field.type === 'binary')
      throw invalidPipeline(`Cannot key a stream by ${field.name}: expected a type that is equal or not, found ${field.type}.`)
    if (keys.includes(field.name)) throw invalidPipeline(`Cannot key a stream by ${field.name} twice. Name it once.`)
    keys.push(field.name)
  }
  return Object.freeze(keys)
}
