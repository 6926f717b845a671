import { invalidPipeline } from '../errors.ts'
import { checkOptions, shown } from './check.ts'
import { type Duration, durationMs } from './durations.ts'
import {
  type CompactPolicy,
  DEFAULT_MAINTENANCE,
  type ExpirePolicy,
  type MaintenancePlan,
  type OrphanPolicy,
  type RetentionPolicy,
} from './maintenance.ts'
import type { PartitionField, TablePlan } from './plan.ts'

/** How a table is kept well. False turns a part of it off. */
export interface MaintenanceOptions {
  /** Rewrites small files into large ones. */
  readonly compact?: false | CompactOptions
  /** Expires old snapshots, and deletes the files that only they name. */
  readonly snapshots?: false | SnapshotOptions
  /** Deletes files in the table's location that no snapshot names. */
  readonly orphans?: false | OrphanOptions
  /** Drops old rows, whole partitions at a time: the table must be partitioned by a time. @default rows stay */
  readonly rows?: RowOptions
}

export interface CompactOptions {
  /** @default 'sort' in a table with sortBy, else 'binpack': rows as they come */
  readonly strategy?: 'binpack' | 'sort'
  /** Bytes, at least 1 MB. @default the table's `write.target-file-size-bytes`, else 512 MB */
  readonly targetFileSize?: number
  /** Fewer files than this stay as they are, unless they fill a whole file. @default 5 */
  readonly minInputFiles?: number
  /**
   * A partition by time is compacted once it got no file for this long; elsewhere a file, once it is this old. @default
   * hours(1)
   */
  readonly after?: Duration
  /** Compacts everything, whatever `after` says. @default false */
  readonly hot?: boolean
}

export interface SnapshotOptions {
  /** How far back the table can be read; at least a minute. @default days(7) */
  readonly keep?: Duration
  /** So many of the newest stay, however old. @default 10 */
  readonly retainLast?: number
  /** Of snapshots older than this only the last of each hour stays; at most `keep`. False: all. @default days(1) */
  readonly thinAfter?: Duration | false
}

export interface OrphanOptions {
  /** At least an hour: younger files may belong to a commit under way. @default days(3) */
  readonly olderThan?: Duration
  /** How long a file stands on a list before it is deleted. @default days(1) */
  readonly quarantine?: Duration
}

export interface RowOptions {
  /** Partitions that ended longer ago are dropped; at least an hour. */
  readonly keep: Duration
}

type Unchecked<T> = { readonly [K in keyof T]?: unknown }

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const MB = 1_048_576

/** Iceberg reads counts as Java's int. */
const MAX_INT = 2 ** 31 - 1

const TIME_UNITS: readonly PartitionField['transform']['kind'][] = ['year', 'month', 'day', 'hour']

/** The maintenance of a table of this layout, with defaults where `options` are silent. Throws `InvalidPipeline`. */
export function maintenanceOf(
  table: string,
  { partitionBy, sortBy }: Pick<TablePlan, 'partitionBy' | 'sortBy'>,
  options: unknown,
): MaintenancePlan {
  const { compact, snapshots, orphans, rows } = known<MaintenanceOptions>(`maintain table ${table}`, options, [
    'compact',
    'snapshots',
    'orphans',
    'rows',
  ])
  return {
    compact: compact === false ? undefined : compactPolicy(`compact table ${table}`, compact, sortBy.length > 0),
    expire: snapshots === false ? undefined : expirePolicy(`expire snapshots of table ${table}`, snapshots),
    orphans: orphans === false ? undefined : orphanPolicy(`delete orphans of table ${table}`, orphans),
    retention: rows === undefined ? undefined : retentionPolicy(`drop old rows of table ${table}`, rows, partitionBy),
  }
}

