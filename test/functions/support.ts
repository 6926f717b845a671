import { expect } from 'vitest'
import { lambdaEvents } from '../../bench/lambda-events.ts'
import { generateTrades } from '../../bench/trades.ts'
import { parseKafkaEvent } from '../../lib/columns/event.ts'
import { planOf } from '../../lib/index.ts'
import { commit } from '../../lib/runtime/commit.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import trades from '../../pipelines/trades.ts'
import type { Deployment } from '../lambda/deployment.ts'
import type { Invocation, LambdaFunction } from '../lambda/host.ts'
import { world } from '../runtime/world.ts'

/** Partitions of the topic. */
export const PARTITIONS = 4
const TABLES = ['raw_trades', 'agg_1m', 'agg_1m_late', 'dead_letters']

/** Events of all partitions, as JSON: ten minutes of trades, some of them late, some that nobody can read. */
export function eventsOf(count: number, options: { batchRecords?: number; duplicateShare?: number } = {}): string[] {
  const lines = generateTrades({ count, spanMs: 600_000, lateShare: 0.01, poisonShare: 0.01 })
  return [...lambdaEvents(lines, { partitions: PARTITIONS, batchRecords: 400, timestamps: true, ...options })]
}

export const recordsIn = (event: string): number => parseKafkaEvent(JSON.parse(event)).reduce((sum, { count }) => sum + count, 0)

/** What the pipeline makes of the events, on memory stores in this process. */
async function expectedRows(events: readonly string[]): Promise<Record<string, string[]>> {
  const { runtime, rows } = world({ plan: planOf(trades) })
  await provision(runtime, { trades: Array.from({ length: PARTITIONS }, (_, p) => p) })
  for (const event of events) await ingest(runtime, parseKafkaEvent(JSON.parse(event)))
  while ((await commit(runtime)).more);
  return Object.fromEntries(await Promise.all(TABLES.map(async (table) => [table, sorted(await rows(table))])))
}

const sorted = (rows: readonly Record<string, unknown>[]): string[] =>
  rows.map((row) => JSON.stringify(row, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))).sort()

/** The tables hold what the pipeline makes of these events, row by row, and nothing else. */
export async function expectExactly(deployment: Deployment, events: readonly string[]): Promise<void> {
  const expected = await expectedRows(events)
  for (const table of TABLES) expect(sorted(await deployment.rows(table)), table).toEqual(expected[table])
  expect(expected.raw_trades.length).toBeGreaterThan(0)
}

/** What a call returned; fails when it failed. */
export function succeeded({ functionError, payload }: Pick<Invocation, 'functionError' | 'payload'>): unknown {
  expect(functionError, payload).toBeUndefined()
  return JSON.parse(payload)
}

/** The error of a call; fails when it returned. */
export function failed({ functionError, payload }: Invocation): { errorType: string; errorMessage: string } {
  expect(functionError, payload).toBe('Unhandled')
  return JSON.parse(payload)
}

/** As an event source mapping without partial responses: the same event until it succeeds. */
export async function deliver(ingest: LambdaFunction, event: string): Promise<void> {
  const MAX_CALLS = 5
  for (let calls = 1; (await ingest.invoke(event)).functionError !== undefined; calls++)
    if (calls === MAX_CALLS) throw new Error(`an event failed ${MAX_CALLS} times`)
}

/** Lines that a function printed with this message. */
export const printed = (of: LambdaFunction, message: string): Record<string, number>[] =>
  of.log.map((line) => JSON.parse(line)).filter((line) => line.message === message)
