import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  column,
  hours,
  kafka,
  minutes,
  type Plan,
  pipeline,
  planOf,
  type Sink,
  seconds,
  timestampMillis,
  tumbling,
} from '../../lib/index.ts'
import { type RunSummary, run } from '../../lib/local/run.ts'
import { pageText } from './blocks.ts'

// Every row of the table in docs/how-to/change-a-pipeline.md, tried: a run of the definition as it was, then one of the changed
// definition on the same warehouse and a file that has grown.

type RowColumn = 'page' | 'ms' | 'viewed_at' | 'copy' | 'user'
type Key = 'page' | 'kafka_partition'

interface Definition {
  readonly name?: string
  readonly namespace?: string
  readonly topic?: string
  readonly id?: string
  readonly key?: null
  readonly delay?: ReturnType<typeof seconds>
  readonly maxAhead?: ReturnType<typeof seconds>
  readonly user?: 'optional' | 'required'
  readonly deadLetters?: string
  readonly rows?: string | null
  readonly rowColumns?: readonly [RowColumn, ...RowColumn[]]
  readonly rowFilter?: boolean
  readonly partitionBy?: 'day(viewed_at)' | 'hour(viewed_at)'
  readonly sortBy?: 'page'
  readonly windows?: string | null
  readonly operator?: string
  readonly late?: string
  readonly keys?: readonly [Key, ...Key[]]
  readonly size?: ReturnType<typeof minutes>
  readonly allowedLateness?: ReturnType<typeof seconds>
  readonly filter?: boolean
  readonly load?: 'sum' | 'avg'
  readonly top?: 'never null' | 'may be null'
  /** The source column that `copy` copies. @default 'ms' */
  readonly copyOf?: 'at'
  readonly more?: 'rows' | 'windows'
}

function planned(d: Definition): Plan {
  const views = kafka(d.topic ?? 'views', {
    ...(d.id === undefined ? {} : { id: d.id }),
    ...(d.key === null ? {} : { key: 'page' }),
    schema: {
      page: column.string(),
      at: column.long(),
      ms: column.double(),
      ...(d.user === undefined ? {} : { user: d.user === 'optional' ? column.string().optional() : column.string() }),
    },
    computed: { viewed_at: (c) => timestampMillis(c.at) },
    eventTime: 'viewed_at',
    watermark: { delay: d.delay ?? seconds(10), ...(d.maxAhead === undefined ? {} : { maxAhead: d.maxAhead }) },
    ...(d.deadLetters === undefined ? {} : { deadLetters: { table: d.deadLetters } }),
  })
  const sinks: Sink[] = []
  if (d.rows !== null) {
    const rows = d.rowFilter ? views.filter((c) => c.ms.gt(50)) : views
    const [firstColumn, ...columns]: readonly [RowColumn, ...RowColumn[]] = d.rowColumns ?? ['page', 'ms', 'viewed_at']
    sinks.push(
      rows
        .compute('copy', (c) => (d.copyOf === 'at' ? (c.at as never) : c.ms))
        .select(firstColumn as 'page', ...(columns as 'page'[]))
        .appendTo(d.rows ?? 'all_views', {
          partitionBy: [d.partitionBy ?? 'day(viewed_at)'] as never,
          ...(d.sortBy === undefined ? {} : { sortBy: [d.sortBy] as never }),
        }),
    )
  }
  const kept = d.filter ? views.filter((c) => c.ms.gt(50)) : views
  const [firstKey, ...keys]: readonly [Key, ...Key[]] = d.keys ?? ['page']
  if (d.windows !== null)
    sinks.push(
      kept
        .keyBy(firstKey, ...keys)
        .window(tumbling(d.size ?? minutes(1)), d.allowedLateness === undefined ? {} : { allowedLateness: d.allowedLateness })
        .aggregate(
          (a) => ({
            views: a.count(),
            load: a[d.load ?? 'sum']('ms'),
            ...(d.top === undefined ? {} : { top: d.top === 'may be null' ? a.sum('at') : a.max('ms') }),
          }),
          d.operator === undefined ? {} : { id: d.operator },
        )
        .appendTo(d.windows ?? 'per_minute', d.late === undefined ? {} : { late: { table: d.late } }),
    )
  if (d.more === 'rows') sinks.push(views.select('page').appendTo('pages'))
  if (d.more === 'windows')
    sinks.push(
      views
        .keyBy('page')
        .window(tumbling(hours(1)))
        .aggregate((a) => ({ views: a.count() }))
        .appendTo('per_hour'),
    )
  const [first, ...others] = sinks
  return planOf(
    pipeline(d.name ?? 'web', { sinks: [first, ...others], ...(d.namespace === undefined ? {} : { namespace: d.namespace }) }),
  )
}