function compactPolicy(what: string, options: unknown, sorted: boolean): CompactPolicy {
  const names = ['strategy', 'targetFileSize', 'minInputFiles', 'after', 'hot'] as const
  const { strategy, targetFileSize, minInputFiles, after, hot } = known<CompactOptions>(what, options, names)
  const defaults = DEFAULT_MAINTENANCE.compact
  if (strategy !== undefined && strategy !== 'binpack' && strategy !== 'sort')
    throw invalidPipeline(`Cannot ${what}: expected strategy to be binpack or sort, found ${shown(strategy)}.`)
  if (strategy === 'sort' && !sorted)
    throw invalidPipeline(
      `Cannot ${what} by sorting: expected a table with an order, found none. Give it one by sortBy, or leave the strategy out.`,
    )
  if (hot !== undefined && typeof hot !== 'boolean')
    throw invalidPipeline(`Cannot ${what}: expected hot to be true or false, found ${shown(hot)}.`)
  return {
    strategy: strategy ?? defaults.strategy,
    targetFileBytes: whole(`${what} with targetFileSize`, 'bytes', targetFileSize, MB, Number.MAX_SAFE_INTEGER),
    minInputFiles: whole(`${what} with minInputFiles`, 'files', minInputFiles, 2, MAX_INT) ?? defaults.minInputFiles,
    coldAfterMs: duration(`${what} with after`, after, 0) ?? defaults.coldAfterMs,
    hot: hot ?? defaults.hot,
  }
}

function expirePolicy(what: string, options: unknown): ExpirePolicy {
  const { keep, retainLast, thinAfter } = known<SnapshotOptions>(what, options, ['keep', 'retainLast', 'thinAfter'])
  const defaults = DEFAULT_MAINTENANCE.expire
  const keepMs = duration(`${what} with keep`, keep, MINUTE_MS) ?? defaults.keepMs
  const thinMs = thinAfter === false ? undefined : duration(`${what} with thinAfter`, thinAfter, 0)
  if (thinMs !== undefined && thinMs > keepMs)
    throw invalidPipeline(
      `Cannot ${what}: expected thinAfter to be at most keep, ${keepMs} ms, found ${thinMs} ms. Keep them for longer, or write thinAfter: false.`,
    )
  return {
    keepMs,
    retainLast: whole(`${what} with retainLast`, 'snapshots', retainLast, 1, MAX_INT) ?? defaults.retainLast,
    // The default meets a shorter `keep`: nothing is left to thin.
    thinAfterMs: thinAfter === false ? undefined : (thinMs ?? Math.min(defaults.thinAfterMs, keepMs)),
  }
}

function orphanPolicy(what: string, options: unknown): OrphanPolicy {
  const { olderThan, quarantine } = known<OrphanOptions>(what, options, ['olderThan', 'quarantine'])
  const defaults = DEFAULT_MAINTENANCE.orphans
  return {
    olderThanMs: duration(`${what} with olderThan`, olderThan, HOUR_MS) ?? defaults.olderThanMs,
    quarantineMs: duration(`${what} with quarantine`, quarantine, 0) ?? defaults.quarantineMs,
  }
}

function retentionPolicy(what: string, options: unknown, partitionBy: readonly PartitionField[]): RetentionPolicy {
  const { keep } = known<RowOptions>(what, options, ['keep'])
  const keepMs = durationMs(`${what} with keep`, keep, HOUR_MS)
  const [time, other] = partitionBy.filter(({ transform }) => TIME_UNITS.includes(transform.kind))
  if (time === undefined)
    throw invalidPipeline(
      `Cannot ${what}: expected partitions by year, month, day or hour, found none, and only whole partitions are dropped. Partition it, as by partitionBy: ['day(event_time)'].`,
    )
  if (other !== undefined)
    throw invalidPipeline(
      `Cannot ${what}: expected partitions by the time of one column, found ${time.column} and ${other.column}. Partition by the one that rows grow old by.`,
    )
  return { keepMs, column: time.column }
}

/** Options of these names; none at all when there are no options. */
function known<T>(what: string, options: unknown, names: readonly (keyof T & string)[]): Unchecked<T> {
  if (options === undefined) return {}
  checkOptions(what, options, names)
  return options as Unchecked<T>
}

function duration(what: string, value: unknown, leastMs: number): number | undefined {
  return value === undefined ? undefined : durationMs(what, value, leastMs)
}

function whole(what: string, unit: string, value: unknown, least: number, most: number): number | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most)
    throw invalidPipeline(`Cannot ${what}: expected a whole number of ${unit} from ${least} to ${most}, found ${shown(value)}.`)
  return value
}
