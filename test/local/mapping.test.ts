import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseKafkaEvent } from '../../lib/columns/event.ts'
import { nextBatch, type Waiting } from '../../lib/local/mapping-batch.ts'
import {
  countRecords,
  emptyEventBytes,
  eventBytes,
  eventJson,
  eventStart,
  type MappedRecord,
  mapRecords,
  type Run,
} from '../../lib/local/mapping-event.ts'
import { failureOf } from '../../lib/local/mapping-failure.ts'
import { checkMapping } from '../../lib/local/mapping-group.ts'
import { readResponse } from '../../lib/local/mapping-response.ts'
import { afterAnswer, type Batch, retryPolicy, splitExpired } from '../../lib/local/mapping-retry.ts'
import { createSchedule, type Schedule } from '../../lib/local/mapping-schedule.ts'

const ORIGIN = { eventSource: 'SelfManagedKafka', brokers: ['a:1', 'b:2'] } as const
const START = eventStart(ORIGIN)

function record(offset: number, sizeBytes = 10, timestampMs = 1000): MappedRecord {
  const json = 'x'.repeat(sizeBytes)
  return { offset, timestampMs, json, jsonBytes: sizeBytes }
}

function run(name: string, offsets: readonly number[], timestampMs?: number): Run {
  const records = offsets.map((offset) => record(offset, 10, timestampMs))
  return { name, topic: name.slice(0, -2), partition: Number(name.slice(-1)), records }
}

function waiting(name: string, sizes: readonly number[], sinceMs = 0): Waiting {
  const records = sizes.map((size, offset) => record(offset, size))
  return { ...run(name, []), records, jsonBytes: sizes.reduce((sum, size) => sum + size, 0), sinceMs }
}

const batchOf = (...runs: Run[]): Batch => ({ runs, attempts: 0, invocations: 0 })
const offsetsOf = ({ runs }: Batch) => Object.fromEntries(runs.map(({ name, records }) => [name, records.map((r) => r.offset)]))

describe('an event', () => {
  const base = { timestamp: '1700000000000' }
  const messages = [
    { ...base, offset: '7', key: Buffer.from('k'), value: Buffer.from('{"a":1}'), headers: { h: Buffer.from([1, 200]) } },
    { ...base, offset: '8', key: null, value: null, headers: { 'ü"': [Buffer.from('x'), Buffer.from('')] } },
    { ...base, offset: '9', key: null, value: Buffer.from(''), headers: {}, batchContext: { timestampType: 1 } },
  ]
  const runs = [{ name: 'orders-3', topic: 'orders', partition: 3, records: mapRecords('orders', 3, messages) }]

  test('has the form that AWS documents, with base64, tombstones and signed header bytes', () => {
    const start = eventStart({ eventSource: 'aws:kafka', eventSourceArn: 'arn:x', brokers: ['a:1', 'b:2'] })
    const common = { topic: 'orders', partition: 3, timestamp: 1700000000000, timestampType: 'CREATE_TIME' }
    expect(JSON.parse(eventJson(start, runs))).toEqual({
      eventSource: 'aws:kafka',
      eventSourceArn: 'arn:x',
      bootstrapServers: 'a:1,b:2',
      records: {
        'orders-3': [
          { ...common, offset: 7, key: 'aw==', value: 'eyJhIjoxfQ==', headers: [{ h: [1, -56] }] },
          { ...common, offset: 8, value: null, headers: [{ 'ü"': [120] }, { 'ü"': [] }] },
          { ...common, offset: 9, timestampType: 'LOG_APPEND_TIME', value: '', headers: [] },
        ],
      },
    })
  })

  test('is read back by our own reader', () => {
    const [records] = parseKafkaEvent(JSON.parse(eventJson(START, runs)))
    expect([...records.offsets]).toEqual([7, 8, 9])
    expect(records.valueStart[1]).toBe(-1)
    expect(Buffer.from(records.bytes.subarray(records.valueStart[0], records.valueEnd[0])).toString()).toBe('{"a":1}')
    expect(records.key(0)?.toString()).toBe('k')
    expect(records.key(1)).toBeNull()
  })

  test('is exactly as large as computed', () => {
    for (const some of [[], runs, [...runs, ...runs]])
      expect(eventBytes(START, some)).toBe(Buffer.byteLength(eventJson(START, some)))
  })
})

