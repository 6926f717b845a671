import { partitionOf } from '../iceberg/commit.ts'
import { CONTENT_EQUALITY_DELETES, type DataFile } from '../iceberg/data-file.ts'
import { defaultSortOrder, specById } from '../iceberg/metadata.ts'
import type { ScanFile, SnapshotFiles } from '../iceberg/snapshot.ts'
import type { TableMetadata } from '../iceberg/types.ts'
import type { CompactPolicy } from '../pipeline/maintenance.ts'
import { fileTimes, isByTime } from './file-times.ts'

/** What bounds the memory and time of one group (protocol rule 27). */
export interface CompactionLimits {
  /** Bytes of its files, as they lie in storage. */
  readonly maxGroupBytes: number
  /** Rows times columns: what they take decoded follows from it. */
  readonly maxGroupValues: number
}

/** Files of one partition that are rewritten together. */
export interface Group {
  readonly specId: number
  readonly partition: DataFile['partition']
  readonly files: readonly ScanFile[]
  readonly bytes: number
  /** Sorted by the table's sort order. */
  readonly sorted: boolean
}

/** Files that would be rewritten but for something. */
export interface LeftAlone {
  readonly specId: number
  readonly partition: DataFile['partition']
  readonly files: number
  readonly why: 'delete files' | 'too large for memory' | 'not Parquet'
}

export interface CompactionPlan {
  readonly groups: readonly Group[]
  readonly leftAlone: readonly LeftAlone[]
  /** Of the files that are written. */
  readonly targetFileBytes: number
}

/** Shares of the target size below and above which a file is rewritten (Iceberg: `min-file-size-bytes`, `max-file-size-bytes`). */
export const MIN_FILE_SHARE = 0.75
const MAX_FILE_SHARE = 1.8
/** Iceberg's default of `write.target-file-size-bytes`. */
const TARGET_FILE_BYTES = 512 << 20

/** The size that a table's files should have: what the policy says, else its property, else Iceberg's default. */
export function targetFileBytes({ properties }: Pick<TableMetadata, 'properties'>, policy: CompactPolicy): number {
  const property = Number(properties['write.target-file-size-bytes'])
  return policy.targetFileBytes ?? (Number.isSafeInteger(property) && property > 0 ? property : TARGET_FILE_BYTES)
}

/**
 * Which files of a snapshot are rewritten together: the small ones (and those far too large) of each cold partition, as Iceberg's
 * `rewrite_data_files` picks them. Pure, and the same for the same snapshot and time, so that workers need only be told a group's number.
 *
 * @param nowMs what "cold" is measured against
 */
export function planCompaction(
  metadata: TableMetadata,
  snapshot: Pick<SnapshotFiles, 'data' | 'deletes'>,
  policy: CompactPolicy,
  limits: CompactionLimits,
  nowMs: number,
): CompactionPlan {
  const wanted = targetFileBytes(metadata, policy)
  const target = Math.min(wanted, limits.maxGroupBytes)
  const small = target * MIN_FILE_SHARE
  // Against what the table wants, not what fits here: another engine's large files are as they should be.
  const large = wanted * MAX_FILE_SHARE
  const sorted = policy.strategy === 'sort' || (policy.strategy === 'auto' && metadata['default-sort-order-id'] !== 0)
  const columns = Math.max(1, metadata.schemas.at(-1)?.fields.length ?? 1)
  const timeOf = fileTimes(metadata)
  const groups: Group[] = []
  const leftAlone: LeftAlone[] = []
  for (const [, files] of [...byPartition(snapshot.data)].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { specId, partition } = files[0].file
    const leave = (count: number, why: LeftAlone['why']) => {
      if (count > 0) leftAlone.push({ specId, partition, files: count, why })
    }
    const due = policy.hot ? files : coldFiles(metadata, files, (file) => timeOf(file) <= nowMs - policy.coldAfterMs)
    const misfit = due.filter(({ file }) => file.sizeBytes < small || file.sizeBytes > large)
    const parquet = misfit.filter(({ file }) => file.fileFormat === 'PARQUET' && file.keyMetadata === undefined)
    const fitting = parquet.filter(({ file }) => fits(file, columns, limits))
    const candidates = worthwhile(fitting, wanted)
    const found = pack(candidates, columns, limits).filter((group) => isEnough(group, policy, target, large))
    leave(misfit.length - parquet.length, 'not Parquet')
    leave(parquet.length - fitting.length, 'too large for memory')
    if (found.length > 0 && files.some((file) => snapshot.deletes.some((one) => concerns(metadata, one, file))))
      leave(
        found.reduce((sum, group) => sum + group.length, 0),
        'delete files',
      )
    else
      for (const group of found)
        groups.push({ specId, partition, files: group, bytes: bytesOf(group), sorted: sorted && hasOrder(metadata) })
  }
  return { groups, leftAlone, targetFileBytes: target }
}

