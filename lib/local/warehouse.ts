import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { messageOf, usage } from '../errors.ts'
import type { Broker } from '../ports/broker.ts'
import type { Ports } from '../runtime/runtime.ts'
import { fileLocation, fileObjects } from './files.ts'
import { openSqliteCatalog } from './sqlite-catalog.ts'
import { openSqliteLog, type SqliteLog } from './sqlite-log.ts'
import { systemClock, systemRandom } from './system.ts'

/** The embedded warehouse: `DIR/catalog.db`, `DIR/<namespace>/<table>/…`, `DIR/.frazil/` for logs and staging. */
export interface Warehouse {
  readonly dir: string
  readonly ports: Ports
  /** Location prefixes, ending in a slash. */
  readonly staging: string
  readonly tables: string
  close(): void
}

/**
 * A connection for staging beside the warehouse's own. Its puts are not synced one by one: a power cut may take the newest of
 * them, and the run then reads those records again, since nobody outside was told that they are in. The commit worker's next
 * put syncs all that went before, so nothing that a checkpoint consumed can be taken.
 */
export function openStagingLog(dir: string): SqliteLog {
  return openSqliteLog(join(privateDir(resolve(dir)), 'logs.db'), { synchronous: 'normal' })
}

export const privateDir = (dir: string): string => join(dir, '.frazil')

/** Makes the warehouse's directories. Throws `Usage` when `dir` cannot be one. */
export function makeWarehouse(dir: string): void {
  const root = resolve(dir)
  if (existsSync(root) && !statSync(root).isDirectory())
    throw usage(`Cannot use warehouse ${root}: expected a directory, found a file. Name another --warehouse.`)
  try {
    mkdirSync(privateDir(root), { recursive: true })
  } catch (cause) {
    throw usage(`Cannot use warehouse ${root}: ${messageOf(cause)}. Name a directory that can be written.`, { cause })
  }
}

/** Opens the warehouse at `dir`, making it if needed. Several threads and processes may have it open. */
export function openWarehouse(dir: string, broker?: Broker): Warehouse {
  const root = resolve(dir)
  makeWarehouse(root)
  const log = openSqliteLog(join(privateDir(root), 'logs.db'))
  const catalog = openSqliteCatalog(join(root, 'catalog.db'))
  return {
    dir: root,
    ports: { log, catalog, objects: fileObjects(root), clock: systemClock, random: systemRandom, broker },
    staging: `${fileLocation(privateDir(root))}/staging/`,
    tables: `${fileLocation(root)}/`,
    close() {
      log.close()
      catalog.close()
    },
  }
}
