import { type Fields, indexOfField } from '../columns/schema.ts'
import { invalidPipeline } from '../errors.ts'
import { type AggregateCall, type Aggregates, aggregatesFrom, keysFrom } from './aggregates.ts'
import { checkColumnName, checkName, checkOptions, deepFreeze, shown } from './check.ts'
import { type Duration, durationMs } from './durations.ts'
import {
  type AggregateNode,
  type AppendNode,
  fieldOf,
  type KeyByNode,
  lateRow,
  type RowNode,
  rowOf,
  type WindowNode,
  wholeRow,
} from './nodes.ts'
import type { Column, Flat, LateSchema, NamesOf, NewName, Schema, WindowSchema } from './schema-types.ts'
import { type Columns, expressionFrom, type Typed } from './terms.ts'
import { LAYOUT_OPTIONS, layoutOf, type TableOptions } from './transforms.ts'

/**
 * How a stream's rows may be kept. A row of an `append` stream is final; a `revising` one replaces what was said before
 * of its key, and cannot be appended. (Nothing revises yet: early results and upserts come.)
 */
export type Mode = 'append' | 'revising'

/**
 * Rows of a source, one by one. Immutable: every method gives a new stream.
 *
 * `S` is the columns there are to use; `W` all that are known, whatever was selected: late rows hold them.
 */
export interface Stream<S extends Schema, M extends Mode = 'append', W extends Schema = S> {
  readonly node: RowNode
  readonly mode: M
  readonly columns: S
  /**
   * Keeps the rows for which the predicate is true; false and null drop. The callback runs once, at definition.
   * Rows that are dropped still move the watermark.
   * @example trades.filter((c) => c.price.gt(0).and(c.side.eq('BUY')))
   */
  filter(predicate: (c: Columns<S>) => Typed<Column<'boolean'>>): Stream<S, M, W>
  /**
   * Adds a column. The callback runs once, at definition.
   * @example trades.compute('notional', (c) => c.price.multiply(c.qty))
   */
  compute<const N extends string, C extends Column>(
    name: NewName<W, N>,
    value: (c: Columns<S>) => Typed<C>,
  ): Stream<Flat<S & Record<N, C>>, M, Flat<W & Record<N, C>>>
  /**
   * Keeps these columns, in this order.
   * @example trades.select('symbol', 'price', 'event_time')
   */
  select<const N extends NamesOf<S>['any']>(...columns: readonly [N, ...N[]]): Stream<Flat<Pick<S, N>>, M, W>
  /**
   * Groups rows by the values of columns; a null is a value of its own.
   * @example trades.keyBy('symbol').window(tumbling(minutes(1)))
   */
  keyBy<const K extends NamesOf<S>['key']>(...columns: readonly [K, ...K[]]): Keyed<S, K, M, W>
  /**
   * Appends the rows to an Iceberg table.
   * @example trades.appendTo('raw_trades', { partitionBy: ['day(event_time)'], sortBy: ['symbol', 'price desc'] })
   */
  appendTo(this: { readonly mode: 'append' }, table: string, options?: TableOptions<S>): Sink
}

/** A stream with its keys, waiting for a window. */
export interface Keyed<S extends Schema, K extends string, M extends Mode, W extends Schema> {
  readonly node: KeyByNode
  /**
   * Cuts event time into windows. A window closes, once and for good, when the watermark reaches its end plus the
   * allowed lateness; later rows go to the late table.
   * @example .window(tumbling(minutes(1)), { allowedLateness: seconds(30) })
   */
  window(window: Tumbling, options?: WindowOptions): Windowed<S, K, M, W>
}

export interface WindowOptions {
  /** How long after its end a window waits for rows beyond the watermark. @default 0 */
  readonly allowedLateness?: Duration
}

/** Windows of one size that follow each other without a gap, aligned to the epoch. */
export interface Tumbling {
  readonly kind: 'tumbling'
  readonly size: Duration
}

