import type { ColumnType } from '../columns/schema.ts'

/**
 * The row types of the pipeline language, as the type checker sees them. A schema maps names to columns; everything a
 * stream's methods accept is computed from it.
 */

/** A column as the type checker knows it. */
export interface Column<T extends ColumnType = ColumnType, R extends boolean = boolean> {
  readonly type: T
  readonly required: R
}

export type Schema = Readonly<Record<string, Column>>

/** What JSON values can be decoded into. */
export type InputType = 'boolean' | 'int' | 'long' | 'double' | 'string'
export type NumberType = 'int' | 'long' | 'double'
/** Types with a stable notion of sameness: what rows may be grouped and tables partitioned by. */
type KeyType = Exclude<ColumnType, 'double' | 'binary'>
type OrderedType = Exclude<ColumnType, 'binary'>
/** Iceberg spec, "Bucket Transform Details". */
type BucketType = Exclude<ColumnType, 'double' | 'boolean'>

/** Kafka's own columns, part of every source's rows. */
export type KafkaSchema = {
  readonly kafka_topic: Column<'string', true>
  readonly kafka_partition: Column<'int', true>
  readonly kafka_offset: Column<'long', true>
  readonly kafka_timestamp: Column<'timestamptz', false>
}

/** What a window adds to its results: its bounds, start inclusive and end exclusive. */
export type WindowSchema = {
  readonly window_start: Column<'timestamptz', true>
  readonly window_end: Column<'timestamptz', true>
}

/** What a late row says besides the row: the window it was too late for, and the watermark that says so. */
export type LateSchema = WindowSchema & {
  readonly watermark: Column<'timestamptz', true>
}

/** The columns of every dead-letter table. */
export type DeadLetterSchema = KafkaSchema & {
  readonly key: Column<'binary', false>
  readonly value: Column<'binary', false>
  readonly reason: Column<'string', true>
  readonly detail: Column<'string', true>
}

// `& unknown` changes no type, but makes hovers and errors show what a type is instead of how it was computed.

/** The same type with its intersections resolved. */
export type Flat<S> = { readonly [K in keyof S]: S[K] } & unknown

/** Bare columns: what `column.string()` returns has an `optional()` besides. */
export type Plain<S extends Schema> = { readonly [K in keyof S]: Column<S[K]['type'], S[K]['required']> } & unknown

/**
 * Each column of the given types to its own name, each other to never. Of a schema that is not known, as behind an error in its
 * definition, any name will do: one error is told once.
 */
type NamesByType<S extends Schema, T extends ColumnType, R extends boolean = boolean> = {
  [K in keyof S & string]: string extends K ? string : S[K] extends Column<T, R> ? K : never
}

/**
 * Names of columns by what can be done with them. An interface, because errors show what its properties are: a list of the
 * names there are to choose from.
 */
export interface NamesOf<S extends Schema> {
  readonly any: { [K in keyof S & string]: K }[keyof S & string]
  readonly number: OrSentence<NamesByType<S, NumberType>[keyof S & string], 'there is no column of numbers'>
  readonly ordered: OrSentence<NamesByType<S, OrderedType>[keyof S & string], 'there is no column with an order'>
  readonly key: NamesByType<S, KeyType>[keyof S & string]
  readonly topicKey: OrSentence<
    NamesByType<S, 'string', true>[keyof S & string],
    'there is no required string column to be the key'
  >
  readonly time: NamesByType<S, 'timestamptz'>[keyof S & string]
  readonly bucket: NamesByType<S, BucketType>[keyof S & string]
}

/** `Names`, or, when there are none to choose from, a sentence for the error to show. */
type OrSentence<Names, Sentence extends string> = [Names] extends [never] ? Sentence : Names

/** `N` when it is new to the schema, else a sentence for the error to show. */
export type NewName<S, N extends string> = N extends keyof S ? `there is already a column ${N}` : N

/** The JavaScript type of each column type. `timestamptz` is microseconds since the epoch. */
export interface JavaScriptTypes {
  readonly boolean: boolean
  readonly int: number
  readonly long: bigint
  readonly double: number
  readonly string: string
  readonly binary: Uint8Array
  readonly timestamptz: bigint
}

/**
 * The row of a stream, a result or a schema as an object type, as tests and tools see it.
 *
 * @example
 * type Trade = Row<typeof trades> // { readonly symbol: string; readonly ts: bigint; readonly side: string | null; … }
 */
export type Row<T> = T extends { readonly columns: infer S extends Schema } ? RowOf<S> : T extends Schema ? RowOf<T> : never

type RowOf<S extends Schema> = {
  readonly [K in keyof S]: JavaScriptTypes[S[K]['type']] | (S[K]['required'] extends true ? never : null)
} & unknown
