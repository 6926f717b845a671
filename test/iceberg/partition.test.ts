import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { numbered } from '../../lib/columns/schema.ts'
import { batchOf, rowsOf } from '../../lib/columns/values.ts'
import { partitionPath, routeByPartition } from '../../lib/iceberg/partition.ts'
import { comparePartitionValues, partitionValueFromJson, partitionValueToJson } from '../../lib/iceberg/partition-value.ts'
import type { PartitionField } from '../../lib/pipeline/plan.ts'

const fields = numbered([
  { name: 'time', type: 'timestamptz', required: false },
  { name: 'symbol', type: 'string', required: false },
  { name: 'n', type: 'long', required: true },
])
const day: PartitionField = { column: 'time', transform: { kind: 'day' } }
const symbol: PartitionField = { column: 'symbol', transform: { kind: 'identity' } }
const n: PartitionField = { column: 'n', transform: { kind: 'identity' } }
const DAY = 86_400_000_000n
const batch = (rows: [bigint | null, string | null, bigint?][]) =>
  batchOf(
    fields,
    rows.map(([time, sym, value = 0n]) => ({ time, symbol: sym, n: value })),
  )
const routed = (by: PartitionField[], rows: [bigint | null, string | null, bigint?][]) =>
  routeByPartition(by, batch(rows)).map(({ values, rows: r }) => [values, [...r]])

describe('routing rows to partitions', () => {
  it('a batch that lies in one day is one route of all its rows', () => {
    expect(
      routed(
        [day],
        [
          [1n, 'a'],
          [DAY - 1n, 'b'],
          [0n, 'c'],
        ],
      ),
    ).toEqual([[[0], [0, 1, 2]]])
  })

  it('routes come in the order of their first rows, rows ascend', () => {
    expect(
      routed(
        [day],
        [
          [DAY, 'a'],
          [0n, 'b'],
          [null, 'c'],
          [DAY + 5n, 'd'],
          [-1n, 'e'],
        ],
      ),
    ).toEqual([
      [[1], [0, 3]],
      [[0], [1]],
      [[null], [2]],
      [[-1], [4]],
    ])
  })

  it('without partition fields all rows go one way; an empty batch has no route', () => {
    expect(
      routed(
        [],
        [
          [1n, 'a'],
          [2n, 'b'],
        ],
      ),
    ).toEqual([[[], [0, 1]]])
    expect(routed([day], [])).toEqual([])
  })

  it('the key tells null from "null" and one from "1", and is the same in other batches', () => {
    const keys = routeByPartition(
      [symbol],
      batch([
        [0n, null],
        [0n, 'null'],
        [0n, '1'],
        [0n, ''],
      ]),
    ).map((route) => route.key)
    expect(new Set(keys).size).toBe(4)
    expect(
      routeByPartition(
        [symbol],
        batch([
          [0n, 'x'],
          [0n, 'null'],
        ]),
      )[1].key,
    ).toBe(keys[1])
  })

  it('every row goes to exactly the tuple of its own values, however many fields', () => {
    const row = fc.tuple(
      fc.option(fc.bigInt({ min: -3n * DAY, max: 3n * DAY })),
      fc.option(fc.constantFrom('a', 'b', 'c')),
      fc.bigInt({ min: -2n, max: 2n }),
    )
    fc.assert(
      fc.property(fc.array(row, { maxLength: 40 }), fc.subarray([day, symbol, n]), (rows, by) => {
        const expected = new Map<string, number[]>()
        for (const [i, [time, sym, value]] of rows.entries()) {
          const tuple = by.map((field) =>
            field === symbol
              ? sym
              : field === n
                ? value
                : time === null
                  ? null
                  : Number((time - (((time % DAY) + DAY) % DAY)) / DAY),
          )
          const key = JSON.stringify(tuple.map(partitionValueToJson))
          expected.set(key, [...(expected.get(key) ?? []), i])
        }
        expect(new Map(routeByPartition(by, batch(rows)).map((route) => [route.key, [...route.rows]]))).toEqual(expected)
      }),
    )
  })

  it('takes more combinations than a table of codes would hold', () => {
    const many = Array.from({ length: 3000 }, (_, i): [bigint, string, bigint] => [0n, `s${i % 1500}`, BigInt(i % 2000)])
    const routes = routeByPartition([symbol, n], batch(many))
    expect(routes.reduce((sum, route) => sum + route.rows.length, 0)).toBe(3000)
    for (const { values, rows } of routes) for (const i of rows) expect([many[i][1], many[i][2]]).toEqual(values)
  })

  it('rows beyond the batch, which its arrays may hold, are left alone', () => {
    const full = batch([
      [0n, 'a'],
      [0n, 'b'],
      [DAY, 'c'],
    ])
    expect(routeByPartition([day], { ...full, rows: 2 }).map((route) => [...route.rows])).toEqual([[0, 1]])
    expect(rowsOf(full)).toHaveLength(3)
  })
})

