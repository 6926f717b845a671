import { column, kafka, minutes, pipeline, seconds, timestampMillis, tumbling } from '../lib/index.ts'

/** Trades as producers write them: one JSON object per record, `ts` in milliseconds, keyed by symbol. */
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

/** One candle per symbol and minute, final once the watermark has passed the minute. */
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

/** Every record lands in `raw_trades` or in `dead_letters`, once; those too late for a candle in `agg_1m_late` as well. */
export default pipeline('trades', {
  sinks: [
    trades
      .select('symbol', 'ts', 'price', 'qty', 'side', 'event_time', 'kafka_partition', 'kafka_offset')
      .appendTo('raw_trades', { partitionBy: ['day(event_time)'] }),
    candles.appendTo('agg_1m', { partitionBy: ['day(window_start)'], sortBy: ['symbol', 'window_start'] }),
  ],
})
