import { DEFAULT_MAINTENANCE } from '../pipeline/maintenance.ts'
import type { Plan } from '../pipeline/plan.ts'
import type { Bill, Call } from './calls.ts'
import type { Load } from './load.ts'
import { MONTH_SECONDS, type Month, monthOf } from './month.ts'
import { PRICES, type PriceName, priced } from './prices.ts'

/** A line of a bill. */
export interface Line {
  readonly name: string
  readonly price: PriceName
  /** Units a month. */
  readonly quantity: number
  /** A month. */
  readonly dollars: number
  readonly dollarsPerMillion: number
}

export interface Estimate {
  readonly month: Month
  readonly lines: readonly Line[]
  readonly dollars: number
  readonly dollarsPerMillion: number
  /** What a reader must know of this load before believing the figure. Sentences. */
  readonly notes: readonly string[]
}

const GB = 1e9
const BYTES_PER_MB = 1e6
const HOURS = MONTH_SECONDS / 3600

/** Of all functions, as `functions/metrics.ts` names them; a metric costs a month however often it is told. */
const METRICS = 35
/** Of the constructs: fifteen, one of which looks at two metrics. */
const ALARMS = 16
/** Of a call: its line, its metrics, and Lambda's own three lines. */
const LOG_BYTES_PER_CALL = 1500
/** "Reduces requests to KMS by up to 99 percent", https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html */
const KMS_SHARE_WITH_BUCKET_KEY = 0.01
/** An event poller reads so much, https://docs.aws.amazon.com/lambda/latest/dg/kafka-scaling-modes.html; ten share a unit. */
const POLLER_MB_PER_SECOND = 5
const POLLERS_PER_UNIT = 10
const UNIT_MB_PER_SECOND = 20

/** The bill of a month, line by line. Throws `Usage` for a load that cannot be. */
export function estimate(plan: Plan, load: Load): Estimate {
  const month = monthOf(plan, load)
  const { ingest, commit, added, records } = month
  const line = (name: string, price: PriceName, quantity: number): Line => {
    const dollars = priced(PRICES[price], quantity)
    return { name, price, quantity, dollars, dollarsPerMillion: dollars / (records / 1e6) }
  }
  const calls = (bill: Bill, ...names: readonly Call[]) => names.reduce((sum, name) => sum + (bill.calls[name] ?? 0), 0)
  const s3Calls = (bill: Bill) => calls(bill, 'S3.PutObject', 'S3.GetObject', 'S3.HeadObject')
  const lines = [
    line('ingest: Lambda calls', 'lambdaCall', ingest.invocations),
    line('ingest: Lambda time', 'lambdaGbSecond', ingest.gbSeconds),
    line('ingest: S3 PUT', 's3Put', calls(ingest.bill, 'S3.PutObject')),
    line('ingest: DynamoDB writes', 'dynamoWriteUnit', ingest.bill.writeUnits),
    line('ingest: DynamoDB reads', 'dynamoReadUnit', ingest.bill.readUnits),
    ...(load.pollers === undefined
      ? []
      : [line('ingest: event pollers', 'eventPollerUnitHour', pollerUnits(month, load.pollers) * HOURS)]),
    line('commit: schedule', 'schedulerCall', commit.invocations),
    line('commit: Lambda calls', 'lambdaCall', commit.invocations),
    line('commit: Lambda time', 'lambdaGbSecond', commit.gbSeconds),
    line('commit: S3 PUT', 's3Put', calls(commit.bill, 'S3.PutObject')),
    line('commit: S3 GET, HEAD', 's3Get', calls(commit.bill, 'S3.GetObject', 'S3.HeadObject')),
    line('commit: DynamoDB writes', 'dynamoWriteUnit', commit.bill.writeUnits),
    line('commit: DynamoDB reads', 'dynamoReadUnit', commit.bill.readUnits),
    line('commit: Glue', 'glueRequest', calls(commit.bill, 'Glue.GetTable', 'Glue.UpdateTable')),
    line('storage: tables', 's3GbMonth', added.tables / GB),
    line('storage: staging', 's3GbMonth', added.staging / GB),
    line('storage: logs in DynamoDB', 'dynamoGbMonth', added.log / GB),
    line('storage: recovery of logs', 'dynamoRecoveryGbMonth', added.log / GB),
    line('CloudWatch metrics', 'metricMonth', METRICS),
    line('CloudWatch alarms', 'alarmMonth', ALARMS),
    line('CloudWatch dashboard', 'dashboardMonth', 1),
    line('CloudWatch logs', 'logGb', ((ingest.invocations + commit.invocations) * LOG_BYTES_PER_CALL) / GB),
    line('KMS key', 'kmsKeyMonth', 1),
    line('KMS requests', 'kmsRequest', (s3Calls(ingest.bill) + s3Calls(commit.bill)) * KMS_SHARE_WITH_BUCKET_KEY),
  ]
  const dollars = lines.reduce((sum, each) => sum + each.dollars, 0)
  return { month, lines, dollars, dollarsPerMillion: dollars / (records / 1e6), notes: notesOn(load, month) }
}

/** Event poller units of all topics: of the pollers asked for, or of as many as the load needs. */
function pollerUnits({ batches, valueBytes, records }: Month, least: number): number {
  return batches.reduce((sum, { recordsPerSecond }) => {
    const mbPerSecond = (recordsPerSecond * valueBytes) / records / BYTES_PER_MB
    const pollers = Math.max(least, Math.ceil(mbPerSecond / POLLER_MB_PER_SECOND))
    return sum + Math.max(Math.ceil(pollers / POLLERS_PER_UNIT), Math.ceil(mbPerSecond / UNIT_MB_PER_SECOND))
  }, 0)
}

/** Of a metadata file, for each snapshot that the table keeps: measured on `raw_trades`. */
const SNAPSHOT_BYTES = 720
/** Glue takes no more. */
const MOST_METADATA_MB = 20
const DAYS = 30

function notesOn({ commitIntervalMs }: Load, { commit, commitBusy }: Month): string[] {
  const behind = `one commit function cannot keep up: it would need ${commitBusy.toFixed(1)} times the time there is. Give it more memory, and with it CPU, or split the topic over pipelines.`
  const { expire } = DEFAULT_MAINTENANCE
  const dayMs = 86_400_000
  const hourly = (expire.keepMs - expire.thinAfterMs) / 3_600_000
  const snapshots = ((commit.bill.calls['DynamoDB.PutItem'] ?? 0) / DAYS) * (expire.thinAfterMs / dayMs) + hourly
  const fileMb = (snapshots * SNAPSHOT_BYTES) / BYTES_PER_MB
  const metadata = `with a commit each ${commitIntervalMs / 1000} s a table keeps ${Math.round(snapshots).toLocaleString('en-US')} snapshots, and the metadata file that each commit writes anew has ${fileMb.toFixed(0)} MB, of which Glue takes ${MOST_METADATA_MB}. Commit less often, or let snapshots thin out earlier.`
  return [...(commitBusy > 1 ? [behind] : []), ...(fileMb > MOST_METADATA_MB / 2 ? [metadata] : [])]
}
