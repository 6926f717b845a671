import { type Fields, type InputField, type InputFields, indexOfField, numbered } from '../columns/schema.ts'
import { invalidPipeline } from '../errors.ts'
import { checkColumnName, checkName, checkOptions, plainName, shown } from './check.ts'
import { type Duration, durationMs } from './durations.ts'
import { DEAD_LETTER_FIELDS, fieldOf, type SourceNode, sourceRow } from './nodes.ts'
import type { Column, DeadLetterSchema, Flat, InputType, KafkaSchema, NamesOf, Plain, Schema } from './schema-types.ts'
import { type Stream, streamOf } from './stream.ts'
import { type Columns, expressionFrom, type Typed } from './terms.ts'
import { LAYOUT_OPTIONS, layoutOf, type TableOptions } from './transforms.ts'

export type InputSchema = Readonly<Record<string, Column<InputType>>>

/** The rows of a source: its schema, what it computes, and Kafka's own columns. */
export type SourceRow<S extends InputSchema, X extends Schema> = Flat<Plain<S> & X & KafkaSchema>

/** What event time must be made by. */
interface RequiredTimestamp extends Typed<Column, Column<'timestamptz', true>> {}

export interface KafkaOptions<S extends InputSchema, X extends Schema, E extends string> {
  /** What its JSON values are decoded into. A value that does not fit becomes a dead letter. */
  readonly schema: S
  /**
   * Columns made from others, once per record. Each callback runs once, at definition. A time out of range makes its
   * record a dead letter.
   */
  // That the event time is a required timestamptz is said here and not at `eventTime`: a type that depends on X there would
  // keep the compiler from inferring X.
  readonly computed: {
    readonly [N in keyof X]: (
      c: Columns<Flat<Plain<S> & KafkaSchema>>,
    ) => Typed<Column, X[N]> & (N extends E ? RequiredTimestamp : unknown)
  }
  /** The computed column that says when things happened: a required timestamptz. */
  readonly eventTime: E
  readonly watermark: WatermarkOptions
  /** Stable name in logs and state. @default the topic */
  readonly id?: string
  /** How many partitions the topic has. @default what the broker or the input says */
  readonly partitions?: number
  /** The column that producers partition the topic by. */
  readonly key?: NamesOf<Plain<S>>['topicKey']
  /** The table of records that cannot be decoded or accepted; sources may share one. */
  readonly deadLetters?: TableOptions<DeadLetterSchema> & {
    /** @default 'dead_letters' */
    readonly table?: string
  }
}

export interface WatermarkOptions {
  /** How far event times may be out of order: the watermark is the greatest one so far minus this. */
  readonly delay: Duration
  /**
   * How far an event time may lie beyond its record's own Kafka timestamp; further is a dead letter, lest one wrong clock
   * make all others late. @default no limit
   */
  readonly maxAhead?: Duration
  /**
   * After how long without records, and with nothing unread on the broker, a partition no longer holds the watermark
   * back. @default never
   */
  readonly idleAfter?: Duration
}

/**
 * A Kafka topic of JSON objects as a stream.
 *
 * @example
 * const trades = kafka('trades', {
 *   schema: { symbol: column.string(), ts: column.long(), price: column.double(), side: column.string().optional() },
 *   computed: { event_time: (c) => timestampMillis(c.ts) },
 *   eventTime: 'event_time',
 *   watermark: { delay: seconds(5), maxAhead: minutes(10) },
 * })
 *
 * @throws `InvalidPipeline` for what the type checker cannot tell: bad names, an empty schema, a negative delay.
 */
export function kafka<const S extends InputSchema, X extends Schema, const E extends keyof X & string>(
  topic: string,
  options: KafkaOptions<S, X, E>,
): Stream<SourceRow<S, X>> {
  return streamOf(sourceNode(topic, options as unknown as UncheckedOptions))
}

/** The options as plain JavaScript may hand them in. */
type UncheckedOptions = { readonly [K in keyof KafkaOptions<InputSchema, Schema, string>]: unknown }

/** Kafka's brokers stop long before. */
export const MAX_PARTITIONS = 10_000

const OPTIONS = ['schema', 'computed', 'eventTime', 'watermark', 'id', 'partitions', 'key', 'deadLetters']

function sourceNode(topic: unknown, options: UncheckedOptions): SourceNode {
  const checkedTopic = checkTopic('read a topic', topic)
  const what = `read topic ${checkedTopic}`
  checkOptions(what, options, OPTIONS)
  const input = inputFields(what, options.schema)
  const computed = computedColumns(what, options.computed, input)
  const row = sourceRow(input, computed)
  return {
    kind: 'kafka',
    topic: checkedTopic,
    id: options.id === undefined ? checkedTopic : checkTopic(`${what} under an id`, options.id),
    partitions: partitionCount(what, options.partitions),
    key: keyColumn(what, options.key, input),
    input,
    computed: computed.map(({ name, expression }) => ({ name, expression })),
    row,
    eventTime: eventTimeColumn(what, options.eventTime, row),
    ...watermark(what, options.watermark),
    deadLetters: deadLetters(what, options.deadLetters),
  }
}

/** Kafka's own rule for topic names (`org.apache.kafka.common.internals.Topic`), which also keeps slashes out of log keys. */
function checkTopic(what: string, name: unknown): string {
  if (typeof name !== 'string' || !/^[a-zA-Z0-9._-]{1,249}$/.test(name) || name === '.' || name === '..')
    throw invalidPipeline(
      `Cannot ${what}: expected a name of 1 to 249 letters, digits, dots, dashes and underscores, found ${shown(name)}.`,
    )
  return name
}

