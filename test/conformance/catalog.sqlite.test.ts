import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSqliteCatalog, type SqliteCatalog, type SqliteCatalogOptions } from '../../lib/local/sqlite-catalog.ts'
import { DESCRIPTION } from './description.ts'

const table = { namespace: 'trades', name: 'raw_trades' }
let dir: string
let path: string
let opened: SqliteCatalog[]
let foreign: DatabaseSync[]

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'frazil catalog '))
  path = join(dir, 'catalog.db')
  opened = []
  foreign = []
})
afterEach(() => {
  for (const catalog of opened) catalog.close()
  for (const database of foreign) database.close()
  rmSync(dir, { recursive: true })
})

const open = (options: SqliteCatalogOptions = {}) => {
  const catalog = openSqliteCatalog(path, options)
  opened.push(catalog)
  return catalog
}
const asForeigner = () => {
  const database = new DatabaseSync(path)
  foreign.push(database)
  return database
}

describe('the SQLite catalog', () => {
  it('has the tables of the JDBC catalog, column by column', async () => {
    open()
    const database = asForeigner()
    const columns = (name: string) =>
      database.prepare('SELECT name, type, "notnull", pk FROM pragma_table_info(?)').all(name).map(Object.values)
    expect(columns('iceberg_tables')).toEqual([
      ['catalog_name', 'VARCHAR(255)', 1, 1],
      ['table_namespace', 'VARCHAR(255)', 1, 2],
      ['table_name', 'VARCHAR(255)', 1, 3],
      ['metadata_location', 'VARCHAR(1000)', 0, 0],
      ['previous_metadata_location', 'VARCHAR(1000)', 0, 0],
      ['iceberg_type', 'VARCHAR(5)', 0, 0],
    ])
    expect(columns('iceberg_namespace_properties')).toEqual([
      ['catalog_name', 'VARCHAR(255)', 1, 1],
      ['namespace', 'VARCHAR(255)', 1, 2],
      ['property_key', 'VARCHAR(255)', 0, 3],
      ['property_value', 'VARCHAR(1000)', 0, 0],
    ])
  })

  it('enters table and namespace as the JDBC catalog does, and the location before the last swap', async () => {
    const catalog = open()
    await catalog.create(table, 'a', DESCRIPTION)
    await catalog.create({ ...table, name: 'agg_1m' }, 'b', DESCRIPTION)
    const pointer = await catalog.load(table)
    await catalog.swap(table, pointer!, 'a2')
    const database = asForeigner()
    expect(database.prepare('SELECT * FROM iceberg_tables ORDER BY table_name DESC').all().map(Object.values)).toEqual([
      ['frazil', 'trades', 'raw_trades', 'a2', 'a', 'TABLE'],
      ['frazil', 'trades', 'agg_1m', 'b', null, 'TABLE'],
    ])
    expect(database.prepare('SELECT * FROM iceberg_namespace_properties').all().map(Object.values)).toEqual([
      ['frazil', 'trades', 'exists', 'true'],
    ])
  })

  it('leaves one plain file, which is durable at each commit', async () => {
    const catalog = open()
    await catalog.create(table, 'a', DESCRIPTION)
    expect(readdirSync(dir)).toEqual(['catalog.db'])
    expect(asForeigner().prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'delete' })
  })

  it('sees neither the tables of other catalogs in the file nor views', async () => {
    const catalog = open()
    const database = asForeigner()
    const insert = database.prepare('INSERT INTO iceberg_tables VALUES (?, ?, ?, ?, NULL, ?)')
    insert.run('other', 'trades', 'raw_trades', 'theirs', 'TABLE')
    insert.run('frazil', 'trades', 'a_view', 'view', 'VIEW')
    insert.run('frazil', 'trades', 'before_types', 'old', null)
    expect(await catalog.list()).toEqual([{ namespace: 'trades', name: 'before_types' }])
    expect(await catalog.load({ ...table, name: 'a_view' })).toBeUndefined()
    expect(await catalog.create({ ...table, name: 'a_view' }, 'x', DESCRIPTION)).toBe(false)
    expect(await catalog.create(table, 'ours', DESCRIPTION)).toBe(true)
  })

  it('takes over a catalog of the older schema version, which has no types', async () => {
    const database = asForeigner()
    database.exec(`CREATE TABLE iceberg_tables (catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL,
      table_name VARCHAR(255) NOT NULL, metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000),
      PRIMARY KEY (catalog_name, table_namespace, table_name))`)
    database.exec("INSERT INTO iceberg_tables VALUES ('frazil', 'trades', 'raw_trades', 'a', NULL)")
    const catalog = open()
    open()
    expect(await catalog.swap(table, { metadataLocation: 'a', version: 'a' }, 'a2')).toBe(true)
    expect(await catalog.create({ ...table, name: 'new' }, 'b', DESCRIPTION)).toBe(true)
    expect(await catalog.list()).toHaveLength(2)
  })

  it('notices a commit that a foreign program made behind its back', async () => {
    const catalog = open()
    await catalog.create(table, 'a', DESCRIPTION)
    const base = await catalog.load(table)
    asForeigner().exec("UPDATE iceberg_tables SET metadata_location = 'theirs'")
    expect(await catalog.swap(table, base!, 'ours')).toBe(false)
    expect(await catalog.load(table)).toEqual({ metadataLocation: 'theirs', version: 'theirs' })
  })

  it('a swap that a foreign lock keeps out is Unavailable, and did not happen', async () => {
    const catalog = open({ busyTimeoutMs: 20 })
    await catalog.create(table, 'a', DESCRIPTION)
    const base = await catalog.load(table)
    const database = asForeigner()
    for (const lock of ['BEGIN IMMEDIATE', 'BEGIN; SELECT * FROM iceberg_tables']) {
      database.exec(lock)
      await expect(catalog.swap(table, base!, 'b')).rejects.toMatchObject({ kind: 'Unavailable' })
      await expect(catalog.create({ ...table, name: 'new' }, 'b', DESCRIPTION)).rejects.toMatchObject({ kind: 'Unavailable' })
      database.exec('ROLLBACK')
      expect(await catalog.load(table)).toEqual(base)
      expect(await catalog.list()).toEqual([table])
    }
    expect(await catalog.swap(table, base!, 'b')).toBe(true)
  })

  it('a file that is no catalog is Corrupt, one that cannot be made is Unavailable', () => {
    writeFileSync(path, 'no database, but long enough to look at: '.repeat(100))
    expect(() => open()).toThrow(expect.objectContaining({ kind: 'Corrupt' }))
    expect(() => openSqliteCatalog(join(path, 'below', 'catalog.db'))).toThrow(expect.objectContaining({ kind: 'Unavailable' }))
  })

  it('processes that race for one table commit one after the other', async () => {
    const racers = ['x', 'y', 'z']
    const commits = 40
    const script = join(import.meta.dirname, 'catalog.race.ts')
    const outputs = await Promise.all(
      racers.map((me) => promisify(execFile)(process.execPath, [script, path, me, String(commits)])),
    )
    const numbers = outputs.flatMap(({ stdout }) => (JSON.parse(stdout) as string[]).map((won) => Number.parseInt(won, 10)))
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: racers.length * commits }, (_, i) => i + 1))
  })
})
