import { type Stack, Validations } from 'aws-cdk-lib'
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import * as iam from 'aws-cdk-lib/aws-iam'
import * as kms from 'aws-cdk-lib/aws-kms'
import * as s3 from 'aws-cdk-lib/aws-s3'
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager'
import * as sns from 'aws-cdk-lib/aws-sns'
import * as sqs from 'aws-cdk-lib/aws-sqs'
import { AwsSolutionsChecks } from 'cdk-nag'
import { describe, expect, test } from 'vitest'
import { msk } from '../../cdk/constructs/index.ts'
import { bodyName, checkpointLogKey, incarnationLogKey, segmentName, stagingLogKey, stateName } from '../../lib/protocol/names.ts'
import { CLUSTER, deployed, network, resourcesOf, SOURCES, statementsOf } from './support.ts'

const DELIVERY = 'Step Functions sets up log delivery, which has no resource'
/** Actions that may stand with the resource "*", and why nothing closer works. */
const ON_EVERYTHING: Readonly<Record<string, string>> = {
  'logs:CreateLogDelivery': DELIVERY,
  'logs:DeleteLogDelivery': DELIVERY,
  'logs:DescribeLogGroups': DELIVERY,
  'logs:DescribeResourcePolicies': DELIVERY,
  'logs:GetLogDelivery': DELIVERY,
  'logs:ListLogDeliveries': DELIVERY,
  'logs:PutResourcePolicy': DELIVERY,
  'logs:UpdateLogDelivery': DELIVERY,
  'kafka:GetBootstrapBrokers': 'AWSLambdaMSKExecutionRole, the policy of AWS for pollers, has it on all resources',
  'ec2:CreateNetworkInterface': 'the interface has no name yet',
  'ec2:DeleteNetworkInterface': 'Lambda asks for it on all resources before it makes one',
  'ec2:DescribeNetworkInterfaces': 'Describe has no resource',
  'ec2:DescribeSecurityGroups': 'Describe has no resource',
  'ec2:DescribeSubnets': 'Describe has no resource',
  'ec2:DescribeVpcs': 'Describe has no resource',
  'ec2:AssignPrivateIpAddresses': 'Lambda asks for it on all resources before it makes an interface',
  'ec2:UnassignPrivateIpAddresses': 'Lambda asks for it on all resources before it makes an interface',
}

/** What cdk-nag finds that nobody explained. */
function findings(stack: Stack): readonly string[] {
  const { violations } = new AwsSolutionsChecks().validateScope(stack.node.root)
  return violations.map(
    ({ ruleName, violatingResources }) =>
      `${ruleName} at ${violatingResources.map(({ constructPath }) => constructPath).join(', ')}`,
  )
}

function listing(template: Parameters<typeof statementsOf>[0]): string {
  const lines: string[] = []
  let role = ''
  for (const statement of statementsOf(template)) {
    if (statement.role !== role) lines.push('', statement.role)
    role = statement.role
    lines.push(`  ${statement.actions.join(' ')}`, ...statement.resources.map((resource) => `    on ${resource}`))
    if (statement.condition !== undefined) lines.push(`    when ${statement.condition}`)
  }
  return `${lines.slice(1).join('\n')}\n`
}

const cases = Object.entries(SOURCES)

describe.each(cases)('rights with %s', (name, source) => {
  const { stack, template } = deployed((scope) => ({ source: source(scope) }))

  test('are those that are written down', async () => {
    await expect(listing(template)).toMatchFileSnapshot(`rights/${name.replaceAll(' ', '-')}.txt`)
  })

  test('have no action with an asterisk', () => {
    expect(statementsOf(template).flatMap(({ actions }) => actions.filter((action) => action.includes('*')))).toEqual([])
  })

  test('name a resource wherever the service knows one', () => {
    const wide = statementsOf(template).filter(({ resources }) => resources.includes('*'))
    expect(wide.flatMap(({ actions }) => actions.filter((action) => !(action in ON_EVERYTHING)))).toEqual([])
  })

  test('come by no policy of AWS or of another resource', () => {
    const roles = Object.values(resourcesOf(template, 'AWS::IAM::Role'))
    expect(roles).toHaveLength(13)
    expect(roles.filter(({ Properties }) => 'ManagedPolicyArns' in Properties)).toEqual([])
    expect(resourcesOf(template, 'AWS::IAM::Policy')).toEqual({})
  })

  test('leave cdk-nag nothing that is not explained', () => {
    expect(findings(stack)).toEqual([])
  })
})

