import { Duration } from 'aws-cdk-lib'
import type { Template } from 'aws-cdk-lib/assertions'
import { describe, expect, test } from 'vitest'
import { METRICS, METRICS_BY_FUNCTION } from '../../functions/metrics.ts'
import { column, kafka, minutes, pipeline, timestampMillis, tumbling } from '../../lib/index.ts'
import { deployed, resourcesOf, shown } from './support.ts'

const { template } = deployed()

const readings = kafka('readings', {
  key: 'id',
  schema: { id: column.string(), ts: column.long() },
  computed: { at: (c) => timestampMillis(c.ts) },
  eventTime: 'at',
  watermark: { delay: minutes(3) },
  partitions: 1,
})

interface Seen {
  readonly namespace: string
  readonly name: string
  readonly statistic: string
  readonly dimensions: Readonly<Record<string, string>>
  readonly periodS: number
}
type Dimensions = readonly { readonly Name: string; readonly Value: unknown }[]
interface MetricQuery {
  readonly Id: string
  readonly Expression?: string
  readonly MetricStat?: { readonly Metric: Properties; readonly Period: number; readonly Stat: string }
}
type Properties = Readonly<Record<string, unknown>>

const seen = (metric: Properties, statistic: unknown, period: unknown): Seen => ({
  namespace: String(metric.Namespace),
  name: String(metric.MetricName),
  statistic: String(statistic),
  dimensions: Object.fromEntries((metric.Dimensions as Dimensions).map(({ Name, Value }) => [Name, shown(Value)])),
  periodS: Number(period),
})

const text = ({ namespace, name, statistic, dimensions, periodS }: Seen): string => {
  const where = Object.entries(dimensions).map((pair) => pair.join('='))
  return `${statistic} of ${namespace} ${name} (${where.join(', ')}) over ${periodS} s`
}

function metricsOf(alarm: Properties): readonly Seen[] {
  if (alarm.Metrics === undefined) return [seen(alarm, alarm.Statistic, alarm.Period)]
  return (alarm.Metrics as MetricQuery[]).flatMap(({ MetricStat }) =>
    MetricStat === undefined ? [] : [seen(MetricStat.Metric, MetricStat.Stat, MetricStat.Period)],
  )
}

function alarmText(id: string, alarm: Properties): string {
  const queries = (alarm.Metrics ?? []) as MetricQuery[]
  const expressions = queries.flatMap(({ Expression }) => Expression ?? [])
  const ids = queries.flatMap(({ Id, MetricStat }) => (MetricStat === undefined ? [] : [`${Id} = `]))
  return [
    id.replace(/^PipelineAlarms|[0-9A-F]{8}$/g, ''),
    ...expressions,
    ...metricsOf(alarm).map((metric, i) => `${ids[i] ?? ''}${text(metric)}`),
    `${alarm.ComparisonOperator} ${alarm.Threshold}, ${alarm.EvaluationPeriods} of them`,
    `without data: ${alarm.TreatMissingData}`,
  ].join('\n  ')
}

/** `['Frazil', 'commits', 'function', 'commit', …, { stat, period }]`, as a dashboard writes it. */
function metricsOfDashboard(of: Template): readonly Seen[] {
  const [{ Properties }] = Object.values(resourcesOf(of, 'AWS::CloudWatch::Dashboard'))
  const { widgets } = JSON.parse(shown(Properties.DashboardBody)) as { widgets: { properties: { metrics?: unknown[][] } }[] }
  return widgets
    .flatMap(({ properties }) => properties.metrics ?? [])
    .map(([namespace, name, ...rest]) => {
      const { stat = 'Average', period } = rest.pop() as { stat?: string; period?: number }
      const pairs = Array.from({ length: rest.length / 2 }, (_, i) => [rest[2 * i], rest[2 * i + 1]])
      const dimensions = Object.fromEntries(pairs) as Record<string, string>
      return { namespace: String(namespace), name: String(name), statistic: stat, dimensions, periodS: period ?? 300 }
    })
}

const alarms = Object.entries(resourcesOf(template, 'AWS::CloudWatch::Alarm'))

test('alarms are those that are written down', async () => {
  const written = alarms.map(([id, { Properties }]) => alarmText(id, Properties))
  await expect(`${written.join('\n\n')}\n`).toMatchFileSnapshot('alarms.txt')
})

