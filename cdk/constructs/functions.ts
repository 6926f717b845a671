import { Duration, type RemovalPolicy, Stack } from 'aws-cdk-lib'
import type * as ec2 from 'aws-cdk-lib/aws-ec2'
import * as iam from 'aws-cdk-lib/aws-iam'
import type * as kms from 'aws-cdk-lib/aws-kms'
import * as lambda from 'aws-cdk-lib/aws-lambda'
import * as logs from 'aws-cdk-lib/aws-logs'
import * as scheduler from 'aws-cdk-lib/aws-scheduler'
import * as targets from 'aws-cdk-lib/aws-scheduler-targets'
import { Construct } from 'constructs'
import { explainAsterisks, policyOf, type Right } from './rights.ts'

/** What all functions of a pipeline have in common. */
export interface Shared {
  readonly key: kms.IKey
  readonly environment: Readonly<Record<string, string>>
  readonly logRetention: logs.RetentionDays
  readonly removalPolicy: RemovalPolicy
  readonly network: Network | undefined
}

export interface Network {
  readonly vpc: ec2.IVpc
  readonly subnets: ec2.SubnetSelection | undefined
  readonly securityGroups: readonly ec2.ISecurityGroup[] | undefined
}

export interface FunctionOptions {
  readonly description: string
  /** A zip or folder with `index.mjs`, which exports `handler`. */
  readonly code: lambda.Code
  readonly memoryMb: number
  readonly timeout: Duration
  /** What its role may do, beyond its own logs. */
  readonly rights: readonly Right[]
  /** Variables beyond those of all functions. @default none */
  readonly environment?: Readonly<Record<string, string>>
  /** Calls at a time that are set aside for it. @default none are */
  readonly concurrency?: number
}

export interface ScheduledFunctionOptions extends FunctionOptions {
  /** How often it is called: whole minutes. */
  readonly every: Duration
}

/** Ids of what `makeFunction` makes, below its own: a contract. */
const IDS = { logs: 'Logs', role: 'Role', function: 'Function', schedule: 'Schedule', scheduleRole: 'ScheduleRole' } as const

/** A function with a role and a log group of its own, all below the id. */
export function makeFunction(scope: Construct, id: string, shared: Shared, options: FunctionOptions): lambda.Function {
  return makeIn(new Construct(scope, id), shared, options, {})
}

/**
 * A function that EventBridge Scheduler calls. A call that fails, or finds no room, is not called again: the next one is due
 * soon and does its work.
 */
export function makeScheduledFunction(
  scope: Construct,
  id: string,
  shared: Shared,
  { every, ...options }: ScheduledFunctionOptions,
): lambda.Function {
  const home = new Construct(scope, id)
  const made = makeIn(home, shared, options, { retryAttempts: 0, maxEventAge: Duration.minutes(1) })
  const role = makeScheduleRole(home, {
    actions: ['lambda:InvokeFunction'],
    on: [made.functionArn],
    why: 'The schedule calls this function and no other.',
  })
  new scheduler.Schedule(home, IDS.schedule, {
    description: options.description,
    schedule: scheduler.ScheduleExpression.rate(every),
    target: new targets.LambdaInvoke(made, {
      // The target would grant itself every version of the function.
      role: role.withoutPolicyUpdates(),
      retryAttempts: 0,
      maxEventAge: Duration.minutes(1),
    }),
  })
  return made
}

/** The role of a schedule, which may do one thing. */
export function makeScheduleRole(home: Construct, right: Right): iam.Role {
  return new iam.Role(home, IDS.scheduleRole, {
    assumedBy: new iam.ServicePrincipal('scheduler.amazonaws.com', {
      conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(home).account } },
    }),
    inlinePolicies: { Invoke: policyOf([right]) },
  })
}

function makeIn(
  home: Construct,
  shared: Shared,
  options: FunctionOptions,
  invocation: Pick<lambda.FunctionProps, 'retryAttempts' | 'maxEventAge'>,
): lambda.Function {
  const { key, network, logRetention: retention, removalPolicy } = shared
  const { description, code, memoryMb, timeout, concurrency } = options
  const logGroup = new logs.LogGroup(home, IDS.logs, { encryptionKey: key, retention, removalPolicy })
  const rights = [...options.rights, logRight(logGroup), variablesRight(key), ...(network === undefined ? [] : [FUNCTION_IN_VPC])]
  const role = new iam.Role(home, IDS.role, {
    assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    description,
    inlinePolicies: { Rights: policyOf(rights) },
  })
  explainAsterisks(role, rights)
  return new lambda.Function(home, IDS.function, {
    description,
    runtime: lambda.Runtime.NODEJS_24_X,
    architecture: lambda.Architecture.ARM_64,
    handler: 'index.handler',
    code,
    role,
    logGroup,
    loggingFormat: lambda.LoggingFormat.JSON,
    memorySize: memoryMb,
    timeout,
    environment: { ...shared.environment, ...options.environment },
    environmentEncryption: key,
    ...invocation,
    ...(concurrency === undefined ? {} : { reservedConcurrentExecutions: concurrency }),
    ...(network === undefined ? {} : networkOf(network)),
  })
}

function networkOf({
  vpc,
  subnets,
  securityGroups,
}: Network): Pick<lambda.FunctionProps, 'vpc' | 'vpcSubnets' | 'securityGroups'> {
  return {
    vpc,
    ...(subnets === undefined ? {} : { vpcSubnets: subnets }),
    ...(securityGroups === undefined ? {} : { securityGroups: [...securityGroups] }),
  }
}

/** Streams have names of Lambda's making. */
function logRight(group: logs.LogGroup): Right {
  return {
    actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
    on: [group.logGroupArn],
    why: 'A function writes into its own log group; Lambda names the streams in it.',
  }
}

/** Not through a service, as data are: Lambda decrypts as the function. */
function variablesRight(key: kms.IKey): Right {
  return { actions: ['kms:Decrypt'], on: [key.keyArn], why: 'Lambda decrypts the variables of a function under its role.' }
}

const FUNCTION_IN_VPC: Right = {
  actions: [
    'ec2:AssignPrivateIpAddresses',
    'ec2:CreateNetworkInterface',
    'ec2:DeleteNetworkInterface',
    'ec2:DescribeNetworkInterfaces',
    'ec2:DescribeSubnets',
    'ec2:UnassignPrivateIpAddresses',
  ],
  on: ['*'],
  why: 'Lambda places a function into a VPC by network interfaces that it makes under this role, and asks for these rights on all resources.',
}
