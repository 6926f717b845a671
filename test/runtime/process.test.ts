import { describe, expect, it } from 'vitest'
import { column, kafka, pipeline, planOf, seconds, timestampMillis, timestampSeconds } from '../../lib/index.ts'
import { commitAll } from '../../lib/runtime/advance.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import { batch, world } from './world.ts'

const orders = kafka('trades', {
  schema: { order_id: column.string().from('orderId'), ts: column.long(), due: column.long().optional() },
  computed: { event_time: (c) => timestampMillis(c.ts), due_at: (c) => timestampSeconds(c.due) },
  eventTime: 'event_time',
  watermark: { delay: seconds(0) },
})
const plan = planOf(pipeline('orders', { sinks: [orders.appendTo('all_orders')] }))
const order = (orderId: string, ts: number, due?: number) => JSON.stringify({ orderId, ts, due })
const TOO_LATE_MS = 8.64e15 + 1
const TOO_LATE_S = 8.64e12 + 1

describe('a computed time that is out of range', () => {
  it('is told apart: the event time, or another column', async () => {
    const w = world({ plan })
    await provision(w.runtime, { trades: [0] })
    const report = await ingest(w.runtime, [
      batch(0, 0, [
        order('fine', 1000, 5),
        order('event', TOO_LATE_MS, 5),
        order('due', 1000, TOO_LATE_S),
        order('both', TOO_LATE_MS, TOO_LATE_S),
        order('none', 1000),
        '{"orderId":"broken"',
      ]),
    ])
    expect(report).toMatchObject({
      records: 6,
      deadLetters: 4,
      reasons: { event_time_out_of_range: 2, out_of_range: 1, invalid_json: 1 },
    })
    await commitAll(w.runtime)
    expect((await w.rows('dead_letters')).map((row) => [row.kafka_offset, row.reason, row.detail])).toEqual([
      [1n, 'event_time_out_of_range', expect.stringContaining('column event_time')],
      [2n, 'out_of_range', expect.stringContaining('column due_at')],
      [3n, 'event_time_out_of_range', expect.stringContaining('column event_time')],
      [5n, 'invalid_json', expect.anything()],
    ])
    expect((await w.rows('all_orders')).map((row) => [row.order_id, row.kafka_offset])).toEqual([
      ['fine', 0n],
      ['none', 4n],
    ])
  })

  it('is counted over batches and partitions', async () => {
    const w = world({ plan })
    await provision(w.runtime, { trades: [0, 1] })
    const report = await ingest(w.runtime, [
      batch(0, 0, [order('due', 1000, TOO_LATE_S), '[]']),
      batch(1, 0, [order('due', 1000, TOO_LATE_S)]),
    ])
    expect(report.reasons).toEqual({ out_of_range: 2, not_an_object: 1 })
  })
})
