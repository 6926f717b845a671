import { refused } from '../errors.ts'
import type { LoadedTable } from '../iceberg/scan.ts'

/**
 * Throws `Refused` for a table whose files are not its own: Iceberg's `gc.enabled` is false where another table names them too.
 */
export function assertOwnsFiles({ id, metadata }: Pick<LoadedTable, 'id' | 'metadata'>): void {
  if (metadata.properties['gc.enabled']?.toLowerCase() !== 'false') return
  throw refused(
    `Cannot delete files of table ${id.namespace}.${id.name}: expected them to be its own, found its property gc.enabled to be false. Clean it with the engine that made it so, or set the property to true.`,
  )
}
