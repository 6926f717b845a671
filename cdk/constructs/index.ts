/** Infrastructure for AWS CDK: a pipeline value in, a running pipeline out. */
export type { MetricName } from '../../functions/metrics.ts'
export type { AlarmName, Alarms, AlarmThresholds } from './alarms.ts'
export type { FailureDestination } from './failure.ts'
export type { ScheduledFunctionOptions } from './functions.ts'
export type { Maintenance } from './maintenance.ts'
export type { FailureOptions, PollerOptions, StreamingPipelineProps } from './props.ts'
export type { Right } from './rights.ts'
export {
  type KafkaSource,
  type MskAuthentication,
  type MskOptions,
  type MskServerlessOptions,
  msk,
  mskServerless,
  type SelfManagedAuthentication,
  type SelfManagedOptions,
  selfManaged,
} from './source.ts'
export { StreamingPipeline } from './streaming-pipeline.ts'
