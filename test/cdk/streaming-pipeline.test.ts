import { createRequire } from 'node:module'
import { Duration, RemovalPolicy } from 'aws-cdk-lib'
import { Match, type Template } from 'aws-cdk-lib/assertions'
import * as cloudwatchActions from 'aws-cdk-lib/aws-cloudwatch-actions'
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import * as kms from 'aws-cdk-lib/aws-kms'
import * as lambda from 'aws-cdk-lib/aws-lambda'
import * as s3 from 'aws-cdk-lib/aws-s3'
import * as sns from 'aws-cdk-lib/aws-sns'
import * as sqs from 'aws-cdk-lib/aws-sqs'
import { describe, expect, test } from 'vitest'
import { ALARMS } from '../../cdk/constructs/alarms.ts'
import { commitConfig, DEFAULT_MAX_CHECKPOINT_BYTES, ingestConfig, logsConfig, provisionConfig } from '../../functions/config.ts'
import { METRICS, type MetricName } from '../../functions/metrics.ts'
import { column, kafka, pipeline, seconds, timestampMillis } from '../../lib/index.ts'
import { BROKERS, CLUSTER, deployed, network, resourcesOf, SOURCES, shown, statementsOf, twoTopics } from './support.ts'

const plain = deployed()

const only = (template: Template, type: string) => {
  const found = Object.values(resourcesOf(template, type))
  expect(found).toHaveLength(1)
  return found[0]
}
const mappingOf = (template: Template) => only(template, 'AWS::Lambda::EventSourceMapping').Properties
const functionOf = (template: Template, part: string) => {
  const found = Object.entries(resourcesOf(template, 'AWS::Lambda::Function')).filter(([id]) => id.includes(part))
  expect(found).toHaveLength(1)
  return found[0][1].Properties
}
const environmentOf = (template: Template, part: string): Record<string, unknown> =>
  (functionOf(template, part).Environment as { Variables: Record<string, unknown> }).Variables

test('logical ids are a contract: another one is another bucket, table or consumer', async () => {
  const ids = Object.entries(resourcesOf(plain.template)).map(([id, { Type }]) => `${Type} ${id}`)
  await expect(`${ids.sort().join('\n')}\n`).toMatchFileSnapshot('logical-ids.txt')
})

test('the flags that cdk init sets change nothing', () => {
  const flags = createRequire(import.meta.url)('aws-cdk-lib/recommended-feature-flags.json') as Record<string, unknown>
  expect(Object.keys(flags).length).toBeGreaterThan(50)
  expect(deployed({}, flags).template.toJSON()).toEqual(plain.template.toJSON())
})

