import { Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib'
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import * as glue from 'aws-cdk-lib/aws-glue'
import * as iam from 'aws-cdk-lib/aws-iam'
import * as kms from 'aws-cdk-lib/aws-kms'
import * as s3 from 'aws-cdk-lib/aws-s3'
import type { Construct } from 'constructs'

/** Where a pipeline keeps what it has. */
export interface Stores {
  readonly key: kms.IKey
  readonly bucket: s3.IBucket
  /** Below which everything of the pipeline lies: `house/`, or nothing for the whole bucket. */
  readonly prefix: string
  readonly stagingPrefix: string
  /** `s3://bucket/house/`. */
  readonly warehouse: string
  /** `s3://bucket/house/.frazil/staging/`. */
  readonly staging: string
  readonly logTable: dynamodb.ITable
  /** Undefined for one that is there already. */
  readonly database: glue.CfnDatabase | undefined
}

export interface StoresOptions {
  readonly key: kms.IKey | undefined
  readonly bucket: s3.IBucket | undefined
  readonly prefix: string
  readonly accessLogsBucket: s3.IBucket | undefined
  readonly logTable: dynamodb.ITable | undefined
  /** Name of the Glue database, and whether to make it. */
  readonly namespace: string
  readonly makeDatabase: boolean
  readonly removalPolicy: RemovalPolicy
}

/** Makes what is not there. Ids of the constructs below `scope` are a contract: another id is another bucket. */
export function makeStores(scope: Construct, options: StoresOptions): Stores {
  const { prefix } = options
  const key = options.key ?? makeKey(scope, options)
  letLogsUse(scope, key)
  const bucket = options.bucket ?? makeBucket(scope, key, options)
  const warehouse = `s3://${bucket.bucketName}/${prefix}`
  const stagingPrefix = `${prefix}.frazil/staging/`
  return {
    key,
    bucket,
    prefix,
    stagingPrefix,
    warehouse,
    staging: `s3://${bucket.bucketName}/${stagingPrefix}`,
    logTable: options.logTable ?? makeLogTable(scope, key, options),
    database: options.makeDatabase ? makeDatabase(scope, options, warehouse) : undefined,
  }
}

function makeKey(scope: Construct, { removalPolicy }: StoresOptions): kms.Key {
  return new kms.Key(scope, 'Key', {
    description: 'Frazil: bucket, table of the logs, logs of the functions and their environment',
    enableKeyRotation: true,
    removalPolicy,
  })
}

/** CloudWatch Logs uses a key only where the key's own policy lets it. Of an imported key that is its owner's to do. */
function letLogsUse(scope: Construct, key: kms.IKey): void {
  const { region, urlSuffix } = Stack.of(scope)
  key.addToResourcePolicy(
    new iam.PolicyStatement({
      sid: 'FrazilLogs',
      principals: [new iam.ServicePrincipal(`logs.${region}.${urlSuffix}`)],
      actions: [
        'kms:Decrypt',
        'kms:DescribeKey',
        'kms:Encrypt',
        'kms:GenerateDataKey',
        'kms:GenerateDataKeyWithoutPlaintext',
        'kms:ReEncryptFrom',
        'kms:ReEncryptTo',
      ],
      // Of a key's policy: this key.
      resources: ['*'],
      conditions: {
        ArnLike: {
          'kms:EncryptionContext:aws:logs:arn': Stack.of(scope).formatArn({ service: 'logs', resource: 'log-group:*' }),
        },
      },
    }),
  )
}

/**
 * No versions: S3 would keep every file that was ever replaced by a compaction or thrown away by a lost commit, at full price,
 * and Iceberg has snapshots of its own. Nothing expires: what is still needed cannot be told by its age.
 */
function makeBucket(scope: Construct, key: kms.IKey, { accessLogsBucket, removalPolicy }: StoresOptions): s3.IBucket {
  const bucket = new s3.Bucket(scope, 'Bucket', {
    encryption: s3.BucketEncryption.KMS,
    encryptionKey: key,
    // One call to KMS for many objects.
    bucketKeyEnabled: true,
    enforceSSL: true,
    minimumTLSVersion: 1.2,
    blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
    objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    versioned: false,
    lifecycleRules: [{ id: 'EndUnfinishedUploads', abortIncompleteMultipartUploadAfter: Duration.days(7) }],
    removalPolicy,
    ...(accessLogsBucket === undefined
      ? {}
      : { serverAccessLogsBucket: accessLogsBucket, serverAccessLogsPrefix: `${scope.node.id}/` }),
  })
  // A bucket that stays would otherwise be left without its TLS rule.
  bucket.policy?.applyRemovalPolicy(removalPolicy)
  if (accessLogsBucket === undefined)
    Validations.of(bucket).acknowledge({
      id: 'AwsSolutions-S1',
      reason:
        'Access logs are a bucket and a bill of their own; only the roles of this stack and who is granted more reach the objects. accessLogsBucket turns them on.',
    })
  // What CDK's class declares as undefined its interface declares as absent.
  return bucket as s3.IBucket
}

/** The keys that `lib/aws/dynamo-table.ts` asks for: one log is one partition, its slots in order. No TTL: nothing may expire. */
function makeLogTable(scope: Construct, key: kms.IKey, { removalPolicy }: StoresOptions): dynamodb.ITable {
  const table = new dynamodb.Table(scope, 'LogTable', {
    partitionKey: { name: 'log', type: dynamodb.AttributeType.STRING },
    sortKey: { name: 'slot', type: dynamodb.AttributeType.NUMBER },
    billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
    deletionProtection: removalPolicy !== RemovalPolicy.DESTROY,
    encryption: dynamodb.TableEncryption.CUSTOMER_MANAGED,
    encryptionKey: key,
    removalPolicy,
  })
  return table as dynamodb.ITable
}

function makeDatabase(scope: Construct, { namespace, removalPolicy }: StoresOptions, warehouse: string): glue.CfnDatabase {
  const database = new glue.CfnDatabase(scope, 'Database', {
    catalogId: Stack.of(scope).account,
    databaseInput: { name: namespace, description: 'Iceberg tables of Frazil', locationUri: `${warehouse}${namespace}` },
  })
  // Its name is no name that CloudFormation made up: left behind by a first deployment that failed, it would fail the next one.
  database.applyRemovalPolicy(removalPolicy === RemovalPolicy.RETAIN ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : removalPolicy)
  return database
}
