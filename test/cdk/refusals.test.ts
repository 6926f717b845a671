import { App, CfnParameter, Duration, Fn, Lazy, RemovalPolicy, Stack, Stage, Token } from 'aws-cdk-lib'
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions'
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import * as ec2 from 'aws-cdk-lib/aws-ec2'
import * as kms from 'aws-cdk-lib/aws-kms'
import * as s3 from 'aws-cdk-lib/aws-s3'
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager'
import * as sqs from 'aws-cdk-lib/aws-sqs'
import type { Construct } from 'constructs'
import { describe, expect, test } from 'vitest'
import { msk, mskServerless, StreamingPipeline, selfManaged } from '../../cdk/constructs/index.ts'
import { FrazilError } from '../../lib/errors.ts'
import { column, kafka, pipeline, seconds, timestampMillis } from '../../lib/index.ts'
import trades from '../../pipelines/trades.ts'
import { BROKERS, CLUSTER, deployed, network, type Options, resourcesOf, secret, twoTopics } from './support.ts'

const queue = (scope: Construct): sqs.IQueue => sqs.Queue.fromQueueArn(scope, 'Q', 'arn:aws:sqs:eu-central-1:111122223333:q')
const pollers = { minimum: 1, maximum: 2 }

/** A value that CloudFormation knows, and nobody before it. */
const later = (): number => Token.asNumber(Lazy.number({ produce: () => 1024 }))
const LATER =
  'to be known when the stack is synthesized, found a value that is known only when the stack is deployed. Write it here.'
/** As a caller in JavaScript has it. */
const loose = (options: Readonly<Record<string, unknown>>): Options => options as Options

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
    'a compaction of seconds',
    () => ({ compactEvery: Duration.seconds(90) }),
    "expected compactEvery in whole minutes, at most 7 days, found 90 s. Set it right, or to 'never'.",
  ],
  [
    'an expiry after two weeks',
    () => ({ expireEvery: Duration.days(14) }),
    'expected expireEvery in whole minutes, at most 7 days, found 1209600 s.',
  ],
  [
    'a word that is not never',
    () => loose({ trimEvery: 'always' }),
    "expected trimEvery as a Duration, found 'always', a string. Write Duration.minutes(…), or 'never'.",
  ],
  ['a sweep at a time nobody knows', () => ({ orphansEvery: Duration.minutes(later()) }), `expected orphansEvery ${LATER}`],
  [
    'too little memory for a compaction',
    () => ({ compactMemoryMb: 256 }),
    'expected compactMemoryMb of 512 to 10240, found 256.',
  ],
  ['no compaction at a time', () => ({ compactConcurrency: 0 }), 'expected compactConcurrency of 1 to 100, found 0.'],
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
    'brokers as a text',
    () => ({ source: selfManaged({ bootstrapServers: 'one:9096' as unknown as string[] }) }),
    "expected bootstrapServers such as ['broker-1.example.com:9096'], found 'one:9096', a string. Write a list.",
  ],
  ['partitions known later', () => ({ partitions: { trades: later() } }), `expected partitions.trades ${LATER}`],
  ['memory of commit known later', () => ({ commitMemoryMb: later() }), `expected commitMemoryMb ${LATER}`],
  ['memory of ingest known later', () => ({ ingestMemoryMb: later() }), `expected ingestMemoryMb ${LATER}`],
  ['a prefix known later', () => ({ prefix: Fn.ref('AWS::StackName') }), `expected prefix ${LATER}`],
  ['a database known later', () => ({ database: Fn.importValue('database') }), `expected database ${LATER}`],
  ['an interval known later', () => ({ commitEvery: Duration.minutes(later()) }), `expected commitEvery ${LATER}`],
  ['a threshold known later', () => ({ alarmThresholds: { errors: later() } }), `expected alarmThresholds.errors ${LATER}`],
  [
    'partitions as a text',
    () => loose({ partitions: { trades: '3' } }),
    "expected 1 to 10000 partitions of topic trades, found '3', a string.",
  ],
  ['a duration as a number', () => loose({ commitEvery: 60 }), 'expected commitEvery as a Duration, found 60.'],
  [
    'no source',
    () => loose({ source: undefined }),
    'expected a source made by msk(), mskServerless() or selfManaged(), found none. Write source: msk({ clusterArn }).',
  ],
  ['a source made by hand', () => loose({ source: { clusterArn: CLUSTER } }), 'or selfManaged(), found another value.'],
  ['a source of a kind alone', () => loose({ source: { kind: 'msk', clusterArn: CLUSTER } }), 'found another value.'],
  [
    'a login without a secret',
    () => ({ source: msk({ clusterArn: CLUSTER, authentication: { scram: undefined } as unknown as 'iam' }) }),
    'found another value.',
  ],
  [
    'a failure without a destination',
    () => loose({ pollers, onFailure: { acceptLoss: true } }),
    'expected onFailure with a destination that is a queue, a topic or a bucket, found none.',
  ],
  [
    'a secret by its name',
    (scope) => {
      const scram512 = secretsmanager.Secret.fromSecretNameV2(scope, 'ByName', 'login')
      return { source: selfManaged({ bootstrapServers: BROKERS, authentication: { scram512 } }) }
    },
    'expected secrets by their complete ARN, found one by a part of it or by its name (Test/ByName). Take Secret.fromSecretCompleteArn(),',
  ],
  [
    'commits less than daily',
    () => ({ commitEvery: Duration.days(2) }),
    'expected commitEvery of 1 day at most, found 172800 s.',
  ],
  [
    'a threshold below nothing',
    () => ({ alarmThresholds: { offsetLag: -1 } }),
    'expected alarmThresholds.offsetLag of 0 or more, found -1.',
  ],
  [
    'a threshold that is no number',
    () => ({ alarmThresholds: { latePercent: Number.NaN } }),
    'expected alarmThresholds.latePercent of 0 or more, found NaN.',
  ],
  [
    'an alarm that looks back further than CloudWatch',
    () => ({ commitEvery: Duration.minutes(30), alarmThresholds: { intervalsWithoutCommit: 49 } }),
    'expected alarmThresholds.intervalsWithoutCommit of 1 to 48, found 49.',
  ],
  [
    'to keep a snapshot',
    () => ({ removalPolicy: RemovalPolicy.SNAPSHOT }),
    'expected removalPolicy RETAIN, RETAIN_ON_UPDATE_OR_DELETE or DESTROY, found SNAPSHOT.',
  ],
  [
    'functions in public subnets',
    (scope) => ({
      vpc: ec2.Vpc.fromVpcAttributes(scope, 'Open', {
        vpcId: 'vpc-0123456789abcdef0',
        availabilityZones: ['eu-central-1a'],
        publicSubnetIds: ['subnet-0123456789abcdef0'],
        publicSubnetRouteTableIds: ['rtb-1'],
      }),
    }),
    'expected private subnets of the vpc for the functions, found public ones.',
  ],
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
  const add = (stack: Stack, id: string) => {
    const clusterArn = Token.isUnresolved(stack.region) ? CLUSTER : CLUSTER.replace('eu-central-1', stack.region)
    return new StreamingPipeline(stack, id, { pipeline: trades, source: msk({ clusterArn }), partitions: { trades: 4 } })
  }

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

