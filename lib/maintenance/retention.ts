import { changeTable, snapshotOptions, type TablePorts } from '../iceberg/change.ts'
import { partitionOf } from '../iceberg/commit.ts'
import { CONTENT_DATA, type DataFile } from '../iceberg/data-file.ts'
import { currentSchema, specById } from '../iceberg/metadata.ts'
import { replaceFiles } from '../iceberg/replace.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import { readSnapshot, type ScanFile } from '../iceberg/snapshot.ts'
import type { TableMetadata } from '../iceberg/types.ts'
import type { RetentionPolicy } from '../pipeline/maintenance.ts'
import type { TableId } from '../ports/catalog.ts'
import { partitionText } from './partition-text.ts'

/** Rows that retention has dropped from a table so far, in digits: `frazil audit` counts with them. */
export const DROPPED_ROWS_PROPERTY = 'frazil.dropped-rows'

export interface RetentionReport {
  /** As folders name them, sorted. */
  readonly partitions: readonly string[]
  readonly files: number
  readonly rows: number
  readonly bytes: number
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/**
 * Drops the partitions that ended longer ago than the policy says, whole: a snapshot that no longer names their files. No row
 * is read. The files themselves go when the snapshots that name them expire. With `apply` false nothing is written.
 */
export async function dropOldPartitions(
  ports: TablePorts,
  id: TableId,
  policy: RetentionPolicy,
  nowMs: number,
  apply: boolean,
): Promise<RetentionReport> {
  let tried: RetentionReport | undefined
  return changeTable<RetentionReport>(ports, id, 'drop old partitions of', async (table, { unknown }) => {
    const { metadata } = table
    const old = await oldFiles(ports, table, policy.column, nowMs - policy.keepMs)
    const rows = old.reduce((sum, { file }) => sum + (file.content === CONTENT_DATA ? file.recordCount : 0), 0)
    const result = {
      partitions: [...new Map(old.map(({ file }) => [partitionOf(file), textOf(metadata, file)])).values()].sort(),
      files: old.length,
      rows,
      bytes: old.reduce((sum, { file }) => sum + file.sizeBytes, 0),
    }
    // Nothing left after a swap whose answer was lost: it landed.
    if (old.length === 0 || !apply) return { verdict: 'Done', result: (unknown && tried) || result }
    tried = result
    const before = metadata.properties[DROPPED_ROWS_PROPERTY] ?? '0'
    const dropped = (/^\d+$/.test(before) ? BigInt(before) : 0n) + BigInt(rows)
    const to = await replaceFiles({
      ...snapshotOptions(ports, table),
      operation: 'delete',
      remove: new Set(old.map(({ file }) => file.filePath)),
      add: [],
      properties: { [DROPPED_ROWS_PROPERTY]: String(dropped) },
    })
    return { verdict: 'Swap', to, result }
  })
}

const textOf = (metadata: TableMetadata, { specId, partition }: DataFile): string => partitionText(metadata, specId, partition)

/** Files of partitions that ended at or before a time; delete files among them, which concern nothing else. */
async function oldFiles(
  { objects }: TablePorts,
  { metadata }: LoadedTable,
  column: string,
  beforeMs: number,
): Promise<readonly ScanFile[]> {
  const source = currentSchema(metadata).fields.find(({ name }) => name === column)?.id
  const { data, deletes } = await readSnapshot(objects, metadata)
  return [...data, ...deletes].filter(({ file }) => {
    const { fields } = specById(metadata, file.specId)
    return fields.some((field, i) => {
      const value = file.partition[i]
      if (field['source-id'] !== source || typeof value !== 'number') return false
      const end = endOf(field.transform, value)
      return end !== undefined && end <= beforeMs
    })
  })
}

/** When the interval of a time partition ends, milliseconds (spec, "Partition Transforms"); undefined for others. */
function endOf(transform: string, value: number): number | undefined {
  switch (transform) {
    case 'year':
      return Date.UTC(1970 + value + 1, 0)
    case 'month':
      return Date.UTC(1970, value + 1)
    case 'day':
      return (value + 1) * DAY_MS
    case 'hour':
      return (value + 1) * HOUR_MS
    default:
      return undefined
  }
}
