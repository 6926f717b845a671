import { Duration } from 'aws-cdk-lib'
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch'
import type * as lambda from 'aws-cdk-lib/aws-lambda'
import type { Construct } from 'constructs'
import type { MetricName } from '../../functions/metrics.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { given } from './given.ts'
import type { Maintenance } from './maintenance.ts'
import { metricOf, wholeMinutes } from './metrics.ts'

/** From which value on an alarm goes off. */
export interface AlarmThresholds {
  /**
   * Records that wait in the topic, at most, for a quarter of an hour. @default 100000: set it to your rate times the delay you
   * can bear
   */
  readonly offsetLag?: number
  /**
   * Intervals of `commitEvery` in which no call of commit came to its end.
   * @default 3, or as many as `commitTimeout` takes and 2, whichever is more: a call that catches up takes all its time
   */
  readonly intervalsWithoutCommit?: number
  /** Dead letters in five minutes. @default 1 */
  readonly deadLetters?: number
  /** Late records of a hundred, over a quarter of an hour with `lateShareFloor` records or more. @default 5 */
  readonly latePercent?: number
  /** Records in a quarter of an hour below which the share of late ones says nothing. @default 1000 */
  readonly lateShareFloor?: number
  /** Calls of a function that failed, in five minutes. @default 1 */
  readonly errors?: number
  /** Bytes of the largest metadata file of a table. Glue takes none above 20 MB. @default 10 MB */
  readonly tableMetadataBytes?: number
  /**
   * How far event time as a whole may be behind, for a quarter of an hour. A topic in which nothing is written falls behind as
   * well: set it to the longest silence you expect, or leave the alarm out (`withoutAlarms`).
   * @default what the definition asks for (the greatest delay, the greatest allowed lateness and two of the greatest windows),
   * `commitEvery` and 15 minutes
   */
  readonly watermarkLag?: Duration
}

const DEFAULT_THRESHOLDS: Required<Omit<AlarmThresholds, 'intervalsWithoutCommit' | 'watermarkLag'>> = {
  offsetLag: 100_000,
  deadLetters: 1,
  latePercent: 5,
  lateShareFloor: 1000,
  errors: 1,
  tableMetadataBytes: 10 * 1024 * 1024,
}

export const ALARMS = [
  'offsetLag',
  'commitAge',
  'deadLetters',
  'lateShare',
  'ingestErrors',
  'commitErrors',
  'ingestThrottles',
  'commitThrottles',
  'tableMetadata',
  'watermarkLag',
  'compactErrors',
  'compactRuns',
  'expireErrors',
  'orphansErrors',
  'trimErrors',
] as const
export type AlarmName = (typeof ALARMS)[number]

/** Without those that were left out, and those of functions that there are not. */
export type Alarms = Readonly<Partial<Record<AlarmName, cloudwatch.Alarm>>>

export interface AlarmsOptions {
  readonly plan: Plan
  readonly ingest: lambda.Function
  readonly commit: lambda.Function
  readonly maintenance: Maintenance
  readonly commitEvery: Duration
  readonly commitTimeout: Duration
  readonly thresholds: AlarmThresholds
  readonly without: readonly AlarmName[]
  readonly actions: readonly cloudwatch.IAlarmAction[]
}

const { GREATER_THAN_OR_EQUAL_TO_THRESHOLD: AT_LEAST, LESS_THAN_THRESHOLD: LESS } = cloudwatch.ComparisonOperator
const { BREACHING, IGNORE, NOT_BREACHING } = cloudwatch.TreatMissingData
const FIVE = Duration.minutes(5)
/** Something happened that should not. */
const ONCE = { evaluationPeriods: 1, comparisonOperator: AT_LEAST, treatMissingData: NOT_BREACHING } as const

type Definition = Omit<cloudwatch.AlarmProps, 'alarmDescription'> & { readonly says: string }

/** Alarms below `scope`; their names, with a capital, are the ids, which are a contract. */
export function makeAlarms(scope: Construct, options: AlarmsOptions): Alarms {
  const { plan, without, actions } = options
  const made: Partial<Record<AlarmName, cloudwatch.Alarm>> = {}
  const definitions = definitionsOf(options)
  for (const name of ALARMS) {
    const definition = definitions[name]
    if (definition === undefined || without.includes(name)) continue
    const { says, ...props } = definition
    const alarm = new cloudwatch.Alarm(scope, `${name[0].toUpperCase()}${name.slice(1)}`, {
      ...props,
      alarmDescription: `Pipeline ${plan.name}: ${says} What to do: docs/how-to/operate.md`,
    })
    for (const action of actions) alarm.addAlarmAction(action)
    made[name] = alarm
  }
  return made
}