test('cdk-nag does find what is wrong: a role of the same stack that may do anything', () => {
  const { stack } = deployed()
  new iam.Role(stack, 'Wide', {
    assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    inlinePolicies: {
      All: new iam.PolicyDocument({ statements: [new iam.PolicyStatement({ actions: ['s3:*'], resources: ['*'] })] }),
    },
  })
  expect(findings(stack)).toEqual([
    'AwsSolutions-IAM5[Action::s3:*] at Test/Wide/Resource',
    'AwsSolutions-IAM5[Resource::*] at Test/Wide/Resource',
  ])
})

test('each acknowledgement gives a reason of a sentence at least', () => {
  const { stack } = deployed((scope) => ({ ...network(scope) }))
  const reasons = stack.node
    .findAll()
    .flatMap(({ node }) =>
      node.metadata
        .filter(({ type }) => type === Validations.ACKNOWLEDGED_RULES_METADATA_KEY)
        .flatMap(({ data }) => Object.entries(data as Record<string, string>)),
    )
  expect(reasons.length).toBeGreaterThan(5)
  expect(reasons.filter(([, reason]) => !/^[A-Z].{40,}\.$/.test(reason))).toEqual([])
})

test('rights on tables, staged files and logs fit every name that the pipeline gives, and none of another pipeline', () => {
  const { template } = deployed((scope) => ({
    bucket: s3.Bucket.fromBucketName(scope, 'Lake', 'lake'),
    logTable: dynamodb.Table.fromTableName(scope, 'Logs', 'logs'),
  }))
  const like = (patterns: readonly string[], name: string) =>
    patterns.some((pattern) => new RegExp(`^${pattern.replace(/[.+]/g, '\\$&').replaceAll('*', '.*')}$`).test(name))
  const commit = statementsOf(template).filter(({ role }) => role === 'PipelineCommitRole')
  const logs = commit.find(({ actions }) => actions.includes('dynamodb:Query'))
  const keys = (logs?.condition ?? '').replace('ForAllValues:StringLike dynamodb:LeadingKeys ', '').split(', ')
  const keysOf = (name: string) => [
    incarnationLogKey(name),
    checkpointLogKey(name, 'abcdef01'),
    stagingLogKey(name, 's', 'abcdef01', 'trades', 0),
  ]
  expect(keysOf('trades').filter((key) => !like(keys, key))).toEqual([])
  expect(keysOf('trades2').filter((key) => like(keys, key))).toEqual([])
  const files = commit.find(({ actions }) => actions.includes('s3:DeleteObject'))?.resources ?? []
  const filesOf = (name: string) =>
    [segmentName(name, 'i', 't', 0, 1, 'u'), bodyName(name, 'i', 1, 'u'), stateName(name, 'i', 1, 'u')].map(
      (file) => `arn:<AWS::Partition>:s3:::lake/.frazil/staging/${file}`,
    )
  expect(filesOf('trades').filter((file) => !like(files, file))).toEqual([])
  expect(filesOf('trades2').filter((file) => like(files, file))).toEqual([])
  // The last checkpoint may have files for a table that the definition does not name any more.
  for (const role of ['PipelineCommitRole', 'PipelineProvisionRole']) {
    const glue = statementsOf(template).find((of) => of.role === role && of.actions.includes('glue:UpdateTable'))
    expect(glue?.resources.at(-1)).toMatch(/:table\/trades\/\*$/)
  }
})

describe('functions in a VPC', () => {
  test('get the rights to stand in it, and nothing else', () => {
    const outside = deployed().template
    const { stack, template } = deployed((scope) => network(scope))
    const inVpc = statementsOf(template).filter(({ actions }) => actions.includes('ec2:AssignPrivateIpAddresses'))
    const all = ['Provision', 'Ingest', 'Commit', 'Compact', 'Expire', 'Orphans', 'Trim']
    expect(inVpc.map(({ role }) => role).sort()).toEqual(all.map((name) => `Pipeline${name}Role`).sort())
    expect(statementsOf(template)).toHaveLength(statementsOf(outside).length + all.length)
    expect(findings(stack)).toEqual([])
    template.allResourcesProperties('AWS::Lambda::Function', {
      VpcConfig: {
        SubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
        SecurityGroupIds: ['sg-0123456789abcdef0'],
      },
    })
  })
})

