import { type Estimate, estimate, type Line } from '../cost/estimate.ts'
import type { Batches, Load } from '../cost/load.ts'
import { type Peer, peersOf } from '../cost/peers.ts'
import { PRICES, PRICES_AS_OF, PRICES_REGION, type Price } from '../cost/prices.ts'
import { usage } from '../errors.ts'
import { MAX_PARTITIONS } from '../pipeline/source.ts'
import { parseCount, parseDuration } from './arguments.ts'
import { loadPipeline } from './load-pipeline.ts'
import { EXIT, type Output, tableWidth } from './output.ts'
import { renderTable, styled } from './table.ts'

export interface CostFlags {
  readonly rate?: string
  readonly size?: string
  readonly partitions?: string
  readonly keys: string
  readonly batchWindow: string
  readonly commitInterval: string
  readonly pollers?: string
}

const MAX_RATE = 1e9
/** Kafka's own bound of a record is lower; a Lambda event's is told with its reason. */
const MAX_VALUE_BYTES = 1e9
const MAX_KEYS = 1e9
/** Of an event source mapping. */
const MAX_BATCH_WINDOW_MS = 300_000
/** A schedule of EventBridge knows nothing shorter, and the construct takes nothing between. */
const MINUTE_MS = 60_000
/** Of `MinimumPollers`. */
const MAX_POLLERS = 200

/** What no line has. */
const NOT_IN_IT = [
  'Kafka itself, and data transfer',
  'network of the event source mapping (NAT gateways, endpoints)',
  'cold starts, retries and records delivered again',
  'maintenance of tables, and queries',
  'months kept before this one: storage is what one month adds, held for a month',
  'free allowances of the account, except for Glue',
]

/** `frazil cost`: dollars for a load, line by line, beside what others ask. Nothing is called, and nothing is written. */
export async function costCommand(file: string, flags: CostFlags, output: Output): Promise<number> {
  const load = loadOf(flags)
  const plan = await loadPipeline(file)
  const result = estimate(plan, load)
  const peers = peersOf(plan, load)
  await output.data(output.json ? `${JSON.stringify(document(load, result, peers))}\n` : page(load, result, peers))
  return EXIT.fine
}

function loadOf(flags: CostFlags): Load {
  const batchWindowMs = parseDuration('--batch-window', flags.batchWindow)
  if (batchWindowMs > MAX_BATCH_WINDOW_MS)
    throw usage(`Cannot read --batch-window: expected at most 5m, as Lambda allows, found '${flags.batchWindow}'.`)
  const commitIntervalMs = parseDuration('--commit-interval', flags.commitInterval)
  if (commitIntervalMs % MINUTE_MS !== 0)
    throw usage(
      `Cannot read --commit-interval: expected whole minutes, as schedules have them, found '${flags.commitInterval}'. Write 1m or more.`,
    )
  return {
    recordsPerSecond: parseRate(required('--rate', 'RECORDS_PER_SECOND', flags.rate)),
    valueBytes: parseCount('--size', required('--size', 'BYTES', flags.size), MAX_VALUE_BYTES),
    partitions: flags.partitions === undefined ? undefined : parseCount('--partitions', flags.partitions, MAX_PARTITIONS),
    keys: parseCount('--keys', flags.keys, MAX_KEYS),
    batchWindowMs,
    commitIntervalMs,
    pollers: flags.pollers === undefined ? undefined : parseCount('--pollers', flags.pollers, MAX_POLLERS),
  }
}

function required(option: string, value: string, text: string | undefined): string {
  if (text === undefined) throw usage(`Cannot run: expected ${option} ${value}, found none. Say what load to price.`)
  return text
}

function parseRate(text: string): number {
  const rate = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (!(rate > 0 && rate <= MAX_RATE))
    throw usage(`Cannot read --rate: expected records a second, above 0 and at most ${MAX_RATE}, found '${text}'.`)
  return rate
}

