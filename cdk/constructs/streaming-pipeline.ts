import { CfnOutput, CustomResource, Duration, RemovalPolicy } from 'aws-cdk-lib'
import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch'
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import type * as iam from 'aws-cdk-lib/aws-iam'
import type * as kms from 'aws-cdk-lib/aws-kms'
import * as lambda from 'aws-cdk-lib/aws-lambda'
import * as logs from 'aws-cdk-lib/aws-logs'
import type * as s3 from 'aws-cdk-lib/aws-s3'
import { Construct } from 'constructs'
import type { FunctionName } from '../../functions/bundle.ts'
import type { MetricName } from '../../functions/metrics.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { type Alarms, makeAlarms, offsetLag } from './alarms.ts'
import { functionFolder } from './bundles.ts'
import { checkedPlan } from './check.ts'
import { makeDashboard } from './dashboard.ts'
import { definitionProperties } from './definition.ts'
import { failureRights } from './failure.ts'
import { makeFunction, makeScheduledFunction, type ScheduledFunctionOptions, type Shared } from './functions.ts'
import { MAINTENANCE_IDS, type Maintenance, makeMaintenance } from './maintenance.ts'
import { defaultGroupPrefix, makeMappings, type TopicGroup, topicGroups } from './mappings.ts'
import { metricOf } from './metrics.ts'
import { assertOnce, orderByDatabase } from './once.ts'
import { commitRights, ingestRights, type Places, provisionRights, readLogRights, readTableRights } from './permissions.ts'
import type { StreamingPipelineProps } from './props.ts'
import { grantRights } from './rights.ts'
import { sourceRights } from './source.ts'
import { makeStores } from './stores.ts'

/** Staged bytes that a commit takes per MB of its memory: 32 MB with 1,024 MB, whose measured peak is 470 MB. */
const CHECKPOINT_BYTES_PER_MB = 32 * 1024
const PROVISION_TIMEOUT = Duration.minutes(5)

/**
 * A pipeline, deployed: its topics come in by event source mappings, its tables stand in Glue. A definition that cannot go on
 * from the tables there are fails the deployment before ingest and commit are touched.
 *
 * Ids of what is made are a contract: an update keeps every bucket, table and consumer group.
 *
 * @example
 * new StreamingPipeline(stack, 'Trades', { pipeline: trades, source: msk({ clusterArn }), partitions: { trades: 12 } })
 */
export class StreamingPipeline extends Construct {
  /** Stages what the event source mappings bring. */
  readonly ingest: lambda.Function
  /** Brings the tables up to date, on a schedule. */
  readonly commit: lambda.Function
  /** Makes tables while the stack is deployed. */
  readonly provision: lambda.Function
  /** What keeps the tables well, on schedules of their own: `compact`, `compaction`, `expire`, `orphans`, `trim`. */
  readonly maintenance: Maintenance
  /** By topic. */
  readonly mappings: Readonly<Record<string, lambda.EventSourceMapping>>
  readonly bucket: s3.IBucket
  readonly logTable: dynamodb.ITable
  readonly encryptionKey: kms.IKey
  /** `s3://bucket/prefix/`: `--warehouse` of the command line. */
  readonly warehouse: string
  /** Namespace of the tables: the Glue database. */
  readonly database: string
  readonly alarms: Alarms
  readonly dashboard: cloudwatch.Dashboard
  /** What the functions are told of where things are: for functions that are added. */
  readonly environment: Readonly<Record<string, string>>

  readonly #plan: Plan
  readonly #places: Places
  readonly #shared: Shared
  /** Everything that is put in place after the tables stand. */
  readonly #tables: CustomResource

