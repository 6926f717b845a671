import { openWarehouse, type WarehouseAt } from '../local/warehouse.ts'
import type { WarehouseFlags } from './arguments.ts'
import { type OpenTable, withTable } from './table-argument.ts'

export interface MaintenanceFlags extends WarehouseFlags {
  /** Without it a command says what it would do, and writes nothing. */
  readonly apply: boolean
}

/**
 * The table that a command names, while `action` works on it: to look at, or with `apply` to write to. Takes no lock: runs, other
 * engines and the same command may work beside it. Throws as `withTable`.
 */
export async function withMaintained<T>(
  at: WarehouseAt,
  name: string,
  apply: boolean,
  action: (open: OpenTable) => Promise<T>,
): Promise<T> {
  return withTable(at, name, async (open) => {
    // What `withTable` opened of a directory is not to be written to.
    if (!apply || at.kind === 'aws') return action(open)
    const warehouse = await openWarehouse(at)
    try {
      return await action({ table: open.table, warehouse })
    } finally {
      warehouse.close()
    }
  })
}

export const shownName = ({ table: { id } }: OpenTable): string => `${id.namespace}.${id.name}`

/** Ends what a command that wrote nothing says. */
export const NOTHING_WRITTEN = 'Nothing was written. --apply does it.'
