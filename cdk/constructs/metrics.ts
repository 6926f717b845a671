import type { Duration } from 'aws-cdk-lib'
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch'
import { INGEST_METRICS, METRIC_NAMESPACE, METRICS, type MetricName } from '../../functions/metrics.ts'

/** Sizes of what there is. Other metrics count what a call did, and are added up. */
const LEVELS: readonly MetricName[] = ['openStateRows', 'openStateBytes', 'tableMetadataBytes']

/** A metric that the functions of a pipeline send, over five minutes unless the options say otherwise. */
export function metricOf(pipeline: string, name: MetricName, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
  const isLevel = METRICS[name] === 'Milliseconds' || LEVELS.includes(name)
  return new cloudwatch.Metric({
    namespace: METRIC_NAMESPACE,
    metricName: name,
    dimensionsMap: { pipeline, function: name in INGEST_METRICS ? 'ingest' : 'commit' },
    // The worst of several functions at a time; a mean would hide it.
    statistic: isLevel ? 'Maximum' : 'Sum',
    ...options,
  })
}

/** CloudWatch takes periods of whole minutes. */
export function wholeMinutes(duration: Duration): number {
  return Math.max(1, Math.ceil(duration.toSeconds() / 60))
}
