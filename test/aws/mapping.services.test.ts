import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay, setImmediate as tick } from 'node:timers/promises'
import type { Message } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseKafkaEvent } from '../../lib/columns/event.ts'
import { type MappingOptions, startMapping } from '../../lib/local/event-source-mapping.ts'
import { type Connection, connectKafka } from '../../lib/local/kafka.ts'
import { PAYLOAD_LIMIT_BYTES } from '../../lib/local/mapping-event.ts'
import type { MappingFailure } from '../../lib/local/mapping-failure.ts'
import type { InvocationReport, InvokeResult, MappingTime } from '../../lib/local/mapping-run.ts'
import { kafkaBrokers, uniqueName } from './services.ts'

const brokers = kafkaBrokers()
const RETURNED = { payload: 'null' }
const FAILED = { functionError: 'Unhandled', payload: '{"errorMessage":"no"}' }

interface EventRecord {
  readonly partition: number
  readonly offset: number
  readonly value: string | null
}
const recordsOf = (eventJson: string): EventRecord[] => {
  const event: { records: Record<string, EventRecord[]> } = JSON.parse(eventJson)
  return Object.values(event.records).flat()
}
const nameOf = ({ partition, offset }: { partition: number; offset: number }) => `${partition}@${offset}`

const REAL_TIME: MappingTime = { now: () => Date.now(), wait: (ms, signal) => delay(ms, undefined, { signal }) }

/** Waits take no time; the clock moves on by what they should have taken. */
function hurriedTime(): MappingTime {
  let skippedMs = 0
  return {
    now: () => Date.now() + skippedMs,
    async wait(ms, signal) {
      await tick(undefined, { signal })
      skippedMs += ms
    },
  }
}

let connection: Connection
beforeAll(async () => {
  connection = await connectKafka(brokers)
})
afterAll(() => connection?.close())

async function createTopic(numPartitions: number, maxMessageBytes = 1_048_588): Promise<string> {
  const topic = uniqueName('mapping')
  const configEntries = [{ name: 'max.message.bytes', value: String(maxMessageBytes) }]
  await connection.admin.createTopics({ topics: [{ topic, numPartitions, configEntries }], waitForLeaders: true })
  return topic
}

/** Each batch by itself: in a transaction with that outcome, or in none. */
async function produce(topic: string, batches: readonly (readonly Message[])[], outcome?: 'commit' | 'abort'): Promise<void> {
  const producer = connection.kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    ...(outcome === undefined ? {} : { transactionalId: topic }),
  })
  await producer.connect()
  for (const messages of batches) {
    if (outcome === undefined) await producer.send({ topic, messages: [...messages] })
    else {
      const transaction = await producer.transaction()
      await transaction.send({ topic, messages: [...messages] })
      await transaction[outcome]()
    }
  }
  await producer.disconnect()
}

const numbered = (count: number, partitions: number): Message[] =>
  Array.from({ length: count }, (_, i) => ({ partition: i % partitions, key: `k${i}`, value: `{"i":${i}}` }))

async function committedOffsets(groupId: string, topic: string): Promise<Record<number, number>> {
  const [found] = await connection.admin.fetchOffsets({ groupId, topics: [topic] })
  return Object.fromEntries(found.partitions.map(({ partition, offset }) => [partition, Number(offset)]))
}

/** Runs a mapping until all that is in the topic is done. */
async function drain(options: MappingOptions): Promise<void> {
  const mapping = await startMapping(options)
  await mapping.caughtUp().finally(() => mapping.stop())
}

const mappingOf = (topic: string, options: Partial<MappingOptions> & Pick<MappingOptions, 'invoke'>): MappingOptions => ({
  brokers,
  topics: [topic],
  functionName: 'ingest',
  eventSource: 'SelfManagedKafka',
  time: hurriedTime(),
  ...options,
})