function document(load: Load, { month, lines, dollars, dollarsPerMillion, notes }: Estimate, peers: readonly Peer[]) {
  const { batches, records, ingest, commit, commitBusy, ingestAtOnce } = month
  return {
    region: PRICES_REGION,
    pricesAsOf: PRICES_AS_OF,
    load,
    records,
    batches: batches.map(({ source, topicPartitions, batchesPerSecond, records: each, partitions, closedBy }) => ({
      topic: source.topic,
      partitions: topicPartitions,
      batchesPerSecond,
      recordsPerBatch: each,
      partitionsPerBatch: partitions,
      closedBy,
    })),
    calls: { ingest: ingest.bill.calls, commit: commit.bill.calls },
    ingestAtOnce,
    commitBusy,
    lines: lines.map((line) => ({ ...line, price: PRICES[line.price] })),
    dollars,
    dollarsPerMillion,
    notes,
    peers,
    notIncluded: NOT_IN_IT,
  }
}

const COLUMNS = [
  { name: 'line', right: false, whole: true },
  { name: 'a month', right: true },
  { name: 'price', right: false },
  { name: '$ a month', right: true },
  { name: '$ a million records', right: true },
]

function page(load: Load, { month, lines, dollars, dollarsPerMillion, notes }: Estimate, peers: readonly Peer[]): string {
  const total = ['total', '', '', shownDollars(dollars), shownPerMillion(dollarsPerMillion)]
  const table = renderTable(COLUMNS, [...lines.map(row), total], tableWidth())
  return [
    ...month.batches.map((batches) => topicLine(batches, load)),
    '',
    styled(table, process.stdout),
    `Prices of ${PRICES_REGION} as of ${PRICES_AS_OF}, in US dollars; a month of 30 days.`,
    ...notes.map((note) => `Mind: ${note}`),
    '',
    'Others, for the same load. S3 and the catalog, which the total above has, come on top of theirs.',
    ...peers.flatMap(peerLines),
    '',
    'In none of these figures:',
    ...NOT_IN_IT.map((item) => `  ${item}`),
    '',
  ].join('\n')
}

function topicLine({ source, topicPartitions, batchesPerSecond, records, closedBy }: Batches, load: Load): string {
  const assumed = load.partitions === undefined && source.partitions === undefined ? ' (assumed: give --partitions)' : ''
  const batches = `${shownQuantity(batchesPerSecond)} batches a second of ${shownQuantity(records)} records`
  return `${source.topic}: ${topicPartitions} partitions${assumed}, values of ${shownQuantity(load.valueBytes)} bytes; ${batches}, closed by ${CLOSED_BY[closedBy]}`
}

function peerLines({ name, dollars, dollarsPerMillion, assumes, lacks }: Peer): string[] {
  const price =
    dollars === null || dollarsPerMillion === null
      ? 'no price found to cite'
      : `$${shownDollars(dollars)} a month, $${shownPerMillion(dollarsPerMillion)} a million records`
  return [`  ${name}: ${price}`, `    assumed: ${assumes}`, `    mind: ${lacks}`]
}

const CLOSED_BY = { records: '10,000 records', bytes: '6 MB', window: 'the batch window' } as const

function row(line: Line): string[] {
  const price = PRICES[line.price]
  return [
    line.name,
    shownQuantity(line.quantity),
    shownPrice(price),
    shownDollars(line.dollars),
    shownPerMillion(line.dollarsPerMillion),
  ]
}

const MILLION = 1_000_000

function shownPrice({ dollars, units, unit, free }: Price): string {
  const of = `$${exact.format(dollars)} per ${units === MILLION ? `million ${unit}s` : unit}`
  return free === undefined ? of : `${of}, ${shownQuantity(free / MILLION)} million free`
}

const large = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
const small = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 })
const shownQuantity = (n: number) => (n >= 100 ? large : small).format(n)

/** Prices are whole figures, however small. */
const exact = new Intl.NumberFormat('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 12 })
const cents = new Intl.NumberFormat('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })
const shownDollars = (n: number) => cents.format(n)
const twoDigits = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 2 })
const shownPerMillion = (n: number) => (n >= 10 ? cents : twoDigits).format(n)
