// Checked by `tsc`: each line under @ts-expect-error must fail, everything else must pass.
import {
  column,
  type Duration,
  hours,
  kafka,
  type MaintenanceOptions,
  minutes,
  type Pipeline,
  pipeline,
  type Row,
  type Sink,
  type Stream,
  seconds,
  timestampMillis,
  timestampSeconds,
  tumbling,
} from '../../lib/index.ts'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
type Same<A, B> = Equal<{ [K in keyof A]: A[K] }, { [K in keyof B]: B[K] }>
const yes = <T extends true>(_holds?: T): void => {}

const watermark = { delay: seconds(5) }
const trades = kafka('trades', {
  key: 'symbol',
  schema: {
    symbol: column.string(),
    ts: column.long(),
    price: column.double(),
    lots: column.int(),
    test: column.boolean(),
    side: column.string().optional(),
    fee: column.double().optional(),
  },
  computed: {
    event_time: (c) => timestampMillis(c.ts),
    settled: (c) => timestampSeconds(c.lots),
    ratio: (c) => c.price.divide(c.lots),
    from_broker: (c) => c.kafka_timestamp,
    is_buy: (c) => c.side.eq('BUY'),
    is_dear: (c) => c.price.gt(100),
  },
  eventTime: 'event_time',
  watermark,
  partitions: 4,
  deadLetters: { table: 'poison', partitionBy: ['bucket(4, kafka_topic)', 'kafka_partition'] },
})

// The row of a stream is its schema, what it computes and Kafka's own columns.
yes<
  Same<
    Row<typeof trades>,
    {
      readonly symbol: string
      readonly ts: bigint
      readonly price: number
      readonly lots: number
      readonly test: boolean
      readonly side: string | null
      readonly fee: number | null
      readonly event_time: bigint
      readonly settled: bigint
      readonly ratio: number | null
      readonly from_broker: bigint | null
      readonly is_buy: boolean | null
      readonly is_dear: boolean
      readonly kafka_topic: string
      readonly kafka_partition: number
      readonly kafka_offset: bigint
      readonly kafka_timestamp: bigint | null
    }
  >
>()
yes<Equal<(typeof trades)['mode'], 'append'>>()

// --- sources ---------------------------------------------------------------------------------------------------------

const schema = { a: column.string(), n: column.long(), o: column.long().optional(), s: column.string().optional() }

// @ts-expect-error event time is no column of its own: it must be computed
kafka('x', { schema, eventTime: 'a', watermark })
// @ts-expect-error event time must be among the computed columns
kafka('x', { schema, computed: { t: (c) => timestampMillis(c.n) }, eventTime: 'u', watermark })
// @ts-expect-error event time must be a timestamptz
kafka('x', { schema, computed: { t: (c) => c.n.gt(1) }, eventTime: 't', watermark })
// @ts-expect-error event time must be required
kafka('x', { schema, computed: { t: (c) => timestampMillis(c.o) }, eventTime: 't', watermark })
// @ts-expect-error Kafka's timestamp may be missing, so it is no event time
kafka('x', { schema, computed: { t: (c) => c.kafka_timestamp }, eventTime: 't', watermark })
// @ts-expect-error there is no column nn
kafka('x', { schema, computed: { t: (c) => timestampMillis(c.nn) }, eventTime: 't', watermark })
// @ts-expect-error a string is no number of milliseconds
kafka('x', { schema, computed: { t: (c) => timestampMillis(c.a) }, eventTime: 't', watermark })
// @ts-expect-error a computed column is an expression, not a value
kafka('x', { schema, computed: { t: (c) => timestampMillis(c.n), u: () => 5 }, eventTime: 't', watermark })

