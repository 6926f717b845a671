import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { messageOf, usage } from '../errors.ts'
import type { Log } from '../ports/log.ts'
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

function openDirectory(root: string): Warehouse {
  makeRoot(root)
  const log = openSqliteLog(logsFile(root))
  const catalog = openSqliteCatalog(join(root, 'catalog.db'))
  return {
    ports: { log, catalog, objects: fileObjects(root), clock: systemClock, random: systemRandom, broker: undefined },
    staging: `${fileLocation(privateDir(root))}/staging/`,
    tables: `${fileLocation(root)}/`,
    close() {
      log.close()
      catalog.close()
    },
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

function makeRoot(root: string): void {
  if (existsSync(root) && !statSync(root).isDirectory())
    throw usage(`Cannot use warehouse ${root}: expected a directory, found a file. Name another --warehouse.`)
  try {
    makeDirectories(privateDir(root))
  } catch (cause) {
    throw usage(`Cannot use warehouse ${root}: ${messageOf(cause)}. Name a directory that can be written.`, { cause })
  }
}
