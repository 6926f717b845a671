import type { Batch } from '../columns/batch.ts'
import { batchBuilder } from '../columns/concat.ts'
import { take } from '../columns/operations.ts'
import type { Fields } from '../columns/schema.ts'
import { sortedRows } from '../columns/sort.ts'
import { corrupt, isKind, messageOf, refused } from '../errors.ts'
import { type DataFile, dataFile } from '../iceberg/data-file.ts'
import { writtenFields } from '../iceberg/evolve.ts'
import { currentSchema, defaultSortOrder, specById } from '../iceberg/metadata.ts'
import { dataDir } from '../iceberg/paths.ts'
import { parquetOptionsOf } from '../iceberg/properties.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import { sortByOf } from '../iceberg/schema.ts'
import type { ScanFile } from '../iceberg/snapshot.ts'
import { parquetFiles } from '../parquet/files.ts'
import { type ParquetSummary, parquetSummary, readParquet } from '../parquet/reader.ts'
import type { ParquetFile, ParquetOptions } from '../parquet/writer.ts'
import type { SortField } from '../pipeline/plan.ts'
import type { Objects } from '../ports/objects.ts'
import type { Random } from '../ports/time.ts'
import { compactFileName } from '../protocol/names.ts'
import { fenceOf } from './fence.ts'
import { decodedBytes, spelledOut } from './group-memory.ts'
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

/** A file of a group that stays as it is. */
export interface SkippedFile {
  readonly location: string
  readonly why: string
  /** True when it is not what was committed: until it is restored its rows are lost. */
  readonly damaged: boolean
}

/** A group's rows in new files, in no table yet. */
export interface Rewritten {
  /** Of the files that were read: fewer than planned where some were skipped, or memory had no room for all. */
  readonly group: Group
  readonly added: readonly DataFile[]
  /** What the table's fence must still be: whoever raised it since may have deleted the files. */
  readonly fence: number
  /** Files of the group that cannot be read, or are too large for memory by themselves. */
  readonly skipped?: readonly SkippedFile[]
}

/**
 * Reads the files of a group and writes their rows into as few as the target size allows, in the table's sort order or as they
 * come. A file that cannot be read is skipped, and those that memory has no room for are left to the next plan: the group is
 * that of the others. Undefined when a file is gone: the snapshot that was planned on has expired. Throws `Refused` or
 * `Corrupt` when nothing is left to rewrite, for what is wrong with the first file. Memory: of a sorted group all its rows,
 * decoded; else a row group at a time; and what is written, compressed.
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
  const layout: Layout = {
    fields,
    parquet: { ...parquetOptionsOf(id, metadata.properties), targetFileBytes },
    sortBy: group.sorted ? sortByOf(defaultSortOrder(metadata), currentSchema(metadata)) : undefined,
    valuesOfPartition: specById(metadata, group.specId)
      .fields.filter(({ transform }) => transform === 'identity')
      .map((field) => field['source-id']),
    maxMemoryBytes: group.maxMemoryBytes,
  }
  const bad = new Map<ScanFile, unknown>()
  // Rows of a file that turns out bad in its midst cannot be taken back: the others are read again without it.
  const readable = async (files: readonly ScanFile[]): Promise<FilesRead | undefined> => {
    const read = await readFiles(objects, files, layout, bad)
    return read?.again ? readable(read.next.filter((file) => !bad.has(file))) : read
  }
  const read = await readable(group.files)
  if (read === undefined) return undefined
  const { taken } = read
  const [first] = bad.values()
  if (taken.length < Math.min(2, group.files.length)) {
    if (first !== undefined) throw first
    throw tooLarge(`${group.files.length} files from ${group.files[0].file.filePath} on`, group.maxMemoryBytes)
  }
  const fence = fenceOf(metadata)
  const folder = partitionText(metadata, group.specId, group.partition)
  const added: DataFile[] = []
  for (const file of read.finish()) {
    const location = `${dataDir(metadata)}/${folder === '' ? '' : `${folder}/`}${compactFileName(fence, random.uuid())}`
    await objects.put(location, file.parts)
    const sortOrderId = group.sorted ? metadata['default-sort-order-id'] : undefined
    added.push(dataFile(file, { location, specId: group.specId, partition: group.partition, sortOrderId }))
  }
  const bytes = taken.reduce((sum, { file }) => sum + file.sizeBytes, 0)
  const skipped = Array.from(bad, ([{ file }, error]) => ({
    location: file.filePath,
    why: messageOf(error),
    damaged: isKind(error, 'Corrupt'),
  }))
  return { group: { ...group, files: taken, bytes }, added, fence, skipped }
}

interface Layout {
  readonly fields: Fields
  readonly parquet: Partial<ParquetOptions>
  /** Undefined: rows stay as they come. */
  readonly sortBy: readonly SortField[] | undefined
  /** Columns whose values a partition has. */
  readonly valuesOfPartition: readonly number[]
  readonly maxMemoryBytes: number
}

