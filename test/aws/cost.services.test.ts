import { readFileSync } from 'node:fs'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { linesOf } from '../../bench/lambda-events.ts'
import { generateTrades } from '../../bench/trades.ts'
import { commitHandler } from '../../functions/commit-handler.ts'
import { DEFAULT_MAX_CHECKPOINT_BYTES } from '../../functions/config.ts'
import { ingestHandler } from '../../functions/ingest-handler.ts'
import { dynamoClient, openDynamoLog } from '../../lib/aws/dynamo-log.ts'
import { createLogTable } from '../../lib/aws/dynamo-table.ts'
import { glueClient, openGlueCatalog } from '../../lib/aws/glue-catalog.ts'
import { openS3Objects, s3Client } from '../../lib/aws/s3-objects.ts'
import { planOf } from '../../lib/index.ts'
import { systemClock, systemRandom } from '../../lib/local/system.ts'
import trades from '../../pipelines/trades.ts'
import { silent } from '../functions/telling.ts'
import { type Bill, meter } from './meter.ts'
import { dynamodbLocal, ministack, uniqueName } from './services.ts'

const PAGE = readFileSync(new URL('../../docs/reference/costs.md', import.meta.url), 'utf8')
const ALL = [0, 1, 2, 3]
const MINUTE_MS = 60_000
const START_MS = 28_427_360 * MINUTE_MS
/** The default partitioner gives each of four partitions a quarter of twenty symbols. */
const SYMBOLS = 5
/** Calls of which the times on the page are the median. */
const TIMED_CALLS = 20
const TIMED_COMMITS = 5

const dynamo = dynamoClient(dynamodbLocal())
const s3 = s3Client(ministack())
const glue = glueClient(ministack())
const billed = meter([dynamo, s3, glue])
const log = uniqueName('log')
const bucket = uniqueName('cost')
beforeAll(async () => {
  await createLogTable(dynamo, log)
  await s3.send(new CreateBucketCommand({ Bucket: bucket }))
})
afterAll(() => {
  for (const client of [dynamo, s3, glue]) client.destroy()
})

type Event = ReturnType<typeof eventMaker> extends (...args: never) => infer Made ? Made : never

/** Makes events that go on where the last one ended: `each` trades within a second of the minute, in each partition. */
function eventMaker() {
  const next = ALL.map(() => 0)
  let seed = 0
  return (partitions: readonly number[], each: number, minute: number) => {
    const startMs = START_MS + minute * MINUTE_MS
    const recordsOf = (partition: number) => {
      const lines = generateTrades({ count: each, startMs, spanMs: 1000, seed: ++seed, symbols: SYMBOLS, lateShare: 0 })
      return [...linesOf(lines)].map((value) => ({
        topic: 'trades',
        partition,
        offset: next[partition]++,
        timestamp: startMs,
        timestampType: 'CREATE_TIME',
        key: 'QlRDVVNEVA==',
        value: value.toString('base64'),
        headers: [],
      }))
    }
    return {
      eventSource: 'aws:kafka',
      records: Object.fromEntries(partitions.map((partition) => [`trades-${partition}`, recordsOf(partition)])),
    }
  }
}

/** The handlers of a pipeline that nobody has run. */
function newPipeline() {
  const name = uniqueName('p').replaceAll('-', '_')
  const plan = { ...planOf(trades), name, namespace: name }
  const ports = {
    log: openDynamoLog({ table: log, client: dynamo }),
    objects: openS3Objects({ client: s3 }),
    catalog: openGlueCatalog({ client: glue }),
    clock: systemClock,
    random: systemRandom,
    broker: undefined,
    telemetry: silent,
  }
  const config = {
    logTable: log,
    staging: `s3://${bucket}/staging/`,
    warehouse: `s3://${bucket}/tables/`,
    maxCheckpointBytes: DEFAULT_MAX_CHECKPOINT_BYTES,
    partialResponses: false,
    partitions: { trades: ALL.length },
  }
  const context = { awsRequestId: 'request', getRemainingTimeInMillis: () => 60_000 }
  const start = () => {
    const [ingest, commit] = [ingestHandler(plan, ports, config), commitHandler(plan, ports, config)]
    return { ingest: (event: Event) => ingest(event, context), commit: () => commit({}, context) }
  }
  return { start, event: eventMaker() }
}

type Pipeline = ReturnType<typeof newPipeline>
let pipeline: Pipeline
let functions: ReturnType<Pipeline['start']>
let event: Pipeline['event']

/** A pipeline that is under way: its functions are warm, and both tables have snapshots. */
async function underWay(): Promise<void> {
  pipeline = newPipeline()
  functions = pipeline.start()
  event = pipeline.event
  for (const minute of [0, 2]) {
    await functions.ingest(event(ALL, 100, minute))
    await functions.commit()
  }
}