describe('the next batch', () => {
  const bounds = { batchSize: 3, windowMs: 100, payloadBytes: 10_000, emptyBytes: emptyEventBytes(START) }

  test('waits for its window when it is not full', () => {
    expect(nextBatch([waiting('t-0', [1], 50), waiting('t-1', [1], 20)], bounds, 60)).toEqual({ kind: 'wait', untilMs: 120 })
  })

  test('goes out with several partitions when the window of its first record is over', () => {
    const next = nextBatch([waiting('t-0', [1], 50), waiting('t-1', [1], 20)], bounds, 120)
    expect(next).toMatchObject({ kind: 'invoke', runs: [{ name: 't-0' }, { name: 't-1' }] })
  })

  test('goes out at once when the batch size is met', () => {
    const next = nextBatch([waiting('t-0', [1, 1]), waiting('t-1', [1, 1])], bounds, 0)
    expect(next).toMatchObject({ kind: 'invoke' })
    expect(next.kind === 'invoke' && next.runs.map(({ records }) => records.length)).toEqual([2, 1])
  })

  test('goes out at once when the payload cannot hold the next record', () => {
    const one = eventBytes(START, [{ ...run('t-0', [0]), records: [record(0, 500)] }])
    const held = { ...bounds, payloadBytes: one + 500 }
    expect(nextBatch([waiting('t-0', [500, 500])], held, 0)).toMatchObject({
      kind: 'invoke',
      runs: [{ records: [{ offset: 0 }] }],
    })
    const both = nextBatch([waiting('t-0', [500, 500])], { ...held, payloadBytes: one + 501 }, 0)
    expect(both).toEqual({ kind: 'wait', untilMs: 100 })
  })

  test('is a record alone when no payload can hold it', () => {
    const next = nextBatch([waiting('t-0', [9_999, 1])], bounds, 0)
    expect(next).toMatchObject({ kind: 'tooLarge', runs: [{ records: [{ offset: 0 }] }] })
  })

  test('keeps to its bounds and takes a prefix of each partition, whatever waits', () => {
    const partitions = fc.array(fc.tuple(fc.array(fc.integer({ min: 1, max: 600 }), { maxLength: 12 }), fc.nat(300)), {
      maxLength: 5,
    })
    fc.assert(
      fc.property(
        partitions,
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 200, max: 3000 }),
        (lists, batchSize, payloadBytes) => {
          const all = lists.map(([sizes, sinceMs], i) => waiting(`t-${i}`, sizes, sinceMs))
          const held = { ...bounds, batchSize, payloadBytes }
          const next = nextBatch(all, held, 200)
          const total = all.reduce((sum, { records }) => sum + records.length, 0)
          if (next.kind === 'none') return total === 0
          if (next.kind === 'tooLarge') return eventBytes(START, next.runs) > payloadBytes && countRecords(next.runs) === 1
          const everything = all.filter(({ records }) => records.length > 0)
          const fitsWhole = total <= batchSize && eventBytes(START, everything) <= payloadBytes
          if (next.kind === 'wait') return (fitsWhole && total < batchSize && next.untilMs > 200) || total === 0
          const isPrefix = next.runs.every(({ name, records }) =>
            records.every((one, i) => all.find((w) => w.name === name)?.records[i] === one),
          )
          return isPrefix && countRecords(next.runs) <= batchSize && eventBytes(START, next.runs) <= payloadBytes
        },
      ),
    )
  })
})

