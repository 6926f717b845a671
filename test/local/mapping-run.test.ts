import fc from 'fast-check'
import { expect, test } from 'vitest'
import { emptyEventBytes, eventStart, type MappedRecord, mapRecords } from '../../lib/local/mapping-event.ts'
import type { MappingFailure } from '../../lib/local/mapping-failure.ts'
import { createGate, createRunner, type InvokeResult } from '../../lib/local/mapping-run.ts'
import { createSchedule } from '../../lib/local/mapping-schedule.ts'

/**
 * The whole mapping without Kafka: random arrivals, rebalances, answers of every kind and a destination that fails at times,
 * on a clock that only waits move. The function's own account of what it has done is compared with what the mapping says.
 */
interface World {
  readonly partitions: number
  readonly recordsPerPartition: number
  readonly batchSize: number
  readonly payloadBytes: number
  readonly windowMs: number
  readonly concurrency: number
  readonly rebalances: boolean
  readonly provisioned:
    | { retryAttempts: number; bisect: boolean; partialResponses: boolean; maxRecordAgeMs: number; destination: boolean }
    | undefined
}

const worlds = (provisioned: fc.Arbitrary<World['provisioned']>, rebalances: boolean): fc.Arbitrary<World> =>
  fc.record({
    partitions: fc.integer({ min: 1, max: 4 }),
    recordsPerPartition: fc.integer({ min: 0, max: 40 }),
    batchSize: fc.integer({ min: 1, max: 25 }),
    payloadBytes: fc.integer({ min: 600, max: 4000 }),
    windowMs: fc.constantFrom(0, 1, 50),
    concurrency: fc.integer({ min: 1, max: 4 }),
    rebalances: fc.constant(rebalances),
    provisioned,
  })

const errorHandling = fc.record({
  retryAttempts: fc.constantFrom(-1, 0, 1, 3),
  bisect: fc.boolean(),
  partialResponses: fc.boolean(),
  maxRecordAgeMs: fc.constantFrom(-1, 60_000),
  destination: fc.constant(true),
})

const TOPIC = 'orders'
/** After so many invocations the function only succeeds. */
const TROUBLED_INVOCATIONS = 60
const LARGE_BYTES = 5000
const START = eventStart({ eventSource: 'aws:kafka', brokers: ['b:1'] })

const name = (partition: number, offset: number) => `${TOPIC}-${partition}@${offset}`

