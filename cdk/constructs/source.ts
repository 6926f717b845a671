import { Fn, Token } from 'aws-cdk-lib'
import type * as ec2 from 'aws-cdk-lib/aws-ec2'
import * as lambda from 'aws-cdk-lib/aws-lambda'
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager'
import { usage } from '../../lib/errors.ts'
import { shown } from './known.ts'
import type { Right } from './rights.ts'

type Secret = secretsmanager.ISecret

/**
 * How an event source mapping says who it is to Amazon MSK. The secrets hold what AWS documents for each. MSK takes a `scram`
 * secret only under a customer's key: name it, `Secret.fromSecretAttributes(…, { secretCompleteArn, encryptionKey })`, or
 * ingest may not decrypt it.
 */
export type MskAuthentication = 'iam' | 'none' | { readonly scram: Secret } | { readonly mtls: Secret }

/** The same for brokers of one's own. `plain` is SASL/PLAIN, which wants TLS. */
export type SelfManagedAuthentication =
  | 'none'
  | { readonly scram512: Secret }
  | { readonly scram256: Secret }
  | { readonly plain: Secret }
  | { readonly mtls: Secret }

export interface MskOptions {
  /** `arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/UUID`, a parameter's value too. */
  readonly clusterArn: string
  /** @default 'iam' */
  readonly authentication?: MskAuthentication
}

export interface MskServerlessOptions {
  /** `arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/UUID`, a parameter's value too. */
  readonly clusterArn: string
}

export interface SelfManagedOptions {
  /** `['broker-1.example.com:9096', …]`, or a list that is known when the stack is deployed: `parameter.valueAsList`. */
  readonly bootstrapServers: readonly string[]
  /** @default 'none', which wants a VPC: over the internet AWS connects to no broker without a login */
  readonly authentication?: SelfManagedAuthentication
  /**
   * Holds the certificate of the authority that signed the brokers' certificates. @default one that everybody trusts signed
   * them
   */
  readonly rootCa?: Secret
  /** Where the brokers can be reached. @default over the internet */
  readonly vpc?: ec2.IVpc
  /** Of that VPC, with a way to the brokers. @default its private subnets */
  readonly subnets?: ec2.SubnetSelection
  /** What the brokers let in. Needed with `vpc`. @default none */
  readonly securityGroups?: readonly ec2.ISecurityGroup[]
}

/** Where records come from: made by `msk`, `mskServerless` or `selfManaged`. */
export type KafkaSource =
  | { readonly kind: 'msk'; readonly clusterArn: string; readonly authentication: MskAuthentication }
  | { readonly kind: 'mskServerless'; readonly clusterArn: string; readonly authentication: 'iam' }
  | (Omit<SelfManagedOptions, 'authentication'> & {
      readonly kind: 'selfManaged'
      readonly authentication: SelfManagedAuthentication
    })

/** A cluster of Amazon MSK with brokers. Its own subnets and security groups are where its pollers stand. */
export function msk({ clusterArn, authentication = 'iam' }: MskOptions): KafkaSource {
  return { kind: 'msk', clusterArn: checkedClusterArn(clusterArn), authentication }
}

/** A cluster of MSK Serverless: it knows IAM and nothing else. */
export function mskServerless(options: MskServerlessOptions): KafkaSource {
  // TypeScript lets a variable with more in it pass.
  const { authentication = 'iam' } = options as Partial<MskOptions>
  if (authentication !== 'iam')
    throw usage(
      'Cannot read from MSK Serverless: expected authentication by IAM, the only one it knows, found another. Leave authentication out, or use msk().',
    )
  return { kind: 'mskServerless', clusterArn: checkedClusterArn(options.clusterArn), authentication }
}

