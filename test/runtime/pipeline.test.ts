import { describe, expect, it } from 'vitest'
import type { Records } from '../../lib/columns/records.ts'
import { planOf } from '../../lib/index.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { memoryCatalog } from '../../lib/ports/memory/catalog.ts'
import { memoryLog } from '../../lib/ports/memory/log.ts'
import { stagingLogKey } from '../../lib/protocol/names.ts'
import { stagingTail } from '../../lib/protocol/staging.ts'
import { advance, advanceIdle, advanceToEnd, commitAll } from '../../lib/runtime/advance.ts'
import { lastCheckpoint } from '../../lib/runtime/checkpoints.ts'
import { commit } from '../../lib/runtime/commit.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { openPartitions } from '../../lib/runtime/open-partitions.ts'
import { provision } from '../../lib/runtime/provision.ts'
import { trim } from '../../lib/runtime/trim.ts'
import trades from '../../pipelines/trades.ts'
import { batch, trade, type World, world } from './world.ts'

const staged = async (w: World, partition: number) =>
  stagingTail(await w.ports.log.tail(stagingLogKey('trades', 'trades', 'i1', 'trades', partition)))

describe('a pipeline from records to tables', () => {
  it('puts each record in raw_trades or dead_letters, and each window in agg_1m once', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0, 1] })
    await ingest(w.runtime, [
      batch(0, 0, [trade('A', 10, 5), '{broken', trade('A', 20, 7, 2), null]),
      batch(1, 0, [trade('B', 15, 3), trade('B', 70, 4)]),
    ])
    await advanceToEnd(w.runtime)
    const raw = await w.rows('raw_trades')
    expect(raw.map((row) => [row.symbol, row.price, row.kafka_partition, row.kafka_offset])).toEqual([
      ['A', 5, 0, 0n],
      ['A', 7, 0, 2n],
      ['B', 3, 1, 0n],
      ['B', 4, 1, 1n],
    ])
    const dead = await w.rows('dead_letters')
    expect(dead.map((row) => [row.kafka_offset, row.reason])).toEqual([
      [1n, 'invalid_json'],
      [3n, 'tombstone'],
    ])
    const windows = await w.rows('agg_1m')
    expect(
      windows.map((row) => [row.symbol, row.open, row.high, row.low, row.close, row.volume, row.trade_count, row.avg_price]),
    ).toEqual([
      ['A', 5, 7, 5, 7, 3, 2n, 6],
      ['B', 3, 3, 3, 3, 1, 1n, 3],
      ['B', 4, 4, 4, 4, 1, 1n, 4],
    ])
  })

  it('adds nothing when the same records come again, before and after commits', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    const records = [batch(0, 0, [trade('A', 10, 5), trade('A', 90, 6)])]
    await ingest(w.runtime, records)
    expect((await ingest(w.runtime, records)).records).toBe(0)
    await commitAll(w.runtime)
    await ingest(w.runtime, records)
    await advanceToEnd(w.runtime)
    await advanceToEnd(w.runtime)
    expect(await w.rows('raw_trades')).toHaveLength(2)
    expect(await w.rows('agg_1m')).toHaveLength(2)
  })

  it('sends a row to the late table with the watermark that judged it, and keeps it in raw_trades', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5), trade('A', 66, 6), trade('A', 59, 7)])])
    await advanceToEnd(w.runtime)
    const [late] = await w.rows('agg_1m_late')
    expect(late).toMatchObject({ symbol: 'A', price: 7, kafka_offset: 2n, kafka_topic: 'trades' })
    expect([late.window_start, late.window_end, late.watermark]).toEqual([new Date(0), new Date(60_000), new Date(61_000)])
    expect(await w.rows('raw_trades')).toHaveLength(3)
    expect((await w.rows('agg_1m'))[0]).toMatchObject({ trade_count: 1n })
  })

  it('refuses a definition whose source reads another topic, or that lacks it, before anything is written', async () => {
    const plan = planOf(trades)
    const w = world()
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5)])])
    await commitAll(w.runtime)
    const before = await lastCheckpoint(w.runtime)
    const moved: Plan = { ...plan, sources: { trades: { ...plan.sources.trades, topic: 'trades2' } } }
    const renamed: Plan = { ...plan, sources: { trades2: { ...plan.sources.trades, id: 'trades2', topic: 'trades2' } } }
    for (const other of [moved, renamed]) {
      const runtime = w.again({ plan: other })
      const records = { ...batch(0, 0, [trade('A', 10, 5)]), topic: 'trades2' }
      await expect(provision(runtime, { [Object.keys(other.sources)[0]]: [0] })).rejects.toMatchObject({ kind: 'Refused' })
      await expect(ingest(runtime, [records])).rejects.toThrow(/has read (source trades|topic trades)/)
      await expect(commitAll(runtime)).rejects.toThrow(/Restore the definition/)
    }
    expect((await lastCheckpoint(w.runtime))?.n).toBe(before?.n)
  })

  it('makes no empty table in the place of one that was dropped', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5)])])
    await commitAll(w.runtime)
    const catalog = memoryCatalog()
    await expect(provision(w.again({ ports: { catalog } }), { trades: [0] })).rejects.toThrow(/it does not exist any more/)
    expect(await catalog.list()).toEqual([])
  })

  it('refuses a name that the catalog keeps for something else than a table, and does not try for ever', async () => {
    const w = world()
    const catalog = { ...memoryCatalog(), create: async () => false }
    await expect(provision(w.again({ ports: { catalog } }), { trades: [0] })).rejects.toThrow(
      /found an entry that is no Iceberg table/,
    )
  })

  it('refuses logs or tables that were restored from an older copy, before anything is written (rules 15, 28)', async () => {
    const older = world()
    await provision(older.runtime, { trades: [0] })
    const catalog = memoryCatalog()
    for (const id of await older.ports.catalog.list()) {
      const pointer = await older.ports.catalog.load(id)
      await catalog.create(id, pointer?.metadataLocation ?? '', { location: '', columns: [] })
    }
    const emptyLog = memoryLog()
    for (const key of ['checkpoint/trades/i1'])
      for (const { slot, value } of await older.ports.log.read(key, 0, 10)) await emptyLog.put(key, slot, value)
    for (const from of [0, 1]) {
      await ingest(older.runtime, [batch(0, from, [trade('A', 10, 5)])])
      await commitAll(older.runtime)
    }
    const tables = older.again({ ports: { catalog } })
    await expect(commitAll(tables)).rejects.toThrow(/marker 0 is below 2, which was applied before: it was rolled back/)
    await expect(provision(tables, { trades: [0] })).rejects.toThrow(/rolled back/)
    const logs = older.again({ ports: { log: emptyLog } })
    await expect(commitAll(logs)).rejects.toThrow(/marker 3 is ahead of/)
    await expect(provision(logs, { trades: [0] })).rejects.toThrow(/marker 3 is ahead of/)
    expect(await older.rows('raw_trades')).toHaveLength(2)
  })

  it('halts when the staging log lost what a checkpoint consumed (rule 28)', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    for (const from of [0, 1]) await ingest(w.runtime, [batch(0, from, [trade('A', 10, 5)])])
    await commitAll(w.runtime)
    const copy = async (upTo: number) => {
      const log = memoryLog()
      const staging = 'staging/trades/trades/i1/trades/0'
      for (const key of ['checkpoint/trades/i1', staging])
        for (const { slot, value } of await w.ports.log.read(key, 0, 10))
          if (key !== staging || slot <= upTo) await log.put(key, slot, value)
      return w.again({ ports: { log } })
    }
    const gone = await copy(0)
    await expect(ingest(gone, [batch(0, 2, [trade('A', 10, 5)])])).rejects.toThrow(
      /its log is empty, but checkpoints consumed 2 entries of it/,
    )
    await expect(commit(gone)).rejects.toThrow(/found no entry\. Restore the log/)
    const torn = await copy(1)
    await ingest(torn, [batch(0, 1, [trade('A', 20, 6), trade('A', 21, 7)])])
    await expect(commit(torn)).rejects.toThrow(/expected slot 2 to end at offset 2, found offset 3/)
  })

  it('refuses a table that another pipeline made, before anything is staged', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    const other = w.again({ plan: { ...planOf(trades), name: 'trades2', namespace: 'trades' } })
    await expect(provision(other, { trades: [0] })).rejects.toThrow(
      /table trades.raw_trades: .* pipeline trades2, found .* pipeline trades/,
    )
    expect(await lastCheckpoint(other)).toBeUndefined()
  })

  it('lets any number of new partitions join by one entry, which stays small (rule 27)', async () => {
    const w = world()
    await provision(w.runtime, {})
    const partitions = Array.from({ length: 120 }, (_, i) => 2 * i)
    await ingest(
      w.runtime,
      partitions.map((p) => batch(p, 0, [trade('A', 10, 5)])),
    )
    expect((await lastCheckpoint(w.runtime))?.n).toBe(1)
    for (let p = 1; p < 40; p += 2) await ingest(w.runtime, [batch(p, 0, [trade('A', 10, 5)])])
    const last = await lastCheckpoint(w.runtime)
    expect(last?.entry.opened).toHaveLength(1)
    expect(Object.keys(last?.sources.trades ?? {})).toHaveLength(140)
    await commitAll(w.runtime)
    expect(await w.rows('raw_trades')).toHaveLength(140)
  })

  it('stages all partitions of a delivery but the one that is refused, and then throws', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0, 1] })
    const stamped = (records: Records, timestamp: number) => ({ ...records, timestamps: records.timestamps.map(() => timestamp) })
    await ingest(w.runtime, [stamped(batch(0, 0, [trade('A', 10, 5), trade('A', 11, 5)]), 1000)])
    const recreated = stamped(batch(0, 0, [trade('A', 12, 5)]), 9000)
    await expect(ingest(w.runtime, [recreated, batch(1, 0, [trade('B', 10, 5)])])).rejects.toMatchObject({ kind: 'Refused' })
    await commitAll(w.runtime)
    expect((await w.rows('raw_trades')).map((row) => row.symbol)).toEqual(['A', 'A', 'B'])
  })

  it('opens all partitions that the definition states with the first record of any, should nobody have opened them', async () => {
    const plan = planOf(trades)
    const declared: Plan = { ...plan, sources: { trades: { ...plan.sources.trades, partitions: 2 } } }
    const w = world({ plan: declared })
    await provision(w.runtime, {})
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5), trade('A', 1000, 6)])])
    await commitAll(w.runtime)
    expect(await w.rows('raw_trades')).toHaveLength(2)
    expect(await w.rows('agg_1m')).toHaveLength(0)
    await ingest(w.runtime, [batch(1, 0, [trade('A', 1000, 6)])])
    await commitAll(w.runtime)
    expect(await w.rows('agg_1m')).toMatchObject([{ open: 5, trade_count: 1n }])
  })

  it('closes no window while a partition has not spoken (rule 22)', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0, 1] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5), trade('A', 1000, 6)])])
    await commitAll(w.runtime)
    expect(await w.rows('agg_1m')).toHaveLength(0)
    await ingest(w.runtime, [batch(1, 0, [trade('A', 30, 9), trade('A', 1000, 6)])])
    await commitAll(w.runtime)
    expect(await w.rows('agg_1m')).toMatchObject([{ open: 5, close: 9, trade_count: 2n }])
  })

  it('commits few files: one per table partition and commit, not per batch', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0, 1] })
    for (let i = 0; i < 20; i++) await ingest(w.runtime, [batch(i % 2, Math.floor(i / 2), [trade('A', 10 + i, 5)])])
    await commitAll(w.runtime)
    expect(await w.files('raw_trades')).toHaveLength(1)
  })

  it('works a backlog off in bounded steps, and ends with the same windows (rule 27)', async () => {
    const w = world({ limits: { maxCheckpointEntries: 1, maxStateSlices: 2, inlineBytes: 0 } })
    await provision(w.runtime, { trades: [0, 1] })
    for (let i = 0; i < 12; i++)
      await ingest(w.runtime, [batch(i % 2, Math.floor(i / 2), [trade(i % 3 === 0 ? 'A' : 'B', 10 + 20 * i, i)])])
    expect((await commit(w.runtime)).more).toBe(true)
    await advanceToEnd(w.runtime)
    const whole = world()
    await provision(whole.runtime, { trades: [0, 1] })
    for (const partition of [0, 1])
      await ingest(whole.runtime, [
        batch(
          partition,
          0,
          Array.from({ length: 6 }, (_, k) => k * 2 + partition).map((i) => trade(i % 3 === 0 ? 'A' : 'B', 10 + 20 * i, i)),
        ),
      ])
    await advanceToEnd(whole.runtime)
    const sorted = (rows: Record<string, unknown>[]) =>
      rows.map((row) => `${row.window_start} ${row.symbol} ${row.open} ${row.close} ${row.trade_count}`).sort()
    expect(sorted(await w.rows('agg_1m'))).toEqual(sorted(await whole.rows('agg_1m')))
    expect((await w.rows('agg_1m')).length).toBeGreaterThan(4)
  })

  it('lets a partition join with the closed watermark as its floor (rule 23)', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5), trade('A', 130, 6)])])
    await commitAll(w.runtime)
    expect(await w.rows('agg_1m')).toHaveLength(1)
    await ingest(w.runtime, [batch(1, 0, [trade('A', 20, 5), trade('A', 125, 8)])])
    expect((await staged(w, 1)).entry).toMatchObject({ watermark: 125_000, late: 1 })
    await advanceToEnd(w.runtime)
    expect(await w.rows('agg_1m_late')).toHaveLength(1)
    expect(await w.rows('agg_1m')).toHaveLength(2)
  })

  it('trims the logs and goes on as before (rules 2, 3)', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    for (let i = 0; i < 5; i++) {
      await ingest(w.runtime, [batch(0, i, [trade('A', 10 + i * 30, i)])])
      await commitAll(w.runtime)
      await trim(w.runtime)
    }
    expect((await staged(w, 0)).slot).toBe(5)
    expect(await w.ports.log.read(stagingLogKey('trades', 'trades', 'i1', 'trades', 0), 0, 10)).toHaveLength(1)
    await advanceToEnd(w.runtime)
    expect(await w.rows('raw_trades')).toHaveLength(5)
  })
})

