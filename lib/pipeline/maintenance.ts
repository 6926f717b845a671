/**
 * How a table is kept well: plain data, resolved from what a definition says. Times are milliseconds, sizes bytes.
 */
export interface MaintenancePlan {
  /** Undefined: its files are never rewritten. */
  readonly compact: CompactPolicy | undefined
  /** Undefined: its snapshots are kept for ever. */
  readonly expire: ExpirePolicy | undefined
  /** Undefined: what no snapshot names is left where it lies. */
  readonly orphans: OrphanPolicy | undefined
  /** Undefined: rows are kept for ever. */
  readonly retention: RetentionPolicy | undefined
}

/** Names and defaults are those of Iceberg's `rewrite_data_files`, where it has them. */
export interface CompactPolicy {
  /** `auto`: sorted where the table has a sort order, else packed as files come. */
  readonly strategy: 'auto' | 'binpack' | 'sort'
  /** Undefined: what the table's `write.target-file-size-bytes` says, else 512 MB. */
  readonly targetFileBytes: number | undefined
  /** Fewer files than this are not worth rewriting, unless they make a whole target file. */
  readonly minInputFiles: number
  /** A partition by time is cold once it got no file for this long; elsewhere a file is, once it is this old. */
  readonly coldAfterMs: number
  /** Rewrites what is not cold, too. */
  readonly hot: boolean
}

export interface ExpirePolicy {
  /** Snapshots older than this go. */
  readonly keepMs: number
  /** So many of the newest stay, however old. */
  readonly retainLast: number
  /** Of those older than this only the last of each hour stays; undefined: all stay. */
  readonly thinAfterMs: number | undefined
}

export interface OrphanPolicy {
  /** Younger files may belong to a commit under way. */
  readonly olderThanMs: number
  /** How long a file is on the list before it is deleted. */
  readonly quarantineMs: number
}

export interface RetentionPolicy {
  /** Partitions that ended longer ago than this are dropped. */
  readonly keepMs: number
  /** The one column that the table is partitioned by in time. */
  readonly column: string
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** What a table gets that says nothing. */
export const DEFAULT_MAINTENANCE = {
  compact: { strategy: 'auto', targetFileBytes: undefined, minInputFiles: 5, coldAfterMs: HOUR_MS, hot: false },
  expire: { keepMs: 7 * DAY_MS, retainLast: 10, thinAfterMs: DAY_MS },
  orphans: { olderThanMs: 3 * DAY_MS, quarantineMs: DAY_MS },
  retention: undefined,
} satisfies MaintenancePlan

/** Of a table whose policy is not known: nothing is done to it. */
export const NO_MAINTENANCE: MaintenancePlan = {
  compact: undefined,
  expire: undefined,
  orphans: undefined,
  retention: undefined,
}
