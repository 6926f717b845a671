import { partitionOf } from '../iceberg/commit.ts'
import { CONTENT_EQUALITY_DELETES, type DataFile } from '../iceberg/data-file.ts'
import { currentSchema, defaultSortOrder, specById } from '../iceberg/metadata.ts'
import { isOurOrder } from '../iceberg/schema.ts'
import type { ScanFile, SnapshotFiles } from '../iceberg/snapshot.ts'
import type { TableMetadata } from '../iceberg/types.ts'
import type { CompactPolicy } from '../pipeline/maintenance.ts'
import { parseCompactFileName } from '../protocol/names.ts'
import { fileTimes, isByTime } from './file-times.ts'

/** What bounds the memory and time of one group (protocol rule 27). */
export interface CompactionLimits {
  /** Bytes of its files, as they lie in storage. */
  readonly maxGroupBytes: number
  /** Rows times columns: what they take decoded follows from it. */
  readonly maxGroupValues: number
  /**
   * Of rows that are held decoded: those of a sorted group, else of a row group. Known only as files are read. Default: no
   * bound.
   */
  readonly maxMemoryBytes?: number
}

/** Files of one partition that are rewritten together. */
export interface Group {
  readonly specId: number
  readonly partition: DataFile['partition']
  readonly files: readonly ScanFile[]
  readonly bytes: number
  /** Sorted by the table's sort order. */
  readonly sorted: boolean
  /** What its rows may take decoded: a group of more becomes one of fewer files (`rewriteGroup`). */
  readonly maxMemoryBytes: number
}

/** Files that would be rewritten but for something. */
export interface LeftAlone {
  readonly specId: number
  readonly partition: DataFile['partition']
  readonly files: number
  /** `sort order`: the policy wants the table's, which we cannot produce (`isOurOrder`). */
  readonly why: 'delete files' | 'too large for memory' | 'not Parquet' | 'sort order'
}

export interface CompactionPlan {
  readonly groups: readonly Group[]
  readonly leftAlone: readonly LeftAlone[]
  /** Of the files that are written. */
  readonly targetFileBytes: number
}

/**
 * Shares of the target size below and above which a file is rewritten (Iceberg: `min-file-size-bytes`, `max-file-size-bytes`).
 */
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
 * Which files of a snapshot are rewritten together: the small ones (and those far too large) of each cold partition, as
 * Iceberg's `rewrite_data_files` picks them. Pure, and the same for the same snapshot and time, so that workers need only be
 * told a group's number.
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
  const order = defaultSortOrder(metadata)
  const hasOrder = order !== undefined && order.fields.length > 0
  const canSort = hasOrder && isOurOrder(order, currentSchema(metadata))
  const sorted = canSort && policy.strategy !== 'binpack'
  const columns = Math.max(1, currentSchema(metadata).fields.length)
  const timeOf = fileTimes(metadata)
  const groups: Group[] = []
  const leftAlone: LeftAlone[] = []
  for (const [, files] of [...byPartition(snapshot.data)].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { specId, partition } = files[0].file
    const leave = (count: number, why: LeftAlone['why']) => {
      if (count > 0) leftAlone.push({ specId, partition, files: count, why })
    }
    const due = policy.hot ? files : coldFiles(metadata, files, (file) => timeOf(file) <= nowMs - policy.coldAfterMs)
    const misfit = due.filter(({ file }) => file.sizeBytes < small || isToSplit(file, large))
    const parquet = misfit.filter(({ file }) => file.fileFormat === 'PARQUET' && file.keyMetadata === undefined)
    const fitting = parquet.filter(({ file }) => fits(file, columns, limits))
    const found = groupsOf(fitting, columns, policy, limits, { target, large })
    const held = found.reduce((sum, group) => sum + group.length, 0)
    leave(misfit.length - parquet.length, 'not Parquet')
    leave(parquet.length - fitting.length, 'too large for memory')
    if (found.length > 0 && files.some((file) => snapshot.deletes.some((one) => concerns(metadata, one, file))))
      leave(held, 'delete files')
    else if (policy.strategy === 'sort' && hasOrder && !canSort) leave(held, 'sort order')
    else
      for (const group of found)
        groups.push({
          specId,
          partition,
          files: group,
          bytes: bytesOf(group),
          sorted,
          maxMemoryBytes: limits.maxMemoryBytes ?? Number.POSITIVE_INFINITY,
        })
  }
  return { groups, leftAlone, targetFileBytes: target }
}

const bytesOf = (files: readonly ScanFile[]): number => files.reduce((sum, { file }) => sum + file.sizeBytes, 0)

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
 * A partition by time is cold as a whole, once nothing came for a while; elsewhere nothing ever ends, and what is cold is the
 * file.
 */