const time = { t: timestampMillis(0) }
const good = { schema, computed: { t: () => time.t }, eventTime: 't', watermark } as const
kafka('x', { ...good, key: 'a', id: 'x', partitions: 3 })
// @ts-expect-error a key must be a string column
kafka('x', { ...good, key: 'n' })
// @ts-expect-error a key must be required
kafka('x', { ...good, key: 's' })
// @ts-expect-error a key must be a column
kafka('x', { ...good, key: 'nope' })
// @ts-expect-error a delay carries its unit
kafka('x', { ...good, watermark: { delay: 5 } })
// @ts-expect-error a watermark has a delay
kafka('x', { ...good, watermark: {} })
// @ts-expect-error maxAhead carries its unit
kafka('x', { ...good, watermark: { delay: seconds(5), maxAhead: 10 } })
// @ts-expect-error there is no such watermark option
kafka('x', { ...good, watermark: { delay: seconds(5), idle: seconds(5) } })
// @ts-expect-error there is no such option
kafka('x', { ...good, topics: ['x'] })
// @ts-expect-error JSON holds no times: compute them
kafka('x', { ...good, schema: { ...schema, at: { type: 'timestamptz', required: true } } })
// @ts-expect-error JSON holds no bytes
kafka('x', { ...good, schema: { ...schema, at: { type: 'binary', required: true } } })
// @ts-expect-error dead letters have columns of their own
kafka('x', { ...good, deadLetters: { partitionBy: ['day(t)'] } })
kafka('x', { ...good, deadLetters: { partitionBy: ['day(kafka_timestamp)'], sortBy: ['reason', 'kafka_offset desc'] } })

// @ts-expect-error a column is optional or not: once is enough
column.string().optional().optional()
// @ts-expect-error a column is read from one key
column.string().from('a').from('b')
// @ts-expect-error a column is read from one key, optional or not
column.string().from('a').optional().from('b')
// @ts-expect-error a key is text
column.string().from(5)
// @ts-expect-error a key is said
column.string().from()

// Every type of column has a JSON key of its own where it is told so, and is the same to what follows.
const renamed = kafka('x', {
  key: 'user_id',
  schema: {
    user_id: column.string().from('userId'),
    is_new: column.boolean().from('isNew'),
    shop: column.int().from('shopId').optional(),
    ts: column.long().from('sentAt'),
    price: column.double().optional().from('unitPrice'),
  },
  computed: { t: (c) => timestampMillis(c.ts) },
  eventTime: 't',
  watermark,
})
yes<
  Same<
    Omit<Row<typeof renamed>, `kafka_${string}`>,
    {
      readonly user_id: string
      readonly is_new: boolean
      readonly shop: number | null
      readonly ts: bigint
      readonly price: number | null
      readonly t: bigint
    }
  >
>()
// @ts-expect-error a key of JSON is no column
renamed.select('userId')

// What is wrong in a definition is told there, and not again of all that follows from it.
const mistaken = kafka('x', {
  // @ts-expect-error a key must be a string column
  key: 'n',
  schema,
  computed: { t: (c) => timestampMillis(c.n) },
  eventTime: 't',
  watermark,
})
mistaken
  .keyBy('a')
  .window(tumbling(minutes(1)))
  .aggregate((a) => ({ total: a.sum('n') }))
  .appendTo('t', { partitionBy: ['day(window_start)'] })
// @ts-expect-error JSON holds no times
column.timestamptz()

// --- expressions -----------------------------------------------------------------------------------------------------

