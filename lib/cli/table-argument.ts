import { join } from 'node:path'
import { isKind, usage } from '../errors.ts'
import { objectLocation } from '../iceberg/paths.ts'
import { type LoadedTable, loadTable } from '../iceberg/scan.ts'
import { lookAtWarehouse, openWarehouse, type Warehouse, type WarehouseAt } from '../local/warehouse.ts'
import type { Catalog, TableId } from '../ports/catalog.ts'
import { infoOf, shownWarehouse } from './arguments.ts'
import { nearest } from './nearest.ts'

/** One table of a warehouse, and the stores around it. */
export interface OpenTable {
  readonly table: LoadedTable
  readonly warehouse: Warehouse
}

/**
 * The table that a command names, `namespace.table` or `table` where that is unique, while `action` works on it. Other tables
 * are not read, and nothing is made where no warehouse is. Throws `Usage` for a table that is not there, with the one that was
 * meant, and for one that lies outside of the warehouse.
 */
export async function withTable<T>(at: WarehouseAt, name: string, action: (open: OpenTable) => Promise<T>): Promise<T> {
  checkDirectory(at)
  // On AWS to look at the logs takes rights that reading a table does not.
  const warehouse = at.kind === 'aws' ? await openWarehouse(at) : await lookAtWarehouse(at)
  try {
    const { catalog, objects } = warehouse.ports
    const id = await tableIdOf(catalog, name, warehouse.tables, shownWarehouse(at))
    const pointer = await catalog.load(id)
    const location = pointer === undefined ? undefined : objectLocation(pointer.metadataLocation)
    if (location !== undefined && !location.startsWith(warehouse.tables))
      throw usage(
        `Cannot read table ${name}: expected it in warehouse ${shownWarehouse(at)}, found it at ${location}. Name the warehouse that it lies in.`,
      )
    const table = await loadTable(catalog, objects, id)
    if (table === undefined) throw usage(`Cannot find table ${name}: it was dropped a moment ago.`)
    return await action({ table, warehouse })
  } finally {
    warehouse.close()
  }
}

/** Directories only: a bucket without tables looks like any other. */
function checkDirectory(at: WarehouseAt): void {
  if (at.kind === 'directory' && !infoOf(join(at.dir, 'catalog.db'))?.isFile())
    throw usage(
      `Cannot read warehouse ${at.dir}: expected a directory with a catalog.db in it, found none. Check --warehouse, or make one with "frazil run".`,
    )
}

async function tableIdOf(catalog: Catalog, name: string, below: string, warehouse: string): Promise<TableId> {
  const [namespace, table, ...rest] = name.split('.')
  if (namespace !== '' && table !== undefined && table !== '' && rest.length === 0) {
    const id = { namespace, name: table }
    // Without a list of all tables where it can be: on AWS that takes further rights.
    if ((await catalog.load(id)) !== undefined) return id
  }
  const all = await catalog.list()
  const named = all.filter((id) => sameName(id.name, name) || sameName(shownId(id), name))
  const found = named.length > 1 ? await thoseBelow(catalog, named, below) : named
  if (found.length === 1) return found[0]
  if (found.length > 1)
    throw usage(`Cannot tell which table ${name} is: found ${found.map(shownId).join(', ')}. Name its namespace.`)
  throw usage(`Cannot find table ${name} in warehouse ${warehouse}: ${known(name, all)}`)
}

/** A shared catalog has tables of other warehouses, and entries that are no tables of Iceberg. */
async function thoseBelow(catalog: Catalog, ids: readonly TableId[], below: string): Promise<readonly TableId[]> {
  const found: TableId[] = []
  for (const id of ids) {
    const pointer = await catalog.load(id).catch((error: unknown) => {
      if (!isKind(error, 'Refused')) throw error
    })
    if (pointer !== undefined && objectLocation(pointer.metadataLocation).startsWith(below)) found.push(id)
  }
  return found
}

/** More of them are no help. */
const MAX_NAMED = 20

function known(name: string, all: readonly TableId[]): string {
  if (/[/\\]|\.[mc]?[jt]s$/.test(name)) return "this command takes a table, not a pipeline's file."
  if (all.length === 0) return 'it has no tables.'
  const names = all.map((id) => shownId(id))
  const bare = nearest(
    name,
    all.map((id) => id.name),
  )
  const meant = nearest(name, names) ?? names[all.findIndex((id) => id.name === bare)]
  if (meant !== undefined) return `did you mean ${meant}?`
  const more = names.length - MAX_NAMED
  return `expected one of ${names.slice(0, MAX_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}.`
}

const shownId = ({ namespace, name }: TableId): string => `${namespace}.${name}`
const sameName = (a: string, b: string) => a.toLowerCase() === b.toLowerCase()
