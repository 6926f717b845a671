import type { TableMetadata } from '../iceberg/types.ts'

/**
 * How often orphans were swept from a table. A sweep raises it before it deletes anything, so that whoever wrote files before
 * and has not committed them finds out: their swap is lost, and looking again they see that the fence is another (protocol rule
 * 29).
 */
export const FENCE_PROPERTY = 'frazil.fence'

export function fenceOf({ properties }: Pick<TableMetadata, 'properties'>): number {
  const fence = Number(properties[FENCE_PROPERTY] ?? 0)
  return Number.isSafeInteger(fence) && fence >= 0 ? fence : 0
}
