import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { corrupt, type FrazilError, messageOf, unavailable } from '../errors.ts'
import type { Log, LogItem } from '../ports/log.ts'
import { checkNeverTrimmed, checkPut, checkTrim } from '../ports/log-rules.ts'
import { makeDirectories } from './directories.ts'

export interface SqliteLogOptions {
  /** How long a call waits for another writer before it throws `Unavailable`. @default 10000 */
  readonly busyTimeoutMs?: number
  /**
   * `full`: a put that has resolved survives a power cut, for one fsync a put. `normal`: it survives the process, and a power
   * cut once a later `full` put of any connection has resolved, since the write-ahead log is one sequence. @default 'full'
   */
  readonly synchronous?: 'full' | 'normal'
}

export interface SqliteLog extends Log {
  /** Closes the connection; the log stays usable by others. */
  close(): void
}

/**
 * Logs in one SQLite file, which several processes and worker threads may have open at once. A put that has resolved survives a
 * power cut (WAL, synchronous=FULL: one fsync a put) unless `synchronous` says otherwise. Calls block the thread: a put costs
 * about one fsync, a read microseconds. Throws `Unavailable` when the file cannot be opened, read or written, `Corrupt` when it
 * is damaged.
 */
export function openSqliteLog(path: string, options: SqliteLogOptions = {}): SqliteLog {
  const { busyTimeoutMs = 10_000, synchronous = 'full' } = options
  const database = guarded('open', path, () => {
    makeDirectories(dirname(path))
    return opened(path, busyTimeoutMs, synchronous)
  })

  const tail = database.prepare('SELECT slot, value FROM log WHERE key = ? ORDER BY slot DESC LIMIT 1')
  const insert = database.prepare('INSERT INTO log (key, slot, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
  const valueAt = database.prepare('SELECT value FROM log WHERE key = ? AND slot = ?')
  const items = database.prepare('SELECT slot, value FROM log WHERE key = ? AND slot > ? ORDER BY slot LIMIT ?')
  const floorOf = database.prepare('SELECT floor FROM floors WHERE key = ?')
  const raise = database.prepare(
    'INSERT INTO floors (key, floor) VALUES (?, ?) ON CONFLICT DO UPDATE SET floor = max(floor, excluded.floor)',
  )
  // The tail stays whatever the floor: it holds the next offset and the watermark (protocol rule 3).
  const sweep = database.prepare(`
    DELETE FROM log WHERE key = ?1 AND slot <= (SELECT floor FROM floors WHERE key = ?1)
      AND slot < (SELECT max(slot) FROM log WHERE key = ?1)`)

  const floorOfLog = (key: string): number =>
    guarded('read', path, () => (floorOf.get(key) as { floor: number } | undefined)?.floor ?? 0)

  return {
    async tail(key) {
      const item = guarded('read', path, () => tail.get(key)) as LogItem | undefined
      if (item === undefined) checkNeverTrimmed(key, floorOfLog(key))
      return item
    },
    async put(key, slot, value) {
      checkPut(key, slot, value)
      return guarded('write', path, () => {
        for (;;) {
          if (insert.run(key, slot, value).changes === 1) return { won: true }
          const row = valueAt.get(key, slot) as { value: string } | undefined
          if (row !== undefined) return { won: false, existing: row.value }
          // Trimmed between the two statements: the slot is free again, and the floor will tell.
        }
      })
    },
    async read(key, after, maxItems) {
      return guarded('read', path, () => items.all(key, after, Math.max(0, maxItems)) as unknown as LogItem[])
    },
    async floors(keys) {
      return keys.map(floorOfLog)
    },
    async trim(key, floor) {
      checkTrim(key, floor)
      guarded('write', path, () => {
        raise.run(key, floor)
        sweep.run(key)
      })
    },
    close: () => database.close(),
  }
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS log (key TEXT, slot INTEGER, value TEXT NOT NULL, PRIMARY KEY (key, slot)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS floors (key TEXT PRIMARY KEY, floor INTEGER NOT NULL) WITHOUT ROWID;`

function opened(path: string, busyTimeoutMs: number, synchronous: 'full' | 'normal'): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: busyTimeoutMs })
  try {
    toWriteAheadLog(database, busyTimeoutMs)
    database.exec(`PRAGMA synchronous = ${synchronous}`)
    database.exec(SCHEMA)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** Turning WAL on does not wait for other openers as statements do, so we wait ourselves. */
function toWriteAheadLog(database: DatabaseSync, busyTimeoutMs: number): void {
  const pauseMs = 5
  const cell = new Int32Array(new SharedArrayBuffer(4))
  for (let waitedMs = 0; ; waitedMs += pauseMs) {
    try {
      database.exec('PRAGMA journal_mode = WAL')
      return
    } catch (error) {
      if (primaryCode(error) !== SQLITE_BUSY || waitedMs >= busyTimeoutMs) throw error
      Atomics.wait(cell, 0, 0, pauseMs)
    }
  }
}

/** https://sqlite.org/rescode.html; the low byte of an extended code is its primary code. */
const SQLITE_BUSY = 5
const SQLITE_CORRUPT = 11
const SQLITE_NOTADB = 26

function primaryCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown }).errcode
  return typeof code === 'number' ? code & 0xff : undefined
}

function guarded<T>(verb: string, path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw asOurs(verb, path, error)
  }
}

function asOurs(verb: string, path: string, error: unknown): FrazilError {
  const code = primaryCode(error)
  const cannot = `Cannot ${verb} log file ${path}: ${messageOf(error)}.`
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB)
    return corrupt(`${cannot} Expected a SQLite file as Frazil wrote it.`, { cause: error })
  if (code === SQLITE_BUSY) return unavailable(`${cannot} Another process writes to it; try again.`, { cause: error })
  return unavailable(`${cannot} Check the disk and the file's permissions.`, { cause: error })
}
