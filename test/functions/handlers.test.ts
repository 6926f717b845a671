import { beforeEach, describe, expect, test } from 'vitest'
import { commitHandler } from '../../functions/commit-handler.ts'
import { type CommitConfig, commitConfig, ingestConfig, planForFunctions } from '../../functions/config.ts'
import { ingestHandler } from '../../functions/ingest-handler.ts'
import { type Context, openTelemetry } from '../../functions/telemetry.ts'
import { unavailable } from '../../lib/errors.ts'
import { planOf } from '../../lib/index.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { lastCheckpoint } from '../../lib/runtime/checkpoints.ts'
import type { Ports } from '../../lib/runtime/runtime.ts'
import trades from '../../pipelines/trades.ts'
import { trade, world } from '../runtime/world.ts'
import { type Captured, capture, silent } from './telling.ts'

const uncounted = planOf(trades)
const plan: Plan = { ...uncounted, sources: { trades: { ...uncounted.sources.trades, partitions: 2 } } }

const STAGING = 'memory://staging/'
const CONFIG: CommitConfig = {
  logTable: 'logs',
  staging: STAGING,
  partitions: {},
  warehouse: 'memory://warehouse/',
  maxCheckpointBytes: 1e6,
}
const context = (remainingMs = 60_000): Context => ({ awsRequestId: 'request-1', getRemainingTimeInMillis: () => remainingMs })

/** An event as Lambda delivers it: values by partition from an offset on, null for a tombstone. */
function eventOf(partitions: Record<number, { offset: number; values: (string | null)[]; timestamp?: number }>) {
  const records = Object.entries(partitions).map(([p, { offset, values, timestamp = 1000 }]) => [
    `trades-${p}`,
    values.map((value, i) => ({
      topic: 'trades',
      partition: Number(p),
      offset: offset + i,
      timestamp,
      timestampType: 'CREATE_TIME',
      value: value === null ? null : Buffer.from(value).toString('base64'),
      headers: [],
    })),
  ])
  return { eventSource: 'aws:kafka', records: Object.fromEntries(records) }
}

let output: Captured
beforeEach(() => {
  output = capture()
  return output.end
})

/** Handlers on memory stores; `change` puts something between them and the stores. */
function functions(
  options: { change?: (ports: Ports) => Partial<Ports>; partialResponses?: boolean; commit?: Partial<CommitConfig> } = {},
) {
  const w = world({ plan })
  const ports = { ...w.ports, ...options.change?.(w.ports) }
  const { partialResponses = false } = options
  return {
    ...w,
    ingest: ingestHandler(
      plan,
      { ...ports, telemetry: openTelemetry('ingest', plan.name) },
      { logTable: 'logs', staging: STAGING, partitions: {}, partialResponses },
    ),
    commit: commitHandler(
      plan,
      { ...ports, broker: undefined, telemetry: openTelemetry('commit', plan.name) },
      { ...CONFIG, ...options.commit },
    ),
    /** What was printed since the last look. */
    log: () => output.take().lines,
    /** What was published since the last look at it or at the log. */
    metrics: () => output.take().metrics,
  }
}

/** A store whose calls about one partition's log fail. */
const failing = (partition: number) => (ports: Ports) => ({
  log: {
    ...ports.log,
    tail: async (key: string) => {
      if (key.endsWith(`/trades/${partition}`)) throw unavailable('Cannot read log: throttled.')
      return ports.log.tail(key)
    },
  },
})

const HEALTHY = { offset: 0, values: [trade('B', 10, 1), trade('B', 11, 2)] }
const BOTH = eventOf({ 0: { offset: 5, values: [trade('A', 10, 1), '{broken'] }, 1: HEALTHY })