describe('what holds data', () => {
  test('stays when the stack goes, or when it would be replaced', () => {
    const types = ['AWS::KMS::Key', 'AWS::S3::Bucket', 'AWS::S3::BucketPolicy', 'AWS::DynamoDB::Table', 'AWS::Logs::LogGroup']
    for (const type of types) plain.template.allResources(type, { DeletionPolicy: 'Retain', UpdateReplacePolicy: 'Retain' })
    // Of a name of our own: what a first deployment that failed left behind would be in the way of the next.
    const database = { DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' }
    plain.template.allResources('AWS::Glue::Database', database)
  })

  test('goes where that is wanted, and is then not protected either', () => {
    const { template } = deployed({ removalPolicy: RemovalPolicy.DESTROY })
    for (const type of ['AWS::KMS::Key', 'AWS::S3::Bucket', 'AWS::DynamoDB::Table', 'AWS::Glue::Database'])
      template.allResources(type, { DeletionPolicy: 'Delete' })
    template.hasResourceProperties('AWS::DynamoDB::Table', { DeletionProtectionEnabled: false })
  })

  test('the bucket is private, encrypted, spoken to by TLS alone, and nothing in it expires', () => {
    const bucket = only(plain.template, 'AWS::S3::Bucket').Properties
    expect(bucket).not.toHaveProperty('VersioningConfiguration')
    expect(bucket.LifecycleConfiguration).toEqual({
      Rules: [{ Id: 'EndUnfinishedUploads', Status: 'Enabled', AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 } }],
    })
    expect(bucket.PublicAccessBlockConfiguration).toEqual({
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true,
    })
    plain.template.hasResourceProperties('AWS::S3::Bucket', {
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [
          { BucketKeyEnabled: true, ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms' } },
        ],
      },
      OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
    })
    plain.template.hasResourceProperties('AWS::S3::BucketPolicy', {
      PolicyDocument: {
        Statement: Match.arrayWith([
          Match.objectLike({ Effect: 'Deny', Action: 's3:*', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
        ]),
      },
    })
  })

  test('the table of the logs has the keys that the log reads, and can be restored', () => {
    const table = only(plain.template, 'AWS::DynamoDB::Table').Properties
    expect(table.KeySchema).toEqual([
      { AttributeName: 'log', KeyType: 'HASH' },
      { AttributeName: 'slot', KeyType: 'RANGE' },
    ])
    expect(table.AttributeDefinitions).toEqual([
      { AttributeName: 'log', AttributeType: 'S' },
      { AttributeName: 'slot', AttributeType: 'N' },
    ])
    expect(table).not.toHaveProperty('TimeToLiveSpecification')
    expect(table).toMatchObject({
      BillingMode: 'PAY_PER_REQUEST',
      DeletionProtectionEnabled: true,
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
      SSESpecification: { SSEEnabled: true, SSEType: 'KMS' },
    })
  })

  test('lies under one key that rotates and that CloudWatch Logs may use for logs of this account', () => {
    plain.template.hasResourceProperties('AWS::KMS::Key', {
      EnableKeyRotation: true,
      KeyPolicy: {
        Statement: Match.arrayWith([Match.objectLike({ Sid: 'FrazilLogs', Condition: { ArnLike: Match.anyValue() } })]),
      },
    })
    for (const { Properties } of Object.values(resourcesOf(plain.template, 'AWS::Logs::LogGroup')))
      expect(shown(Properties.KmsKeyId)).toBe('<PipelineKey.Arn>')
    for (const { Properties } of Object.values(resourcesOf(plain.template, 'AWS::Lambda::Function')))
      expect(shown(Properties.KmsKeyArn)).toBe('<PipelineKey.Arn>')
  })

  test('may be there already: bucket, database, table of the logs and key', () => {
    const { template, made } = deployed((scope) => ({
      bucket: s3.Bucket.fromBucketName(scope, 'Lake', 'lake'),
      prefix: 'house/',
      database: 'trades',
      logTable: dynamodb.Table.fromTableName(scope, 'Logs', 'frazil'),
      encryptionKey: kms.Key.fromKeyArn(
        scope,
        'Shared',
        'arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555',
      ),
    }))
    for (const type of ['AWS::S3::Bucket', 'AWS::Glue::Database', 'AWS::DynamoDB::Table', 'AWS::KMS::Key'])
      template.resourceCountIs(type, 0)
    expect(made.warehouse).toBe('s3://lake/house/')
    expect(environmentOf(template, 'Commit')).toMatchObject({
      FRAZIL_LOG_TABLE: 'frazil',
      FRAZIL_STAGING: 's3://lake/house/.frazil/staging/',
      FRAZIL_WAREHOUSE: 's3://lake/house/',
    })
  })

  test('the bucket keeps access logs where it is told to', () => {
    const { template } = deployed((scope) => ({ accessLogsBucket: new s3.Bucket(scope, 'AccessLogs') as s3.IBucket }))
    template.hasResourceProperties('AWS::S3::Bucket', { LoggingConfiguration: { LogFilePrefix: 'Pipeline/' } })
  })
})

describe('functions', () => {
  test('run on Node 24 and arm64, with a role and a log group of their own', () => {
    plain.template.resourceCountIs('AWS::Lambda::Function', 7)
    plain.template.allResourcesProperties('AWS::Lambda::Function', {
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      Handler: 'index.handler',
    })
    for (const part of ['Provision', 'Ingest', 'Commit', 'Compact', 'Expire', 'Orphans', 'Trim']) {
      const { Role, LoggingConfig } = functionOf(plain.template, part)
      expect(shown(Role)).toBe(`<Pipeline${part}Role.Arn>`)
      expect(shown((LoggingConfig as { LogGroup: unknown }).LogGroup)).toBe(`<Pipeline${part}Logs>`)
    }
    plain.template.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: 30 })
  })

  test('are told what they understand, and nothing else', () => {
    expect(Object.keys(environmentOf(plain.template, 'Ingest')).sort()).toEqual([
      'FRAZIL_LOG_TABLE',
      'FRAZIL_PARTITIONS',
      'FRAZIL_STAGING',
    ])
    expect(Object.keys(environmentOf(plain.template, 'Commit')).sort()).toEqual([
      'FRAZIL_LOG_TABLE',
      'FRAZIL_MAX_CHECKPOINT_BYTES',
      'FRAZIL_PARTITIONS',
      'FRAZIL_STAGING',
      'FRAZIL_WAREHOUSE',
    ])
    expect(Object.keys(environmentOf(plain.template, 'Provision')).sort()).toEqual([
      'FRAZIL_LOG_TABLE',
      'FRAZIL_PARTITIONS',
      'FRAZIL_STAGING',
      'FRAZIL_WAREHOUSE',
    ])
    for (const part of ['Compact', 'Expire'])
      expect((functionOf(plain.template, part).Environment as { Variables?: object } | undefined)?.Variables ?? {}).toEqual({})
    for (const part of ['Orphans', 'Trim'])
      expect(Object.keys(environmentOf(plain.template, part)).sort()).toEqual(['FRAZIL_LOG_TABLE', 'FRAZIL_STAGING'])
  })

  test('read what they are told', () => {
    const { template } = deployed((scope) => ({
      bucket: s3.Bucket.fromBucketName(scope, 'Lake', 'lake'),
      logTable: dynamodb.Table.fromTableName(scope, 'Logs', 'frazil'),
      pollers: { minimum: 1, maximum: 1 },
    }))
    const of = (part: string) => environmentOf(template, part) as Record<string, string>
    const both = { logTable: 'frazil', staging: 's3://lake/.frazil/staging/', partitions: { trades: 4 } }
    const { partitions: _, ...logs } = both
    for (const name of ['orphans', 'trim'] as const)
      expect(logsConfig(name, of(name === 'trim' ? 'Trim' : 'Orphans'))).toEqual(logs)
    expect(ingestConfig(of('IngestByPartition'))).toEqual({ ...both, partialResponses: true })
    expect(provisionConfig(of('Provision'))).toEqual({ ...both, warehouse: 's3://lake/' })
    expect(commitConfig(of('Commit'))).toEqual({
      ...both,
      warehouse: 's3://lake/',
      maxCheckpointBytes: DEFAULT_MAX_CHECKPOINT_BYTES,
    })
  })

  test('get the variables of an emulator', () => {
    const { template } = deployed({ environment: { AWS_ENDPOINT_URL: 'http://localhost:4566' } })
    for (const part of ['Provision', 'Ingest', 'Commit', 'Compact', 'Expire', 'Orphans', 'Trim'])
      expect(environmentOf(template, part)).toMatchObject({ AWS_ENDPOINT_URL: 'http://localhost:4566' })
  })

  test('commit takes 32 KB of staged records for each MB of its memory', () => {
    expect(environmentOf(plain.template, 'Commit').FRAZIL_MAX_CHECKPOINT_BYTES).toBe(String(32 * 1024 * 1024))
    const { template } = deployed({ commitMemoryMb: 2048 })
    expect(environmentOf(template, 'Commit').FRAZIL_MAX_CHECKPOINT_BYTES).toBe(String(64 * 1024 * 1024))
  })

  test('commit runs alone on a schedule, and a call that fails or waits is not called again', () => {
    plain.template.hasResourceProperties('AWS::Scheduler::Schedule', {
      ScheduleExpression: 'rate(1 minute)',
      FlexibleTimeWindow: { Mode: 'OFF' },
      Target: { RetryPolicy: { MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60 } },
    })
    plain.template.hasResourceProperties('AWS::Lambda::EventInvokeConfig', {
      MaximumRetryAttempts: 0,
      MaximumEventAgeInSeconds: 60,
    })
    plain.template.hasResourceProperties('AWS::Lambda::Function', {
      MemorySize: 1024,
      Timeout: 300,
      ReservedConcurrentExecutions: 1,
    })
    const free = deployed({ commitConcurrency: 'unreserved', commitEvery: Duration.minutes(5) }).template
    free.allResourcesProperties('AWS::Lambda::Function', { ReservedConcurrentExecutions: Match.absent() })
    free.hasResourceProperties('AWS::Scheduler::Schedule', { ScheduleExpression: 'rate(5 minutes)' })
  })

  test('may be added, on a schedule, after the tables stand', () => {
    const { made, stack } = deployed()
    const added = made.addScheduledFunction('Report', {
      description: 'Reports',
      code: lambda.Code.fromInline('exports.handler = () => 1'),
      every: Duration.hours(1),
      memoryMb: 2048,
      timeout: Duration.minutes(15),
      environment: made.environment,
      rights: [{ actions: ['s3:GetObject'], on: [made.bucket.arnForObjects('x')], why: 'It reads x.' }],
    })
    expect(stack.resolve(added.functionArn)).toEqual({ 'Fn::GetAtt': [expect.stringMatching(/^PipelineReportFunction/), 'Arn'] })
    expect(added.role?.node.path).toBe('Test/Pipeline/Report/Role')
    expect(made.node.findChild('Report').node.dependencies.map(({ node }) => node.path)).toEqual(['Test/Pipeline/Tables'])
  })
})

