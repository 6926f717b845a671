import { commit } from './commit.ts'
import type { Runtime } from './runtime.ts'

/** What several rounds of commit did. */
export interface CommitSummary {
  readonly rounds: number
  /** The checkpoint in force afterwards. */
  readonly checkpoint: number
  readonly entries: number
  readonly records: number
  readonly files: number
  /** Of data files. */
  readonly bytes: number
  /** Milliseconds; null before any. */
  readonly watermark: number | null
  /** True when staged entries are left: the time was up. */
  readonly more: boolean
}

/**
 * A round may take this many times as long as the longest before it: `maxCheckpointBytes` makes rounds alike, a lost race, a
 * throttled store or a closing window makes one longer, seldom twice as long.
 */
const ROUND_FACTOR = 2
/** And this much is left for what does not grow with a round: the worst of a call's waits, and the answer. */
const MARGIN_MS = 5000

/**
 * Commits round after round until nothing is left, or until the time may not suffice for another one. A round cut off by the
 * deadline is harmless, but its work is done again and its files wait for cleaning; so none is begun that might be. The first
 * is begun in any case, or a short deadline would never commit anything.
 *
 * @param remainingMs how much time is left, at the moment of the call
 */
export async function commitUntil(runtime: Runtime, remainingMs: () => number): Promise<CommitSummary> {
  const { clock } = runtime.ports
  let [entries, records, files, bytes, longestMs] = [0, 0, 0, 0, 0]
  for (let rounds = 1; ; rounds++) {
    const startMs = clock.now()
    const report = await commit(runtime)
    longestMs = Math.max(longestMs, clock.now() - startMs)
    entries += report.entries
    records += report.records
    files += report.files
    bytes += report.fileBytes
    if (report.more && remainingMs() >= ROUND_FACTOR * longestMs + MARGIN_MS) continue
    const { n: checkpoint, watermark, more } = report
    return { rounds, checkpoint, entries, records, files, bytes, watermark, more }
  }
}