/** Kafka that somebody else runs: on EC2, on premises, Confluent Cloud, Redpanda. */
export function selfManaged({ authentication = 'none', ...options }: SelfManagedOptions): KafkaSource {
  const { bootstrapServers, vpc, securityGroups = [] } = options
  const what = 'Cannot read from self-managed Kafka'
  if (!Array.isArray(bootstrapServers))
    throw usage(
      `${what}: expected bootstrapServers such as ['broker-1.example.com:9096'], found ${shown(bootstrapServers)}. Write a list.`,
    )
  // A list that is known when the stack is deployed: a parameter's, or a text that is split then.
  const known = Token.isUnresolved(bootstrapServers) ? undefined : bootstrapServers
  const wrong = known?.find((server) => !Token.isUnresolved(server) && !/^[^\s,]+:\d{1,5}$/.test(server))
  if (known?.length === 0 || wrong !== undefined)
    throw usage(
      `${what}: expected bootstrapServers such as ['broker-1.example.com:9096'], found ${wrong === undefined ? 'none' : `'${wrong}'`}. Name host and port of one broker or more.`,
    )
  if (authentication === 'none' && vpc === undefined)
    throw usage(
      `${what}: expected authentication or a vpc, found neither. Over the internet Lambda connects to no broker without a login: give authentication: { scram512: secret }, or the vpc of the brokers.`,
    )
  if (vpc !== undefined && securityGroups.length === 0)
    throw usage(`${what}: expected securityGroups with a vpc, found none. Name the ones that the brokers let in.`)
  if (vpc === undefined && (securityGroups.length > 0 || options.subnets !== undefined))
    throw usage(`${what}: expected a vpc with subnets and securityGroups, found none. Name the vpc of the brokers.`)
  return { ...options, kind: 'selfManaged', authentication }
}

function checkedClusterArn(arn: string): string {
  if (Token.isUnresolved(arn) || /^arn:[^:]+:kafka:[^:]+:\d{12}:cluster\/[^/]+\/[^/]+$/.test(arn)) return arn
  throw usage(
    `Cannot read from MSK: expected clusterArn such as arn:aws:kafka:eu-central-1:111122223333:cluster/name/uuid, found '${arn}'. Look it up by aws kafka list-clusters-v2.`,
  )
}

/** What an event source mapping is told of its source. */
export function sourceOptions(
  source: KafkaSource,
): Pick<lambda.EventSourceMappingOptions, 'eventSourceArn' | 'kafkaBootstrapServers' | 'sourceAccessConfigurations'> {
  const access = accessOf(source)
  const sourceAccessConfigurations = access.length === 0 ? {} : { sourceAccessConfigurations: access }
  return source.kind === 'selfManaged'
    ? { kafkaBootstrapServers: [...source.bootstrapServers], ...sourceAccessConfigurations }
    : { eventSourceArn: source.clusterArn, ...sourceAccessConfigurations }
}

const { SourceAccessConfigurationType: Type } = lambda

function accessOf(source: KafkaSource): lambda.SourceAccessConfiguration[] {
  const login = loginOf(source.authentication)
  const access: lambda.SourceAccessConfiguration[] = []
  if (login !== undefined) access.push({ type: login.type, uri: login.secret.secretArn })
  if (source.kind !== 'selfManaged') return access
  const { rootCa, vpc, subnets, securityGroups = [] } = source
  if (rootCa !== undefined) access.push({ type: Type.SERVER_ROOT_CA_CERTIFICATE, uri: rootCa.secretArn })
  if (vpc !== undefined) {
    for (const id of vpc.selectSubnets(subnets).subnetIds) access.push({ type: Type.VPC_SUBNET, uri: `subnet:${id}` })
    for (const { securityGroupId } of securityGroups)
      access.push({ type: Type.VPC_SECURITY_GROUP, uri: `security_group:${securityGroupId}` })
  }
  return access
}

function loginOf(
  authentication: KafkaSource['authentication'],
): { readonly type: lambda.SourceAccessConfigurationType; readonly secret: Secret } | undefined {
  if (typeof authentication === 'string') return undefined
  if ('scram' in authentication) return { type: Type.SASL_SCRAM_512_AUTH, secret: authentication.scram }
  if ('scram512' in authentication) return { type: Type.SASL_SCRAM_512_AUTH, secret: authentication.scram512 }
  if ('scram256' in authentication) return { type: Type.SASL_SCRAM_256_AUTH, secret: authentication.scram256 }
  if ('plain' in authentication) return { type: Type.BASIC_AUTH, secret: authentication.plain }
  return { type: Type.CLIENT_CERTIFICATE_TLS_AUTH, secret: authentication.mtls }
}

