import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics } from '@aws-lambda-powertools/metrics'
import { FrazilError, messageOf } from '../lib/errors.ts'
import type { Clock } from '../lib/ports/time.ts'
import type { FunctionName } from './bundle.ts'
import { METRIC_NAMESPACE, METRICS, type MetricName, type MetricValues } from './metrics.ts'

/** What a handler takes of Lambda's context. */
export interface Context {
  readonly awsRequestId: string
  getRemainingTimeInMillis(): number
}

/** What is told of a call besides its metrics: counts, times, names of tables and topics; never keys or values of records. */
export type Facts = Readonly<Record<string, number | string | boolean | null | Readonly<Record<string, number>>>>

/** What a function tells of its calls: lines for who reads logs, metrics for alarms. Never throws. */
export interface Telemetry {
  /** Lines are of this call, until the next one begins. */
  begin(context: Context): void
  info(message: string, facts: Facts): void
  error(error: unknown, facts?: Facts): void
  /** At most once a call. Nothing is told of metrics that have no value. */
  publish(values: MetricValues): void
}

/** What every handler takes beside its stores. */
export interface Telling {
  readonly clock: Clock
  readonly telemetry: Telemetry
}

/**
 * By Powertools for AWS Lambda: JSON lines, those of errors on stderr, and metrics as a line in CloudWatch's embedded format
 * (docs/reference/metrics.md). Its `POWERTOOLS_*` variables work. The event is never handed to it, so none of them can have it
 * logged.
 */
export function openTelemetry(name: FunctionName, pipeline: string): Telemetry {
  const of = { pipeline, function: name }
  const logger = new Logger({ serviceName: 'frazil', persistentKeys: of })
  const metrics = new Metrics({ namespace: METRIC_NAMESPACE })
  // Without its own dimension, `service`: a metric is found by exactly its dimensions.
  metrics.clearDefaultDimensions()
  metrics.setDefaultDimensions(of)

  return {
    begin: ({ awsRequestId }) => logger.addContext(contextOf(awsRequestId)),
    info: (message, facts) => logger.info(message, facts),
    error: (error, facts = {}) => logger.error(messageOf(error), { ...kindOf(error), ...facts }),
    publish(values) {
      const told = Object.entries(values) as [MetricName, number][]
      // It warns of an empty line.
      if (told.length === 0) return
      for (const [metric, value] of told) metrics.addMetric(metric, METRICS[metric], value)
      metrics.publishStoredMetrics()
    },
  }
}

/**
 * One of our kinds, or `Bug` for what we did not foresee; only that has a stack. The error itself is not handed to the logger,
 * which would add its causes: the text of another's error may hold anything.
 */
function kindOf(error: unknown): Facts {
  if (error instanceof FrazilError) return { kind: error.kind }
  return { kind: 'Bug', ...(error instanceof Error && error.stack !== undefined && { stack: error.stack }) }
}

/** The request alone: what else the logger would tell of the context is the same in every line of a log group. */
function contextOf(awsRequestId: string): Parameters<Logger['addContext']>[0] {
  return { awsRequestId } as Parameters<Logger['addContext']>[0]
}
