import { App, Duration, Stack, Stage } from 'aws-cdk-lib'
import * as ec2 from 'aws-cdk-lib/aws-ec2'
import * as s3 from 'aws-cdk-lib/aws-s3'
import * as sqs from 'aws-cdk-lib/aws-sqs'
import type { Construct } from 'constructs'
import { describe, expect, test } from 'vitest'
import { msk, mskServerless, StreamingPipeline, selfManaged } from '../../cdk/constructs/index.ts'
import { FrazilError } from '../../lib/errors.ts'
import trades from '../../pipelines/trades.ts'
import { BROKERS, CLUSTER, deployed, network, type Options, secret, twoTopics } from './support.ts'

const queue = (scope: Construct): sqs.IQueue => sqs.Queue.fromQueueArn(scope, 'Q', 'arn:aws:sqs:eu-central-1:111122223333:q')
const pollers = { minimum: 1, maximum: 2 }

/** What is wrong, the properties, the sentence that says so. */
const REFUSED: readonly (readonly [string, (scope: Construct) => Options, string])[] = [
  [
    'a topic without a number of partitions',
    () => ({ pipeline: twoTopics, partitions: {} }),
    'Cannot deploy pipeline shop: expected topic returns to say how many partitions it has, found nothing. Write partitions: { "returns": N } here, or partitions: N in kafka(\'returns\', { … }).',
  ],
  [
    'partitions of a topic that is not read',
    () => ({ partitions: { trades: 4, orders: 2 } }),
    'Cannot deploy pipeline trades: expected partitions of its topics (trades), found orders. Set it right.',
  ],
  ['no partitions at all', () => ({ partitions: { trades: 0 } }), 'expected 1 to 10000 partitions of topic trades, found 0.'],
  [
    'what is no pipeline',
    () => ({ pipeline: {} as typeof trades, partitions: {} }),
    'Cannot plan: expected a pipeline made by pipeline()',
  ],
  [
    'a destination without pollers',
    (scope) => ({ onFailure: { destination: queue(scope), acceptLoss: true } }),
    'expected pollers with onFailure, found none.',
  ],
  [
    'a destination whose loss nobody accepts',
    (scope) => ({ pollers, onFailure: { destination: queue(scope) } as unknown as Options['onFailure'] }) as Options,
    'expected onFailure with acceptLoss: true, found undefined. A destination turns endless retries into ten',
  ],
  ['a batch of too many', () => ({ batchSize: 10_001 }), 'expected a batchSize of 1 to 10000, found 10001.'],
  [
    'a window of too long',
    () => ({ batchWindow: Duration.minutes(6) }),
    'expected a batchWindow of 5 minutes at most, found 6 minutes.',
  ],
  [
    'to begin at the latest record',
    () => ({ startingPosition: 'LATEST' as 'TRIM_HORIZON' }),
    "expected startingPosition 'TRIM_HORIZON' or a Date, found LATEST.",
  ],
  ['no time', () => ({ startingPosition: new Date('yesterday') }), 'found Invalid Date.'],
  [
    'a consumer group with a space',
    () => ({ consumerGroup: 'my group' }),
    "expected a consumerGroup of letters, digits and -/*:_+=.@, found 'my group'.",
  ],
  [
    'a consumer group that is too long',
    () => ({ consumerGroup: 'g'.repeat(200) }),
    'expected consumer groups of at most 200 characters, found 207',
  ],
  ['fewer pollers at most than at least', () => ({ pollers: { minimum: 3, maximum: 2 } }), 'found 3 and 2.'],
  ['too little memory for an event', () => ({ ingestMemoryMb: 128 }), 'expected ingestMemoryMb of 256 to 10240, found 128.'],
  ['too little memory for windows', () => ({ commitMemoryMb: 256 }), 'expected commitMemoryMb of 512 to 10240, found 256.'],
  [
    'a longer ingest than a mapping waits for',
    () => ({ ingestTimeout: Duration.minutes(15) }),
    'expected ingestTimeout of 1 s to 14 minutes, found 900 s.',
  ],
  [
    'a longer commit than Lambda lets run',
    () => ({ commitTimeout: Duration.minutes(16) }),
    'expected commitTimeout of 1 s to 15 minutes, found 960 s.',
  ],
  ['a schedule of seconds', () => ({ commitEvery: Duration.seconds(30) }), 'expected commitEvery in whole minutes, found 30 s.'],
  ['no commit ever', () => ({ commitConcurrency: 0 }), "expected commitConcurrency of 1 or more, or 'unreserved', found 0."],
  [
    'security groups without a VPC',
    () => ({ securityGroups: [] }),
    'expected a vpc with subnets and securityGroups, found none.',
  ],
  [
    "a variable of Frazil's",
    () => ({ environment: { FRAZIL_STAGING: 's3://x/' } }),
    "expected no variable of Frazil's in environment, found FRAZIL_STAGING.",
  ],
  [
    'an alarm that there is not',
    () => ({ withoutAlarms: ['lag' as 'offsetLag'] }),
    'expected withoutAlarms of offsetLag, commitAge,',
  ],
  ['a prefix without a slash', () => ({ prefix: 'house' }), "expected a prefix such as 'lake/trades/', found 'house'."],
  [
    'a database that is not the namespace',
    () => ({ database: 'lake' }),
    "expected database 'trades', the namespace of the definition, found 'lake'. Write namespace: 'lake' in pipeline('trades', { … }).",
  ],
  [
    'access logs of a bucket that is there',
    (scope) => ({
      bucket: s3.Bucket.fromBucketName(scope, 'A', 'lake'),
      accessLogsBucket: s3.Bucket.fromBucketName(scope, 'B', 'access-logs'),
    }),
    'expected accessLogsBucket for a bucket that is made here, found a bucket.',
  ],
  [
    'a cluster by its name',
    () => ({ source: msk({ clusterArn: 'demo' }) }),
    "expected clusterArn such as arn:aws:kafka:eu-central-1:111122223333:cluster/name/uuid, found 'demo'.",
  ],
  [
    'MSK Serverless with a password',
    (scope) => {
      const options = { clusterArn: CLUSTER, authentication: { scram: secret(scope, 'login') } }
      return { source: mskServerless(options) }
    },
    'Cannot read from MSK Serverless: expected authentication by IAM, the only one it knows, found another.',
  ],
  [
    'no broker',
    () => ({ source: selfManaged({ bootstrapServers: [] }) }),
    "expected bootstrapServers such as ['broker-1.example.com:9096'], found none.",
  ],
  ['a broker without a port', () => ({ source: selfManaged({ bootstrapServers: ['broker'] }) }), "found 'broker'."],
  [
    'the internet without a login',
    () => ({ source: selfManaged({ bootstrapServers: BROKERS }) }),
    'expected authentication or a vpc, found neither.',
  ],
  [
    'brokers in a VPC without security groups',
    (scope) => ({ source: selfManaged({ bootstrapServers: BROKERS, vpc: network(scope).vpc }) }),
    'expected securityGroups with a vpc, found none.',
  ],
  [
    'subnets without a VPC',
    (scope) => ({
      source: selfManaged({
        bootstrapServers: BROKERS,
        authentication: { scram512: secret(scope, 'login') },
        subnets: { subnetType: ec2.SubnetType.PUBLIC },
      }),
    }),
    'expected a vpc with subnets and securityGroups, found none.',
  ],
]