describe('what keeps tables well', () => {
  const { template } = deployed()
  const rightsOf = (role: string) => statementsOf(template).filter((one) => one.role === `Pipeline${role}Role`)
  const actionsOf = (role: string, service: string) =>
    rightsOf(role).flatMap(({ actions }) => actions.filter((action) => action.startsWith(`${service}:`)))

  test('compact and expire see no logs and no staging, trim sees no table', () => {
    for (const role of ['Compact', 'Expire']) {
      expect(actionsOf(role, 'dynamodb')).toEqual([])
      expect(rightsOf(role).filter(({ resources }) => resources.some((arn) => arn.includes('.frazil')))).toEqual([])
    }
    expect(actionsOf('Trim', 'glue')).toEqual([])
    const objects = rightsOf('Trim').filter(({ actions }) => actions.includes('s3:DeleteObject'))
    expect(objects.flatMap(({ resources }) => resources)).toEqual(['<PipelineBucket.Arn>/.frazil/staging/trades/*'])
  })

  test('the sweep of orphans writes to no log and deletes nothing from staging', () => {
    expect(actionsOf('Orphans', 'dynamodb')).toEqual(['dynamodb:Query'])
    const staging = rightsOf('Orphans').filter(({ resources }) => resources.some((arn) => arn.includes('.frazil')))
    expect(staging.flatMap(({ actions }) => actions)).toEqual(['s3:GetObject'])
  })

  test('none of them makes a table or writes an entry', () => {
    for (const role of ['Compact', 'Expire', 'Orphans', 'Trim']) {
      const all = rightsOf(role).flatMap(({ actions }) => actions)
      expect(all.filter((action) => /CreateTable|DeleteTable|PutItem/.test(action))).toEqual([])
    }
  })

  test('the schedule of compaction starts its state machine and no other, which calls its function and no other', () => {
    expect(statementsOf(template).filter(({ role }) => role === 'PipelineCompactScheduleRole')).toMatchObject([
      { actions: ['states:StartExecution'], resources: ['<PipelineCompactStateMachine>'] },
    ])
    const invoked = rightsOf('CompactStateMachine').filter(({ actions }) => actions.includes('lambda:InvokeFunction'))
    expect(invoked).toMatchObject([{ resources: ['<PipelineCompactFunction.Arn>'] }])
    const [{ Properties }] = Object.values(resourcesOf(template, 'AWS::StepFunctions::StateMachine'))
    const own = rightsOf('CompactStateMachine').find(({ actions }) => actions.includes('states:StartExecution'))
    expect(own?.resources).toEqual([expect.stringMatching(new RegExp(`:stateMachine:${Properties.StateMachineName}$`))])
  })
})

test('a VPC without security groups of yours gets one that lets nothing in', () => {
  const { stack, template } = deployed((scope) => ({ vpc: network(scope).vpc }))
  expect(findings(stack)).toEqual([])
  for (const { Properties } of Object.values(resourcesOf(template, 'AWS::EC2::SecurityGroup')))
    expect(Properties).not.toHaveProperty('SecurityGroupIngress')
})

test('a secret under a key of its own brings the right to decrypt by that key', () => {
  const { template } = deployed((scope) => {
    const key = kms.Key.fromKeyArn(
      scope,
      'SecretKey',
      'arn:aws:kms:eu-central-1:111122223333:key/99999999-2222-3333-4444-555555555555',
    )
    const scram = secretsmanager.Secret.fromSecretAttributes(scope, 'Login', {
      secretCompleteArn: 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:AmazonMSK_login-AbCdEf',
      encryptionKey: key,
    })
    return { source: msk({ clusterArn: CLUSTER, authentication: { scram } }) }
  })
  const used = statementsOf(template).filter(({ resources }) => resources.some((resource) => resource.includes('key/9999')))
  expect(used).toMatchObject([{ role: 'PipelineIngestRole', actions: ['kms:Decrypt'] }])
})

