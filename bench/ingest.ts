import { parseKafkaEvent } from '../lib/columns/event.ts'
import { planOf } from '../lib/index.ts'
import type { Log } from '../lib/ports/log.ts'
import type { Objects } from '../lib/ports/objects.ts'
import { encodeStagingEntry } from '../lib/protocol/staging.ts'
import { ingest } from '../lib/runtime/ingest.ts'
import { createRuntime } from '../lib/runtime/runtime.ts'
import trades from '../pipelines/trades.ts'
import { linesOf } from './lambda-events.ts'
import { generateTrades } from './trades.ts'

// One Lambda event of 10,000 trades, from its JSON text to the appended entry; adapters that discard. The calibration is
// JSON.parse of the same text alone, in the same process, in turn with what it calibrates.
const RECORDS = 10_000
const FIRST_OFFSET = 1000
const ROUNDS = Number(process.env.ROUNDS ?? 60)
const WARM_UP = 20

const text = eventText()

/** One partition's records as `aws:kafka` hands them to a function: values of about 108 bytes, base64. */
function eventText(): string {
  const records = [...linesOf(generateTrades({ count: RECORDS, spanMs: 60_000 }))].map((value, i) => ({
    topic: 'trades',
    partition: 0,
    offset: FIRST_OFFSET + i,
    timestamp: 1_705_641_634_567 + i,
    timestampType: 'CREATE_TIME',
    key: Buffer.from('BTCUSDT').toString('base64'),
    value: value.toString('base64'),
    headers: [],
  }))
  return JSON.stringify({ eventSource: 'aws:kafka', bootstrapServers: 'b-1:9098', records: { 'trades-0': records } })
}

/** A log that always stands right before the event, and keeps nothing. */
const discardLog: Log = {
  tail: async () => ({ slot: 7, floor: 0, value: TAIL }),
  put: async () => ({ won: true }),
  read: async () => [],
  floors: async (keys) => keys.map(() => 0),
  trim: async () => {},
}
const TAIL = encodeStagingEntry({
  v: 1,
  kind: 'records',
  writer: 'before',
  from: 0,
  next: FIRST_OFFSET,
  watermark: 0,
  records: 1000,
  deadLetters: 0,
  late: 0,
  missing: 0,
  last: { offset: FIRST_OFFSET - 1, timestamp: 0 },
  maxTimestamp: 0,
  segment: null,
  inline: null,
  slices: [],
})
let segmentBytes = 0
const discardObjects: Objects = {
  put: async (_location, parts) => {
    segmentBytes = parts.reduce((sum, part) => sum + part.length, 0)
  },
  get: async () => undefined,
  size: async () => undefined,
  delete: async () => {},
  async *list() {},
}
const unused = () => Promise.reject(new Error('not used'))
const runtime = createRuntime({
  plan: planOf(trades),
  ports: {
    log: discardLog,
    objects: discardObjects,
    catalog: { load: unused, create: unused, swap: unused, list: unused },
    clock: { now: () => 0, sleep: async () => {} },
    random: { uuid: () => '00000000-0000-4000-8000-000000000000' },
    broker: undefined,
  },
  staging: 'memory://staging/',
  warehouse: 'memory://warehouse/',
  incarnation: 'bench',
})

async function timed(work: () => unknown): Promise<number> {
  const before = performance.now()
  await work()
  return performance.now() - before
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]

const parse: number[] = []
const whole: number[] = []
let cpuMicros = 0
for (let round = 0; round < WARM_UP + ROUNDS; round++) {
  const parseMs = await timed(() => JSON.parse(text))
  const cpuBefore = process.cpuUsage()
  let staged = 0
  const wholeMs = await timed(async () => {
    staged = (await ingest(runtime, parseKafkaEvent(JSON.parse(text)))).records
  })
  if (staged !== RECORDS) throw new Error(`expected ${RECORDS} records staged, found ${staged}`)
  if (round < WARM_UP) continue
  const { user, system } = process.cpuUsage(cpuBefore)
  cpuMicros += user + system
  parse.push(parseMs)
  whole.push(wholeMs)
}

const rate = (ms: number) => Math.round((RECORDS / ms) * 1000)
console.log(
  JSON.stringify({
    name: 'ingest',
    records_per_second: rate(median(whole)),
    calibration_records_per_second: rate(median(parse)),
    ratio: Number((median(parse) / median(whole)).toFixed(3)),
    cpu_seconds_per_million: Number((cpuMicros / (RECORDS * ROUNDS)).toFixed(3)),
    peak_rss_mb: Math.round(process.resourceUsage().maxRSS / 1024),
    segment_bytes_per_record: Number((segmentBytes / RECORDS).toFixed(1)),
  }),
)
