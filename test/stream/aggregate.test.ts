import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Batch, Value } from '../../lib/columns/batch.ts'
import { batchOf, concat, rowsOf } from '../../lib/columns/operations.ts'
import { type Fields, numbered } from '../../lib/columns/schema.ts'
import { aggregateType } from '../../lib/pipeline/aggregate-types.ts'
import type { Aggregate, AggregateFunction, AggregatePlan } from '../../lib/pipeline/plan.ts'
import {
  finish,
  fold,
  lateBatch,
  mergePartials,
  resultFields,
  splitClosed,
  stateFields,
  windowEnds,
} from '../../lib/stream/aggregate.ts'
import { decodeSlice, encodeSlice } from '../../lib/stream/slice.ts'
import { expectedResults, isLate, type Row, startOf, type Timed } from './oracle-aggregate.ts'

const NONE = Number.NEGATIVE_INFINITY

const input: Fields = numbered([
  { name: 'symbol', type: 'string', required: true },
  { name: 'side', type: 'string', required: false },
  { name: 'price', type: 'double', required: true },
  { name: 'qty', type: 'double', required: false },
  { name: 'n', type: 'int', required: true },
  { name: 'm', type: 'int', required: false },
  { name: 'id', type: 'long', required: true },
  { name: 'ref', type: 'long', required: false },
  { name: 'ok', type: 'boolean', required: true },
  { name: 'maybe', type: 'boolean', required: false },
  { name: 'at', type: 'timestamptz', required: true },
  { name: 'was', type: 'timestamptz', required: false },
  { name: 'blob', type: 'binary', required: false },
  { name: 'kafka_topic', type: 'string', required: true },
  { name: 'kafka_partition', type: 'int', required: true },
  { name: 'kafka_offset', type: 'long', required: true },
  { name: 'kafka_timestamp', type: 'timestamptz', required: false },
])

const FUNCTIONS: readonly AggregateFunction[] = ['count', 'sum', 'avg', 'min', 'max', 'first', 'last']

/** Every function over every column that it takes. */
const everything: Aggregate[] = [
  { name: 'rows', fn: 'count', of: undefined },
  ...FUNCTIONS.flatMap((fn) =>
    input
      .filter((field) => {
        try {
          aggregateType(fn, field)
          return true
        } catch {
          return false
        }
      })
      .map((field): Aggregate => ({ name: `${fn}_${field.name}`, fn, of: field.name })),
  ),
]

const plan = (more: Partial<AggregatePlan> = {}): AggregatePlan => ({
  id: 'candles',
  source: 'trades',
  input,
  keys: ['symbol'],
  windowMs: 60,
  allowedLatenessMs: 0,
  aggregates: everything,
  fingerprint: 'ab12',
  table: 'agg',
  lateTable: 'agg_late',
  ...more,
})

const money = fc.oneof(
  fc.integer({ min: -100_000, max: 100_000 }).map((cents) => cents / 100),
  fc.constantFrom(0, -0, 0.1, 1e16, -1e16, 1e308, -1e308, 5e-324, 2 ** 53),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
)
const int32 = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.integer())
const int64 = fc.oneof(fc.bigInt({ min: -3n, max: 3n }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))
const text = fc.oneof(fc.constantFrom('', 'a', 'b', 'é', '𝄞', '\uffff'), fc.string({ maxLength: 4 }))
const micros = fc.bigInt({ min: -8_640_000_000_000_000_000n, max: 8_640_000_000_000_000_000n })
const nullable = <T extends Value>(of: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(of, { nil: null, freq: 2 })

const timed: fc.Arbitrary<Timed> = fc
  .record({
    symbol: fc.constantFrom('BTC', 'ETH', 'X'),
    side: nullable(text),
    price: money,
    qty: nullable(money),
    n: int32,
    m: nullable(int32),
    id: int64,
    ref: nullable(int64),
    ok: fc.boolean(),
    maybe: nullable(fc.boolean()),
    at: micros,
    was: nullable(micros),
    blob: nullable(fc.uint8Array({ maxLength: 3 })),
    kafka_partition: fc.nat(2),
    timeMs: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: -130, max: 130 }) },
      fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    ),
    watermark: fc.oneof(fc.constant(NONE), fc.integer({ min: -130, max: 130 })),
  })
  .map(({ timeMs, watermark, ...row }) => ({ row: { ...row, kafka_topic: 't', kafka_timestamp: null }, timeMs, watermark }))

/** Rows with an offset of their own. */
const rowsWith = (arbitrary: fc.Arbitrary<Timed>, maxLength = 40): fc.Arbitrary<Timed[]> =>
  fc
    .array(arbitrary, { maxLength })
    .map((list) => list.map((one, i) => ({ ...one, row: { ...one.row, kafka_offset: BigInt(i) } })))