interface FilesRead {
  /** True when rows were taken of a file that is then left out: `next` is to be read in place of all. */
  readonly again: boolean
  readonly next: readonly ScanFile[]
  readonly taken: readonly ScanFile[]
  finish(): readonly ParquetFile[]
}

/** Undefined when a file is gone. What is wrong with files is added to `bad`. */
async function readFiles(
  objects: Objects,
  files: readonly ScanFile[],
  layout: Layout,
  bad: Map<ScanFile, unknown>,
): Promise<FilesRead | undefined> {
  const { fields, sortBy, maxMemoryBytes } = layout
  const written = parquetFiles(fields, layout.parquet)
  const rows = files.reduce((sum, { file }) => sum + file.recordCount, 0)
  const held = sortBy === undefined ? undefined : { builder: batchBuilder(fields, rows), sortBy, spelled: spelledOut() }
  const taken: ScanFile[] = []
  let heldBytes = 0
  const finish = () => {
    if (held !== undefined) {
      const all = held.builder.finish()
      written.append(all, sortedRows(all, held.sortBy))
    }
    return written.finish()
  }
  const done = { again: false, next: files, taken, finish }
  for (let at = 0; at < files.length; at += READ_AHEAD) {
    // All are of a kind that we cannot read, it seems: the rest is not worth its reading.
    if (at > 0 && taken.length === 0 && bad.size >= at && Array.from(bad.values()).every((error) => isKind(error, 'Refused')))
      return done
    const some = files.slice(at, at + READ_AHEAD)
    const read = await Promise.all(some.map(({ file }) => objects.get(file.filePath)))
    for (const [i, bytes] of read.entries()) {
      if (bytes === undefined) return undefined
      const one = some[i]
      const cut = { ...done, next: files.slice(0, at + i) }
      let isBegun = false
      try {
        const summary = summaryOf(bytes, one, layout.valuesOfPartition)
        const needed = decodedBytes(summary, fields.length)
        const least = held === undefined ? needed / Math.max(1, summary.rowGroups) : needed
        if (least > maxMemoryBytes) throw tooLarge(one.file.filePath, maxMemoryBytes)
        // Of files up to half any two fit; a larger one is about as large as memory lets it be.
        if (held !== undefined && files.length > 1 && needed > maxMemoryBytes / 2) continue
        const isOver = () => held !== undefined && heldBytes + needed + held.spelled.bytes > maxMemoryBytes
        if (isOver()) return cut
        for (const batch of rowsOf(bytes, one, fields)) {
          held?.spelled.add(batch)
          if (isOver()) {
            if (taken.length === 0) throw tooLarge(one.file.filePath, maxMemoryBytes)
            return { ...cut, again: isBegun }
          }
          isBegun = true
          if (held === undefined) written.append(batch)
          // Each is sorted by itself first: the last sort then gathers from runs, which the cache likes.
          else held.builder.append(take(batch, sortedRows(batch, held.sortBy)))
        }
        taken.push(one)
        heldBytes += needed
      } catch (error) {
        if (!isUnreadable(error)) throw error
        bad.set(one, error)
        if (isBegun) return { ...done, again: true }
      }
    }
  }
  return done
}

const tooLarge = (what: string, maxMemoryBytes: number) =>
  refused(
    `Cannot compact ${what}: expected rows of at most ${Math.floor(maxMemoryBytes)} bytes decoded, found more: too large for memory. Give the compaction more memory.`,
  )

/**
 * Throws `Refused` for a file without the values that its partition stands for, as tables have that were taken over from Hive:
 * they would be read as null.
 */
function summaryOf(bytes: Uint8Array, { file }: ScanFile, valuesOfPartition: readonly number[]): ParquetSummary {
  const summary = parquetSummary(bytes, file.filePath)
  const missing = valuesOfPartition.find((id) => !summary.fieldIds.includes(id))
  if (missing !== undefined)
    throw refused(
      `Cannot compact ${file.filePath}: expected the values of column id ${missing} in it, found them in its partition only.`,
    )
  return summary
}

/** As many rows as the manifest says, or the file is not the one that was committed. */
function* rowsOf(bytes: Uint8Array, { file }: ScanFile, fields: Fields): Generator<Batch> {
  let rows = 0
  for (const batch of readParquet(bytes, fields, file.filePath)) {
    rows += batch.rows
    yield batch
  }
  if (rows !== file.recordCount)
    throw corrupt(`Cannot compact ${file.filePath}: expected ${file.recordCount} rows, found ${rows}. Restore the file.`)
}

/** True for what is wrong with a file itself: it is left alone, and others go on. */
export const isUnreadable = (error: unknown): boolean => isKind(error, 'Refused', 'Corrupt')
