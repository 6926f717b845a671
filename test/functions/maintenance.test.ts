import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { compactHandler } from '../../functions/compact-handler.ts'
import type { CompactedFiles, PlannedCompaction } from '../../functions/compact-steps.ts'
import { compactConfig, expireConfig, logsConfig } from '../../functions/config.ts'
import { expireHandler } from '../../functions/expire-handler.ts'
import { METRICS, METRICS_BY_FUNCTION } from '../../functions/metrics.ts'
import { orphansHandler } from '../../functions/orphans-handler.ts'
import { type Context, openTelemetry } from '../../functions/telemetry.ts'
import { trimHandler } from '../../functions/trim-handler.ts'
import { unavailable } from '../../lib/errors.ts'
import { loadTable, planFiles } from '../../lib/iceberg/scan.ts'
import { column, kafka, pipeline, planOf, seconds, timestampMillis } from '../../lib/index.ts'
import { limitsOf } from '../../lib/maintenance/limits.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { memoryObjects } from '../../lib/ports/memory/objects.ts'
import { checkpointLogKey, incarnationLogKey } from '../../lib/protocol/names.ts'
import { commit } from '../../lib/runtime/commit.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import type { Ports } from '../../lib/runtime/runtime.ts'
import { batch, world } from '../runtime/world.ts'
import { FORMS, SECRET } from './secrets.ts'
import { type Captured, capture } from './telling.ts'

const DAY_MS = 86_400_000
const MINUTE_MS = 60_000
const STAGING = 'memory://staging/'
const TABLES = ['raw', 'visits_dead']

const visits = kafka('trades', {
  partitions: 1,
  schema: { ts: column.long(), email: column.string() },
  computed: { at: (c) => timestampMillis(c.ts) },
  eventTime: 'at',
  watermark: { delay: seconds(1) },
  deadLetters: { table: 'visits_dead' },
})
/** A folder of its data files has an address in its name. */
const plan = planOf(
  pipeline('visits', {
    sinks: [visits.appendTo('raw', { partitionBy: ['email', 'day(at)'], maintenance: { compact: { hot: true } } })],
  }),
)
/** As `plan`, its tables as they say. */
const withPolicy = (change: Partial<Plan['tables'][string]['maintenance']>): Plan => ({
  ...plan,
  tables: Object.fromEntries(
    Object.entries(plan.tables).map(([name, table]) => [name, { ...table, maintenance: { ...table.maintenance, ...change } }]),
  ),
})

let output: Captured
beforeEach(() => {
  output = capture()
})
afterEach(() => output.end())

const context = (remainingMs = () => 900_000): Context => ({
  awsRequestId: 'request-1',
  getRemainingTimeInMillis: remainingMs,
})

interface Options {
  readonly commits?: number
  readonly definition?: Plan
  readonly change?: (ports: Ports) => Partial<Ports>
}