describe('a bundle', () => {
  test('has a name that only its content decides', () => {
    const codeOf = (template: Template) =>
      Object.values(resourcesOf(template, 'AWS::Lambda::Function')).map(({ Properties }) => shown(Properties.Code))
    expect(codeOf(deployed().template)).toEqual(codeOf(plain.template))
    expect(new Set(codeOf(plain.template)).size).toBe(7)
    expect(codeOf(deployed({ pipeline: twoTopics, partitions: { returns: 1 } }).template)).not.toEqual(codeOf(plain.template))
  })
})

describe('tables', () => {
  test('are made before anything of the other functions is touched', () => {
    const [tables] = Object.keys(resourcesOf(plain.template, 'Custom::FrazilTables'))
    const all = Object.entries(resourcesOf(plain.template))
    const after = all.filter(([, { DependsOn = [] }]) => DependsOn.includes(tables)).map(([id]) => id)
    const parts = all.map(([id]) => id).filter((id) => /^Pipeline(Ingest|Commit|Compact|Expire|Orphans|Trim)/.test(id))
    expect(after.sort()).toEqual(parts.sort())
    expect(parts.length).toBeGreaterThan(8)
    expect(shown(mappingOf(plain.template).FunctionName)).toBe('<PipelineIngestFunction>')
  })

  test('are made by the function itself, which answers within its timeout or never', () => {
    const { Properties, DependsOn } = only(plain.template, 'Custom::FrazilTables')
    expect(shown(Properties.ServiceToken)).toBe('<PipelineProvisionFunction.Arn>')
    expect(Properties.ServiceTimeout).toBe('360')
    expect(DependsOn).toEqual([expect.stringMatching(/^PipelineDatabase/)])
  })

  test('are looked at again when the definition, its partitions, the code or a location changes, and only then', () => {
    const tablesOf = (options: Parameters<typeof deployed>[0]) => {
      const { ServiceToken: _, ...properties } = only(deployed(options).template, 'Custom::FrazilTables').Properties
      return JSON.stringify(properties)
    }
    const before = tablesOf({})
    expect(tablesOf({ batchSize: 100 })).toBe(before)
    expect(tablesOf({ partitions: { trades: 5 } })).not.toBe(before)
    expect(tablesOf({ prefix: 'house/' })).not.toBe(before)
    const bucket = tablesOf((scope) => ({ bucket: s3.Bucket.fromBucketName(scope, 'Lake', 'lake') }))
    const logTable = tablesOf((scope) => ({ logTable: dynamodb.Table.fromTableName(scope, 'Logs', 'logs-2') }))
    expect(new Set([before, bucket, logTable]).size).toBe(3)
    const source = (delayS: number) =>
      kafka('trades', {
        schema: { ts: column.long() },
        computed: { at: (c) => timestampMillis(c.ts) },
        eventTime: 'at',
        watermark: { delay: seconds(delayS) },
        partitions: 1,
      })
    const [five, six] = [5, 6].map((delay) => tablesOf({ pipeline: pipeline('p', { sinks: [source(delay).appendTo('rows')] }) }))
    expect(five).not.toBe(six)
  })

  test('show their columns where a difference of two deployments is read', () => {
    const { Columns } = only(plain.template, 'Custom::FrazilTables').Properties as { Columns: Record<string, string> }
    expect(Object.keys(Columns)).toEqual(['raw_trades', 'agg_1m', 'agg_1m_late', 'dead_letters'])
    expect(Columns.raw_trades).toContain('qty double, side string?, event_time timestamptz')
  })

  test('are told as an output', () => {
    const outputs = Object.entries(plain.template.toJSON().Outputs as Record<string, { Value: unknown }>)
    expect(outputs.map(([, { Value }]) => shown(Value))).toEqual([
      '<PipelineTables.Tables>',
      's3://<PipelineBucket>/',
      '<PipelineLogTable>',
      '<PipelineIngestFunction>',
      '<PipelineCommitFunction>',
    ])
  })
})