function definitionsOf(options: AlarmsOptions): Readonly<Partial<Record<AlarmName, Definition>>> {
  const { plan, ingest, commit, thresholds } = options
  const pipeline = plan.name
  const limits = { ...DEFAULT_THRESHOLDS, ...given(thresholds) }
  const ours = (name: MetricName, minutes: number) => metricOf(pipeline, name, { period: Duration.minutes(minutes) })
  const every = wholeMinutes(options.commitEvery)
  return {
    ...maintenanceDefinitions(options.maintenance, limits.errors),
    offsetLag: {
      says: 'records wait in the topic; ingest fails, is throttled or is too slow.',
      metric: offsetLag(ingest),
      threshold: limits.offsetLag,
      evaluationPeriods: 3,
      comparisonOperator: AT_LEAST,
      // Pollers report while they poll.
      treatMissingData: IGNORE,
    },
    commitAge: {
      says: 'no commit has come to its end for a while; records are staged and safe, tables grow old.',
      metric: ours('commits', every),
      threshold: 1,
      evaluationPeriods: limits.intervalsWithoutCommit ?? Math.max(3, Math.ceil(wholeMinutes(options.commitTimeout) / every) + 2),
      comparisonOperator: LESS,
      // A commit that does not even start sends nothing.
      treatMissingData: BREACHING,
    },
    deadLetters: {
      says: 'records cannot be decoded or accepted; they are in the dead-letter table.',
      metric: ours('deadLetters', 5),
      threshold: limits.deadLetters,
      ...ONCE,
    },
    lateShare: {
      says: 'many records come too late for their windows; they are in the late table.',
      metric: latePercent(pipeline, limits.lateShareFloor),
      threshold: limits.latePercent,
      ...ONCE,
    },
    ingestErrors: {
      says: 'calls of ingest fail; their records come again and hold up their partitions.',
      metric: ingest.metricErrors({ period: FIVE }),
      threshold: limits.errors,
      ...ONCE,
    },
    commitErrors: {
      says: 'calls of commit fail; records are staged and safe, tables wait.',
      metric: commit.metricErrors({ period: FIVE }),
      threshold: limits.errors,
      ...ONCE,
    },
    ingestThrottles: {
      says: 'Lambda has no room for ingest; records wait in the topic.',
      metric: ingest.metricThrottles({ period: FIVE }),
      threshold: 1,
      ...ONCE,
      evaluationPeriods: 3,
    },
    commitThrottles: {
      says: 'commit has not kept up with its interval for half an hour.',
      metric: commit.metricThrottles({ period: FIVE }),
      threshold: 1,
      ...ONCE,
      // One call at a time: a commit that takes longer than its interval has the next call throttled, which does no harm.
      evaluationPeriods: 6,
    },
    tableMetadata: {
      says: 'the metadata of a table grows towards the 20 MB that Glue takes; snapshots are not expired, or kept for too long.',
      metric: ours('tableMetadataBytes', 5),
      threshold: limits.tableMetadataBytes,
      evaluationPeriods: 1,
      comparisonOperator: AT_LEAST,
      // It does not shrink while nothing is committed.
      treatMissingData: IGNORE,
    },
    watermarkLag: {
      says: 'event time is far behind; a partition or the whole topic is silent or lags, and windows stay open.',
      metric: ours('watermarkLagMs', 5),
      threshold: limits.watermarkLag?.toMilliseconds() ?? usualWatermarkLagMs(plan, options.commitEvery),
      evaluationPeriods: 3,
      comparisonOperator: AT_LEAST,
      treatMissingData: IGNORE,
    },
  }
}

/** Of what keeps tables well: each call that fails leaves its work to the next one. */
function maintenanceDefinitions({ compaction, ...functions }: Maintenance, threshold: number): ReturnType<typeof definitionsOf> {
  const failures = (says: string, metric: cloudwatch.IMetric | undefined) =>
    metric === undefined ? undefined : { says, metric, threshold, ...ONCE }
  const errors = (name: keyof typeof functions) => functions[name]?.metricErrors({ period: FIVE })
  return given({
    compactErrors: failures('calls of compact fail; small files stay, and queries get slower.', errors('compact')),
    compactRuns: failures(
      'compaction could not plan some table, or any; its small files stay.',
      compaction?.metricFailed({ period: FIVE }),
    ),
    expireErrors: failures('calls of expire fail; snapshots and the metadata of tables grow.', errors('expire')),
    orphansErrors: failures('calls of orphans fail; files that nothing names stay.', errors('orphans')),
    trimErrors: failures('calls of trim fail; logs and staging grow.', errors('trim')),
  })
}

/**
 * How far event time is behind where all is well, and a quarter of an hour: windows are open, and closed ones wait for commit.
 */
function usualWatermarkLagMs({ sources, operators }: Plan, commitEvery: Duration): number {
  const greatest = (values: readonly number[]) => Math.max(0, ...values)
  const windows = Object.values(operators)
  return (
    greatest(Object.values(sources).map(({ delayMs }) => delayMs)) +
    greatest(windows.map(({ allowedLatenessMs }) => allowedLatenessMs)) +
    2 * greatest(windows.map(({ windowMs }) => windowMs)) +
    commitEvery.toMilliseconds() +
    Duration.minutes(15).toMilliseconds()
  )
}

/** Records between the end of a topic and what was read of it, as the event source mapping counts them. */
export function offsetLag(ingest: lambda.IFunction, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
  return ingest.metric('OffsetLag', { statistic: 'Maximum', period: Duration.minutes(5), ...options })
}

/** Late records of a hundred; 0 where there are fewer records than `floor`. */
function latePercent(pipeline: string, floor: number): cloudwatch.MathExpression {
  const period = Duration.minutes(15)
  return new cloudwatch.MathExpression({
    expression: `IF(records >= ${floor}, 100 * late / records, 0)`,
    usingMetrics: { records: metricOf(pipeline, 'recordsIn', { period }), late: metricOf(pipeline, 'lateRecords', { period }) },
    label: 'late records, %',
    period,
  })
}
