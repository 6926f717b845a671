import type { Expression } from '../columns/expression.ts'
import type { Fields, InputFields } from '../columns/schema.ts'
import type { MaintenancePlan } from './maintenance.ts'

/**
 * A pipeline, validated and resolved: what every part of the runtime interprets. Plain frozen data.
 * Everything is a map by id: several sources, operators and tables have room.
 */
export interface Plan {
  /** `[a-z][a-z0-9_]*`; names the logs and the marker. */
  readonly name: string
  /** Iceberg namespace of all its tables; the pipeline's name unless it says otherwise. */
  readonly namespace: string
  readonly sources: Readonly<Record<string, SourcePlan>>
  readonly operators: Readonly<Record<string, AggregatePlan>>
  readonly tables: Readonly<Record<string, TablePlan>>
}

/** Kafka's own columns, always present at the end of a source's rows. */
export const KAFKA_COLUMNS = ['kafka_topic', 'kafka_partition', 'kafka_offset', 'kafka_timestamp'] as const

export interface SourcePlan {
  /** Stable id in logs and slices; the topic's name unless the definition says otherwise. */
  readonly id: string
  readonly topic: string
  /** How many partitions the topic has, when the definition says so; else broker metadata or a scan of the input tell. */
  readonly partitions: number | undefined
  /** The column that producers partition by (and `--input` spreads by). */
  readonly key: string | undefined
  /** What JSON objects are decoded into. */
  readonly input: InputFields
  readonly computed: readonly { readonly name: string; readonly expression: Expression }[]
  /** The rows operators and tables see: input, computed, then KAFKA_COLUMNS. `id` is the position + 1. */
  readonly row: Fields
  /** Name of the timestamptz column that tells event time; required, in `row`. */
  readonly eventTime: string
  readonly delayMs: number
  readonly maxAheadMs: number | undefined
  readonly idleAfterMs: number | undefined
  /** Table that takes what cannot be decoded or accepted. */
  readonly deadLetters: string
  readonly outputs: readonly Output[]
}

/** Where a source's accepted rows go. Steps run in order, each on the rows the one before left. */
export type Output =
  | { readonly kind: 'rows'; readonly table: string; readonly steps: readonly Step[] }
  | { readonly kind: 'aggregate'; readonly operator: string; readonly steps: readonly Step[] }

/** A row step. What is selected is decided by names, at the sink: the table's columns (or the operator's needs). */
export type Step =
  | { readonly kind: 'filter'; readonly predicate: Expression }
  | { readonly kind: 'compute'; readonly name: string; readonly expression: Expression; readonly required: boolean }

export type AggregateFunction = 'count' | 'sum' | 'avg' | 'min' | 'max' | 'first' | 'last'

export interface Aggregate {
  /** Output column. */
  readonly name: string
  readonly fn: AggregateFunction
  /** Input column; undefined for count(). */
  readonly of: string | undefined
}

export interface AggregatePlan {
  readonly id: string
  readonly source: string
  /** The rows it takes, with their types: the source's row plus what `compute` steps added. */
  readonly input: Fields
  readonly keys: readonly string[]
  readonly windowMs: number
  readonly allowedLatenessMs: number
  readonly aggregates: readonly Aggregate[]
  /**
   * Hash of the definition's data (keys, window, aggregates, steps, types), hex. Slices of state carry it; commit
   * refuses only one it does not know (protocol rule 19).
   */
  readonly fingerprint: string
  /** Table of results: keys, window_start, window_end, aggregates, in that order. */
  readonly table: string
  readonly lateTable: string
}

export type Transform =
  | { readonly kind: 'identity' | 'year' | 'month' | 'day' | 'hour' }
  | { readonly kind: 'bucket'; readonly buckets: number }

export interface PartitionField {
  readonly column: string
  readonly transform: Transform
}

export interface SortField {
  readonly column: string
  readonly direction: 'asc' | 'desc'
}

export interface TablePlan {
  readonly name: string
  readonly fields: Fields
  readonly partitionBy: readonly PartitionField[]
  readonly sortBy: readonly SortField[]
  /** Iceberg's table properties, for a table that is created again; an existing one keeps its own. */
  readonly properties: Readonly<Record<string, string>>
  /** How it is kept well. Nothing of it is in the table: a changed policy is no change to it. */
  readonly maintenance: MaintenancePlan
}
