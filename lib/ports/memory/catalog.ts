import type { Catalog, TableId } from '../catalog.ts'

/**
 * A catalog in memory, for tests and simulations. Each method does its work before it first yields, so calls are atomic in
 * the order they are made.
 */
export function memoryCatalog(): Catalog {
  const tables = new Map<string, { readonly id: TableId; location: string }>()
  const key = ({ namespace, name }: TableId) => JSON.stringify([namespace, name])
  return {
    async load(id) {
      const location = tables.get(key(id))?.location
      return location === undefined ? undefined : { metadataLocation: location, version: location }
    },
    async create(id, metadataLocation) {
      if (tables.has(key(id))) return false
      tables.set(key(id), { id: { namespace: id.namespace, name: id.name }, location: metadataLocation })
      return true
    },
    async swap(id, expected, metadataLocation) {
      const table = tables.get(key(id))
      if (table === undefined || table.location !== expected.version) return false
      table.location = metadataLocation
      return true
    },
    async list() {
      return Array.from(tables.values(), ({ id }) => id).sort((a, b) => order(a.namespace, b.namespace) || order(a.name, b.name))
    },
  }
}

/** By code point in effect: names are compared as SQLite compares them, by UTF-8 bytes. */
function order(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