const batchFrom = (rows: readonly Timed[]): Batch =>
  batchOf(
    input,
    rows.map(({ row }) => row),
  )
const foldRows = (op: AggregatePlan, rows: readonly Timed[]) =>
  fold(
    op,
    batchFrom(rows),
    Float64Array.from(rows, (r) => r.timeMs),
    Float64Array.from(rows, (r) => r.watermark),
  )
const bytesOf = (batch: Batch) => Buffer.from(encodeSlice({ source: 's', target: 'state:x' }, batch))

const keyChoices: fc.Arbitrary<string[]> = fc.constantFrom(
  ['symbol'],
  [],
  ['side'],
  ['symbol', 'side', 'ok'],
  ['m', 'maybe'],
  ['ref'],
  ['qty', 'was'],
  ['blob', 'price', 'id'],
)

describe('folding, merging and finishing', () => {
  test('equals a slow computation over objects, for every function, type and key', () => {
    fc.assert(
      fc.property(rowsWith(timed), keyChoices, fc.constantFrom(0, 25), (rows, keys, allowedLatenessMs) => {
        const op = plan({ keys, allowedLatenessMs })
        const { partials, late, lateWindowStart } = foldRows(op, rows)
        expect(rowsOf(finish(op, mergePartials(op, [partials])))).toEqual(expectedResults(op, rows))
        expect(rowsOf(finish(op, partials))).toEqual(expectedResults(op, rows))
        const expectedLate = rows.flatMap((row, i) => (isLate(op, row) ? [i] : []))
        expect([...late]).toEqual(expectedLate)
        expect([...lateWindowStart].map((ms) => BigInt(ms) * 1000n)).toEqual(expectedLate.map((i) => startOf(op, rows[i].timeMs)))
      }),
      { numRuns: 400 },
    )
  })

  test('gives the same bytes however the rows are split, ordered, nested and sent as slices', () => {
    fc.assert(
      fc.property(
        rowsWith(timed),
        keyChoices,
        fc.array(fc.nat(3), { minLength: 40, maxLength: 40 }),
        fc.array(fc.nat(), { minLength: 40, maxLength: 40 }),
        (rows, keys, parts, shuffle) => {
          const op = plan({ keys })
          const whole = mergePartials(op, [foldRows(op, rows).partials])
          const shuffled = rows.map((row, i) => ({ row, by: shuffle[i] })).sort((a, b) => a.by - b.by)
          const [a, b, c, d] = [0, 1, 2, 3].map((part) => {
            const { partials } = foldRows(
              op,
              shuffled.filter((_, i) => parts[i] === part).map(({ row }) => row),
            )
            return decodeSlice(encodeSlice({ source: 's', target: 'state:candles' }, partials)).batch
          })
          const flat = mergePartials(op, [d, b, a, c])
          const nested = mergePartials(op, [mergePartials(op, [a, mergePartials(op, [c, b])]), mergePartials(op, [d])])
          expect(bytesOf(flat).equals(bytesOf(whole))).toBe(true)
          expect(bytesOf(nested).equals(bytesOf(whole))).toBe(true)
          expect(bytesOf(finish(op, nested)).equals(bytesOf(finish(op, whole)))).toBe(true)
        },
      ),
      { numRuns: 150 },
    )
  })

  test('declares the columns it delivers, and no null in a required one', () => {
    fc.assert(
      fc.property(rowsWith(timed), keyChoices, (rows, keys) => {
        const op = plan({ keys })
        const { partials } = foldRows(op, rows)
        for (const [batch, fields] of [
          [partials, stateFields(op)],
          [mergePartials(op, [partials, partials]), stateFields(op)],
          [finish(op, partials), resultFields(op)],
        ] as const) {
          expect(batch.fields).toEqual(fields)
          expect(batch.vectors.map((vector) => vector.type)).toEqual(fields.map((field) => field.type))
          for (const [k, field] of fields.entries()) if (field.required) expect(batch.vectors[k].validity).toBeUndefined()
        }
      }),
      { numRuns: 100 },
    )
  })

  test('of thousands of keys and windows equals the slow computation', () => {
    const rows: Timed[] = Array.from({ length: 6000 }, (_, i) => ({
      row: {
        symbol: `s${(i * 7919) % 1500}`,
        side: i % 5 === 0 ? null : `k${(i * 31) % 700}`,
        price: ((i * 37) % 1000) / 10,
        qty: null,
        n: i,
        m: null,
        id: BigInt((i * 104729) % 3000),
        ref: null,
        ok: true,
        maybe: null,
        at: 0n,
        was: null,
        blob: null,
        kafka_topic: 't',
        kafka_partition: 0,
        kafka_offset: BigInt(i),
        kafka_timestamp: null,
      },
      timeMs: (i * 13) % 9000,
      watermark: NONE,
    }))
    const aggregates: Aggregate[] = [
      { name: 'open', fn: 'first', of: 'price' },
      { name: 'volume', fn: 'sum', of: 'price' },
    ]
    for (const keys of [['symbol'], ['id'], ['symbol', 'side'], ['side', 'id']]) {
      const op = plan({ keys, aggregates })
      const halves = [foldRows(op, rows.slice(0, 2500)).partials, foldRows(op, rows.slice(2500)).partials]
      expect(rowsOf(finish(op, mergePartials(op, halves)))).toEqual(expectedResults(op, rows))
    }
  })
})

