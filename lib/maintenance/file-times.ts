import type { ScanFile } from '../iceberg/snapshot.ts'
import type { PartitionSpec, TableMetadata } from '../iceberg/types.ts'

/**
 * When the rows of a file came, milliseconds, by its data sequence number: a rewrite keeps that, so it makes nothing younger.
 * Of a snapshot that has expired the time is not known: then that of the first one kept after it, which errs on the young side.
 */
export function fileTimes(metadata: TableMetadata): (file: ScanFile) => number {
  const kept = metadata.snapshots
    .map((snapshot) => ({ number: snapshot['sequence-number'], ms: snapshot['timestamp-ms'] }))
    .sort((a, b) => (a.number < b.number ? -1 : a.number > b.number ? 1 : 0))
  return ({ sequenceNumber }) => {
    let [low, high] = [0, kept.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (kept[middle].number < sequenceNumber) low = middle + 1
      else high = middle
    }
    return kept[low]?.ms ?? metadata['last-updated-ms']
  }
}

/** Whether a spec partitions by time, so that its partitions are done at some point and then get no more files. */
export const isByTime = (spec: PartitionSpec | undefined): boolean =>
  spec?.fields.some(({ transform }) => isTimeTransform(transform)) ?? false

/** Spec, "Partition Transforms". */
export const isTimeTransform = (transform: string): boolean => ['year', 'month', 'day', 'hour'].includes(transform)