/** Tables of so many commits, a minute apart, of a visit and a dead letter each; `change` puts something between functions and stores. */
async function deployed({ commits = 8, definition = plan, change = () => ({}) }: Options = {}) {
  const made = world({ plan })
  let nowMs = 100 * DAY_MS
  const clock = { ...made.ports.clock, now: () => nowMs }
  const ports: Ports = { ...made.ports, clock, objects: memoryObjects(clock), broker: undefined }
  const runtime = made.again({ plan, ports })
  await provision(runtime, { trades: [0] })
  await ports.log.put(incarnationLogKey(plan.name), 1, runtime.incarnation)
  for (let i = 0; i < commits; i++) {
    nowMs += MINUTE_MS
    await ingest(runtime, [batch(0, 2 * i, [JSON.stringify({ ts: 1000 + i, email: `${SECRET}@example.com` }), SECRET])])
    await commit(runtime)
  }
  const changed = { ...ports, ...change(ports) }
  const told = <T extends 'compact' | 'expire' | 'orphans' | 'trim'>(name: T) => ({
    ...changed,
    telemetry: openTelemetry(name, plan.name),
  })
  const compact = compactHandler(definition, told('compact'), { memoryMb: 2048 })
  output.take()
  return {
    ports,
    runtime,
    later: (ms: number) => {
      nowMs += ms
    },
    compact,
    planned: async (of = context()) => (await compact({ step: 'plan' }, of)) as PlannedCompaction,
    worked: async (job: unknown, of = context()) => (await compact({ step: 'work', job }, of)) as CompactedFiles,
    expire: (of = context()) => expireHandler(definition, told('expire'))({}, of),
    orphans: (of = context()) => orphansHandler(definition, told('orphans'), { staging: STAGING })({}, of),
    trim: (of = context()) => trimHandler(definition, told('trim'), { staging: STAGING })({}, of),
    async listed(prefix: string) {
      const found: string[] = []
      for await (const { location } of ports.objects.list(prefix)) found.push(location)
      return found
    },
    /** What a table holds, and in how many files. */
    async table(name: string) {
      const table = await loadTable(ports.catalog, ports.objects, { namespace: plan.namespace, name })
      if (table === undefined) throw new Error(`no table ${name}`)
      const files = await planFiles(ports.objects, table.metadata)
      const rows: unknown[] = []
      for (const { file } of files) {
        const bytes = (await ports.objects.get(file.filePath)) ?? new Uint8Array()
        rows.push(...(await parquetReadObjects({ file: new Uint8Array(bytes).buffer, compressors })))
      }
      return { files: files.length, rows: rows.map(textOf).sort() }
    },
  }
}

const textOf = (row: unknown): string => JSON.stringify(row, (_, value) => (typeof value === 'bigint' ? String(value) : value))

/** What was printed, after a look for values of records in it. */
function printed() {
  const taken = output.take()
  for (const form of FORMS) expect(taken.text).not.toContain(form)
  return taken
}

/** Everything about one table fails: its pointer cannot be read. */
const failing = (table: string) => (ports: Ports) => ({
  catalog: {
    ...ports.catalog,
    load: async (id: Parameters<typeof ports.catalog.load>[0]) => {
      if (id.name === table) throw unavailable(`Cannot load s3://lake/email=${SECRET}/a: outage.`)
      return ports.catalog.load(id)
    },
  },
})