describe('refused when a stack is synthesized, in a sentence', () => {
  test.each(REFUSED)('%s', (_, options, sentence) => {
    let thrown: unknown
    try {
      deployed((scope) => ({ pipeline: trades, partitions: { trades: 4 }, ...options(scope) }))
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(FrazilError)
    const { message } = thrown as FrazilError
    expect(message).toContain(sentence)
    expect(message).toMatch(/^Cannot .+: expected .+ found .+\. .+\.$/)
  })
})

describe('a pipeline whose name is taken', () => {
  const add = (stack: Stack, id: string) =>
    new StreamingPipeline(stack, id, { pipeline: trades, source: msk({ clusterArn: CLUSTER }), partitions: { trades: 4 } })

  test('is refused in the same account and region, where metrics would be mixed', () => {
    const app = new App()
    add(new Stack(app, 'One'), 'Pipeline')
    expect(() => add(new Stack(app, 'Two'), 'Pipeline')).toThrow(
      'Cannot deploy pipeline trades: expected one of that name in an account and region, found another at One/Pipeline. Rename one, or set env of their stacks.',
    )
  })

  test('is taken in another region and in another stage', () => {
    const app = new App()
    add(new Stack(app, 'One', { env: { account: '111122223333', region: 'eu-central-1' } }), 'Pipeline')
    add(new Stack(app, 'Two', { env: { account: '111122223333', region: 'us-east-1' } }), 'Pipeline')
    const stage = new Stage(app, 'Test')
    expect(() =>
      add(new Stack(stage, 'One', { env: { account: '111122223333', region: 'us-east-1' } }), 'Pipeline'),
    ).not.toThrow()
  })
})