interface Case {
  readonly change: string
  readonly to: Definition
  readonly from?: Definition
  readonly partitions?: number
  /** Rows in these tables after a changed run that went on from open windows. */
  readonly rows?: Readonly<Record<string, number>>
}

/** Lines read by the run before the change, and in all. */
const BEFORE = 20
const ALL = 60

const CASES: readonly Case[] = [
  { change: 'delay', to: { delay: minutes(2) }, rows: { all_views: ALL } },
  { change: '`maxAhead`', to: { maxAhead: minutes(1) }, rows: { all_views: ALL } },
  { change: 'filter or computed column before a table of rows', to: { rowFilter: true }, rows: { all_views: ALL } },
  { change: 'filter before windows', to: { filter: true } },
  { change: 'allowed lateness', to: { allowedLateness: seconds(30) } },
  { change: 'size of windows', to: { size: minutes(2) } },
  { change: 'aggregate of the same name and type', to: { load: 'avg' } },
  { change: 'aggregate added or removed that is never null', to: { top: 'never null' } },
  {
    change: 'aggregate added or removed that may be null (`sum` of longs, any of an optional column but `count`)',
    to: { top: 'may be null' },
  },
  { change: 'aggregate added, table renamed', to: { top: 'never null', windows: 'per_minute_2' } },
  { change: 'key added or removed', to: { keys: ['page', 'kafka_partition'] } },
  { change: 'key added, table renamed', to: { keys: ['page', 'kafka_partition'], windows: 'per_minute_2' } },
  {
    change: 'optional column added to a table',
    to: { user: 'optional', rowColumns: ['user', 'page', 'ms', 'viewed_at'] },
    rows: { all_views: ALL, per_minute: 21 },
  },
  {
    change: 'optional column of a table removed',
    from: { user: 'optional', rowColumns: ['user', 'page', 'ms', 'viewed_at'] },
    to: { user: 'optional' },
    rows: { all_views: ALL, per_minute: 21 },
  },
  { change: 'column of a table moved', to: { rowColumns: ['page', 'viewed_at', 'ms'] }, rows: { all_views: ALL } },
  { change: 'required column of a table added or removed', to: { rowColumns: ['page', 'ms', 'viewed_at', 'copy'] } },
  {
    change: 'column of a table of another type, or optional and no longer required',
    from: { rowColumns: ['page', 'copy', 'viewed_at'] },
    to: { rowColumns: ['page', 'copy', 'viewed_at'], copyOf: 'at' },
  },
  {
    change: 'column of a table of another type, table renamed',
    from: { rowColumns: ['page', 'copy', 'viewed_at'] },
    to: { rowColumns: ['page', 'copy', 'viewed_at'], copyOf: 'at', rows: 'all_views_2' },
    rows: { all_views_2: ALL - BEFORE },
  },
  { change: 'optional column added to `schema` or removed', to: { user: 'optional' }, rows: { all_views: ALL, per_minute: 21 } },
  { change: 'required column added to `schema`', to: { user: 'required' } },
  {
    change: 'required column added to `schema`, late table renamed',
    to: { user: 'required', late: 'late_2' },
    rows: { all_views: BEFORE, dead_letters: ALL - BEFORE },
  },
  { change: 'new table of rows', to: { more: 'rows' }, rows: { all_views: ALL, pages: ALL - BEFORE } },
  { change: 'new table of windows', to: { more: 'windows' }, rows: { all_views: ALL, per_hour: 3 } },
  { change: 'table of rows renamed', to: { rows: 'views' }, rows: { views: ALL - BEFORE } },
  { change: 'table of rows removed', to: { rows: null }, rows: { per_minute: 21 } },
  { change: 'table of windows renamed', to: { windows: 'by_minute' } },
  {
    change: 'table of windows renamed, `{ id }` kept',
    to: { windows: 'by_minute', operator: 'per_minute' },
    rows: { by_minute: 21 },
  },
  { change: 'table of windows removed', to: { windows: null } },
  { change: 'late or dead-letter table renamed', to: { late: 'late_2', deadLetters: 'broken' }, rows: { all_views: ALL } },
  { change: '`partitionBy`', to: { partitionBy: 'hour(viewed_at)' } },
  { change: '`sortBy`', to: { sortBy: 'page' } },
  { change: '`--partitions`', to: {}, partitions: 8 },
  { change: '`key`, of a pipeline that reads an `--input` file', to: { key: null } },
  { change: 'topic', to: { topic: 'visits', id: 'views' } },
  { change: 'source `id`', to: { id: 'visits' } },
  { change: 'name of the pipeline', to: { name: 'site' }, rows: { all_views: ALL, per_minute: 21 } },
  { change: 'name of the pipeline, in the old namespace', to: { name: 'site', namespace: 'web' } },
  { change: '`namespace`', to: { namespace: 'other' } },
]