/** A row of the page's table: requests and request units, counted. */
function row(what: string, { calls, readUnits, writeUnits }: Bill): string {
  const of = (service: string) =>
    Object.entries(calls)
      .filter(([name]) => name.startsWith(`${service}.`))
      .map(([name, count]) => `${count} ${name.slice(service.length + 1)}`)
      .sort((a, b) => (a.slice(a.indexOf(' ')) < b.slice(b.indexOf(' ')) ? -1 : 1))
      .join(', ') || 'none'
  return `| ${what} | ${of('S3')} | ${of('DynamoDB')} | ${readUnits} | ${writeUnits} | ${of('Glue')} |`
}

const total = (bytes: Readonly<Record<string, number>>, service: string): number =>
  Object.entries(bytes).reduce((sum, [name, count]) => sum + (name.startsWith(service) ? count : 0), 0)

/** What the page has to say, for whoever writes it. */
function tell(what: string, bill: Bill, ms: number): void {
  const kb = (bytes: Readonly<Record<string, number>>) =>
    Object.fromEntries(['S3', 'DynamoDB', 'Glue'].map((service) => [service, Number((total(bytes, service) / 1000).toFixed(1))]))
  console.log(
    JSON.stringify({ row: row(what, bill), sentKb: kb(bill.sentBytes), receivedKb: kb(bill.receivedBytes), ms: Math.round(ms) }),
  )
}

/** Runs some work, tells its bill, and sees that the page has it. */
async function bill(what: string, work: () => Promise<unknown>): Promise<Bill> {
  const began = performance.now()
  const measured = await billed(work)
  tell(what, measured, performance.now() - began)
  expect(PAGE).toContain(row(what, measured))
  return measured
}

describe('what a call of ingest costs', () => {
  beforeEach(underWay)

  test('a batch of 10,000 trades of one partition is one object, one tail read, one conditional put and one floor read', async () => {
    const batch = event([0], 10_000, 3)
    const { calls, readUnits, writeUnits, sentBytes } = await bill('ingest, 10,000 trades of one partition', () =>
      functions.ingest(batch),
    )
    expect(calls).toEqual({ 'S3.PutObject': 1, 'DynamoDB.Query': 1, 'DynamoDB.PutItem': 1, 'DynamoDB.BatchGetItem': 1 })
    expect({ readUnits, writeUnits }).toEqual({ readUnits: 2, writeUnits: 1 })
    expect(sentBytes['S3.PutObject'] / 10_000).toBeLessThan(20)
  })

  test('a batch of four partitions is one object and one floor read as well', async () => {
    const batch = event(ALL, 2500, 3)
    const { calls, readUnits, writeUnits } = await bill('ingest, 2,500 trades of each of four partitions', () =>
      functions.ingest(batch),
    )
    expect(calls).toEqual({ 'S3.PutObject': 1, 'DynamoDB.Query': 4, 'DynamoDB.PutItem': 4, 'DynamoDB.BatchGetItem': 1 })
    expect({ readUnits, writeUnits }).toEqual({ readUnits: 8, writeUnits: 4 })
  })

  test('a batch of 10 trades makes no object', async () => {
    const batch = event([0], 10, 3)
    const { calls, readUnits, writeUnits } = await bill('ingest, 10 trades', () => functions.ingest(batch))
    expect(calls).toEqual({ 'DynamoDB.Query': 1, 'DynamoDB.PutItem': 1, 'DynamoDB.BatchGetItem': 1 })
    expect({ readUnits, writeUnits }).toEqual({ readUnits: 2, writeUnits: 3 })
  })

  test('a batch that is in already is one tail read', async () => {
    const batch = event([0], 10_000, 3)
    await functions.ingest(batch)
    const { calls, readUnits, writeUnits } = await bill('ingest, a batch that is in already', () => functions.ingest(batch))
    expect(calls).toEqual({ 'DynamoDB.Query': 1 })
    expect({ readUnits, writeUnits }).toEqual({ readUnits: 1, writeUnits: 0 })
  })

  test('a cold start asks for the incarnation besides', async () => {
    const cold = pipeline.start()
    const batch = event([0], 10_000, 3)
    const { calls } = await bill('ingest, cold start, 10,000 trades of one partition', () => cold.ingest(batch))
    expect(calls).toEqual({ 'S3.PutObject': 1, 'DynamoDB.Query': 2, 'DynamoDB.PutItem': 1, 'DynamoDB.BatchGetItem': 1 })
  })

  test('the first call of a pipeline names the incarnation and opens all partitions', async () => {
    const fresh = newPipeline()
    const batch = fresh.event(ALL, 2500, 3)
    const { calls } = await bill('ingest, first call of a pipeline, four partitions', () => fresh.start().ingest(batch))
    expect(calls).toEqual({ 'S3.PutObject': 1, 'DynamoDB.Query': 8, 'DynamoDB.PutItem': 6, 'DynamoDB.BatchGetItem': 2 })
  })
})

