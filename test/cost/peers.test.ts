import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { estimate } from '../../lib/cost/estimate.ts'
import { peersOf } from '../../lib/cost/peers.ts'
import { PLAN, rowsBelow, TRADES } from './page.ts'

const peers = (load: Partial<typeof TRADES>) => new Map(peersOf(PLAN, { ...TRADES, ...load }).map((peer) => [peer.name, peer]))

describe('what others ask', () => {
  test('Managed Flink has one KPU to orchestrate, and as many as the load needs to work', () => {
    // Two KPUs for 720 hours, 50 GB for the one that works.
    expect(peers({}).get('Managed Flink')?.dollars).toBeCloseTo(2 * 720 * 0.11 + 5)
    expect(peers({ recordsPerSecond: 40_001 }).get('Managed Flink')?.dollars).toBeCloseTo(4 * 720 * 0.11 + 15)
    expect(peers({ recordsPerSecond: 1000, valueBytes: 25_000 }).get('Managed Flink')?.dollars).toBeCloseTo(4 * 720 * 0.11 + 15)
  })

  test('Firehose asks by the GB, and so nothing to speak of for little', () => {
    expect(peers({}).get('Firehose into Iceberg')?.dollars).toBeCloseTo(279.936 * 0.07)
    expect(peers({ recordsPerSecond: 1 }).get('Firehose into Iceberg')?.dollars).toBeLessThan(0.02)
  })

  test('a service without a price to cite has none, rather than a guess', () => {
    expect(peers({}).get('MSK Data Delivery')).toMatchObject({ dollars: null, dollarsPerMillion: null })
  })

  test('what it lacks depends on what the pipeline does', () => {
    expect(peers({}).get('Firehose into Iceberg')?.lacks).toMatch(/^no windows/)
    const rowsOnly = { ...PLAN, operators: {} }
    for (const { lacks } of peersOf(rowsOnly, TRADES)) expect(lacks).not.toMatch(/windows/)
  })

  test('more records never cost less', () => {
    const rate = fc.double({ min: 0.001, max: 1e6, noNaN: true })
    fc.assert(
      fc.property(rate, rate, (a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)].map((recordsPerSecond) => peers({ recordsPerSecond }))
        for (const [name, { dollars }] of more) expect(dollars ?? 0).toBeGreaterThanOrEqual(less.get(name)?.dollars ?? 0)
      }),
    )
  })

  test('is told on the page, where one of them is cheaper too', () => {
    const rows = rowsBelow('Beside other services', 'how-to/size-and-cost.md')
    const expected = [10, 1000, 10_000, 100_000].map((recordsPerSecond) => {
      const load = { ...TRADES, recordsPerSecond, batchWindowMs: 5000 }
      const [flink, firehose] = peersOf(PLAN, load)
      const dollars = [estimate(PLAN, load).dollars, flink.dollars ?? 0, firehose.dollars ?? 0]
      return [recordsPerSecond.toLocaleString('en-US'), ...dollars.map((each) => `$${each.toFixed(2)}`)]
    })
    expect(rows).toEqual(expected)
    const [few, , , many] = rows.map((row) => row.slice(1).map((cell) => Number(cell.slice(1))))
    expect(few[2]).toBeLessThan(few[0])
    expect(many[1]).toBeLessThan(many[0])
  })
})