describe('ingest', () => {
  test('stages an event, answers nothing, and prints one line of counts', async () => {
    const { ingest, log } = functions()
    expect(await ingest(BOTH, context())).toBeUndefined()
    const [line, ...more] = log()
    expect(more).toEqual([])
    expect(line).toMatchObject({ level: 'INFO', message: 'staged', function_request_id: 'request-1', partitions: 2 })
    expect(line).toMatchObject({ recordsIn: 4, deadLetters: 1, lateRecords: 0, missingOffsets: 0, unstagedPartitions: 0, ms: 0 })
    expect(line.bytesStaged).toBeGreaterThan(0)
    expect(await ingest(BOTH, context())).toBeUndefined()
    expect(log()).toMatchObject([{ recordsIn: 0, deadLetters: 0, bytesStaged: 0 }])
  })

  test('without partial responses an event of which anything is not staged fails, and is logged once', async () => {
    const { ingest, log } = functions({ change: failing(0) })
    await expect(ingest(BOTH, context())).rejects.toThrow('throttled')
    expect(log()).toEqual([
      {
        level: 'ERROR',
        message: 'Cannot read log: throttled.',
        timestamp: expect.any(String),
        service: 'frazil',
        cold_start: false,
        function_request_id: 'request-1',
        sampling_rate: 0,
        pipeline: 'trades',
        function: 'ingest',
        kind: 'Unavailable',
      },
    ])
  })

  test('with partial responses it tells from where on which partition comes again, and stages the others', async () => {
    const { ingest, log, commit, rows } = functions({ change: failing(0), partialResponses: true })
    expect(await ingest(BOTH, context())).toEqual({
      batchItemFailures: [{ itemIdentifier: { partition: 'trades-0', offset: 5 } }],
    })
    expect(log()).toMatchObject([
      { level: 'ERROR', kind: 'Unavailable', partition: 'trades-0', fromOffset: 5 },
      { level: 'INFO', message: 'staged', recordsIn: 2, partitions: 1, unstagedPartitions: 1 },
    ])
    // Commit reads the logs, not their tails.
    await commit({}, context())
    expect((await rows('raw_trades')).map((row) => row.symbol)).toEqual(['B', 'B'])
  })

  test('with partial responses a partition of a topic created again is told, and the others are staged', async () => {
    const { ingest, log } = functions({ partialResponses: true })
    await ingest(BOTH, context())
    const again = eventOf({
      0: { offset: 5, values: [trade('A', 10, 1)], timestamp: 9000 },
      1: { offset: 2, values: [trade('B', 12, 1)] },
    })
    log()
    expect(await ingest(again, context())).toEqual({
      batchItemFailures: [{ itemIdentifier: { partition: 'trades-0', offset: 5 } }],
    })
    expect(log()).toMatchObject([{ level: 'ERROR', kind: 'Refused' }, { recordsIn: 1 }])
  })

  test('with partial responses an event of which nothing is staged fails', async () => {
    const { ingest } = functions({ change: failing(1), partialResponses: true })
    await expect(ingest(eventOf({ 1: HEALTHY }), context())).rejects.toThrow('throttled')
  })

  test.each([
    ['is no Kafka event', { Records: [] }, 'Usage'],
    [
      'is of another topic',
      { eventSource: 'aws:kafka', records: { 'ads-0': [{ topic: 'ads', partition: 0, offset: 1, value: 'e30=' }] } },
      'Refused',
    ],
  ])('an event that %s fails, also with partial responses', async (_, event, kind) => {
    const { ingest, log } = functions({ partialResponses: true })
    await expect(ingest(event, context())).rejects.toMatchObject({ kind })
    expect(log()).toMatchObject([{ level: 'ERROR', kind }])
  })

  test('what we did not foresee is logged as a bug, with its stack', async () => {
    const { ingest, log } = functions({
      change: () => ({
        random: {
          uuid() {
            throw new TypeError('uuid is broken')
          },
        },
      }),
    })
    await expect(ingest(BOTH, context())).rejects.toThrow(TypeError)
    expect(log()).toMatchObject([
      { level: 'ERROR', kind: 'Bug', message: 'uuid is broken', stack: expect.stringContaining('handlers.test.ts') },
    ])
  })

  test('after a failure to name the incarnation the next call tries again', async () => {
    let outage = true
    const { ingest } = functions({
      change: ({ log }) => ({
        log: {
          ...log,
          tail: async (key: string) => {
            if (outage) throw unavailable('Cannot read log: outage.')
            return log.tail(key)
          },
        },
      }),
    })
    await expect(ingest(BOTH, context())).rejects.toThrow('outage')
    outage = false
    expect(await ingest(BOTH, context())).toBeUndefined()
  })

  test('all partitions that the definition counts are open before the first record is staged', async () => {
    const { ingest, runtime, ports } = functions()
    await ingest(eventOf({ 1: HEALTHY }), context())
    const incarnation = (await ports.log.tail('incarnation/trades'))?.value
    const last = await lastCheckpoint({ ...runtime, incarnation: incarnation ?? '' })
    expect(Object.keys(last?.sources.trades ?? {})).toEqual(['0', '1'])
  })
})

