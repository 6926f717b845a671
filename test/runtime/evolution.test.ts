import { describe, expect, it } from 'vitest'
import { unavailable } from '../../lib/errors.ts'
import { currentSchema, currentSnapshot, serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { loadTable, planFiles } from '../../lib/iceberg/scan.ts'
import type { SchemaField } from '../../lib/iceberg/types.ts'
import { column, kafka, minutes, pipeline, planOf, seconds, timestampMillis, tumbling } from '../../lib/index.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import type { Catalog, TableDescription } from '../../lib/ports/catalog.ts'
import { advanceToEnd, commitAll } from '../../lib/runtime/advance.ts'
import { lastCheckpoint } from '../../lib/runtime/checkpoints.ts'
import { commit } from '../../lib/runtime/commit.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { planTables, provision } from '../../lib/runtime/provision.ts'
import { type Runtime, tableId } from '../../lib/runtime/runtime.ts'
import { batch, type World, world } from './world.ts'

/** Trades with a column more, or two: rows as they come, rows sorted, windows, late rows. */
function definition(more: { venue?: boolean; fee?: boolean; sortBy?: 'price' } = {}): Plan {
  const trades = kafka('trades', {
    key: 'symbol',
    schema: {
      ...(more.fee ? { fee: column.double().optional() } : {}),
      symbol: column.string(),
      ...(more.venue ? { venue: column.string().optional() } : {}),
      ts: column.long(),
      price: column.double(),
    },
    computed: { event_time: (c) => timestampMillis(c.ts) },
    eventTime: 'event_time',
    watermark: { delay: seconds(5) },
  })
  // New columns come first, so that their place in the definition is not their place in the table.
  const names = [...(more.fee ? ['fee'] : []), ...(more.venue ? ['venue'] : []), 'symbol', 'price', 'event_time', 'kafka_offset']
  const rows = trades.select(...(names as ['symbol', 'price', 'event_time', 'kafka_offset']))
  return planOf(
    pipeline('trades', {
      sinks: [
        rows.appendTo('rows', { partitionBy: ['day(event_time)'] }),
        rows.appendTo('sorted', { partitionBy: ['bucket(2, symbol)'], sortBy: [more.sortBy ?? 'symbol', 'event_time'] }),
        trades
          .keyBy('symbol')
          .window(tumbling(minutes(1)))
          .aggregate((a) => ({ trades: a.count() }))
          .appendTo('windows', { late: { table: 'late' } }),
      ],
    }),
  )
}

const OLD = definition()
const NEW = definition({ venue: true })

const load = async (w: World, name: string) => {
  const table = await loadTable(w.ports.catalog, w.ports.objects, tableId(w.runtime, name))
  if (table === undefined) throw new Error(`no table ${name}`)
  return table
}
const pointers = async (w: World) =>
  Promise.all((await w.ports.catalog.list()).map(async (id) => [id.name, (await w.ports.catalog.load(id))?.metadataLocation]))
const columnsOf = async (w: World, name: string) =>
  currentSchema((await load(w, name)).metadata).fields.map((field) => `${field.id} ${field.name}`)
/** Trades at offsets from … to, each with its own venue and fee. */
const trades = (from: number, to: number) => [
  batch(
    0,
    from,
    Array.from({ length: to - from }, (_, i) =>
      JSON.stringify({ symbol: `S${i % 3}`, ts: 1000 * (from + i), price: from + i, venue: `v${from + i}`, fee: (from + i) / 4 }),
    ),
  ),
]
/** What each offset has in a column: null where the file has none. */
const byOffset = async (w: World, table: string, name: string) =>
  Object.fromEntries((await w.rows(table)).map((row) => [String(row.kafka_offset), row[name] ?? null]))
const venues = (from: number, to: number, known: (offset: number) => boolean) =>
  Object.fromEntries(Array.from({ length: to - from }, (_, i) => [String(from + i), known(from + i) ? `v${from + i}` : null]))

/** Another engine's change of a table's schema. */
async function alter(w: World, name: string, fields: (fields: readonly SchemaField[]) => readonly SchemaField[]): Promise<void> {
  const { id, pointer, metadata } = await load(w, name)
  const current = currentSchema(metadata)
  const schemaId = metadata.schemas.length
  const location = `${metadata.location}/metadata/${schemaId}-${w.ports.random.uuid()}.metadata.json`
  const next = {
    ...metadata,
    schemas: [...metadata.schemas, { ...current, 'schema-id': schemaId, fields: fields(current.fields) }],
    'current-schema-id': schemaId,
  }
  await w.ports.objects.put(location, [serializeMetadata(next)])
  expect(await w.ports.catalog.swap(id, pointer, location)).toBe(true)
}

describe('provisioning a definition with new optional columns', () => {
  it('adds them to every table that has them, late tables too, and says so', async () => {
    const w = world({ plan: OLD })
    await provision(w.runtime, { trades: [0] })
    const changes = await provision(w.again({ plan: NEW }), { trades: [0] })
    expect(changes).toEqual([
      { table: 'rows', change: 'gets', columns: 'venue string?' },
      { table: 'sorted', change: 'gets', columns: 'venue string?' },
      { table: 'windows', change: 'as it was', columns: '' },
      { table: 'late', change: 'gets', columns: 'venue string?' },
      { table: 'dead_letters', change: 'as it was', columns: '' },
    ])
    expect(await columnsOf(w, 'rows')).toEqual(['1 symbol', '2 price', '3 event_time', '4 kafka_offset', '5 venue'])
    expect(await provision(w.again({ plan: NEW }), { trades: [0] })).toEqual(
      changes.map(({ table }) => ({ table, change: 'as it was', columns: '' })),
    )
  })

  it('looks at all tables before it changes the first: a refusal leaves them as they were', async () => {
    const w = world({ plan: OLD })
    await provision(w.runtime, { trades: [0] })
    const before = await pointers(w)
    const changed = definition({ venue: true, sortBy: 'price' })
    await expect(provision(w.again({ plan: changed }), { trades: [0] })).rejects.toMatchObject({
      kind: 'Refused',
      message: expect.stringMatching(
        /^Cannot use table trades\.sorted: expected sort order identity\(price\) .*Change the pipeline back/,
      ),
    })
    expect(await pointers(w)).toEqual(before)
  })

  it('is planned without a write, a refusal among the rest', async () => {
    const w = world({ plan: OLD })
    const counting: Catalog = { ...w.ports.catalog, create: () => Promise.reject(new Error('a write')) }
    const put = () => Promise.reject(new Error('a write'))
    const readOnly = { catalog: { ...counting, swap: put }, objects: { ...w.ports.objects, put }, log: { ...w.ports.log, put } }
    const verdicts = async (plan: Plan) =>
      (await planTables(w.again({ plan, ports: readOnly }))).map(({ plan: { name }, verdict }) => `${name} ${verdict.verdict}`)
    expect((await verdicts(OLD)).sort()).toEqual(['dead_letters Make', 'late Make', 'rows Make', 'sorted Make', 'windows Make'])
    await provision(w.runtime, { trades: [0] })
    expect((await verdicts(definition({ venue: true, sortBy: 'price' }))).sort()).toEqual([
      'dead_letters Same',
      'late Add',
      'rows Add',
      'sorted Refuse',
      'windows Same',
    ])
  })

  it('looks again where a swap is lost or its answer is, and adds each column once', async () => {
    const w = world({ plan: OLD })
    await provision(w.runtime, { trades: [0] })
    const outcomes = ['lost', 'unknown', 'happened, unknown']
    const described: (TableDescription | undefined)[] = []
    const catalog: Catalog = {
      ...w.ports.catalog,
      async swap(id, expected, location, description) {
        const outcome = outcomes.shift()
        // Somebody else's commit came between.
        if (outcome === 'lost') {
          await alter(w, id.name, (fields) => fields.map((field) => ({ ...field, doc: 'theirs' })))
          return w.ports.catalog.swap(id, expected, location, description)
        }
        if (outcome === 'unknown') throw unavailable('Cannot reach the catalog: a test.')
        described.push(description)
        const swapped = await w.ports.catalog.swap(id, expected, location, description)
        if (outcome !== undefined) throw unavailable('Cannot reach the catalog: a test.')
        return swapped
      },
    }
    const changes = await provision(w.again({ plan: NEW, ports: { catalog } }), { trades: [0] })
    expect(
      changes
        .filter(({ change }) => change === 'gets')
        .map(({ table }) => table)
        .sort(),
    ).toEqual(['late', 'rows', 'sorted'])
    expect(outcomes).toEqual([])
    const { metadata } = await load(w, 'rows')
    expect(currentSchema(metadata).fields).toMatchObject([
      ...['symbol', 'price', 'event_time', 'kafka_offset'].map((name) => ({ name, doc: 'theirs' })),
      { id: 5, name: 'venue' },
    ])
    expect(described[0]).toMatchObject({
      location: metadata.location,
      columns: expect.arrayContaining([{ id: 5, name: 'venue', type: 'string', required: false }]),
    })
  })

  it('gives up on a table that is never left alone, and goes on where it was the next time', async () => {
    const w = world({ plan: OLD })
    await provision(w.runtime, { trades: [0] })
    const busy = w.again({ plan: NEW, ports: { catalog: { ...w.ports.catalog, swap: async () => false } } })
    await expect(provision(busy, { trades: [0] })).rejects.toMatchObject({ kind: 'CommitUnknown' })
    await provision(w.again({ plan: NEW }), { trades: [0] })
    expect(await columnsOf(w, 'rows')).toContain('5 venue')
  })

  it('beside another that adds the same adds each column once', async () => {
    const w = world({ plan: OLD })
    await provision(w.runtime, { trades: [0] })
    await Promise.all(Array.from({ length: 4 }, () => provision(w.again({ plan: NEW }), { trades: [0] })))
    expect(await columnsOf(w, 'late')).toHaveLength(new Set(await columnsOf(w, 'late')).size)
    expect((await columnsOf(w, 'rows')).filter((name) => name.endsWith('venue'))).toEqual(['5 venue'])
  })
})

describe('a roll-out', () => {
  /** Old and new functions on the same stores, the table provisioned for the new. */
  async function rollOut(): Promise<{ w: World; older: Runtime; newer: Runtime }> {
    const w = world({ plan: OLD })
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, trades(0, 5))
    await commitAll(w.runtime)
    const newer = w.again({ plan: NEW })
    await provision(newer, { trades: [0] })
    return { w, older: w.runtime, newer }
  }

  it('loses nothing, whichever of the definitions ingests and whichever commits', async () => {
    const { w, older, newer } = await rollOut()
    const staged: ['old' | 'new', 'old' | 'new'][] = [
      ['old', 'new'],
      ['new', 'old'],
      ['old', 'old'],
      ['new', 'new'],
    ]
    const runtimeOf = { old: older, new: newer }
    let at = 5
    for (const [by, committer] of staged) {
      await ingest(runtimeOf[by], trades(at, at + 5))
      await commitAll(runtimeOf[committer])
      at += 5
    }
    // Both in one checkpoint, and so in one file.
    await ingest(older, trades(25, 30))
    await ingest(newer, trades(30, 35))
    await commitAll(older)
    const known = (offset: number) => (offset >= 10 && offset < 15) || (offset >= 20 && offset < 25) || offset >= 30
    for (const table of ['rows', 'sorted']) {
      expect(await byOffset(w, table, 'venue')).toEqual(venues(0, 35, known))
      expect(await byOffset(w, table, 'price')).toEqual(Object.fromEntries(Array.from({ length: 35 }, (_, i) => [String(i), i])))
    }
    await advanceToEnd(older)
    expect((await w.rows('windows')).reduce((sum, row) => sum + Number(row.trades), 0)).toBe(35)
  })

  it('keeps the columns of late rows, too', async () => {
    const { w, older, newer } = await rollOut()
    await ingest(newer, [batch(0, 5, [JSON.stringify({ symbol: 'S', ts: 600_000, price: 1, venue: 'on time' })])])
    await ingest(newer, [batch(0, 6, [JSON.stringify({ symbol: 'S', ts: 0, price: 2, venue: 'late' })])])
    await ingest(older, [batch(0, 7, [JSON.stringify({ symbol: 'S', ts: 0, price: 3, venue: 'late' })])])
    await commitAll(older)
    expect((await w.rows('late')).map((row) => [row.price, row.venue ?? null])).toEqual([
      [2, 'late'],
      [3, null],
    ])
  })

  it('that is rolled back leaves the column null from then on; forward again it goes on', async () => {
    const { w, older, newer } = await rollOut()
    await ingest(newer, trades(5, 10))
    await commitAll(newer)
    expect((await provision(older, { trades: [0] })).map(({ change }) => change)).toEqual(Array(5).fill('as it was'))
    await ingest(older, trades(10, 15))
    await commitAll(older)
    await provision(newer, { trades: [0] })
    await ingest(newer, trades(15, 20))
    await commitAll(newer)
    expect(await byOffset(w, 'rows', 'venue')).toEqual(venues(0, 20, (n) => (n >= 5 && n < 10) || n >= 15))
    expect(await columnsOf(w, 'rows')).toHaveLength(5)
  })

  it('of two definitions that each add a column gives the table both, in the order they came', async () => {
    const { w, newer } = await rollOut()
    const other = w.again({ plan: definition({ fee: true }) })
    await provision(other, { trades: [0] })
    expect(await columnsOf(w, 'rows')).toEqual(['1 symbol', '2 price', '3 event_time', '4 kafka_offset', '5 venue', '6 fee'])
    await ingest(other, trades(5, 7))
    await ingest(newer, trades(7, 9))
    await commitAll(newer)
    expect(await byOffset(w, 'rows', 'fee')).toMatchObject({ 4: null, 5: 1.25, 6: 1.5, 7: null, 8: null })
    expect(await byOffset(w, 'rows', 'venue')).toMatchObject({ 4: null, 5: null, 6: null, 7: 'v7', 8: 'v8' })
  })

  it('files have the table’s ids, snapshots the schema of their time', async () => {
    const { w, newer } = await rollOut()
    await ingest(newer, trades(5, 10))
    await commitAll(newer)
    const { metadata } = await load(w, 'rows')
    expect(metadata.snapshots.map((snapshot) => snapshot['schema-id'])).toEqual([0, 1])
    expect(currentSnapshot(metadata)?.['schema-id']).toBe(1)
    const files = await planFiles(w.ports.objects, metadata)
    const counted = files.map(({ file }) => [...file.valueCounts.keys()].sort())
    expect(counted).toEqual(
      expect.arrayContaining([
        [1, 2, 3, 4],
        [1, 2, 3, 4, 5],
      ]),
    )
    const bounds = files.map(({ file }) => file.lowerBounds.get(5)).filter((bound) => bound !== undefined)
    expect(bounds.map((bound) => Buffer.from(bound).toString())).toEqual(['v5'])
  })
})