describe('the alarm of the watermark goes off', () => {
  const MINUTE = 60_000
  const threshold = (options: Parameters<typeof deployed>[0]) => {
    const found = Object.entries(resourcesOf(deployed(options).template, 'AWS::CloudWatch::Alarm'))
    return found.find(([id]) => id.includes('WatermarkLag'))?.[1].Properties.Threshold
  }

  test('after delay, lateness and two windows of the definition, the interval and a quarter of an hour', () => {
    const hourly = readings.keyBy('id').window(tumbling(minutes(60)), { allowedLateness: minutes(30) })
    const definition = pipeline('readings', { sinks: [hourly.aggregate((a) => ({ n: a.count() })).appendTo('hourly')] })
    const commitEvery = Duration.minutes(2)
    expect(threshold({ pipeline: definition, commitEvery })).toBe((3 + 30 + 2 * 60 + 2 + 15) * MINUTE)
  })

  test('without windows after delay, the interval and a quarter of an hour', () => {
    expect(threshold({ pipeline: pipeline('raw', { sinks: [readings.appendTo('raw')] }) })).toBe((3 + 1 + 15) * MINUTE)
  })

  test('when it is told to', () => {
    expect(threshold({ alarmThresholds: { watermarkLag: Duration.hours(2) } })).toBe(120 * MINUTE)
  })
})

/** What is a size or an age: its sum says nothing. */
const LEVELS = ['openStateRows', 'openStateBytes', 'tableMetadataBytes', 'recordLagMs', 'eventTimeLagMs', 'watermarkLagMs']
const STOCKS = ['filesToCompact', 'filesLeftAlone', 'tableManifests', 'tableSnapshots']
const WORST = [...LEVELS, ...STOCKS, 'commitDurationMs']

describe.each([
  [
    'alarms',
    alarms.flatMap(([, { Properties }]) => metricsOf(Properties)),
    5,
    ['Ingest', 'Commit', 'Compact', 'Expire', 'Orphans', 'Trim'],
  ],
  ['the dashboard', metricsOfDashboard(template), 15, ['Ingest', 'Commit']],
])('of our metrics %s', (_, all, atLeast, watched) => {
  const ours = all.filter(({ namespace }) => namespace === 'Frazil')

  test('name only those that the functions send, of the function that sends them', () => {
    expect(ours.length).toBeGreaterThanOrEqual(atLeast)
    expect(ours.filter(({ name }) => !(name in METRICS))).toEqual([])
    for (const { name, dimensions } of ours)
      expect(name in METRICS_BY_FUNCTION[dimensions.function as keyof typeof METRICS_BY_FUNCTION], name).toBe(true)
    expect(ours.filter(({ dimensions: { pipeline: of } }) => of !== 'trades')).toEqual([])
  })

  test('take the worst of ages, durations and sizes, and the sum of what was counted', () => {
    for (const { name, statistic } of ours) expect([name, statistic]).toEqual([name, WORST.includes(name) ? 'Maximum' : 'Sum'])
  })

  test('look at calls of functions by their own names', () => {
    const functions = all.filter(({ namespace }) => namespace === 'AWS/Lambda').map(({ dimensions }) => dimensions.FunctionName)
    const names = watched.map((name) => `<Pipeline${name}Function>`)
    expect([...new Set(functions)].sort()).toEqual(names.sort())
  })
})

test('who may take a role, and what key, bucket and schedule let happen, is written down', async () => {
  const parts = { Role: 'AssumeRolePolicyDocument', Key: 'KeyPolicy', BucketPolicy: 'PolicyDocument', Schedule: 'Target' }
  const types = ['AWS::IAM::Role', 'AWS::KMS::Key', 'AWS::S3::BucketPolicy', 'AWS::Scheduler::Schedule']
  const written = Object.entries(resourcesOf(template)).flatMap(([id, { Type, Properties }]) => {
    if (!types.includes(Type)) return []
    const part = Properties[parts[Type.split('::')[2] as keyof typeof parts]]
    const statements = (part as { Statement?: unknown[] }).Statement ?? [part]
    return [[id.replace(/[0-9A-F]{8}$/, ''), ...statements.map(shown)].join('\n  ')]
  })
  expect(written).toHaveLength(20)
  await expect(`${written.join('\n\n')}\n`).toMatchFileSnapshot('policies.txt')
})
