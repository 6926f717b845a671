import { describe, expect, it } from 'vitest'
import { planModule } from '../../functions/bundle.ts'
import {
  column,
  days,
  hours,
  isKind,
  kafka,
  type MaintenanceOptions,
  milliseconds,
  minutes,
  pipeline,
  planOf,
  seconds,
  timestampMillis,
  tumbling,
} from '../../lib/index.ts'
import { DEFAULT_MAINTENANCE, type MaintenancePlan, NO_MAINTENANCE } from '../../lib/pipeline/maintenance.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { planTables, provision } from '../../lib/runtime/provision.ts'
import { tableId } from '../../lib/runtime/runtime.ts'
import { world } from '../runtime/world.ts'

const source = (topic = 's', deadLetters: object = {}) =>
  kafka(topic, {
    schema: { a: column.string(), ts: column.long() },
    computed: { t: (c) => timestampMillis(c.ts) },
    eventTime: 't',
    watermark: { delay: seconds(1) },
    deadLetters,
  })
const counts = (stream: ReturnType<typeof source>) =>
  stream
    .keyBy('a')
    .window(tumbling(minutes(1)))
    .aggregate((a) => ({ n: a.count() }))

/** A table's options, as plain JavaScript may hand them in. */
interface Loose {
  readonly partitionBy?: readonly string[]
  readonly sortBy?: readonly string[]
  readonly maintenance?: unknown
}

const planned = (options: Loose): Plan => planOf(pipeline('p', { sinks: [source().appendTo('rows', options as object)] }))
const policy = (options: Loose): MaintenancePlan => planned(options).tables.rows!.maintenance

/** What a definition with these options throws. */
function refusal(options: Loose): string {
  try {
    source().appendTo('rows', options as object)
  } catch (error) {
    if (isKind(error, 'InvalidPipeline')) return error.message
    throw error
  }
  throw new Error('nothing was thrown')
}

/** All that there is to say. */
const WHOLE: MaintenanceOptions = {
  compact: { strategy: 'sort', targetFileSize: 64 * 1_048_576, minInputFiles: 2, after: minutes(10), hot: true },
  snapshots: { keep: days(2), retainLast: 3, thinAfter: hours(6) },
  orphans: { olderThan: hours(5), quarantine: seconds(0) },
  rows: { keep: days(90) },
}
const laidOut = { partitionBy: ['bucket(4, a)', 'day(t)'], sortBy: ['a'] }