describe('an event source mapping', () => {
  test('on demand has no option of failure at all: whatever fails comes again, whole, without end', () => {
    const mapping = mappingOf(plain.template)
    expect(mapping).toEqual({
      AmazonManagedKafkaEventSourceConfig: { ConsumerGroupId: expect.anything() },
      BatchSize: 10_000,
      Enabled: true,
      EventSourceArn: CLUSTER,
      FunctionName: expect.anything(),
      MaximumBatchingWindowInSeconds: 5,
      StartingPosition: 'TRIM_HORIZON',
      Topics: ['trades'],
    })
    expect(environmentOf(plain.template, 'Ingest')).not.toHaveProperty('FRAZIL_PARTIAL_RESPONSES')
  })

  test('with pollers answers by partition, bisects, and gives up on nothing', () => {
    const { template } = deployed({ pollers: { minimum: 1, maximum: 4, group: 'all' } })
    const mapping = mappingOf(template)
    expect(mapping).toMatchObject({
      ProvisionedPollerConfig: { MinimumPollers: 1, MaximumPollers: 4, PollerGroupName: 'all' },
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      BisectBatchOnFunctionError: true,
      MaximumRetryAttempts: -1,
      MetricsConfig: { Metrics: ['EventCount', 'ErrorCount', 'KafkaMetrics'] },
    })
    expect(mapping).not.toHaveProperty('MaximumRecordAgeInSeconds')
    expect(mapping).not.toHaveProperty('DestinationConfig')
    expect(environmentOf(template, 'IngestByPartition').FRAZIL_PARTIAL_RESPONSES).toBe('1')
    expect(environmentOf(template, 'Commit')).not.toHaveProperty('FRAZIL_PARTIAL_RESPONSES')
  })

  test('goes to another function when the way of answering changes, by one update of the same mapping', () => {
    const { template } = deployed({ pollers: { minimum: 1, maximum: 1 } })
    const ids = (of: Template) => Object.keys(resourcesOf(of, 'AWS::Lambda::EventSourceMapping'))
    expect(ids(template)).toEqual(ids(plain.template))
    expect(shown(mappingOf(plain.template).FunctionName)).toMatch(/^<PipelineIngestFunction/)
    expect(shown(mappingOf(template).FunctionName)).toMatch(/^<PipelineIngestByPartitionFunction/)
  })

  test('gives up on a batch only for who accepts the loss', () => {
    const { template } = deployed((scope) => ({
      pollers: { minimum: 1, maximum: 1 },
      onFailure: { destination: new sqs.Queue(scope, 'GivenUp') as sqs.IQueue, acceptLoss: true },
    }))
    expect(shown(mappingOf(template).DestinationConfig)).toBe('OnFailure Destination <GivenUp.Arn>')
  })

  test('is there for each topic, in a consumer group of its own', () => {
    const { template, made } = deployed({ pipeline: twoTopics, partitions: { returns: 2 }, consumerGroup: 'shop' })
    const groups = Object.values(resourcesOf(template, 'AWS::Lambda::EventSourceMapping')).map(({ Properties }) => [
      Properties.Topics,
      (Properties.AmazonManagedKafkaEventSourceConfig as { ConsumerGroupId: string }).ConsumerGroupId,
    ])
    expect(groups).toEqual([
      [['orders'], 'shop-orders'],
      [['returns'], 'shop-returns'],
    ])
    expect(Object.keys(made.mappings)).toEqual(['orders', 'returns'])
    expect(environmentOf(template, 'Ingest').FRAZIL_PARTITIONS).toBe('returns=2')
  })

  test('reads in a group that is tied to the table of the logs: over another table it begins anew', () => {
    const groupOf = (template: Template) =>
      shown((mappingOf(template).AmazonManagedKafkaEventSourceConfig as { ConsumerGroupId: unknown }).ConsumerGroupId)
    expect(groupOf(plain.template)).toBe('frazil-<PipelineLogTable>-trades-trades')
    const { template } = deployed((scope) => ({ logTable: dynamodb.Table.fromTableName(scope, 'Logs', 'logs-2') }))
    expect(groupOf(template)).toBe('frazil-logs-2-trades-trades')
    for (const of of [plain.template, template])
      expect(statementsOf(of).find(({ actions }) => actions.includes('kafka-cluster:AlterGroup'))?.resources).toEqual([
        expect.stringMatching(new RegExp(`/${groupOf(of)}$`)),
      ])
  })

  test('begins at a time, and pauses', () => {
    const { template } = deployed({ startingPosition: new Date('2026-01-01T00:00:00Z'), enabled: false })
    expect(mappingOf(template)).toMatchObject({
      StartingPosition: 'AT_TIMESTAMP',
      StartingPositionTimestamp: 1_767_225_600,
      Enabled: false,
    })
  })

  test.each(Object.entries(SOURCES))('says who it is: %s', (name, source) => {
    const mapping = mappingOf(deployed((scope) => ({ source: source(scope) })).template)
    const selfManaged = name.startsWith('self-managed')
    expect(mapping.EventSourceArn).toBe(selfManaged ? undefined : CLUSTER)
    expect(mapping.SelfManagedEventSource).toEqual(selfManaged ? { Endpoints: { KafkaBootstrapServers: BROKERS } } : undefined)
    const access = (mapping.SourceAccessConfigurations ?? []) as readonly { Type: string; URI: string }[]
    expect(access.map(({ Type, URI }) => `${Type} ${URI.replace(/.*_(\w+)-AbCdEf$/, '$1')}`)).toEqual(ACCESS[name])
  })
})

