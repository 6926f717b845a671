import type { Coverage } from './audit-coverage.ts'

/** Rows that retention dropped from a table of rows and its dead letters: each of them is one offset of the source. */
export interface Dropped {
  /** Fewer than `most` where the dead letters are those of other sources, too. */
  readonly least: number
  readonly most: number
}

/** What the rows that retention dropped say of the offsets that are missing, over all partitions together. */
export interface Explained {
  /** Offsets missing beyond recorded gaps and what was never staged for the table. */
  readonly missing: number
  readonly verdict: /** Nothing is missing, and nothing was dropped. */
    | 'none'
    /** As many are missing as were dropped. */
    | 'dropped'
    /** What else is missing may be from before the table was made, or nothing tells of all partitions. */
    | 'unclear'
    /** More are missing than were dropped. */
    | 'lost'
    /** Fewer are missing than were dropped: some came back, or were never there. */
    | 'back'
}

/**
 * Retention counts each row once and by table, so it can explain each offset once, whichever partition it is of.
 *
 * @param complete every partition's first offset and gaps are known, and neither table is ahead of the checkpoint
 */
export function explainedBy(coverages: readonly Coverage[], dropped: Dropped, complete: boolean): Explained {
  const before = coverages.reduce((sum, coverage) => sum + coverage.before, 0)
  const missing = coverages.reduce((sum, { excess }) => sum + Math.max(0, excess), before)
  const verdict = (): Explained['verdict'] => {
    if (dropped.most === 0 && missing === before) return before === 0 ? 'none' : 'unclear'
    // Dropped rows may lie anywhere, so that any of the missing may be from before the table.
    if (missing > dropped.most + before) return 'lost'
    if (missing > dropped.most || !complete) return 'unclear'
    if (missing < dropped.least) return 'back'
    return missing === 0 ? 'none' : 'dropped'
  }
  return { missing, verdict: verdict() }
}