describe('a response to partial batches', () => {
  const runs = [run('a-0', [4, 5, 6]), run('a-1', [9])]
  const failures = (...items: unknown[]) =>
    JSON.stringify({ batchItemFailures: items.map((itemIdentifier) => ({ itemIdentifier })) })

  test.each(['', 'null', '{}', '{"batchItemFailures":null}', '{"batchItemFailures":[]}', '{"other":1}'])(
    'means success when it is %j',
    (payload) => expect(readResponse(payload, runs)).toEqual({ kind: 'succeeded' }),
  )

  test.each([
    'no JSON',
    '"OK"',
    '[]',
    '1',
    '{"batchItemFailures":{}}',
    '{"batchItemFailures":[null]}',
    '{"batchItemFailures":[{}]}',
    failures(null),
    failures(''),
    failures('a-0'),
    failures({ partition: 'a-0' }),
    failures({ partition: 'a-0', offset: null }),
    failures({ partition: 'a-0', offset: '5' }),
    failures({ partition: 'a-0', offset: 7 }),
    failures({ partition: 'a-1', offset: 5 }),
    failures({ partition: 'b-0', offset: 5 }),
    failures({ partition: 'a-0', offset: 5 }, { partition: 'a-9', offset: 5 }),
  ])('fails the whole batch when it is %s', (payload) => expect(readResponse(payload, runs)).toEqual({ kind: 'failed' }))

  test('names the lowest failing offset of each partition', () => {
    const payload = failures({ partition: 'a-0', offset: 6 }, { partition: 'a-0', offset: 5 }, { partition: 'a-1', offset: 9 })
    expect(readResponse(payload, runs)).toEqual({
      kind: 'partial',
      from: new Map([
        ['a-0', 5],
        ['a-1', 9],
      ]),
    })
  })
})

describe('after an answer', () => {
  const error = { kind: 'functionError', functionError: 'Unhandled' } as const
  const onDemand = retryPolicy(undefined, false)
  const runs = [run('a-0', [1, 2, 3]), run('b-1', [7, 8])]
  const partial = (...items: [string, number][]) => ({
    kind: 'returned' as const,
    payload: JSON.stringify({
      batchItemFailures: items.map(([partition, offset]) => ({ itemIdentifier: { partition, offset } })),
    }),
  })

  test('an on-demand mapping takes any returned value for success and retries an error for ever', () => {
    expect(afterAnswer(batchOf(...runs), partial(['a-0', 1]), onDemand)).toEqual({ outcome: 'succeeded', todo: [] })
    const tired = { ...batchOf(...runs), attempts: 1_000_000 }
    expect(afterAnswer(tired, error, onDemand).todo.map(offsetsOf)).toEqual([{ 'a-0': [1, 2, 3], 'b-1': [7, 8] }])
  })

  test('a provisioned mapping without partial responses takes any returned value for success too', () => {
    expect(afterAnswer(batchOf(...runs), partial(['a-0', 1]), retryPolicy({}, false)).todo).toEqual([])
  })

  test('a batch is given up when its retries are used up', () => {
    const policy = retryPolicy({ retryAttempts: 1 }, true)
    const first = afterAnswer(batchOf(...runs), error, policy)
    expect(first.todo).toMatchObject([{ attempts: 1, invocations: 1 }])
    const second = afterAnswer(first.todo[0], error, policy)
    expect(second).toMatchObject({ todo: [], givenUp: { invocations: 2, functionError: 'Unhandled' } })
  })

  test('retries without end become ten where there is a destination', () => {
    expect(retryPolicy({}, true).retryAttempts).toBe(10)
    expect(retryPolicy({ retryAttempts: 99 }, true).retryAttempts).toBe(99)
    expect(retryPolicy({}, false).retryAttempts).toBe(Number.POSITIVE_INFINITY)
  })

  test('bisecting halves across partitions, in order, and counts no retry', () => {
    const step = afterAnswer(batchOf(...runs), error, retryPolicy({ bisect: true, retryAttempts: 0 }, true))
    expect(step.todo.map(offsetsOf)).toEqual([{ 'a-0': [1, 2, 3] }, { 'b-1': [7, 8] }])
    const again = afterAnswer(step.todo[0], error, retryPolicy({ bisect: true, retryAttempts: 0 }, true))
    expect(again.todo.map(offsetsOf)).toEqual([{ 'a-0': [1, 2] }, { 'a-0': [3] }])
    expect(again.todo.map(({ attempts }) => attempts)).toEqual([0, 0])
    expect(afterAnswer(again.todo[1], error, retryPolicy({ bisect: true, retryAttempts: 0 }, true)).givenUp).toBeDefined()
  })

  test('a partial response keeps what fails, from its lowest offset on', () => {
    const step = afterAnswer(batchOf(...runs), partial(['a-0', 2]), retryPolicy({ partialResponses: true }, false))
    expect(step.outcome).toBe('partial')
    expect(step.todo.map(offsetsOf)).toEqual([{ 'a-0': [2, 3] }])
    expect(step.todo[0].attempts).toBe(1)
  })

  test('with bisecting, a partial response cuts at the offset it names and counts no retry; at the first record it halves', () => {
    const policy = retryPolicy({ partialResponses: true, bisect: true, retryAttempts: 0 }, true)
    const cut = afterAnswer(batchOf(...runs), partial(['a-0', 2], ['b-1', 7]), policy)
    expect(cut.todo.map(offsetsOf)).toEqual([{ 'a-0': [2, 3], 'b-1': [7, 8] }])
    expect(cut.todo[0].attempts).toBe(0)
    const halved = afterAnswer(cut.todo[0], partial(['a-0', 2], ['b-1', 7]), policy)
    expect(halved.todo.map(offsetsOf)).toEqual([{ 'a-0': [2, 3] }, { 'b-1': [7, 8] }])
  })

  test('a function that was not reached costs no retry and halves nothing', () => {
    const policy = retryPolicy({ bisect: true, retryAttempts: 0 }, true)
    const batch = batchOf(...runs)
    expect(afterAnswer(batch, { kind: 'notInvoked' }, policy)).toEqual({ outcome: 'notInvoked', todo: [batch] })
  })

  test('records that are too old are taken out, those without a timestamp never', () => {
    const old = { ...run('a-0', [1, 2, 3, 4]), records: [record(1, 1, 40), record(2, 1, -1), record(3, 1, 50), record(4, 1, 39)] }
    const { alive, expired } = splitExpired(batchOf(old), 100, 59)
    expect([offsetsOf(alive), offsetsOf(expired)]).toEqual([{ 'a-0': [2, 3] }, { 'a-0': [1, 4] }])
  })
})

