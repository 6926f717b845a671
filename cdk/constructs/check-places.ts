import { Annotations, Stack, Token } from 'aws-cdk-lib'
import type { Construct } from 'constructs'
import { usage } from '../../lib/errors.ts'
import { shown } from './known.ts'
import type { StreamingPipelineProps } from './props.ts'
import { type KafkaSource, secretsOf } from './source.ts'

const LOGINS = ['scram', 'scram512', 'scram256', 'plain', 'mtls']

/** Throws `Usage` for a source that no function of ours made, and for secrets that rights cannot name. */
export function checkSource(what: string, source: KafkaSource): void {
  if (!isSource(source))
    throw usage(
      `${what}: expected a source made by msk(), mskServerless() or selfManaged(), found ${source === undefined ? 'none' : 'another value'}. Write source: msk({ clusterArn }).`,
    )
  const wrong = secretsOf(source).find(({ secretFullArn }) => secretFullArn === undefined)
  if (wrong !== undefined)
    throw usage(
      `${what}: expected secrets by their complete ARN, found one by a part of it or by its name (${wrong.node.path}). Take Secret.fromSecretCompleteArn(), or fromSecretAttributes() with secretCompleteArn and encryptionKey.`,
    )
}

/** Of any value: callers in JavaScript, and in TypeScript with a cast, make sources by hand. */
function isSource(source: unknown): boolean {
  if (typeof source !== 'object' || source === null) return false
  const { kind, clusterArn, bootstrapServers, authentication } = source as Partial<Record<string, unknown>>
  if (!isAuthentication(authentication)) return false
  return kind === 'selfManaged'
    ? Array.isArray(bootstrapServers)
    : (kind === 'msk' || kind === 'mskServerless') && typeof clusterArn === 'string'
}

function isAuthentication(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value === 'iam' || value === 'none'
  const [[name, secret] = ['', undefined], ...more] = Object.entries(value)
  return LOGINS.includes(name) && more.length === 0 && typeof secret === 'object' && secret !== null && 'secretArn' in secret
}

/** Throws `Usage` for a destination that is none of those that event source mappings know. */
export function checkDestination(what: string, { onFailure }: StreamingPipelineProps): void {
  const destination: unknown = onFailure?.destination
  const known = ['queueArn', 'topicArn', 'bucketArn']
  if (typeof destination === 'object' && destination !== null && known.some((name) => name in destination)) return
  throw usage(
    `${what}: expected onFailure with a destination that is a queue, a topic or a bucket, found ${destination === undefined ? 'none' : shown(destination)}. Name one, or leave onFailure out.`,
  )
}

/** Throws `Usage` for what lies in another region than the stack, as far as both are known: functions look in their own. */
export function checkRegions(what: string, scope: Construct, props: StreamingPipelineProps): void {
  const { region } = Stack.of(scope)
  if (Token.isUnresolved(region)) return
  const { source, bucket, logTable, encryptionKey } = props
  const regions = {
    bucket: bucket?.env.region,
    // An imported one says the stack's region, whatever its ARN.
    logTable: regionOf(logTable?.tableArn) ?? logTable?.env.region,
    encryptionKey: encryptionKey?.env.region,
    'the cluster': source.kind === 'selfManaged' ? undefined : regionOf(source.clusterArn),
  }
  for (const [name, found] of Object.entries(regions))
    if (found !== undefined && !Token.isUnresolved(found) && found !== region)
      throw usage(
        `${what}: expected ${name} in ${region}, the region of the stack, found ${found}. Deploy the stack there, or take one of its own region.`,
      )
}

/** Of an ARN that is known. */
function regionOf(arn: string | undefined): string | undefined {
  return arn === undefined || Token.isUnresolved(arn) ? undefined : arn.split(':')[3]
}

/**
 * Throws `Usage` for functions in public subnets, where they have no address that the internet answers. Isolated ones get a
 * warning: they do where the VPC has endpoints, which nobody sees from here.
 */
export function checkNetwork(what: string, scope: Construct, { vpc, subnets }: StreamingPipelineProps): void {
  if (vpc === undefined) return
  const { subnets: picked, hasPublic } = vpc.selectSubnets(subnets)
  if (hasPublic)
    throw usage(
      `${what}: expected private subnets of the vpc for the functions, found public ones. A function has no public address, so it would reach nothing; name private subnets, or leave vpc out.`,
    )
  const isolated = vpc.isolatedSubnets.map(({ subnetId }) => subnetId)
  if (picked.some(({ subnetId }) => isolated.includes(subnetId)))
    Annotations.of(scope).addWarningV2(
      'frazil:isolatedSubnets',
      'The functions are in subnets without a way out of the VPC: it needs endpoints of S3, DynamoDB and Glue. Without them every call runs into its timeout.',
    )
}