describe('the maintenance of a table', () => {
  it.each([
    ['nothing', undefined],
    ['no part', {}],
    ['parts that say nothing', { compact: {}, snapshots: {}, orphans: {} }],
    ['only what is undefined', { compact: undefined, snapshots: { keep: undefined }, rows: undefined }],
  ])('has defaults where the definition says %s', (_, maintenance) => {
    expect(policy({ maintenance })).toEqual(DEFAULT_MAINTENANCE)
  })

  it('packs what is cold to 512 MB, keeps snapshots for a week and all rows', () => {
    expect(policy({})).toEqual({
      compact: { strategy: 'auto', targetFileBytes: undefined, minInputFiles: 5, coldAfterMs: 3_600_000, hot: false },
      expire: { keepMs: 604_800_000, retainLast: 10, thinAfterMs: 86_400_000 },
      orphans: { olderThanMs: 259_200_000, quarantineMs: 86_400_000 },
      retention: undefined,
    })
  })

  it('is what the definition says, in milliseconds and bytes', () => {
    expect(policy({ ...laidOut, maintenance: WHOLE })).toEqual({
      compact: { strategy: 'sort', targetFileBytes: 67_108_864, minInputFiles: 2, coldAfterMs: 600_000, hot: true },
      expire: { keepMs: 172_800_000, retainLast: 3, thinAfterMs: 21_600_000 },
      orphans: { olderThanMs: 18_000_000, quarantineMs: 0 },
      retention: { keepMs: 7_776_000_000, column: 't' },
    })
  })

  it.each<[string, MaintenanceOptions, Partial<MaintenancePlan>]>([
    [
      'compact.strategy',
      { compact: { strategy: 'binpack' } },
      { compact: { ...DEFAULT_MAINTENANCE.compact, strategy: 'binpack' } },
    ],
    [
      'compact.targetFileSize',
      { compact: { targetFileSize: 1_048_576 } },
      { compact: { ...DEFAULT_MAINTENANCE.compact, targetFileBytes: 1_048_576 } },
    ],
    [
      'compact.minInputFiles',
      { compact: { minInputFiles: 9 } },
      { compact: { ...DEFAULT_MAINTENANCE.compact, minInputFiles: 9 } },
    ],
    ['compact.after', { compact: { after: seconds(0) } }, { compact: { ...DEFAULT_MAINTENANCE.compact, coldAfterMs: 0 } }],
    ['compact.hot', { compact: { hot: true } }, { compact: { ...DEFAULT_MAINTENANCE.compact, hot: true } }],
    ['snapshots.keep', { snapshots: { keep: days(30) } }, { expire: { ...DEFAULT_MAINTENANCE.expire, keepMs: 2_592_000_000 } }],
    ['snapshots.retainLast', { snapshots: { retainLast: 1 } }, { expire: { ...DEFAULT_MAINTENANCE.expire, retainLast: 1 } }],
    [
      'snapshots.thinAfter',
      { snapshots: { thinAfter: seconds(0) } },
      { expire: { ...DEFAULT_MAINTENANCE.expire, thinAfterMs: 0 } },
    ],
    [
      'orphans.olderThan',
      { orphans: { olderThan: hours(1) } },
      { orphans: { ...DEFAULT_MAINTENANCE.orphans, olderThanMs: 3_600_000 } },
    ],
    [
      'orphans.quarantine',
      { orphans: { quarantine: hours(2) } },
      { orphans: { ...DEFAULT_MAINTENANCE.orphans, quarantineMs: 7_200_000 } },
    ],
    ['compact: false', { compact: false }, { compact: undefined }],
    ['snapshots: false', { snapshots: false }, { expire: undefined }],
    ['orphans: false', { orphans: false }, { orphans: undefined }],
  ])('changes by %s in that alone', (_, maintenance, change) => {
    expect(policy({ maintenance })).toEqual({ ...DEFAULT_MAINTENANCE, ...change })
  })

  it('is none where all is turned off', () => {
    expect(policy({ maintenance: { compact: false, snapshots: false, orphans: false } })).toEqual(NO_MAINTENANCE)
  })

  it('thins snapshots as far back as they are kept, and not at all when told', () => {
    expect(policy({ maintenance: { snapshots: { keep: hours(12) } } }).expire).toMatchObject({
      keepMs: 43_200_000,
      thinAfterMs: 43_200_000,
    })
    expect(policy({ maintenance: { snapshots: { keep: hours(12), thinAfter: hours(12) } } }).expire?.thinAfterMs).toBe(43_200_000)
    expect(policy({ maintenance: { snapshots: { thinAfter: false } } }).expire?.thinAfterMs).toBeUndefined()
  })

  it.each([
    [['year(t)'], 't'],
    [['month(t)', 't'], 't'],
    [['a', 'day(kafka_timestamp)'], 'kafka_timestamp'],
    [['hour(t)', 'bucket(4, kafka_timestamp)'], 't'],
  ])('drops rows by the one time of the partitions %j', (partitionBy, expected) => {
    expect(policy({ partitionBy, maintenance: { rows: { keep: hours(1) } } }).retention).toEqual({
      keepMs: 3_600_000,
      column: expected,
    })
  })

  it('is said for each kind of table, and for each its own', () => {
    const s = source('s', { partitionBy: ['day(kafka_timestamp)'], maintenance: { rows: { keep: days(30) } } })
    const { tables } = planOf(
      pipeline('p', {
        sinks: [
          s.appendTo('rows', { maintenance: { compact: false } }),
          counts(s).appendTo('counts', {
            partitionBy: ['day(window_start)'],
            maintenance: { rows: { keep: days(365) } },
            late: { maintenance: { orphans: false } },
          }),
        ],
      }),
    )
    expect(Object.fromEntries(Object.entries(tables).map(([name, { maintenance }]) => [name, maintenance]))).toEqual({
      rows: { ...DEFAULT_MAINTENANCE, compact: undefined },
      counts: { ...DEFAULT_MAINTENANCE, retention: { keepMs: 31_536_000_000, column: 'window_start' } },
      counts_late: { ...DEFAULT_MAINTENANCE, orphans: undefined },
      dead_letters: { ...DEFAULT_MAINTENANCE, retention: { keepMs: 2_592_000_000, column: 'kafka_timestamp' } },
    })
  })

  it('must be the same where two sources share a dead-letter table, however it is written', () => {
    const shared = (first: object, second: object) =>
      pipeline('p', {
        sinks: [source('a', { maintenance: first }).appendTo('a'), source('b', { maintenance: second }).appendTo('b')],
      })
    const plan = planOf(shared({ snapshots: { keep: days(1), retainLast: 10 } }, { snapshots: { keep: hours(24) }, compact: {} }))
    expect(plan.tables.dead_letters!.maintenance.expire).toMatchObject({ keepMs: 86_400_000 })
    expect(() => shared({ snapshots: { keep: days(1) } }, {})).toThrow(
      /share the dead-letter table dead_letters but lay it out differently/,
    )
  })

  it('does not change what open windows mean', () => {
    const operator = (maintenance: MaintenanceOptions) =>
      planOf(pipeline('p', { sinks: [counts(source()).appendTo('counts', { partitionBy: ['day(window_start)'], maintenance })] }))
        .operators.counts
    expect(operator({ compact: false, snapshots: { keep: days(1) }, rows: { keep: days(9) } })).toEqual(operator({}))
  })

  it('is no change to a table when it changes', async () => {
    const w = world({ plan: planned(laidOut) })
    await provision(w.runtime, { s: [0] })
    const pointer = () => w.ports.catalog.load(tableId(w.runtime, 'rows'))
    const before = await pointer()
    const changed = w.again({ plan: planned({ ...laidOut, maintenance: WHOLE }) })
    expect((await planTables(changed)).map(({ verdict }) => verdict.verdict)).toEqual(['Same', 'Same'])
    await provision(changed, { s: [0] })
    expect(await pointer()).toEqual(before)
    expect(before).toBeDefined()
  })

  it('is frozen, a copy, and the same when a plan comes back from its module', async () => {
    const compact = { minInputFiles: 7 }
    const plan = planned({ ...laidOut, maintenance: { ...WHOLE, compact } })
    compact.minInputFiles = 8
    const { maintenance } = plan.tables.rows!
    expect(maintenance.compact?.minInputFiles).toBe(7)
    for (const part of [maintenance, ...Object.values(maintenance)]) expect(Object.isFrozen(part)).toBe(true)
    const module = `data:text/javascript,${encodeURIComponent(planModule(plan))}`
    const { default: read } = await import(module)
    expect(read).toStrictEqual(plan)
  })
})