async function simulate(world: World, next: () => number): Promise<void> {
  const { partitions, recordsPerPartition, batchSize, payloadBytes, provisioned } = world
  const dice = (sides: number) => next() % sides
  const chance = (percent: number) => dice(100) < percent
  let nowMs = 1_000_000
  const time = {
    now: () => nowMs,
    wait: async (ms: number) => {
      nowMs += ms
      for (let i = dice(5); i >= 0; i--) await Promise.resolve()
    },
  }

  // What is in the topic: offsets with gaps, old timestamps, tombstones, some records that no payload holds.
  const log = Array.from({ length: partitions }, (_, partition) => {
    let offset = dice(3)
    const messages = Array.from({ length: recordsPerPartition }, () => {
      offset += 1 + (chance(10) ? dice(5) : 0)
      const isLarge = provisioned !== undefined && chance(3)
      const value = chance(10) ? null : Buffer.alloc(isLarge ? LARGE_BYTES : dice(120))
      const timestamp = chance(10) ? '-1' : String(nowMs - dice(90_000))
      return { offset: String(offset), timestamp, key: chance(50) ? Buffer.from('k') : null, value }
    })
    return mapRecords(TOPIC, partition, messages)
  })

  const schedule = createSchedule(
    { batchSize, windowMs: world.windowMs, payloadBytes, emptyBytes: emptyEventBytes(START) },
    { partitionBytes: 3000, totalBytes: 5000 },
  )
  const accounted = new Set<string>()
  const discarded = new Set<string>()
  const delivered = new Set<string>()
  const failedTries = new Map<string, number>()
  const highestDelivered = new Map<number, number>()
  const inFlight = new Set<number>()
  const readTo = log.map(() => 0)
  const committed = log.map(() => 0)
  let assigned = log.map((_, partition) => partition)
  let invocations = 0
  let concurrent = 0
  let mostConcurrent = 0

  const checkProgress = () => {
    for (const [, { partition, offset }] of schedule.progress()) {
      for (const record of log[partition])
        if (record.offset < offset && !accounted.has(name(partition, record.offset)))
          throw new Error(`${name(partition, record.offset)} is acknowledged, but neither done nor at the destination.`)
      if (!world.rebalances) expect(offset).toBeGreaterThanOrEqual(committed[partition])
      committed[partition] = Math.max(committed[partition], offset)
    }
  }

  let broken: unknown

  const invoke = async (json: string): Promise<InvokeResult> => {
    invocations++
    const event: { records: Record<string, { partition: number; offset: number }[]> } = JSON.parse(json)
    const runs = Object.entries(event.records)
    const all = runs.flatMap(([, records]) => records)
    expect(Buffer.byteLength(json)).toBeLessThanOrEqual(payloadBytes)
    expect(all.length).toBeLessThanOrEqual(batchSize)
    for (const [, records] of runs) {
      const { partition } = records[0]
      expect(inFlight.has(partition)).toBe(false)
      inFlight.add(partition)
      for (const { offset } of records) {
        // A record never delivered before must lie beyond all that were: order of first deliveries.
        if (!delivered.has(name(partition, offset)) && offset < (highestDelivered.get(partition) ?? -1))
          throw new Error(`${name(partition, offset)} is handed over after a later one.`)
        delivered.add(name(partition, offset))
        highestDelivered.set(partition, Math.max(offset, highestDelivered.get(partition) ?? -1))
      }
    }
    mostConcurrent = Math.max(mostConcurrent, ++concurrent)
    for (let i = dice(20); i >= 0; i--) await Promise.resolve()
    for (const [, records] of runs) inFlight.delete(records[0].partition)
    concurrent--

    const count = (records: readonly { partition: number; offset: number }[]) => {
      for (const { partition, offset } of records)
        failedTries.set(name(partition, offset), (failedTries.get(name(partition, offset)) ?? 0) + 1)
    }
    const succeed = (records: readonly { partition: number; offset: number }[]) => {
      for (const { partition, offset } of records) accounted.add(name(partition, offset))
    }
    const honours = provisioned?.partialResponses === true
    const kind = invocations > TROUBLED_INVOCATIONS ? 0 : dice(7)
    switch (kind) {
      case 0:
      case 1:
        succeed(all)
        return { payload: ['null', '', '{}', '{"batchItemFailures":[]}'][dice(4)] }
      case 2:
        count(all)
        return { functionError: 'Unhandled', payload: '{"errorMessage":"x"}' }
      case 3:
        throw new Error('throttled')
      case 4: {
        if (honours) count(all)
        else succeed(all)
        return { payload: ['"OK"', 'oops', '{"batchItemFailures":[{"itemIdentifier":{"partition":"z-1","offset":1}}]}'][dice(3)] }
      }
      default: {
        const batchItemFailures: unknown[] = []
        for (const [partition, records] of runs) {
          const from = chance(60) ? dice(records.length) : records.length
          if (honours) count(records.slice(from))
          succeed(honours ? records.slice(0, from) : records)
          if (from < records.length) batchItemFailures.push({ itemIdentifier: { partition, offset: records[from].offset } })
        }
        return { payload: JSON.stringify({ batchItemFailures }) }
      }
    }
  }

  const onFailure = async ({ payload, requestContext }: MappingFailure): Promise<void> => {
    await Promise.resolve()
    if (chance(20)) throw new Error('destination down')
    const event: { records: Record<string, { partition: number; offset: number }[]> } = JSON.parse(payload)
    for (const { partition, offset } of Object.values(event.records).flat()) {
      accounted.add(name(partition, offset))
      discarded.add(name(partition, offset))
      const tries = failedTries.get(name(partition, offset)) ?? 0
      const { retryAttempts = -1 } = provisioned ?? {}
      const fewest = (retryAttempts === -1 ? 10 : retryAttempts) + 1
      // Thrown here, it would count as the destination's own failure.
      if (requestContext.condition === 'RetryAttemptsExhausted' && tries < fewest)
        broken ??= new Error(`${name(partition, offset)} was given up after ${tries} tries, expected ${fewest} or more.`)
    }
  }

  const ending = new AbortController()
  const gate = createGate(world.concurrency)
  const tasks = new Set<Promise<void>>()
  const run = createRunner({
    eventSource: 'aws:kafka',
    brokers: ['b:1'],
    functionName: 'f',
    ...(provisioned === undefined ? {} : { provisioned: { ...provisioned, ...(provisioned.destination ? { onFailure } : {}) } }),
    // The runner takes a rejection for a throttled call: what the checks throw is kept apart.
    invoke: (json) =>
      invoke(json).catch((error: Error) => {
        if (error.message !== 'throttled') broken ??= error
        throw error
      }),
    schedule,
    start: START,
    time,
    gate,
    signal: ending.signal,
    onProgress: checkProgress,
  })
  const pump = () => {
    while (gate.isOpen()) {
      const verdict = schedule.next(nowMs)
      if (verdict.kind === 'none') return
      if (verdict.kind === 'wait') {
        nowMs = verdict.untilMs
        continue
      }
      const task = run(verdict)
        .catch((error: unknown) => (broken ??= error))
        .finally(() => tasks.delete(task)) as Promise<void>
      tasks.add(task)
    }
  }

  const read = (partition: number) => {
    if (schedule.full().some((one) => one.partition === partition)) return
    const from = readTo[partition]
    const some = log[partition].slice(from, from + 1 + dice(12))
    if (some.length === 0) return
    readTo[partition] = from + some.length
    const last = some[some.length - 1].offset
    expect(schedule.arrived({ topic: TOPIC, partition }, some, last + 1, nowMs)).toBe('taken')
  }
  const assign = (list: readonly number[]) => {
    assigned = [...list]
    schedule.assign(assigned.map((partition) => ({ topic: TOPIC, partition })))
    // The consumer starts again where the group has committed.
    for (const partition of assigned)
      readTo[partition] = log[partition].filter(({ offset }) => offset < committed[partition]).length
  }

  schedule.assign(assigned.map((partition) => ({ topic: TOPIC, partition })))
  const everything = log.flat().length
  const isDone = () => log.every((records, partition) => readTo[partition] === records.length) && tasks.size === 0
  for (let step = 0; broken === undefined && (accounted.size < everything || !isDone()); step++) {
    if (step > 50_000) broken = new Error('It does not end.')
    if (world.rebalances && step < 300 && chance(5)) assign(log.map((_, partition) => partition).filter(() => chance(60)))
    else if (world.rebalances && (step === 300 || (step < 300 && chance(10)))) assign(log.map((_, partition) => partition))
    for (const partition of assigned) if (chance(50)) read(partition)
    pump()
    checkProgress()
    for (let i = dice(4); i >= 0; i--) await Promise.resolve()
  }
  // Batches that are still retried would go on for ever.
  ending.abort()
  await Promise.all(tasks)
  if (broken !== undefined) throw broken
  checkProgress()
  for (const [partition, records] of log.entries()) {
    for (const { offset } of records) expect(accounted.has(name(partition, offset))).toBe(true)
    if (records.length > 0 && !world.rebalances)
      expect(schedule.progress().get(`${TOPIC}-${partition}`)?.offset).toBe((records.at(-1) as MappedRecord).offset + 1)
  }
  if (provisioned === undefined) expect(discarded.size).toBe(0)
  expect(mostConcurrent).toBeLessThanOrEqual(world.concurrency)
}

const dice = fc.infiniteStream(fc.nat({ max: 1_000_000 }))
const check = (world: fc.Arbitrary<World>, runs: number) =>
  fc.assert(
    fc.asyncProperty(world, dice, (one, stream) => simulate(one, () => stream.next().value as number)),
    { numRuns: runs },
  )

test('on demand, every record is handed over in order until the function has taken it, and nothing is acknowledged before', () =>
  check(worlds(fc.constant(undefined), false), 100))

test('provisioned, every record is taken or sent to the destination, in order and within the retries, whatever the function answers', () =>
  check(worlds(errorHandling, false), 150))

test('through rebalances nothing is lost and nothing is acknowledged that is not done', () =>
  check(worlds(fc.option(errorHandling, { nil: undefined }), true), 150))
