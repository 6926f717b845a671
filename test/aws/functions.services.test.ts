import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { lambdaEvents } from '../../bench/lambda-events.ts'
import { generateTrades } from '../../bench/trades.ts'
import { type Bundles, bundle } from '../../functions/bundle.ts'
import { parseKafkaEvent } from '../../lib/columns/event.ts'
import { planOf } from '../../lib/index.ts'
import { commit as commitHere } from '../../lib/runtime/commit.ts'
import { ingest as ingestHere } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import trades from '../../pipelines/trades.ts'
import { type Deployment, deploy } from '../lambda/deployment.ts'
import type { Invocation, LambdaFunction } from '../lambda/host.ts'
import { world } from '../runtime/world.ts'
import { ministack } from './services.ts'

const TABLES = ['raw_trades', 'agg_1m', 'agg_1m_late', 'dead_letters']
const PARTITIONS = 4

const dir = mkdtempSync(join(tmpdir(), 'frazil-functions-'))
let bundles: Bundles
let deployment: Deployment
beforeAll(async () => {
  bundles = await bundle({ pipeline: join(import.meta.dirname, '../functions/trades.ts'), outDir: dir })
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))
beforeEach(async () => {
  deployment = await deploy({ ingest: bundles.ingest.file, commit: bundles.commit.file }, ministack())
  return () => deployment.close()
})

/** Events of all partitions; a poison record and a late one here and there. */
function eventsOf(count: number, options: { batchRecords?: number; duplicateShare?: number; seed?: number } = {}): string[] {
  const lines = generateTrades({ count, spanMs: 600_000, lateShare: 0.01, poisonShare: 0.01, seed: options.seed })
  return [...lambdaEvents(lines, { partitions: PARTITIONS, batchRecords: 400, timestamps: true, ...options })]
}

/** What the pipeline makes of the events, computed in this process on memory stores. */
async function expectedRows(events: readonly string[]): Promise<Record<string, string[]>> {
  const { runtime, rows } = world({ plan: planOf(trades) })
  await provision(runtime, { trades: Array.from({ length: PARTITIONS }, (_, p) => p) })
  for (const event of events) await ingestHere(runtime, parseKafkaEvent(JSON.parse(event)))
  while ((await commitHere(runtime)).more);
  return Object.fromEntries(await Promise.all(TABLES.map(async (table) => [table, sorted(await rows(table))])))
}

/** A window that closes is the same whenever it does; which late rows know which watermark is not, so that column stays out. */
const sorted = (rows: readonly Record<string, unknown>[]): string[] =>
  rows.map((row) => JSON.stringify(row, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))).sort()

async function expectExactly(events: readonly string[]): Promise<void> {
  const expected = await expectedRows(events)
  for (const table of TABLES) expect(sorted(await deployment.rows(table)), table).toEqual(expected[table])
  expect(expected.raw_trades.length).toBeGreaterThan(0)
}

function succeeded(invocation: Invocation): unknown {
  expect(invocation.functionError, invocation.payload).toBeUndefined()
  return JSON.parse(invocation.payload)
}

/** As an event source mapping without partial responses: the same event until it succeeds. Returns how often it was called. */
async function deliver(ingest: LambdaFunction, event: string): Promise<number> {
  for (let calls = 1; ; calls++) {
    const { functionError } = await ingest.invoke(event)
    if (functionError === undefined) return calls
    if (calls === 5) throw new Error(`an event failed ${calls} times`)
  }
}

