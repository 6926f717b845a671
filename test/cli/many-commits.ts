import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { type LoadedTable, loadTable } from '../../lib/iceberg/scan.ts'
import type { TableMetadata } from '../../lib/iceberg/types.ts'
import { fileObjects } from '../../lib/local/files.ts'
import { openSqliteCatalog } from '../../lib/local/sqlite-catalog.ts'
import { systemRandom } from '../../lib/local/system.ts'
import { frazil, runTrades, tradesFile } from './frazil.ts'

/** Each run of the command takes a second or two. */
export const RUNS_MS = 120_000

/** Trades that come in parts: `next` runs the pipeline over so many more. */
export function tradesInParts(dir: string, warehouse: string) {
  const all = readFileSync(tradesFile(dir, 40_000, 'all.ndjson'), 'utf8').split('\n')
  const input = join(dir, 'parts.ndjson')
  let lines = 0
  const grow = (count: number) => {
    lines += count
    writeFileSync(input, `${all.slice(0, lines).join('\n')}\n`)
    return input
  }
  return { grow, next: (count: number) => runTrades(grow(count), warehouse) }
}

/** What a command says as JSON; throws what it complains of. */
export async function told<T>(...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await frazil(...args, '--json')
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as T
}

export interface FileTold {
  readonly path: string
  readonly rows: number
  readonly snapshot: string
  readonly sortOrder: number
}

/** All files below a directory with size and time, but for those that SQLite keeps while it is read. */
export function listing(dir: string): readonly string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.db(-\w+)?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => `${path} ${statSync(path).size} ${statSync(path).mtimeMs}`)
}

/** Swaps a table of `trades` to other metadata, as another engine would. */
export async function change(
  warehouse: string,
  name: string,
  next: (metadata: TableMetadata) => Partial<TableMetadata>,
): Promise<void> {
  const catalog = openSqliteCatalog(join(warehouse, 'catalog.db'))
  const objects = fileObjects(warehouse)
  const table = (await loadTable(catalog, objects, { namespace: 'trades', name })) as LoadedTable
  const location = `${table.metadata.location}/metadata/99999-${systemRandom.uuid()}.metadata.json`
  await objects.put(location, [serializeMetadata({ ...table.metadata, ...next(table.metadata) })])
  expect(await catalog.swap(table.id, table.pointer, location)).toBe(true)
  catalog.close()
}