describe('compact', () => {
  test('plans jobs, and works them off: a table of many small files has the same rows in one', async () => {
    const { planned, worked, table } = await deployed()
    const before = await table('raw')
    expect(before.files).toBe(8)
    const { jobs, failed, more } = await planned()
    expect([failed, more]).toEqual([0, false])
    expect(jobs.map((job) => job.table.name).sort()).toEqual(['raw'])
    expect(printed().lines).toMatchObject([{ message: 'planned', filesToCompact: 8, jobs: 1, failed: 0 }])
    const report = await worked(jobs[0])
    expect(report).toMatchObject({ filesBefore: 8, filesAfter: 1, gaveUp: 0, more: false })
    expect(printed().lines).toMatchObject([{ message: 'compacted', table: 'raw', compactedFiles: 8, compactionsGivenUp: 0 }])
    const after = await table('raw')
    expect(after).toEqual({ files: 1, rows: before.rows })
    expect((await planned()).jobs).toEqual([])
  })

  test('answers with counts alone: nothing in it names a partition', async () => {
    const { planned, worked } = await deployed()
    const answer = await planned()
    const report = await worked(JSON.parse(JSON.stringify(answer)).jobs[0])
    for (const form of FORMS) expect(JSON.stringify([answer, report])).not.toContain(form)
  })

  test('rewrites the others beside a damaged file, and says so after all was done', async () => {
    const { planned, worked, listed, ports } = await deployed()
    const [job] = (await planned()).jobs
    const files = (await listed('')).filter((location) => location.includes('/raw/') && location.endsWith('.parquet'))
    await ports.objects.put(files[0], [new Uint8Array(100)])
    output.take()
    await expect(worked(job)).rejects.toMatchObject({
      kind: 'Corrupt',
      message: expect.stringContaining('Cannot compact table raw'),
    })
    expect(printed().lines).toMatchObject([
      { level: 'ERROR', kind: 'Corrupt', table: 'raw' },
      { message: 'compacted', table: 'raw', filesAfter: 1, compactionsGivenUp: 1, unreadable: 1 },
    ])
  })

  test('a job that is done again, or twice at a time, changes nothing more', async () => {
    const { planned, worked, table } = await deployed()
    const before = await table('raw')
    const [job] = (await planned()).jobs
    await Promise.all([worked(job), worked(job)])
    expect(await table('raw')).toEqual({ files: 1, rows: before.rows })
    expect(await worked(job)).toMatchObject({ filesBefore: 0, filesAfter: 0 })
    expect(await table('raw')).toEqual({ files: 1, rows: before.rows })
  })

  test.each([
    ['nothing', {}],
    ['a schedule', { version: '0', source: 'aws.scheduler', 'detail-type': 'Scheduled Event', detail: '{}' }],
  ])('called with %s plans and does all', async (_, event) => {
    const { compact, table } = await deployed()
    const before = await table('raw')
    expect(await compact(event, context())).toMatchObject({ filesBefore: 8, filesAfter: 1, more: false })
    expect(await table('raw')).toEqual({ files: 1, rows: before.rows })
    expect(printed().metrics).toHaveLength(1)
  })

  test('begins nothing that may not be done in its time, and says that there is more', async () => {
    const { compact, worked, planned, table } = await deployed()
    const short = context(() => 59_000)
    const [job] = (await planned()).jobs
    expect(await worked(job, short)).toMatchObject({ filesBefore: 0, more: true })
    expect(await compact({}, short)).toMatchObject({ filesBefore: 0, more: true })
    expect((await table('raw')).files).toBe(8)
  })

  test('a table that cannot be planned is told by its number, and the others are planned', async () => {
    const { planned, compact, table } = await deployed({ change: failing('visits_dead') })
    const { jobs, failed } = await planned()
    expect([jobs.length, failed]).toEqual([1, 1])
    const { lines } = printed()
    expect(lines).toMatchObject([
      { level: 'ERROR', kind: 'Unavailable', table: 'visits_dead' },
      { message: 'planned', failed: 1 },
    ])
    await expect(compact({}, context())).rejects.toThrow('outage')
    expect((await table('raw')).files).toBe(1)
    expect(printed().lines.filter(({ level }) => level === 'ERROR')).toHaveLength(1)
  })

  test('leaves alone a table whose policy says never', async () => {
    const { planned } = await deployed({ definition: withPolicy({ compact: undefined }) })
    expect(await planned()).toEqual({ jobs: [], failed: 0, more: false })
  })

  const job = { table: { namespace: 'visits', name: 'raw' }, snapshot: '1', nowMs: 1, from: 0, to: 1 }
  test.each([
    ['no event', null, 'expected an event'],
    ['a text', SECRET, 'found a value of type string'],
    ['another step', { step: SECRET }, "expected step 'plan' or 'work', or none, found a value of type string"],
    ['a plan with a job', { step: 'plan', job }, "expected a job with step 'work' only"],
    ['work without a job', { step: 'work' }, 'expected a job'],
    ['something more', { step: 'plan', apply: true }, 'expected only step, found apply'],
    ['another event', { Records: [] }, 'found Records'],
    ['a job with something more', { step: 'work', job: { ...job, apply: true } }, 'found apply'],
    [
      'a job of another table',
      { step: 'work', job: { ...job, table: { namespace: 'visits', name: 'x' } } },
      '(raw, visits_dead)',
    ],
    ['a job of another namespace', { step: 'work', job: { ...job, table: { namespace: 'x', name: 'raw' } } }, 'another table'],
    ['a job without a snapshot', { step: 'work', job: { ...job, snapshot: 1 } }, 'the id of a snapshot, in digits, found 1'],
    ['a job without a time', { step: 'work', job: { ...job, nowMs: '1' } }, 'nowMs in milliseconds'],
    ['a job of no group', { step: 'work', job: { ...job, to: 0 } }, 'found 0 and 0'],
  ])('refuses %s, and repeats no value of it', async (_, event, message) => {
    const { compact } = await deployed({ commits: 0 })
    const call = compact(event, context())
    await expect(call).rejects.toMatchObject({ kind: 'Usage', message: expect.stringContaining(message) })
    expect(printed().lines).toMatchObject([{ level: 'ERROR', kind: 'Usage' }])
  })

  test('refuses a job of a table that is not to be compacted', async () => {
    const { worked } = await deployed({ commits: 0, definition: withPolicy({ compact: undefined }) })
    await expect(worked(job)).rejects.toThrow('found one of raw')
  })
})