describe('the schedule', () => {
  const bounds = { batchSize: 3, windowMs: 0, payloadBytes: 10_000, emptyBytes: emptyEventBytes(START) }
  const [p0, p1] = [0, 1].map((partition) => ({ topic: 't', partition }))
  const records = (...offsets: number[]) => offsets.map((offset) => record(offset))
  const scheduleOf = (...partitions: (typeof p0)[]) => {
    const schedule = createSchedule(bounds, { partitionBytes: 40, totalBytes: 60 })
    schedule.assign(partitions)
    return schedule
  }
  const taskOf = (schedule: Schedule) => {
    const next = schedule.next(0)
    if (next.kind !== 'invoke') throw new Error(`expected a batch, found ${next.kind}`)
    return next.task
  }

  test('keeps a partition occupied until all of its batch is done, and then counts control records as done', () => {
    const schedule = scheduleOf(p0)
    schedule.arrived(p0, records(0, 1, 2, 3), 6, 0)
    const task = taskOf(schedule)
    expect(offsetsOf(batchOf(...task.runs))).toEqual({ 't-0': [0, 1, 2] })
    expect(schedule.next(0)).toEqual({ kind: 'none' })
    schedule.advance(task, [batchOf(run('t-0', [2]))])
    expect(schedule.progress().get('t-0')?.offset).toBe(2)
    expect(schedule.next(0)).toEqual({ kind: 'none' })
    schedule.advance(task, [])
    expect(schedule.progress().get('t-0')?.offset).toBe(3)
    schedule.advance(taskOf(schedule), [])
    expect(schedule.progress().get('t-0')?.offset).toBe(6)
  })

  test('takes what is read again after a join for what it is, and refuses it at any other time', () => {
    const schedule = scheduleOf(p0)
    expect(schedule.arrived(p0, records(0, 1), 2, 0)).toBe('taken')
    schedule.assign([p0])
    expect(schedule.arrived(p0, records(0, 1, 2), 3, 0)).toBe('taken')
    expect(offsetsOf(batchOf(...taskOf(schedule).runs))).toEqual({ 't-0': [0, 1, 2] })
    expect(schedule.arrived(p0, records(1), 2, 0)).toBe('rewound')
  })

  test('forgets a partition that went to another member, also the part of it that is under way', () => {
    const schedule = scheduleOf(p0, p1)
    schedule.arrived(p0, records(0), 1, 0)
    schedule.arrived(p1, records(0), 1, 0)
    const task = taskOf(schedule)
    schedule.assign([p1])
    const left = schedule.advance(task, [batchOf(...task.runs)])
    expect(left.map(offsetsOf)).toEqual([{ 't-1': [0] }])
    expect([...schedule.progress().keys()]).toEqual(['t-1'])
    schedule.advance(task, [])
    expect(schedule.progress().get('t-1')?.offset).toBe(1)
  })

  test('asks for a pause of partitions that hold enough, and of all that hold anything when memory is used up', () => {
    const schedule = scheduleOf(p0, p1)
    schedule.arrived(p0, records(0, 1, 2, 3), 4, 0)
    expect(schedule.full().map(({ partition }) => partition)).toEqual([0])
    schedule.arrived(p1, records(0, 1), 2, 0)
    expect(schedule.full().map(({ partition }) => partition)).toEqual([0, 1])
    const task = taskOf(schedule)
    // What a task carries still takes memory.
    expect(schedule.full().map(({ partition }) => partition)).toEqual([0, 1])
    schedule.advance(task, [])
    expect(schedule.full()).toEqual([])
  })

  test('takes a starting position for done, and nothing before it', () => {
    const schedule = scheduleOf(p0)
    schedule.startAt('t-0', 7)
    expect(schedule.progress().get('t-0')?.offset).toBe(7)
    schedule.arrived(p0, records(5, 6, 7), 8, 0)
    expect(offsetsOf(batchOf(...taskOf(schedule).runs))).toEqual({ 't-0': [7] })
  })
})