  constructor(scope: Construct, id: string, props: StreamingPipelineProps) {
    super(scope, id)
    const plan = checkedPlan(this, props)
    assertOnce(this, plan, props.database === undefined)
    const removalPolicy = props.removalPolicy ?? RemovalPolicy.RETAIN
    const stores = makeStores(this, {
      key: props.encryptionKey,
      bucket: props.bucket,
      prefix: props.prefix ?? '',
      accessLogsBucket: props.accessLogsBucket,
      logTable: props.logTable,
      namespace: plan.namespace,
      makeDatabase: props.database === undefined,
      removalPolicy,
    })
    this.#plan = plan
    this.#places = { scope: this, plan, stores }
    this.#shared = sharedOf(props, stores.key, removalPolicy)
    this.bucket = stores.bucket
    this.logTable = stores.logTable
    this.encryptionKey = stores.key
    this.warehouse = stores.warehouse
    this.database = plan.namespace

    const partitions = Object.entries(props.partitions ?? {}).map(([topic, count]) => `${topic}=${count}`)
    const logPlaces = { FRAZIL_LOG_TABLE: stores.logTable.tableName, FRAZIL_STAGING: stores.staging }
    const staging = {
      ...logPlaces,
      ...(partitions.length === 0 ? {} : { FRAZIL_PARTITIONS: partitions.join(',') }),
    }
    this.environment = { ...staging, FRAZIL_WAREHOUSE: stores.warehouse }

    this.provision = makeFunction(this, 'Provision', this.#shared, {
      description: `Makes the tables of pipeline ${plan.name}, while it is deployed`,
      code: this.#code('provision'),
      memoryMb: 512,
      timeout: PROVISION_TIMEOUT,
      rights: provisionRights(this.#places),
      environment: this.environment,
    })
    this.#tables = this.#makeTables(props)
    orderByDatabase(this, this.#tables, plan)

    const topics = topicGroups(plan, props.consumerGroup ?? defaultGroupPrefix(plan, stores.logTable.tableName))
    this.ingest = this.#makeIngest(props, topics, staging)
    this.mappings = makeMappings(new Construct(this, 'Mappings'), this.ingest, topics, props)
    const { commitEvery = Duration.minutes(1), commitTimeout = Duration.minutes(5) } = props
    this.commit = this.#makeCommit({ ...props, commitEvery, commitTimeout })
    this.maintenance = makeMaintenance(this, {
      plan,
      places: this.#places,
      shared: this.#shared,
      logs: logPlaces,
      code: (name) => this.#code(name),
      props,
    })
    for (const id of MAINTENANCE_IDS) this.node.tryFindChild(id)?.node.addDependency(this.#tables)
    this.alarms = makeAlarms(new Construct(this, 'Alarms'), {
      plan,
      ingest: this.ingest,
      commit: this.commit,
      maintenance: this.maintenance,
      commitEvery,
      commitTimeout,
      thresholds: props.alarmThresholds ?? {},
      without: props.withoutAlarms ?? [],
      actions: props.alarmActions ?? [],
    })
    // Silence sets it off: not before there is anybody to speak.
    this.alarms.commitAge?.node.addDependency(this.node.findChild('Commit'))
    this.dashboard = makeDashboard(this, 'Dashboard', {
      pipeline: plan.name,
      ingest: this.ingest,
      commit: this.commit,
      maintenance: this.maintenance,
      alarms: this.alarms,
    })
    this.#makeOutputs()
  }

  /**
   * Lets somebody read the tables by their names: Athena, Spark, PyIceberg. `frazil query` and `frazil tables` look for them in
   * all databases and need `glue:GetDatabases`, and `glue:GetTables` on every database, besides.
   */
  grantReadTables(grantee: iam.IGrantable): iam.Grant {
    return grantRights(grantee, readTableRights(this.#places))
  }

  /** Lets somebody look into the logs and what they name. With `grantReadTables` it is what `frazil plan` needs. */
  grantReadLogs(grantee: iam.IGrantable): iam.Grant {
    return grantRights(grantee, readLogRights(this.#places))
  }

  /**
   * Adds a function that is called on a schedule, after the tables stand: `commit` is one. Its rights and variables are what the
   * options say; `environment` has where things are.
   */
  addScheduledFunction(id: string, options: ScheduledFunctionOptions): lambda.Function {
    const made = makeScheduledFunction(this, id, this.#shared, options)
    this.node.findChild(id).node.addDependency(this.#tables)
    return made
  }

  /** A metric that the functions send. @param options period, statistic, … @default over 5 minutes */
  metric(name: MetricName, options?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return metricOf(this.#plan.name, name, options)
  }

  /** Records that were staged. @default the sum over 5 minutes */
  metricRecordsIn(options?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.metric('recordsIn', options)
  }

  /** Records too late for a window: they are in its late table. @default the sum over 5 minutes */
  metricLateRecords(options?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.metric('lateRecords', options)
  }

  /** Records that could not be decoded or accepted: they are in the dead-letter table. @default the sum over 5 minutes */
  metricDeadLetters(options?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.metric('deadLetters', options)
  }

  /** How far the watermark is behind the clock, in milliseconds. @default the greatest of 5 minutes */
  metricWatermarkLag(options?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.metric('watermarkLagMs', options)
  }

  /** How long commits take, in milliseconds. @default the greatest of 5 minutes */
  metricCommitDuration(options?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.metric('commitDurationMs', options)
  }

  /** Records that wait in the topic, as Lambda counts them. @default the greatest of 5 minutes */
  metricOffsetLag(options?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return offsetLag(this.ingest, options)
  }

  #code(name: FunctionName): lambda.Code {
    return lambda.Code.fromAsset(functionFolder(name, this.#plan))
  }

  /**
   * The tables as a resource of the stack. Its properties are the definition, so that a changed one calls the function, and
   * `cdk diff` shows which columns. The function answers CloudFormation itself.
   */
  #makeTables(props: StreamingPipelineProps): CustomResource {
    return new CustomResource(this, 'Tables', {
      resourceType: 'Custom::FrazilTables',
      serviceToken: this.provision.functionArn,
      // A function that is killed answers nothing: better to fail then than to wait an hour.
      serviceTimeout: PROVISION_TIMEOUT.plus(Duration.minutes(1)),
      properties: definitionProperties(this.#plan, props.partitions ?? {}, functionFolder('provision', this.#plan), {
        warehouse: this.warehouse,
        staging: this.#places.stores.staging,
        logTable: this.logTable.tableName,
      }),
    })
  }

  #makeIngest(
    props: StreamingPipelineProps,
    topics: readonly TopicGroup[],
    environment: Readonly<Record<string, string>>,
  ): lambda.Function {
    const { source, pollers, onFailure, ingestMemoryMb = 512, ingestTimeout = Duration.seconds(60) } = props
    // A function for each way to answer, so that a change between them is one update of the mapping: were it one function, it
    // would for some moments answer by partition to a mapping that takes every answer for success, and lose what it did not
    // stage.
    const id = pollers === undefined ? 'Ingest' : 'IngestByPartition'
    const made = makeFunction(this, id, this.#shared, {
      description: `Stages records of pipeline ${this.#plan.name}`,
      code: this.#code('ingest'),
      memoryMb: ingestMemoryMb,
      timeout: ingestTimeout,
      rights: [
        ...ingestRights(this.#places),
        ...sourceRights(source, topics),
        ...(onFailure === undefined ? [] : failureRights(onFailure.destination)),
      ],
      // Only together with ReportBatchItemFailures of the mapping, which only a provisioned one has.
      environment: { ...environment, ...(pollers === undefined ? {} : { FRAZIL_PARTIAL_RESPONSES: '1' }) },
    })
    this.node.findChild(id).node.addDependency(this.#tables)
    return made
  }

  #makeCommit(
    props: StreamingPipelineProps & { readonly commitEvery: Duration; readonly commitTimeout: Duration },
  ): lambda.Function {
    const { commitMemoryMb = 1024, commitEvery, commitTimeout, commitConcurrency = 1 } = props
    return this.addScheduledFunction('Commit', {
      description: `Commits what is staged of pipeline ${this.#plan.name}`,
      code: this.#code('commit'),
      every: commitEvery,
      memoryMb: commitMemoryMb,
      timeout: commitTimeout,
      rights: commitRights(this.#places),
      environment: {
        ...this.environment,
        FRAZIL_MAX_CHECKPOINT_BYTES: String(commitMemoryMb * CHECKPOINT_BYTES_PER_MB),
      },
      ...(commitConcurrency === 'unreserved' ? {} : { concurrency: commitConcurrency }),
    })
  }

  #makeOutputs(): void {
    const outputs = {
      Tables: [this.#tables.getAttString('Tables'), 'What the last change did to tables'],
      Warehouse: [this.warehouse, 'frazil --warehouse'],
      LogTable: [this.logTable.tableName, 'frazil --log-table'],
      Ingest: [this.ingest.functionName, 'Function that stages records'],
      Commit: [this.commit.functionName, 'Function that commits them'],
    } as const
    for (const [name, [value, description]] of Object.entries(outputs))
      new CfnOutput(this, `${name}Output`, { value, description })
  }
}

function sharedOf(props: StreamingPipelineProps, key: kms.IKey, removalPolicy: RemovalPolicy): Shared {
  const { vpc, subnets, securityGroups, logRetention = logs.RetentionDays.ONE_MONTH } = props
  return {
    key,
    removalPolicy,
    logRetention,
    environment: props.environment ?? {},
    network: vpc === undefined ? undefined : { vpc, subnets, securityGroups },
  }
}
