import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  column,
  type Duration,
  kafka,
  milliseconds,
  type Pipeline,
  pipeline,
  planOf,
  seconds,
  timestampMillis,
  timestampSeconds,
  tumbling,
} from '../../lib/index.ts'

/** What a definition means to its state. */
interface Meaning {
  readonly keys: readonly ('a' | 'b')[]
  readonly windowMs: number
  readonly latenessMs: number
  readonly aggregates: readonly (readonly ['n' | 'm', 'count' | 'sum' | 'max' | 'first', 'x' | 'y'])[]
  readonly above: readonly number[]
  readonly unit: 'ms' | 's'
  /** What y is: an input of some type, or computed from x or from z. */
  readonly y: 'double' | 'long' | 'optional' | 'other key' | 'x+1' | 'z+1'
}

/** What it may change without meaning anything else. */
interface Accident {
  readonly delay: Duration
  readonly table: string
  readonly id: string | undefined
  readonly unused: readonly string[]
  /** Begins the JSON keys of unused columns. */
  readonly unusedFrom: string
  readonly topic: string
  readonly name: string
  readonly rawFirst: boolean
  readonly computeAt: 'source' | 'stream' | 'before filters'
}

const meaning: fc.Arbitrary<Meaning> = fc.record({
  keys: fc.constantFrom(['a'], ['b'], ['a', 'b'], ['b', 'a']),
  windowMs: fc.constantFrom(1, 1000, 60_000),
  latenessMs: fc.constantFrom(0, 1),
  aggregates: fc.uniqueArray(
    fc.tuple(
      fc.constantFrom('n' as const, 'm' as const),
      fc.constantFrom('count' as const, 'sum' as const, 'max' as const, 'first' as const),
      fc.constantFrom('x' as const, 'y' as const),
    ),
    { selector: ([name]) => name, minLength: 1, maxLength: 2 },
  ),
  above: fc.array(fc.constantFrom(0, 1), { maxLength: 2 }),
  unit: fc.constantFrom('ms', 's'),
  y: fc.constantFrom('double', 'long', 'optional', 'other key', 'x+1', 'z+1'),
})

const accident: fc.Arbitrary<Accident> = fc.record({
  delay: fc.constantFrom(seconds(0), seconds(9)),
  table: fc.constantFrom('t', 'u'),
  id: fc.constantFrom(undefined, 'o'),
  unused: fc.constantFrom([], ['u1'], ['u2', 'u1']),
  unusedFrom: fc.constantFrom('', 'K'),
  topic: fc.constantFrom('p', 'q'),
  name: fc.constantFrom('p', 'q'),
  rawFirst: fc.boolean(),
  computeAt: fc.constantFrom('source', 'stream', 'before filters'),
})

/** Built without types, since columns vary. */
function built(m: Meaning, a: Accident): Pipeline {
  // biome-ignore lint/suspicious/noExplicitAny: see above
  type Untyped = any
  const timestamp = m.unit === 'ms' ? timestampMillis : timestampSeconds
  const inputY = {
    double: column.double(),
    long: column.long(),
    optional: column.double().optional(),
    'other key': column.double().from('Y'),
    'x+1': undefined,
    'z+1': undefined,
  }[m.y]
  const computeY = m.y === 'x+1' ? (c: Untyped) => c.x.add(1) : m.y === 'z+1' ? (c: Untyped) => c.z.add(1) : undefined
  const atSource = computeY !== undefined && a.computeAt === 'source'
  const source: Untyped = (kafka as Untyped)(a.topic, {
    schema: {
      ...Object.fromEntries(a.unused.map((name) => [name, column.int().from(a.unusedFrom + name)])),
      a: column.string().from('a'),
      b: column.boolean(),
      ...(inputY === undefined ? {} : { y: inputY }),
      ts: column.long(),
      x: column.double(),
      z: column.int(),
    },
    computed: { t: (c: Untyped) => timestamp(c.ts), ...(atSource ? { y: computeY } : {}) },
    eventTime: 't',
    watermark: { delay: a.delay },
  })
  let stream = source
  const compute = () => {
    if (computeY !== undefined && !atSource) stream = stream.compute('y', computeY)
  }
  if (a.computeAt === 'before filters') compute()
  for (const limit of m.above) stream = stream.filter((c: Untyped) => c.x.gt(limit))
  if (a.computeAt === 'stream') compute()
  const result = stream
    .keyBy(...m.keys)
    .window(tumbling(milliseconds(m.windowMs)), { allowedLateness: milliseconds(m.latenessMs) })
    .aggregate(
      (aggregates: Untyped) =>
        Object.fromEntries(
          m.aggregates.map(([name, fn, of]) => [name, fn === 'count' ? aggregates.count() : aggregates[fn](of)]),
        ),
      { id: a.id },
    )
  const sinks = [result.appendTo(a.table), source.select('a').appendTo('raw')]
  return (pipeline as Untyped)(a.name, { sinks: a.rawFirst ? sinks.reverse() : sinks })
}