describe('expire', () => {
  test('lets go of old snapshots of all tables, and deletes what only they needed', async () => {
    const { expire, later, compact, table, listed } = await deployed({ commits: 12 })
    const before = await table('raw')
    later(MINUTE_MS)
    await compact({}, context())
    const files = await listed('memory://warehouse/')
    later(8 * DAY_MS)
    printed()
    const summary = await expire()
    expect(summary).toMatchObject({ left: 0, more: false })
    expect(summary.expired).toBeGreaterThan(1)
    expect(summary.files).toBeGreaterThan(1)
    const [line, ...others] = printed().lines
    expect(others).toEqual([])
    expect(line).toMatchObject({ message: 'expired', expiredSnapshots: summary.expired, tables: 2, failed: 0 })
    expect((await listed('memory://warehouse/')).length).toBeLessThan(files.length)
    expect((await table('raw')).rows).toEqual(before.rows)
    expect(await expire()).toMatchObject({ expired: 0, files: 0 })
  })

  test('drops partitions that are older than the table keeps them, and counts their rows', async () => {
    const { expire, table } = await deployed({ definition: withPolicy({ retention: { keepMs: 30 * DAY_MS, column: 'at' } }) })
    expect(await expire()).toMatchObject({ partitions: 1, rows: 8 })
    expect(await table('raw')).toEqual({ files: 0, rows: [] })
    expect(printed().metrics).toMatchObject([{ droppedRows: 8 }])
  })
})

describe('orphans', () => {
  test('puts a file that nothing names on a list, and deletes it a day later', async () => {
    const { orphans, later, ports, table } = await deployed()
    const before = await table('raw')
    const orphan = `memory://warehouse/visits/raw/data/email=${SECRET}%40example.com/left-behind.parquet`
    await ports.objects.put(orphan, [new Uint8Array(10)])
    expect(await orphans()).toMatchObject({ found: 0, deleted: 0 })
    later(4 * DAY_MS)
    expect(await orphans()).toMatchObject({ found: 1, deleted: 0 })
    expect(printed().lines.at(-1)).toMatchObject({ message: 'swept', quarantinedFiles: 1, deletedOrphans: 0 })
    later(2 * DAY_MS)
    expect(await orphans()).toMatchObject({ deleted: 1, left: 0 })
    expect(printed().metrics).toMatchObject([{ quarantinedFiles: 0, deletedOrphans: 1 }])
    expect(await ports.objects.size(orphan)).toBeUndefined()
    expect(await table('raw')).toEqual(before)
  })
})