/** @example tumbling(minutes(1)) */
export function tumbling(size: Duration): Tumbling {
  durationMs('make a tumbling window', size, 1)
  return Object.freeze({ kind: 'tumbling', size })
}

/** A stream cut into windows by key, waiting for what to compute. */
export interface Windowed<S extends Schema, K extends string, M extends Mode, W extends Schema> {
  readonly node: WindowNode
  /**
   * Computes one row per key and window: the keys, `window_start`, `window_end`, then the aggregates as named.
   * @param options.id names the open state in the logs; keep it when the table is renamed. @default the table's name
   * @example .aggregate((a) => ({ open: a.first('price'), volume: a.sum('qty'), trade_count: a.count() }))
   */
  aggregate<A extends Readonly<Record<string, AggregateCall>>>(
    build: (a: Aggregates<S>) => A & Clashes<keyof A & string, K>,
    options?: { readonly id?: string },
  ): Result<Flat<Pick<S, K> & WindowSchema & { readonly [N in keyof A]: A[N]['column'] }>, M, Flat<W & LateSchema>>
}

/** Makes an aggregate's name that is taken an error that says so. */
type Clashes<N extends string, K extends string> = {
  readonly [C in N & (K | keyof WindowSchema)]: `the result has a column ${C} already`
}

/** Results of windows, one final row per key and window; `L` is the columns of its late rows. */
export interface Result<S extends Schema, M extends Mode, L extends Schema> {
  readonly node: AggregateNode
  readonly mode: M
  readonly columns: S
  /** The columns of rows that were too late for their window. */
  readonly lateColumns: L
  /**
   * Appends the results to an Iceberg table, and late rows to one beside it.
   * @example candles.appendTo('agg_1m', { partitionBy: ['day(window_start)'], late: { partitionBy: ['day(event_time)'] } })
   */
  appendTo(this: { readonly mode: 'append' }, table: string, options?: ResultTableOptions<S, L>): Sink
}

export interface ResultTableOptions<S extends Schema, L extends Schema> extends TableOptions<S> {
  /** The table of late rows: the row, window_start and window_end of the window it was too late for, and the watermark. */
  readonly late?: TableOptions<L> & {
    /** @default the table's name followed by `_late` */
    readonly table?: string
  }
}

/** A stream and the table it is appended to. */
export interface Sink {
  readonly kind: 'sink'
  readonly node: AppendNode
}

/** The builder of a stream of rows. */
export function streamOf<S extends Schema, W extends Schema>(node: RowNode): Stream<S, 'append', W> {
  const row = rowOf(node)
  const stream = {
    node: deepFreeze(node),
    mode: 'append',
    columns: columnsRecord(row),
    filter(predicate: unknown) {
      const what = 'filter a stream'
      const { expression, type } = expressionFrom(what, predicate, row)
      if (type !== 'boolean')
        throw invalidPipeline(`Cannot ${what}: expected a predicate, which is true or false, found ${type}.`)
      return streamOf({ kind: 'filter', input: node, predicate: expression })
    },
    compute(name: unknown, value: unknown) {
      const what = `compute column ${shown(name)}`
      const checked = checkColumnName(what, name)
      if (indexOfField(wholeRow(node), checked) >= 0)
        throw invalidPipeline(`Cannot ${what}: there is already a column ${checked}. Choose another name.`)
      const { expression, type, required } = expressionFrom(what, value, row)
      return streamOf({ kind: 'compute', input: node, name: checked, expression, type, required })
    },
    select(...columns: unknown[]) {
      return streamOf({ kind: 'select', input: node, columns: selected(columns, row) })
    },
    keyBy(...columns: unknown[]) {
      return keyedOf({ kind: 'keyBy', input: node, keys: keysFrom(columns, row) })
    },
    appendTo(table: unknown, options: unknown = {}): Sink {
      const name = checkName('append to a table', table)
      checkOptions(`append to table ${name}`, options, LAYOUT_OPTIONS)
      return sinkOf({ kind: 'append', input: node, table: name, ...layoutOf(name, row, options as object), late: undefined })
    },
  }
  return Object.freeze(stream) as unknown as Stream<S, 'append', W>
}