let dir = ''
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'frazil-change-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** A page view every 7 seconds, three pages in turn. */
const lines = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => {
    const n = from + i
    return `{"page":"/p${n % 3}","at":${1_767_225_600_000 + n * 7000},"ms":${n * 10}}\n`
  }).join('')

/** Runs all there is of the file; windows stay open unless `untilEnd`. */
function runOn(at: string, plan: Plan, untilEnd: boolean, partitions?: number): Promise<RunSummary> {
  const stop = new AbortController()
  return run({
    plan,
    warehouse: { kind: 'directory', dir: join(at, 'warehouse') },
    source: { kind: 'input', file: join(at, 'views.ndjson'), partitions },
    untilEnd,
    commitIntervalMs: 1000,
    signal: stop.signal,
    onProgress: ({ phase }) => {
      if (!untilEnd && phase === 'waiting') stop.abort()
    },
  })
}

async function changed({ from = {}, to, partitions }: Case, windowsOpen: boolean): Promise<RunSummary> {
  const at = mkdtempSync(join(dir, 'case-'))
  writeFileSync(join(at, 'views.ndjson'), lines(0, BEFORE))
  const before = await runOn(at, planned(from), !windowsOpen)
  expect(before.tables).toMatchObject({ all_views: BEFORE, per_minute: windowsOpen ? 0 : 8 })
  appendFileSync(join(at, 'views.ndjson'), lines(BEFORE, ALL))
  return runOn(at, planned(to), true, partitions)
}

/** The page's table: cells of each row, by the change. */
const told = new Map(
  pageText('docs/how-to/change-a-pipeline.md')
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter(([, , open, closed]) => /^(?:goes on|refused)$/.test(open ?? '') && /^(?:goes on|refused)$/.test(closed ?? ''))
    .map(([, change, open, closed]) => [change, { open, closed }] as const),
)

/** What goes on with windows open goes on with none, too: no need to run that. */
const CLOSED = CASES.filter(({ change }) => told.get(change)?.open === 'refused')

describe.concurrent('what the page on changes says', () => {
  test('is tried, every row of it', () => {
    expect([...told.keys()]).toEqual(CASES.map(({ change }) => change))
    for (const { open, closed } of told.values()) if (open === 'goes on') expect(closed).toBe('goes on')
  })

  test.each(CASES)('$change: with windows open', async (tried) => {
    const outcome = changed(tried, true)
    if (told.get(tried.change)?.open === 'refused') return expect(outcome).rejects.toMatchObject({ kind: 'Refused' })
    expect((await outcome).tables).toMatchObject(tried.rows ?? {})
    expect(tried.rows, 'a change that goes on says what it leads to').toBeDefined()
  })

  test.each(CLOSED)('$change: with none open', async (tried) => {
    const outcome = changed(tried, false)
    if (told.get(tried.change)?.closed === 'refused') return expect(outcome).rejects.toMatchObject({ kind: 'Refused' })
    expect((await outcome).records).toBe(ALL - BEFORE)
  })
})