describe.each(['expire', 'orphans'] as const)('%s', (name) => {
  test.each(TABLES)('goes on when %s fails, and then throws its error', async (table) => {
    const loaded = new Set<string>()
    const change = (ports: Ports) => {
      const { catalog } = failing(table)(ports)
      const load = (id: Parameters<typeof catalog.load>[0]) => {
        loaded.add(id.name)
        return catalog.load(id)
      }
      return { catalog: { ...catalog, load } }
    }
    const of = await deployed({ change })
    await expect(of[name]()).rejects.toMatchObject({ kind: 'Unavailable', message: expect.stringContaining('email=…/a') })
    expect([...loaded].sort()).toEqual(TABLES)
    const { lines } = printed()
    const failed = { level: 'ERROR', kind: 'Unavailable' }
    // A sweep asks where its neighbours put their files: not knowing, it deletes nothing.
    if (name === 'orphans') expect(lines).toMatchObject([failed, failed, { level: 'INFO', tables: 0, failed: 2 }])
    else
      expect(lines).toMatchObject([
        { ...failed, table },
        { level: 'INFO', tables: 1, failed: 1 },
      ])
  })

  test('begins no second table when its time is up, and not always with the same', async () => {
    const loaded: string[] = []
    const change = ({ catalog }: Ports) => ({
      catalog: {
        ...catalog,
        load: async (id: Parameters<typeof catalog.load>[0]) => {
          loaded.push(id.name)
          return catalog.load(id)
        },
      },
    })
    const of = await deployed({ change })
    const begun = new Set<string>()
    for (let calls = 0; calls < 8; calls++) {
      loaded.length = 0
      expect(await of[name](context(() => 59_000))).toMatchObject({ more: true })
      // Where its neighbours put their files is asked, too.
      expect(new Set(loaded).size).toBe(name === 'orphans' ? TABLES.length : 1)
      begun.add(loaded[0])
    }
    expect([...begun].sort()).toEqual(TABLES)
  })
})

describe('trim', () => {
  test('deletes what the last checkpoint proves to be needed no more, once it is three days old', async () => {
    const { trim, later, ports, runtime, listed, table } = await deployed()
    const before = await table('raw')
    const staged = await listed(STAGING)
    const first = await trim()
    expect(first).toMatchObject({ objects: 0, more: false })
    expect(first.entries).toBeGreaterThan(5)
    const [floor] = await ports.log.floors([checkpointLogKey(plan.name, runtime.incarnation)])
    expect(floor).toBeGreaterThan(1)
    later(4 * DAY_MS)
    const second = await trim()
    expect(second.entries).toBe(0)
    expect(second.objects).toBeGreaterThan(0)
    expect((await listed(STAGING)).length).toBe(staged.length - second.objects)
    const [, line] = printed().lines
    expect(line).toMatchObject({ message: 'trimmed', trimmedLogEntries: 0, deletedStagingObjects: second.objects })
    // The pipeline goes on as before.
    await ingest(runtime, [batch(0, 16, [JSON.stringify({ ts: 2000, email: 'a' })])])
    await commit(runtime)
    expect((await table('raw')).rows).toHaveLength(before.rows.length + 1)
  })

  test('does nothing before the pipeline has run, and writes nothing', async () => {
    const { ports } = world({ plan })
    const log = { ...ports.log, put: () => Promise.reject(new Error('put')), trim: () => Promise.reject(new Error('trim')) }
    const telemetry = openTelemetry('trim', plan.name)
    const trim = trimHandler(plan, { ...ports, log, telemetry }, { staging: STAGING })
    expect(await trim({}, context())).toMatchObject({ checkpoint: 0, entries: 0, more: false })
  })

  test('stops before its time is up, and says that there is more', async () => {
    const { trim, listed } = await deployed()
    const staged = await listed(STAGING)
    expect(await trim(context(() => 10_000))).toMatchObject({ entries: 0, objects: 0, more: true })
    expect(await listed(STAGING)).toEqual(staged)
  })

  test('throws what it cannot do, without values', async () => {
    const change = ({ log }: Ports) => ({ log: { ...log, tail: () => Promise.reject(unavailable(`at /email=${SECRET}/a`)) } })
    const { trim } = await deployed({ change })
    await expect(trim()).rejects.toMatchObject({ kind: 'Unavailable', message: 'at /email=…/a' })
    expect(printed().lines).toMatchObject([{ level: 'ERROR', kind: 'Unavailable' }])
  })
})