describe('events from a real topic', () => {
  test('hold tombstones, null keys, headers and timestamps of several partitions as they were produced', async () => {
    const topic = await createTopic(3)
    const timestamp = '1700000000123'
    const messages: Message[] = [
      {
        partition: 0,
        key: 'a',
        value: '{"x":1}',
        timestamp,
        headers: { trace: Buffer.from([0, 127, 128, 255]), twice: ['1', '2'] },
      },
      { partition: 0, key: 'a', value: null, timestamp },
      { partition: 2, key: null, value: '', timestamp },
      { partition: 2, key: null, value: Buffer.from([0xff, 0x00]), timestamp },
    ]
    await produce(topic, [messages])
    const events: string[] = []
    await drain(
      mappingOf(topic, {
        eventSource: 'aws:kafka',
        eventSourceArn: 'arn:aws:kafka:cluster',
        // Both partitions in one payload: what has not come within this never will.
        batchingWindowMs: 3000,
        time: REAL_TIME,
        invoke: async (json) => {
          events.push(json)
          return RETURNED
        },
      }),
    )
    expect(events.length).toBe(1)
    const common = { topic, timestamp: 1700000000123, timestampType: 'CREATE_TIME' }
    expect(JSON.parse(events[0])).toEqual({
      eventSource: 'aws:kafka',
      eventSourceArn: 'arn:aws:kafka:cluster',
      bootstrapServers: brokers.join(','),
      records: {
        [`${topic}-0`]: [
          {
            ...common,
            partition: 0,
            offset: 0,
            key: 'YQ==',
            value: 'eyJ4IjoxfQ==',
            headers: [{ trace: [0, 127, -128, -1] }, { twice: [49] }, { twice: [50] }],
          },
          { ...common, partition: 0, offset: 1, key: 'YQ==', value: null, headers: [] },
        ],
        [`${topic}-2`]: [
          { ...common, partition: 2, offset: 0, value: '', headers: [] },
          { ...common, partition: 2, offset: 1, value: '/wA=', headers: [] },
        ],
      },
    })
    const counts = parseKafkaEvent(JSON.parse(events[0])).map(({ partition, count }) => [partition, count] as const)
    expect(new Map(counts)).toEqual(
      new Map([
        [0, 2],
        [2, 2],
      ]),
    )
  })

  test('of transactions leave out what was aborted, and control records do not hold the mapping up', async () => {
    const topic = await createTopic(2)
    await produce(topic, [numbered(10, 2)], 'commit')
    await produce(topic, [numbered(10, 2)], 'abort')
    await produce(topic, [numbered(10, 2), numbered(10, 2)], 'commit')
    await produce(topic, [numbered(10, 2)], 'abort')
    const seen: string[] = []
    const group = uniqueName('group')
    const invoke = async (json: string) => {
      seen.push(...recordsOf(json).map(nameOf))
      return RETURNED
    }
    await drain(mappingOf(topic, { consumerGroup: group, invoke }))
    expect(seen.length).toBe(30)
    await drain(mappingOf(topic, { consumerGroup: group, invoke }))
    expect(seen.length).toBe(30)
  })

  test('hold at most 6 MB: values of 1 MB come four at a time', async () => {
    const topic = await createTopic(2)
    for (let i = 0; i < 12; i++) await produce(topic, [[{ partition: i % 2, key: null, value: Buffer.alloc(1_000_000, i) }]])
    const reports: InvocationReport[] = []
    const sizes: number[] = []
    const seen = new Set<string>()
    await drain(
      mappingOf(topic, {
        batchingWindowMs: 2000,
        batchSize: 12,
        time: REAL_TIME,
        invoke: async (json) => {
          sizes.push(Buffer.byteLength(json))
          for (const record of recordsOf(json)) {
            expect(record.value?.length).toBe(Math.ceil(1_000_000 / 3) * 4)
            seen.add(nameOf(record))
          }
          return RETURNED
        },
        onInvocation: (report) => reports.push(report),
      }),
    )
    expect(seen.size).toBe(12)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(PAYLOAD_LIMIT_BYTES)
    expect(Math.max(...reports.map(({ records }) => records))).toBe(4)
    expect(reports.map(({ payloadBytes }) => payloadBytes)).toEqual(sizes)
  })

  test('leave a record that no payload can hold to the destination, and without one the mapping fails', async () => {
    const topic = await createTopic(1, 8_000_000)
    await produce(topic, [[{ value: 'before' }], [{ value: Buffer.alloc(5_000_000) }], [{ value: 'after' }]])
    const failures: MappingFailure[] = []
    const seen: number[] = []
    const invoke = async (json: string) => {
      seen.push(...recordsOf(json).map(({ offset }) => offset))
      return RETURNED
    }
    await drain(mappingOf(topic, { invoke, provisioned: { onFailure: async (failure) => void failures.push(failure) } }))
    expect(seen).toEqual([0, 2])
    expect(failures.map(({ requestContext, responseContext }) => [requestContext.condition, responseContext])).toEqual([
      ['MaximumPayloadSizeExceeded', null],
    ])

    const group = uniqueName('group')
    const mapping = await startMapping(mappingOf(topic, { invoke, consumerGroup: group }))
    await expect(mapping.caughtUp()).rejects.toThrow(/Cannot hand over offset 1 of .*expected an event of at most 6291456 bytes/)
    await expect(mapping.stop()).rejects.toThrow('Cannot hand over offset 1')
    expect((await committedOffsets(group, topic))[0]).toBeLessThanOrEqual(1)
  })
})