const IN_VPC = [
  'VPC_SUBNET subnet:subnet-0123456789abcdef0',
  'VPC_SUBNET subnet:subnet-0123456789abcdef1',
  'VPC_SECURITY_GROUP security_group:sg-0123456789abcdef0',
]
const ACCESS: Readonly<Record<string, readonly string[]>> = {
  'msk by iam': [],
  'msk by scram': ['SASL_SCRAM_512_AUTH login'],
  'msk by mtls': ['CLIENT_CERTIFICATE_TLS_AUTH certificate'],
  'msk without login': [],
  'msk serverless': [],
  'self-managed by scram-512': ['SASL_SCRAM_512_AUTH login'],
  'self-managed by scram-256': ['SASL_SCRAM_256_AUTH login'],
  'self-managed by plain': ['BASIC_AUTH login', 'SERVER_ROOT_CA_CERTIFICATE ca'],
  'self-managed by mtls in a vpc': ['CLIENT_CERTIFICATE_TLS_AUTH certificate', 'SERVER_ROOT_CA_CERTIFICATE ca', ...IN_VPC],
  'self-managed without login in a vpc': IN_VPC,
}

describe('alarms', () => {
  const alarms = Object.values(resourcesOf(plain.template, 'AWS::CloudWatch::Alarm')).map(({ Properties }) => Properties)

  test('all have a threshold, a reason and a page to read', () => {
    expect(Object.keys(plain.made.alarms)).toEqual(ALARMS)
    expect(alarms).toHaveLength(ALARMS.length)
    for (const { AlarmDescription, TreatMissingData, Threshold } of alarms) {
      expect(AlarmDescription).toMatch(/^Pipeline trades: .+\. What to do: docs\/how-to\/operate\.md$/)
      expect(TreatMissingData).toMatch(/^(breaching|notBreaching|ignore)$/)
      expect(Threshold).toBeGreaterThan(0)
    }
  })

  test('of commit go off when it says nothing, and not while one call takes all its time', () => {
    const commitAge = (template: Template) =>
      Object.entries(resourcesOf(template, 'AWS::CloudWatch::Alarm')).find(([id]) => id.includes('CommitAge'))?.[1].Properties
    expect(commitAge(plain.template)).toMatchObject({
      MetricName: 'commits',
      Namespace: 'Frazil',
      Statistic: 'Sum',
      Period: 60,
      EvaluationPeriods: 7,
      Threshold: 1,
      ComparisonOperator: 'LessThanThreshold',
      TreatMissingData: 'breaching',
    })
    const rare = deployed({ commitEvery: Duration.minutes(10) }).template
    expect(commitAge(rare)).toMatchObject({ Period: 600, EvaluationPeriods: 3 })
  })

  test('of silence are made after there is somebody to speak', () => {
    const schedules = Object.keys(resourcesOf(plain.template, 'AWS::Scheduler::Schedule'))
    const schedule = schedules.find((id) => id.includes('Commit')) ?? ''
    const waiting = Object.entries(resourcesOf(plain.template, 'AWS::CloudWatch::Alarm')).filter(([, { DependsOn = [] }]) =>
      DependsOn.includes(schedule),
    )
    expect(waiting.map(([id]) => id)).toEqual([expect.stringContaining('CommitAge')])
  })

  test('of late records ask for enough records to tell a share', () => {
    plain.template.hasResourceProperties('AWS::CloudWatch::Alarm', {
      Metrics: Match.arrayWith([Match.objectLike({ Expression: 'IF(records >= 1000, 100 * late / records, 0)' })]),
      Threshold: 5,
    })
  })

  test('can be set, sent to somebody and left out', () => {
    const { template, made } = deployed((scope) => ({
      alarmThresholds: { offsetLag: 7 },
      withoutAlarms: ['lateShare'],
      alarmActions: [
        new cloudwatchActions.SnsAction(sns.Topic.fromTopicArn(scope, 'Us', 'arn:aws:sns:eu-central-1:111122223333:us')),
      ],
    }))
    expect(Object.keys(made.alarms)).toEqual(ALARMS.filter((name) => name !== 'lateShare'))
    template.hasResourceProperties('AWS::CloudWatch::Alarm', { MetricName: 'OffsetLag', Threshold: 7 })
    template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: ['arn:aws:sns:eu-central-1:111122223333:us'] })
  })

  test('read only metrics that the functions send', () => {
    const ours = JSON.stringify(plain.template.toJSON()).matchAll(/"Namespace":"Frazil"/g)
    expect([...ours].length).toBeGreaterThan(3)
    const named = alarms.flatMap((alarm) => metricsOf(alarm)).filter(({ Namespace }) => Namespace === 'Frazil')
    expect(named.filter(({ MetricName }) => !(MetricName in METRICS))).toEqual([])
    for (const { Dimensions } of named)
      expect(Dimensions).toEqual([
        { Name: 'function', Value: expect.stringMatching(/^(ingest|commit)$/) },
        { Name: 'pipeline', Value: 'trades' },
      ])
  })
})

