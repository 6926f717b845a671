import type { Duration, RemovalPolicy } from 'aws-cdk-lib'
import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch'
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import type * as ec2 from 'aws-cdk-lib/aws-ec2'
import type * as kms from 'aws-cdk-lib/aws-kms'
import type * as logs from 'aws-cdk-lib/aws-logs'
import type * as s3 from 'aws-cdk-lib/aws-s3'
import type { Pipeline } from '../../lib/pipeline/pipeline.ts'
import type { AlarmName, AlarmThresholds } from './alarms.ts'
import type { FailureDestination } from './failure.ts'
import type { KafkaSource } from './source.ts'

/** Pollers that are there all the time, at a price: $0.185 an hour for each Event Poller Unit, which is up to 10 of them. */
export interface PollerOptions {
  /** 1 to 200. */
  readonly minimum: number
  /** At least `minimum`, up to 2000. */
  readonly maximum: number
  /** Event source mappings of one group share their units. @default units of its own */
  readonly group?: string
}

/** What becomes of a batch that failed ten times. */
export interface FailureOptions {
  /** A queue or topic gets where the records were, a bucket the records too. */
  readonly destination: FailureDestination
  /**
   * That you know what this does. Without a destination a batch is retried until it is in, however long our stores are out of
   * reach. With one, Lambda gives up after ten retries: an outage of some minutes makes it skip records. They are no dead
   * letters, are in no table, and show as gaps (`missingOffsets`).
   */
  readonly acceptLoss: true
}

export interface StreamingPipelineProps {
  /** What a pipeline file exports. */
  readonly pipeline: Pipeline

  /** Where its topics are: `msk({ … })`, `mskServerless({ … })` or `selfManaged({ … })`. */
  readonly source: KafkaSource

  /**
   * How many partitions topics have, by topic. Counts before the definition's `partitions`. No window closes before every
   * partition has spoken, so a number above the real one holds them all back, and one below it lets windows close too early.
   * @default what the definition says
   */
  readonly partitions?: Readonly<Record<string, number>>

  /**
   * Consumer groups are called `<consumerGroup>-<topic>`, 200 characters at most. A group remembers what was acknowledged, and
   * only the logs know what became of it: over an empty table of the logs, a group that goes on where it was skips what the
   * table before it had. So the name holds that of the table: another table is another group, which reads from
   * `startingPosition` again. A name of your own has to change whenever the table does. Another name over the same table
   * doubles nothing.
   * @default 'frazil-<name of the table of the logs>-<pipeline>'
   */
  readonly consumerGroup?: string

  /**
   * Where a consumer group begins that is new: at the oldest record, or at those written since a time. There is no "latest":
   * what is written while the mapping is being made would be skipped.
   * @default 'TRIM_HORIZON'
   */
  readonly startingPosition?: 'TRIM_HORIZON' | Date

  /** Whether topics are read. `false` keeps consumer groups where they are: what is written meanwhile waits. @default true */
  readonly enabled?: boolean

  /** Records of a call, at most: 1 to 10,000. Lambda ends a batch at 6 MB in any case. @default 10000 */
  readonly batchSize?: number

  /** How long a batch is gathered, at most 5 minutes. Longer is cheaper: fewer calls, requests and files. @default 5 seconds */
  readonly batchWindow?: Duration

  /**
   * Provisioned mode: pollers that wait for records, partial responses and bisection.
   * @default on-demand mode, which costs nothing by itself: a call that fails comes again as a whole
   */
  readonly pollers?: PollerOptions

  /** Needs `pollers`. @default none: a batch is retried until it is in */
  readonly onFailure?: FailureOptions

  /** Holds tables and staging. @default one is made, and retained */
  readonly bucket?: s3.IBucket

  /** Below which everything lies: `'lake/trades/'`. @default '': the whole bucket */
  readonly prefix?: string

  /** Takes the access logs of the bucket that is made. @default none are kept */
  readonly accessLogsBucket?: s3.IBucket

  /**
   * Name of a Glue database that is there already. It is the namespace of the definition: to take another, write
   * `namespace: '…'` in `pipeline()`. Of several pipelines in one namespace all but one name it.
   * @default one is made, named by the definition's namespace
   */
  readonly database?: string

