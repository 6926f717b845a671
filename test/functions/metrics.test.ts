import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { commitHandler } from '../../functions/commit-handler.ts'
import { ingestHandler } from '../../functions/ingest-handler.ts'
import { COMMIT_METRICS, INGEST_METRICS, METRICS } from '../../functions/metrics.ts'
import { provisionHandler } from '../../functions/provision-handler.ts'
import { openTelemetry } from '../../functions/telemetry.ts'
import { unavailable } from '../../lib/errors.ts'
import { planOf } from '../../lib/index.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import type { Ports } from '../../lib/runtime/runtime.ts'
import trades from '../../pipelines/trades.ts'
import { trade, world } from '../runtime/world.ts'
import { eventOf, FORMS, misshapenEvents, SECRET, secretEvent } from './secrets.ts'
import { type Captured, capture, type MetricLine } from './telling.ts'

const docs = join(import.meta.dirname, '../../docs/reference')
const uncounted = planOf(trades)
const plan: Plan = { ...uncounted, sources: { trades: { ...uncounted.sources.trades, partitions: 2 } } }
const context = { awsRequestId: 'request-1', getRemainingTimeInMillis: () => 60_000 }
const NOW_MS = 1_705_641_700_000

let output: Captured
beforeEach(() => {
  output = capture()
})
afterEach(() => {
  output.end()
  vi.unstubAllEnvs()
})

/** Handlers on memory stores that tell by Powertools; `change` puts something between them and the stores. */
function functions(change: (ports: Ports) => Partial<Ports> = () => ({}), maxCheckpointBytes = 1e6) {
  const { ports } = world({ plan })
  const all = { ...ports, clock: { ...ports.clock, now: () => NOW_MS }, broker: undefined, ...change(ports) }
  const shared = { logTable: 'logs', staging: 'memory://staging/', partitions: {} }
  const ingest = ingestHandler(
    plan,
    { ...all, telemetry: openTelemetry('ingest', plan.name) },
    { ...shared, partialResponses: false },
  )
  const commit = commitHandler(
    plan,
    { ...all, telemetry: openTelemetry('commit', plan.name) },
    { ...shared, warehouse: 'memory://warehouse/', maxCheckpointBytes },
  )
  return { ingest: (event: unknown) => ingest(event, context), commit: () => commit({}, context) }
}

const namesIn = (line: MetricLine | undefined): string[] => line?._aws.CloudWatchMetrics[0].Metrics.map(({ Name }) => Name) ?? []

/** What one call published, by name; fails when it published more than one line. */
function published(): Record<string, unknown> {
  const { metrics } = output.take()
  expect(metrics.length).toBeLessThanOrEqual(1)
  return Object.fromEntries(namesIn(metrics[0]).map((name) => [name, metrics[0][name]]))
}

const EVENT = eventOf({
  0: { values: [trade('A', 10, 1), trade('A', 200, 1), '{broken'], timestamp: NOW_MS - 4000 },
  1: { values: [trade('B', 100, 1), trade('B', 20, 1)], timestamp: NOW_MS - 9000 },
})