trades.filter((c) => c.price.gt(0).and(c.side.eq('BUY').or(c.side.isNull())).and(c.test.not()))
trades.filter((c) => c.ts.ge(c.price).and(c.lots.lt(2n)).and(c.symbol.lt('M')).and(c.test))
trades.filter((c) => c.event_time.lt(timestampMillis(1_700_000_000_000)).or(c.event_time.ne(c.from_broker)))
// @ts-expect-error there is no column pric
trades.filter((c) => c.pric.gt(0))
// @ts-expect-error a predicate is an expression, not a JavaScript comparison
trades.filter((c) => c.price > 0)
// @ts-expect-error a predicate is true or false
trades.filter((c) => c.price)
// @ts-expect-error a number does not equal a string
trades.filter((c) => c.price.eq('0'))
// @ts-expect-error a string does not equal a number
trades.filter((c) => c.side.eq(c.price))
// @ts-expect-error nothing equals null: use isNull()
trades.filter((c) => c.side.eq(null))
// @ts-expect-error nothing is greater than null either
trades.filter((c) => c.price.gt(null))
// @ts-expect-error a time is no number
trades.filter((c) => c.event_time.gt(1_700_000_000_000))
// @ts-expect-error strings cannot be added
trades.compute('x', (c) => c.symbol.add('y'))
// @ts-expect-error booleans have no order
trades.filter((c) => c.test.gt(false))
// @ts-expect-error only booleans are joined by and
trades.filter((c) => c.price.gt(0).and(c.price))
// @ts-expect-error only booleans are negated
trades.filter((c) => c.price.not())

// A computed column has the type of its expression, null where SQL has null.
const more = trades
  .compute('notional', (c) => c.price.multiply(c.lots))
  .compute('big', (c) => c.notional.gt(1000))
  .compute('equal', (c) => c.symbol.eq('x'))
  .compute('again', (c) => timestampMillis(c.ts))
  .compute('missing', (c) => c.side.isNull())
type More = Pick<Row<typeof more>, 'notional' | 'big' | 'equal' | 'again' | 'missing'>
yes<
  Same<
    More,
    {
      readonly notional: number | null
      readonly big: boolean | null
      readonly equal: boolean
      /** Not required, unlike a source's: here a time out of range is null. */
      readonly again: bigint | null
      readonly missing: boolean
    }
  >
>()
// @ts-expect-error there is already a column price
trades.compute('price', (c) => c.ts.add(1))
// @ts-expect-error there is already a column price, though it was not selected
trades.select('symbol').compute('price', (c) => c.symbol.isNull())

// --- select, keyBy, window, aggregate -----------------------------------------------------------------------------------

const some = trades.select('symbol', 'kafka_offset')
yes<Same<Row<typeof some>, { readonly symbol: string; readonly kafka_offset: bigint }>>()
// @ts-expect-error there is no column nope
trades.select('symbol', 'nope')
// @ts-expect-error a selection has at least one column
trades.select()
// @ts-expect-error price was not selected
some.filter((c) => c.price.gt(0))
// @ts-expect-error unknown key column
trades.keyBy('symbl')
// @ts-expect-error at least one key
trades.keyBy()
// @ts-expect-error doubles are no keys
trades.keyBy('price')
// @ts-expect-error price was not selected, so it is no column to group by
some.keyBy('side')

const keyed = trades.keyBy('symbol', 'side')
const windowed = keyed.window(tumbling(minutes(1)), { allowedLateness: hours(1) })
// @ts-expect-error a duration carries its unit
tumbling(60)
// @ts-expect-error a window is tumbling(…)
keyed.window(minutes(1))
// @ts-expect-error allowed lateness carries its unit
keyed.window(tumbling(minutes(1)), { allowedLateness: 5 })
// @ts-expect-error nothing is emitted early yet
keyed.window(tumbling(minutes(1)), { emit: 'early' })
// @ts-expect-error a keyed stream has no rows to append
keyed.appendTo('t')
// @ts-expect-error nor has a windowed one
windowed.appendTo('t')

const candles = windowed.aggregate((a) => ({
  open: a.first('price'),
  close: a.last('side'),
  high: a.max('price'),
  low: a.min('event_time'),
  cheapest: a.min('fee'),
  volume: a.sum('lots'),
  total: a.sum('ts'),
  fees: a.sum('fee'),
  trade_count: a.count(),
  avg_price: a.avg('lots'),
}))
yes<
  Same<
    Row<typeof candles>,
    {
      readonly symbol: string
      readonly side: string | null
      readonly window_start: bigint
      readonly window_end: bigint
      readonly open: number
      readonly close: string | null
      readonly high: number
      readonly low: bigint
      readonly cheapest: number | null
      readonly volume: bigint
      /** Null when it does not fit 64 bits. */
      readonly total: bigint | null
      readonly fees: number | null
      readonly trade_count: bigint
      readonly avg_price: number
    }
  >
