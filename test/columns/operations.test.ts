import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Batch, Value, Vector } from '../../lib/columns/batch.ts'
import { batchOf, concat, emptyBatch, project, rowsOf, select, take, valueAt } from '../../lib/columns/operations.ts'
import { numbered } from '../../lib/columns/schema.ts'

const types = ['boolean', 'int', 'long', 'double', 'string', 'binary', 'timestamptz'] as const
const fields = numbered([
  ...types.map((type) => ({ name: type, type, required: true })),
  ...types.map((type) => ({ name: `${type}_optional`, type, required: false })),
])
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const values = {
  boolean: fc.boolean(),
  int: fc.integer(),
  long: int64,
  double: fc.double(),
  string: fc.oneof(fc.constantFrom('BUY', 'SELL', ''), fc.string({ unit: 'grapheme', maxLength: 40 })),
  binary: fc.uint8Array({ maxLength: 40 }),
  timestamptz: int64,
}
const row: fc.Arbitrary<Record<string, Value>> = fc.record(
  Object.fromEntries(
    fields.map(({ name, type, required }) => [
      name,
      required ? values[type] : fc.option(values[type] as fc.Arbitrary<Value>, { nil: null }),
    ]),
  ),
)
const rows = fc.array(row, { maxLength: 12 })

/** The same batch with its strings and binaries spelled out instead of in a dictionary, and slack behind the rows. */
function plain(batch: Batch): Batch {
  return {
    ...batch,
    vectors: batch.vectors.map((vector): Vector => {
      if (vector.type !== 'string' && vector.type !== 'binary') return vector
      const parts = Array.from({ length: batch.rows }, (_, i) => {
        const entry = vector.codes?.[i] ?? i
        return vector.bytes.subarray(vector.offsets[entry], vector.offsets[entry + 1])
      })
      const offsets = new Int32Array(batch.rows + 1)
      for (const [i, part] of parts.entries()) offsets[i + 1] = offsets[i] + part.length
      const bytes = Uint8Array.from(parts.flatMap((part) => [...part]))
      return { type: vector.type, codes: undefined, entries: batch.rows, offsets, bytes, validity: vector.validity }
    }),
  }
}

test('rows put into a batch come out the same', () => {
  fc.assert(
    fc.property(rows, (list) => {
      expect(rowsOf(batchOf(fields, list))).toEqual(list)
    }),
  )
})

test('take gathers rows, repeated and in any order, with or without a dictionary', () => {
  fc.assert(
    fc.property(
      fc.array(row, { minLength: 1, maxLength: 12 }),
      fc.array(fc.nat(), { maxLength: 20 }),
      fc.boolean(),
      (list, picks, isPlain) => {
        const at = Int32Array.from(picks, (pick) => pick % list.length)
        const batch = batchOf(fields, list)
        const taken = take(isPlain ? plain(batch) : batch, at)
        expect(rowsOf(taken)).toEqual([...at].map((i) => list[i]))
        const half = at.length >> 1
        expect(rowsOf(take(batch, at, half))).toEqual([...at.subarray(0, half)].map((i) => list[i]))
      },
    ),
  )
})

test('take shares the dictionary', () => {
  const batch = batchOf(numbered([{ name: 's', type: 'string', required: true }]), [{ s: 'a' }, { s: 'b' }])
  expect(take(batch, Int32Array.of(1)).vectors[0]).toMatchObject({
    bytes: (batch.vectors[0] as { bytes: Uint8Array }).bytes,
    codes: Int32Array.of(1),
  })
})

test('concat puts batches one behind the other, dictionaries merged, plain ones and slices of larger ones among them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(rows, fc.constantFrom('dictionary', 'plain', 'longer')), { minLength: 1, maxLength: 4 }),
      (parts) => {
        const batches = parts.map(([list, form]) => {
          if (form === 'plain') return plain(batchOf(fields, list))
          if (form === 'dictionary') return batchOf(fields, list)
          return { ...batchOf(fields, [...list, ...list]), rows: list.length }
        })
        expect(rowsOf(concat(batches))).toEqual(parts.flatMap(([list]) => list))
      },
    ),
  )
})

test('concat merges dictionaries by bytes and drops entries that no row uses', () => {
  const field = numbered([{ name: 's', type: 'string', required: true }])
  const a = batchOf(field, [{ s: 'x' }, { s: 'gone' }, { s: 'y' }])
  const b = batchOf(field, [{ s: 'y' }, { s: 'z' }])
  const merged = concat([take(a, Int32Array.of(0, 2)), b])
  expect(merged.vectors[0]).toMatchObject({ entries: 3, codes: Int32Array.of(0, 1, 1, 2) })
})

test('concat refuses batches of other columns, and none', () => {
  const a = batchOf(numbered([{ name: 'a', type: 'int', required: true }]), [])
  const b = batchOf(numbered([{ name: 'a', type: 'long', required: true }]), [])
  expect(() => concat([a, b])).toThrow('expected a int, found a long')
  expect(() => concat([])).toThrow('expected at least one, found none')
})