  /** Holds the logs: keys `log` (S) and `slot` (N), no TTL. Several pipelines may share it. @default one is made, and retained */
  readonly logTable?: dynamodb.ITable

  /**
   * For what is made here: bucket, table, log groups, environment of the functions; and taken for the key of a bucket or table
   * that is given and does not say which it lies under. The policy of an imported key must let CloudWatch Logs use it.
   * @default one is made, rotated every year, and retained
   */
  readonly encryptionKey?: kms.IKey

  /** Where the functions run. They speak to DynamoDB, S3, Glue and CloudWatch, never to Kafka. @default in no VPC */
  readonly vpc?: ec2.IVpc

  /** Of `vpc`. Public ones are refused; isolated ones need endpoints of S3, DynamoDB and Glue. @default its private subnets */
  readonly subnets?: ec2.SubnetSelection

  /** Of the functions in `vpc`. @default one that lets everything out and nothing in */
  readonly securityGroups?: readonly ec2.ISecurityGroup[]

  /** How often tables are brought up to date: whole minutes, at most a day. @default 1 minute */
  readonly commitEvery?: Duration

  /**
   * Calls of commit at a time. 1 saves work done twice; nothing else rests on it. `'unreserved'` is for accounts whose quota
   * of concurrent calls is too small to set any aside (new ones have 10).
   * @default 1
   */
  readonly commitConcurrency?: number | 'unreserved'

  /** At least 256: an event of 6 MB peaks at 180 MB. CPU comes with memory. @default 512 */
  readonly ingestMemoryMb?: number

  /** At most 14 minutes. One call to AWS may take 45 s at worst. @default 60 seconds */
  readonly ingestTimeout?: Duration

  /** At least 512. A commit takes 32 KB of staged records per MB of it: 32 MB with 1,024, which peak at 470 MB. @default 1024 */
  readonly commitMemoryMb?: number

  /** At most 15 minutes. Commit uses what it gets, round by round. @default 5 minutes */
  readonly commitTimeout?: Duration

  /**
   * How often small files of cold partitions are rewritten into large ones: whole minutes, at most a week. What is rewritten
   * and how, each table says: `maintenance` in `appendTo`. The same holds for `expireEvery` and `orphansEvery`.
   * @default 1 hour
   */
  readonly compactEvery?: Duration | 'never'

  /**
   * How often old snapshots, and partitions that are kept no longer, are dropped. Without it table metadata grows by each
   * commit until Glue takes it no more.
   * @default 6 hours
   */
  readonly expireEvery?: Duration | 'never'

  /** How often files that no table names are looked for. Each time lists all that is there. @default 1 day */
  readonly orphansEvery?: Duration | 'never'

  /** How often logs and staging are rid of what no checkpoint needs. @default 1 hour */
  readonly trimEvery?: Duration | 'never'

  /** At least 512. A group of files that is rewritten at a time is a sixth of it at most. @default 2048 */
  readonly compactMemoryMb?: number

  /** Calls that rewrite files at a time: 1 to 100. @default 5 */
  readonly compactConcurrency?: number

  /** Of the functions' logs. They hold counts and times, never records. @default one month */
  readonly logRetention?: logs.RetentionDays

  /** Further variables of all functions, such as the endpoint of an emulator. None may begin with `FRAZIL_`. @default none */
  readonly environment?: Readonly<Record<string, string>>

  /** Who is told of alarms. @default nobody: they show on the dashboard */
  readonly alarmActions?: readonly cloudwatch.IAlarmAction[]

  /** @default each as `AlarmThresholds` says */
  readonly alarmThresholds?: AlarmThresholds

  /** Alarms that are not made. @default all are */
  readonly withoutAlarms?: readonly AlarmName[]

  /**
   * Of bucket, table, database, key and logs. `DESTROY` is for trying out; CloudFormation refuses it while the bucket holds
   * anything.
   * @default RemovalPolicy.RETAIN
   */
  readonly removalPolicy?: RemovalPolicy
}