test.each<readonly [string, (scope: Construct) => readonly string[], unknown]>([
  ['a parameter', (scope) => new CfnParameter(scope, 'Brokers', { type: 'CommaDelimitedList' }).valueAsList, { Ref: 'Brokers' }],
  [
    'a text that is split',
    () => Fn.split(',', Fn.importValue('brokers')),
    { 'Fn::Split': [',', { 'Fn::ImportValue': 'brokers' }] },
  ],
])('brokers may be a list that is known when the stack is deployed: %s', (_, list, written) => {
  const { template } = deployed((scope) => ({
    source: selfManaged({ bootstrapServers: list(scope), authentication: { scram512: secret(scope, 'login') } }),
  }))
  const [{ Properties }] = Object.values(resourcesOf(template, 'AWS::Lambda::EventSourceMapping'))
  expect(Properties.SelfManagedEventSource).toEqual({ Endpoints: { KafkaBootstrapServers: written } })
})

test('functions in isolated subnets are warned of: endpoints are not seen', () => {
  const { stack } = deployed((scope) => ({
    vpc: ec2.Vpc.fromVpcAttributes(scope, 'Closed', {
      vpcId: 'vpc-0123456789abcdef0',
      availabilityZones: ['eu-central-1a'],
      isolatedSubnetIds: ['subnet-0123456789abcdef0'],
      isolatedSubnetRouteTableIds: ['rtb-1'],
    }),
  }))
  const warnings = Annotations.fromStack(stack).findWarning('*', Match.stringLikeRegexp('endpoints of S3, DynamoDB and Glue'))
  expect(warnings).toHaveLength(1)
  const { stack: other } = deployed((scope) => ({ vpc: network(scope).vpc }))
  expect(Annotations.fromStack(other).findWarning('*', Match.anyValue())).toEqual([])
})