>()
// @ts-expect-error cannot sum a string
windowed.aggregate((a) => ({ v: a.sum('symbol') }))
// @ts-expect-error nor average a boolean
windowed.aggregate((a) => ({ v: a.avg('test') }))
// @ts-expect-error nor a time
windowed.aggregate((a) => ({ v: a.sum('event_time') }))
// @ts-expect-error there is no column nope
windowed.aggregate((a) => ({ v: a.first('nope') }))
// @ts-expect-error a count is of rows, not of a column
windowed.aggregate((a) => ({ v: a.count('price') }))
// @ts-expect-error there is no such aggregate
windowed.aggregate((a) => ({ v: a.median('price') }))
// @ts-expect-error an aggregate is made by the builder
windowed.aggregate(() => ({ v: 5 }))
// @ts-expect-error symbol is a key already
windowed.aggregate((a) => ({ symbol: a.count() }))
// @ts-expect-error window_start is a column of every result
windowed.aggregate((a) => ({ window_start: a.count() }))
const names = trades
  .select('symbol')
  .keyBy('symbol')
  .window(tumbling(minutes(1)))
// @ts-expect-error there is no column of numbers to sum
names.aggregate((a) => ({ v: a.sum('symbol') }))

// --- sinks -----------------------------------------------------------------------------------------------------------

yes<Equal<ReturnType<typeof candles.appendTo>, Sink>>()
trades.appendTo('t', {
  partitionBy: ['day(event_time)', 'hour(kafka_timestamp)', 'bucket(16, symbol)', 'side'],
  sortBy: ['symbol', 'price desc', 'ts asc'],
})
candles.appendTo('t', {
  partitionBy: ['day(window_start)'],
  late: { table: 'late', partitionBy: ['day(event_time)', 'hour(watermark)'], sortBy: ['kafka_offset'] },
})
// @ts-expect-error there is no column nope
trades.appendTo('t', { partitionBy: ['day(nope)'] })
// @ts-expect-error a day is of a time
trades.appendTo('t', { partitionBy: ['day(symbol)'] })
// @ts-expect-error there is no transform week
trades.appendTo('t', { partitionBy: ['week(event_time)'] })
// @ts-expect-error doubles make no partitions
trades.appendTo('t', { partitionBy: ['price'] })
// @ts-expect-error nor buckets
trades.appendTo('t', { partitionBy: ['bucket(4, price)'] })
// @ts-expect-error a bucket says how many
trades.appendTo('t', { partitionBy: ['bucket(symbol)'] })
// @ts-expect-error results have no event_time
candles.appendTo('t', { partitionBy: ['day(event_time)'] })
// @ts-expect-error nor can they be sorted by it
candles.appendTo('t', { sortBy: ['event_time'] })
// @ts-expect-error late rows have no aggregates
candles.appendTo('t', { late: { sortBy: ['trade_count'] } })
// @ts-expect-error rows as such are never late
trades.appendTo('t', { late: { table: 'x' } })
// @ts-expect-error there is no direction down
trades.appendTo('t', { sortBy: ['price down'] })

// Properties are strings, and the codec one that Frazil writes.
trades.appendTo('t', {
  properties: { 'write.parquet.compression-codec': 'snappy', 'write.parquet.page-row-limit': '1000', x: 'y' },
})
candles.appendTo('t', { properties: {}, late: { properties: { 'write.parquet.compression-codec': 'gzip' } } })
kafka('x', { ...good, deadLetters: { properties: { owner: 'me' } } })
// @ts-expect-error lz4 is not written
trades.appendTo('t', { properties: { 'write.parquet.compression-codec': 'lz4' } })
// @ts-expect-error a number is no string
trades.appendTo('t', { properties: { 'write.parquet.page-row-limit': 1000 } })
// @ts-expect-error nor in the late table
candles.appendTo('t', { late: { properties: { 'write.parquet.page-row-limit': 1000 } } })

