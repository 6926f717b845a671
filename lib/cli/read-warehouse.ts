import { join } from 'node:path'
import { corrupt, isKind, usage } from '../errors.ts'
import { objectLocation } from '../iceberg/paths.ts'
import { type LoadedTable, loadTable } from '../iceberg/scan.ts'
import { fileLocation, fileObjects, filePath } from '../local/files.ts'
import { openSqliteCatalog } from '../local/sqlite-catalog.ts'
import type { WarehouseAt } from '../local/warehouse.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Objects } from '../ports/objects.ts'
import { infoOf } from './arguments.ts'

/** A warehouse to look at, also while a run writes to it. */
export interface ReadWarehouse {
  /** As people name it: a directory or `s3://bucket/prefix`. */
  readonly name: string
  readonly objects: Objects
  /** Every table that the catalog names, as it is now, sorted by name. */
  readonly tables: readonly LoadedTable[]
  /**
   * Paths of data files that a program on this machine can open, in the order of `locations`; fetched when they lie elsewhere.
   */
  localFiles(locations: readonly string[]): Promise<readonly string[]>
  /** Deletes what was fetched. */
  close(): Promise<void>
}

/** Throws `Usage` where none is: looking must not make one in a wrong place. */
export async function readWarehouse(at: WarehouseAt): Promise<ReadWarehouse> {
  return at.kind === 'directory' ? readDirectory(at.dir) : (await import('./read-aws.ts')).readAws(at)
}

export const tableName = ({ id }: LoadedTable): string => `${id.namespace}.${id.name}`

async function readDirectory(root: string): Promise<ReadWarehouse> {
  const found = infoOf(root)
  const expected = `Cannot read warehouse ${root}: expected a directory with a catalog.db in it`
  if (found === undefined) throw usage(`${expected}, found nothing. Check --warehouse, or make one with "frazil run".`)
  if (!found.isDirectory()) throw usage(`${expected}, found a file. Name the directory.`)
  const catalogFile = join(root, 'catalog.db')
  if (!infoOf(catalogFile)?.isFile())
    throw usage(`${expected}, found no catalog.db. Check --warehouse, or make one with "frazil run".`)
  const catalog = openSqliteCatalog(catalogFile)
  try {
    const objects = fileObjects(root)
    const tables = await loadTables(catalog, objects, ({ namespace, name }, location) => {
      if (location.startsWith(`${fileLocation(root)}/`)) return true
      throw usage(
        `Cannot read warehouse ${root}: its table ${namespace}.${name} lies elsewhere, at ${location}. Tables name files by absolute path: move the warehouse back, or name it by the path it was made at.`,
      )
    })
    return { name: root, objects, tables, localFiles: async (locations) => locations.map(filePath), close: async () => {} }
  } finally {
    catalog.close()
  }
}

/** Tables of a catalog whose metadata lies where `isHere` says yes. */
export async function loadTables(
  catalog: Catalog,
  objects: Objects,
  isHere: (id: LoadedTable['id'], location: string) => boolean,
): Promise<readonly LoadedTable[]> {
  const tables: LoadedTable[] = []
  for (const id of await catalog.list()) {
    const location = (await catalog.load(id).catch(orForeign))?.metadataLocation ?? ''
    if (!isHere(id, objectLocation(location))) continue
    const table = await loadTable(catalog, objects, id)
    if (table === undefined)
      throw corrupt(`Cannot read ${id.namespace}.${id.name}: expected its metadata location in the catalog, found none.`)
    tables.push(table)
  }
  return tables
}

/** What a shared catalog holds besides is others' business, half-made entries too. */
function orForeign(error: unknown): undefined {
  if (!isKind(error, 'Refused')) throw error
}