const row = (timeMs: number, more: Row = {}, watermark = NONE): Timed => ({
  row: {
    symbol: 'BTC',
    side: null,
    price: 1,
    qty: null,
    n: 0,
    m: null,
    id: 0n,
    ref: null,
    ok: true,
    maybe: null,
    at: 0n,
    was: null,
    blob: null,
    kafka_topic: 't',
    kafka_partition: 0,
    kafka_offset: 0n,
    kafka_timestamp: null,
    ...more,
  },
  timeMs,
  watermark,
})

const results = (op: AggregatePlan, rows: readonly Timed[]) => rowsOf(finish(op, foldRows(op, rows).partials))

describe('an aggregate', () => {
  const one = (fn: AggregateFunction, of: string, rows: readonly Timed[]) =>
    results(plan({ aggregates: [{ name: 'x', fn, of }] }), rows)[0].x

  test('first and last go by event time, then partition, then offset, never by arrival', () => {
    const rows = [
      row(5, { price: 3, kafka_partition: 1, kafka_offset: 0n }),
      row(5, { price: 2, kafka_partition: 0, kafka_offset: 9n }),
      row(5, { price: 1, kafka_partition: 0, kafka_offset: 8n }),
      row(4, { price: 0, kafka_partition: 7, kafka_offset: 70n }),
    ]
    for (const order of [rows, [...rows].reverse()]) {
      expect(one('first', 'price', order)).toBe(0)
      expect(one('last', 'price', order)).toBe(3)
      expect(
        one(
          'first',
          'price',
          order.filter((r) => r.timeMs === 5),
        ),
      ).toBe(1)
    }
  })

  test('orders -0 below 0', () => {
    for (const prices of [
      [0, -0],
      [-0, 0],
    ]) {
      const rows = prices.map((price) => row(1, { price }))
      expect(Object.is(one('min', 'price', rows), -0)).toBe(true)
      expect(Object.is(one('max', 'price', rows), 0)).toBe(true)
    }
  })

  test('of nulls only is null, but a count is 0', () => {
    const rows = [row(1), row(2)]
    for (const fn of ['sum', 'avg', 'min', 'max', 'first', 'last'] as const) expect(one(fn, 'qty', rows)).toBeNull()
    expect(one('count', 'qty', rows)).toBe(0n)
  })

  test('sum of longs is exact, and null when it does not fit 64 bits', () => {
    const most = 2n ** 63n - 1n
    expect(one('sum', 'id', [row(1, { id: most }), row(1, { id: -5n })])).toBe(most - 5n)
    expect(one('sum', 'id', [row(1, { id: most }), row(1, { id: 1n }), row(1, { id: -1n })])).toBe(most)
    expect(one('sum', 'id', [row(1, { id: most }), row(1, { id: 1n })])).toBeNull()
  })

  test('sum of doubles is exact, rounded once, never -0, infinite when it must be', () => {
    expect(one('sum', 'price', [row(1, { price: 1e308 }), row(1, { price: 1e308 }), row(1, { price: -1e308 })])).toBe(1e308)
    expect(one('sum', 'price', [row(1, { price: 1e308 }), row(1, { price: 1e308 })])).toBe(Number.POSITIVE_INFINITY)
    expect(Object.is(one('sum', 'price', [row(1, { price: -0 })]), 0)).toBe(true)
    expect(one('avg', 'price', [row(1, { price: 0.1 }), row(1, { price: 0.2 }), row(1, { price: 0.3 })])).toBe(0.6 / 3)
  })

  test('keeps -0 and 0 as one key, written as 0', () => {
    const op = plan({ keys: ['price'], aggregates: [{ name: 'n', fn: 'count', of: undefined }] })
    const found = results(op, [row(1, { price: -0 }), row(1, { price: 0 })])
    expect(found).toEqual([{ price: 0, window_start: 0n, window_end: 60_000n, n: 2n }])
  })

  test('refuses types that its function does not take, as a definition error', () => {
    const field = (type: Fields[number]['type']) => ({ id: 1, name: 'c', type, required: true })
    expect(aggregateType('count', undefined)).toEqual({ type: 'long', required: true })
    expect(aggregateType('count', { ...field('binary'), required: false })).toEqual({ type: 'long', required: true })
    expect(aggregateType('sum', field('int'))).toEqual({ type: 'long', required: true })
    expect(aggregateType('sum', field('long'))).toEqual({ type: 'long', required: false })
    expect(aggregateType('avg', { ...field('long'), required: false })).toEqual({ type: 'double', required: false })
    expect(aggregateType('first', field('binary'))).toEqual({ type: 'binary', required: true })
    for (const [fn, type] of [
      ['sum', 'string'],
      ['avg', 'timestamptz'],
      ['min', 'binary'],
      ['max', 'binary'],
      ['sum', 'boolean'],
    ] as const)
      expect(() => aggregateType(fn, field(type))).toThrow(expect.objectContaining({ kind: 'InvalidPipeline' }))
    expect(() => aggregateType('sum', undefined)).toThrow(expect.objectContaining({ kind: 'InvalidPipeline' }))
  })
})

