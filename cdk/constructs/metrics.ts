import type { Duration } from 'aws-cdk-lib'
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch'
import { METRIC_NAMESPACE, METRICS, METRICS_BY_FUNCTION, type MetricName } from '../../functions/metrics.ts'

/** Sizes of what there is. Other metrics count what a call did, and are added up. */
const LEVELS: readonly MetricName[] = [
  ...(['openStateRows', 'openStateBytes', 'tableMetadataBytes'] as const),
  ...(['filesToCompact', 'filesLeftAlone', 'tableManifests', 'tableSnapshots'] as const),
]

/** A metric that the functions of a pipeline send, over five minutes unless the options say otherwise. */
export function metricOf(pipeline: string, name: MetricName, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
  const isLevel = METRICS[name] === 'Milliseconds' || LEVELS.includes(name)
  return new cloudwatch.Metric({
    namespace: METRIC_NAMESPACE,
    metricName: name,
    dimensionsMap: { pipeline, function: functionOf(name) },
    // The worst of several functions at a time; a mean would hide it.
    statistic: isLevel ? 'Maximum' : 'Sum',
    ...options,
  })
}

/** The function that sends it: one, whatever the metric. */
function functionOf(name: MetricName): string {
  const [[sender] = ['']] = Object.entries(METRICS_BY_FUNCTION).filter(([, metrics]) => name in metrics)
  return sender
}

/** CloudWatch takes periods of whole minutes. */
export function wholeMinutes(duration: Duration): number {
  return Math.max(1, Math.ceil(duration.toSeconds() / 60))
}