describe('maintenance is refused at definition', () => {
  const of = (maintenance: unknown, layout: Loose = {}): Loose => ({ ...layout, maintenance })
  const DAY = { partitionBy: ['day(t)'] }

  it.each<[string, Loose, string]>([
    ['for a word', of('none'), 'Cannot maintain table rows: expected an object of options, found "none".'],
    ['for false', of(false), 'Cannot maintain table rows: expected an object of options, found false.'],
    ['for null', of(null), 'Cannot maintain table rows: expected an object of options, found null.'],
    [
      'for a part that does not exist',
      of({ expire: {} }),
      'Cannot maintain table rows: there is no option expire. Expected compact, snapshots, orphans, rows.',
    ],
    ['with a part that is true', of({ compact: true }), 'Cannot compact table rows: expected an object of options, found true.'],
    [
      'with a part that is null',
      of({ orphans: null }),
      'Cannot delete orphans of table rows: expected an object of options, found null.',
    ],
    ['with rows: false', of({ rows: false }), 'Cannot drop old rows of table rows: expected an object of options, found false.'],
    [
      'for an option of compaction that does not exist',
      of({ compact: { target: 1 } }),
      'Cannot compact table rows: there is no option target. Expected strategy, targetFileSize, minInputFiles, after, hot.',
    ],
    [
      'for an option of snapshots that does not exist',
      of({ snapshots: { olderThan: days(1) } }),
      'Cannot expire snapshots of table rows: there is no option olderThan. Expected keep, retainLast, thinAfter.',
    ],
    [
      'for an option of orphans that does not exist',
      of({ orphans: { keep: days(1) } }),
      'Cannot delete orphans of table rows: there is no option keep. Expected olderThan, quarantine.',
    ],
    [
      'for an option of rows that does not exist',
      of({ rows: { keep: days(1), by: 't' } }, DAY),
      'Cannot drop old rows of table rows: there is no option by. Expected keep.',
    ],
    [
      'for a strategy that does not exist',
      of({ compact: { strategy: 'zorder' } }),
      'Cannot compact table rows: expected strategy to be binpack or sort, found "zorder".',
    ],
    [
      'for sorting a table without an order',
      of({ compact: { strategy: 'sort' } }),
      'Cannot compact table rows by sorting: expected a table with an order, found none. Give it one by sortBy, or leave the strategy out.',
    ],
    [
      'for files under 1 MB',
      of({ compact: { targetFileSize: 1_048_575 } }),
      'Cannot compact table rows with targetFileSize: expected a whole number of bytes from 1048576 to 9007199254740991, found 1048575.',
    ],
    [
      'for a size in words',
      of({ compact: { targetFileSize: '512 MB' } }),
      'Cannot compact table rows with targetFileSize: expected a whole number of bytes from 1048576 to 9007199254740991, found "512 MB".',
    ],
    [
      'for rewriting one file',
      of({ compact: { minInputFiles: 1 } }),
      'Cannot compact table rows with minInputFiles: expected a whole number of files from 2 to 2147483647, found 1.',
    ],
    [
      'for a time without its unit',
      of({ compact: { after: 60 } }),
      'Cannot compact table rows with after: expected a duration such as seconds(5), found 60.',
    ],
    [
      'for a negative time',
      of({ compact: { after: seconds(-1) } }),
      'Cannot compact table rows with after: expected whole milliseconds, at least 0 and at most 100,000 days, found -1000 ms.',
    ],
    [
      'for a flag that is a number',
      of({ compact: { hot: 1 } }),
      'Cannot compact table rows: expected hot to be true or false, found 1.',
    ],
    [
      'for snapshots that are kept for less than a minute',
      of({ snapshots: { keep: milliseconds(59_999) } }),
      'Cannot expire snapshots of table rows with keep: expected whole milliseconds, at least 60000 and at most 100,000 days, found 59999 ms.',
    ],
    [
      'for keeping no snapshot',
      of({ snapshots: { retainLast: 0 } }),
      'Cannot expire snapshots of table rows with retainLast: expected a whole number of snapshots from 1 to 2147483647, found 0.',
    ],
    [
      'for keeping half a snapshot',
      of({ snapshots: { retainLast: 1.5 } }),
      'Cannot expire snapshots of table rows with retainLast: expected a whole number of snapshots from 1 to 2147483647, found 1.5.',
    ],
    [
      'for thinning what is gone',
      of({ snapshots: { thinAfter: days(8) } }),
      'Cannot expire snapshots of table rows: expected thinAfter to be at most keep, 604800000 ms, found 691200000 ms. Keep them for longer, or write thinAfter: false.',
    ],
    [
      'for thinning after a negative time',
      of({ snapshots: { thinAfter: seconds(-1) } }),
      'Cannot expire snapshots of table rows with thinAfter: expected whole milliseconds, at least 0 and at most 100,000 days, found -1000 ms.',
    ],
    [
      'for thinning that is just true',
      of({ snapshots: { thinAfter: true } }),
      'Cannot expire snapshots of table rows with thinAfter: expected a duration such as seconds(5), found true.',
    ],
    [
      'for orphans that may belong to a commit under way',
      of({ orphans: { olderThan: minutes(59) } }),
      'Cannot delete orphans of table rows with olderThan: expected whole milliseconds, at least 3600000 and at most 100,000 days, found 3540000 ms.',
    ],
    [
      'for a negative quarantine',
      of({ orphans: { quarantine: seconds(-1) } }),
      'Cannot delete orphans of table rows with quarantine: expected whole milliseconds, at least 0 and at most 100,000 days, found -1000 ms.',
    ],
    [
      'for rows without a time to keep them',
      of({ rows: {} }, DAY),
      'Cannot drop old rows of table rows with keep: expected a duration such as seconds(5), found undefined.',
    ],
    [
      'for rows that are kept for less than an hour',
      of({ rows: { keep: minutes(59) } }, DAY),
      'Cannot drop old rows of table rows with keep: expected whole milliseconds, at least 3600000 and at most 100,000 days, found 3540000 ms.',
    ],
    [
      'for rows of a table that is not partitioned by a time',
      of({ rows: { keep: days(1) } }, { partitionBy: ['a', 't', 'bucket(4, t)'] }),
      "Cannot drop old rows of table rows: expected partitions by year, month, day or hour, found none, and only whole partitions are dropped. Partition it, as by partitionBy: ['day(event_time)'].",
    ],
    [
      'for rows of a table that is partitioned by two times',
      of({ rows: { keep: days(1) } }, { partitionBy: ['day(t)', 'hour(kafka_timestamp)'] }),
      'Cannot drop old rows of table rows: expected partitions by the time of one column, found t and kafka_timestamp. Partition by the one that rows grow old by.',
    ],
  ])('%s', (_, options, message) => {
    expect(refusal(options)).toBe(message)
  })

  it('in the table of late rows and of dead letters too, by their names', () => {
    const maintenance: MaintenanceOptions = { rows: { keep: days(1) } }
    expect(() => counts(source()).appendTo('counts', { late: { maintenance } })).toThrow(
      /^Cannot drop old rows of table counts_late:/,
    )
    expect(() => source('s', { maintenance })).toThrow(/^Cannot drop old rows of table dead_letters:/)
  })
})
