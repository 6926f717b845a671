import { describe, expect, it } from 'vitest'
import { column, kafka, milliseconds, minutes, pipeline, planOf, seconds, timestampMillis, tumbling } from '../../lib/index.ts'

const source = (topic: string, id?: string) =>
  kafka(topic, {
    schema: { a: column.string(), ts: column.long(), x: column.double(), n: column.int().optional() },
    computed: { t: (c) => timestampMillis(c.ts) },
    eventTime: 't',
    watermark: { delay: seconds(1) },
    ...(id === undefined ? {} : { id }),
  })

const names = (fields: readonly { name: string }[]) => fields.map((field) => field.name)

describe('planOf', () => {
  it('turns filters and computed columns into steps, in the order they were written', () => {
    const stream = source('s')
      .filter((c) => c.x.gt(0))
      .compute('double_x', (c) => c.x.multiply(2))
      .filter((c) => c.double_x.lt(10).or(c.n.isNull()))
    const plan = planOf(pipeline('p', { sinks: [stream.appendTo('rows')] }))
    const x = { op: 'column', name: 'x' }
    const doubled = { op: 'column', name: 'double_x' }
    expect(plan.sources.s!.outputs).toEqual([
      {
        kind: 'rows',
        table: 'rows',
        steps: [
          { kind: 'filter', predicate: { op: 'gt', left: x, right: { op: 'literal', type: 'double', value: 0 } } },
          {
            kind: 'compute',
            name: 'double_x',
            expression: { op: 'multiply', left: x, right: { op: 'literal', type: 'double', value: 2 } },
            required: false,
          },
          {
            kind: 'filter',
            predicate: {
              op: 'or',
              of: [
                { op: 'lt', left: doubled, right: { op: 'literal', type: 'double', value: 10 } },
                { op: 'isNull', of: { op: 'column', name: 'n' } },
              ],
            },
          },
        ],
      },
    ])
  })

  it('gives a table the columns that were selected, in that order, and all there are without a selection', () => {
    const stream = source('s').compute('big', (c) => c.x.gt(9))
    const plan = planOf(
      pipeline('p', { sinks: [stream.select('big', 'kafka_offset', 'a').appendTo('some'), stream.appendTo('whole')] }),
    )
    expect(names(plan.tables.some!.fields)).toEqual(['big', 'kafka_offset', 'a'])
    expect(names(plan.tables.whole!.fields)).toEqual([
      ...['a', 'ts', 'x', 'n', 't', 'kafka_topic', 'kafka_partition', 'kafka_offset', 'kafka_timestamp', 'big'],
    ])
  })

  it('gives an operator and its late rows the whole row, whatever was selected', () => {
    const counts = source('s')
      .compute('big', (c) => c.x.gt(9))
      .select('a', 'big')
      .keyBy('big', 'a')
      .window(tumbling(milliseconds(7)), { allowedLateness: seconds(2) })
      .aggregate((a) => ({ n: a.count() }), { id: 'counter' })
    const plan = planOf(
      pipeline('p', { sinks: [counts.appendTo('counts', { late: { table: 'too_late', partitionBy: ['day(t)'] } })] }),
    )
    const whole = ['a', 'ts', 'x', 'n', 't', 'kafka_topic', 'kafka_partition', 'kafka_offset', 'kafka_timestamp', 'big']
    expect(plan.operators.counter).toMatchObject({
      id: 'counter',
      keys: ['big', 'a'],
      windowMs: 7,
      allowedLatenessMs: 2000,
      table: 'counts',
      lateTable: 'too_late',
    })
    expect(names(plan.operators.counter!.input)).toEqual(whole)
    expect(names(plan.tables.too_late!.fields)).toEqual([...whole, 'window_start', 'window_end', 'watermark'])
    expect(plan.tables.too_late!.partitionBy).toEqual([{ column: 't', transform: { kind: 'day' } }])
    expect(plan.tables.counts!.fields.map(({ name, type, required }) => [name, type, required])).toEqual([
      ['big', 'boolean', true],
      ['a', 'string', true],
      ['window_start', 'timestamptz', true],
      ['window_end', 'timestamptz', true],
      ['n', 'long', true],
    ])
  })

  it('holds several sources by id, each with its own outputs, and lets them share the dead letters', () => {
    const [a, b] = [source('topic.A'), source('topic-b', 'b')]
    const plan = planOf(
      pipeline('p', { sinks: [a.appendTo('rows_a'), b.appendTo('rows_b'), a.select('x').appendTo('xs')], namespace: 'lake' }),
    )
    expect(plan.namespace).toBe('lake')
    expect(Object.keys(plan.sources)).toEqual(['topic.A', 'b'])
    expect(plan.sources['topic.A']!.outputs.map((output) => output.kind === 'rows' && output.table)).toEqual(['rows_a', 'xs'])
    expect(plan.sources.b).toMatchObject({ topic: 'topic-b', deadLetters: 'dead_letters' })
    expect(Object.keys(plan.tables).sort()).toEqual(['dead_letters', 'rows_a', 'rows_b', 'xs'])
  })

  it('reads transforms, buckets, plain columns and sort directions', () => {
    const plan = planOf(
      pipeline('p', {
        sinks: [
          source('s').appendTo('rows', {
            partitionBy: ['hour(t)', 'month(kafka_timestamp)', 'bucket(16, a)', 'a', 'bucket(3, t)'],
            sortBy: ['a', 'x desc', 'ts asc'],
          }),
        ],
      }),
    )
    expect(plan.tables.rows!.partitionBy).toEqual([
      { column: 't', transform: { kind: 'hour' } },
      { column: 'kafka_timestamp', transform: { kind: 'month' } },
      { column: 'a', transform: { kind: 'bucket', buckets: 16 } },
      { column: 'a', transform: { kind: 'identity' } },
      { column: 't', transform: { kind: 'bucket', buckets: 3 } },
    ])
    expect(plan.tables.rows!.sortBy).toEqual([
      { column: 'a', direction: 'asc' },
      { column: 'x', direction: 'desc' },
      { column: 'ts', direction: 'asc' },
    ])
  })

  it('makes literals of the type they stand beside where they fit, and keeps longs exact', () => {
    const stream = source('s')
      .filter((c) => c.ts.eq(2n ** 63n - 1n))
      .filter((c) => c.ts.gt(5))
      .filter((c) => c.n.lt(7))
      .filter((c) => c.n.ne(2 ** 40))
      .filter((c) => c.ts.ge(1.5))
      .filter((c) => c.x.le(3n))
    const { outputs } = planOf(pipeline('p', { sinks: [stream.appendTo('rows')] })).sources.s!
    const literals = outputs[0]!.steps.map((step) => step.kind === 'filter' && 'right' in step.predicate && step.predicate.right)
    expect(literals).toEqual([
      { op: 'literal', type: 'long', value: '9223372036854775807' },
      { op: 'literal', type: 'long', value: '5' },
      { op: 'literal', type: 'int', value: 7 },
      { op: 'literal', type: 'long', value: '1099511627776' },
      { op: 'literal', type: 'double', value: 1.5 },
      { op: 'literal', type: 'long', value: '3' },
    ])
  })

  it('runs each callback of a definition once, when it is defined', () => {
    let calls = 0
    const stream = source('s').filter((c) => {
      calls++
      return c.x.gt(0)
    })
    const made = pipeline('p', { sinks: [stream.appendTo('rows')] })
    planOf(made)
    planOf(made)
    expect(calls).toBe(1)
  })

  it('leaves the stream it builds on as it was', () => {
    const stream = source('s')
    stream.filter((c) => c.x.gt(0))
    stream.select('a')
    expect(planOf(pipeline('p', { sinks: [stream.appendTo('rows')] })).sources.s!.outputs[0]!.steps).toEqual([])
    expect(Object.keys(stream.columns)).toHaveLength(9)
  })

  it('tells columns of streams and results at run time as the type checker does', () => {
    const counts = source('s')
      .keyBy('a')
      .window(tumbling(minutes(1)))
      .aggregate((a) => ({ most: a.max('n'), total: a.sum('n') }))
    expect(counts.columns).toEqual({
      a: { type: 'string', required: true },
      window_start: { type: 'timestamptz', required: true },
      window_end: { type: 'timestamptz', required: true },
      most: { type: 'int', required: false },
      total: { type: 'long', required: false },
    })
    expect(Object.keys(counts.lateColumns)).toContain('watermark')
  })

  it('allows columns named as what every JavaScript object has', () => {
    const odd = kafka('s', {
      schema: { constructor: column.string(), ts: column.long() },
      computed: { t: (c) => timestampMillis(c.ts) },
      eventTime: 't',
      watermark: { delay: seconds(0) },
    })
    const results = odd
      .filter((c) => c.constructor.eq('x'))
      .keyBy('constructor')
      .window(tumbling(minutes(1)))
      .aggregate((a) => ({ n: a.count() }))
    const plan = planOf(pipeline('constructor', { sinks: [results.appendTo('constructor')] }))
    expect(Object.keys(plan.operators)).toEqual(['constructor'])
    expect(names(Object.values(plan.tables)[0]!.fields)).toEqual(['constructor', 'window_start', 'window_end', 'n'])
  })
})
