import type { LoggedEntry, PartitionLog } from './audit-logs.ts'

/** What a table of rows and a table of dead letters hold of one partition. */
export interface PartitionCount {
  readonly rows: number
  readonly deadLetters: number
  /** Least offset among the rows, among both, and the greatest; null where there is none. */
  readonly leastRow: number | null
  readonly least: number | null
  readonly greatest: number | null
}

/** Offsets [from, next) that ought to be there. */
export interface Asked {
  readonly partition: number
  readonly from: number
  readonly next: number
  /** Below it no row is: with a trimmed log nobody can tell whether the table was there already. */
  readonly head: number
}

/**
 * The offsets of a partition that a table of rows and the dead letters must hold together. Undefined: none. What the logs do not
 * tell is taken from the rows.
 *
 * @param tableNext what the table's own marker says
 */
export function askedOf(
  partition: number,
  log: PartitionLog | undefined,
  count: PartitionCount | undefined,
  tableNext: number | null,
): Asked | undefined {
  const greatest = count?.greatest ?? null
  const next = log === undefined ? (tableNext ?? (greatest === null ? null : greatest + 1)) : log.next
  const from = log?.first ?? count?.least ?? next
  if (next === null || from === null || from >= next) return undefined
  const head = log?.whole === true ? from : Math.min(count?.leastRow ?? next, next)
  return { partition, from, next, head: Math.max(head, from) }
}

export type Verdict =
  /** Every offset is there once, or a recorded gap. */
  | 'proved'
  /** Nothing is known to be wrong, but what would prove it is gone. */
  | 'unproved'
  | 'finding'

export interface Coverage {
  /** Offsets of the range that have no row. */
  readonly missing: number
  /** Recorded gaps among them; null: nothing tells. */
  readonly gaps: number | null
  /** Records that were staged without a row for this table: it was not in the pipeline yet. */
  readonly unstaged: number
  /** Offsets below the first row that may be from before the table was made. */
  readonly before: number
  /** Missing beyond what is accounted for; below 0: more are there than the logs account for. */
  readonly excess: number
  readonly verdict: Verdict
}

/** Judges one partition of one table by counts alone. */
export function coverageOf(
  table: string,
  log: PartitionLog | undefined,
  asked: Asked,
  found: { readonly offsets: number; readonly headOffsets: number },
): Coverage {
  const missing = asked.next - asked.from - found.offsets
  const gaps = log?.gaps ?? null
  const unstaged = log?.whole === true ? sum(log.entries, (entry) => unstagedIn(entry, table)) : 0
  // What nobody tells the beginning of may have lost its beginning.
  const complete = (log?.first ?? null) === null ? 'unproved' : 'proved'
  if (gaps === null) return { missing, gaps, unstaged, before: 0, excess: 0, verdict: missing === 0 ? complete : 'unproved' }
  const over = missing - gaps - unstaged
  const headMissing = log?.whole === true ? 0 : asked.head - asked.from - found.headOffsets
  const before = Math.max(0, Math.min(over, headMissing))
  const excess = over - before
  // Where nothing tells the first offset, fewer may be asked for than the gaps were counted in.
  if (excess < 0 && complete === 'unproved') return { missing, gaps, unstaged, before, excess: 0, verdict: 'unproved' }
  return { missing, gaps, unstaged, before, excess, verdict: excess !== 0 ? 'finding' : before > 0 ? 'unproved' : complete }
}

/** Accepted records of an entry that had no row for a table which takes them all. */
const unstagedIn = ({ accepted, rows }: LoggedEntry, table: string): number =>
  accepted > 0 && !Object.hasOwn(rows, table) ? accepted : 0

/** How many offsets of an entry a table and the dead letters must hold together. */
export const offsetsOf = (entry: LoggedEntry, table: string): number =>
  entry.accepted + entry.deadLetters - unstagedIn(entry, table)

/** Rows that the logs say were staged for a table; undefined when they do not tell of all. */
export function stagedRows(partitions: readonly PartitionLog[], table: string): number | undefined {
  if (!partitions.every(({ whole }) => whole)) return undefined
  return sum(partitions, ({ entries }) => sum(entries, ({ rows }) => rows[table] ?? 0))
}

const sum = <T>(items: readonly T[], of: (item: T) => number): number => items.reduce((total, item) => total + of(item), 0)