describe('what lies in another region than the stack', () => {
  const region = 'us-east-1'
  const inRegion = (of: string, options: (scope: Construct) => Options) => {
    const stack = new Stack(new App(), 'Test', { env: { account: '111122223333', region: of } })
    return new StreamingPipeline(stack, 'Pipeline', {
      pipeline: trades,
      source: selfManaged({ bootstrapServers: BROKERS, authentication: { scram512: secret(stack, 'login') } }),
      partitions: { trades: 4 },
      ...options(stack),
    })
  }
  const table = `arn:aws:dynamodb:${region}:111122223333:table/logs`
  const key = `arn:aws:kms:${region}:111122223333:key/11111111-2222-3333-4444-555555555555`

  test.each<readonly [string, (scope: Construct) => Options]>([
    ['bucket', (scope) => ({ bucket: s3.Bucket.fromBucketAttributes(scope, 'Lake', { bucketName: 'lake', region }) })],
    ['logTable', (scope) => ({ logTable: dynamodb.Table.fromTableArn(scope, 'Logs', table) })],
    ['encryptionKey', (scope) => ({ encryptionKey: kms.Key.fromKeyArn(scope, 'Shared', key) })],
    ['the cluster', () => ({ source: msk({ clusterArn: CLUSTER.replace('eu-central-1', region) }) })],
  ])('is refused: %s', (name, options) => {
    expect(() => inRegion('eu-central-1', options)).toThrow(
      `Cannot deploy pipeline trades: expected ${name} in eu-central-1, the region of the stack, found us-east-1. Deploy the stack there, or take one of its own region.`,
    )
    expect(() => inRegion(region, options)).not.toThrow()
  })

  test('is taken where the stack does not say its region', () => {
    expect(() => deployed({ source: msk({ clusterArn: CLUSTER.replace('eu-central-1', region) }) })).not.toThrow()
  })
})

describe('several pipelines in one namespace', () => {
  const named = (name: string, table: string, deadLetters?: string) => {
    const source = kafka(name, {
      key: 'id',
      schema: { id: column.string(), ts: column.long() },
      computed: { at: (c) => timestampMillis(c.ts) },
      eventTime: 'at',
      watermark: { delay: seconds(1) },
      partitions: 1,
      ...(deadLetters === undefined ? {} : { deadLetters: { table: deadLetters } }),
    })
    return pipeline(name, { namespace: 'lake', sinks: [source.appendTo(table)] })
  }
  const add = (stack: Stack, of: ReturnType<typeof named>, database?: string) =>
    new StreamingPipeline(stack, of.name, {
      pipeline: of,
      source: msk({ clusterArn: CLUSTER }),
      ...(database === undefined ? {} : { database }),
    })
  const one = named('one', 'ones', 'dead_ones')
  const two = named('two', 'twos')

  test('are refused where each makes the database', () => {
    const stack = new Stack(new App(), 'Test')
    add(stack, one)
    expect(() => add(stack, two)).toThrow(
      "Cannot deploy pipeline two: expected one pipeline to make database lake, found another at Test/one that makes it. Write database: 'lake' here.",
    )
  })

  test('are refused where tables have the same name', () => {
    const stack = new Stack(new App(), 'Test')
    add(stack, two)
    expect(() => add(stack, named('three', 'threes'), 'lake')).toThrow(
      "Cannot deploy pipeline three: expected tables of its own in namespace lake, found dead_letters, which the pipeline at Test/two has too. Rename it in one of them (deadLetters: { table: '…' } in kafka()), or give one a namespace of its own.",
    )
    expect(() => add(stack, named('four', 'twos', 'dead_fours'), 'lake')).toThrow(
      'found twos, which the pipeline at Test/two has',
    )
  })

  test.each([
    ['first', [one, two]],
    ['last', [two, one]],
  ])('make their tables after the database, be it made %s', (_, order) => {
    const stack = new Stack(new App(), 'Test')
    for (const of of order) add(stack, of, of === one ? undefined : 'lake')
    const template = Template.fromStack(stack)
    const [database, ...more] = Object.keys(resourcesOf(template, 'AWS::Glue::Database'))
    expect(more).toEqual([])
    const tables = Object.values(resourcesOf(template, 'Custom::FrazilTables'))
    expect(tables).toHaveLength(2)
    for (const { DependsOn } of tables) expect(DependsOn).toContain(database)
  })

  test('stand in stacks of their own, the one after the one that makes the database', () => {
    const app = new App()
    const [first, second] = [new Stack(app, 'First'), new Stack(app, 'Second')]
    add(first, one)
    add(second, two, 'lake')
    const { dependencies } = app.synth().getStackByName('Second')
    expect(dependencies.map(({ id }) => id)).toContain('First')
  })
})
