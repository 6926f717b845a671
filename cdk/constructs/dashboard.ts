import { Duration } from 'aws-cdk-lib'
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch'
import type * as lambda from 'aws-cdk-lib/aws-lambda'
import type { Construct } from 'constructs'
import type { MetricName } from '../../functions/metrics.ts'
import { type Alarms, offsetLag } from './alarms.ts'
import type { Maintenance } from './maintenance.ts'
import { metricOf } from './metrics.ts'

export interface DashboardOptions {
  readonly pipeline: string
  readonly ingest: lambda.Function
  readonly commit: lambda.Function
  readonly maintenance: Maintenance
  readonly alarms: Alarms
}

/** What is wrong first, then how far behind, then what goes through, then what it takes. */
export function makeDashboard(scope: Construct, id: string, options: DashboardOptions): cloudwatch.Dashboard {
  const { pipeline, ingest, commit, maintenance, alarms } = options
  const period = Duration.minutes(1)
  const ours = (...names: MetricName[]) => names.map((name) => metricOf(pipeline, name, { period, label: name }))
  const graph = (title: string, left: cloudwatch.IMetric[], right: cloudwatch.IMetric[] = []) =>
    new cloudwatch.GraphWidget({ title, left, right, width: 12, height: 6, leftYAxis: { min: 0 }, rightYAxis: { min: 0 } })

  const dashboard = new cloudwatch.Dashboard(scope, id, { defaultInterval: Duration.hours(3) })
  dashboard.addWidgets(
    new cloudwatch.AlarmStatusWidget({ title: `Pipeline ${pipeline}`, alarms: Object.values(alarms), width: 24, height: 3 }),
  )
  dashboard.addWidgets(
    graph('Records waiting in the topic', [offsetLag(ingest, { period, label: 'OffsetLag' })]),
    graph('Behind, ms', ours('watermarkLagMs', 'eventTimeLagMs', 'recordLagMs')),
  )
  dashboard.addWidgets(
    graph('Records', ours('recordsIn', 'recordsCommitted'), ours('bytesIn', 'bytesStaged')),
    graph('Late, dead, missing', ours('lateRecords', 'deadLetters', 'missingOffsets', 'unstagedPartitions')),
  )
  dashboard.addWidgets(
    graph('Commits', ours('commits', 'commitsBehind', 'commitConflicts', 'filesCommitted'), ours('commitDurationMs')),
    graph('State and table metadata, bytes', ours('openStateBytes', 'tableMetadataBytes')),
  )
  const kept = [
    ...(maintenance.compact === undefined
      ? []
      : [graph('Small files', ours('filesToCompact', 'compactedFiles', 'filesLeftAlone', 'compactionsGivenUp'))]),
    ...(maintenance.expire === undefined
      ? []
      : [graph('Snapshots, and files deleted with them', ours('tableSnapshots', 'expiredSnapshots'), ours('deletedFiles'))]),
  ]
  if (kept.length > 0) dashboard.addWidgets(...kept)
  dashboard.addWidgets(graph('ingest', ...callsOf(ingest, period)), graph('commit', ...callsOf(commit, period)))
  return dashboard
}

function callsOf(of: lambda.Function, period: Duration): [cloudwatch.IMetric[], cloudwatch.IMetric[]] {
  const calls = [of.metricInvocations({ period }), of.metricErrors({ period }), of.metricThrottles({ period })]
  return [calls, [of.metricDuration({ period, statistic: 'Maximum' })]]
}
