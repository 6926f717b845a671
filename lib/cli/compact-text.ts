import type { CompactionPreview } from '../maintenance/compact.ts'
import type { AppliedCompaction } from './compact.ts'
import { shownBytes, shownCount } from './format.ts'
import { tableWidth } from './output.ts'
import { type Cell, renderTable, styled } from './table.ts'

interface PartitionWork {
  readonly partition: string
  files: number
  /** Roughly: files shrink as they are merged. */
  about: number
  bytes: number
  readonly sorted: boolean
}

/** What a compaction would do, a line for each partition; empty where it would do nothing. */
export function previewText({ groups, leftAlone, targetFileBytes }: CompactionPreview): string {
  const partitions = new Map<string, PartitionWork>()
  for (const { partition, files, bytes, sorted } of groups) {
    const one = partitions.get(partition) ?? { partition, files: 0, about: 0, bytes: 0, sorted }
    one.files += files
    one.bytes += bytes
    one.about += Math.max(1, Math.ceil(bytes / targetFileBytes))
    partitions.set(partition, one)
  }
  const rows: Cell[][] = [
    ...[...partitions.values()].map(({ partition, files, about, bytes, sorted }) => [
      partition || '-',
      shownCount(files),
      shownBytes(bytes),
      shownCount(about),
      sorted ? 'sorted' : 'packed',
    ]),
    ...leftAlone.map(({ partition, files, why }) => [partition || '-', shownCount(files), '-', '-', `left alone: ${why}`]),
  ]
  const columns = [
    { name: 'partition', right: false, whole: true },
    { name: 'files', right: true },
    { name: 'size', right: true },
    { name: 'become about', right: true },
    { name: 'how', right: false, whole: true },
  ]
  return rows.length === 0 ? '' : styled(renderTable(columns, rows, tableWidth()), process.stdout)
}

/** What a compaction did, and what it left as it is. */
export function compactedText({ manifests, leftAlone }: CompactionPreview, done: AppliedCompaction): string {
  const figures = [
    { name: '', right: false, whole: true },
    { name: 'before', right: true },
    { name: 'after', right: true },
  ]
  const summary = renderTable(figures, [
    ['files', shownCount(done.filesBefore), shownCount(done.filesAfter)],
    ['size', shownBytes(done.bytesBefore), shownBytes(done.bytesAfter)],
    ['manifests', shownCount(manifests), shownCount(done.manifestsAfter)],
  ])
  const stayed = [
    ...done.gaveUp.map(({ partition, files, why, unreadable }) => [
      partition || '-',
      shownCount(files),
      `gave up: ${unreadable ? 'a file cannot be read' : why}`,
    ]),
    ...leftAlone.map(({ partition, files, why }) => [partition || '-', shownCount(files), `left alone: ${why}`]),
  ]
  const columns = [
    { name: 'partition', right: false, whole: true },
    { name: 'files', right: true },
    { name: 'stay as they are', right: false },
  ]
  const rest = stayed.length === 0 ? '' : `\n${styled(renderTable(columns, stayed, tableWidth()), process.stdout)}`
  return styled(summary, process.stdout) + rest
}