const INPUT_TYPES: readonly unknown[] = ['boolean', 'int', 'long', 'double', 'string'] satisfies InputType[]

function inputFields(what: string, schema: unknown): InputFields {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema))
    throw invalidPipeline(`Cannot ${what}: expected a schema such as { symbol: column.string() }, found ${shown(schema)}.`)
  const columnOfKey = new Map<string, string>()
  const fields = Object.entries(schema).map(([name, value]: [string, unknown]) => {
    const field = inputField(what, name, value)
    const key = field.jsonKey ?? name
    const other = columnOfKey.get(key)
    if (other !== undefined)
      throw invalidPipeline(
        `Cannot ${what} into column ${name}: JSON key ${shown(key)} is read into column ${other} already. Keep one of them and compute the other from it.`,
      )
    columnOfKey.set(key, name)
    return field
  })
  if (fields.length === 0) throw invalidPipeline(`Cannot ${what}: expected a schema of at least one column, found none.`)
  return numbered(fields)
}

function inputField(what: string, name: string, value: unknown): Omit<InputField, 'id'> {
  const { type, required, jsonKey } = (value ?? {}) as Partial<Column> & { readonly jsonKey?: string }
  const isColumn = INPUT_TYPES.includes(type) && typeof required === 'boolean'
  checkColumnName(`${what} into a column`, name, () => {
    const call = `column.${isColumn ? type : 'string'}().from(${shown(name).replace(/^"([^'"\\]*)"$/, "'$1'")})`
    return ` Name the column ${plainName(name) ?? 'otherwise'} and write ${call} to read that JSON key.`
  })
  if (!isColumn)
    throw invalidPipeline(
      `Cannot ${what} into column ${name}: expected column.${INPUT_TYPES.join('(), column.')}(), perhaps optional(), found ${shown(type ?? value)}. Compute other types from these.`,
    )
  const field = { name, type: type as InputType, required }
  return jsonKey === undefined || jsonKey === name ? field : { ...field, jsonKey }
}

function computedColumns(what: string, computed: unknown, input: Fields) {
  if (computed === undefined) return []
  if (typeof computed !== 'object' || computed === null)
    throw invalidPipeline(`Cannot ${what}: expected computed to be an object of callbacks, found ${shown(computed)}.`)
  const row = sourceRow(input, [])
  return Object.entries(computed).map(([name, callback]: [string, unknown]) => {
    const compute = `compute column ${shown(name)} of topic rows`
    checkColumnName(compute, name)
    if (indexOfField(input, name) >= 0)
      throw invalidPipeline(`Cannot ${compute}: there is already a column ${name} in the schema. Choose another name.`)
    const { expression, type, requiredInRange } = expressionFrom(compute, callback, row)
    return { name, expression, type, required: requiredInRange }
  })
}

function eventTimeColumn(what: string, name: unknown, row: Fields): string {
  const field = typeof name === 'string' ? fieldOf(row, name) : undefined
  if (field === undefined)
    throw invalidPipeline(
      `Cannot ${what}: expected eventTime to be one of ${row.map((candidate) => candidate.name).join(', ')}, found ${shown(name)}.`,
    )
  if (field.type !== 'timestamptz' || !field.required)
    throw invalidPipeline(
      `Cannot ${what}: expected eventTime to be a required timestamptz column, found ${field.name}, ${field.required ? 'a required' : 'an optional'} ${field.type}. Compute one, such as event_time: (c) => timestampMillis(c.ts).`,
    )
  return field.name
}

function keyColumn(what: string, name: unknown, input: Fields): string | undefined {
  if (name === undefined) return undefined
  const field = typeof name === 'string' ? fieldOf(input, name) : undefined
  if (field === undefined || field.type !== 'string' || !field.required)
    throw invalidPipeline(
      `Cannot ${what}: expected key to be a required string column of the schema, found ${field === undefined ? shown(name) : `${field.name}, ${field.required ? 'a required' : 'an optional'} ${field.type}`}.`,
    )
  return field.name
}

function partitionCount(what: string, partitions: unknown): number | undefined {
  if (partitions === undefined) return undefined
  if (typeof partitions !== 'number' || !Number.isSafeInteger(partitions) || partitions < 1 || partitions > MAX_PARTITIONS)
    throw invalidPipeline(
      `Cannot ${what}: expected partitions to be a whole number from 1 to ${MAX_PARTITIONS}, found ${shown(partitions)}.`,
    )
  return partitions
}

function watermark(what: string, options: unknown) {
  checkOptions(`${what} with a watermark`, options, ['delay', 'maxAhead', 'idleAfter'])
  const { delay, maxAhead, idleAfter } = options as { delay?: unknown; maxAhead?: unknown; idleAfter?: unknown }
  return {
    delayMs: durationMs(`${what} with a watermark delay`, delay, 0),
    maxAheadMs: maxAhead === undefined ? undefined : durationMs(`${what} with maxAhead`, maxAhead, 0),
    idleAfterMs: idleAfter === undefined ? undefined : durationMs(`${what} with idleAfter`, idleAfter, 1),
  }
}

function deadLetters(what: string, options: unknown = {}): SourceNode['deadLetters'] {
  checkOptions(`${what} with dead letters`, options, ['table', ...LAYOUT_OPTIONS])
  const { table } = options as { table?: unknown }
  const name = checkName(`${what} with dead letters`, table ?? 'dead_letters')
  return { table: name, ...layoutOf(name, DEAD_LETTER_FIELDS, options as object) }
}
