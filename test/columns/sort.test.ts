import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Batch, Value, Vector } from '../../lib/columns/batch.ts'
import { batchBuilder, batchOf, rowsOf, take } from '../../lib/columns/operations.ts'
import { type ColumnType, type Fields, numbered } from '../../lib/columns/schema.ts'
import { sortedRows } from '../../lib/columns/sort.ts'

const types: readonly ColumnType[] = ['boolean', 'int', 'long', 'double', 'string', 'binary', 'timestamptz']
const longs = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -3n, max: 3n }),
  fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, -(2n ** 32n), 2n ** 32n - 1n, 2n ** 32n, 1_705_641_634_567_891n),
)
const arbitraries: Readonly<Record<ColumnType, fc.Arbitrary<Value>>> = {
  boolean: fc.boolean(),
  int: fc.oneof(fc.integer(), fc.integer({ min: -2, max: 2 }), fc.constantFrom(-(2 ** 31), 2 ** 31 - 1)),
  long: longs,
  timestamptz: longs,
  double: fc.oneof(fc.double(), fc.constantFrom(0, -0, 1, -1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY)),
  string: fc.oneof(fc.constantFrom('', 'a', 'ab', 'ab\0', 'ab\0\0', 'abcd', 'abcde', 'é', '😀'), fc.string({ maxLength: 12 })),
  binary: fc.oneof(fc.uint8Array({ maxLength: 9 }), fc.constantFrom(Uint8Array.of(0, 0, 0, 0), Uint8Array.of(0, 0, 0, 0, 0))),
}

type SortBy = readonly { readonly column: string; readonly direction: 'asc' | 'desc' }[]

/** What the order is, one pair of values at a time. */
function compare(a: Value, b: Value): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null)
  if (typeof a === 'string' || a instanceof Uint8Array) return Buffer.compare(bytesOf(a), bytesOf(b as string | Uint8Array))
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b))
  if (a === 0 && b === 0) return Number(Object.is(b, -0)) - Number(Object.is(a, -0))
  return a < b! ? -1 : a > b! ? 1 : 0
}

const bytesOf = (value: string | Uint8Array) => Buffer.from(value as string)

function naivelySorted(rows: readonly Readonly<Record<string, Value>>[], sortBy: SortBy): number[] {
  const order = rows.map((_, i) => i)
  return order.sort((i, j) => {
    for (const { column, direction } of sortBy) {
      const sign = direction === 'asc' ? 1 : -1
      const result = sign * compare(rows[i]![column]!, rows[j]![column]!)
      if (result !== 0) return result
    }
    return i - j
  })
}

/** The same batch with its strings and binaries spelled out instead of in a dictionary. */
function plain(batch: Batch): Batch {
  return {
    ...batch,
    vectors: batch.vectors.map((vector): Vector => {
      if ((vector.type !== 'string' && vector.type !== 'binary') || vector.codes === undefined) return vector
      const parts = Array.from(vector.codes, (code) => vector.bytes.slice(vector.offsets[code], vector.offsets[code + 1]))
      const offsets = new Int32Array(parts.length + 1)
      for (const [i, part] of parts.entries()) offsets[i + 1] = offsets[i]! + part.length
      return { ...vector, codes: undefined, entries: parts.length, offsets, bytes: new Uint8Array(Buffer.concat(parts)) }
    }),
  }
}

const table = fc
  .array(fc.record({ type: fc.constantFrom(...types), required: fc.boolean(), direction: fc.constantFrom('asc', 'desc') }), {
    minLength: 1,
    maxLength: 3,
  })
  .chain((columns) => {
    const fields: Fields = columns.map(({ type, required }, i) => ({ id: i + 1, name: `c${i}`, type, required }))
    const row = fc.record(
      Object.fromEntries(
        fields.map((field) => [
          field.name,
          field.required ? arbitraries[field.type] : fc.oneof(fc.constant(null), arbitraries[field.type]),
        ]),
      ),
    )
    const sortBy: SortBy = columns.map(({ direction }, i) => ({ column: `c${i}`, direction }))
    return fc.record({
      fields: fc.constant(fields),
      sortBy: fc.constant(sortBy),
      rows: fc.array(row, { maxLength: 300, size: 'max' }),
    })
  })