/** The meaning in one form: what no aggregate uses does not count. */
function normal(m: Meaning): string {
  const usesY = m.aggregates.some(([, fn, of]) => fn !== 'count' && of === 'y')
  const aggregates = m.aggregates.map(([name, fn, of]) => [name, fn, fn === 'count' ? null : of])
  return JSON.stringify({ ...m, aggregates, y: usesY ? m.y : null })
}

const fingerprint = (made: Pipeline) => Object.values(planOf(made).operators)[0]!.fingerprint

function frozenToItsLeaves(value: unknown): boolean {
  return typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(frozenToItsLeaves))
}

describe('a plan', () => {
  it('is the same for the same definition, built again or planned again, and frozen to its leaves', () => {
    fc.assert(
      fc.property(meaning, accident, (m, a) => {
        const made = built(m, a)
        expect(frozenToItsLeaves(made)).toBe(true)
        expect(frozenToItsLeaves(planOf(made))).toBe(true)
        expect(JSON.stringify(planOf(made))).toBe(JSON.stringify(planOf(built(m, a))))
      }),
      { numRuns: 200 },
    )
  })

  it('is plain data: nothing in it is a function, a class instance or a bigint', () => {
    const isPlain = (value: unknown): boolean =>
      typeof value === 'object' && value !== null
        ? (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) && Object.values(value).every(isPlain)
        : value === null || ['string', 'number', 'boolean', 'undefined'].includes(typeof value)
    fc.assert(
      fc.property(meaning, accident, (m, a) => isPlain(planOf(built(m, a)))),
      { numRuns: 50 },
    )
  })
})

describe('the fingerprint of an operator', () => {
  it('is 16 hex digits', () => {
    fc.assert(fc.property(meaning, accident, (m, a) => /^[0-9a-f]{16}$/.test(fingerprint(built(m, a)))))
  })

  it('stays when nothing changes but names of topic, table and pipeline, ids, delays, unused columns and places', () => {
    fc.assert(
      fc.property(meaning, accident, accident, (m, a, b) => {
        expect(fingerprint(built(m, a))).toBe(fingerprint(built(m, b)))
      }),
      { numRuns: 300 },
    )
  })

  it('differs between two definitions if, and only if, they mean something else', () => {
    fc.assert(
      fc.property(meaning, meaning, accident, (one, two, a) => {
        expect(fingerprint(built(one, a)) === fingerprint(built(two, a))).toBe(normal(one) === normal(two))
      }),
      { numRuns: 1000 },
    )
  })

  it('changes with every single thing that has a meaning', () => {
    const base: Meaning = {
      keys: ['a'],
      windowMs: 1000,
      latenessMs: 0,
      aggregates: [['n', 'sum', 'y']],
      above: [0],
      unit: 'ms',
      y: 'double',
    }
    const a: Accident = {
      delay: seconds(1),
      table: 't',
      id: undefined,
      unused: [],
      unusedFrom: '',
      topic: 'p',
      name: 'p',
      rawFirst: false,
      computeAt: 'source',
    }
    const changes: readonly Partial<Meaning>[] = [
      {},
      { keys: ['b'] },
      { keys: ['a', 'b'] },
      { keys: ['b', 'a'] },
      { windowMs: 1001 },
      { latenessMs: 1 },
      { aggregates: [['m', 'sum', 'y']] },
      { aggregates: [['n', 'max', 'y']] },
      { aggregates: [['n', 'sum', 'x']] },
      {
        aggregates: [
          ['n', 'sum', 'y'],
          ['m', 'count', 'x'],
        ],
      },
      { above: [] },
      { above: [1] },
      { above: [0, 1] },
      { unit: 's' },
      { y: 'long' },
      { y: 'optional' },
      { y: 'other key' },
      { y: 'x+1' },
      { y: 'z+1' },
    ]
    const prints = changes.map((change) => fingerprint(built({ ...base, ...change }, a)))
    expect(new Set(prints).size).toBe(changes.length)
  })
})