describe('bundled functions on S3, DynamoDB and Glue', () => {
  test('what they ingest and commit is what the pipeline makes of the events, redeliveries and all', async () => {
    const events = eventsOf(4000, { duplicateShare: 0.3 })
    const [ingest, commit] = [deployment.start('ingest'), deployment.start('commit')]
    for (const [i, event] of events.entries()) {
      expect(succeeded(await ingest.invoke(event))).toBeNull()
      if (i % 5 === 0) succeeded(await commit.invoke('{}'))
    }
    const summary = succeeded(await commit.invoke('{}')) as Record<string, number>
    expect(summary).toMatchObject({ rounds: 1, more: false })
    await expectExactly(events)
    expect(succeeded(await commit.invoke('{}'))).toMatchObject({ entries: 0, records: 0, checkpoint: summary.checkpoint })
    const told = ingest.log.map((line) => JSON.parse(line)).filter(({ message }) => message === 'staged')
    expect(told.reduce((sum, { records }) => sum + records, 0)).toBe(4000)
  })

  test('a call of ingest needs one PUT and one floor read, and a tail read and a put a partition', async () => {
    const [first, second] = eventsOf(4000, { batchRecords: 2000 })
    const ingest = deployment.start('ingest')
    succeeded(await ingest.invoke(first))
    deployment.gateway.reset()
    succeeded(await ingest.invoke(second))
    const n = Object.keys(JSON.parse(second).records).length
    const counts = Object.fromEntries(
      Object.entries(Object.groupBy(deployment.gateway.calls, (call) => call)).map(([call, of]) => [call, of?.length]),
    )
    expect(counts).toEqual({ 'S3.PUT': 1, 'DynamoDB.Query': n, 'DynamoDB.PutItem': n, 'DynamoDB.BatchGetItem': 1 })
  })

  test('a handler killed at any of its calls, before or after it took effect, loses and doubles nothing', async () => {
    const events = eventsOf(6000, { batchRecords: 300 })
    const { gateway } = deployment
    const ingest = deployment.start('ingest')
    let next = 0
    let kills = 0
    for (const at of ['before', 'after'] as const)
      for (let n = 1; ; n++) {
        const event = events[next++]
        gateway.reset()
        const call = await ingest.begin(event)
        gateway.onPassing = (passing) => {
          if (passing.n === n && passing.at === at) call.kill()
        }
        const { functionError } = await call.answer
        gateway.reset()
        if (functionError === undefined) break
        kills++
        await deliver(ingest, event)
      }
    await deployment.start('commit').invoke('{}')
    await expectExactly(events.slice(0, next))
    // Incarnation, tails, segment, puts, floors, twice.
    expect(kills).toBeGreaterThan(10)
  })

  test('a commit killed at its calls leaves nothing that the next one does not finish', async () => {
    const events = eventsOf(6000, { batchRecords: 300 })
    const { gateway } = deployment
    const [ingest, commit] = [deployment.start('ingest'), deployment.start('commit')]
    let next = 0
    let kills = 0
    for (let n = 1; ; n += 4) {
      await deliver(ingest, events[next++])
      gateway.reset()
      const call = await commit.begin('{}')
      gateway.onPassing = (passing) => {
        if (passing.n === n && passing.at === (n % 8 === 1 ? 'before' : 'after')) call.kill()
      }
      const { functionError } = await call.answer
      gateway.reset()
      if (functionError === undefined) break
      kills++
    }
    succeeded(await commit.invoke('{}'))
    await expectExactly(events.slice(0, next))
    expect(kills).toBeGreaterThan(5)
  })

  test.each(['before', 'after'] as const)(
    'a handler frozen right %s its append took effect finds its records in when it wakes',
    async (at) => {
      const events = eventsOf(3000, { batchRecords: 600 })
      const { gateway } = deployment
      const [ingest, commit] = [deployment.start('ingest'), deployment.start('commit')]
      await deliver(ingest, events[0])
      const sleeper = deployment.start('ingest')
      gateway.reset()
      const call = await sleeper.begin(events[1])
      const { promise: woken, resolve: wake } = Promise.withResolvers<void>()
      await new Promise<void>((reached) => {
        gateway.onPassing = (passing) => {
          if (passing.call !== 'DynamoDB.PutItem' || passing.at !== at) return
          call.freeze()
          reached()
          return woken
        }
      })
      // The puts of all partitions stand still; others pass.
      gateway.onPassing = () => {}
      for (const event of events.slice(1)) await deliver(ingest, event)
      succeeded(await commit.invoke('{}'))
      call.wake()
      wake()
      expect(succeeded(await call.answer)).toBeNull()
      succeeded(await commit.invoke('{}'))
      await expectExactly(events)
      const told = sleeper.log.map((line) => JSON.parse(line)).find(({ message }) => message === 'staged')
      if (at === 'before')
        expect(told.records).toBeLessThan(parseKafkaEvent(JSON.parse(events[1])).reduce((sum, { count }) => sum + count, 0))
    },
  )

  test('of two commits at once one appends the checkpoint, the other finds the work done', async () => {
    const events = eventsOf(2000)
    const { gateway } = deployment
    const [ingest, commit] = [deployment.start('ingest'), deployment.start('commit')]
    succeeded(await commit.invoke('{}'))
    for (const event of events) await deliver(ingest, event)
    gateway.reset()
    const slow = await deployment.start('commit').begin('{}')
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    await new Promise<void>((reached) => {
      gateway.onPassing = ({ call, at }) => {
        if (call !== 'DynamoDB.PutItem' || at !== 'before') return
        reached()
        return released
      }
    })
    gateway.onPassing = () => {}
    expect(succeeded(await commit.invoke('{}'))).toMatchObject({ records: 2000, checkpoint: 2 })
    release()
    expect(succeeded(await slow.answer)).toMatchObject({ records: 0, checkpoint: 2, rounds: 2 })
    await expectExactly(events)
  })
})