describe('what a destination gets', () => {
  test('is the document that AWS describes, with the whole event', () => {
    const batch = { ...batchOf(run('a-0', [4, 5], 0), run('a-1', [9], -1)), invocations: 3, functionError: 'Unhandled' }
    const origin = { ...ORIGIN, eventSourceArn: 'arn:x' }
    const facts = { batch, condition: 'RetryAttemptsExhausted', origin, functionName: 'f', requestId: 'r', nowMs: 1 } as const
    const { payload, ...document } = failureOf(facts)
    expect(document).toEqual({
      requestContext: { requestId: 'r', functionArn: 'f', condition: 'RetryAttemptsExhausted', approximateInvokeCount: 3 },
      responseContext: { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' },
      version: '1.0',
      timestamp: '1970-01-01T00:00:00.001Z',
      KafkaBatchInfo: {
        batchSize: 3,
        eventSourceArn: 'arn:x',
        bootstrapServers: 'a:1,b:2',
        payloadSize: Buffer.byteLength(payload),
        recordsInfo: {
          'a-0': {
            firstRecordOffset: '4',
            lastRecordOffset: '5',
            firstRecordTimestamp: '1970-01-01T00:00:00.000Z',
            lastRecordTimestamp: '1970-01-01T00:00:00.000Z',
          },
          'a-1': { firstRecordOffset: '9', lastRecordOffset: '9', firstRecordTimestamp: null, lastRecordTimestamp: null },
        },
      },
    })
    expect(payload).toBe(eventJson(eventStart(origin), batch.runs))
    expect(failureOf({ ...facts, batch: { ...batch, invocations: 0 } }).responseContext).toBeNull()
  })
})

describe('options', () => {
  const good = { topics: ['t'], batchSize: 100, batchingWindowMs: 500, maxConcurrency: 1 }
  test.each([
    [{ topics: [] }, 'one topic'],
    [{ batchSize: 0 }, 'batchSize'],
    [{ batchSize: 10_001 }, 'batchSize'],
    [{ batchingWindowMs: 300_001 }, 'batchingWindowMs'],
    [{ maxConcurrency: 0 }, 'maxConcurrency'],
    [{ provisioned: { retryAttempts: -2 } }, 'retryAttempts'],
    [{ provisioned: { maxRecordAgeMs: 59_999 } }, 'maxRecordAgeMs'],
  ])('that AWS would refuse are refused: %j', (wrong, name) => {
    expect(() => checkMapping(good)).not.toThrow()
    expect(() => checkMapping({ ...good, ...wrong })).toThrow(name)
  })
})
