import { App, Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import * as ec2 from 'aws-cdk-lib/aws-ec2'
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager'
import type { Construct } from 'constructs'
import { type KafkaSource, msk, mskServerless, StreamingPipeline, selfManaged } from '../../cdk/constructs/index.ts'
import type { StreamingPipelineProps } from '../../cdk/constructs/props.ts'
import { column, kafka, pipeline, seconds, timestampMillis } from '../../lib/index.ts'
import trades from '../../pipelines/trades.ts'

export const CLUSTER = 'arn:aws:kafka:eu-central-1:111122223333:cluster/demo/11111111-2222-3333-4444-555555555555-1'
export const BROKERS = ['broker-1.example.com:9096', 'broker-2.example.com:9096']

export function secret(scope: Construct, name: string): secretsmanager.ISecret {
  return secretsmanager.Secret.fromSecretCompleteArn(
    scope,
    name,
    `arn:aws:secretsmanager:eu-central-1:111122223333:secret:AmazonMSK_${name}-AbCdEf`,
  )
}

export function network(scope: Construct) {
  const vpc = ec2.Vpc.fromVpcAttributes(scope, 'Vpc', {
    vpcId: 'vpc-0123456789abcdef0',
    availabilityZones: ['eu-central-1a', 'eu-central-1b'],
    privateSubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
    privateSubnetRouteTableIds: ['rtb-1', 'rtb-2'],
  })
  return { vpc, securityGroups: [ec2.SecurityGroup.fromSecurityGroupId(scope, 'Brokers', 'sg-0123456789abcdef0')] }
}

/** Every way that records come in. */
export const SOURCES: Readonly<Record<string, (scope: Construct) => KafkaSource>> = {
  'msk by iam': () => msk({ clusterArn: CLUSTER }),
  'msk by scram': (scope) => msk({ clusterArn: CLUSTER, authentication: { scram: secret(scope, 'login') } }),
  'msk by mtls': (scope) => msk({ clusterArn: CLUSTER, authentication: { mtls: secret(scope, 'certificate') } }),
  'msk without login': () => msk({ clusterArn: CLUSTER, authentication: 'none' }),
  'msk serverless': () => mskServerless({ clusterArn: CLUSTER }),
  'self-managed by scram-512': (scope) =>
    selfManaged({ bootstrapServers: BROKERS, authentication: { scram512: secret(scope, 'login') } }),
  'self-managed by scram-256': (scope) =>
    selfManaged({ bootstrapServers: BROKERS, authentication: { scram256: secret(scope, 'login') } }),
  'self-managed by plain': (scope) =>
    selfManaged({ bootstrapServers: BROKERS, authentication: { plain: secret(scope, 'login') }, rootCa: secret(scope, 'ca') }),
  'self-managed by mtls in a vpc': (scope) =>
    selfManaged({
      bootstrapServers: BROKERS,
      authentication: { mtls: secret(scope, 'certificate') },
      rootCa: secret(scope, 'ca'),
      ...network(scope),
    }),
  'self-managed without login in a vpc': (scope) => selfManaged({ bootstrapServers: BROKERS, ...network(scope) }),
}

/** A pipeline of two topics, one of which says how many partitions it has. */
const schema = { id: column.string(), ts: column.long() }
const stream = (topic: string, partitions?: number) =>
  kafka(topic, {
    key: 'id',
    schema,
    computed: { at: (c) => timestampMillis(c.ts) },
    eventTime: 'at',
    watermark: { delay: seconds(1) },
    deadLetters: { table: `${topic}_dead` },
    ...(partitions === undefined ? {} : { partitions }),
  })
export const twoTopics = pipeline('shop', {
  sinks: [stream('orders', 3).appendTo('orders'), stream('returns').appendTo('returns')],
})

export type Options = Partial<StreamingPipelineProps>
export interface Made {
  readonly stack: Stack
  readonly made: StreamingPipeline
  readonly template: Template
}

/** A stack of trades unless options say otherwise; those that need a scope are made in the stack. */
export function deployed(
  options: Options | ((scope: Construct) => Options) = {},
  context: Readonly<Record<string, unknown>> = {},
): Made {
  const stack = new Stack(new App({ context }), 'Test')
  const props = typeof options === 'function' ? options(stack) : options
  const made = new StreamingPipeline(stack, 'Pipeline', {
    pipeline: trades,
    source: msk({ clusterArn: CLUSTER }),
    partitions: props.pipeline === undefined ? { trades: 4 } : {},
    ...props,
  })
  return { stack, made, template: Template.fromStack(stack) }
}

interface Resource {
  readonly Type: string
  readonly Properties: Readonly<Record<string, unknown>>
  readonly DependsOn?: readonly string[]
  readonly DeletionPolicy?: string
  readonly UpdateReplacePolicy?: string
}

/** Resources by logical id, of a type or all. */
export function resourcesOf(template: Template, type?: string): Readonly<Record<string, Resource>> {
  const all = template.toJSON().Resources as Readonly<Record<string, Resource>>
  return Object.fromEntries(Object.entries(all).filter(([, { Type }]) => type === undefined || Type === type))
}

/** A value of a template as people write it: `<Bucket.Arn>/house/*`, logical ids without their hash. */
export function shown(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  if (Array.isArray(value)) return value.map(shown).join(', ')
  const { 'Fn::Join': join, 'Fn::GetAtt': attribute, Ref: ref } = value as Readonly<Record<string, unknown>>
  if (Array.isArray(join)) return (join[1] as readonly unknown[]).map(shown).join(join[0] as string)
  if (Array.isArray(attribute)) return `<${withoutHash(attribute[0])}.${attribute[1]}>`
  if (ref !== undefined) return `<${withoutHash(String(ref))}>`
  return Object.entries(value)
    .map(([name, of]) => `${name} ${shown(of)}`)
    .join(', ')
}

const withoutHash = (id: string): string => id.replace(/[0-9A-F]{8}$/, '')

interface Statement {
  readonly role: string
  readonly actions: readonly string[]
  readonly resources: readonly string[]
  readonly condition: string | undefined
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value])

/** All statements that allow something, of all roles and policies. */
export function statementsOf(template: Template): readonly Statement[] {
  const found: Statement[] = []
  for (const [id, { Type, Properties }] of Object.entries(resourcesOf(template))) {
    const documents =
      Type === 'AWS::IAM::Role'
        ? listOf(Properties.Policies ?? []).map((policy) => (policy as { PolicyDocument: unknown }).PolicyDocument)
        : Type === 'AWS::IAM::Policy' || Type === 'AWS::IAM::ManagedPolicy'
          ? [Properties.PolicyDocument]
          : []
    for (const document of documents)
      for (const { Action, Resource, Condition } of (document as { Statement: Record<string, unknown>[] }).Statement)
        found.push({
          role: withoutHash(id),
          actions: listOf(Action).map(String),
          resources: listOf(Resource).map(shown),
          condition: Condition === undefined ? undefined : shown(Condition),
        })
  }
  return found
}