/** A function that fails at random in every way there is, and its own account of what it has done. */
function unreliable(seed: number, honoursPartial: boolean) {
  let state = seed
  const dice = (sides: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * sides)
  }
  const done = new Set<string>()
  const delivered = new Set<string>()
  const highest = new Map<number, number>()
  const outOfOrder: string[] = []
  let calls = 0
  const invoke = async (json: string): Promise<InvokeResult> => {
    const event: { records: Record<string, EventRecord[]> } = JSON.parse(json)
    const runs = Object.entries(event.records)
    for (const record of runs.flatMap(([, records]) => records)) {
      if (!delivered.has(nameOf(record)) && record.offset <= (highest.get(record.partition) ?? -1))
        outOfOrder.push(nameOf(record))
      delivered.add(nameOf(record))
      highest.set(record.partition, Math.max(record.offset, highest.get(record.partition) ?? -1))
    }
    await tick()
    const succeed = (records: readonly EventRecord[]) => {
      for (const record of records) done.add(nameOf(record))
    }
    const all = runs.flatMap(([, records]) => records)
    switch (calls++ < 400 ? dice(6) : 0) {
      case 0:
        succeed(all)
        return RETURNED
      case 1:
        return FAILED
      case 2:
        throw new Error('throttled')
      case 3:
        if (!honoursPartial) succeed(all)
        return {
          payload: ['"no object"', '{"batchItemFailures":[{"itemIdentifier":{"partition":"none-0","offset":1}}]}'][dice(2)],
        }
      default: {
        const batchItemFailures = runs.flatMap(([partition, records]) => {
          const from = dice(records.length + 1)
          succeed(honoursPartial ? records.slice(0, from) : records)
          return from === records.length ? [] : [{ itemIdentifier: { partition, offset: records[from].offset } }]
        })
        return { payload: JSON.stringify({ batchItemFailures }) }
      }
    }
  }
  return { invoke, done, delivered, outOfOrder }
}

