import { parquetMetadata } from 'hyparquet'
import { describe, expect, it } from 'vitest'
import { serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { metadataLocation, nextVersion } from '../../lib/iceberg/paths.ts'
import { DEFAULT_PROPERTIES } from '../../lib/iceberg/properties.ts'
import { loadTable, planFiles } from '../../lib/iceberg/scan.ts'
import { planOf } from '../../lib/index.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { advanceToEnd, commitAll } from '../../lib/runtime/advance.ts'
import { lastCheckpoint } from '../../lib/runtime/checkpoints.ts'
import { commit } from '../../lib/runtime/commit.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import { tableId } from '../../lib/runtime/runtime.ts'
import trades from '../../pipelines/trades.ts'
import { batch, trade, type World, world } from './world.ts'

type Properties = Readonly<Record<string, string>>

/** The trades pipeline with properties for some of its tables, as its definition would say. */
function planWith(properties: Readonly<Record<string, Properties>>): Plan {
  const plan = planOf(trades)
  const tables = Object.entries(plan.tables).map(([name, table]) => [name, { ...table, properties: properties[name] ?? {} }])
  return { ...plan, tables: Object.fromEntries(tables) }
}

async function load(w: World, name: string) {
  const table = await loadTable(w.ports.catalog, w.ports.objects, tableId(w.runtime, name))
  if (table === undefined) throw new Error(`no table ${name}`)
  return table
}

/** `ALTER TABLE … SET TBLPROPERTIES`, as another engine commits it. */
async function alter(w: World, name: string, properties: Properties): Promise<void> {
  const { id, pointer, metadata } = await load(w, name)
  const next = { ...metadata, properties: { ...metadata.properties, ...properties } }
  const location = metadataLocation(metadata, nextVersion(pointer.metadataLocation), w.ports.random.uuid())
  await w.ports.objects.put(location, [serializeMetadata(next)])
  expect(await w.ports.catalog.swap(id, pointer, location)).toBe(true)
}

/** Files in the order of their checkpoints: codec, data pages of the first column, rows. */
async function filesOf(w: World, name: string) {
  const { metadata } = await load(w, name)
  const files = (await planFiles(w.ports.objects, metadata)).map(({ file }) => file)
  const facts = []
  for (const file of files.toSorted((a, b) => (nameOf(a.filePath) < nameOf(b.filePath) ? -1 : 1))) {
    const bytes = await w.ports.objects.get(file.filePath)
    const footer = parquetMetadata(new Uint8Array(bytes ?? []).buffer)
    const chunk = footer.row_groups[0]?.columns[0]?.meta_data
    const pages = chunk?.encoding_stats
      ?.filter((page) => page.page_type === 'DATA_PAGE')
      .reduce((sum, page) => sum + page.count, 0)
    facts.push({ codec: chunk?.codec, pages, rows: Number(footer.num_rows), sortOrderId: file.sortOrderId })
  }
  return facts
}
const nameOf = (path: string) => path.slice(path.lastIndexOf('/') + 1)

/** Trades of one day at `from`, one a millisecond, of a price without a pattern. */
const many = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) =>
    JSON.stringify({ symbol: 'A', ts: 10_000 + from + i, price: ((from + i) * 0.7548776662466927) % 1, qty: 1 }),
  )

