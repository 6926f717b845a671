import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { messageOf, usage } from '../errors.ts'
import { makeDirectories } from './directories.ts'

export interface RunLock {
  /** Lets another run have the warehouse. The end of the process does the same. */
  release(): void
}

/** Keeps held connections reachable: one that is garbage collected closes, and its lock with it. */
const held = new Set<DatabaseSync>()

/**
 * Takes a warehouse for this run alone: an exclusive SQLite transaction on `DIR/.frazil/run.lock`, left open. The operating
 * system drops it when the process dies, however it dies, so no lock is ever stale. Nothing else in the warehouse is touched.
 * Throws `Usage` at once when another run, in this process or any other, has it, or when the directory cannot be written.
 *
 * Never open the lock file by other means: closing any descriptor of a file drops all POSIX locks of the process on it
 * (https://sqlite.org/howtocorrupt.html, 2.2). That is why the holder's process id lies in a file of its own.
 */
export function takeRunLock(warehouseDir: string): RunLock {
  const dir = join(warehouseDir, '.frazil')
  const pidFile = join(dir, 'run.pid')
  const database = lockFile(warehouseDir, dir)
  try {
    database.exec('BEGIN EXCLUSIVE')
    writeFileSync(pidFile, `${process.pid}\n`)
  } catch (error) {
    database.close()
    if (isBusy(error)) throw usage(inUse(warehouseDir, pidFile), { cause: error })
    throw unusable(warehouseDir, error)
  }
  held.add(database)
  return {
    release() {
      if (!held.delete(database)) return
      rmSync(pidFile, { force: true })
      database.close()
    },
  }
}

function lockFile(warehouseDir: string, dir: string): DatabaseSync {
  try {
    makeDirectories(dir)
    return new DatabaseSync(join(dir, 'run.lock'), { timeout: 0 })
  } catch (error) {
    throw unusable(warehouseDir, error)
  }
}

function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: unknown }).errcode
  return typeof code === 'number' && (code & 0xff) === 5
}

function unusable(warehouseDir: string, error: unknown) {
  return usage(
    `Cannot run: expected warehouse ${warehouseDir} to be a directory that can be written, found "${messageOf(error)}". Choose another --warehouse.`,
    { cause: error },
  )
}

function inUse(warehouseDir: string, pidFile: string): string {
  const pid = pidIn(pidFile)
  return `Cannot run: warehouse ${warehouseDir} is in use by another run${pid === undefined ? '' : ` (pid ${pid})`}. Wait for it to end, stop it, or choose another --warehouse.`
}

/** Undefined for the instant in which a new holder has not written it yet. */
function pidIn(pidFile: string): string | undefined {
  try {
    return readFileSync(pidFile, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}
