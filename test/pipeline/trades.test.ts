import { describe, expect, it } from 'vitest'
import type { Fields } from '../../lib/columns/schema.ts'
import { planOf } from '../../lib/index.ts'
import trades from '../../pipelines/trades.ts'

/** Columns as scripts rely on them: name, type, optional marked ?. */
const written = (fields: Fields) => fields.map(({ name, type, required }) => `${name}${required ? '' : '?'} ${type}`).join(', ')

const INPUT = 'symbol string, ts long, price double, qty double, side? string, event_time timestamptz'
const KAFKA = 'kafka_topic string, kafka_partition int, kafka_offset long, kafka_timestamp? timestamptz'
const WINDOW = 'window_start timestamptz, window_end timestamptz'

describe('the trades pipeline', () => {
  const plan = planOf(trades)

  it('has exactly the tables and columns that scripts rely on', () => {
    expect(Object.fromEntries(Object.entries(plan.tables).map(([name, { fields }]) => [name, written(fields)]))).toEqual({
      raw_trades: `${INPUT}, kafka_partition int, kafka_offset long`,
      agg_1m: `symbol string, ${WINDOW}, open double, high double, low double, close double, volume double, trade_count long, avg_price double`,
      agg_1m_late: `${INPUT}, ${KAFKA}, ${WINDOW}, watermark timestamptz`,
      dead_letters: `${KAFKA}, key? binary, value? binary, reason string, detail string`,
    })
  })

  it('numbers the columns of every table from 1, in order', () => {
    for (const { name, fields } of Object.values(plan.tables))
      expect(
        fields.map((field) => field.id),
        name,
      ).toEqual(fields.map((_, i) => i + 1))
  })

  it('partitions and sorts the tables as scripts rely on', () => {
    const day = (column: string) => [{ column, transform: { kind: 'day' } }]
    const { raw_trades, agg_1m, agg_1m_late, dead_letters } = plan.tables
    expect(raw_trades).toMatchObject({ partitionBy: day('event_time'), sortBy: [] })
    expect(agg_1m).toMatchObject({
      partitionBy: day('window_start'),
      sortBy: [
        { column: 'symbol', direction: 'asc' },
        { column: 'window_start', direction: 'asc' },
      ],
    })
    expect(agg_1m_late).toMatchObject({ partitionBy: [], sortBy: [] })
    expect(dead_letters).toMatchObject({ partitionBy: [], sortBy: [] })
  })

  it('reads one topic, keyed by symbol, with a delay of 5 seconds and at most 10 minutes ahead', () => {
    expect(plan.name).toBe('trades')
    expect(plan.namespace).toBe('trades')
    expect(Object.keys(plan.sources)).toEqual(['trades'])
    expect(plan.sources.trades).toMatchObject({
      id: 'trades',
      topic: 'trades',
      key: 'symbol',
      partitions: undefined,
      eventTime: 'event_time',
      delayMs: 5_000,
      maxAheadMs: 600_000,
      idleAfterMs: undefined,
      deadLetters: 'dead_letters',
      computed: [{ name: 'event_time', expression: { op: 'timestampMillis', of: { op: 'column', name: 'ts' } } }],
      outputs: [
        { kind: 'rows', table: 'raw_trades', steps: [] },
        { kind: 'aggregate', operator: 'agg_1m', steps: [] },
      ],
    })
    expect(written(plan.sources.trades!.input)).toBe('symbol string, ts long, price double, qty double, side? string')
    expect(written(plan.sources.trades!.row)).toBe(`${INPUT}, ${KAFKA}`)
  })

  it('has one operator: candles of a minute without allowed lateness', () => {
    expect(Object.keys(plan.operators)).toEqual(['agg_1m'])
    const { input, ...operator } = plan.operators.agg_1m!
    expect(written(input)).toBe(`${INPUT}, ${KAFKA}`)
    expect(operator).toEqual({
      id: 'agg_1m',
      source: 'trades',
      keys: ['symbol'],
      windowMs: 60_000,
      allowedLatenessMs: 0,
      aggregates: [
        { name: 'open', fn: 'first', of: 'price' },
        { name: 'high', fn: 'max', of: 'price' },
        { name: 'low', fn: 'min', of: 'price' },
        { name: 'close', fn: 'last', of: 'price' },
        { name: 'volume', fn: 'sum', of: 'qty' },
        { name: 'trade_count', fn: 'count', of: undefined },
        { name: 'avg_price', fn: 'avg', of: 'price' },
      ],
      // Pinned: a release that changes it refuses the open windows of every deployed pipeline.
      fingerprint: 'e49e8290ecb2eafb',
      table: 'agg_1m',
      lateTable: 'agg_1m_late',
    })
  })
})
