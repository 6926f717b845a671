import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { NO_DELETES, NONE } from '../../lib/iceberg/commit.ts'
import { serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { newManifest, newSnapshot, prepareSnapshot } from '../../lib/iceberg/prepare.ts'
import { type LoadedTable, loadTable, planFiles } from '../../lib/iceberg/scan.ts'
import { manifestsOf } from '../../lib/iceberg/snapshot.ts'
import type { TableMetadata } from '../../lib/iceberg/types.ts'
import { fileObjects } from '../../lib/local/files.ts'
import { openSqliteCatalog } from '../../lib/local/sqlite-catalog.ts'
import { systemRandom } from '../../lib/local/system.ts'
import { type Answer, frazil, rowsOf, runTrades, tempDir, tradesFile } from './frazil.ts'

const dir = tempDir()
const warehouse = join(dir, 'warehouse')
/** With faults planted. */
const faulty = join(dir, 'faulty')
/** Nothing was committed to it yet. */
const fresh = join(dir, 'fresh')

const inspect = (table: string, ...flags: readonly string[]) => frazil('inspect', table, '--warehouse', warehouse, ...flags)

async function json<T>(answer: Promise<Answer>): Promise<T> {
  const { stdout, stderr } = await answer
  if (stderr !== '') throw new Error(stderr)
  return JSON.parse(stdout) as T
}

/** Swaps a table of a directory to other metadata, as another engine would. */
async function change(
  root: string,
  name: string,
  next: (table: LoadedTable, objects: ReturnType<typeof fileObjects>) => Promise<TableMetadata>,
): Promise<void> {
  const catalog = openSqliteCatalog(join(root, 'catalog.db'))
  const objects = fileObjects(root)
  const id = { namespace: 'trades', name }
  const table = (await loadTable(catalog, objects, id))!
  const location = `${table.metadata.location}/metadata/99999-${systemRandom.uuid()}.metadata.json`
  await objects.put(location, [serializeMetadata(await next(table, objects))])
  expect(await catalog.swap(id, table.pointer, location)).toBe(true)
  catalog.close()
}

beforeAll(async () => {
  const input = tradesFile(dir, 2000)
  await runTrades(input, warehouse)
  await runTrades(input, faulty)
  await runTrades(tradesFile(dir, 0, 'none.ndjson'), fresh)
  await change(faulty, 'agg_1m', async ({ metadata }) => {
    const [, incarnation] = /^(.+):/.exec(metadata.properties['frazil.trades.marker'])!
    return {
      ...metadata,
      properties: { ...metadata.properties, 'frazil.trades.marker': `${incarnation}:99`, note: 'a\u001b[2Jb' },
    }
  })
  await change(faulty, 'raw_trades', async ({ metadata, pointer }, objects) => {
    const options = {
      metadata,
      metadataLocation: pointer.metadataLocation,
      objects,
      random: systemRandom,
      nowMs: Date.now(),
      summary: {},
      properties: {},
    }
    const snapshot = newSnapshot(options)
    const [{ file }] = await planFiles(objects, metadata)
    const deletes = { ...file, content: 1, recordCount: 3, filePath: `${metadata.location}/data/deletes.parquet` }
    const entry = { status: 1, snapshotId: snapshot.snapshotId, sequenceNumber: null, fileSequenceNumber: null, file: deletes }
    const prepared = await prepareSnapshot(snapshot, options, {
      operation: 'overwrite',
      written: [newManifest(snapshot, [entry], 0)],
      carried: await manifestsOf(objects, snapshot.parent!),
      delta: { added: NONE, removed: NONE, removedDeletes: NO_DELETES, changedPartitions: 1 },
    })
    return prepared.metadata
  })
})

describe('frazil inspect', () => {
  test('tells people columns, layout, refs, properties and health, and exits 0 for a table that is well', async () => {
    const { code, stdout, stderr } = await inspect('trades.agg_1m')
    const titles = stdout.split('\n').filter((line) => /^\S/.test(line))
    expect(titles).toEqual([
      'trades.agg_1m',
      'columns',
      'partition specs',
      'sort orders',
      'refs',
      'properties',
      'files by size',
      'partitions: most to compact first',
      'health',
    ])
    expect(stdout).toMatch(/^ +0 +window_start_day: day\(window_start\) +new files$/m)
    expect(stdout).toMatch(/^ +1 +symbol asc, nulls first; window_start asc, nulls first +new files$/m)
    expect(stdout).toMatch(/^ +marker +trades: checkpoint 3 of 3, all there is for this table$/m)
    expect(stdout.endsWith('health\n  nothing to do\n')).toBe(true)
    expect(stderr).toBe('')
    expect(code).toBe(0)
  })

  test('has everything as JSON, with ids that a number cannot hold as strings', async () => {
    const found = await json<Record<string, unknown> & { health: Record<string, unknown>; findings: unknown }>(
      inspect('raw_trades', '--json'),
    )
    const [{ n }] = await rowsOf<{ n: number }>('SELECT count(*) AS n FROM raw_trades', warehouse)
    const [snapshot] = await json<{ id: string }[]>(frazil('snapshots', 'raw_trades', '--warehouse', warehouse, '--json'))
    expect(found).toMatchObject({
      table: 'trades.raw_trades',
      formatVersion: 2,
      location: `file://${warehouse}/trades/raw_trades`,
      lastSequenceNumber: 1,
      currentSnapshot: snapshot.id,
      partitionSpecs: [{ id: 0, default: true, fields: [{ name: 'event_time_day', transform: 'day', column: 'event_time' }] }],
      sortOrders: [{ id: 0, default: true, fields: [] }],
      refs: [{ name: 'main', type: 'branch', snapshot: snapshot.id }],
      health: {
        data: { files: 1, rows: n },
        deletes: { files: 0 },
        sorted: null,
        snapshots: { count: 1, due: 0, oldestDue: null },
        manifests: { count: 1 },
        markers: [{ pipeline: 'trades', n: 2, last: { n: 3, need: 2 } }],
        partitions: [{ partition: 'event_time_day=2024-01-19', data: { files: 1, rows: n } }],
      },
      findings: [],
    })
    expect(snapshot.id).toMatch(/^\d{17,19}$/)
  })

  test('shows an empty table as one that is well', async () => {
    const { code, stdout } = await frazil('inspect', 'raw_trades', '--warehouse', fresh)
    expect(stdout).toContain('none: nothing was committed yet')
    expect(stdout).toContain('none: no files yet')
    expect(code).toBe(0)
  })

  test('warns of delete files of another engine, says what to do, and exits 0', async () => {
    const { code, stdout } = await frazil('inspect', 'raw_trades', '--warehouse', faulty)
    expect(stdout).toContain('warning delete-files: 1 delete file of another engine, in 1 partition\n')
    expect(stdout).toContain('Rewrite the table with the engine that wrote them')
    expect(code).toBe(0)
  })

  test('exits 1 when something is critical, by JSON too: a marker ahead of the logs', async () => {
    const { code, stdout } = await frazil('inspect', 'agg_1m', '--warehouse', faulty)
    expect(stdout).toContain('critical marker-foreign: marker 99, ahead of 3, the last checkpoint of trades\n')
    expect(code).toBe(1)
    const answer = await frazil('inspect', 'agg_1m', '--warehouse', faulty, '--json')
    expect(JSON.parse(answer.stdout)).toMatchObject({
      findings: [{ code: 'marker-foreign', severity: 'critical', value: 99, threshold: 3, run: null }],
    })
    expect(answer.code).toBe(1)
  })

  test('lets no property move the cursor', async () => {
    const { stdout } = await frazil('inspect', 'agg_1m', '--warehouse', faulty)
    expect(stdout).toContain('a\\u001b[2Jb')
  })
})

describe('the table that is meant', () => {
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    [
      'a misspelt name',
      'trades.raw_trade',
      /Cannot find table trades\.raw_trade in warehouse .*: did you mean trades\.raw_trades\?/,
    ],
    ['a misspelt name without its namespace', 'agg_1', /did you mean trades\.agg_1m\?/],
    [
      'another name',
      'nowhere.at_all',
      /expected one of trades\.agg_1m, trades\.agg_1m_late, trades\.dead_letters, trades\.raw_trades\./,
    ],
  ]

  test.each(wrong)('is not found by %s, in any of the commands: exit 2', async (_, name, message) => {
    for (const command of ['inspect', 'snapshots', 'files']) {
      const { code, stdout, stderr } = await frazil(command, name, '--warehouse', warehouse)
      expect(stderr).toMatch(message)
      expect(stdout).toBe('')
      expect(code).toBe(2)
    }
  })

  test('is not looked for where no warehouse is, and none is made', async () => {
    const { code, stderr } = await frazil('files', 'raw_trades', '--warehouse', join(dir, 'none'))
    expect(stderr).toContain('expected a directory with a catalog.db in it, found none')
    expect(code).toBe(2)
  })

  test('may be written in capitals, as in SQL', async () => {
    const { code } = await inspect('Trades.RAW_TRADES')
    expect(code).toBe(0)
  })

  test('is asked for with its namespace where several bear its name', async () => {
    const catalog = openSqliteCatalog(join(faulty, 'catalog.db'))
    const { metadataLocation } = (await catalog.load({ namespace: 'trades', name: 'dead_letters' }))!
    await catalog.create({ namespace: 'other', name: 'dead_letters' }, metadataLocation, { location: '', columns: [] })
    catalog.close()
    const { code, stderr } = await frazil('snapshots', 'dead_letters', '--warehouse', faulty)
    expect(stderr).toContain('Cannot tell which table dead_letters is: found other.dead_letters, trades.dead_letters.')
    expect(code).toBe(2)
  })
})

