import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSqliteLog } from '../../lib/local/sqlite-log.ts'

const run = promisify(execFile)

describe('the log in a SQLite file', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'frazil-log-'))
  })
  afterEach(() => rm(dir, { recursive: true }))

  it('processes that open a new file at once and race for 40 slots win each slot once', async () => {
    const path = join(dir, 'logs.db')
    const racer = join(import.meta.dirname, 'race-log.ts')
    const results = await Promise.all(['a', 'b', 'c', 'd'].map((me) => run(process.execPath, [racer, path, me, '40'])))
    const won = results.flatMap((result) => JSON.parse(result.stdout) as number[])
    expect(won.sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
  })

  it('a put that resolved is on disk: write-ahead log, synced at every commit', async () => {
    const log = openSqliteLog(join(dir, 'logs.db'))
    await log.put('a', 1, 'x')
    const database = new DatabaseSync(join(dir, 'logs.db'))
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' })
    expect(database.prepare('SELECT key, slot, value FROM log').all()).toEqual([{ key: 'a', slot: 1, value: 'x' }])
    database.close()
    log.close()
  })

  it('a file that is no database is corrupt', async () => {
    await writeFile(join(dir, 'logs.db'), 'not a database, but long enough to have a header of its own '.repeat(20))
    expect(() => openSqliteLog(join(dir, 'logs.db'))).toThrowError(expect.objectContaining({ kind: 'Corrupt' }))
  })

  it('a path that cannot be a file is unavailable', async () => {
    await writeFile(join(dir, 'file'), '')
    expect(() => openSqliteLog(join(dir, 'file', 'logs.db'))).toThrowError(expect.objectContaining({ kind: 'Unavailable' }))
    expect(() => openSqliteLog(dir)).toThrowError(expect.objectContaining({ kind: 'Unavailable' }))
  })

  it('a writer that holds the file longer than the busy timeout makes a put unavailable, and reads go on', async () => {
    const log = openSqliteLog(join(dir, 'logs.db'), { busyTimeoutMs: 20 })
    await log.put('a', 1, 'x')
    const other = new DatabaseSync(join(dir, 'logs.db'))
    other.exec('BEGIN IMMEDIATE')
    await expect(log.put('a', 2, 'y')).rejects.toMatchObject({ kind: 'Unavailable' })
    expect((await log.tail('a'))?.slot).toBe(1)
    other.exec('ROLLBACK')
    expect(await log.put('a', 2, 'y')).toEqual({ won: true })
    other.close()
    log.close()
  })
})
