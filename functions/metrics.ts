import type { CommitSummary } from '../lib/runtime/commit-until.ts'
import type { PartitionReport } from '../lib/runtime/ingest.ts'

/** Where CloudWatch has the metrics, and by what it tells them apart. Names are a contract: docs/reference/metrics.md. */
export const METRIC_NAMESPACE = 'Frazil'
/** Never a partition or a key: each value of a dimension makes every metric once more, and each is paid for. */
export const METRIC_DIMENSIONS = ['pipeline', 'function'] as const

export type MetricUnit = 'Count' | 'Bytes' | 'Milliseconds'

export const INGEST_METRICS = {
  recordsIn: 'Count',
  bytesIn: 'Bytes',
  lateRecords: 'Count',
  deadLetters: 'Count',
  missingOffsets: 'Count',
  bytesStaged: 'Bytes',
  unstagedPartitions: 'Count',
  recordLagMs: 'Milliseconds',
  eventTimeLagMs: 'Milliseconds',
} as const satisfies Record<string, MetricUnit>

export const COMMIT_METRICS = {
  commits: 'Count',
  commitsBehind: 'Count',
  recordsCommitted: 'Count',
  filesCommitted: 'Count',
  bytesCommitted: 'Bytes',
  commitDurationMs: 'Milliseconds',
  commitConflicts: 'Count',
  watermarkLagMs: 'Milliseconds',
  openStateRows: 'Count',
  openStateBytes: 'Bytes',
  tableMetadataBytes: 'Bytes',
} as const satisfies Record<string, MetricUnit>

export const COMPACT_METRICS = {
  filesToCompact: 'Count',
  filesLeftAlone: 'Count',
  tableManifests: 'Count',
  compactedFiles: 'Count',
  compactedBytes: 'Bytes',
  compactionsGivenUp: 'Count',
} as const satisfies Record<string, MetricUnit>

export const EXPIRE_METRICS = {
  expiredSnapshots: 'Count',
  tableSnapshots: 'Count',
  deletedFiles: 'Count',
  droppedRows: 'Count',
} as const satisfies Record<string, MetricUnit>

export const ORPHANS_METRICS = {
  quarantinedFiles: 'Count',
  deletedOrphans: 'Count',
} as const satisfies Record<string, MetricUnit>

export const TRIM_METRICS = {
  trimmedLogEntries: 'Count',
  deletedStagingObjects: 'Count',
  deletedStagingBytes: 'Bytes',
} as const satisfies Record<string, MetricUnit>

/** By the function that sends them: a name is one function's. Provision sends none. */
export const METRICS_BY_FUNCTION = {
  ingest: INGEST_METRICS,
  commit: COMMIT_METRICS,
  compact: COMPACT_METRICS,
  expire: EXPIRE_METRICS,
  orphans: ORPHANS_METRICS,
  trim: TRIM_METRICS,
} as const

export const METRICS = {
  ...INGEST_METRICS,
  ...COMMIT_METRICS,
  ...COMPACT_METRICS,
  ...EXPIRE_METRICS,
  ...ORPHANS_METRICS,
  ...TRIM_METRICS,
}
export type MetricName = keyof typeof METRICS

/** What one call publishes: whole numbers. What does not apply to it is absent, which is not zero. */
export type MetricValues = Readonly<Partial<Record<MetricName, number>>>

/** Of a call that staged, all of it or some. */
export function ingestMetrics(report: PartitionReport, nowMs: number): MetricValues {
  return {
    recordsIn: report.records,
    bytesIn: report.valueBytes,
    lateRecords: report.late,
    deadLetters: report.deadLetters,
    missingOffsets: report.missing,
    bytesStaged: report.bytes,
    unstagedPartitions: report.unstaged.length,
    ...(report.reachedTimestamp !== null && { recordLagMs: nowMs - report.reachedTimestamp }),
    ...(report.reachedTime !== null && { eventTimeLagMs: nowMs - report.reachedTime }),
  }
}

/** Of a call that committed, or of its rounds before it failed. `commits` and `commitsBehind` are for one that returned. */
export function commitMetrics(summary: CommitSummary, nowMs: number): MetricValues {
  return {
    recordsCommitted: summary.records,
    filesCommitted: summary.files,
    bytesCommitted: summary.bytes,
    commitDurationMs: summary.longestMs,
    commitConflicts: summary.conflicts,
    openStateRows: summary.stateRows,
    openStateBytes: summary.stateBytes,
    ...(summary.watermark !== null && { watermarkLagMs: nowMs - summary.watermark }),
    ...(summary.metadataBytes !== null && { tableMetadataBytes: summary.metadataBytes }),
  }
}