function keyedOf(node: KeyByNode): Keyed<Schema, string, 'append', Schema> {
  return Object.freeze({
    node: deepFreeze(node),
    window(window: Tumbling, options: WindowOptions = {}) {
      if ((window as Tumbling | undefined)?.kind !== 'tumbling')
        throw invalidPipeline(`Cannot cut a stream into windows: expected tumbling(minutes(1)), found ${shown(window)}.`)
      checkOptions('cut a stream into windows', options, ['allowedLateness'])
      const { allowedLateness } = options
      const windowMs = durationMs('cut a stream into windows', window.size, 1)
      const allowedLatenessMs = allowedLateness === undefined ? 0 : durationMs('allow lateness', allowedLateness, 0)
      return windowedOf({ kind: 'window', input: node, windowMs, allowedLatenessMs })
    },
  })
}

function windowedOf(node: WindowNode): Windowed<Schema, string, 'append', Schema> {
  const windowed = {
    node: deepFreeze(node),
    aggregate(build: unknown, options: unknown = {}) {
      checkOptions('aggregate', options, ['id'])
      const { id } = options as { id?: unknown }
      return resultOf({
        kind: 'aggregate',
        input: node,
        aggregates: aggregatesFrom(build, rowOf(node.input.input), node.input.keys),
        id: id === undefined ? undefined : checkName('name an operator', id),
      })
    },
  }
  return Object.freeze(windowed) as unknown as Windowed<Schema, string, 'append', Schema>
}

function resultOf(node: AggregateNode): Result<Schema, 'append', Schema> {
  const row = rowOf(node)
  const lateFields = lateRow(node)
  return Object.freeze({
    node: deepFreeze(node),
    mode: 'append',
    columns: columnsRecord(row),
    lateColumns: columnsRecord(lateFields),
    appendTo(table: unknown, options: unknown = {}): Sink {
      const name = checkName('append to a table', table)
      checkOptions(`append to table ${name}`, options, [...LAYOUT_OPTIONS, 'late'])
      const { late = {} } = options as { late?: unknown }
      checkOptions(`keep late rows of table ${name}`, late, ['table', ...LAYOUT_OPTIONS])
      const lateTable = checkName(`keep late rows of table ${name}`, (late as { table?: unknown }).table ?? `${name}_late`)
      return sinkOf({
        kind: 'append',
        input: node,
        table: name,
        ...layoutOf(name, row, options as object),
        late: { table: lateTable, ...layoutOf(lateTable, lateFields, late as object) },
      })
    },
  })
}

const sinks = new WeakSet<object>()

function sinkOf(node: AppendNode): Sink {
  const sink: Sink = Object.freeze({ kind: 'sink', node: deepFreeze(node) })
  sinks.add(sink)
  return sink
}

/** True for what `appendTo` made, and nothing that looks like it. */
export function isSink(value: unknown): value is Sink {
  return sinks.has(value as object)
}

function selected(columns: readonly unknown[], row: Fields): readonly string[] {
  if (columns.length === 0) throw invalidPipeline('Cannot select: expected at least one column, found none.')
  const names: string[] = []
  for (const name of columns) {
    if (typeof name !== 'string' || fieldOf(row, name) === undefined)
      throw invalidPipeline(`Cannot select ${shown(name)}: expected one of ${row.map((field) => field.name).join(', ')}.`)
    if (names.includes(name)) throw invalidPipeline(`Cannot select ${name} twice. Name it once.`)
    names.push(name)
  }
  return names
}

function columnsRecord(row: Fields): Schema {
  return deepFreeze(Object.fromEntries(row.map(({ name, type, required }) => [name, { type, required }])))
}
