import {
  column,
  kafka,
  type MaintenanceOptions,
  minutes,
  pipeline,
  seconds,
  timestampMillis,
  tumbling,
} from '../../../lib/index.ts'

/** `pipelines/trades.ts` as it is deployed first: from a topic and into a namespace of its own. */
const trades = kafka(process.env.TOPIC ?? 'trades', {
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

/** Files are compacted though they are new, and of snapshots only what a minute wrote is kept. */
export const impatient: MaintenanceOptions = {
  compact: { hot: true, minInputFiles: 2 },
  snapshots: { keep: minutes(1), retainLast: 1, thinAfter: false },
}

// biome-ignore lint/style/noDefaultExport: what a pipeline file is
export default pipeline('trades', {
  namespace: process.env.NAMESPACE ?? 'trades',
  sinks: [
    trades
      .select('symbol', 'ts', 'price', 'qty', 'side', 'event_time', 'kafka_partition', 'kafka_offset')
      .appendTo('raw_trades', { partitionBy: ['day(event_time)'], maintenance: impatient }),
    candles.appendTo('agg_1m', { partitionBy: ['day(window_start)'], sortBy: ['symbol', 'window_start'] }),
  ],
})
