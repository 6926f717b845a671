import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { bundle } from '../functions/bundle.ts'
import type { ClientOptions } from '../lib/aws/clients.ts'
import { openDynamoLog } from '../lib/aws/dynamo-log.ts'
import { openGlueCatalog } from '../lib/aws/glue-catalog.ts'
import { openS3Objects } from '../lib/aws/s3-objects.ts'
import { parseKafkaEvent } from '../lib/columns/event.ts'
import { loadTable } from '../lib/iceberg/scan.ts'
import { planOf } from '../lib/index.ts'
import { systemRandom } from '../lib/local/system.ts'
import type { CommitSummary } from '../lib/runtime/commit-until.ts'
import { ingest } from '../lib/runtime/ingest.ts'
import { openPartitions } from '../lib/runtime/open-partitions.ts'
import { createStagingRuntime, nameIncarnation } from '../lib/runtime/runtime.ts'
import trades from '../pipelines/trades.ts'
import { ministack } from '../test/aws/services.ts'
import { type Deployment, deploy } from '../test/lambda/deployment.ts'
import { lambdaEvents } from './lambda-events.ts'
import { generateTrades } from './trades.ts'

// A backlog: trades staged while nobody commits, then worked off by the bundled commit function in a process as Lambda runs it.

export interface BacklogOptions {
  /** Trades, late and unreadable ones among them. */
  readonly records: number
  /** FRAZIL_MAX_CHECKPOINT_BYTES. @default the function's own */
  readonly maxCheckpointBytes?: number
  /** Of the commit function. */
  readonly memoryMb: number
  readonly timeoutMs: number
}

/** `staged` counts what ingest did; `rows` what the tables hold. */
export interface Backlog {
  readonly staged: {
    readonly records: number
    readonly deadLetters: number
    readonly late: number
    readonly bytes: number
    readonly seconds: number
  }
  readonly invocations: number
  readonly rounds: number
  /** Greatest number that one checkpoint added to `raw_trades`. */
  readonly maxRowsPerRound: number
  readonly peakRssMb: number
  readonly seconds: number
  readonly rows: Rows
}

interface Rows {
  readonly rawTrades: number
  readonly deadLetters: number
  readonly late: number
  readonly windows: number
  /** Sum of `trade_count` over all windows. */
  readonly tradesInWindows: number
  /** Offsets in `raw_trades` and `dead_letters` together, and how many of them there should be. */
  readonly offsets: number
  readonly distinctOffsets: number
  readonly expectedOffsets: number
}

const PARTITIONS = 4
/** Trades a second of event time: a longer backlog has more windows, not fuller ones. */
const RATE = 2000
const POISON_SHARE = 0.0001
const DAY_MS = 86_400_000
const ROOT = join(import.meta.dirname, '..')

