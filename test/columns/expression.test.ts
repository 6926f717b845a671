import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Value } from '../../lib/columns/batch.ts'
import { evaluate, evaluateComputed, filterRows, MAX_INSTANT_MS } from '../../lib/columns/evaluate.ts'
import { type Expression, typeOf } from '../../lib/columns/expression.ts'
import { batchOf, valueAt } from '../../lib/columns/operations.ts'
import { type ColumnType, type Fields, numbered } from '../../lib/columns/schema.ts'
import { isKind } from '../../lib/errors.ts'

const column = (name: string): Expression => ({ op: 'column', name })
const literal = (type: ColumnType, value: boolean | number | string): Expression => ({ op: 'literal', type, value })
const comparisons = ['eq', 'ne', 'lt', 'le', 'gt', 'ge'] as const

/** The values of an expression over columns given as lists. */
function over(columns: Record<string, { type: ColumnType; values: readonly Value[] }>, expression: Expression): Value[] {
  const fields = numbered(
    Object.entries(columns).map(([name, { type, values }]) => ({ name, type, required: !values.includes(null) })),
  )
  const count = Object.values(columns)[0].values.length
  const rows = Array.from({ length: count }, (_, i) =>
    Object.fromEntries(Object.entries(columns).map(([name, c]) => [name, c.values[i]])),
  )
  const type = typeOf(expression, fields)
  const vector = evaluate(expression, batchOf(fields, rows))
  const result = rows.map((_, i) => valueAt(vector, i))
  expect(vector.type).toBe(type.type)
  if (type.required) expect(result).not.toContain(null)
  return result
}

describe('types', () => {
  const fields: Fields = numbered([
    ...(['boolean', 'int', 'long', 'double', 'string', 'binary', 'timestamptz'] as const).map((type) => ({
      name: type,
      type,
      required: true,
    })),
    { name: 'maybe', type: 'long', required: false },
  ])
  const compare = (left: string, right: string): Expression => ({ op: 'lt', left: column(left), right: column(right) })

  test('follow from the columns', () => {
    expect(typeOf(column('string'), fields)).toEqual({ type: 'string', required: true, requiredInRange: true })
    expect(typeOf(column('maybe'), fields)).toEqual({ type: 'long', required: false, requiredInRange: false })
    expect(typeOf(compare('int', 'double'), fields)).toMatchObject({ type: 'boolean', required: true })
    expect(typeOf(compare('int', 'maybe'), fields)).toMatchObject({ type: 'boolean', required: false })
    expect(typeOf({ op: 'isNull', of: column('maybe') }, fields)).toMatchObject({ type: 'boolean', required: true })
    expect(typeOf({ op: 'add', left: column('int'), right: column('long') }, fields)).toMatchObject({
      type: 'double',
      required: false,
    })
  })

  test('of a timestamp conversion are nullable, unless rows out of range are taken away', () => {
    expect(typeOf({ op: 'timestampMillis', of: column('long') }, fields)).toEqual({
      type: 'timestamptz',
      required: false,
      requiredInRange: true,
    })
    expect(typeOf({ op: 'timestampMillis', of: column('maybe') }, fields)).toEqual({
      type: 'timestamptz',
      required: false,
      requiredInRange: false,
    })
    const inside: Expression = { op: 'eq', left: { op: 'timestampMillis', of: column('long') }, right: column('timestamptz') }
    expect(typeOf(inside, fields)).toMatchObject({ required: false, requiredInRange: false })
  })

  test.each<[string, Expression, string]>([
    [
      'an unknown column',
      column('nope'),
      'Cannot use column: expected a column among boolean, int, long, double, string, binary, timestamptz, maybe, found nope.',
    ],
    [
      'a string beside a number',
      compare('string', 'int'),
      'Cannot use lt: expected two numbers, strings, booleans or timestamps, found string and int.',
    ],
    ['a timestamp beside a long', compare('timestamptz', 'long'), 'found timestamptz and long'],
    ['binaries', compare('binary', 'binary'), 'found binary and binary'],
    ['a boolean beside a number', compare('boolean', 'int'), 'found boolean and int'],
    [
      'a sum with a string',
      { op: 'add', left: column('int'), right: column('string') },
      'Cannot use add: expected numbers, found string.',
    ],
    ['not of a number', { op: 'not', of: column('int') }, 'Cannot use not: expected a boolean, found int.'],
    [
      'and over a string',
      { op: 'and', of: [column('boolean'), column('string')] },
      'Cannot use and: expected booleans, found string.',
    ],
    ['or over nothing', { op: 'or', of: [] }, 'Cannot use or: expected at least one condition, found none.'],
    [
      'a time of a double',
      { op: 'timestampMillis', of: column('double') },
      'Cannot use timestampMillis: expected an int or a long, found double.',
    ],
    [
      'a long literal with a fraction',
      literal('long', 1.5),
      'Cannot use literal: expected a value of type long, found number 1.5.',
    ],
    ['a long literal that is no number', literal('long', '1e3'), 'found string "1e3"'],
    ['a long literal beyond 64 bits', literal('long', '9223372036854775808'), 'expected a value of type long'],
    ['an int literal beyond 32 bits', literal('int', 2 ** 31), 'expected a value of type int'],
    ['an infinite double', literal('double', Number.POSITIVE_INFINITY), 'expected a value of type double'],
    ['a number as a string', literal('string', 1), 'expected a value of type string'],
    ['half a surrogate pair', literal('string', '\ud800'), 'expected a value of type string'],
    ['a boolean in quotes', literal('boolean', 'true'), 'expected a value of type boolean'],
    ['an unknown column inside', { op: 'isNull', of: column('nope') }, 'found nope'],
  ])('refuse %s', (_, expression, message) => {
    let error: unknown
    try {
      typeOf(expression, fields)
    } catch (caught) {
      error = caught
    }
    expect(isKind(error, 'InvalidPipeline')).toBe(true)
    expect((error as Error).message).toContain(message)
  })
})

