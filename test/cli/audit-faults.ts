import { statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DuckDBInstance } from '@duckdb/node-api'
import { appendFiles } from '../../lib/iceberg/append.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { currentSchema, serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { metadataLocation, nextVersion } from '../../lib/iceberg/paths.ts'
import { replaceFiles } from '../../lib/iceberg/replace.ts'
import { type LoadedTable, loadTable, planFiles } from '../../lib/iceberg/scan.ts'
import type { TableMetadata } from '../../lib/iceberg/types.ts'
import { openWarehouse, type Warehouse } from '../../lib/local/warehouse.ts'

/** What breaks tables and logs behind the pipeline's back: writers that know Iceberg and nothing of the protocol. */

interface Opened {
  readonly ports: Warehouse['ports']
  readonly table: LoadedTable
  /** Live data files. */
  readonly files: readonly DataFile[]
}

/** Swaps a table to what `make` returns. */
async function change(dir: string, name: string, make: (opened: Opened) => Promise<string>): Promise<void> {
  const warehouse = await openWarehouse({ kind: 'directory', dir })
  try {
    const { ports } = warehouse
    const table = (await loadTable(ports.catalog, ports.objects, { namespace: 'trades', name })) as LoadedTable
    const files = (await planFiles(ports.objects, table.metadata)).map(({ file }) => file)
    if (!(await ports.catalog.swap(table.id, table.pointer, await make({ ports, table, files }))))
      throw new Error('lost the swap')
  } finally {
    warehouse.close()
  }
}

const baseOf = ({ ports, table }: Opened) => ({
  metadata: table.metadata,
  metadataLocation: table.pointer.metadataLocation,
  objects: ports.objects,
  random: ports.random,
  nowMs: ports.clock.now(),
  summary: {},
  properties: {},
})

/** Appends files as another writer would: without a marker. */
export const append = (dir: string, table: string, filesOf: (files: readonly DataFile[]) => Promise<readonly DataFile[]>) =>
  change(dir, table, async (opened) => (await appendFiles({ ...baseOf(opened), files: await filesOf(opened.files) })).location)

/** Takes all data files out of a table. */
export const drop = (dir: string, table: string, properties: Readonly<Record<string, string>> = {}) =>
  change(dir, table, async (opened) => {
    const remove = new Set(opened.files.map(({ filePath }) => filePath))
    return (await replaceFiles({ ...baseOf(opened), properties, operation: 'delete', remove, add: [] })).location
  })

/** Rewrites the files of a table by SQL over `file`, and claims that no row was lost: a compaction with a defect. */
export const rewrite = (dir: string, table: string, sql: string) =>
  change(dir, table, async (opened) => {
    const remove = new Set(opened.files.map(({ filePath }) => filePath))
    const [first] = opened.files
    const rows = opened.files.reduce((sum, { recordCount }) => sum + recordCount, 0)
    const add = [{ ...(await fileOf(opened, first, opened.files, sql)), recordCount: rows }]
    return (await replaceFiles({ ...baseOf(opened), operation: 'replace', remove, add })).location
  })

/** Appends rows made by SQL over `file`: the table's rows, or those of another table. */
export async function appendRows(dir: string, name: string, sql: string, from = name): Promise<void> {
  let sources: readonly DataFile[] = []
  await change(dir, from, async ({ files, table }) => {
    sources = files
    return table.pointer.metadataLocation
  })
  await change(dir, name, async (opened) => {
    const file = await fileOf(opened, sources[0], sources, sql)
    return (await appendFiles({ ...baseOf(opened), files: [file] })).location
  })
}

let made = 0

async function fileOf({ table }: Opened, like: DataFile, files: readonly DataFile[], sql: string): Promise<DataFile> {
  const path = `${table.metadata.location}/data/made-${made++}.parquet`
  const ids = currentSchema(table.metadata).fields.map(({ name, id }) => `${name}: ${id}`)
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const list = files.map(({ filePath }) => `'${filePath.slice('file://'.length)}'`)
  await connection.run("SET TimeZone = 'UTC'")
  await connection.run(`CREATE VIEW file AS SELECT * FROM read_parquet([${list.join(', ')}], hive_partitioning = false)`)
  await connection.run(`COPY (${sql}) TO '${path.slice('file://'.length)}' (FORMAT parquet, FIELD_IDS {${ids.join(', ')}})`)
  const [[rows]] = (await connection.runAndReadAll(`SELECT count(*) FROM (${sql})`)).getRows()
  connection.closeSync()
  const sizeBytes = statSync(path.slice('file://'.length)).size
  const partition = table.metadata['partition-specs'][0].fields.length === like.partition.length ? like.partition : []
  return { ...like, filePath: path, sizeBytes, recordCount: Number(rows), partition, columnSizes: new Map(), splitOffsets: [] }
}

/** Swaps to metadata that was edited by hand. */
export const edit = (dir: string, table: string, how: (metadata: TableMetadata) => TableMetadata) =>
  change(dir, table, async ({ ports, table: { metadata, pointer } }) => {
    const edited = how(metadata)
    const location = metadataLocation(edited, nextVersion(pointer.metadataLocation), ports.random.uuid())
    await ports.objects.put(location, [serializeMetadata(edited)])
    return location
  })

/** Points the catalog at the metadata before the current one. */
export const stepBack = (dir: string, table: string) =>
  change(dir, table, async ({ table: { metadata } }) => metadata['metadata-log'].at(-1)?.['metadata-file'] as string)

/** Runs SQL on the logs. */
export function onLogs(dir: string, sql: string): void {
  const logs = new DatabaseSync(join(dir, '.frazil/logs.db'))
  logs.exec(sql)
  logs.close()
}