// Maintenance is said for every table; times carry their unit, and what is turned off is false.
trades.appendTo('t', {
  partitionBy: ['day(event_time)'],
  sortBy: ['symbol'],
  maintenance: {
    compact: { strategy: 'sort', targetFileSize: 2 ** 27, minInputFiles: 2, after: hours(2), hot: true },
    snapshots: { keep: hours(12), retainLast: 1, thinAfter: false },
    orphans: { olderThan: hours(24), quarantine: seconds(0) },
    rows: { keep: hours(48) },
  },
})
candles.appendTo('t', { maintenance: {}, late: { maintenance: { compact: false, snapshots: false, orphans: false } } })
kafka('x', { ...good, deadLetters: { partitionBy: ['day(kafka_timestamp)'], maintenance: { rows: { keep: hours(9) } } } })
yes<Equal<NonNullable<NonNullable<Parameters<typeof trades.appendTo>[1]>['maintenance']>, MaintenanceOptions>>()
// @ts-expect-error a table is maintained in parts: each is turned off by itself
trades.appendTo('t', { maintenance: false })
// @ts-expect-error there is no such part
trades.appendTo('t', { maintenance: { expire: {} } })
// @ts-expect-error what is on is not said
trades.appendTo('t', { maintenance: { compact: true } })
// @ts-expect-error there is no strategy zorder
trades.appendTo('t', { maintenance: { compact: { strategy: 'zorder' } } })
// @ts-expect-error there is no such option of compaction
trades.appendTo('t', { maintenance: { compact: { target: 1 } } })
// @ts-expect-error sizes are bytes
trades.appendTo('t', { maintenance: { compact: { targetFileSize: '128 MB' } } })
// @ts-expect-error a time carries its unit
trades.appendTo('t', { maintenance: { snapshots: { keep: 7 } } })
// @ts-expect-error snapshots are thinned after a time, or not
trades.appendTo('t', { maintenance: { snapshots: { thinAfter: true } } })
// @ts-expect-error rows that are dropped are kept for a time
trades.appendTo('t', { maintenance: { rows: {} } })
// @ts-expect-error rows stay unless told
trades.appendTo('t', { maintenance: { rows: false } })
// @ts-expect-error nor in the late table
candles.appendTo('t', { late: { maintenance: { orphans: { quarantine: 1 } } } })
// @ts-expect-error nor in that of dead letters
kafka('x', { ...good, deadLetters: { maintenance: { orphans: { quarantine: 1 } } } })

// A revising stream cannot be appended.
declare const revising: Stream<(typeof trades)['columns'], 'revising'>
// @ts-expect-error what revises must be upserted
revising.appendTo('t')
// @ts-expect-error and filtering does not change that
revising.filter((c) => c.price.gt(0)).appendTo('t')
declare const early: ReturnType<ReturnType<(typeof revising)['keyBy']>['window']>
// @ts-expect-error nor does a window
early.aggregate((a) => ({ n: a.count() })).appendTo('t')

yes<Equal<ReturnType<typeof pipeline>, Pipeline>>()
pipeline('p', { sinks: [trades.appendTo('a'), candles.appendTo('b')], namespace: 'lake' })
// @ts-expect-error a pipeline has at least one sink
pipeline('p', { sinks: [] })
// @ts-expect-error a pipeline has sinks
pipeline('p', {})
// @ts-expect-error a result that goes to no table is no sink
pipeline('p', { sinks: [candles] })
// @ts-expect-error nor is a stream
pipeline('p', { sinks: [trades] })
// @ts-expect-error there is no such option
pipeline('p', { sinks: [trades.appendTo('a')], tables: {} })

yes<Equal<ReturnType<typeof seconds>, Duration>>()
