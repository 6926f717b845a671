import type { Batch } from '../columns/batch.ts'
import { batchBuilder } from '../columns/concat.ts'
import { take } from '../columns/operations.ts'
import type { Fields } from '../columns/schema.ts'
import { sortedRows } from '../columns/sort.ts'
import { corrupt, isKind, refused } from '../errors.ts'
import { type DataFile, dataFile } from '../iceberg/data-file.ts'
import { writtenFields } from '../iceberg/evolve.ts'
import { currentSchema, defaultSortOrder, specById } from '../iceberg/metadata.ts'
import { dataDir } from '../iceberg/paths.ts'
import { parquetOptionsOf } from '../iceberg/properties.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import { sortByOf } from '../iceberg/schema.ts'
import type { ScanFile } from '../iceberg/snapshot.ts'
import { parquetFiles } from '../parquet/files.ts'
import { parquetSummary, readParquet } from '../parquet/reader.ts'
import type { Objects } from '../ports/objects.ts'
import type { Random } from '../ports/time.ts'
import { compactFileName } from '../protocol/names.ts'
import { fenceOf } from './fence.ts'
import { partitionText } from './partition-text.ts'
import type { Group } from './plan-compaction.ts'

/** Files read ahead. */
const READ_AHEAD = 8

export interface RewriteOptions {
  readonly table: LoadedTable
  readonly objects: Objects
  readonly random: Random
  readonly group: Group
  readonly targetFileBytes: number
}

/** A group's rows in new files, in no table yet. */
export interface Rewritten {
  readonly group: Group
  readonly added: readonly DataFile[]
  /** What the table's fence must still be: whoever raised it since may have deleted the files. */
  readonly fence: number
}

/**
 * Reads the files of a group and writes their rows into as few as the target size allows, in the table's sort order or as they
 * come. Undefined when a file is gone: the snapshot that was planned on has expired. Throws `Refused` for files that it cannot read. Memory: of a sorted
 * group all its rows, decoded; else one file at a time; and what is written, compressed.
 */
export async function rewriteGroup({
  table,
  objects,
  random,
  group,
  targetFileBytes,
}: RewriteOptions): Promise<Rewritten | undefined> {
  const { metadata, id } = table
  const fields = writtenFields(metadata)
  const files = parquetFiles(fields, { ...parquetOptionsOf(id, metadata.properties), targetFileBytes })
  const sortBy = group.sorted ? sortByOf(defaultSortOrder(metadata), currentSchema(metadata)) : []
  const valuesOfPartition = specById(metadata, group.specId)
    .fields.filter(({ transform }) => transform === 'identity')
    .map((field) => field['source-id'])
  const rows = group.files.reduce((sum, { file }) => sum + file.recordCount, 0)
  const held = group.sorted ? batchBuilder(fields, rows) : undefined
  for (let at = 0; at < group.files.length; at += READ_AHEAD) {
    const some = group.files.slice(at, at + READ_AHEAD)
    const read = await Promise.all(some.map(({ file }) => objects.get(file.filePath)))
    for (const [i, bytes] of read.entries()) {
      if (bytes === undefined) return undefined
      for (const batch of rowsOf(bytes, some[i], fields, valuesOfPartition)) {
        if (held === undefined) files.append(batch)
        // Each is sorted by itself first: the last sort then gathers from runs, which the cache likes.
        else held.append(take(batch, sortedRows(batch, sortBy)))
      }
    }
  }
  if (held !== undefined) {
    const all = held.finish()
    files.append(all, sortedRows(all, sortBy))
  }
  const fence = fenceOf(metadata)
  const folder = partitionText(metadata, group.specId, group.partition)
  const added: DataFile[] = []
  for (const file of files.finish()) {
    const location = `${dataDir(metadata)}/${folder === '' ? '' : `${folder}/`}${compactFileName(fence, random.uuid())}`
    await objects.put(location, file.parts)
    const sortOrderId = group.sorted ? metadata['default-sort-order-id'] : undefined
    added.push(dataFile(file, { location, specId: group.specId, partition: group.partition, sortOrderId }))
  }
  return { group, added, fence }
}

/**
 * As many rows as the manifest says, or the file is not the one that was committed. Throws `Refused` for one without the values that its
 * partition stands for, as tables have that were taken over from Hive: they would be read as null.
 */
function* rowsOf(bytes: Uint8Array, { file }: ScanFile, fields: Fields, valuesOfPartition: readonly number[]): Generator<Batch> {
  if (valuesOfPartition.length > 0) {
    const { fieldIds } = parquetSummary(bytes, file.filePath)
    const missing = valuesOfPartition.find((id) => !fieldIds.includes(id))
    if (missing !== undefined)
      throw refused(
        `Cannot compact ${file.filePath}: expected the values of column id ${missing} in it, found them in its partition only.`,
      )
  }
  let rows = 0
  for (const batch of readParquet(bytes, fields, file.filePath)) {
    rows += batch.rows
    yield batch
  }
  if (rows !== file.recordCount)
    throw corrupt(`Cannot compact ${file.filePath}: expected ${file.recordCount} rows, found ${rows}. Restore the file.`)
}

/** True for what is wrong with a file itself: its group is left alone, and others go on. */
export const isUnreadable = (error: unknown): boolean => isKind(error, 'Refused', 'Corrupt')
