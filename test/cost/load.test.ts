import { describe, expect, test } from 'vitest'
import { batchesOf, eventBytes, type Load } from '../../lib/cost/load.ts'
import { PLAN, TRADES } from './page.ts'

const batches = (load: Partial<Load>) => batchesOf(PLAN, { ...TRADES, ...load })[0]

describe('how a load reaches ingest', () => {
  test('a batch is closed by its window, by 10,000 records, or by 6 MB of event', () => {
    expect(batches({})).toMatchObject({ batchesPerSecond: 1, records: 1000, closedBy: 'window' })
    expect(batches({ recordsPerSecond: 50_000 })).toMatchObject({ batchesPerSecond: 5, records: 10_000, closedBy: 'records' })
    const large = batches({ valueBytes: 10_000 })
    expect(large).toMatchObject({ closedBy: 'bytes' })
    expect(large.records * eventBytes('trades', 10_000)).toBeLessThanOrEqual(6 * 1024 * 1024)
    expect((large.records + 1) * eventBytes('trades', 10_000)).toBeGreaterThan(6 * 1024 * 1024)
  })

  test('values are in an event as base64 is: four bytes for three', () => {
    expect(eventBytes('trades', 3000) - eventBytes('trades', 0)).toBe(4000)
  })

  test('records that come one by one are batches of one, of one partition', () => {
    expect(batches({ recordsPerSecond: 0.001 })).toMatchObject({ batchesPerSecond: 0.001, records: 1, inline: true })
    expect(batches({ recordsPerSecond: 0.001 }).partitions).toBeCloseTo(1)
  })

  test('pollers share the partitions, and each makes batches of its own', () => {
    const shared = batches({ pollers: 2 })
    expect(shared).toMatchObject({ batchesPerSecond: 2, records: 500 })
    expect(shared.partitions).toBeCloseTo(2)
    expect(batches({ pollers: 200 })).toMatchObject({ batchesPerSecond: 4, partitions: 1 })
  })

  test('partitions are those that were asked for, else those of the definition, else four', () => {
    expect(batches({}).topicPartitions).toBe(4)
    expect(batches({ partitions: 12 }).topicPartitions).toBe(12)
    const { trades } = PLAN.sources
    const plan = { ...PLAN, sources: { trades: { ...trades, partitions: 7 } } }
    expect(batchesOf(plan, TRADES)[0].topicPartitions).toBe(7)
  })

  test('a load of several topics is shared by their partitions', () => {
    const { trades } = PLAN.sources
    const sources = { trades: { ...trades, partitions: 3 }, quotes: { ...trades, id: 'quotes', topic: 'quotes', partitions: 1 } }
    expect(batchesOf({ ...PLAN, sources }, TRADES).map(({ recordsPerSecond }) => recordsPerSecond)).toEqual([750, 250])
  })

  test.each([1, 108, 1_000_000])('a value of %i bytes fits', (valueBytes) => {
    expect(batches({ valueBytes }).records).toBeGreaterThanOrEqual(1)
  })

  test('a value that no event can hold is refused', () => {
    expect(() => batches({ valueBytes: 5_000_000 })).toThrow(
      /expected values that a Lambda event of 6 MB holds, found 5000000 bytes/,
    )
  })
})