describe('advancing', () => {
  it('is not done while the broker has something unread, and nobody can be asked (rule 24)', async () => {
    const unread = world({ broker: { partitions: async () => [0], nothingUnread: async () => false } })
    await provision(unread.runtime, { trades: [0] })
    await ingest(unread.runtime, [batch(0, 0, [trade('A', 10, 5)])])
    expect(await advance(unread.runtime, 'trades', 0, 60_000)).toBe('Unproven')
    expect(await advanceToEnd(unread.runtime)).toBe(false)
    expect(await advance(unread.again({ ports: { broker: undefined } }), 'trades', 0, 60_000)).toBe('Unproven')
    expect(await unread.rows('agg_1m')).toHaveLength(0)
  })

  it('loses to a batch that was in flight between the proof and the put (rule 24)', async () => {
    const w = world({
      broker: {
        partitions: async () => [0],
        nothingUnread: async () => {
          await ingest(w.runtime, [batch(0, 1, [trade('A', 20, 6)])])
          return true
        },
      },
    })
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5)])])
    expect(await advance(w.runtime, 'trades', 0, 600_000)).toBe('Lost')
    expect((await staged(w, 0)).entry?.watermark).toBe(15_000)
  })

  it('moves an idle partition at most to the time of reading less idle time and delay (rule 24)', async () => {
    const plan: Plan = planOf(trades)
    const w = world({ plan: { ...plan, sources: { trades: { ...plan.sources.trades, idleAfterMs: 100_000 } } } })
    await provision(w.runtime, { trades: [0, 1] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 5000, 5)])])
    await commitAll(w.runtime)
    await advanceIdle(w.runtime, [{ source: 'trades', partition: 1 }])
    // The clock says 1,000 s; less 100 s idle, less 5 s delay.
    expect((await staged(w, 1)).entry).toMatchObject({ kind: 'advance', watermark: 895_000 })
  })

  it('at the end of a bounded source leaves later windows open to come (rule 25)', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5)])])
    await advanceToEnd(w.runtime)
    await ingest(w.runtime, [batch(0, 1, [trade('A', 61, 6), trade('A', 59, 7)])])
    await advanceToEnd(w.runtime)
    expect(await w.rows('agg_1m')).toMatchObject([{ open: 5 }, { open: 6 }])
    expect(await w.rows('agg_1m_late')).toMatchObject([{ price: 7 }])
  })
})

