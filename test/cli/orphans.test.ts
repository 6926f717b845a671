import { existsSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openSqliteCatalog } from '../../lib/local/sqlite-catalog.ts'
import { frazil, rowsOf, tempDir } from './frazil.ts'
import { listing, RUNS_MS, told, tradesInParts } from './many-commits.ts'

const dir = tempDir()
const warehouse = join(dir, 'warehouse')
const trades = tradesInParts(dir, warehouse)
const DAY_S = 86_400
const data = join(warehouse, 'trades/raw_trades/data')
const stray = join(data, 'part-00000-of-a-job-that-died.parquet')

const orphans = (...flags: readonly string[]) => frazil('orphans', 'raw_trades', '--warehouse', warehouse, ...flags)

interface Told {
  readonly listed: number
  readonly needed: number
  readonly own: number
  readonly young: number
  readonly waiting: number
  readonly waitsUntil: string | null
  readonly undecided: number
  readonly quarantined: readonly { readonly path: string; readonly bytes: number; readonly modified: string }[]
  readonly deleted: Told['quarantined']
}
const orphansTold = (...flags: readonly string[]) => told<Told>('orphans', 'raw_trades', '--warehouse', warehouse, ...flags)

/** A file that no table names, so many days old. */
function plant(path: string, days: number): void {
  writeFileSync(path, 'rows')
  const at = Date.now() / 1000 - days * DAY_S
  utimesSync(path, at, at)
}

const count = () => rowsOf('SELECT count(*) AS n FROM trades.raw_trades', warehouse)

beforeAll(async () => {
  for (let part = 0; part < 3; part++) await trades.next(300)
}, RUNS_MS)

beforeEach(() => plant(stray, 4))

describe('frazil orphans', () => {
  test('finds nothing in a table that is well, and needs all of its files', async () => {
    plant(stray, 1)
    const { listed, needed, own, young, quarantined, deleted } = await orphansTold()
    expect([listed, own, young]).toEqual([needed + 1, 0, 1])
    expect((await orphans()).stderr).toMatch(/^Of \d+ files the table needs \d+\.\nLeft alone: 1 file younger than 3d\.\n$/)
    expect([quarantined, deleted]).toEqual([[], []])
  })

  test('says what it would quarantine and writes nothing, without --apply', async () => {
    const before = listing(warehouse)
    const { code, stdout, stderr } = await orphans()
    expect(stdout).toMatch(/^would be quarantined +1 +4 B +\d{4}-\S+Z$/m)
    expect(stdout).toMatch(/^data\/part-00000-of-a-job-that-died\.parquet +4 B +\d{4}-\S+Z +would be quarantined$/m)
    expect(stderr).toMatch(/^Of \d+ files the table needs \d+\.\nNothing was written\. --apply does it\.\n$/)
    expect(code).toBe(0)
    expect((await orphans('--quarantine', '0s')).stdout).toMatch(/^would be deleted +1 +4 B /m)
    expect((await orphansTold('--older-than', '5d')).quarantined).toEqual([])
    expect(listing(warehouse)).toEqual(before)
  })

  test('quarantines a stray file with --apply, tells how long, and deletes it once its time has come', async () => {
    const rows = await count()
    const first = await orphansTold('--apply')
    expect(first.quarantined).toEqual([{ path: `file://${stray}`, bytes: 4, modified: expect.stringMatching(/Z$/) }])
    expect(first.deleted).toEqual([])
    expect(existsSync(stray)).toBe(true)
    const { stdout, stderr } = await orphans('--apply')
    expect(stdout).toMatch(/^quarantined +0 /m)
    expect(stderr).toMatch(/^Of \d+ files the table needs \d+\. Not counted: 1 of frazil's own lists and hidden files\.$/m)
    expect(stderr).toMatch(/^In quarantine: 1 file; the first may go at \d{4}-\S+Z\.$/m)
    expect(existsSync(stray)).toBe(true)
    const last = await orphansTold('--quarantine', '0s', '--apply')
    expect(last.deleted).toEqual(first.quarantined)
    expect(existsSync(stray)).toBe(false)
    expect(await count()).toEqual(rows)
    expect((await orphansTold('--apply')).waiting).toBe(0)
  })

  test('lets the pipeline go on after a sweep raised the fence', async () => {
    await trades.next(300)
    expect((await orphansTold('--quarantine', '0s', '--apply')).deleted).toHaveLength(1)
    const { tables } = await trades.next(300)
    expect(await count()).toEqual([{ n: tables['trades.raw_trades'] }])
  })

  test('leaves to the logs what may be of a commit, however old', async () => {
    const ahead = join(data, '00009999-3f0c2b1e-7f5e-4c0b-9a70-0a8f2f3e4d5c.parquet')
    plant(ahead, 400)
    const { quarantined, undecided } = await orphansTold()
    expect(quarantined.map(({ path }) => path)).toEqual([`file://${stray}`])
    expect(undecided).toBe(1)
    expect((await orphans()).stderr).toContain(
      'Left: 1 data file of which the logs do not tell whether a commit still needs them.\n',
    )
  })

  test('warns below a day, and takes no age below an hour: exit 2', async () => {
    const young = await orphans('--older-than', '2h')
    expect(young.stderr).toMatch(/^warning: files younger than 1d may belong to a commit of another engine/)
    expect(young.code).toBe(0)
    const { code, stdout, stderr } = await orphans('--older-than', '59m')
    expect(stderr).toContain("Cannot read --older-than: expected at least 1h, found '59m'.")
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })

  test('refuses a table with another table inside it: exit 1', async () => {
    const catalog = openSqliteCatalog(join(warehouse, 'catalog.db'))
    const { metadataLocation } = (await catalog.load({ namespace: 'trades', name: 'raw_trades' }))!
    await catalog.create({ namespace: 'other', name: 'copy' }, metadataLocation, { location: '', columns: [] })
    catalog.close()
    const before = listing(warehouse)
    const { code, stderr } = await orphans('--quarantine', '0s', '--apply')
    expect(stderr).toContain("to hold no other table's files, found those of other.copy at ")
    expect(code).toBe(1)
    expect(listing(warehouse)).toEqual(before)
  })
})
