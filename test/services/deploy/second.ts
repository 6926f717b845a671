import { column, kafka, minutes, type Pipeline, pipeline, seconds, timestampMillis, tumbling } from '../../../lib/index.ts'
import { impatient } from './first.ts'

/** The definition that follows `first.ts`: an optional column more, of what the topic held all the time. */
const trades = kafka(process.env.TOPIC ?? 'trades', {
  key: 'symbol',
  schema: {
    symbol: column.string(),
    ts: column.long(),
    price: column.double(),
    qty: column.double(),
    side: column.string().optional(),
    trade_id: column.long().optional(),
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

export const partitionedBy = (raw: 'day(event_time)' | 'month(event_time)'): Pipeline =>
  pipeline('trades', {
    namespace: process.env.NAMESPACE ?? 'trades',
    sinks: [
      trades
        .select('symbol', 'ts', 'price', 'qty', 'side', 'event_time', 'kafka_partition', 'kafka_offset', 'trade_id')
        .appendTo('raw_trades', { partitionBy: [raw], maintenance: impatient }),
      candles.appendTo('agg_1m', { partitionBy: ['day(window_start)'], sortBy: ['symbol', 'window_start'] }),
    ],
  })

// biome-ignore lint/style/noDefaultExport: what a pipeline file is
export default partitionedBy('day(event_time)')