interface MetricOfTemplate {
  readonly Namespace: string
  readonly MetricName: string
  readonly Dimensions: unknown
}

function metricsOf(alarm: Readonly<Record<string, unknown>>): MetricOfTemplate[] {
  if (alarm.Metrics === undefined) return [alarm as unknown as MetricOfTemplate]
  return (alarm.Metrics as { MetricStat?: { Metric: MetricOfTemplate } }[]).flatMap(({ MetricStat }) =>
    MetricStat === undefined ? [] : [MetricStat.Metric],
  )
}

test('metrics are those that the functions send, with their dimensions', () => {
  const { made } = plain
  const shape = ({ metricName, namespace, dimensions, statistic }: ReturnType<typeof made.metric>) => [
    namespace,
    metricName,
    dimensions?.function ?? dimensions?.FunctionName,
    statistic,
  ]
  const names: readonly MetricName[] = ['recordsIn', 'lateRecords', 'deadLetters', 'watermarkLagMs', 'commitDurationMs']
  const made5 = [
    made.metricRecordsIn(),
    made.metricLateRecords(),
    made.metricDeadLetters(),
    made.metricWatermarkLag(),
    made.metricCommitDuration(),
  ]
  expect(made5.map(shape)).toEqual(names.map((name) => shape(made.metric(name))))
  expect(shape(made.metric('recordsIn'))).toEqual(['Frazil', 'recordsIn', 'ingest', 'Sum'])
  expect(shape(made.metric('openStateBytes'))).toEqual(['Frazil', 'openStateBytes', 'commit', 'Maximum'])
  expect(made.metric('recordsIn', { period: Duration.hours(1) }).period.toMinutes()).toBe(60)
  expect(shape(made.metricOffsetLag()).slice(0, 2)).toEqual(['AWS/Lambda', 'OffsetLag'])
})

test('the dashboard shows the alarms first, and every metric of ours that it names exists', () => {
  const body = shown(only(plain.template, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody)
  const { widgets } = JSON.parse(body) as { widgets: { type: string; properties: { metrics?: unknown[][] } }[] }
  expect(widgets[0].type).toBe('alarm')
  const named = widgets.flatMap(({ properties }) => properties.metrics ?? []).filter(([namespace]) => namespace === 'Frazil')
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter(([, name]) => !(String(name) in METRICS))).toEqual([])
})

test('functions stand in a VPC when told to, and nowhere else', () => {
  plain.template.allResourcesProperties('AWS::Lambda::Function', { VpcConfig: Match.absent() })
  deployed((scope) => network(scope)).template.allResourcesProperties('AWS::Lambda::Function', { VpcConfig: Match.anyValue() })
})