function coldFiles(
  metadata: TableMetadata,
  files: readonly ScanFile[],
  isCold: (file: ScanFile) => boolean,
): readonly ScanFile[] {
  if (isByTime(specById(metadata, files[0].file.specId))) return files.every(isCold) ? files : []
  return files.filter(isCold)
}

/** As they came: what was written together lies together. */
function inOrder(a: ScanFile, b: ScanFile): number {
  if (a.sequenceNumber !== b.sequenceNumber) return a.sequenceNumber < b.sequenceNumber ? -1 : 1
  return a.file.filePath < b.file.filePath ? -1 : a.file.filePath > b.file.filePath ? 1 : 0
}

const fits = (file: DataFile, columns: number, { maxGroupBytes, maxGroupValues }: CompactionLimits): boolean =>
  file.sizeBytes <= maxGroupBytes && file.recordCount * columns <= maxGroupValues

/**
 * A file that is far too large. None that a compaction wrote: it is so for its rows, and would come out like that again and
 * again.
 */
const isToSplit = ({ sizeBytes, recordCount, filePath }: DataFile, large: number): boolean =>
  sizeBytes > large && recordCount > 1 && parseCompactFileName(filePath) === undefined

/**
 * The files of a partition that are rewritten together: where one is to be split, or fewer come of them. What is written has
 * one small file at most, so that every group leaves fewer to split, or else fewer small ones, than it took: plan after plan
 * comes to an end.
 */
function groupsOf(
  files: readonly ScanFile[],
  columns: number,
  policy: CompactPolicy,
  limits: CompactionLimits,
  { target, large }: { readonly target: number; readonly large: number },
): readonly (readonly ScanFile[])[] {
  const hasSplit = (group: readonly ScanFile[]) => group.some(({ file }) => isToSplit(file, large))
  const isFewer = (group: readonly ScanFile[]) => Math.max(1, Math.ceil(bytesOf(group) / target)) < group.length
  const { alone, closed, last } = pack(files, columns, limits)
  const rest = hasSplit(last) ? last : worthwhile(last)
  const isEnough = rest.length >= policy.minInputFiles || bytesOf(rest) > target
  const full = isEnough ? [...closed, rest] : closed
  return [...alone.map((one) => [one]), ...full].filter((group) => hasSplit(group) || isFewer(group))
}

/**
 * One group after the other, each as full as the limits let it be, but the last. What takes more than half of a group is alone:
 * it is about as large as memory lets it be, and what a full group becomes is that, so its bytes are not rewritten again.
 */
function pack(
  files: readonly ScanFile[],
  columns: number,
  { maxGroupBytes, maxGroupValues }: CompactionLimits,
): {
  readonly alone: readonly ScanFile[]
  readonly closed: readonly (readonly ScanFile[])[]
  readonly last: readonly ScanFile[]
} {
  const alone: ScanFile[] = []
  const closed: ScanFile[][] = []
  let last: ScanFile[] = []
  let bytes = 0
  let values = 0
  for (const one of [...files].sort(inOrder)) {
    const { sizeBytes } = one.file
    const fileValues = one.file.recordCount * columns
    if (sizeBytes > maxGroupBytes / 2 || fileValues > maxGroupValues / 2) {
      alone.push(one)
      continue
    }
    if (bytes + sizeBytes > maxGroupBytes || values + fileValues > maxGroupValues) {
      closed.push(last)
      last = []
      bytes = 0
      values = 0
    }
    last.push(one)
    bytes += sizeBytes
    values += fileValues
  }
  return { alone, closed, last }
}

/**
 * Without the largest while it is more than twice as large as all others together: a file is then rewritten only into one at
 * least half as large again, so that each byte is rewritten a logarithmic number of times however small the files are that keep
 * coming.
 */
function worthwhile(files: readonly ScanFile[]): readonly ScanFile[] {
  const ascending = [...files].sort((a, b) => a.file.sizeBytes - b.file.sizeBytes || inOrder(a, b))
  let others = bytesOf(ascending)
  let end = ascending.length
  for (; end > 1; end--) {
    const { sizeBytes } = ascending[end - 1].file
    others -= sizeBytes
    if (sizeBytes <= 2 * others) break
  }
  return ascending.slice(0, end).sort(inOrder)
}

/** Whether a delete file may hold a delete of a row of a data file (spec, "Scan Planning"). */
export function concerns(metadata: TableMetadata, deletes: ScanFile, data: Pick<ScanFile, 'file' | 'sequenceNumber'>): boolean {
  const { file, sequenceNumber } = deletes
  const equality = file.content === CONTENT_EQUALITY_DELETES
  if (equality ? sequenceNumber <= data.sequenceNumber : sequenceNumber < data.sequenceNumber) return false
  if (file.referencedDataFile !== undefined) return file.referencedDataFile === data.file.filePath
  if (equality && specById(metadata, file.specId).fields.every(({ transform }) => transform === 'void')) return true
  return partitionOf(file) === partitionOf(data.file)
}
