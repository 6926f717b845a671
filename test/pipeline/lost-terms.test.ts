import { describe, expect, it } from 'vitest'
import { column, isKind, kafka, minutes, type Stream, seconds, timestampMillis, tumbling } from '../../lib/index.ts'

const clicks = kafka('clicks', {
  schema: {
    url: column.string(),
    ts: column.long(),
    price: column.double(),
    paid: column.boolean(),
    user: column.string().optional(),
  },
  computed: { at: (c) => timestampMillis(c.ts) },
  eventTime: 'at',
  watermark: { delay: seconds(1) },
})
type Predicate = Parameters<(typeof clicks)['filter']>[0]
type Columns = Parameters<Predicate>[0]

const failure = (define: () => unknown): string => {
  try {
    define()
  } catch (error) {
    if (isKind(error, 'InvalidPipeline')) return error.message
  }
  return 'nothing was refused'
}

// All of these pass tsc: to JavaScript a term is an object, and true.
describe('a callback that says more than it gives is refused', () => {
  const wrong: readonly (readonly [sentence: string, predicate: Predicate, lost: string])[] = [
    ['&& of two predicates', (c) => c.price.gt(0) && c.url.eq('/a'), 'c.price.gt(0) left out'],
    ['&& of three, of which the last is left', (c) => c.price.gt(0) && c.paid.not() && c.url.eq('/a'), 'c.paid.not() left out'],
    ['&& after a column', (c) => c.paid && c.url.eq('/a'), 'c.paid left out'],
    ['&& in an operand', (c) => c.paid.or(c.price.gt(1) && c.url.eq('/a')), 'c.price.gt(1) left out'],
    ['|| of two columns', (c) => c.price.gt(0) || c.url.eq('/a'), 'c.url after || left out'],
    ['|| of one column', (c) => c.url.eq('/b') || c.url.eq('/a'), 'c.url after || left out'],
    ['|| in an operand', (c) => c.paid.and(c.url.eq('/b') || c.url.eq('/a')), 'c.url after || left out'],
    ['|| of columns taken apart', ({ price, url }) => price.gt(0) || url.eq('/a'), 'c.url left out'],
    [
      '|| in a function with a body',
      (row) => row.url.eq('/a') || (row.url.eq('/b') satisfies object),
      'row.url after || left out',
    ],
    ['?: on a predicate', (c) => (c.price.gt(0) ? c.paid : c.paid.not()), 'c.price.gt(0) left out'],
    [
      'if on a predicate',
      (c) => {
        if (c.user.isNull()) return c.paid
        return c.price.gt(5)
      },
      'c.user.isNull() left out',
    ],
  ]
  it.each(wrong)('%s', (_, predicate, lost) => {
    const message = failure(() => clicks.filter(predicate))
    expect(message).toContain(lost)
    expect(message).toContain('Use .and() / .or() / .not() instead of && || !')
  })

  it('in compute and in computed columns too', () => {
    expect(failure(() => clicks.compute('who', (c) => c.user && c.url))).toContain('c.user left out')
    expect(
      failure(() =>
        kafka('clicks', {
          schema: { ts: column.long(), sent: column.long() },
          computed: { at: (c) => timestampMillis(c.sent) && timestampMillis(c.ts) },
          eventTime: 'at',
          watermark: { delay: seconds(1) },
        }),
      ),
    ).toContain('timestampMillis(c.sent) left out')
  })

  it('and ! gives no expression at all', () => {
    expect(failure(() => clicks.filter(((c: Columns) => !c.paid) as unknown as Predicate))).toMatch(
      /found false\. Use methods such as \.eq\(\), \.gt\(\), \.not\(\) and \.add\(\) instead of operators/,
    )
  })
})

describe('a callback may', () => {
  const shared = timestampMillis(1_700_000_000_000)
  let unset: ReturnType<Predicate> | undefined
  const limit = 0
  const right: readonly (readonly [sentence: string, predicate: Predicate])[] = [
    [
      'keep parts in constants and use them, once or more often',
      (c) => {
        const large = c.price.gt(100)
        const free = c.price.eq(0)
        return large.or(free).and(large.not().or(c.paid))
      },
    ],
    ['use a value that was made outside', (c) => c.at.gt(shared)],
    ['take columns apart', ({ price, paid, ...rest }) => price.gt(0).and(paid).and(rest.url.ne(''))],
    ['spread all columns and use some', (c) => ({ ...c }).price.gt(0)],
    ['build its parts in a loop', (c) => ['/a', '/b'].map((url) => c.url.eq(url)).reduce((any, one) => any.or(one))],
    ['have defaults of its own', (c) => unset || c.price.gt(limit || 1)],
    ['choose by what it knows at definition', (c) => (limit > 0 ? c.price.gt(limit) : c.paid)],
    ['have || in a comment', (c) => /* c.paid || c.url || c.price */ c.price.gt(0)],
    [
      'define another stream',
      (c) => {
        const other: Stream<never> | object = clicks.filter((d) => d.url.eq('/a'))
        return typeof other === 'object' ? c.paid : c.price.gt(0)
      },
    ],
  ]
  it.each(right)('%s', (_, predicate) => {
    expect(clicks.filter(predicate).node.kind).toBe('filter')
  })

  it('be written anew after one that failed', () => {
    failure(() => clicks.filter((c) => c.paid && c.price.gt(0)))
    const counts = clicks
      .filter((c) => c.price.gt(0))
      .keyBy('url')
      .window(tumbling(minutes(1)))
      .aggregate((a) => ({ n: a.count() }))
    expect(counts.appendTo('counts').kind).toBe('sink')
  })
})