describe('a function that fails at random in every way', () => {
  const COUNT = 900

  test('on demand gets every record in order until it has done it', async () => {
    const topic = await createTopic(3)
    await produce(topic, [numbered(COUNT, 3)])
    const target = unreliable(1, false)
    const group = uniqueName('group')
    await drain(mappingOf(topic, { invoke: target.invoke, consumerGroup: group, batchSize: 17 }))
    expect(target.done.size).toBe(COUNT)
    expect(target.outOfOrder).toEqual([])
    expect(await committedOffsets(group, topic)).toEqual({ 0: 300, 1: 300, 2: 300 })
  })

  test.each([
    { bisect: true, partialResponses: true, retryAttempts: 1 },
    { bisect: true, partialResponses: false, retryAttempts: 0 },
    { bisect: false, partialResponses: true, retryAttempts: -1 },
  ])('provisioned with %j loses none: done or at the destination', async (errorHandling) => {
    const topic = await createTopic(3)
    await produce(topic, [numbered(COUNT, 3)])
    const target = unreliable(2, errorHandling.partialResponses)
    const atDestination = new Set<string>()
    const group = uniqueName('group')
    await drain(
      mappingOf(topic, {
        invoke: target.invoke,
        consumerGroup: group,
        batchSize: 17,
        provisioned: {
          ...errorHandling,
          onFailure: async ({ payload }) => {
            for (const record of recordsOf(payload)) atDestination.add(nameOf(record))
          },
        },
      }),
    )
    expect(new Set([...target.done, ...atDestination]).size).toBe(COUNT)
    expect(target.delivered.size).toBe(COUNT)
    expect(target.outOfOrder).toEqual([])
    expect(await committedOffsets(group, topic)).toEqual({ 0: 300, 1: 300, 2: 300 })
  })

  test('blocks only the partitions of the batch that fails, also with one invocation at a time', async () => {
    const topic = await createTopic(2)
    await produce(topic, [numbered(40, 2)])
    const done: EventRecord[] = []
    let isBroken = true
    const failed = Promise.withResolvers<void>()
    const mapping = await startMapping(
      mappingOf(topic, {
        batchSize: 5,
        maxConcurrency: 1,
        // Real time: the retry of the failing batch waits.
        time: { now: () => Date.now(), wait: () => failed.promise },
        invoke: async (json) => {
          const records = recordsOf(json)
          if (isBroken && records.some(({ partition, offset }) => partition === 0 && offset >= 5)) return FAILED
          done.push(...records)
          if (done.filter(({ partition }) => partition === 1).length === 20) {
            isBroken = false
            failed.resolve()
          }
          return RETURNED
        },
      }),
    )
    await mapping.caughtUp().finally(() => mapping.stop())
    expect(done.filter(({ partition }) => partition === 0).map(({ offset }) => offset)).toEqual([...Array(20).keys()])
    expect(done.length).toBe(40)
  })
})