describe('what a call of commit costs', () => {
  beforeEach(underWay)

  /** 100,000 trades: ten calls of ingest, four entries each. */
  async function tenBatches(minute: number): Promise<void> {
    for (let i = 0; i < 10; i++) await functions.ingest(event(ALL, 2500, minute))
  }

  test('one that finds nothing reads each log and asks for each table once', async () => {
    const { calls, readUnits, writeUnits } = await bill('commit, nothing to do', () => functions.commit())
    expect(calls).toEqual({ 'DynamoDB.Query': 5, 'S3.GetObject': 1, 'Glue.GetTable': 4 })
    expect({ readUnits, writeUnits }).toEqual({ readUnits: 5, writeUnits: 0 })
  })

  test('one of ten batches reads each object once and touches the one table that they are for', async () => {
    await tenBatches(2)
    const { calls, readUnits, writeUnits } = await bill('commit, 10 batches of 10,000 trades, no window closes', () =>
      functions.commit(),
    )
    expect(calls).toEqual({
      'DynamoDB.Query': 5,
      'DynamoDB.PutItem': 1,
      'DynamoDB.BatchGetItem': 1,
      // The checkpoint's body, ten segments, a manifest list.
      'S3.GetObject': 12,
      // A data file, open windows, the checkpoint's body; manifest, manifest list and metadata of the table.
      'S3.PutObject': 6,
      'S3.HeadObject': 1,
      'Glue.GetTable': 5,
      'Glue.UpdateTable': 1,
    })
    expect({ readUnits, writeUnits }).toEqual({ readUnits: 10, writeUnits: 1 })
  })

  test('one that closes windows reads what was open and touches their table as well', async () => {
    await tenBatches(4)
    const { calls, readUnits, writeUnits } = await bill('commit, 10 batches of 10,000 trades, windows close', () =>
      functions.commit(),
    )
    expect(calls).toEqual({
      'DynamoDB.Query': 5,
      'DynamoDB.PutItem': 1,
      'DynamoDB.BatchGetItem': 1,
      'S3.GetObject': 14,
      'S3.PutObject': 10,
      'S3.HeadObject': 2,
      'Glue.GetTable': 6,
      'Glue.UpdateTable': 2,
    })
    expect({ readUnits, writeUnits }).toEqual({ readUnits: 10, writeUnits: 1 })
  })

  test('a cold start looks at the tables and their metadata before', async () => {
    const cold = pipeline.start()
    const { calls } = await bill('commit, cold start, nothing to do', () => cold.commit())
    expect(calls).toEqual({ 'DynamoDB.Query': 8, 'S3.GetObject': 7, 'Glue.GetTable': 8 })
  })
})

test('times, told and not judged', async () => {
  await underWay()
  const texts = (partitions: readonly number[], each: number) =>
    Array.from({ length: TIMED_CALLS }, () => JSON.stringify(event(partitions, each, 3)))
  const ingest = (text: string) => functions.ingest(JSON.parse(text))
  const big = texts([0], 10_000)
  tellTime('ingest, 10,000 trades of one partition', await timed(big, ingest))
  tellTime('ingest, a batch that is in already', await timed(big, ingest))
  tellTime('ingest, 1,000 trades of one partition', await timed(texts([1], 1000), ingest))
  tellTime('ingest, 10 trades', await timed(texts([2], 10), ingest))
  await functions.commit()
  tellTime('commit, nothing to do', await timed(big, () => functions.commit()))
  const tenOfThem = Array.from({ length: TIMED_COMMITS }, () => texts(ALL, 2500).slice(0, 10))
  const all: Time[] = []
  for (const ten of tenOfThem) {
    for (const text of ten) await ingest(text)
    all.push(...(await timed([''], () => functions.commit())))
  }
  tellTime('commit, 10 batches of 10,000 trades, no window closes', all)
})

interface Time {
  readonly ms: number
  /** Of this process. */
  readonly cpuMs: number
}

async function timed(inputs: readonly string[], work: (input: string) => Promise<unknown>): Promise<Time[]> {
  const times: Time[] = []
  for (const input of inputs) {
    const [began, before] = [performance.now(), process.cpuUsage()]
    await work(input)
    const { user, system } = process.cpuUsage(before)
    times.push({ ms: performance.now() - began, cpuMs: (user + system) / 1000 })
  }
  return times
}

function tellTime(what: string, times: readonly Time[]): void {
  const median = (name: keyof Time) => Math.round(times.map((time) => time[name]).sort((a, b) => a - b)[times.length >> 1])
  console.log(JSON.stringify({ time: what, ms: median('ms'), cpuMs: median('cpuMs'), calls: times.length }))
}