describe('comparisons', () => {
  /** The exact order of two numbers of any type: both as fractions of 2^1074. */
  const scaled = (value: number | bigint): bigint => {
    if (typeof value === 'bigint') return value << 1074n
    const view = new DataView(new ArrayBuffer(8))
    view.setFloat64(0, value)
    const bits = view.getBigUint64(0)
    const exponent = (bits >> 52n) & 0x7ffn
    const fraction = bits & 0xfffffffffffffn
    const magnitude = exponent === 0n ? fraction : (fraction | 0x10000000000000n) << (exponent - 1n)
    return bits >> 63n ? -magnitude : magnitude
  }
  const long = fc.oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.bigInt({ min: -3n, max: 3n }),
    fc.constantFrom(2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)),
  )
  const double = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer({ min: -3, max: 3 }), long.map(Number))
  const operands = { int: fc.oneof(fc.integer(), fc.integer({ min: -3, max: 3 })), long, double }
  const numeric = ['int', 'long', 'double'] as const
  const pair = fc
    .constantFrom(...numeric.flatMap((left) => numeric.map((right) => [left, right] as const)))
    .chain(([left, right]) =>
      fc.record({
        left: fc.constant(left),
        right: fc.constant(right),
        rows: fc.array(
          fc.tuple(
            fc.option(operands[left] as fc.Arbitrary<number | bigint>),
            fc.option(operands[right] as fc.Arbitrary<number | bigint>),
          ),
          { minLength: 1, maxLength: 20 },
        ),
      }),
    )
  const holds = {
    eq: (o: number) => o === 0,
    ne: (o: number) => o !== 0,
    lt: (o: number) => o < 0,
    le: (o: number) => o <= 0,
    gt: (o: number) => o > 0,
    ge: (o: number) => o >= 0,
  }

  test('of numbers are by value, exactly, whatever the types; null gives null', () => {
    fc.assert(
      fc.property(pair, fc.constantFrom(...comparisons), ({ left, right, rows }, op) => {
        const result = over(
          { a: { type: left, values: rows.map(([a]) => a) }, b: { type: right, values: rows.map(([, b]) => b) } },
          { op, left: column('a'), right: column('b') },
        )
        expect(result).toEqual(
          rows.map(([a, b]) =>
            a === null || b === null ? null : holds[op](scaled(a) < scaled(b) ? -1 : scaled(a) > scaled(b) ? 1 : 0),
          ),
        )
      }),
      { numRuns: 500 },
    )
  })

  test('a long beside 2^53 is not the double it rounds to', () => {
    const a = { a: { type: 'long' as const, values: [2n ** 53n + 1n, 2n ** 53n, 2n ** 63n - 1n] } }
    expect(over(a, { op: 'eq', left: column('a'), right: literal('double', 2 ** 53) })).toEqual([false, true, false])
    expect(over(a, { op: 'lt', left: literal('double', 2 ** 53), right: column('a') })).toEqual([true, false, true])
    expect(over(a, { op: 'eq', left: column('a'), right: literal('long', '9007199254740993') })).toEqual([true, false, false])
  })

  test('of strings are by bytes, with a literal or another column', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.string({ unit: 'binary', maxLength: 3 }), fc.string({ unit: 'binary', maxLength: 3 })), {
          minLength: 1,
        }),
        fc.constantFrom(...comparisons),
        (rows, op) => {
          const columns = {
            a: { type: 'string' as const, values: rows.map(([a]) => a) },
            b: { type: 'string' as const, values: rows.map(([, b]) => b) },
          }
          const order = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
          expect(over(columns, { op, left: column('a'), right: column('b') })).toEqual(
            rows.map(([a, b]) => holds[op](order(a, b))),
          )
          const [[, text]] = rows
          expect(over(columns, { op, left: column('a'), right: literal('string', text) })).toEqual(
            rows.map(([a]) => holds[op](order(a, text))),
          )
          expect(over(columns, { op, left: literal('string', text), right: column('a') })).toEqual(
            rows.map(([a]) => holds[op](order(text, a))),
          )
        },
      ),
    )
  })

  test('of booleans and timestamps', () => {
    const columns = {
      a: { type: 'boolean' as const, values: [false, true, null] },
      t: { type: 'timestamptz' as const, values: [-1n, 2n ** 60n, null] },
    }
    expect(over(columns, { op: 'lt', left: column('a'), right: literal('boolean', true) })).toEqual([true, false, null])
    expect(over(columns, { op: 'ge', left: column('t'), right: literal('timestamptz', String(2n ** 60n)) })).toEqual([
      false,
      true,
      null,
    ])
  })

  test('-0 equals 0', () => {
    expect(over({ a: { type: 'double', values: [-0] } }, { op: 'eq', left: column('a'), right: literal('int', 0) })).toEqual([
      true,
    ])
  })
})

