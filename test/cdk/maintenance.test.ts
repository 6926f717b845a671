import { Duration } from 'aws-cdk-lib'
import { Match, type Template } from 'aws-cdk-lib/assertions'
import { describe, expect, test } from 'vitest'
import { column, days, kafka, type MaintenanceOptions, pipeline, seconds, timestampMillis } from '../../lib/index.ts'
import { deployed, type Options, resourcesOf, shown } from './support.ts'

const plain = deployed()

const readings = (deadLetters: { table: string; maintenance: MaintenanceOptions }) =>
  kafka('readings', {
    schema: { id: column.string(), ts: column.long() },
    computed: { at: (c) => timestampMillis(c.ts) },
    eventTime: 'at',
    watermark: { delay: seconds(1) },
    partitions: 1,
    deadLetters,
  })

const kept = ({ template }: { readonly template: Template }) =>
  Object.keys(resourcesOf(template, 'AWS::Lambda::Function'))
    .map((id) => /^Pipeline(Compact|Expire|Orphans|Trim)Function/.exec(id)?.[1])
    .filter((name) => name !== undefined)
    .sort()

const schedulesOf = (options: Options = {}) =>
  Object.fromEntries(
    Object.entries(resourcesOf(deployed(options).template, 'AWS::Scheduler::Schedule')).map(([id, { Properties }]) => [
      id.replace(/^Pipeline(\w+)Schedule\w{8}$/, '$1'),
      Properties.ScheduleExpression,
    ]),
  )

interface State {
  readonly [name: string]: unknown
  readonly Retry?: readonly { readonly ErrorEquals: readonly string[]; readonly MaxAttempts: number }[]
}

/** States of the state machine by name. */
function statesOf(template: Template): Readonly<Record<string, State>> {
  const [{ Properties }] = Object.values(resourcesOf(template, 'AWS::StepFunctions::StateMachine'))
  return JSON.parse(shown(Properties.DefinitionString)).States
}

describe('tables are kept well', () => {
  test('by four functions, of which compaction has most memory and each all the time there is', () => {
    expect(kept(plain)).toEqual(['Compact', 'Expire', 'Orphans', 'Trim'])
    for (const [id, { Properties }] of Object.entries(resourcesOf(plain.template, 'AWS::Lambda::Function')))
      if (/Compact|Expire|Orphans|Trim/.test(id)) {
        expect([id, Properties.Timeout, Properties.MemorySize]).toEqual([id, 900, id.includes('Compact') ? 2048 : 1024])
        expect(Properties).not.toHaveProperty('ReservedConcurrentExecutions')
      }
    expect(Object.keys(plain.made.maintenance)).toEqual(['compact', 'compaction', 'expire', 'orphans', 'trim'])
  })

  test('each on its schedule, which may be another', () => {
    const rest = { Commit: 'rate(1 minute)' }
    expect(schedulesOf()).toEqual({
      ...{ ...rest, Compact: 'rate(1 hour)', Expire: 'rate(6 hours)', Orphans: 'rate(1 day)', Trim: 'rate(1 hour)' },
    })
    const [compactEvery, expireEvery] = [Duration.minutes(90), Duration.hours(1)]
    expect(schedulesOf({ compactEvery, expireEvery, orphansEvery: Duration.days(2), trimEvery: Duration.days(1) })).toEqual({
      ...{ ...rest, Compact: 'rate(90 minutes)', Expire: 'rate(1 hour)', Orphans: 'rate(2 days)', Trim: 'rate(1 day)' },
    })
  })

  test('or not, where that is wanted: then there is no function, no schedule and no alarm of it', () => {
    const never = { compactEvery: 'never', expireEvery: 'never', orphansEvery: 'never', trimEvery: 'never' } as const
    for (const [name, every] of Object.entries(never)) {
      const id = `${name[0].toUpperCase()}${name.slice(1, -'Every'.length)}`
      const { template, made } = deployed({ [name]: every })
      expect(kept({ template })).toEqual(kept(plain).filter((other) => other !== id))
      expect(Object.keys(resourcesOf(template)).filter((logical) => logical.includes(id))).toEqual([])
      expect(Object.keys(made.alarms).filter((alarm) => alarm.startsWith(id.toLowerCase()))).toEqual([])
    }
    const { template, made } = deployed(never)
    expect([kept({ template }), made.maintenance]).toEqual([[], {}])
    template.resourceCountIs('AWS::StepFunctions::StateMachine', 0)
  })

  test.each([
    [{ compact: false, snapshots: false, orphans: false }, ['Trim']],
    [{ compact: false, orphans: false }, ['Expire', 'Trim']],
    [{ snapshots: false }, ['Compact', 'Orphans', 'Trim']],
  ] as const)('by those alone that a policy of some table asks for: %o', (maintenance, names) => {
    const source = readings({ table: 'dead', maintenance: { compact: false, snapshots: false, orphans: false } })
    const { template } = deployed({ pipeline: pipeline('readings', { sinks: [source.appendTo('rows', { maintenance })] }) })
    expect(kept({ template })).toEqual(names)
  })

  test('by expiry, where snapshots are kept for ever and rows are not', () => {
    const source = readings({ table: 'dead', maintenance: { compact: false, snapshots: false, orphans: false } })
    const maintenance = { compact: false, snapshots: false, orphans: false, rows: { keep: days(30) } } as const
    const rows = source.appendTo('rows', { partitionBy: ['day(at)'], maintenance })
    expect(kept(deployed({ pipeline: pipeline('readings', { sinks: [rows] }) }))).toEqual(['Expire', 'Trim'])
  })
})

