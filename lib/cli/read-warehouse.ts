import { statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { corrupt, usage } from '../errors.ts'
import { objectLocation } from '../iceberg/paths.ts'
import { type LoadedTable, loadTable } from '../iceberg/scan.ts'
import { fileLocation, fileObjects } from '../local/files.ts'
import { openSqliteCatalog } from '../local/sqlite-catalog.ts'
import type { Objects } from '../ports/objects.ts'

export interface ReadWarehouse {
  /** Absolute directory. */
  readonly dir: string
  readonly objects: Objects
  /** Every table that the catalog names, as it is now, sorted by name. */
  readonly tables: readonly LoadedTable[]
}

/**
 * A warehouse to look at, also while a run writes to it. Throws `Usage` where none is: looking must not make one in a wrong
 * directory.
 */
export async function readWarehouse(dir: string): Promise<ReadWarehouse> {
  const root = resolve(dir)
  const found = statSync(root, { throwIfNoEntry: false })
  const expected = `Cannot read warehouse ${root}: expected a directory with a catalog.db in it`
  if (found === undefined) throw usage(`${expected}, found nothing. Check --warehouse, or make one with "frazil run".`)
  if (!found.isDirectory()) throw usage(`${expected}, found a file. Name the directory.`)
  const catalogFile = join(root, 'catalog.db')
  if (!statSync(catalogFile, { throwIfNoEntry: false })?.isFile())
    throw usage(`${expected}, found no catalog.db. Check --warehouse, or make one with "frazil run".`)
  const catalog = openSqliteCatalog(catalogFile)
  try {
    const objects = fileObjects(root)
    const tables: LoadedTable[] = []
    for (const id of await catalog.list()) {
      const location = (await catalog.load(id))?.metadataLocation ?? ''
      if (!objectLocation(location).startsWith(`${fileLocation(root)}/`))
        throw usage(
          `Cannot read warehouse ${root}: its table ${id.namespace}.${id.name} lies elsewhere, at ${location}. Tables name files by absolute path: move the warehouse back, or name it by the path it was made at.`,
        )
      const table = await loadTable(catalog, objects, id)
      if (table === undefined)
        throw corrupt(`Cannot read ${id.namespace}.${id.name}: expected its metadata location in the catalog, found none.`)
      tables.push(table)
    }
    return { dir: root, objects, tables }
  } finally {
    catalog.close()
  }
}

export const tableName = ({ id }: LoadedTable): string => `${id.namespace}.${id.name}`