/**
 * What the poller of an event source mapping does under the role of its function
 * (https://docs.aws.amazon.com/lambda/latest/dg/with-msk-permissions.html, …/with-kafka-permissions.html,
 * …/msk/latest/developerguide/iam-access-control.html).
 *
 * @param topics with the consumer group that reads each
 */
export function sourceRights(source: KafkaSource, topics: readonly { topic: string; group: string }[]): readonly Right[] {
  const secrets = secretsOf(source)
  return [
    ...(source.kind === 'selfManaged' ? [] : clusterRights(source, topics)),
    ...secrets.map(
      (secret): Right => ({
        actions: ['secretsmanager:GetSecretValue'],
        on: [secret.secretArn],
        why: 'The poller logs in to the brokers, or checks their certificates, by what the secret holds.',
      }),
    ),
    ...secrets.flatMap(({ encryptionKey }): Right[] =>
      encryptionKey === undefined
        ? []
        : [{ actions: ['kms:Decrypt'], on: [encryptionKey.keyArn], why: 'The secret is encrypted under this key.' }],
    ),
    ...(source.kind === 'selfManaged' && source.vpc === undefined ? [] : [POLLER_IN_VPC]),
  ]
}

/** What holds a login or a certificate. */
export function secretsOf(source: KafkaSource): readonly Secret[] {
  const login = loginOf(source.authentication)
  const rootCa = source.kind === 'selfManaged' ? source.rootCa : undefined
  return [...(login === undefined ? [] : [login.secret]), ...(rootCa === undefined ? [] : [rootCa])]
}

function clusterRights(
  { clusterArn, authentication }: Exclude<KafkaSource, { kind: 'selfManaged' }>,
  topics: readonly { topic: string; group: string }[],
): readonly Right[] {
  const find: readonly Right[] = [
    { actions: ['kafka:DescribeClusterV2'], on: [clusterArn], why: 'The poller finds the subnets of the cluster.' },
    {
      actions: ['kafka:GetBootstrapBrokers'],
      on: ['*'],
      why: 'The poller asks for the addresses of the brokers. The policy that AWS keeps for pollers (AWSLambdaMSKExecutionRole) gives this on all resources, too; it only reads.',
    },
  ]
  if (typeof authentication === 'object' && 'scram' in authentication) {
    const why = 'The poller looks whether the secret is one of the cluster.'
    return [...find, { actions: ['kafka:ListScramSecrets'], on: [clusterArn], why }]
  }
  if (authentication !== 'iam') return find
  const part = (kind: 'topic' | 'group', name: string) =>
    `${Fn.select(0, Fn.split(':cluster/', clusterArn))}:${kind}/${Fn.select(1, Fn.split(':cluster/', clusterArn))}/${name}`
  return [
    ...find,
    {
      actions: ['kafka-cluster:Connect', 'kafka-cluster:DescribeClusterDynamicConfiguration'],
      on: [clusterArn],
      why: 'The poller connects to the brokers under this role.',
    },
    {
      actions: ['kafka-cluster:DescribeTopic', 'kafka-cluster:ReadData'],
      on: topics.map(({ topic }) => part('topic', topic)),
      why: 'The poller reads the topics of the pipeline and no other.',
    },
    {
      actions: ['kafka-cluster:DescribeGroup', 'kafka-cluster:AlterGroup'],
      on: topics.map(({ group }) => part('group', group)),
      why: 'The poller keeps its place in a consumer group for each topic.',
    },
  ]
}

const POLLER_IN_VPC: Right = {
  actions: [
    'ec2:CreateNetworkInterface',
    'ec2:DeleteNetworkInterface',
    'ec2:DescribeNetworkInterfaces',
    'ec2:DescribeSecurityGroups',
    'ec2:DescribeSubnets',
    'ec2:DescribeVpcs',
  ],
  on: ['*'],
  why: 'The poller reaches the brokers by network interfaces that Lambda makes under this role. Lambda asks for these rights on all resources: the interfaces have no name yet, and IAM knows no resource for Describe.',
}