interface Snapshot {
  readonly id: string
  readonly parent: string | null
  readonly addedRows: number
  readonly totalRows: number
  readonly markers: Record<string, number>
  readonly watermarks: Record<string, string>
  readonly current: boolean
  readonly refs: readonly string[]
}

describe('frazil snapshots', () => {
  const snapshots = (table: string) => json<Snapshot[]>(frazil('snapshots', table, '--warehouse', warehouse, '--json'))

  test('lists them oldest first, with what each added, its marker and watermark', async () => {
    const all = await snapshots('agg_1m')
    const rows = await rowsOf('SELECT symbol FROM agg_1m', warehouse)
    expect(all.map(({ current, refs }) => [current, refs])).toEqual([
      [false, []],
      [true, ['main']],
    ])
    expect(all[1].parent).toBe(all[0].id)
    expect(all[0].addedRows + all[1].addedRows).toBe(rows.length)
    expect(all.map(({ totalRows }) => totalRows)).toEqual([all[0].addedRows, rows.length])
    expect(all[1].markers).toEqual({ trades: 3 })
    expect(all[1].watermarks.trades).toMatch(/^2024-01-19T.*Z$/)
  })

  test('shows them to people, and says so when there are none', async () => {
    const { stdout } = await frazil('snapshots', 'raw_trades', '--warehouse', faulty)
    const [header, , first, last] = stdout.split('\n')
    expect(header).toMatch(/^snapshot +time +operation +files +rows +rows after +marker +watermark +refs$/)
    expect(first).toMatch(/ append +\+1 +\+1,9\d\d +1,9\d\d +2 +2024-01-19T\S+ +-$/)
    expect(last).toMatch(/ overwrite +0 +0 +1,9\d\d +- +- +main$/)
    const none = await frazil('snapshots', 'raw_trades', '--warehouse', fresh)
    expect(none).toEqual({ code: 0, stdout: '', stderr: 'raw_trades has no snapshots: nothing was committed to it.\n' })
  })
})

