/**
 * Frazil's public interface: what a pipeline file imports. See `pipelines/` for whole examples.
 *
 * @example
 * import { column, kafka, minutes, pipeline, seconds, timestampMillis, tumbling } from 'frazil'
 */
export { type ErrorKind, FrazilError, isKind } from './errors.ts'
export type { AggregateCall, Aggregates } from './pipeline/aggregates.ts'
export { column, type InputColumn, type OptionalColumn, type RenamedColumn } from './pipeline/column.ts'
export { type Duration, days, hours, milliseconds, minutes, seconds } from './pipeline/durations.ts'
export type { MaintenanceOptions } from './pipeline/maintenance-options.ts'
export { type Pipeline, type PipelineOptions, pipeline } from './pipeline/pipeline.ts'
export type { Plan } from './pipeline/plan.ts'
export { planOf } from './pipeline/plan-of.ts'
export type { Column, Row, Schema } from './pipeline/schema-types.ts'
export { type KafkaOptions, kafka, type WatermarkOptions } from './pipeline/source.ts'
export {
  type Keyed,
  type Mode,
  type Result,
  type ResultTableOptions,
  type Sink,
  type Stream,
  type Tumbling,
  tumbling,
  type Windowed,
  type WindowOptions,
} from './pipeline/stream.ts'
export { type Columns, type Term, timestampMillis, timestampSeconds } from './pipeline/terms.ts'
export type { PartitionBy, SortBy, TableOptions } from './pipeline/transforms.ts'
