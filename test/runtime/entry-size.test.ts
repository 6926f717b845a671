import { expect, test } from 'vitest'
import { column, kafka, pipeline, planOf, seconds, timestampMillis } from '../../lib/index.ts'
import { commitAll } from '../../lib/runtime/advance.ts'
import { assertEntriesFit } from '../../lib/runtime/entry-size.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import { batch, trade, world } from './world.ts'

const trades = kafka('trades', {
  schema: { symbol: column.string(), ts: column.long(), price: column.double(), qty: column.double() },
  computed: { event_time: (c) => timestampMillis(c.ts) },
  eventTime: 'event_time',
  watermark: { delay: seconds(5) },
})

/** So many tables of one topic. */
const wide = (tables: number) => {
  const [first, ...rest] = Array.from({ length: tables }, (_, i) => trades.appendTo(`a_table_with_a_normal_name_${i}`))
  return planOf(pipeline('wide', { sinks: [first, ...rest] }))
}

test('a definition of more tables than an entry can name is refused before a record is read', () => {
  expect(() => assertEntriesFit(wide(60))).toThrow(/topic trades feeds 61 tables and operators, whose names need \d{4} bytes/)
  expect(() => world({ plan: wide(60) })).toThrow(expect.objectContaining({ kind: 'InvalidPipeline' }))
})

test('the widest definition that is accepted stages and commits', async () => {
  let tables = 60
  const fits = (n: number) => {
    try {
      assertEntriesFit(wide(n))
      return true
    } catch {
      return false
    }
  }
  while (!fits(tables)) tables--
  expect(tables).toBeGreaterThan(20)
  const w = world({ plan: wide(tables), limits: { inlineBytes: 0 } })
  await provision(w.runtime, { trades: [0] })
  await ingest(w.runtime, [
    batch(
      0,
      0,
      Array.from({ length: 500 }, (_, i) => trade('A', i, i)),
    ),
  ])
  await commitAll(w.runtime)
  expect(await w.rows(`a_table_with_a_normal_name_${tables - 1}`)).toHaveLength(500)
})
