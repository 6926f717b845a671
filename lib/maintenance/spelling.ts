import { refused } from '../errors.ts'
import type { TableId } from '../ports/catalog.ts'
import type { ObjectInfo } from '../ports/objects.ts'

/**
 * Throws `Refused` when a file that is listed seems to be nobody's only because the table calls it by another scheme, bucket or
 * host: `s3a://lake/x` for `s3://lake/x`. Compared by text alone, every file of such a table would be an orphan.
 */
export function assertOneSpelling(id: TableId, needed: ReadonlySet<string>, listed: readonly ObjectInfo[]): void {
  const paths = new Map<string, string>()
  for (const location of needed) paths.set(pathOf(location), location)
  for (const { location } of listed) {
    const called = needed.has(location) ? undefined : paths.get(pathOf(location))
    if (called === undefined) continue
    throw refused(
      `Cannot look for orphans of table ${id.namespace}.${id.name}: expected ${location} to be called so in its metadata, found ${called}. Nothing was deleted; rewrite the table's paths, or clean it with the engine that wrote them.`,
    )
  }
}

/** Without scheme and authority, and without doubled slashes. */
function pathOf(location: string): string {
  return location
    .replace(/^[a-z][a-z0-9+.-]*:(?:\/\/[^/]*)?/i, '')
    .replace(/\/+/g, '/')
    .replace(/^\//, '')
}
