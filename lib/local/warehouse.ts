import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { messageOf, usage } from '../errors.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Log } from '../ports/log.ts'
import { memoryCatalog } from '../ports/memory/catalog.ts'
import { memoryLog } from '../ports/memory/log.ts'
import type { Ports } from '../runtime/runtime.ts'
import { makeDirectories } from './directories.ts'
import { fileLocation, fileObjects } from './files.ts'
import { takeRunLock } from './run-lock.ts'
import { openSqliteCatalog } from './sqlite-catalog.ts'
import { openSqliteLog } from './sqlite-log.ts'
import { systemClock, systemRandom } from './system.ts'

/** Where a warehouse is. Plain data: a worker thread opens it anew. */
export type WarehouseAt =
  /** `DIR/catalog.db`, `DIR/<namespace>/<table>/…`, `DIR/.frazil/` for logs and staging. */
  | { readonly kind: 'directory'; readonly dir: string }
  /** Tables below `location` (`s3://bucket/prefix/`) and named in Glue, segments and state below `staging`, logs in DynamoDB. */
  | { readonly kind: 'aws'; readonly location: string; readonly staging: string; readonly logTable: string }

export interface Warehouse {
  /** Without a broker: that is the source's part. */
  readonly ports: Ports
  /** Location prefixes, ending in a slash. */
  readonly staging: string
  readonly tables: string
  close(): void
}

export const privateDir = (dir: string): string => join(dir, '.frazil')

/**
 * Makes a directory a warehouse, and takes it for this run alone; throws `Usage` when it cannot be one or is taken. On AWS the
 * table of the logs is made when missing, and nothing is taken: any number may run. Two that read one file share the work, until
 * their pins differ.
 */
export async function takeWarehouse(at: WarehouseAt): Promise<{ release(): void }> {
  if (at.kind === 'aws') {
    const [{ dynamoClient }, { createLogTable }] = await Promise.all([
      import('../aws/dynamo-log.ts'),
      import('../aws/dynamo-table.ts'),
    ])
    const client = dynamoClient()
    await createLogTable(client, at.logTable).finally(() => client.destroy())
    return { release() {} }
  }
  makeRoot(resolve(at.dir))
  return takeRunLock(at.dir)
}

/** Opens a warehouse, making it if needed. Several threads and processes may have it open. */
export async function openWarehouse(at: WarehouseAt): Promise<Warehouse> {
  return at.kind === 'aws' ? openAws(at) : openDirectory(resolve(at.dir))
}

/** A warehouse to look at: makes nothing, and shows what is not there yet as empty. Nothing may be written through its ports. */
export async function lookAtWarehouse(at: WarehouseAt): Promise<Warehouse> {
  if (at.kind === 'directory') return lookAtDirectory(resolve(at.dir))
  const [{ dynamoClient }, { logTableExists }] = await Promise.all([
    import('../aws/dynamo-log.ts'),
    import('../aws/dynamo-table.ts'),
  ])
  const client = dynamoClient()
  const exists = await logTableExists(client, at.logTable).finally(() => client.destroy())
  const warehouse = await openAws(at)
  return exists ? warehouse : { ...warehouse, ports: { ...warehouse.ports, log: memoryLog() } }
}

/**
 * The log for what is staged: in a directory a connection of its own, whose puts are not synced one by one. A power cut may
 * take the newest of them, and the run then reads those records again, since nobody outside was told that they are in. The
 * commit worker's next put syncs all that went before, so nothing that a checkpoint consumed can be taken.
 */
export async function openStagingLog(at: WarehouseAt): Promise<Log & { close(): void }> {
  if (at.kind === 'directory') return openSqliteLog(logsFile(resolve(at.dir)), { synchronous: 'normal' })
  const { openDynamoLog } = await import('../aws/dynamo-log.ts')
  return openDynamoLog({ table: at.logTable })
}

const logsFile = (root: string): string => join(privateDir(root), 'logs.db')
const catalogFile = (root: string): string => join(root, 'catalog.db')

function openDirectory(root: string): Warehouse {
  makeRoot(root)
  const log = openSqliteLog(logsFile(root))
  const catalog = openSqliteCatalog(catalogFile(root))
  return {
    ...directoryOf(root, log, catalog),
    close() {
      log.close()
      catalog.close()
    },
  }
}

function lookAtDirectory(root: string): Warehouse {
  checkRoot(root)
  const [logs, tables] = [logsFile(root), catalogFile(root)]
  const log = existsSync(logs) ? openSqliteLog(logs) : undefined
  const catalog = existsSync(tables) ? openSqliteCatalog(tables) : undefined
  return {
    ...directoryOf(root, log ?? memoryLog(), catalog ?? memoryCatalog()),
    close() {
      log?.close()
      catalog?.close()
    },
  }
}

function directoryOf(root: string, log: Log, catalog: Catalog): Omit<Warehouse, 'close'> {
  return {
    ports: { log, catalog, objects: fileObjects(root), clock: systemClock, random: systemRandom, broker: undefined },
    staging: `${fileLocation(privateDir(root))}/staging/`,
    tables: `${fileLocation(root)}/`,
  }
}

/** The SDK is loaded only when somebody runs on AWS. */
async function openAws({ location, staging, logTable }: Extract<WarehouseAt, { kind: 'aws' }>): Promise<Warehouse> {
  const [{ openDynamoLog }, { openS3Objects }, { openGlueCatalog }] = await Promise.all([
    import('../aws/dynamo-log.ts'),
    import('../aws/s3-objects.ts'),
    import('../aws/glue-catalog.ts'),
  ])
  const log = openDynamoLog({ table: logTable })
  const objects = openS3Objects({})
  const catalog = openGlueCatalog({})
  return {
    ports: { log, catalog, objects, clock: systemClock, random: systemRandom, broker: undefined },
    staging,
    tables: location,
    close() {
      log.close()
      objects.close()
      catalog.close()
    },
  }
}

function checkRoot(root: string): void {
  if (existsSync(root) && !statSync(root).isDirectory())
    throw usage(`Cannot use warehouse ${root}: expected a directory, found a file. Name another --warehouse.`)
}

function makeRoot(root: string): void {
  checkRoot(root)
  try {
    makeDirectories(privateDir(root))
  } catch (cause) {
    throw usage(`Cannot use warehouse ${root}: ${messageOf(cause)}. Name a directory that can be written.`, { cause })
  }
}