describe('three-valued logic', () => {
  const cases = [true, false, null].flatMap((a) => [true, false, null].map((b) => [a, b] as const))
  const columns = {
    a: { type: 'boolean' as const, values: cases.map(([a]) => a) },
    b: { type: 'boolean' as const, values: cases.map(([, b]) => b) },
  }

  test('and, or, not and isNull are those of SQL', () => {
    const operands = [column('a'), column('b')]
    expect(over(columns, { op: 'and', of: operands })).toEqual(
      cases.map(([a, b]) => (a === false || b === false ? false : a === null || b === null ? null : true)),
    )
    expect(over(columns, { op: 'or', of: operands })).toEqual(
      cases.map(([a, b]) => (a === true || b === true ? true : a === null || b === null ? null : false)),
    )
    expect(over(columns, { op: 'not', of: column('a') })).toEqual(cases.map(([a]) => (a === null ? null : !a)))
    expect(over(columns, { op: 'isNull', of: column('a') })).toEqual(cases.map(([a]) => a === null))
    expect(over(columns, { op: 'and', of: [column('a')] })).toEqual(cases.map(([a]) => a))
  })

  test('over required columns is required', () => {
    const plain = {
      a: { type: 'boolean' as const, values: [true, true, false, false] },
      b: { type: 'boolean' as const, values: [true, false, true, false] },
    }
    expect(over(plain, { op: 'and', of: [column('a'), column('b')] })).toEqual([true, false, false, false])
    expect(over(plain, { op: 'or', of: [column('a'), column('b')] })).toEqual([true, true, true, false])
  })

  test('a filter keeps a row only when its predicate is true', () => {
    const fields = numbered([{ name: 'a', type: 'boolean', required: false }])
    const rows = (values: Value[]) =>
      filterRows(
        column('a'),
        batchOf(
          fields,
          values.map((a) => ({ a })),
        ),
      )
    expect(rows([true, false, null, true])).toEqual(Int32Array.of(0, 3))
    expect(rows([false, null])).toEqual(new Int32Array(0))
  })

  test('a filter that keeps every row says so', () => {
    const fields = numbered([{ name: 'a', type: 'int', required: true }])
    const predicate: Expression = { op: 'gt', left: column('a'), right: literal('int', 0) }
    expect(filterRows(predicate, batchOf(fields, [{ a: 1 }, { a: 2 }]))).toBeUndefined()
    expect(filterRows(predicate, batchOf(fields, []))).toBeUndefined()
  })
})