describe('table properties', () => {
  it('of the definition are set when a table is made, beside the marker and the defaults', async () => {
    const plan = planWith({
      raw_trades: { 'write.parquet.compression-codec': 'snappy', owner: 'desk 4' },
      agg_1m: { 'write.parquet.page-row-limit': '5' },
    })
    const w = world({ plan })
    await provision(w.runtime, { trades: [0] })
    expect((await load(w, 'raw_trades')).metadata.properties).toEqual({
      ...DEFAULT_PROPERTIES,
      'write.parquet.compression-codec': 'snappy',
      owner: 'desk 4',
      'frazil.trades.marker': 'i1:0',
    })
    expect((await load(w, 'agg_1m')).metadata.properties).toEqual({
      ...DEFAULT_PROPERTIES,
      'write.parquet.page-row-limit': '5',
      'frazil.trades.marker': 'i1:0',
    })
  })

  it('decide codec and pages of the files, for each table its own', async () => {
    const plan = planWith({
      raw_trades: { 'write.parquet.compression-codec': 'snappy', 'write.parquet.page-row-limit': '10' },
      agg_1m: { 'write.parquet.compression-codec': 'gzip' },
      dead_letters: { 'write.parquet.compression-codec': 'uncompressed' },
    })
    const w = world({ plan })
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [...many(35), '{broken'])])
    await advanceToEnd(w.runtime)
    expect(await filesOf(w, 'raw_trades')).toEqual([{ codec: 'SNAPPY', pages: 4, rows: 35, sortOrderId: undefined }])
    expect(await filesOf(w, 'agg_1m')).toEqual([{ codec: 'GZIP', pages: 1, rows: 1, sortOrderId: 1 }])
    expect(await filesOf(w, 'dead_letters')).toMatchObject([{ codec: 'UNCOMPRESSED', rows: 1 }])
    expect(await w.rows('raw_trades')).toHaveLength(35)
    expect(await w.rows('agg_1m')).toMatchObject([{ trade_count: 35n }])
  })

  it('that another engine sets hold from the next checkpoint on; those of the definition no more', async () => {
    const w = world({ plan: planWith({ raw_trades: { 'write.parquet.compression-codec': 'snappy' } }) })
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, many(3))])
    await commitAll(w.runtime)
    await alter(w, 'raw_trades', { 'write.parquet.compression-codec': 'GZIP' })
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 3, many(3, 3))])
    await commitAll(w.runtime)
    expect((await filesOf(w, 'raw_trades')).map(({ codec }) => codec)).toEqual(['SNAPPY', 'GZIP'])
    expect(await w.rows('raw_trades')).toHaveLength(6)
  })

  it('that cannot be done stop the commit with the way out, while staging goes on; set right, nothing is lost', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, many(3))])
    await commitAll(w.runtime)
    const before = await lastCheckpoint(w.runtime)
    await alter(w, 'raw_trades', { 'write.parquet.compression-codec': 'lz4' })
    for (const from of [3, 6]) {
      await ingest(w.runtime, [batch(0, from, many(3, from))])
      await expect(commit(w.runtime)).rejects.toMatchObject({
        kind: 'Refused',
        message: expect.stringMatching(
          /^Cannot write files of table trades\.raw_trades: expected property write\.parquet\.compression-codec .* found "lz4"\. Set it right/,
        ),
      })
    }
    expect((await lastCheckpoint(w.runtime))?.n).toBe(before?.n)
    await alter(w, 'raw_trades', { 'write.parquet.compression-codec': 'uncompressed' })
    await advanceToEnd(w.runtime)
    expect((await w.rows('raw_trades')).map((row) => row.kafka_offset)).toEqual(Array.from({ length: 9 }, (_, i) => BigInt(i)))
    expect(await w.rows('agg_1m')).toMatchObject([{ trade_count: 9n }])
  })

  it('that cannot be done on a table of results leave no object behind, however often the commit is tried', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5), trade('A', 70, 5), trade('A', 130, 5)])])
    await alter(w, 'agg_1m', { 'write.target-file-size-bytes': '512 MB' })
    const objects = async () => {
      let count = 0
      for await (const _ of w.ports.objects.list('memory://')) count++
      return count
    }
    const before = await objects()
    for (let i = 0; i < 3; i++)
      await expect(commit(w.runtime)).rejects.toThrow(
        /trades\.agg_1m: expected property write\.target-file-size-bytes .* "512 MB"/,
      )
    expect(await objects()).toBe(before)
  })

  it('on a table that a checkpoint has nothing for concern nobody', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    await alter(w, 'dead_letters', { 'write.parquet.compression-codec': 'lz4' })
    await ingest(w.runtime, [batch(0, 0, many(3))])
    await commitAll(w.runtime)
    expect(await w.rows('raw_trades')).toHaveLength(3)
  })

  it('split the file of a partition that would grow beyond the target, sorted or not, and keep each row once', async () => {
    const target = { 'write.target-file-size-bytes': '60000', 'write.parquet.compression-codec': 'uncompressed' }
    const plan = planWith({ raw_trades: target, agg_1m: target })
    const sorted = { ...plan.tables.raw_trades, sortBy: [{ column: 'price', direction: 'asc' }] } as const
    for (const tables of [plan.tables, { ...plan.tables, raw_trades: sorted }]) {
      const w = world({ plan: { ...plan, tables } })
      await provision(w.runtime, { trades: [0] })
      for (let i = 0; i < 20; i++) await ingest(w.runtime, [batch(0, i * 1000, many(1000, i * 1000))])
      await commitAll(w.runtime)
      const files = await filesOf(w, 'raw_trades')
      expect(files.length).toBeGreaterThan(3)
      for (const { rows, sortOrderId } of files) {
        expect(rows).toBeGreaterThan(0)
        expect(rows).toBeLessThanOrEqual(4096)
        expect(sortOrderId).toBe(tables.raw_trades.sortBy.length > 0 ? 1 : undefined)
      }
      const offsets = (await w.rows('raw_trades')).map((row) => Number(row.kafka_offset)).sort((a, b) => a - b)
      expect(offsets).toEqual(Array.from({ length: 20_000 }, (_, i) => i))
    }
  })

  it('are asked of the catalog once a checkpoint, however many batches it takes', async () => {
    let asked = 0
    const w = world()
    await provision(w.runtime, { trades: [0] })
    const { catalog } = w.ports
    const counting: typeof catalog = {
      ...catalog,
      load(id) {
        asked++
        return catalog.load(id)
      },
    }
    const runtime = w.again({ ports: { catalog: counting } })
    const askedFor = async (from: number, to: number) => {
      for (let i = from; i < to; i++) await ingest(runtime, [batch(0, i, many(1, i))])
      const before = asked
      await commit(runtime)
      return asked - before
    }
    // The first pins the tables.
    await askedFor(0, 1)
    const ofOne = await askedFor(1, 2)
    expect(await askedFor(2, 12)).toBe(ofOne)
  })
})
