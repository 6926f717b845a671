import type { Expression } from '../columns/expression.ts'
import { type ColumnType, type Field, type Fields, type InputFields, indexOfField, numbered } from '../columns/schema.ts'
import { aggregateType } from './aggregate-types.ts'
import type { Aggregate } from './plan.ts'
import type { TableLayout } from './transforms.ts'

/**
 * What the builders make: frozen nodes, each pointing at the one before. They hold what the user said, checked one by one;
 * `planOf` interprets them as a whole.
 */

export interface SourceNode {
  readonly kind: 'kafka'
  readonly topic: string
  readonly id: string
  readonly partitions: number | undefined
  readonly key: string | undefined
  readonly input: InputFields
  readonly computed: readonly { readonly name: string; readonly expression: Expression }[]
  /** Input, computed, then Kafka's own columns. */
  readonly row: Fields
  readonly eventTime: string
  readonly delayMs: number
  readonly maxAheadMs: number | undefined
  readonly idleAfterMs: number | undefined
  readonly deadLetters: TableLayout & { readonly table: string }
}

export interface FilterNode {
  readonly kind: 'filter'
  readonly input: RowNode
  readonly predicate: Expression
}

export interface ComputeNode {
  readonly kind: 'compute'
  readonly input: RowNode
  readonly name: string
  readonly expression: Expression
  readonly type: ColumnType
  readonly required: boolean
}

export interface SelectNode {
  readonly kind: 'select'
  readonly input: RowNode
  readonly columns: readonly string[]
}

/** Rows of a source, one by one. */
export type RowNode = SourceNode | FilterNode | ComputeNode | SelectNode

export interface KeyByNode {
  readonly kind: 'keyBy'
  readonly input: RowNode
  readonly keys: readonly string[]
}

export interface WindowNode {
  readonly kind: 'window'
  readonly input: KeyByNode
  readonly windowMs: number
  readonly allowedLatenessMs: number
}

/** One row per key and window. */
export interface AggregateNode {
  readonly kind: 'aggregate'
  readonly input: WindowNode
  readonly aggregates: readonly Aggregate[]
  /** Undefined: the name of the table of results. */
  readonly id: string | undefined
}

export type StreamNode = RowNode | AggregateNode

export interface AppendNode extends TableLayout {
  readonly kind: 'append'
  readonly input: StreamNode
  readonly table: string
  /** Where late rows go; only results have any. */
  readonly late: (TableLayout & { readonly table: string }) | undefined
}

const required = (name: string, type: ColumnType) => ({ name, type, required: true })
const optional = (name: string, type: ColumnType) => ({ name, type, required: false })

const KAFKA = [
  required('kafka_topic', 'string'),
  required('kafka_partition', 'int'),
  required('kafka_offset', 'long'),
  optional('kafka_timestamp', 'timestamptz'),
]
const WINDOW = [required('window_start', 'timestamptz'), required('window_end', 'timestamptz')]

type Unnumbered = Omit<Field, 'id'>

/** Field ids are positions, here as in every fresh table. */
const numberedAnew = (fields: readonly Unnumbered[]): Fields =>
  numbered(fields.map(({ name, type, required }) => ({ name, type, required })))

/** Columns of every dead-letter table. */
export const DEAD_LETTER_FIELDS: Fields = numberedAnew([
  ...KAFKA,
  optional('key', 'binary'),
  optional('value', 'binary'),
  required('reason', 'string'),
  required('detail', 'string'),
])

/** A source's rows: what was decoded, what was computed, and Kafka's own columns. */
export function sourceRow(input: Fields, computed: readonly Unnumbered[]): Fields {
  return numberedAnew([...input, ...computed, ...KAFKA])
}

/** Everything that is known of a row, whatever was selected: the source's row and what steps computed. */
export function wholeRow(node: RowNode): Fields {
  switch (node.kind) {
    case 'kafka':
      return node.row
    case 'compute':
      return numberedAnew([...wholeRow(node.input), node])
    default:
      return wholeRow(node.input)
  }
}

/** The columns of a stream, as the definition sees them and as a table of it has them. */
export function rowOf(node: StreamNode): Fields {
  switch (node.kind) {
    case 'kafka':
      return node.row
    case 'filter':
      return rowOf(node.input)
    case 'compute':
      return numberedAnew([...rowOf(node.input), node])
    case 'select': {
      const row = rowOf(node.input)
      return numberedAnew(node.columns.flatMap((name) => fieldOf(row, name) ?? []))
    }
    case 'aggregate': {
      const keyed = node.input.input
      const row = rowOf(keyed.input)
      return numberedAnew([
        ...keyed.keys.flatMap((name) => fieldOf(row, name) ?? []),
        ...WINDOW,
        ...node.aggregates.map(({ name, fn, of }) => {
          return { name, ...aggregateType(fn, of === undefined ? undefined : fieldOf(row, of)) }
        }),
      ])
    }
  }
}

/** The late rows of an operator: all that is known of the row, the window it was too late for, and the watermark. */
export function lateRow(node: AggregateNode): Fields {
  return numberedAnew([...wholeRow(node.input.input.input), ...WINDOW, required('watermark', 'timestamptz')])
}

export function sourceOf(node: StreamNode | WindowNode | KeyByNode): SourceNode {
  return node.kind === 'kafka' ? node : sourceOf(node.input)
}

export function fieldOf(fields: Fields, name: string): Field | undefined {
  return fields[indexOfField(fields, name)]
}