describe('what a pipeline refuses', () => {
  it('state of another definition, naming the way out; the known one goes on (rule 19)', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5)])])
    await commitAll(w.runtime)
    const plan = planOf(trades)
    const changed = { ...plan, operators: { agg_1m: { ...plan.operators.agg_1m, fingerprint: 'another' } } }
    await ingest(w.runtime, [batch(0, 1, [trade('A', 500, 5)])])
    const other = w.again({ plan: changed })
    for (const attempt of [() => provision(other, { trades: [0] }), () => commit(other)])
      await expect(attempt()).rejects.toThrow(
        /windows of agg_1m are open, and this definition has them otherwise .* found another/,
      )
    await commitAll(w.runtime)
    expect(await w.rows('agg_1m')).toHaveLength(1)
    // Staged by a function that ran the other definition before anything was open.
    const fresh = world()
    await provision(fresh.runtime, { trades: [0] })
    await ingest(fresh.again({ plan: changed }), [batch(0, 0, [trade('A', 10, 5)])])
    await expect(commit(fresh.runtime)).rejects.toThrow(/operator agg_1m has open state of fingerprint another/)
  })

  it('a table that was dropped and created again (rule 15)', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5)])])
    await commitAll(w.runtime)
    const other = world()
    await provision(other.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 1, [trade('A', 20, 5)])])
    const foreign = w.again({ ports: { catalog: other.ports.catalog, objects: merged(w, other) } })
    await expect(commit(foreign)).rejects.toThrow(/dropped and created again/)
  })

  it('a warehouse whose tables belong to another incarnation (rule 15)', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    const restarted = w.again({ incarnation: 'i2' })
    await expect(provision(restarted, { trades: [0] })).rejects.toThrow(/incarnation i2\), found i1: the logs were removed/)
    // A function that was provisioned before learns it at its first commit.
    await openPartitions(restarted, { trades: [0] })
    await ingest(restarted, [batch(0, 0, [trade('A', 10, 5)])])
    await expect(commit(restarted)).rejects.toThrow(/belongs to incarnation i1/)
  })

  it('an existing table with other columns, before anything is written', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    const plan = planOf(trades)
    const table = plan.tables.raw_trades
    const changed = { ...plan, tables: { ...plan.tables, raw_trades: { ...table, fields: table.fields.slice(1) } } }
    await expect(provision(w.again({ plan: changed }), { trades: [0] })).rejects.toThrow(/Cannot use table trades.raw_trades/)
  })

  it('a topic created again, and records of a topic it does not read (rule 8)', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5), trade('A', 11, 5)], [10_000, 11_000])])
    await expect(ingest(w.runtime, [batch(0, 0, [trade('A', 99, 5)], [99_000])])).rejects.toThrow(/created again/)
    await expect(ingest(w.runtime, [{ ...batch(0, 0, []), topic: 'other' }])).rejects.toThrow(
      /Cannot ingest topic other: expected one of trades/,
    )
  })

  it('to go on when a staged segment, or a data file it was to commit, is gone (rules 13, 20)', async () => {
    const w = world({ limits: { inlineBytes: 0 } })
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5)])])
    const { segment } = (await staged(w, 0)).entry ?? {}
    const bytes = await w.ports.objects.get(`memory://staging/${segment}`)
    await w.ports.objects.delete(`memory://staging/${segment}`)
    await expect(commit(w.runtime)).rejects.toThrow(/Cannot read staging object/)
    await w.ports.objects.put(`memory://staging/${segment}`, [bytes ?? new Uint8Array()])
    const stuck = { ...w.ports.catalog, swap: () => Promise.reject(new Error('down')) }
    await expect(commit(w.again({ ports: { catalog: stuck } }))).rejects.toThrow('down')
    const body = (await lastCheckpoint(w.runtime))?.body
    const path = body?.intents.raw_trades?.[0]?.files[0]?.path ?? ''
    await w.ports.objects.delete(path)
    await expect(commit(w.runtime)).rejects.toThrow(/Cannot commit data file/)
  })
})

/** Objects of two worlds as one store. */
function merged(a: World, b: World) {
  const { objects } = a.ports
  return { ...objects, get: async (location: string) => (await b.ports.objects.get(location)) ?? objects.get(location) }
}