interface File {
  readonly path: string
  readonly content: string
  readonly partition: string
  readonly rows: number
  readonly bytes: number
  readonly sortOrder: number
  readonly sequenceNumber: number
  readonly snapshot: string
}

describe('frazil files', () => {
  const files = (table: string, root: string, ...flags: readonly string[]) =>
    json<File[]>(frazil('files', table, '--warehouse', root, '--json', ...flags))

  test('lists the live files of a table, as they came, with partition, rows and order', async () => {
    const all = await files('agg_1m', warehouse)
    const rows = await rowsOf('SELECT symbol FROM agg_1m', warehouse)
    expect(all.reduce((sum, file) => sum + file.rows, 0)).toBe(rows.length)
    expect(
      all.map(({ sequenceNumber, sortOrder, content, partition }) => [sequenceNumber, sortOrder, content, partition]),
    ).toEqual([
      [1, 1, 'data', 'window_start_day=2024-01-19'],
      [2, 1, 'data', 'window_start_day=2024-01-19'],
    ])
    const { stdout } = await frazil('files', 'agg_1m', '--warehouse', warehouse)
    expect(stdout).toContain(`\n${all[0].path.replace(`file://${warehouse}/trades/agg_1m/`, '')}  data `)
  })

  test('goes back to a snapshot, which another table or an expiry may not have', async () => {
    const [first, second] = await files('agg_1m', warehouse)
    expect((await files('agg_1m', warehouse, '--snapshot', first.snapshot)).map(({ path }) => path)).toEqual([first.path])
    expect(await files('agg_1m', warehouse, '--snapshot', second.snapshot)).toHaveLength(2)
    for (const [id, message] of [
      ['42', /expected one of its 2 snapshots\. It may have expired; "frazil snapshots agg_1m" lists them/],
      ['last', /Cannot read --snapshot: expected a snapshot id, a whole number, found 'last'/],
    ] as const) {
      const { code, stderr } = await frazil('files', 'agg_1m', '--warehouse', warehouse, '--snapshot', id)
      expect(stderr).toMatch(message)
      expect(code).toBe(2)
    }
  })

  test('takes the partitions that have a text in their name', async () => {
    expect(await files('agg_1m', warehouse, '--partition', '2024-01-19')).toHaveLength(2)
    expect(await files('agg_1m', warehouse, '--partition', '1999')).toEqual([])
    const { stderr, code } = await frazil('files', 'agg_1m', '--warehouse', warehouse, '--partition', '1999')
    expect(stderr).toBe("agg_1m has no files in partitions with '1999'.\n")
    expect(code).toBe(0)
  })

  test('names delete files of another engine as what they are', async () => {
    const all = await files('raw_trades', faulty)
    expect(all.map(({ content, rows }) => [content, rows])).toEqual([
      ['data', expect.any(Number)],
      ['position deletes', 3],
    ])
  })
})