export async function backlog(options: BacklogOptions): Promise<Backlog> {
  const dir = mkdtempSync(join(tmpdir(), 'frazil-backlog-'))
  const client = ministack()
  const files = await bundle({ pipeline: join(ROOT, 'test/functions/trades.ts'), outDir: dir })
  const deployment = await deploy({ ingest: files.ingest.file, commit: files.commit.file }, client)
  try {
    const { offsets, ...staged } = await stage(deployment, client, options.records)
    const worked = await workOff(deployment, client, options)
    const rows = { ...(await rowsOf(deployment, client)), expectedOffsets: offsets }
    return { staged, ...worked, maxRowsPerRound: await maxRowsPerRound(deployment, client), rows }
  } finally {
    await deployment.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Stages all trades, and in each partition one of the next day, so that every window before it closes. */
async function stage({ environment }: Deployment, client: ClientOptions, count: number) {
  const plan = planOf(trades)
  const { FRAZIL_LOG_TABLE: table = '', FRAZIL_STAGING: staging = '' } = environment.ingest
  const [log, objects] = [openDynamoLog({ ...client, table }), openS3Objects(client)]
  const incarnation = await nameIncarnation(log, systemRandom, plan.name)
  const runtime = createStagingRuntime({ plan, ports: { log, objects, random: systemRandom }, staging, incarnation })
  await openPartitions(runtime, { trades: Array.from({ length: PARTITIONS }, (_, partition) => partition) })
  const began = performance.now()
  const total = { records: 0, deadLetters: 0, late: 0, bytes: 0 }
  const next = new Array<number>(PARTITIONS).fill(0)
  const take = async (event: unknown) => {
    const deliveries = parseKafkaEvent(event)
    for (const { partition, offsets, count } of deliveries) next[partition] = offsets[count - 1] + 1
    const report = await ingest(runtime, deliveries)
    for (const name of ['records', 'deadLetters', 'late', 'bytes'] as const) total[name] += report[name]
  }
  const spanMs = Math.ceil((count / RATE) * 1000)
  const lines = generateTrades({ count, spanMs, poisonShare: POISON_SHARE })
  for (const text of lambdaEvents(lines, { partitions: PARTITIONS, timestamps: true })) await take(JSON.parse(text))
  await take(nextDay(next, spanMs))
  log.close()
  objects.close()
  return { ...total, seconds: secondsSince(began), offsets: next.reduce((sum, offset) => sum + offset, 0) }
}

function nextDay(next: readonly number[], spanMs: number) {
  const ts = 1_705_641_634_567 + spanMs + DAY_MS
  const value = Buffer.from(JSON.stringify({ symbol: 'LAST', ts, price: 1, qty: 1 })).toString('base64')
  const recordOf = (offset: number, partition: number) => [
    `trades-${partition}`,
    [{ topic: 'trades', partition, offset, timestamp: ts, timestampType: 'CREATE_TIME', value, headers: [] }],
  ]
  return { eventSource: 'aws:kafka', records: Object.fromEntries(next.map(recordOf)) }
}

/** Calls the function as a schedule would, until it says that nothing is left. */
async function workOff(deployment: Deployment, { endpoint = '' }: ClientOptions, options: BacklogOptions) {
  const { memoryMb, timeoutMs, maxCheckpointBytes } = options
  const environment = {
    // Past the gateway, which would hold every object in this process.
    AWS_ENDPOINT_URL: endpoint,
    ...(maxCheckpointBytes !== undefined && { FRAZIL_MAX_CHECKPOINT_BYTES: String(maxCheckpointBytes) }),
  }
  const commit = deployment.start('commit', { memoryMb, timeoutMs, environment })
  const began = performance.now()
  const worked = { invocations: 0, rounds: 0, peakRssMb: 0 }
  for (let more = true; more; ) {
    const { functionError, payload, peakRssMb } = await commit.invoke('{}')
    if (functionError !== undefined) throw new Error(`Cannot work off the backlog: commit failed with ${payload}`)
    const summary = JSON.parse(payload) as CommitSummary
    worked.invocations++
    worked.rounds += summary.rounds
    worked.peakRssMb = Math.max(worked.peakRssMb, peakRssMb)
    more = summary.more
  }
  return { ...worked, seconds: secondsSince(began) }
}

async function maxRowsPerRound({ environment }: Deployment, client: ClientOptions): Promise<number> {
  const [catalog, objects] = [openGlueCatalog(client), openS3Objects(client)]
  const namespace = environment.commit.NAMESPACE ?? ''
  const table = await loadTable(catalog, objects, { namespace, name: 'raw_trades' })
  catalog.close()
  objects.close()
  return Math.max(0, ...(table?.metadata.snapshots ?? []).map(({ summary }) => Number(summary['added-records'] ?? 0)))
}

/** What `frazil query` reads from the tables. */
async function rowsOf({ environment }: Deployment, { endpoint = '' }: ClientOptions): Promise<Omit<Rows, 'expectedOffsets'>> {
  const { NAMESPACE: namespace, FRAZIL_WAREHOUSE: warehouse = '', ...env } = environment.commit
  const of = (table: string) => `"${namespace}".${table}`
  const count = (table: string) => `(SELECT count(*) FROM ${of(table)})`
  const offsets = `SELECT kafka_partition, kafka_offset FROM ${of('raw_trades')} UNION ALL SELECT kafka_partition, kafka_offset FROM ${of('dead_letters')}`
  const sql = `SELECT ${count('raw_trades')} AS "rawTrades", ${count('dead_letters')} AS "deadLetters", ${count('agg_1m_late')} AS late,
    ${count('agg_1m')} AS windows, (SELECT coalesce(sum(trade_count), 0)::BIGINT FROM ${of('agg_1m')}) AS "tradesInWindows",
    sum(n)::BIGINT AS offsets, sum(d)::BIGINT AS "distinctOffsets"
    FROM (SELECT count(*) AS n, count(DISTINCT kafka_offset) AS d FROM (${offsets}) GROUP BY kafka_partition)`
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(ROOT, 'lib/cli/main.ts'), 'query', sql, '--catalog', 'glue', '--warehouse', warehouse, '--format', 'json'],
    { env: { PATH: process.env.PATH, ...env, AWS_ENDPOINT_URL: endpoint } },
  )
  const [row] = JSON.parse(stdout) as Omit<Rows, 'expectedOffsets'>[]
  if (row === undefined) throw new Error('Cannot count rows: the query gave none')
  return row
}

function secondsSince(beganMs: number): number {
  return Number(((performance.now() - beganMs) / 1000).toFixed(1))
}

/** FRAZIL_TEST_AWS_ENDPOINT=… node bench/backlog.ts [--records N]: one JSON line. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      records: { type: 'string', default: '10000000' },
      'max-checkpoint-bytes': { type: 'string' },
      memory: { type: 'string', default: '1024' },
      timeout: { type: 'string', default: '60' },
    },
  })
  const bytes = values['max-checkpoint-bytes']
  const result = await backlog({
    records: Number(values.records),
    memoryMb: Number(values.memory),
    timeoutMs: Number(values.timeout) * 1000,
    ...(bytes !== undefined && { maxCheckpointBytes: Number(bytes) }),
  })
  console.log(JSON.stringify({ name: 'backlog', ...result }))
}

if (import.meta.main) await main()
