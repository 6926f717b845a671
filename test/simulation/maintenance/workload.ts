import { column, kafka, minutes, pipeline, seconds, timestampMillis, tumbling } from '../../../lib/index.ts'
import { planOf } from '../../../lib/pipeline/plan-of.ts'
import type { Workload } from '../workload.ts'
import { WORKLOADS } from '../workloads.ts'

/** The trades of the other simulation in tables by the hour, so that retention finds partitions; and one of them sorted. */
const trades = kafka('trades', {
  key: 'symbol',
  schema: {
    symbol: column.string(),
    ts: column.long(),
    price: column.double(),
    qty: column.double(),
    side: column.string().optional(),
  },
  computed: { event_time: (c) => timestampMillis(c.ts) },
  eventTime: 'event_time',
  watermark: { delay: seconds(5), maxAhead: minutes(10) },
})

const candles = trades
  .keyBy('symbol')
  .window(tumbling(minutes(1)))
  .aggregate((a) => ({
    open: a.first('price'),
    high: a.max('price'),
    low: a.min('price'),
    close: a.last('price'),
    volume: a.sum('qty'),
    trade_count: a.count(),
    avg_price: a.avg('price'),
  }))

const definition = pipeline('trades', {
  sinks: [
    trades
      .select('symbol', 'ts', 'price', 'qty', 'side', 'event_time', 'kafka_partition', 'kafka_offset')
      .appendTo('raw_trades', { partitionBy: ['hour(event_time)'], sortBy: ['symbol', 'ts'] }),
    candles.appendTo('agg_1m', { partitionBy: ['hour(window_start)'] }),
  ],
})

const [{ oracle, content }] = WORKLOADS

export const maintained: Workload = { plan: planOf(definition), oracle, content }