describe('metrics of maintenance', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/reference/metrics.md'), 'utf8')

  test.each(['compact', 'expire', 'orphans', 'trim'] as const)(
    'a call of %s publishes them all, as the page has them',
    async (name) => {
      const of = await deployed()
      await (name === 'compact' ? of.compact({}, context()) : of[name]())
      const [{ _aws: aws, ...line }, ...others] = printed().metrics
      expect(others).toEqual([])
      const [{ Namespace, Dimensions, Metrics }] = aws.CloudWatchMetrics
      expect([Namespace, Dimensions, line.pipeline, line.function]).toEqual([
        'Frazil',
        [['pipeline', 'function']],
        'visits',
        name,
      ])
      expect(Object.fromEntries(Metrics.map(({ Name, Unit }) => [Name, Unit]))).toEqual(METRICS_BY_FUNCTION[name])
      for (const { Name } of Metrics) expect(Number.isSafeInteger(line[Name]), `${Name} is ${line[Name]}`).toBe(true)
      const [, section] = page.split(`## Of ${name}\n`)
      const rows = [...section.split('\n## ')[0].matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map(([, metric, unit]) => [metric, unit])
      expect(Object.fromEntries(rows)).toEqual(METRICS_BY_FUNCTION[name])
    },
  )

  test('no name is of two functions', () => {
    const names = Object.values(METRICS_BY_FUNCTION).flatMap((of) => Object.keys(of))
    expect(names.sort()).toEqual(Object.keys(METRICS).sort())
  })
})

describe('the environment of maintenance', () => {
  const logs = { FRAZIL_LOG_TABLE: 'logs', FRAZIL_STAGING: 's3://lake/staging/' }
  test('is the memory that Lambda tells, or the place of the logs, or nothing', () => {
    expect(compactConfig({ AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '2048', PATH: '/bin' })).toEqual({ memoryMb: 2048 })
    expect(expireConfig({})).toBeUndefined()
    for (const name of ['orphans', 'trim'] as const)
      expect(logsConfig(name, logs)).toEqual({ logTable: 'logs', staging: 's3://lake/staging/' })
  })

  test.each([
    [() => compactConfig({}), 'expected variable AWS_LAMBDA_FUNCTION_MEMORY_SIZE, found none'],
    [() => compactConfig({ AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '2 GB' }), "a number of megabytes, as Lambda sets it, found '2 GB'"],
    [() => compactConfig({ ...logs }), "expected of Frazil's variables none, found FRAZIL_LOG_TABLE"],
    [() => expireConfig({ ...logs }), 'Cannot start expire: '],
    [() => logsConfig('orphans', { FRAZIL_LOG_TABLE: 'logs' }), 'Cannot start orphans: expected variable FRAZIL_STAGING'],
    [
      () => logsConfig('trim', { ...logs, FRAZIL_PARTITIONS: 'a=1' }),
      'only FRAZIL_LOG_TABLE, FRAZIL_STAGING, found FRAZIL_PARTITIONS',
    ],
  ])('is refused in one line when it cannot be', (config, message) => {
    expect(config).toThrow(expect.objectContaining({ kind: 'Usage', message: expect.stringContaining(message) }))
  })
})

test('what is rewritten at a time follows from the memory', () => {
  const [one, two] = [limitsOf(1024), limitsOf(2048)]
  expect(one).toEqual({ maxGroupValues: 44_739_242, maxGroupBytes: 178_956_970, maxMemoryBytes: 357_913_941 })
  expect(Math.floor(two.maxGroupBytes / one.maxGroupBytes)).toBe(2)
})