const bytesOf = (files: readonly ScanFile[]): number => files.reduce((sum, { file }) => sum + file.sizeBytes, 0)
const hasOrder = (metadata: TableMetadata): boolean => (defaultSortOrder(metadata)?.fields.length ?? 0) > 0

function byPartition(files: readonly ScanFile[]): ReadonlyMap<string, readonly ScanFile[]> {
  const partitions = new Map<string, ScanFile[]>()
  for (const one of files) {
    const key = partitionOf(one.file)
    const known = partitions.get(key)
    if (known === undefined) partitions.set(key, [one])
    else known.push(one)
  }
  return partitions
}

/**
 * A partition by time is cold as a whole, once nothing came for a while; elsewhere nothing ever ends, and what is cold is the file.
 */
function coldFiles(
  metadata: TableMetadata,
  files: readonly ScanFile[],
  isCold: (file: ScanFile) => boolean,
): readonly ScanFile[] {
  if (isByTime(specById(metadata, files[0].file.specId))) return files.every(isCold) ? files : []
  return files.filter(isCold)
}

/**
 * Without the largest while it is more than twice as large as all others together: a file is then rewritten only into one at least half
 * as large again, so that each byte is rewritten a logarithmic number of times however small the files are that keep coming.
 */
function worthwhile(files: readonly ScanFile[], wanted: number): readonly ScanFile[] {
  const ascending = [...files].sort((a, b) => a.file.sizeBytes - b.file.sizeBytes || inOrder(a, b))
  let others = bytesOf(ascending)
  let end = ascending.length
  for (; end > 1; end--) {
    const { sizeBytes } = ascending[end - 1].file
    others -= sizeBytes
    if (sizeBytes <= 2 * others || sizeBytes > wanted) break
  }
  return ascending.slice(0, end).sort(inOrder)
}

/** As they came: what was written together lies together. */
function inOrder(a: ScanFile, b: ScanFile): number {
  if (a.sequenceNumber !== b.sequenceNumber) return a.sequenceNumber < b.sequenceNumber ? -1 : 1
  return a.file.filePath < b.file.filePath ? -1 : a.file.filePath > b.file.filePath ? 1 : 0
}

const fits = (file: DataFile, columns: number, { maxGroupBytes, maxGroupValues }: CompactionLimits): boolean =>
  file.sizeBytes <= maxGroupBytes && file.recordCount * columns <= maxGroupValues

/** One group after the other, each as full as the limits let it be. */
function pack(files: readonly ScanFile[], columns: number, { maxGroupBytes, maxGroupValues }: CompactionLimits): ScanFile[][] {
  const groups: ScanFile[][] = []
  let bytes = Number.POSITIVE_INFINITY
  let values = 0
  for (const one of files) {
    const { sizeBytes, recordCount } = one.file
    if (bytes + sizeBytes > maxGroupBytes || values + recordCount * columns > maxGroupValues) {
      groups.push([])
      bytes = 0
      values = 0
    }
    groups[groups.length - 1].push(one)
    bytes += sizeBytes
    values += recordCount * columns
  }
  return groups
}

/** Iceberg's three reasons to rewrite a group: many files, enough for a whole one, or a file to split. */
function isEnough(group: readonly ScanFile[], { minInputFiles }: CompactPolicy, target: number, large: number): boolean {
  if (group.some(({ file }) => file.sizeBytes > large)) return true
  return group.length > 1 && (group.length >= minInputFiles || bytesOf(group) > target)
}

/** Whether a delete file may hold a delete of a row of a data file (spec, "Scan Planning"). */
export function concerns(metadata: TableMetadata, deletes: ScanFile, data: Pick<ScanFile, 'file' | 'sequenceNumber'>): boolean {
  const { file, sequenceNumber } = deletes
  const equality = file.content === CONTENT_EQUALITY_DELETES
  if (equality ? sequenceNumber <= data.sequenceNumber : sequenceNumber < data.sequenceNumber) return false
  if (file.referencedDataFile !== undefined) return file.referencedDataFile === data.file.filePath
  if (equality && specById(metadata, file.specId).fields.length === 0) return true
  return partitionOf(file) === partitionOf(data.file)
}
