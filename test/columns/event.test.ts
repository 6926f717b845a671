import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseKafkaEvent, recordsFromValues } from '../../lib/columns/event.ts'
import type { Records } from '../../lib/columns/records.ts'
import { isKind } from '../../lib/errors.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')
const record = (topic: string, partition: number, offset: number, value?: string | null, more = {}) => ({
  topic,
  partition,
  offset,
  timestamp: 1700000000000 + offset,
  timestampType: 'CREATE_TIME',
  headers: [],
  ...(value === undefined ? {} : { value: value === null ? null : base64(value) }),
  ...more,
})
const event = (records: Record<string, unknown>, eventSource = 'aws:kafka') => ({
  eventSource,
  bootstrapServers: 'b:9092',
  records,
})

/** What `Records` say, as plain data. */
function plain(records: Records) {
  return {
    topic: records.topic,
    partition: records.partition,
    records: Array.from({ length: records.count }, (_, i) => {
      const start = records.valueStart[i]
      return [
        records.offsets[i],
        start < 0 ? null : Buffer.from(records.bytes.subarray(start, records.valueEnd[i])).toString(),
        records.key(i) === null ? null : Buffer.from(records.key(i)!).toString(),
        records.timestamps[i],
      ]
    }),
  }
}

describe('a Kafka event', () => {
  test('of several topics and partitions becomes records by the topic and partition they name themselves', () => {
    const parsed = parseKafkaEvent(
      event({
        'trades-0': [record('trades', 0, 5, 'a'), record('trades', 0, 6, 'bb', { key: base64('k') })],
        'x-y-11': [record('x-y', 11, 0, ''), record('x-y', 11, 9, 'ccc')],
        odd: [record('trades', 0, 7, 'dddd'), record('trades', 1, 0, 'e')],
      }),
    )
    expect(parsed.map(plain)).toEqual([
      {
        topic: 'trades',
        partition: 0,
        records: [
          [5, 'a', null, 1700000000005],
          [6, 'bb', 'k', 1700000000006],
          [7, 'dddd', null, 1700000000007],
        ],
      },
      {
        topic: 'x-y',
        partition: 11,
        records: [
          [0, '', null, 1700000000000],
          [9, 'ccc', null, 1700000000009],
        ],
      },
      { topic: 'trades', partition: 1, records: [[0, 'e', null, 1700000000000]] },
    ])
  })

  test('may come from a self-managed broker', () => {
    expect(parseKafkaEvent(event({ 't-0': [record('t', 0, 0, 'a')] }, 'SelfManagedKafka'))).toHaveLength(1)
  })

  test('without records is empty', () => {
    expect(parseKafkaEvent(event({}))).toEqual([])
    expect(parseKafkaEvent(event({ 't-0': [] }))).toEqual([])
  })

  test('may hold tombstones: a value that is null or absent; an empty value is none', () => {
    const [records] = parseKafkaEvent(event({ 't-0': [record('t', 0, 1, null), record('t', 0, 2), record('t', 0, 3, '')] }))
    expect([...records.valueStart]).toEqual([-1, -1, 0])
    expect([...records.valueEnd]).toEqual([-1, -1, 0])
  })

  test.each([undefined, null, -1, 2 ** 63, 1.5])('has no timestamp where it says %s', (timestamp) => {
    const [records] = parseKafkaEvent(event({ 't-0': [record('t', 0, 1, 'a', { timestamp })] }))
    expect([...records.timestamps]).toEqual([Number.NaN])
  })

  test('decodes values of any length and bytes, padded or not', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.option(fc.uint8Array({ maxLength: 50 }), { nil: null }), fc.boolean()), { minLength: 1 }),
        (values) => {
          const list = values.map(([value, isPadded], i) => {
            const text = value === null ? null : Buffer.from(value).toString('base64')
            return record('t', 0, i, null, { value: isPadded ? text : (text?.replaceAll('=', '') ?? null) })
          })
          const [records] = parseKafkaEvent(JSON.parse(JSON.stringify(event({ 't-0': list }))))
          const found = values.map((_, i) =>
            records.valueStart[i] < 0
              ? null
              : Uint8Array.from(records.bytes.subarray(records.valueStart[i], records.valueEnd[i])),
          )
          expect(found).toEqual(values.map(([value]) => value))
        },
      ),
    )
  })

  test('is put in offset order, and the same record is taken once', () => {
    const list = [3, 1, 2, 1].map((offset) => record('t', 0, offset, `v${offset}`))
    expect(plain(parseKafkaEvent(event({ 't-0': list }))[0]).records.map(([offset, value]) => [offset, value])).toEqual([
      [1, 'v1'],
      [2, 'v2'],
      [3, 'v3'],
    ])
  })

  test('keeps keys with their records when it is sorted', () => {
    const list = [2, 1].map((offset) => record('t', 0, offset, 'v', { key: base64(`k${offset}`) }))
    expect(plain(parseKafkaEvent(event({ 't-0': list }))[0]).records.map(([, , key]) => key)).toEqual(['k1', 'k2'])
  })

  test.each<[string, unknown, string]>([
    ['nothing', undefined, 'expected an event object, found undefined'],
    ['a list', [], 'expected an event object, found a list'],
    [
      'another source',
      { eventSource: 'aws:sqs', Records: [] },
      'expected eventSource aws:kafka or SelfManagedKafka, found aws:sqs',
    ],
    ['no records', { eventSource: 'aws:kafka' }, 'expected records by topic and partition, found undefined'],
    ['records as a list', { eventSource: 'aws:kafka', records: [] }, 'expected records by topic and partition, found a list'],
    ['no list under a partition', event({ 't-0': {} }), 'expected a list of records under t-0, found an object'],
    ['a record that is null', event({ 't-0': [null] }), 'expected a record at t-0[0], found null'],
    ['no topic', event({ 't-0': [record('', 0, 0, 'a')] }), 'expected a topic at t-0[0]'],
    [
      'a partition in quotes',
      event({ 't-0': [{ ...record('t', 0, 0, 'a'), partition: '0' }] }),
      'expected a partition number at t-0[0], found 0',
    ],
    ['a negative partition', event({ 't-0': [record('t', -1, 0, 'a')] }), 'expected a partition number at t-0[0], found -1'],
    [
      'a negative offset',
      event({ 't-0': [record('t', 0, -1, 'a')] }),
      'expected an offset between 0 and 2^53 - 1 at t-0[0], found -1',
    ],
    ['an offset above 2^53', event({ 't-0': [record('t', 0, 2 ** 53, 'a')] }), 'expected an offset'],
    [
      'a value that is an object',
      event({ 't-0': [{ ...record('t', 0, 0), value: {} }] }),
      'expected a base64 value at t-0[0], found an object',
    ],
    [
      'a timestamp in quotes',
      event({ 't-0': [record('t', 0, 0, 'a', { timestamp: '1' })] }),
      'expected a timestamp in milliseconds, found 1',
    ],
    [
      'two records of one offset',
      event({ 't-0': [record('t', 0, 4, 'a'), record('t', 0, 4, 'b')] }),
      'found two different records at offset 4 of t-0',
    ],
    ...['YQ==YQ==', 'Y', 'YWI*', 'YW Jj', 'YQ===', '=', 'YQ=', '====', 'Y=Q='].map((value): [string, unknown, string] => [
      `malformed base64 ${value}`,
      event({ 't-0': [record('t', 0, 0, 'ok'), record('t', 0, 1, null, { value })] }),
      'expected base64',
    ]),
  ])('is refused as a whole when it is malformed: %s', (_, malformed, message) => {
    let error: unknown
    try {
      parseKafkaEvent(malformed)
    } catch (caught) {
      error = caught
    }
    expect(isKind(error, 'Usage')).toBe(true)
    expect((error as Error).message).toContain(message)
  })

  test('is refused without a word of its keys and values: they would be in the logs', () => {
    const secrets = ['c2VjcmV0*', { deep: 'secret' }, ['secret']]
    for (const value of secrets) {
      const malformed = event({ 't-0': [record('t', 0, 0, null, { value })] })
      expect(() => parseKafkaEvent(malformed)).toThrow(/^(?!.*(?:secret|c2Vj)).*expected (?:a )?base64/)
    }
  })
})

describe('records from values', () => {
  test('count offsets from the first, or take them as given', () => {
    const values = [Buffer.from('a'), null, Buffer.from('')]
    expect(
      plain(recordsFromValues({ topic: 't', partition: 3, firstOffset: 7, values, keys: [Buffer.from('k'), null] })),
    ).toEqual({
      topic: 't',
      partition: 3,
      records: [
        [7, 'a', 'k', Number.NaN],
        [8, null, null, Number.NaN],
        [9, '', null, Number.NaN],
      ],
    })
    const given = recordsFromValues({ topic: 't', partition: 0, offsets: [1, 5, 6], values, timestamps: [10, -1, 20] })
    expect([...given.offsets]).toEqual([1, 5, 6])
    expect([...given.timestamps]).toEqual([10, Number.NaN, 20])
  })

  test('refuse offsets that do not ascend', () => {
    expect(() => recordsFromValues({ topic: 't', partition: 0, offsets: [1, 1], values: [null, null] })).toThrow(
      'expected ascending offsets, found 1 at 1',
    )
  })
})
