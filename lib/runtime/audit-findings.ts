/** What an audit says of a pipeline that is not as the protocol leaves it. */
export type FindingKind =
  /** Logs or a checkpoint's body that are gone, or do not follow on each other. */
  | 'logs'
  /** A table that stands where the logs cannot have left it (protocol rule 15). */
  | 'marker'
  /** A marker, watermark or offset that fell (protocol rule 28). */
  | 'regression'
  /** A snapshot of another writer that changed rows. */
  | 'foreign'
  /** Offsets, or rows, that ought to be in a table and are not. */
  | 'missing'
  /** More offsets or rows than the logs account for. */
  | 'surplus'
  /** An offset, or a late row, that is there more than once. */
  | 'overlap'
  /** Offsets that no log has come to yet, or of partitions that no log knows. */
  | 'beyond'
  /** A result that is there twice, or of a window that is still open. */
  | 'windows'
  /** Files that are gone or cannot be read. */
  | 'unreadable'

/** Offsets [first, next). */
export type OffsetRun = readonly [first: number, next: number]

export interface Finding {
  readonly kind: FindingKind
  /** `namespace.table`; null when it is not of one table. */
  readonly table: string | null
  /** `trades-0`; null when it is not of one partition. */
  readonly partition: string | null
  /** A sentence for people. */
  readonly message: string
  /** The first `SHOWN_RUNS` runs of the offsets it is about. */
  readonly offsets?: readonly OffsetRun[]
  /** How many runs there are besides. */
  readonly moreRuns?: number
  /** Data files that it was found in. */
  readonly files?: readonly string[]
}

/** Runs of offsets that a finding names; how many more there are is counted. */
export const SHOWN_RUNS = 20

/** `[100, 120), [300, 301) and 4 more runs` */
export function runsText(runs: readonly OffsetRun[], more = 0): string {
  const shown = runs.map(([first, next]) => `[${first}, ${next})`).join(', ')
  return more === 0 ? shown : `${shown} and ${more} more run${more === 1 ? '' : 's'}`
}