describe('a consumer group', () => {
  test('goes on where a stopped mapping left it: only what was not committed comes again', async () => {
    const topic = await createTopic(2)
    await produce(topic, [numbered(100, 2)])
    const group = uniqueName('group')
    const stuck = Promise.withResolvers<void>()
    const done = new Set<string>()
    const first = await startMapping(
      mappingOf(topic, {
        consumerGroup: group,
        batchSize: 10,
        invoke: async (json) => {
          const records = recordsOf(json)
          if (records.some(({ partition, offset }) => partition === 1 && offset >= 20)) {
            if (done.size >= 70) stuck.resolve()
            return FAILED
          }
          for (const record of records) done.add(nameOf(record))
          return RETURNED
        },
      }),
    )
    await stuck.promise
    await first.stop()
    expect(await committedOffsets(group, topic)).toEqual({ 0: 50, 1: 20 })

    const again: string[] = []
    const second = await startMapping(
      mappingOf(topic, {
        consumerGroup: group,
        // The group has committed: this says nothing any more.
        startingPosition: { atTimestampMs: 0 },
        invoke: async (json) => {
          again.push(...recordsOf(json).map(nameOf))
          return RETURNED
        },
      }),
    )
    await second.caughtUp()
    expect(again).toEqual(Array.from({ length: 30 }, (_, i) => `1@${20 + i}`))
    await produce(topic, [[{ partition: 0, key: null, value: 'more' }]])
    await second.caughtUp()
    expect(again.slice(30)).toEqual(['0@50'])
    await second.stop()
  })

  test('gets again what a killed mapping had not committed, and loses nothing', { timeout: 120_000 }, async () => {
    const topic = await createTopic(2)
    await produce(topic, [numbered(2000, 2)])
    const group = uniqueName('group')
    const script = `
      import { startMapping } from ${JSON.stringify(new URL('../../lib/local/event-source-mapping.ts', import.meta.url).href)}
      await startMapping({
        brokers: ${JSON.stringify(brokers)}, topics: ['${topic}'], functionName: 'f', eventSource: 'SelfManagedKafka',
        consumerGroup: '${group}', batchSize: 50,
        invoke: async (json) => {
          const records = Object.values(JSON.parse(json).records).flat()
          console.log(JSON.stringify(records.map(({ partition, offset }) => partition + '@' + offset)))
          await new Promise((resolve) => setTimeout(resolve, 5))
          return { payload: 'null' }
        },
      })`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    const seen = new Set<string>()
    let calls = 0
    for await (const line of createInterface({ input: child.stdout })) {
      for (const name of JSON.parse(line)) seen.add(name)
      if (++calls === 12) child.kill('SIGKILL')
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    expect(child.signalCode).toBe('SIGKILL')
    const committed = await committedOffsets(group, topic)
    for (const partition of [0, 1])
      for (let offset = 0; offset < committed[partition]; offset++) expect(seen.has(`${partition}@${offset}`)).toBe(true)

    const again = new Map<number, number[]>()
    await drain(
      mappingOf(topic, {
        consumerGroup: group,
        invoke: async (json) => {
          for (const { partition, offset } of recordsOf(json)) again.set(partition, [...(again.get(partition) ?? []), offset])
          return RETURNED
        },
      }),
    )
    for (const partition of [0, 1]) {
      const from = Math.max(0, committed[partition])
      expect(again.get(partition)).toEqual(Array.from({ length: 1000 - from }, (_, i) => from + i))
    }
  })

  test('starts at a time when it has committed nothing', async () => {
    const topic = await createTopic(2)
    const at = (ms: number, partition: number) => ({ partition, key: null, value: 'v', timestamp: String(ms) })
    await produce(topic, [[at(1000, 0), at(2000, 0), at(3000, 0), at(1000, 1)]])
    const seen: string[] = []
    const mapping = await startMapping(
      mappingOf(topic, {
        startingPosition: { atTimestampMs: 1500 },
        invoke: async (json) => {
          seen.push(...recordsOf(json).map(nameOf))
          return RETURNED
        },
      }),
    )
    await mapping.caughtUp()
    expect(seen).toEqual(['0@1', '0@2'])
    await produce(topic, [[at(1, 1)]])
    await mapping.caughtUp()
    expect(seen).toEqual(['0@1', '0@2', '1@1'])
    await mapping.stop()
  })

  test('shares partitions among two mappings, and hands them to the one that stays', async () => {
    const topic = await createTopic(4)
    const group = uniqueName('group')
    const seen = new Set<string>()
    const byMapping = [0, 0]
    const all = Promise.withResolvers<void>()
    const start = (mapping: number) =>
      startMapping(
        mappingOf(topic, {
          consumerGroup: group,
          invoke: async (json) => {
            const records = recordsOf(json)
            byMapping[mapping] += records.length
            for (const record of records) seen.add(nameOf(record))
            if (seen.size === 1200) all.resolve()
            return RETURNED
          },
        }),
      )
    const first = await start(0)
    await produce(topic, [numbered(400, 4)])
    await first.caughtUp()
    expect(seen.size).toBe(400)
    const second = await start(1)
    await produce(topic, [numbered(400, 4)])
    await Promise.all([first.caughtUp(), second.caughtUp()])
    expect(byMapping[1]).toBeGreaterThan(0)
    await first.stop()
    await produce(topic, [numbered(400, 4)])
    await all.promise
    await second.caughtUp()
    await second.stop()
    expect(seen.size).toBe(1200)
    expect(await committedOffsets(group, topic)).toEqual({ 0: 300, 1: 300, 2: 300, 3: 300 })
  })
})

describe('a mapping', () => {
  test('that is aborted stops, and says so to whoever waits', async () => {
    const topic = await createTopic(1)
    await produce(topic, [numbered(10, 1)])
    const controller = new AbortController()
    const called = Promise.withResolvers<void>()
    const mapping = await startMapping(
      mappingOf(topic, {
        signal: controller.signal,
        invoke: async () => {
          called.resolve()
          return FAILED
        },
      }),
    )
    const caughtUp = mapping.caughtUp()
    await called.promise
    controller.abort()
    await expect(caughtUp).rejects.toThrow('stopped before it caught up')
    await mapping.stop()
  })

  test('does not start on a topic or a broker that is not there, and says which', async () => {
    const invoke = async () => RETURNED
    await expect(startMapping(mappingOf('no-such-topic', { invoke }))).rejects.toThrow('Cannot read topic no-such-topic')
    await expect(startMapping(mappingOf('t', { invoke, brokers: ['127.0.0.1:1'] }))).rejects.toThrow('Kafka at 127.0.0.1:1')
  })

  test('pauses partitions that hold enough while the function is slow, and goes on with them after that', async () => {
    const topic = await createTopic(2)
    const value = Buffer.alloc(100_000, 7)
    // 40 MB as events; a partition holds 6 MB of them, and its batch under way as much again.
    for (let i = 0; i < 30; i++)
      await produce(topic, [Array.from({ length: 10 }, (_, j) => ({ partition: j % 2, key: null, value }))])
    const seen: string[] = []
    await drain(
      mappingOf(topic, {
        time: REAL_TIME,
        invoke: async (json) => {
          // Slow by real work, while the reader fills what it may.
          for (let i = 0; i < 20; i++) await connection.bounds(topic)
          seen.push(...recordsOf(json).map(nameOf))
          return RETURNED
        },
      }),
    )
    expect(seen.length).toBe(300)
    expect(new Set(seen).size).toBe(300)
  })

  test('hands over batches of 10,000 quickly', { timeout: 300_000 }, async () => {
    const PARTITIONS = 4
    const COUNT = 400_000
    const topic = await createTopic(PARTITIONS)
    const value = (i: number) =>
      `{"symbol":"SYM${i % 50}","ts":${1_700_000_000_000 + i},"price":${100 + (i % 997) / 10},"qty":${1 + (i % 9)},"side":"buy"}`
    const batches = Array.from({ length: COUNT / 10_000 }, (_, batch) =>
      Array.from({ length: 10_000 }, (_, i) => ({
        partition: i % PARTITIONS,
        key: `SYM${i % 50}`,
        value: value(batch * 10_000 + i),
      })),
    )
    await produce(topic, batches)
    const reports: InvocationReport[] = []
    const [cpu, began] = [process.cpuUsage(), performance.now()]
    const mapping = await startMapping(
      mappingOf(topic, {
        batchSize: 10_000,
        time: REAL_TIME,
        invoke: async () => RETURNED,
        onInvocation: (report) => reports.push(report),
      }),
    )
    await mapping.caughtUp()
    const seconds = (performance.now() - began) / 1000
    const { user, system } = process.cpuUsage(cpu)
    await mapping.stop()
    const records = reports.reduce((sum, report) => sum + report.records, 0)
    expect(records).toBe(COUNT)
    const figures = {
      records,
      invocations: reports.length,
      recordsPerSecond: Math.round(records / seconds),
      cpuSecondsPerMillion: Number(((user + system) / records).toFixed(2)),
      rssMB: Math.round(process.memoryUsage.rss() / 1e6),
    }
    console.log(JSON.stringify(figures))
  })
})
