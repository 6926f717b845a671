import { planOf } from '../../lib/pipeline/plan-of.ts'
import trades from '../../pipelines/trades.ts'
import type { Row } from './kafka.ts'
import { sensors } from './sensors.ts'
import { dead, dress, NUMBERS, type Workload } from './workload.ts'

const SYMBOLS = ['BTC', 'ETH', 'SOL', '', 'ŽŁ€💹']
const MAX_AHEAD_MS = 600_000

const tradesWorkload: Workload = {
  plan: planOf(trades),
  oracle: {
    pipeline: 'trades',
    source: 'trades',
    topic: 'trades',
    delayMs: 5_000,
    deadLetters: 'dead_letters',
    rows: [{ table: 'raw_trades', keep: () => true }],
    aggregates: [
      {
        table: 'agg_1m',
        lateTable: 'agg_1m_late',
        windowMs: 60_000,
        allowedLatenessMs: 0,
        keys: ['symbol'],
        keep: () => true,
        aggregates: [
          { name: 'open', fn: 'first', of: 'price' },
          { name: 'high', fn: 'max', of: 'price' },
          { name: 'low', fn: 'min', of: 'price' },
          { name: 'close', fn: 'last', of: 'price' },
          { name: 'volume', fn: 'sum', of: 'qty' },
          { name: 'trade_count', fn: 'count' },
          { name: 'avg_price', fn: 'avg', of: 'price' },
        ],
      },
    ],
  },
  content(rng, eventTimeMs, kafkaMs, poison) {
    const symbol = rng.pick(SYMBOLS)
    const price = rng.chance(0.5) ? rng.pick(NUMBERS) : (rng.int(1_000_000) / 100).toString()
    const qty = rng.chance(0.5) ? rng.pick(NUMBERS) : rng.next().toString()
    const side = rng.pick([undefined, null, 'buy', 'sell', ''])
    const ahead = poison > 0 && rng.chance(0.05)
    // Exactly at the bound is still right.
    const ts = ahead && !Number.isNaN(kafkaMs) ? kafkaMs + MAX_AHEAD_MS + rng.pick([0, 1, 5_000_000]) : eventTimeMs
    const good = `{"symbol":${JSON.stringify(symbol)},"ts":${ts},"price":${price},"qty":${qty}${side === undefined ? '' : `,"side":${JSON.stringify(side)}`}}`
    if (rng.chance(poison)) return dead(rng, symbol, good)
    const row: Row = {
      symbol,
      ts: BigInt(ts),
      price: Number(price),
      qty: Number(qty),
      side: side ?? null,
      event_time: BigInt(ts) * 1000n,
    }
    const value = dress(rng, good, '"symbol":"first","price":5,')
    return { key: rng.chance(0.8) ? symbol : null, value, row: ts > kafkaMs + MAX_AHEAD_MS ? undefined : row, eventTimeMs: ts }
  },
}

export const WORKLOADS: readonly Workload[] = [tradesWorkload, sensors]
