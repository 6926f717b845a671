import { Duration, Names, Stack, Validations } from 'aws-cdk-lib'
import * as iam from 'aws-cdk-lib/aws-iam'
import type * as lambda from 'aws-cdk-lib/aws-lambda'
import * as logs from 'aws-cdk-lib/aws-logs'
import * as scheduler from 'aws-cdk-lib/aws-scheduler'
import * as targets from 'aws-cdk-lib/aws-scheduler-targets'
import * as sfn from 'aws-cdk-lib/aws-stepfunctions'
import * as tasks from 'aws-cdk-lib/aws-stepfunctions-tasks'
import type { Construct } from 'constructs'
import { makeScheduleRole, type Shared } from './functions.ts'
import { explainAsterisks, policyOf, type Right } from './rights.ts'

export interface CompactionOptions {
  readonly description: string
  /** The function of both steps, `plan` and `work`. */
  readonly compact: lambda.Function
  readonly every: Duration
  /** Jobs at a time. */
  readonly concurrency: number
}

/** Ids of what is made, below the function's own home: a contract. */
const IDS = { machine: 'StateMachine', logs: 'StateMachineLogs', role: 'StateMachineRole' } as const

/**
 * More than 400 jobs of 15 minutes take, five at a time: an execution that hangs must not keep the next ones from their turn
 * for ever.
 */
const TIMEOUT = Duration.days(1)

/** Errors that a second try does not change. */
const FOR_PEOPLE = ['Usage', 'InvalidPipeline', 'Refused', 'Corrupt']

/**
 * The state machine that compacts: plan, then the jobs, several at a time, each as a call of the function. A job that fails is
 * tried again, and stops none of the others; the next plan has what it left. While one execution is running the next one ends
 * at once: a table that takes longer than the schedule's interval is not rewritten twice at a time.
 */
export function makeCompaction(home: Construct, shared: Shared, options: CompactionOptions): sfn.StateMachine {
  const { compact, every, description } = options
  // Named here: its role names it, and it has to be there before.
  const stateMachineName = Names.uniqueResourceName(home, { maxLength: 80 })
  const logGroup = new logs.LogGroup(home, IDS.logs, {
    encryptionKey: shared.key,
    retention: shared.logRetention,
    removalPolicy: shared.removalPolicy,
  })
  const rights = machineRights(home, compact, stateMachineName)
  const role = new iam.Role(home, IDS.role, {
    assumedBy: new iam.ServicePrincipal('states.amazonaws.com', {
      conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(home).account } },
    }),
    description,
    inlinePolicies: { Rights: policyOf(rights) },
  })
  explainAsterisks(role, rights)
  const machine = new sfn.StateMachine(home, IDS.machine, {
    stateMachineName,
    // CDK would grant every version of the function, and logs by a policy of its own.
    role: role.withoutPolicyUpdates(),
    timeout: TIMEOUT,
    definitionBody: sfn.DefinitionBody.fromChainable(definitionOf(home, options)),
    // Of names and numbers; what comes and goes as data is left out.
    logs: { destination: logGroup, level: sfn.LogLevel.ALL, includeExecutionData: false },
  })
  // CDK's own rights for the map, which nobody has: those of the role are written down above.
  machine.node.tryRemoveChild('DistributedMapPolicy')
  Validations.of(machine).acknowledge({
    id: 'AwsSolutions-SF2',
    reason: 'Traces cost by the call and tell nothing that the log of the execution does not: it calls one function.',
  })
  const scheduleRole = makeScheduleRole(home, {
    actions: ['states:StartExecution'],
    on: [machine.stateMachineArn],
    why: 'The schedule starts this state machine and no other.',
  })
  new scheduler.Schedule(home, 'Schedule', {
    description,
    schedule: scheduler.ScheduleExpression.rate(every),
    target: new targets.StepFunctionsStartExecution(machine, {
      role: scheduleRole.withoutPolicyUpdates(),
      input: scheduler.ScheduleTargetInput.fromObject({}),
      retryAttempts: 0,
      maxEventAge: Duration.minutes(1),
    }),
  })
  return machine
}

