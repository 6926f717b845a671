import { describe, expect, it } from 'vitest'
import {
  column,
  days,
  isKind,
  kafka,
  milliseconds,
  minutes,
  pipeline,
  planOf,
  seconds,
  timestampMillis,
  tumbling,
} from '../../lib/index.ts'

/** What plain JavaScript, or a cast, hands in: nothing here is checked by types. */
// biome-ignore lint/suspicious/noExplicitAny: these tests are about callers without types
type Untyped = any

const options = (): Untyped => ({
  schema: { a: column.string(), ts: column.long(), x: column.double(), b: column.boolean(), s: column.string().optional() },
  computed: { t: (c: Untyped) => timestampMillis(c.ts) },
  eventTime: 't',
  watermark: { delay: seconds(1) },
})
const loose = { kafka, pipeline, tumbling, planOf, timestampMillis } as Untyped
const source = (more: object = {}, topic = 's'): Untyped => loose.kafka(topic, { ...options(), ...more })
const counts = (stream: Untyped = source(), more?: object): Untyped =>
  stream
    .keyBy('a')
    .window(tumbling(minutes(1)))
    .aggregate((a: Untyped) => ({ n: a.count() }), more)
const planned = (...sinks: unknown[]) => loose.pipeline('p', { sinks })

type Case = readonly [sentence: string, define: () => unknown, message: RegExp]