describe('a table that another engine changed', () => {
  it('stops the commit of rows that it has no column for, and takes them all once it has', async () => {
    const w = world({ plan: NEW })
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, trades(0, 5))
    const before = (await lastCheckpoint(w.runtime))?.n
    await alter(w, 'rows', (fields) => fields.filter(({ name }) => name !== 'venue'))
    await expect(commit(w.runtime)).rejects.toMatchObject({
      kind: 'Refused',
      message: expect.stringMatching(
        /^Cannot commit to table trades\.rows: rows are staged with column venue string, and the table has none/,
      ),
    })
    expect((await lastCheckpoint(w.runtime))?.n).toBe(before)
    // The column that is made again is another one: a new id.
    await provision(w.runtime, { trades: [0] })
    expect(await columnsOf(w, 'rows')).toContain('6 venue')
    await commitAll(w.runtime)
    expect(await byOffset(w, 'rows', 'venue')).toEqual(venues(0, 5, () => true))
  })

  it('keeps columns of its own, of types we write and others', async () => {
    const w = world({ plan: OLD })
    await provision(w.runtime, { trades: [0] })
    await alter(w, 'sorted', (fields) => [
      {
        id: 9,
        name: 'tags',
        type: { type: 'list', 'element-id': 10, element: 'string', 'element-required': false },
        required: false,
      },
      ...fields,
      { id: 11, name: 'desk', type: 'int', required: false },
    ])
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, trades(0, 5))
    await commitAll(w.runtime)
    const [{ file }] = await planFiles(w.ports.objects, (await load(w, 'sorted')).metadata)
    expect([...file.valueCounts.keys()].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 11])
    expect(file.nullCounts.get(11)).toBe(file.recordCount)
  })
})