describe('windows of an aggregate', () => {
  const op = plan({ aggregates: [{ name: 'n', fn: 'count', of: undefined }], allowedLatenessMs: 5 })

  test('before 1970 and at the ends of time are whole and exact', () => {
    const farthest = 8_640_000_000_000_000
    const starts = results(op, [row(-1), row(-60), row(-61), row(farthest), row(-farthest)]).map((r) => r.window_start)
    expect(starts).toEqual([-8_640_000_000_000_000_000n, -120_000n, -60_000n, 8_640_000_000_000_000_000n])
  })

  test('are closed exactly when their end plus the allowed lateness is at or below the watermark', () => {
    const { partials } = foldRows(op, [row(0), row(60), row(61, { symbol: 'ETH' })])
    const counts = (watermark: number) => {
      const { closed, open } = splitClosed(op, partials, watermark)
      expect(closed.rows + open.rows).toBe(partials.rows)
      return [closed.rows, open.rows]
    }
    expect(counts(NONE)).toEqual([0, 3])
    expect(counts(64)).toEqual([0, 3])
    expect(counts(65)).toEqual([1, 2])
    expect(counts(124)).toEqual([1, 2])
    expect(counts(125)).toEqual([3, 0])
    expect(windowEnds(op, partials)).toEqual({ least: 60, greatest: 120 })
    expect(windowEnds(op, foldRows(op, []).partials)).toEqual({ least: Number.POSITIVE_INFINITY, greatest: NONE })
  })

  test('of no rows, or late rows only, have no partial state', () => {
    expect(foldRows(op, []).partials).toMatchObject({ rows: 0, fields: stateFields(op) })
    const folded = foldRows(op, [row(0, {}, 65), row(1, {}, 66)])
    expect(folded.partials).toMatchObject({ rows: 0, fields: stateFields(op) })
    expect([...folded.late]).toEqual([0, 1])
    expect(mergePartials(op, [])).toMatchObject({ rows: 0, fields: stateFields(op) })
    expect(finish(op, mergePartials(op, []))).toMatchObject({ rows: 0, fields: resultFields(op) })
  })

  test('leave late rows whole, with the window they missed and the watermark that made them late', () => {
    const rows = [row(0, { price: 7 }), row(-70, { price: 8, side: 'buy', kafka_offset: 4n }, 1000), row(2000)]
    const { late, lateWindowStart } = foldRows(op, rows)
    const fields = numbered([
      ...input.filter((f) => ['symbol', 'side', 'price'].includes(f.name)),
      ...input.filter((f) => f.name.startsWith('kafka_')),
      { name: 'window_start', type: 'timestamptz', required: true },
      { name: 'window_end', type: 'timestamptz', required: true },
      { name: 'watermark', type: 'timestamptz', required: true },
    ])
    const found = lateBatch(op, batchFrom(rows), late, lateWindowStart, Float64Array.of(NONE, 1000, 1000), fields)
    expect(found.fields).toBe(fields)
    expect(rowsOf(found)).toEqual([
      {
        symbol: 'BTC',
        side: 'buy',
        price: 8,
        kafka_topic: 't',
        kafka_partition: 0,
        kafka_offset: 4n,
        kafka_timestamp: null,
        window_start: -120_000n,
        window_end: -60_000n,
        watermark: 1_000_000n,
      },
    ])
  })

  test('merge over batches whose dictionaries differ', () => {
    const parts = ['A', 'B', 'A'].map((symbol, i) => foldRows(op, [row(i, { symbol })]).partials)
    expect(concat(parts).rows).toBe(3)
    expect(rowsOf(finish(op, mergePartials(op, parts))).map((r) => [r.symbol, r.n])).toEqual([
      ['A', 2n],
      ['B', 1n],
    ])
  })
})