describe('commit', () => {
  test('makes the tables, commits what is staged, and returns and prints a summary', async () => {
    const { ingest, commit, rows, log } = functions()
    expect(await commit({}, context())).toMatchObject({ rounds: 1, entries: 0, more: false })
    expect(await rows('raw_trades')).toEqual([])
    await ingest(BOTH, context())
    log()
    const summary = await commit({}, context())
    expect(summary).toMatchObject({ rounds: 1, checkpoint: 2, entries: 2, records: 4, files: 2, more: false })
    expect(log()).toMatchObject([
      {
        level: 'INFO',
        message: 'committed',
        function: 'commit',
        rounds: 1,
        checkpoint: 2,
        entries: 2,
        recordsCommitted: 4,
        ms: 0,
      },
    ])
    expect((await rows('raw_trades')).length).toBe(3)
    expect(await commit({}, context())).toMatchObject({ checkpoint: 2, entries: 0, records: 0, files: 0, bytes: 0 })
  })

  test('goes on round by round while more is staged than a checkpoint takes', async () => {
    const { ingest, commit, rows } = functions({ commit: { maxCheckpointBytes: 1 } })
    for (let i = 0; i < 4; i++) await ingest(eventOf({ 0: { offset: i, values: [trade('A', 10 + i, 1)] } }), context())
    expect(await commit({}, context())).toMatchObject({ rounds: 4, checkpoint: 5, entries: 4, records: 4, more: false })
    expect((await rows('raw_trades')).length).toBe(4)
  })

  test('leaves the rest when time is short, and the next call goes on', async () => {
    const { ingest, commit } = functions({ commit: { maxCheckpointBytes: 1 } })
    for (let i = 0; i < 2; i++) await ingest(eventOf({ 0: { offset: i, values: [trade('A', 10 + i, 1)] } }), context())
    expect(await commit({}, context(4000))).toMatchObject({ rounds: 1, entries: 1, more: true })
    expect(await commit({}, context(4000))).toMatchObject({ rounds: 1, entries: 1, more: false })
  })

  test('begins no round unless twice the longest one and a margin of five seconds are left', async () => {
    let nowMs = 0
    const roundMs = 10_000
    const { ingest, commit } = functions({
      commit: { maxCheckpointBytes: 1 },
      change: ({ objects, clock }) => ({
        clock: { ...clock, now: () => nowMs },
        // A round writes one checkpoint body.
        objects: {
          ...objects,
          put: async (location: string, parts: readonly Uint8Array[]) => {
            if (location.includes('/checkpoint')) nowMs += roundMs
            return objects.put(location, parts)
          },
        },
      }),
    })
    for (let i = 0; i < 9; i++) await ingest(eventOf({ 0: { offset: i, values: [trade('A', 10 + i, 1)] } }), context())
    const deadlineMs = 60_000
    const summary = await commit({}, { awsRequestId: 'r', getRemainingTimeInMillis: () => deadlineMs - nowMs })
    // After four rounds 20 s are left; 25 would be needed.
    expect(summary).toMatchObject({ rounds: 4, more: true })
  })

  test('a failure is thrown and logged once', async () => {
    const { commit, log } = functions({
      change: ({ catalog }) => ({
        catalog: { ...catalog, load: () => Promise.reject(unavailable('Cannot read Glue: outage.')) },
      }),
    })
    await expect(commit({}, context())).rejects.toThrow('outage')
    expect(log()).toMatchObject([{ level: 'ERROR', kind: 'Unavailable' }])
  })
})