describe('arithmetic', () => {
  const of = (
    op: 'add' | 'subtract' | 'multiply' | 'divide',
    a: Value[],
    b: Value[],
    types: [ColumnType, ColumnType] = ['double', 'double'],
  ) => over({ a: { type: types[0], values: a }, b: { type: types[1], values: b } }, { op, left: column('a'), right: column('b') })

  test('is that of doubles', () => {
    expect(of('add', [0.1, 1], [0.2, 2])).toEqual([0.30000000000000004, 3])
    expect(of('subtract', [1.5, 5], [1, 7], ['double', 'int'])).toEqual([0.5, -2])
    expect(of('multiply', [3n], [0.5], ['long', 'double'])).toEqual([1.5])
    expect(of('divide', [7, 1], [2, 8], ['int', 'int'])).toEqual([3.5, 0.125])
  })

  test('gives null for null, for a division by zero and for an overflow', () => {
    expect(of('divide', [1, 0, -1, null, 1], [0, 0, -0, 1, 2])).toEqual([null, null, null, null, 0.5])
    expect(of('multiply', [1e308, 1e308, null], [10, 1, 1])).toEqual([null, 1e308, null])
    expect(of('add', [1.7e308], [1.7e308])).toEqual([null])
  })

  test('does not write into the validity of its operands', () => {
    const fields = numbered([{ name: 'a', type: 'double', required: false }])
    const batch = batchOf(fields, [{ a: 0 }, { a: null }])
    evaluate({ op: 'divide', left: column('a'), right: column('a') }, batch)
    expect(batch.vectors[0].validity).toEqual(Uint8Array.of(1, 0))
  })
})

describe('timestamps', () => {
  const computed = (op: 'timestampMillis' | 'timestampSeconds', values: readonly (bigint | null)[]) => {
    const fields = numbered([{ name: 'ts', type: 'long', required: false }])
    const { vector, outOfRange } = evaluateComputed(
      { op, of: column('ts') },
      batchOf(
        fields,
        values.map((ts) => ({ ts })),
      ),
    )
    return { values: values.map((_, i) => valueAt(vector, i)), outOfRange: outOfRange && [...outOfRange] }
  }
  const limit = BigInt(MAX_INSTANT_MS)

  test('become microseconds exactly: before 1970, in the year 30000, at both ends', () => {
    const year30000 = 884541340800000n
    const millis = [0n, 1n, -1n, -62135596800000n, year30000, limit, -limit, null]
    expect(computed('timestampMillis', millis)).toEqual({ values: millis.map((ms) => ms && ms * 1000n), outOfRange: undefined })
    const seconds = [0n, -1n, year30000 / 1000n, limit / 1000n, -limit / 1000n, null]
    expect(computed('timestampSeconds', seconds)).toEqual({
      values: seconds.map((s) => s && s * 1_000_000n),
      outOfRange: undefined,
    })
  })

  test('outside the range of instants are null, and the rows are named', () => {
    const values = [limit + 1n, 5n, -limit - 1n, null, 2n ** 63n - 1n, -(2n ** 63n)]
    expect(computed('timestampMillis', values)).toEqual({
      values: [null, 5000n, null, null, null, null],
      outOfRange: [0, 2, 4, 5],
    })
    expect(computed('timestampSeconds', [limit / 1000n + 1n, 1n])).toEqual({ values: [null, 1_000_000n], outOfRange: [0] })
  })

  test('of a required column keep no validity while all are in range', () => {
    const fields = numbered([{ name: 'ts', type: 'int', required: true }])
    const { vector } = evaluateComputed({ op: 'timestampSeconds', of: column('ts') }, batchOf(fields, [{ ts: -1 }]))
    expect(vector.validity).toBeUndefined()
    expect(valueAt(vector, 0)).toBe(-1_000_000n)
  })

  test('inside another expression are null when out of range', () => {
    const expression: Expression = {
      op: 'ge',
      left: { op: 'timestampMillis', of: column('ts') },
      right: literal('timestamptz', 0),
    }
    expect(over({ ts: { type: 'long', values: [1n, -1n, limit + 1n] } }, expression)).toEqual([true, false, null])
  })
})