describe('the names of metrics are a contract', () => {
  test('a call of ingest and one of commit publish them all, in our namespace, by pipeline and function', async () => {
    const { ingest, commit } = functions()
    await ingest(EVENT)
    const [staged] = output.take().metrics
    await commit()
    const [committed] = output.take().metrics
    expect(namesIn(staged).sort()).toEqual(Object.keys(INGEST_METRICS).sort())
    expect(namesIn(committed).sort()).toEqual(Object.keys(COMMIT_METRICS).sort())
    for (const [line, name] of [
      [staged, 'ingest'],
      [committed, 'commit'],
    ] as const) {
      const [{ Namespace, Dimensions, Metrics }] = line._aws.CloudWatchMetrics
      expect([Namespace, Dimensions, line.pipeline, line.function]).toEqual([
        'Frazil',
        [['pipeline', 'function']],
        'trades',
        name,
      ])
      for (const { Name, Unit } of Metrics) expect(Unit, Name).toBe(METRICS[Name as keyof typeof METRICS])
      for (const { Name } of Metrics) expect(Number.isSafeInteger(line[Name]), `${Name} is ${line[Name]}`).toBe(true)
    }
  })

  test('the page of metrics has exactly these, with their units, under the function that publishes them', () => {
    const page = readFileSync(join(docs, 'metrics.md'), 'utf8')
    for (const [title, metrics] of Object.entries({ 'Of ingest': INGEST_METRICS, 'Of commit': COMMIT_METRICS })) {
      const [, section] = page.split(`## ${title}\n`)
      const rows = [...section.split('\n## ')[0].matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map(([, name, unit]) => [name, unit])
      expect(Object.fromEntries(rows)).toEqual(metrics)
    }
  })

  test('lines in the page of functions have the fields that are printed', async () => {
    const page = readFileSync(join(docs, 'functions.md'), 'utf8')
    const [staged, stagedMetrics, committed, failed] = [...page.matchAll(/^```json\n(\{.*\})\n```$/gm)].map(([, line]) =>
      JSON.parse(line),
    )
    const { ingest, commit } = functions()
    await ingest(EVENT)
    const first = output.take()
    await commit()
    const second = output.take()
    await expect(ingest({ Records: [] })).rejects.toThrow()
    const third = output.take()
    const fields = (line: object) => Object.keys(line).filter((name) => name !== 'xray_trace_id')
    expect(fields(first.lines[0])).toEqual(fields(staged))
    expect(fields(first.metrics[0])).toEqual(fields(stagedMetrics))
    expect(namesIn(first.metrics[0])).toEqual(namesIn(stagedMetrics))
    expect(fields(second.lines[0])).toEqual(fields(committed))
    expect(fields(third.lines[0])).toEqual(fields(failed))
    expect(third.lines[0].message).toBe(failed.message)
  })
})

describe('what a call publishes', () => {
  test('counts are of records newly staged, lags of the partition furthest behind', async () => {
    const { ingest } = functions()
    await ingest(EVENT)
    const values = published()
    const bytes = Object.values(EVENT.records)
      .flat()
      .reduce((sum, { value }) => sum + Buffer.from(value ?? '', 'base64').length, 0)
    expect(values).toMatchObject({ recordsIn: 5, bytesIn: bytes, deadLetters: 1, lateRecords: 1, missingOffsets: 0 })
    expect(values).toMatchObject({ unstagedPartitions: 0, recordLagMs: 9000, bytesStaged: expect.any(Number) })
    // The furthest event of partition 1 is at 100 s, that of partition 0 at 200 s.
    const { ts } = JSON.parse(trade('B', 100, 1))
    expect(values.eventTimeLagMs).toBe(NOW_MS - ts)
    await ingest(EVENT)
    const again = published()
    expect(again).toMatchObject({ recordsIn: 0, bytesIn: 0, deadLetters: 0 })
    expect(Object.keys(again)).not.toContain('recordLagMs')
  })

  test('a lag is absent where no record has a time to tell it from', async () => {
    const { ingest } = functions()
    await ingest(eventOf({ 0: { values: ['{broken', null] } }))
    expect(Object.keys(published()).filter((name) => name.endsWith('LagMs'))).toEqual([])
  })

  test('offsets that no record had are counted', async () => {
    const { ingest } = functions()
    await ingest(eventOf({ 0: { values: [trade('A', 10, 1)] } }))
    await ingest(eventOf({ 0: { offset: 6, values: [trade('A', 11, 1)] } }))
    expect(output.take().metrics.map(({ missingOffsets }) => missingOffsets)).toEqual([0, 5])
  })

  test('a call of ingest that fails says how many partitions are not staged, and what is', async () => {
    const failing = ({ log }: Ports) => ({
      log: {
        ...log,
        tail: async (key: string) => (key.endsWith('/trades/0') ? Promise.reject(unavailable('throttled')) : log.tail(key)),
      },
    })
    const { ingest } = functions(failing)
    await expect(ingest(EVENT)).rejects.toThrow('throttled')
    expect(published()).toMatchObject({ unstagedPartitions: 1, recordsIn: 2 })
    const { ingest: noneIn } = functions(({ log }) => ({ log: { ...log, tail: () => Promise.reject(unavailable('outage')) } }))
    await expect(noneIn(EVENT)).rejects.toThrow('outage')
    expect(published()).toEqual({ unstagedPartitions: 2 })
    await expect(noneIn({ Records: [] })).rejects.toMatchObject({ kind: 'Usage' })
    expect(published()).toEqual({})
  })

  test('a call of commit with nothing to do counts as a commit, and tells no lag before there is a watermark', async () => {
    const { ingest, commit } = functions()
    await commit()
    const idle = published()
    expect(idle).toMatchObject({ commits: 1, commitsBehind: 0, recordsCommitted: 0, filesCommitted: 0, openStateRows: 0 })
    expect(Object.keys(idle)).not.toContain('watermarkLagMs')
    expect(Object.keys(idle)).not.toContain('tableMetadataBytes')
    await ingest(EVENT)
    output.take()
    const { watermark, bytes } = await commit()
    const values = published()
    expect(values).toMatchObject({ recordsCommitted: 5, bytesCommitted: bytes, watermarkLagMs: NOW_MS - Number(watermark) })
    expect(values).toMatchObject({ commitConflicts: 0, openStateRows: expect.any(Number) })
    expect(values.openStateRows).toBeGreaterThan(0)
    expect(values.openStateBytes).toBeGreaterThan(0)
    await commit()
    expect(published()).toMatchObject({ openStateRows: values.openStateRows, openStateBytes: values.openStateBytes })
  })

  test('table metadata is as large as the greatest of the files that tables were swapped to', async () => {
    const sizes: number[] = []
    const { ingest, commit } = functions(({ objects }) => ({
      objects: {
        ...objects,
        put: async (location: string, parts: readonly Uint8Array[]) => {
          if (location.endsWith('.metadata.json')) sizes.push(parts.reduce((sum, { length }) => sum + length, 0))
          return objects.put(location, parts)
        },
      },
    }))
    await commit()
    sizes.length = 0
    output.take()
    await ingest(EVENT)
    output.take()
    await commit()
    expect(sizes.length).toBeGreaterThan(1)
    expect(published().tableMetadataBytes).toBe(Math.max(...sizes))
  })

  test('a call of commit that fails tells of the rounds before, and does not count as a commit', async () => {
    let failing = false
    let bodies = 0
    const change = ({ objects }: Ports) => ({
      objects: {
        ...objects,
        put: async (location: string, parts: readonly Uint8Array[]) => {
          if (failing && location.includes('/checkpoint') && ++bodies === 3) throw unavailable('outage')
          return objects.put(location, parts)
        },
      },
    })
    const { ingest, commit } = functions(change, 1)
    await commit()
    for (let i = 0; i < 4; i++) await ingest(eventOf({ 0: { offset: i, values: [trade('A', 10 + i, 1)] } }))
    output.take()
    failing = true
    await expect(commit()).rejects.toThrow('outage')
    const values = published()
    expect(values.recordsCommitted).toBe(2)
    expect(Object.keys(values)).not.toContain('commits')
    await commit()
    expect(published()).toMatchObject({ commits: 1, recordsCommitted: 2 })
  })

  test('provision publishes nothing, and prints a line with what became of the tables', async () => {
    const { ports } = world({ plan })
    const config = { logTable: 'logs', staging: 'memory://staging/', partitions: {}, warehouse: 'memory://warehouse/' }
    const telemetry = openTelemetry('provision', plan.name)
    const changes = await provisionHandler(plan, { ...ports, telemetry }, config, async () => {})({}, context)
    const { lines, metrics } = output.take()
    expect([lines.length, metrics.length]).toEqual([1, 0])
    expect(lines[0]).toMatchObject({ message: 'provisioned', function: 'provision', request: 'none' })
    for (const { table } of changes) expect(lines[0].tables).toContain(table)
  })

  test('a swap that another committer wins is a conflict', async () => {
    let lost = 0
    const { ingest, commit } = functions(({ catalog }) => ({
      catalog: {
        ...catalog,
        swap: async (...args: Parameters<typeof catalog.swap>) => (lost > 0 ? lost-- < 0 : catalog.swap(...args)),
      },
    }))
    await commit()
    await ingest(EVENT)
    output.take()
    lost = 2
    await commit()
    expect(published()).toMatchObject({ commits: 1, commitConflicts: 2 })
  })

  test('a checkpoint that another committer appends first is a conflict, and its records are counted once', async () => {
    let race: (() => Promise<unknown>) | undefined
    const stores = functions(({ objects }) => ({
      objects: {
        ...objects,
        put: async (location: string, parts: readonly Uint8Array[]) => {
          const first = race
          race = undefined
          if (location.includes('/checkpoint') && first !== undefined) await first()
          else race = first
          return objects.put(location, parts)
        },
      },
    }))
    await stores.commit()
    await stores.ingest(EVENT)
    output.take()
    race = stores.commit
    await stores.commit()
    const lines = output.take().metrics
    expect(lines.map(({ recordsCommitted }) => recordsCommitted)).toEqual([5, 0])
    expect(lines.map(({ commitConflicts }) => commitConflicts)).toEqual([0, 1])
  })
})

describe('logs and metrics hold no value of a record', () => {
  test('not of good ones, not of poison, not of those of a call that fails, whatever the variables of Powertools say', async () => {
    vi.stubEnv('POWERTOOLS_LOGGER_LOG_EVENT', 'true')
    vi.stubEnv('POWERTOOLS_LOG_LEVEL', 'TRACE')
    const event = secretEvent()
    const { ingest, commit } = functions()
    await ingest(event)
    await commit()
    const outage = functions(({ objects }) => ({ objects: { ...objects, put: () => Promise.reject(new Error('no disk')) } }))
    await expect(outage.ingest(event)).rejects.toThrow()
    for (const misshapen of misshapenEvents())
      await expect(functions().ingest(misshapen)).rejects.toMatchObject({ kind: 'Usage' })
    const { text, lines, metrics } = output.take()
    expect([lines.length, metrics.length]).toEqual([7, 4])
    for (const form of FORMS) expect(text).not.toContain(form)
    // Whoever printed the event would be found out.
    expect(FORMS.filter((form) => JSON.stringify(event).includes(form)).length).toBeGreaterThan(1)
  })

  test('an error of ours has its kind and no stack, anything else is a bug with its stack; causes are told of neither', async () => {
    const telemetry = openTelemetry('ingest', 'trades')
    telemetry.error(unavailable('Cannot reach the log: outage.', { cause: new Error(SECRET) }))
    telemetry.error(new TypeError('no such thing', { cause: new Error(SECRET) }))
    const { text, lines } = output.take()
    expect(lines).toMatchObject([
      { level: 'ERROR', kind: 'Unavailable', message: 'Cannot reach the log: outage.' },
      { level: 'ERROR', kind: 'Bug', message: 'no such thing', stack: expect.stringContaining('metrics.test.ts') },
    ])
    expect(Object.keys(lines[0])).not.toContain('stack')
    expect(text).not.toContain(SECRET)
  })
})