describe('select', () => {
  const source = batchOf(
    numbered([
      { name: 'a', type: 'int', required: true },
      { name: 'b', type: 'string', required: false },
    ]),
    [
      { a: 1, b: 'x' },
      { a: 2, b: null },
    ],
  )

  test('finds columns by name, takes the ids of the target and copies nothing', () => {
    const target = [
      { id: 7, name: 'b', type: 'string', required: false },
      { id: 9, name: 'a', type: 'int', required: false },
    ] as const
    const selected = select(source, target)
    expect(selected.fields).toBe(target)
    expect(selected.vectors[1]).toBe(source.vectors[0])
    expect(rowsOf(selected)).toEqual([
      { a: 1, b: 'x' },
      { a: 2, b: null },
    ])
  })

  test('makes a column required only when every row has a value', () => {
    const target = [{ id: 1, name: 'b', type: 'string', required: true }] as const
    expect(() => select(source, target)).toThrow(
      'Cannot select required column b: expected a value in every row, found null in row 1.',
    )
    const valid = select({ ...source, rows: 1 }, target)
    expect(valid.vectors[0].validity).toBeUndefined()
    expect(rowsOf(valid)).toEqual([{ b: 'x' }])
  })

  test('refuses a missing column and another type', () => {
    expect(() => select(source, [{ id: 1, name: 'c', type: 'int', required: true }])).toThrow('Cannot find column c')
    expect(() => select(source, [{ id: 1, name: 'a', type: 'long', required: true }])).toThrow('expected long, found int')
  })
})

describe('project', () => {
  test('is as select for all that the batch has', () => {
    fc.assert(
      fc.property(rows, (values) => {
        const batch = batchOf(fields, values)
        const target = fields.toReversed()
        expect(project(batch, target)).toEqual(select(batch, target))
      }),
    )
  })

  test('makes an optional column that the batch lacks null, of any type, beside batches that have it', () => {
    fc.assert(
      fc.property(rows, rows, (before, after) => {
        const older = batchOf(
          fields.filter(({ required }) => required),
          before,
        )
        const all = concat([project(older, fields), batchOf(fields, after)])
        const nulls = Object.fromEntries(fields.filter(({ required }) => !required).map(({ name }) => [name, null]))
        expect(rowsOf(all)).toEqual(rowsOf(batchOf(fields, [...before.map((row) => ({ ...row, ...nulls })), ...after])))
        expect(
          rowsOf(
            take(
              all,
              Int32Array.from({ length: all.rows }, (_, i) => i),
            ),
          ),
        ).toEqual(rowsOf(all))
      }),
    )
  })

  test('refuses a required column that the batch lacks, and another type', () => {
    const batch = batchOf(numbered([{ name: 'a', type: 'int', required: true }]), [{ a: 1 }])
    expect(() => project(batch, [{ id: 1, name: 'b', type: 'int', required: true }])).toThrow('Cannot find column b')
    expect(() => project(batch, [{ id: 1, name: 'a', type: 'long', required: false }])).toThrow('expected long, found int')
  })
})

test('an empty batch has every column and no rows, and concatenates', () => {
  const batch = batchOf(fields, [])
  expect(rowsOf(emptyBatch(fields))).toEqual([])
  expect(emptyBatch(fields).vectors.map((vector) => vector.type)).toEqual(fields.map((field) => field.type))
  expect(concat([emptyBatch(fields), batch, emptyBatch(fields)]).rows).toBe(0)
})

test('a batch is not built from values of another type', () => {
  const build = (type: (typeof types)[number], value: Value) => () =>
    batchOf(numbered([{ name: 'x', type, required: true }]), [{ x: value }])
  expect(build('int', 1.5)).toThrow('Cannot build column x: expected int, found a number.')
  expect(build('int', 2 ** 31)).toThrow('expected int')
  expect(build('long', 2 ** 53)).toThrow('expected long')
  expect(build('long', 2n ** 63n)).toThrow('expected long')
  expect(build('boolean', 1)).toThrow('expected boolean')
  expect(build('double', 1n)).toThrow('expected double')
  expect(build('string', Uint8Array.of(1))).toThrow('expected string')
  expect(build('binary', 'text')).toThrow('expected binary')
  expect(build('string', null)).toThrow('expected a value in every row, found null in row 0')
})

test('a value read from a binary column is a copy', () => {
  const batch = batchOf(numbered([{ name: 'x', type: 'binary', required: true }]), [{ x: Uint8Array.of(1) }])
  const value = valueAt(batch.vectors[0], 0) as Uint8Array
  value[0] = 9
  expect(valueAt(batch.vectors[0], 0)).toEqual(Uint8Array.of(1))
})
