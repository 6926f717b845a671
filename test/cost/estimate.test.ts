import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { estimate } from '../../lib/cost/estimate.ts'
import type { Load } from '../../lib/cost/load.ts'
import { MONTH_SECONDS } from '../../lib/cost/month.ts'
import { PRICES, priced } from '../../lib/cost/prices.ts'
import { PLAN, rowsBelow, TRADES } from './page.ts'

const loads: fc.Arbitrary<Load> = fc.record({
  // Across the magnitudes, not most of them near the greatest.
  recordsPerSecond: fc.double({ min: -3, max: 6, noNaN: true }).map((exponent) => 10 ** exponent),
  valueBytes: fc.integer({ min: 1, max: 1_000_000 }),
  partitions: fc.integer({ min: 1, max: 100 }),
  keys: fc.integer({ min: 1, max: 1_000_000 }),
  batchWindowMs: fc.integer({ min: 1, max: 300_000 }),
  commitIntervalMs: fc.integer({ min: 1000, max: 3_600_000 }),
  pollers: fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }),
})

describe('a bill', () => {
  test('is the sum of its lines, none of which is negative or unknown', () => {
    fc.assert(
      fc.property(loads, (load) => {
        const { lines, dollars, dollarsPerMillion } = estimate(PLAN, load)
        for (const line of lines) {
          expect(line.quantity, line.name).toBeGreaterThanOrEqual(0)
          expect(Number.isFinite(line.dollars), line.name).toBe(true)
          expect(line.dollars).toBe(priced(PRICES[line.price], line.quantity))
        }
        expect(dollars).toBeCloseTo(lines.reduce((sum, line) => sum + line.dollars, 0))
        const millions = (load.recordsPerSecond * MONTH_SECONDS) / 1e6
        expect((dollarsPerMillion * millions) / dollars).toBeCloseTo(1)
      }),
    )
  })

  test('of more records is never lower, as long as they are staged the same way', () => {
    fc.assert(
      fc.property(loads, fc.double({ min: 1, max: 100, noNaN: true }), (load, factor) => {
        const more = { ...load, recordsPerSecond: load.recordsPerSecond * factor }
        const [less, greater] = [estimate(PLAN, load), estimate(PLAN, more)]
        // Slices move from log entries to an object once they are larger, and of many partitions one object costs less.
        fc.pre(less.month.batches[0].inline === greater.month.batches[0].inline)
        expect(greater.dollars).toBeGreaterThanOrEqual(less.dollars * (1 - 1e-9))
      }),
    )
  })

  test('of a longer batch window is never higher, once batches make objects', () => {
    fc.assert(
      fc.property(loads, (load) => {
        const short = estimate(PLAN, load)
        fc.pre(!short.month.batches[0].inline)
        const long = estimate(PLAN, { ...load, batchWindowMs: Math.min(300_000, load.batchWindowMs * 2) })
        expect(long.dollars).toBeLessThanOrEqual(short.dollars * (1 + 1e-9))
      }),
    )
  })

  test('of a longer commit interval is lower', () => {
    const dollars = [1, 10, 60, 600].map((s) => estimate(PLAN, { ...TRADES, commitIntervalMs: s * 1000 }).dollars)
    expect(dollars).toEqual([...dollars].sort((a, b) => b - a))
    expect(new Set(dollars).size).toBe(4)
  })

  test('has pollers in it only where they were asked for, ten of them a unit', () => {
    const pollers = (load: Partial<Load>) =>
      estimate(PLAN, { ...TRADES, ...load }).lines.find(({ price }) => price === 'eventPollerUnitHour')
    expect(pollers({})).toBeUndefined()
    expect(pollers({ pollers: 1 })?.dollars).toBeCloseTo(133.2)
    expect(pollers({ pollers: 11 })?.quantity).toBe(2 * 720)
    // 50 MB a second are more than two units read.
    expect(pollers({ pollers: 1, recordsPerSecond: 50_000, valueBytes: 1000 })?.quantity).toBe(3 * 720)
  })

  test('does not charge what is free', () => {
    expect(priced(PRICES.glueRequest, 999_999)).toBe(0)
    expect(priced(PRICES.glueRequest, 3_000_000)).toBe(2)
  })

  test('says when one commit function cannot keep up, and when metadata grows large', () => {
    expect(estimate(PLAN, { ...TRADES, recordsPerSecond: 1e6 }).notes.join(' ')).toMatch(
      /cannot keep up: it would need 3\.\d times/,
    )
    expect(estimate(PLAN, TRADES).notes.join(' ')).not.toMatch(/keep up/)
    expect(estimate(PLAN, TRADES).notes).toEqual([])
    expect(estimate(PLAN, { ...TRADES, commitIntervalMs: 5000 }).notes.join(' ')).toMatch(
      /keeps 17,424 snapshots, and the metadata file that each commit writes anew has 13 MB, of which Glue takes 20/,
    )
    expect(estimate(PLAN, { ...TRADES, batchWindowMs: 60_000, commitIntervalMs: 3_600_000 }).notes).toEqual([])
  })
})

describe('the table of dollars on the page', () => {
  const rows = rowsBelow('In dollars')
  const columns: readonly Partial<Load>[] = [{}, { batchWindowMs: 10_000 }, { recordsPerSecond: 10_000 }]

  test.each([0, 1, 2])('has in column %i what the estimate says', (i) => {
    const { lines, dollars, dollarsPerMillion, month } = estimate(PLAN, { ...TRADES, ...columns[i] })
    const expected = [
      ['calls of ingest', month.ingest.invocations.toLocaleString('en-US')],
      ...lines.map(({ name, dollars: of }) => [name, of.toFixed(2)]),
      ['**a month**', `**$${dollars.toFixed(2)}**`],
      ['a billion trades', `$${(dollarsPerMillion * 1000).toFixed(2)}`],
    ]
    expect(rows.map((row) => [row[0], row[i + 1]])).toEqual(expected)
  })
})

test('every price has a unit, a source and a count of units', () => {
  for (const [name, price] of Object.entries(PRICES)) {
    expect(price.dollars, name).toBeGreaterThan(0)
    expect(price.units, name).toBeGreaterThanOrEqual(1)
    expect(price.source, name).toMatch(/^https:\/\/aws\.amazon\.com\/.*pricing\//)
  }
})
