import { closeSync, openSync, writeSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { isKind, messageOf, usage } from '../lib/errors.ts'
import { lambdaEvents } from './lambda-events.ts'
import { AHEAD, ODD, POISON } from './odd-trades.ts'
import { threshold, xoshiro128 } from './random.ts'

/** Shares are of all lines, 0 to 1. */
export interface TradesOptions {
  /** Lines. */
  readonly count: number
  /** @default 1 */
  readonly seed?: number | undefined
  /** How many symbols trade. @default 20 */
  readonly symbols?: number | undefined
  /** Event time of the first trade, ms since the epoch, 13 digits. @default 2024-01-19T05:20:34.567Z */
  readonly startMs?: number | undefined
  /** Event time from the first to the last trade, ms. @default 1 hour */
  readonly spanMs?: number | undefined
  /** Rows 5 s to 3 min behind the others: most are too late for their minute. @default 0.001 */
  readonly lateShare?: number | undefined
  /** Lines that no decoder may accept. @default 0 */
  readonly poisonShare?: number | undefined
  /** Right rows in unusual forms. @default 0 */
  readonly oddShare?: number | undefined
  /** Event times far beyond the Kafka timestamp; without one they make all that follows late. @default 0 */
  readonly aheadShare?: number | undefined
}

const START_MS = 1_705_641_634_567
const SPAN_MS = 3_600_000
const LATE_SHARE = 0.001
/** Disorder of what is on time: less than the pipeline's delay of 5 s. */
const JITTER_MS = 2000
const LATE_MIN_MS = 5000
const LATE_MAX_MS = 180_000
const CHUNK_BYTES = 1 << 18
/** Lines are written without a check each: the longest (5 kB of an odd one) must fit behind this mark. */
const CHUNK_FULL = CHUNK_BYTES - (1 << 14)
const FIRST_TRADE_ID = 1_000_000_000
const QTY_UNITS = 500_000_000
const MAX_SYMBOLS = 10_000

/** Symbol, price, decimals: what the first twenty are. */
const MARKETS: readonly (readonly [string, number, number])[] = [
  ['BTCUSDT', 42150.5, 2],
  ['ETHUSDT', 2512.75, 2],
  ['BNBUSDT', 312.4, 3],
  ['SOLUSDT', 98.125, 4],
  ['XRPUSDT', 0.54321, 5],
  ['ADAUSDT', 0.512345, 6],
  ['AVAXUSDT', 34.5678, 4],
  ['DOGEUSDT', 0.07951234, 8],
  ['DOTUSDT', 6.78123, 5],
  ['TRXUSDT', 0.1098765, 7],
  ['LINKUSDT', 15.4321, 4],
  ['MATICUSDT', 0.81234567, 8],
  ['LTCUSDT', 68.91, 2],
  ['BCHUSDT', 231.88, 2],
  ['UNIUSDT', 6.0123, 4],
  ['ATOMUSDT', 9.8765, 4],
  ['ETCUSDT', 25.4321, 4],
  ['XLMUSDT', 0.1154321, 7],
  ['FILUSDT', 5.61234, 5],
  ['APTUSDT', 8.7654, 4],
]

interface Market {
  readonly symbol: string
  readonly head: Buffer
  readonly decimals: number
  readonly scale: number
  /** The random walk stays between a half and twice the first price. */
  readonly low: number
  readonly high: number
  readonly step: number
  /** Price in units of the last decimal. */
  ticks: number
}

function marketOf(index: number): Market {
  const [base, price, decimals] = MARKETS[index % MARKETS.length] ?? ['NONE', 1, 2]
  const round = Math.floor(index / MARKETS.length)
  const symbol = round === 0 ? base : `${base}${round}`
  const scale = 10 ** decimals
  const ticks = Math.round(price * scale)
  return {
    symbol,
    head: Buffer.from(`{"symbol":"${symbol}","ts":`, 'latin1'),
    decimals,
    scale,
    low: Math.floor(ticks / 2),
    high: ticks * 2,
    step: Math.max(1, Math.floor(ticks / 4096)),
    ticks,
  }
}

const PRICE = Buffer.from(',"price":')
const QTY = Buffer.from(',"qty":')
const BUY = Buffer.from(',"side":"BUY","trade_id":')
const SELL = Buffer.from(',"side":"SELL","trade_id":')
const DOT = 0x2e
const ZERO = 0x30
const NEWLINE = 0x0a

function putBytes(out: Buffer, at: number, bytes: Buffer): number {
  for (let i = 0; i < bytes.length; i++) out[at + i] = bytes[i] ?? 0
  return at + bytes.length
}

/** `width` decimal digits of an integer below 2^31, zeros in front. */
function putDigits(out: Buffer, at: number, value: number, width: number): number {
  let rest = value
  for (let i = at + width - 1; i >= at; i--) {
    const tenth = (rest / 10) | 0
    out[i] = ZERO + rest - tenth * 10
    rest = tenth
  }
  return at + width
}

function putFixed(out: Buffer, at: number, units: number, scale: number, decimals: number): number {
  const whole = Math.floor(units / scale)
  let width = 1
  for (let power = 10; whole >= power; power *= 10) width++
  const dot = putDigits(out, at, whole, width)
  out[dot] = DOT
  return putDigits(out, dot + 1, units - whole * scale, decimals)
}

/**
 * Trades as NDJSON, in chunks of whole lines of about 108 bytes (newline apart):
 * `{"symbol":"BTCUSDT","ts":1705641634567,"price":42150.50,"qty":0.15000000,"side":"BUY","trade_id":1000000000}`.
 * `trade_id` is a key that the pipeline does not know. Prices walk at random by symbol. The same options give the same
 * bytes. Throws `Usage` for options that cannot be.
 */
export function* generateTrades(options: TradesOptions): Generator<Buffer, void, undefined> {
  const { count, seed = 1, symbols = MARKETS.length, startMs = START_MS, spanMs = SPAN_MS } = options
  if (!Number.isSafeInteger(count) || count < 0) throw usage(`Cannot make trades: expected a count of lines, found ${count}.`)
  if (!(startMs >= 1e12 && spanMs >= 0 && startMs + spanMs < 1e13))
    throw usage(`Cannot make trades: expected times of 13 digits in ms, found ${startMs} and a span of ${spanMs}.`)
  if (!(symbols >= 1 && symbols <= MAX_SYMBOLS))
    throw usage(`Cannot make trades: expected 1 to ${MAX_SYMBOLS} symbols, found ${symbols}.`)
  const random = xoshiro128(seed)
  const late = threshold(options.lateShare ?? LATE_SHARE)
  const poison = threshold(options.poisonShare ?? 0)
  const odd = poison + threshold(options.oddShare ?? 0)
  const ahead = odd + threshold(options.aheadShare ?? 0)
  const markets = Array.from({ length: symbols }, (_, i) => marketOf(i))
  let out = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  let at = 0
  for (let i = 0; i < count; i++) {
    const market = markets[random() % symbols] as Market
    const now = startMs + Math.floor((i * spanMs) / count)
    const age = random() < late ? LATE_MIN_MS + (random() % (LATE_MAX_MS - LATE_MIN_MS)) : random() % JITTER_MS
    const ts = Math.max(now - age, 1e12)
    const walked = market.ticks + (random() % (2 * market.step + 1)) - market.step
    market.ticks = Math.min(Math.max(walked, market.low), market.high)
    const kind = random()
    const dice = random()
    const qty = 1 + (dice % QTY_UNITS)
    const buys = dice > 2 ** 31
    if (kind < ahead) {
      const writers = kind < poison ? POISON : kind < odd ? ODD : AHEAD
      const text = {
        symbol: market.symbol,
        ts: String(ts),
        price: (market.ticks / market.scale).toFixed(market.decimals),
        qty: (qty / 1e8).toFixed(8),
        side: buys ? '"BUY"' : '"SELL"',
      }
      at += out.write(writers[dice % writers.length]?.(text) ?? '', at, 'latin1')
    } else {
      at = putBytes(out, at, market.head)
      const seconds = Math.floor(ts / 1000)
      const high = Math.floor(seconds / 1000)
      at = putDigits(out, at, high, 7)
      at = putDigits(out, at, ts - high * 1_000_000, 6)
      at = putBytes(out, at, PRICE)
      at = putFixed(out, at, market.ticks, market.scale, market.decimals)
      at = putBytes(out, at, QTY)
      at = putFixed(out, at, qty, 1e8, 8)
      at = putBytes(out, at, buys ? BUY : SELL)
      at = putDigits(out, at, FIRST_TRADE_ID + (i % FIRST_TRADE_ID), 10)
      out[at++] = 0x7d
    }
    out[at++] = NEWLINE
    if (at > CHUNK_FULL) {
      yield out.subarray(0, at)
      out = Buffer.allocUnsafeSlow(CHUNK_BYTES)
      at = 0
    }
  }
  if (at > 0) yield out.subarray(0, at)
}

const HELP = `node bench/trades.ts --count N --out FILE
  --seed N  --symbols N  --start MS  --span MS          what trades, and when
  --late SHARE  --poison SHARE  --odd SHARE  --ahead SHARE   of all lines, 0 to 1
  --events                                              Lambda events of Kafka, one a line, instead of the values
  --partitions N  --batch N  --batch-seed N  --duplicates SHARE  --timestamps    with --events`

function writeTrades(args: readonly string[]): void {
  const { values } = parseArgs({
    args: [...args],
    options: {
      count: { type: 'string' },
      out: { type: 'string' },
      seed: { type: 'string' },
      symbols: { type: 'string' },
      start: { type: 'string' },
      span: { type: 'string' },
      late: { type: 'string' },
      poison: { type: 'string' },
      odd: { type: 'string' },
      ahead: { type: 'string' },
      events: { type: 'boolean', default: false },
      partitions: { type: 'string' },
      batch: { type: 'string' },
      'batch-seed': { type: 'string' },
      duplicates: { type: 'string' },
      timestamps: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(HELP)
    return
  }
  const number = (name: Exclude<keyof typeof values, 'events' | 'timestamps' | 'help' | 'out'>) => {
    const text = values[name]
    if (text === undefined) return undefined
    const value = Number(text)
    if (text.trim() === '' || !(value >= 0))
      throw usage(`Cannot read --${name}: expected a number, found '${text}'. --help lists the options.`)
    return value
  }
  const count = number('count')
  if (count === undefined || values.out === undefined)
    throw usage('Cannot make trades: expected --count N and --out FILE. --help lists the options.')
  const trades = generateTrades({
    count,
    seed: number('seed'),
    symbols: number('symbols'),
    startMs: number('start'),
    spanMs: number('span'),
    lateShare: number('late'),
    poisonShare: number('poison'),
    oddShare: number('odd'),
    aheadShare: number('ahead'),
  })
  const file = openSync(values.out, 'w')
  try {
    if (values.events) {
      const events = lambdaEvents(trades, {
        partitions: number('partitions'),
        batchRecords: number('batch'),
        seed: number('batch-seed'),
        duplicateShare: number('duplicates'),
        timestamps: values.timestamps,
      })
      for (const event of events) writeSync(file, `${event}\n`)
    } else for (const chunk of trades) writeSync(file, chunk)
  } finally {
    closeSync(file)
  }
}

if (import.meta.main) {
  try {
    writeTrades(process.argv.slice(2))
  } catch (error) {
    // An option that parseArgs does not know, or a file that cannot be written, says so in its message as well.
    if (!isKind(error, 'Usage') && !(error instanceof Error && 'code' in error)) throw error
    console.error(`error: ${messageOf(error)}`)
    process.exitCode = 2
  }
}