const cases: Record<string, readonly Case[]> = {
  'a pipeline': [
    ['without sinks', () => planned(), /at least one sink.*found none/],
    ['without a list of sinks', () => loose.pipeline('p', {}), /at least one sink/],
    ['without options', () => loose.pipeline('p'), /expected an object of options, found undefined/],
    ['with a result that goes to no table', () => planned(counts()), /a stream that goes to no table\. End it in \.appendTo/],
    ['with a stream that goes to no table', () => planned(source()), /a stream that goes to no table/],
    ['with something else for a sink', () => planned({ kind: 'sink' }), /expected sinks such as/],
    [
      'with an unknown option',
      () => loose.pipeline('p', { sinks: [source().appendTo('t')], tables: 1 }),
      /there is no option tables/,
    ],
    ['named in upper case', () => loose.pipeline('Trades', { sinks: [source().appendTo('t')] }), /found "Trades"/],
    [
      'named with a dash',
      () => loose.pipeline('my-trades', { sinks: [] }),
      /lower-case letters, digits and underscores.*Name it my_trades/,
    ],
    ['named with a digit first', () => loose.pipeline('1p', { sinks: [] }), /begins with a letter/],
    ['without a name', () => loose.pipeline(undefined, { sinks: [] }), /found undefined/],
    ['with a name without an end', () => loose.pipeline('p'.repeat(129), { sinks: [] }), /at most 128 characters, found 129/],
    [
      'in a namespace of two levels',
      () => loose.pipeline('p', { sinks: [source().appendTo('t')], namespace: 'a.b' }),
      /found "a\.b"/,
    ],
    [
      'with two streams to one table',
      () => {
        const s = source()
        return planned(s.appendTo('t'), s.select('a').appendTo('t'))
      },
      /two streams go to table t/,
    ],
    [
      'with a stream to the late table of another',
      () => {
        const s = source()
        return planned(counts(s).appendTo('t'), s.appendTo('t_late'))
      },
      /two streams go to table t_late/,
    ],
    [
      'with a stream to the table of dead letters',
      () => planned(source().appendTo('dead_letters')),
      /takes both a stream and dead letters/,
    ],
    [
      'with one result to two tables',
      () => {
        const c = counts()
        return planned(c.appendTo('t'), c.appendTo('u'))
      },
      /one result goes to both t and u/,
    ],
    [
      'with two aggregates of one id',
      () => {
        const s = source()
        return planned(counts(s, { id: 'x' }).appendTo('t'), counts(s, { id: 'x' }).appendTo('u'))
      },
      /two aggregates have the id x/,
    ],
    [
      'with two sources of one id',
      () => planned(source({ id: 'x' }, 'a').appendTo('t'), source({ id: 'x' }, 'b').appendTo('u')),
      /two sources have the id x/,
    ],
    [
      'with two sources on one topic',
      () => planned(source({ id: 'x' }, 'a').appendTo('t'), source({ id: 'y' }, 'a').appendTo('u')),
      /two sources read topic a/,
    ],
    [
      'with shared dead letters in two layouts',
      () => planned(source({}, 'a').appendTo('t'), source({ deadLetters: { partitionBy: ['kafka_topic'] } }, 'b').appendTo('u')),
      /share the dead-letter table dead_letters but lay it out differently/,
    ],
  ],
  'a source': [
    ['with an empty topic', () => source({}, ''), /1 to 249 letters/],
    ['with a slash in its topic', () => source({}, 'a/b'), /found "a\/b"/],
    ['with a slash in its id', () => source({ id: 'a/b' }), /found "a\/b"/],
    ['with a topic of dots', () => source({}, '..'), /found "\.\."/],
    ['without options', () => loose.kafka('s'), /expected an object of options/],
    ['with an unknown option', () => source({ event_time: 't' }), /there is no option event_time/],
    ['without a schema', () => source({ schema: undefined }), /expected a schema/],
    ['with an empty schema', () => source({ schema: {} }), /at least one column, found none/],
    [
      'with a column of time in its JSON',
      () => source({ schema: { t: { type: 'timestamptz', required: true } } }),
      /found "timestamptz"/,
    ],
    ['with a column of bytes in its JSON', () => source({ schema: { t: { type: 'binary', required: true } } }), /found "binary"/],
    ['with a column that is a type’s name', () => source({ schema: { t: 'string' } }), /expected column\.boolean/],
    ['with a column that was not called', () => source({ schema: { t: column.string } }), /expected column\.boolean/],
    [
      'with a column in camel case',
      () => source({ schema: { tradeId: column.long() } }),
      /found "tradeId"\. Name the column trade_id and write column\.long\(\)\.from\('tradeId'\) to read that JSON key/,
    ],
    [
      'with a column named as no column can be',
      () => source({ schema: { '@HTTPStatus-Code': column.string() } }),
      /Name the column http_status_code and write column\.string\(\)\.from\('@HTTPStatus-Code'\)/,
    ],
    [
      'with a column named as no column can be, that would be Kafka’s',
      () => source({ schema: { kafkaOffset: column.string() } }),
      /Name the column otherwise and write column\.string\(\)\.from\('kafkaOffset'\)/,
    ],
    [
      'with a JSON key that goes to two columns',
      () => source({ schema: { a: column.string(), ts: column.long(), x: column.long().from('ts') } }),
      /into column x: JSON key "ts" is read into column ts already/,
    ],
    [
      'with one JSON key given twice',
      () => source({ schema: { a: column.int().from('k'), b: column.int().optional().from('k') } }),
      /into column b: JSON key "k" is read into column a already/,
    ],
    ['with a column from nowhere', () => source({ schema: { a: (column as Untyped).string().from() } }), /found undefined/],
    ['with a column from half a character', () => source({ schema: { a: column.string().from('\ud800') } }), /JSON key/],
    ['with a column of Kafka’s name', () => source({ schema: { kafka_offset: column.long() } }), /kafka_offset is reserved/],
    [
      'with a column that might be Kafka’s',
      () => source({ schema: { kafka_headers: column.long() } }),
      /all that begin with kafka_/,
    ],
    ['with a column window_start', () => source({ schema: { window_start: column.long() } }), /window_start is reserved/],
    ['with a column window_end', () => source({ computed: { window_end: (c: Untyped) => c.x } }), /window_end is reserved/],
    ['with a column watermark', () => source({ computed: { watermark: (c: Untyped) => c.x } }), /watermark is reserved/],
    [
      'with a computed column that is in the schema',
      () => source({ computed: { x: (c: Untyped) => c.ts.add(1) } }),
      /already a column x in the schema/,
    ],
    ['with computed columns that are no object', () => source({ computed: 5 }), /object of callbacks/],
    ['with a computed column that is no callback', () => source({ computed: { t: 'ts' } }), /expected a callback.*found "ts"/],
    [
      'with a computed column that is a value',
      () => source({ computed: { t: () => new Date(0) } }),
      /expected an expression over columns.*found an object/,
    ],
    [
      'with a computed column of an unknown one',
      () => source({ computed: { t: (c: Untyped) => timestampMillis(c.tss) } }),
      /there is no column tss\. Expected one of a, ts/,
    ],
    [
      'with a time made of text',
      () => source({ computed: { t: (c: Untyped) => timestampMillis(c.a) } }),
      /^Cannot use timestampMillis: expected an int or a long, found string\.$/,
    ],
    [
      'with a time made of a fraction',
      () => source({ computed: { t: () => loose.timestampMillis(1.5) } }),
      /^Cannot use timestampMillis: expected an int or a long, found double\.$/,
    ],
    ['without an event time', () => source({ eventTime: undefined }), /expected eventTime to be one of/],
    [
      'with an event time that is no column',
      () => source({ eventTime: 'nope' }),
      /expected eventTime to be one of a, ts.*found "nope"/,
    ],
    ['with an event time of another type', () => source({ eventTime: 'ts' }), /found ts, a required long/],
    [
      'with an event time that may be null',
      () => source({ eventTime: 'kafka_timestamp' }),
      /found kafka_timestamp, an optional timestamptz/,
    ],
    ['without a watermark', () => source({ watermark: undefined }), /watermark: expected an object of options/],
    ['without a delay', () => source({ watermark: {} }), /watermark delay: expected a duration.*found undefined/],
    ['with a delay without unit', () => source({ watermark: { delay: 5 } }), /expected a duration such as seconds\(5\), found 5/],
    ['with a negative delay', () => source({ watermark: { delay: seconds(-1) } }), /at least 0.*found -1000 ms/],
    [
      'with a delay that is not whole',
      () => source({ watermark: { delay: milliseconds(0.5) } }),
      /whole milliseconds.*found 0\.5 ms/,
    ],
    ['with a delay of NaN', () => source({ watermark: { delay: seconds(Number.NaN) } }), /found NaN ms/],
    ['with a delay without an end', () => source({ watermark: { delay: days(Infinity) } }), /found Infinity ms/],
    ['with a negative maxAhead', () => source({ watermark: { delay: seconds(1), maxAhead: seconds(-1) } }), /maxAhead/],
    [
      'that is idle after nothing',
      () => source({ watermark: { delay: seconds(1), idleAfter: seconds(0) } }),
      /idleAfter.*at least 1/,
    ],
    [
      'with an unknown watermark option',
      () => source({ watermark: { delay: seconds(1), emit: 'early' } }),
      /there is no option emit/,
    ],
    ['with no partitions', () => source({ partitions: 0 }), /whole number from 1 to 10000, found 0/],
    ['with more partitions than there can be', () => source({ partitions: 1e9 }), /from 1 to 10000, found 1000000000/],
    ['with half a partition', () => source({ partitions: 1.5 }), /found 1\.5/],
    ['with a key that is no column', () => source({ key: 'nope' }), /required string column of the schema, found "nope"/],
    ['with a key of numbers', () => source({ key: 'ts' }), /found ts, a required long/],
    ['with a key that may be null', () => source({ key: 's' }), /found s, an optional string/],
    [
      'with a computed key',
      () => source({ computed: { t: options().computed.t, k: (c: Untyped) => c.a }, key: 'k' }),
      /found "k"/,
    ],
    ['with a bad dead-letter table', () => source({ deadLetters: { table: 'Dead' } }), /found "Dead"/],
    [
      'with dead letters by event time',
      () => source({ deadLetters: { partitionBy: ['day(t)'] } }),
      /no column t\. Expected one of kafka_topic/,
    ],
  ],
  'a stream': [
    [
      'filtered by a JavaScript comparison',
      () => source().filter((c: Untyped) => c.x > 0),
      /expected an expression over columns.*found (true|false)/,
    ],
    ['filtered by nothing', () => source().filter(() => undefined), /found undefined/],
    ['filtered without a callback', () => source().filter('x > 0'), /expected a callback.*found "x > 0"/],
    ['filtered by a number', () => source().filter((c: Untyped) => c.x), /expected a predicate.*found double/],
    ['filtered on an unknown column', () => source().filter((c: Untyped) => c.nope.gt(0)), /there is no column nope/],
    [
      'filtered on a column that was not selected',
      () =>
        source()
          .select('a')
          .filter((c: Untyped) => c.x.gt(0)),
      /there is no column x\. Expected one of a\./,
    ],
    ['compared with null', () => source().filter((c: Untyped) => c.s.eq(null)), /nothing equals null.*Use isNull\(\)/],
    ['compared with undefined', () => source().filter((c: Untyped) => c.s.eq(undefined)), /nothing equals null/],
    ['compared across types', () => source().filter((c: Untyped) => c.a.eq(c.x)), /eq.*found string and double/],
    [
      'compared with a value of another type',
      () => source().filter((c: Untyped) => c.x.eq('0')),
      /expected a value that fits double, found "0"/,
    ],
    ['compared with NaN', () => source().filter((c: Untyped) => c.x.eq(Number.NaN)), /fits double, found NaN/],
    ['compared with a long of 65 bits', () => source().filter((c: Untyped) => c.ts.eq(2n ** 63n)), /found 9223372036854775808n/],
    ['compared with half a character', () => source().filter((c: Untyped) => c.a.eq('\ud800')), /fits string/],
    ['with text added', () => source().compute('y', (c: Untyped) => c.a.add(c.a)), /expected numbers, found string/],
    ['with a number negated', () => source().filter((c: Untyped) => c.x.not()), /expected a boolean, found double/],
    ['with a number joined by and', () => source().filter((c: Untyped) => c.b.and(c.x)), /expected booleans, found double/],
    ['with a column computed twice', () => source().compute('x', (c: Untyped) => c.ts.add(1)), /already a column x/],
    [
      'with a hidden column computed again',
      () =>
        source()
          .select('a')
          .compute('x', (c: Untyped) => c.a.isNull()),
      /already a column x/,
    ],
    ['with a computed column of a reserved name', () => source().compute('kafka_x', (c: Untyped) => c.x), /reserved/],
    ['with nothing selected', () => source().select(), /at least one column/],
    ['with an unknown column selected', () => source().select('a', 'nope'), /Cannot select "nope": expected one of a, ts/],
    ['with a column selected twice', () => source().select('a', 'a'), /select a twice/],
    [
      'of columns borrowed from another stream',
      () => {
        let borrowed: Untyped
        source({}, 'other')
          .compute('only_there', (c: Untyped) => c.b)
          .filter((c: Untyped) => (borrowed = c.only_there))
        return source().filter(() => borrowed)
      },
      /only_there/,
    ],
  ],
  'a window': [
    ['without keys', () => source().keyBy(), /at least one column/],
    ['by an unknown key', () => source().keyBy('nope'), /by "nope": expected one of a, ts/],
    ['by a key twice', () => source().keyBy('a', 'a'), /by a twice/],
    ['by a double', () => source().keyBy('x'), /expected a type that is equal or not, found double/],
    ['of a number', () => loose.tumbling(60), /expected a duration.*found 60/],
    ['of no time', () => loose.tumbling(seconds(0)), /at least 1.*found 0 ms/],
    ['of negative time', () => loose.tumbling(minutes(-1)), /found -60000 ms/],
    ['of half a millisecond', () => loose.tumbling(milliseconds(0.5)), /whole milliseconds/],
    ['that is none', () => source().keyBy('a').window(minutes(1)), /expected tumbling\(minutes\(1\)\)/],
    ['that is missing', () => source().keyBy('a').window(), /expected tumbling\(minutes\(1\)\), found undefined/],
    [
      'with negative lateness',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)), { allowedLateness: seconds(-1) }),
      /found -1000 ms/,
    ],
    [
      'with early results',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)), { emit: 'early' }),
      /there is no option emit/,
    ],
  ],
  'an aggregate': [
    [
      'without a callback',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)))
          .aggregate({}),
      /expected a callback/,
    ],
    [
      'of nothing',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)))
          .aggregate(() => ({})),
      /at least one aggregate/,
    ],
    [
      'that is no object',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)))
          .aggregate((a: Untyped) => [a.count()]),
      /found an array/,
    ],
    [
      'that is a value',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)))
          .aggregate(() => ({ n: 5 })),
      /Cannot aggregate n: expected an aggregate such as/,
    ],
    [
      'that is forged',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)))
          .aggregate(() => ({ n: { fn: 'median', of: 'x' } })),
      /expected an aggregate/,
    ],
    [
      'named like a key',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)))
          .aggregate((a: Untyped) => ({ a: a.count() })),
      /it is a key of the window/,
    ],
    [
      'named window_end',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)))
          .aggregate((a: Untyped) => ({ window_end: a.count() })),
      /reserved/,
    ],
    [
      'named in camel case',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)))
          .aggregate((a: Untyped) => ({ tradeCount: a.count() })),
      /found "tradeCount"/,
    ],
    [
      'of an unknown column',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)))
          .aggregate((a: Untyped) => ({ n: a.sum('nope') })),
      /sum\("nope"\).*expected one of a, ts/,
    ],
    [
      'of no column',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)))
          .aggregate((a: Untyped) => ({ n: a.first() })),
      /first\(undefined\)/,
    ],
    [
      'that sums text',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)))
          .aggregate((a: Untyped) => ({ n: a.sum('a') })),
      /sum.*found string/,
    ],
    [
      'that averages times',
      () =>
        source()
          .keyBy('a')
          .window(tumbling(minutes(1)))
          .aggregate((a: Untyped) => ({ n: a.avg('t') })),
      /avg.*found timestamptz/,
    ],
    ['with a bad id', () => counts(source(), { id: 'a-b' }), /found "a-b"/],
    ['with an unknown option', () => counts(source(), { name: 'x' }), /there is no option name/],
  ],
  'a table': [
    ['in camel case', () => source().appendTo('rawTrades'), /found "rawTrades"/],
    ['without a name', () => counts().appendTo(), /found undefined/],
    ['with an unknown option', () => source().appendTo('t', { sort: ['a'] }), /there is no option sort/],
    ['of rows with a late table', () => source().appendTo('t', { late: {} }), /there is no option late/],
    ['with a bad late table', () => counts().appendTo('t', { late: { table: 'T' } }), /found "T"/],
    [
      'whose late table is itself',
      () => planned(counts().appendTo('t', { late: { table: 't' } })),
      /two streams go to table t\b/,
    ],
    ['partitioned by no list', () => source().appendTo('t', { partitionBy: 'day(t)' }), /expected a list/],
    ['partitioned by an unknown column', () => source().appendTo('t', { partitionBy: ['day(nope)'] }), /there is no column nope/],
    [
      'partitioned by the day of a string',
      () => source().appendTo('t', { partitionBy: ['day(a)'] }),
      /expected a to be timestamptz, found string/,
    ],
    [
      'partitioned by an unknown transform',
      () => source().appendTo('t', { partitionBy: ['week(t)'] }),
      /expected year\(column\)/,
    ],
    ['partitioned by an expression', () => source().appendTo('t', { partitionBy: ['day(t) + 1'] }), /expected year\(column\)/],
    ['partitioned by doubles', () => source().appendTo('t', { partitionBy: ['x'] }), /found double/],
    ['partitioned by buckets of booleans', () => source().appendTo('t', { partitionBy: ['bucket(4, b)'] }), /found boolean/],
    [
      'partitioned by no buckets',
      () => source().appendTo('t', { partitionBy: ['bucket(0, a)'] }),
      /1 to 2147483647 buckets, found 0/,
    ],
    [
      'partitioned by 2^31 buckets',
      () => source().appendTo('t', { partitionBy: ['bucket(2147483648, a)'] }),
      /buckets, found 2147483648/,
    ],
    [
      'partitioned by day and hour of one time',
      () => source().appendTo('t', { partitionBy: ['day(t)', 'hour(t)'] }),
      /t is in the partitioning already/,
    ],
    [
      'partitioned by a column that was not selected',
      () =>
        source()
          .select('a')
          .appendTo('t', { partitionBy: ['day(t)'] }),
      /there is no column t\. Expected one of a\./,
    ],
    ['sorted by an unknown column', () => source().appendTo('t', { sortBy: ['nope'] }), /there is no column nope/],
    ['sorted in an unknown direction', () => source().appendTo('t', { sortBy: ['a down'] }), /perhaps followed by asc or desc/],
    ['sorted by a column twice', () => source().appendTo('t', { sortBy: ['a', 'a desc'] }), /a is in the order already/],
  ],
  'a plan': [
    ['of nothing', () => loose.planOf(undefined), /expected a pipeline made by pipeline\(\), found undefined/],
    ['of a stream', () => loose.planOf(source()), /expected a pipeline made by pipeline\(\)/],
  ],
}

for (const [what, list] of Object.entries(cases))
  describe(`${what} fails at definition`, () => {
    it.each(list)('%s', (_sentence, define, message) => {
      let thrown: unknown
      try {
        define()
      } catch (error) {
        thrown = error
      }
      expect(thrown).toBeInstanceOf(Error)
      const error = thrown as Error
      expect(error.message).toMatch(message)
      expect(isKind(error, 'InvalidPipeline')).toBe(true)
      expect(error.message).toMatch(/^Cannot /)
    })
  })