describe('compaction', () => {
  const states = statesOf(plain.template)

  test('ends at once while another one is running, plans, and ends where there are no jobs', () => {
    expect(states.Running).toMatchObject({
      Parameters: { 'StateMachineArn.$': '$$.StateMachine.Id', StatusFilter: 'RUNNING', MaxResults: 2 },
      Next: 'AnotherRunning?',
    })
    expect(states['AnotherRunning?']).toMatchObject({
      Choices: [{ Variable: '$.executions[1]', IsPresent: true, Next: 'Done' }],
      Default: 'Plan',
    })
    expect(states.Plan).toMatchObject({
      Resource: '<PipelineCompactFunction.Arn>',
      Parameters: { step: 'plan' },
      Next: 'AnyJobs?',
    })
    expect(states['AnyJobs?']).toMatchObject({
      Choices: [{ Variable: '$.jobs[0]', IsPresent: true, Next: 'Jobs' }],
      Default: 'AllTablesPlanned?',
    })
  })

  test('does the jobs several at a time, each in an execution of its own, and a job that fails stops no other', () => {
    const { Jobs } = states
    expect(Jobs).toMatchObject({ Type: 'Map', ItemsPath: '$.jobs', MaxConcurrency: 5, ToleratedFailurePercentage: 100 })
    expect(Jobs).toMatchObject({ ResultPath: null, Next: 'AllTablesPlanned?' })
    expect(Jobs.ItemProcessor).toMatchObject({
      ProcessorConfig: { Mode: 'DISTRIBUTED', ExecutionType: 'STANDARD' },
      StartAt: 'Work',
      States: { Work: { Resource: '<PipelineCompactFunction.Arn>', Parameters: { step: 'work', 'job.$': '$' }, End: true } },
    })
    expect(statesOf(deployed({ compactConcurrency: 20 }).template).Jobs.MaxConcurrency).toBe(20)
  })

  test('tries again what may pass, and not what wants a person', () => {
    const { Work } = (states.Jobs.ItemProcessor as { States: Record<string, State> }).States
    for (const { Retry = [] } of [Work, states.Plan]) {
      const attempts = (error: string) => Retry.find(({ ErrorEquals }) => ErrorEquals.includes(error))?.MaxAttempts
      expect(['Lambda.ServiceException', 'Refused', 'Usage', 'States.TaskFailed'].map(attempts)).toEqual([6, 0, 0, 2])
    }
  })

  test('fails in the end when a table could not be planned, so that somebody is told', () => {
    expect(states['AllTablesPlanned?']).toMatchObject({
      Choices: [{ Variable: '$.failed', NumericGreaterThan: 0, Next: 'NotAllPlanned' }],
      Default: 'Done',
    })
    expect(states.NotAllPlanned).toMatchObject({ Type: 'Fail', Error: 'TablesNotPlanned' })
  })

  test('ends within a day, whatever happens', () => {
    const [{ Properties }] = Object.values(resourcesOf(plain.template, 'AWS::StepFunctions::StateMachine'))
    expect(JSON.parse(shown(Properties.DefinitionString)).TimeoutSeconds).toBe(86_400)
  })

  test('is logged without what comes and goes, encrypted, as long as the functions are', () => {
    plain.template.hasResourceProperties('AWS::StepFunctions::StateMachine', {
      LoggingConfiguration: { IncludeExecutionData: false, Level: 'ALL', Destinations: Match.anyValue() },
      TracingConfiguration: Match.absent(),
    })
    const [[, { Properties }]] = Object.entries(resourcesOf(plain.template, 'AWS::Logs::LogGroup')).filter(([id]) =>
      id.includes('StateMachineLogs'),
    )
    expect([shown(Properties.KmsKeyId), Properties.RetentionInDays]).toEqual(['<PipelineKey.Arn>', 30])
  })

  test('is started with nothing by its schedule, once', () => {
    const schedules = Object.entries(resourcesOf(plain.template, 'AWS::Scheduler::Schedule'))
    const [[, { Properties }]] = schedules.filter(([id]) => id.includes('Compact'))
    expect(Properties.Target).toMatchObject({ Input: '{}', RetryPolicy: { MaximumRetryAttempts: 0 } })
    expect(shown((Properties.Target as { Arn: unknown }).Arn)).toBe('<PipelineCompactStateMachine>')
  })
})