describe('a destination for what was given up', () => {
  const pollers = { minimum: 1, maximum: 2 }
  test.each([
    [
      'a queue',
      (scope: Stack) => sqs.Queue.fromQueueArn(scope, 'To', 'arn:aws:sqs:eu-central-1:111122223333:q'),
      ['sqs:SendMessage'],
    ],
    [
      'a topic',
      (scope: Stack) => sns.Topic.fromTopicArn(scope, 'To', 'arn:aws:sns:eu-central-1:111122223333:t'),
      ['sns:Publish'],
    ],
    ['a bucket', (scope: Stack) => s3.Bucket.fromBucketName(scope, 'To', 'given-up'), ['s3:PutObject', 's3:ListBucket']],
  ])('%s is written to and nothing else', (_, destination, actions) => {
    const plain = statementsOf(deployed({ pollers }).template)
    const { stack, template } = deployed((scope) => ({
      pollers,
      onFailure: { destination: destination(scope as Stack), acceptLoss: true },
    }))
    const known = plain.map((statement) => JSON.stringify(statement))
    const added = statementsOf(template).filter((statement) => !known.includes(JSON.stringify(statement)))
    expect(added.flatMap((statement) => statement.actions)).toEqual(actions)
    expect(added.map(({ role }) => role)).toEqual(added.map(() => 'PipelineIngestByPartitionRole'))
    expect(findings(stack)).toEqual([])
  })
})

describe('what is granted to others', () => {
  test('to read tables: catalog, files and key, and no right to write', () => {
    const { made, stack } = deployed()
    const reader = new iam.Role(stack, 'Reader', { assumedBy: new iam.AccountRootPrincipal() })
    made.grantReadTables(reader)
    const policy = reader.node.findChild('DefaultPolicy') as iam.Policy
    const actions = stack.resolve(policy.document).Statement.flatMap(({ Action }: { Action: string | string[] }) => Action)
    expect(actions).toEqual([
      'glue:GetDatabase',
      'glue:GetTable',
      'glue:GetTables',
      's3:GetObject',
      's3:ListBucket',
      'kms:Decrypt',
    ])
  })

  test('to read logs: entries and staged files, and no right to write', () => {
    const { made, stack } = deployed()
    const reader = new iam.Role(stack, 'Reader', { assumedBy: new iam.AccountRootPrincipal() })
    made.grantReadLogs(reader)
    const policy = reader.node.findChild('DefaultPolicy') as iam.Policy
    const actions = stack.resolve(policy.document).Statement.flatMap(({ Action }: { Action: string | string[] }) => Action)
    expect(actions).toEqual([
      'dynamodb:Query',
      'dynamodb:BatchGetItem',
      'dynamodb:DescribeTable',
      's3:GetObject',
      's3:ListBucket',
      'kms:Decrypt',
    ])
  })

  test('of buckets and tables that do not say which key they lie under, the key of the pipeline', () => {
    const key = 'arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555'
    const { template } = deployed((scope) => ({
      bucket: s3.Bucket.fromBucketName(scope, 'Lake', 'lake'),
      logTable: dynamodb.Table.fromTableName(scope, 'Logs', 'logs'),
      encryptionKey: kms.Key.fromKeyArn(scope, 'Shared', key),
    }))
    const used = statementsOf(template).filter(({ actions }) => actions.includes('kms:GenerateDataKey'))
    expect(used.map(({ role, resources }) => [role, resources])).toEqual([
      ['PipelineProvisionRole', [key]],
      ['PipelineIngestRole', [key]],
      ['PipelineCommitRole', [key]],
      ['PipelineCompactRole', [key]],
      ['PipelineExpireRole', [key]],
      ['PipelineOrphansRole', [key]],
      ['PipelineTrimRole', [key]],
    ])
  })

  test('of buckets and tables under keys of their own, those keys', () => {
    const key = 'arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555'
    const { template } = deployed((scope) => ({
      bucket: s3.Bucket.fromBucketAttributes(scope, 'Lake', {
        bucketName: 'lake',
        encryptionKey: kms.Key.fromKeyArn(scope, 'LakeKey', key),
      }),
    }))
    const used = statementsOf(template).filter(({ actions }) => actions.includes('kms:GenerateDataKey'))
    expect(used.map(({ resources }) => resources)).toEqual([
      ...[[key], ['<PipelineKey.Arn>']],
      ...[[key], ['<PipelineKey.Arn>']],
      ...[[key], ['<PipelineKey.Arn>']],
      // Compact and expire see no table of the logs.
      ...[[key], [key]],
      ...[[key], ['<PipelineKey.Arn>']],
      ...[[key], ['<PipelineKey.Arn>']],
    ])
  })
})