describe('partition paths', () => {
  const path = (column: string, transform: PartitionField['transform'], value: Parameters<typeof partitionPath>[1][number]) =>
    partitionPath({ fields, partitionBy: [{ column, transform }] }, [value])

  it('are named as Iceberg names them', () => {
    expect(path('time', { kind: 'year' }, 54)).toBe('time_year=2024')
    expect(path('time', { kind: 'month' }, 648)).toBe('time_month=2024-01')
    expect(path('time', { kind: 'day' }, 19737)).toBe('time_day=2024-01-15')
    expect(path('time', { kind: 'hour' }, 19737 * 24 + 7)).toBe('time_hour=2024-01-15-07')
    expect(path('time', { kind: 'day' }, -1)).toBe('time_day=1969-12-31')
    expect(path('time', { kind: 'hour' }, -1)).toBe('time_hour=1969-12-31-23')
    expect(path('time', { kind: 'month' }, -1)).toBe('time_month=1969-12')
    expect(path('symbol', { kind: 'bucket', buckets: 4 }, 3)).toBe('symbol_bucket=3')
    expect(path('time', { kind: 'day' }, null)).toBe('time_day=null')
    expect(path('n', { kind: 'identity' }, 2n ** 62n)).toBe('n=4611686018427387904')
    expect(path('time', { kind: 'identity' }, -1_500_000n)).toBe('time=1969-12-31T23%3A59%3A58.500000%2B00%3A00')
    expect(path('symbol', { kind: 'identity' }, Uint8Array.of(255, 254))).toBe('symbol=%2F%2F4%3D')
    expect(partitionPath({ fields, partitionBy: [day, symbol] }, [0, 'x'])).toBe('time_day=1970-01-01/symbol=x')
    expect(partitionPath({ fields, partitionBy: [] }, [])).toBe('')
  })

  it("encode what Java's URLEncoder encodes", () => {
    expect(path('symbol', { kind: 'identity' }, "a b/c=d%~!'()*-._ä")).toBe('symbol=a+b%2Fc%3Dd%25%7E%21%27%28%29*-._%C3%A4')
    expect(path('symbol', { kind: 'identity' }, '..')).toBe('symbol=..')
  })

  it('stay short enough for a file system, whatever the value', () => {
    expect(path('symbol', { kind: 'identity' }, 'ä'.repeat(500))).toHaveLength(200)
  })
})

describe('partition values', () => {
  it('survive JSON, whatever they are', () => {
    const value = fc.oneof(
      fc.boolean(),
      fc.double(),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.string(),
      fc.uint8Array(),
      fc.constant(null),
    )
    fc.assert(
      fc.property(value, (v) => {
        expect(partitionValueFromJson(JSON.parse(JSON.stringify(partitionValueToJson(v))))).toEqual(v)
      }),
    )
  })

  it('are ordered as Iceberg orders them', () => {
    const ordered = (a: Parameters<typeof comparePartitionValues>[0], b: typeof a) => {
      expect(comparePartitionValues(a, b)).toBeLessThan(0)
      expect(comparePartitionValues(b, a)).toBeGreaterThan(0)
      expect(comparePartitionValues(a, a)).toBe(0)
    }
    ordered(-1, 2)
    ordered(-0, 0)
    ordered(-(2n ** 63n), 2n)
    ordered(false, true)
    ordered('\uffff', '\u{10000}')
    ordered(Uint8Array.of(1), Uint8Array.of(255))
  })
})