function definitionOf(home: Construct, { compact, concurrency }: CompactionOptions): sfn.IChainable {
  // The list is a little late: at worst two executions do the same, of which one gives up.
  const running = new tasks.CallAwsService(home, 'Running', {
    service: 'sfn',
    action: 'listExecutions',
    parameters: { StateMachineArn: sfn.JsonPath.stateMachineId, StatusFilter: 'RUNNING', MaxResults: 2 },
    iamResources: ['*'],
    resultSelector: { executions: sfn.JsonPath.objectAt('$.Executions') },
  })
  const plan = new tasks.LambdaInvoke(home, 'Plan', {
    lambdaFunction: compact,
    payload: sfn.TaskInput.fromObject({ step: 'plan' }),
    payloadResponseOnly: true,
  })
  const work = new tasks.LambdaInvoke(home, 'Work', {
    lambdaFunction: compact,
    payload: sfn.TaskInput.fromObject({ step: 'work', job: sfn.JsonPath.objectAt('$') }),
    payloadResponseOnly: true,
  })
  for (const task of [running, plan, work]) withRetries(task)
  const jobs = new sfn.DistributedMap(home, 'Jobs', {
    itemsPath: '$.jobs',
    maxConcurrency: concurrency,
    // A call of the function that fails is told by its own alarm.
    toleratedFailurePercentage: 100,
    resultPath: sfn.JsonPath.DISCARD,
    // A call may take longer than the five minutes of the other kind.
    mapExecutionType: sfn.StateMachineType.STANDARD,
  })
  jobs.itemProcessor(work)
  const done = new sfn.Succeed(home, 'Done')
  const allPlanned = new sfn.Choice(home, 'AllTablesPlanned?')
    .when(
      sfn.Condition.numberGreaterThan('$.failed', 0),
      new sfn.Fail(home, 'NotAllPlanned', {
        error: 'TablesNotPlanned',
        cause: 'Some tables could not be planned; the log of the function says which, and why.',
      }),
    )
    .otherwise(done)
  const anyJobs = new sfn.Choice(home, 'AnyJobs?')
    .when(sfn.Condition.isPresent('$.jobs[0]'), jobs.next(allPlanned))
    .otherwise(allPlanned)
  const alone = new sfn.Choice(home, 'AnotherRunning?')
    .when(sfn.Condition.isPresent('$.executions[1]'), done)
    .otherwise(plan.next(anyJobs))
  return running.next(alone)
}

function withRetries(task: sfn.TaskStateBase): void {
  task.addRetry({ errors: FOR_PEOPLE, maxAttempts: 0 })
  task.addRetry({
    errors: [sfn.Errors.TASKS_FAILED],
    interval: Duration.seconds(30),
    backoffRate: 2,
    maxAttempts: 2,
    jitterStrategy: sfn.JitterType.FULL,
  })
}

function machineRights(home: Construct, compact: lambda.Function, name: string): readonly Right[] {
  const arnOf = (resource: string, rest: string) =>
    Stack.of(home).formatArn({ service: 'states', resource: `${resource}:${name}${rest}` })
  return [
    { actions: ['lambda:InvokeFunction'], on: [compact.functionArn], why: 'Both steps are calls of this function.' },
    {
      actions: ['states:ListExecutions', 'states:StartExecution'],
      on: [arnOf('stateMachine', '')],
      why: 'It looks whether another execution is running, and starts one of its own for each job.',
    },
    {
      actions: ['states:DescribeExecution', 'states:StopExecution'],
      on: [arnOf('execution', ':*')],
      why: 'It looks after the executions of its jobs, as AWS documents for distributed maps; Step Functions makes up their names.',
    },
    {
      actions: [
        'logs:CreateLogDelivery',
        'logs:DeleteLogDelivery',
        'logs:DescribeLogGroups',
        'logs:DescribeResourcePolicies',
        'logs:GetLogDelivery',
        'logs:ListLogDeliveries',
        'logs:PutResourcePolicy',
        'logs:UpdateLogDelivery',
      ],
      on: ['*'],
      why: 'Step Functions sets up the delivery of its logs under this role, and CloudWatch Logs knows no resource for that.',
    },
  ]
}