describe('sorted rows', () => {
  test('are those of a plain comparison, for all types, nulls, directions and forms of strings', () => {
    fc.assert(
      fc.property(table, fc.boolean(), ({ fields, sortBy, rows }, spelledOut) => {
        const batch = batchOf(fields, rows)
        expect([...sortedRows(spelledOut ? plain(batch) : batch, sortBy)]).toEqual(naivelySorted(rows, sortBy))
      }),
      { numRuns: 400 },
    )
  })

  test('are the same for many rows, strings with long common beginnings among them', () => {
    const fields = numbered([
      { name: 'key', type: 'string', required: true },
      { name: 'ts', type: 'long', required: false },
      { name: 'price', type: 'double', required: true },
    ] as const)
    const rows = Array.from({ length: 20_000 }, (_, i) => {
      const noise = Math.imul(i + 1, 0x9e3779b1) >>> 0
      return {
        key: `a key of the house ${'x'.repeat(noise % 5)}${noise % 3 === 0 ? '' : (noise % 4096).toString(16)}`,
        ts: noise % 11 === 0 ? null : BigInt(noise % 5) * 2n ** 61n - 2n ** 62n + BigInt(noise >>> 20),
        price: ((noise % 1000) - 500) / 8,
      }
    })
    const sortBy: SortBy = [
      { column: 'key', direction: 'desc' },
      { column: 'ts', direction: 'asc' },
      { column: 'price', direction: 'desc' },
    ]
    const expected = naivelySorted(rows, sortBy)
    const batch = batchOf(fields, rows)
    expect([...sortedRows(batch, sortBy)]).toEqual(expected)
    expect([...sortedRows(plain(batch), sortBy)]).toEqual(expected)
  })

  test('NaN of any bits comes behind Infinity, and keeps its order', () => {
    const values = new Float64Array(4)
    new BigInt64Array(values.buffer).set([-1n, 0x7ff0000000000000n, 0x7ff8000000000000n, 0n])
    const batch: Batch = {
      fields: numbered([{ name: 'd', type: 'double', required: true }] as const),
      rows: 4,
      vectors: [{ type: 'double', values, validity: undefined }],
    }
    expect([...sortedRows(batch, [{ column: 'd', direction: 'asc' }])]).toEqual([3, 1, 0, 2])
    expect([...sortedRows(batch, [{ column: 'd', direction: 'desc' }])]).toEqual([0, 2, 1, 3])
  })

  test('look at no value behind the rows, and at equal entries of a dictionary as equal', () => {
    const fields = numbered([{ name: 's', type: 'string', required: true }] as const)
    const batch: Batch = {
      fields,
      rows: 3,
      vectors: [
        {
          type: 'string',
          codes: Int32Array.of(1, 2, 0, 0),
          entries: 3,
          offsets: Int32Array.of(0, 1, 2, 3),
          bytes: Buffer.from('aba'),
          validity: undefined,
        },
      ],
    }
    expect([...sortedRows(batch, [{ column: 's', direction: 'asc' }])]).toEqual([1, 2, 0])
  })
})

describe('a batch builder', () => {
  test('holds all rows of its batches, whatever their number, form and nulls', () => {
    fc.assert(
      fc.property(
        table,
        fc.nat(40),
        fc.array(fc.tuple(fc.nat(30), fc.boolean()), { maxLength: 6 }),
        ({ fields, rows }, expectedRows, cuts) => {
          const builder = batchBuilder(fields, expectedRows)
          let at = 0
          for (const [count, spelledOut] of cuts) {
            const batch = batchOf(fields, rows.slice(at, at + count))
            builder.append(spelledOut ? plain(batch) : batch)
            at = Math.min(rows.length, at + count)
          }
          expect(builder.rows).toBe(at)
          expect(rowsOf(builder.finish())).toEqual(rows.slice(0, at))
        },
      ),
    )
  })

  test('takes a part of a spelled out batch, and a dictionary behind it', () => {
    const fields = numbered([{ name: 's', type: 'string', required: true }] as const)
    const words = batchOf(fields, [{ s: 'one' }, { s: 'two' }, { s: 'a word of more than twenty-four bytes' }])
    const builder = batchBuilder(fields, 0)
    builder.append({ ...plain(words), rows: 2 })
    builder.append(take(words, Int32Array.of(2, 0)))
    expect(rowsOf(builder.finish()).map(({ s }) => s)).toEqual(['one', 'two', 'a word of more than twenty-four bytes', 'one'])
  })

  test('refuses batches of other columns', () => {
    const builder = batchBuilder(numbered([{ name: 'a', type: 'int', required: true }] as const), 1)
    expect(() => builder.append(batchOf(numbered([{ name: 'b', type: 'int', required: true }] as const), []))).toThrow(
      'Cannot concatenate batches: expected a int, found b int.',
    )
  })
})