describe('at their start', () => {
  const INGEST = { FRAZIL_LOG_TABLE: 'logs', FRAZIL_STAGING: 's3://lake/staging/' }
  const COMMIT = { ...INGEST, FRAZIL_WAREHOUSE: 's3://lake/' }

  test('functions take their configuration from the environment, and nothing that is not theirs', () => {
    const foreign = { AWS_REGION: 'us-east-1', PATH: '/bin' }
    expect(ingestConfig({ ...INGEST, ...foreign })).toEqual({
      logTable: 'logs',
      staging: 's3://lake/staging/',
      partitions: {},
      partialResponses: false,
    })
    expect(ingestConfig({ ...INGEST, FRAZIL_PARTIAL_RESPONSES: '1' }).partialResponses).toBe(true)
    expect(commitConfig(COMMIT)).toMatchObject({ warehouse: 's3://lake/', maxCheckpointBytes: 32 * 1024 * 1024 })
    expect(commitConfig({ ...COMMIT, FRAZIL_MAX_CHECKPOINT_BYTES: '1000' }).maxCheckpointBytes).toBe(1000)
  })

  test.each([
    ['no table', { FRAZIL_LOG_TABLE: undefined }, /expected variable FRAZIL_LOG_TABLE, found none/],
    ['an empty table', { FRAZIL_LOG_TABLE: '' }, /expected variable FRAZIL_LOG_TABLE, found none/],
    [
      'no location',
      { FRAZIL_STAGING: 'lake/staging/' },
      /FRAZIL_STAGING to be a location such as s3:\/\/bucket\/prefix\/, found 'lake\/staging\/'/,
    ],
    [
      'a location without a slash',
      { FRAZIL_WAREHOUSE: 's3://lake/tables' },
      /FRAZIL_WAREHOUSE to be a location that ends in a slash/,
    ],
    [
      'no number',
      { FRAZIL_MAX_CHECKPOINT_BYTES: '64MB' },
      /FRAZIL_MAX_CHECKPOINT_BYTES to be a whole number of bytes, 1 or more, found '64MB'/,
    ],
    ['nothing at all', { FRAZIL_MAX_CHECKPOINT_BYTES: '0' }, /found '0'/],
    [
      'a misspelt name',
      { FRAZIL_STAGNIG: 's3://lake/' },
      /expected of Frazil's variables only FRAZIL_LOG_TABLE, .* found FRAZIL_STAGNIG/,
    ],
    ['what is for ingest', { FRAZIL_PARTIAL_RESPONSES: '1' }, /found FRAZIL_PARTIAL_RESPONSES/],
  ])('commit refuses %s in one line that names the variable', (_, change, message) => {
    const start = () => commitConfig({ ...COMMIT, ...change })
    expect(start).toThrow(message)
    expect(start).toThrow(/^Cannot start commit: [^\n]*$/)
  })

  test('ingest refuses a partial response that is neither on nor off', () => {
    expect(() => ingestConfig({ ...INGEST, FRAZIL_PARTIAL_RESPONSES: 'true' })).toThrow(
      /to be 1, or no such variable, found 'true'/,
    )
  })

  test('a definition that does not say how many partitions there are is refused', () => {
    const { ports } = world()
    const all = { ...ports, telemetry: silent }
    const config = { logTable: 'logs', staging: STAGING, partitions: {}, partialResponses: false }
    const message = /expected topic trades to say how many partitions it has, found nothing. Write partitions: N/
    expect(() => ingestHandler(uncounted, all, config)).toThrow(message)
    expect(() => commitHandler(uncounted, all, CONFIG)).toThrow(message)
    expect(() => commitHandler(uncounted, all, { ...CONFIG, partitions: { orders: 2 } })).toThrow(/to name trades, found orders/)
    expect(planForFunctions(uncounted, { partitions: { trades: 8 } }).sources.trades.partitions).toBe(8)
    expect(planForFunctions(plan, { partitions: { trades: 8 } }).sources.trades.partitions).toBe(8)
    expect(ingestConfig({ ...INGEST, FRAZIL_PARTITIONS: 'trades=4, my.orders=12' }).partitions).toEqual({
      trades: 4,
      'my.orders': 12,
    })
  })

  test.each(['trades', 'trades=0', 'trades=4,trades=5', 'trades=4;orders=2', '', 'trades=-1', 'trades=99999'])(
    'partitions that are not %s are refused',
    (text) => {
      expect(() => ingestConfig({ ...INGEST, FRAZIL_PARTITIONS: text })).toThrow(
        /FRAZIL_PARTITIONS to be topics and their numbers/,
      )
    },
  )
})
