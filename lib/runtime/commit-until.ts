import { commit } from './commit.ts'
import type { Runtime } from './runtime.ts'
import type { OpenState } from './state.ts'

/** What several rounds of commit did. */
export interface CommitSummary extends OpenState {
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
  /** Races lost to other committers: for checkpoints, and for the swaps of tables. */
  readonly conflicts: number
  /** Size of the greatest table metadata file that was swapped to; null when no table was. */
  readonly metadataBytes: number | null
  /** Of the longest round. */
  readonly longestMs: number
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

/** Entries of a round before the pace is known; a round of fewer, if more were allowed, says little of it. */
const FIRST_ENTRIES = 256

/**
 * A loop of commits for a process that is called again and again. Each call commits round after round until nothing is left, or
 * until the time may not suffice for another one. A round cut off by the deadline is harmless, but its work is done again and
 * its files wait for cleaning; so none is begun that might be. The first is begun in any case, or a short deadline would
 * never commit anything.
 *
 * The loop remembers the pace of its rounds, in milliseconds per entry: a round takes no more entries than fit half of the
 * time left, or a store that is slow for a full checkpoint would have every call cut off. A process that is new takes few.
 *
 * @returns a call; it takes how much time is left, at the moment of asking, and tells after each round what was done so far:
 * of a call that fails later that is all there is
 */
export function commitLoop(
  runtime: Runtime,
): (remainingMs: () => number, onRound?: (soFar: CommitSummary) => void) => Promise<CommitSummary> {
  const { clock } = runtime.ports
  let pace: number | undefined

  const affordable = (remainingMs: number): number => {
    // A coarse clock may measure no time at all.
    const entries = pace === undefined ? FIRST_ENTRIES : Math.floor(remainingMs / 2 / Math.max(pace, 0.001))
    return Math.max(1, Math.min(entries, runtime.limits.maxCheckpointEntries))
  }

  return async (remainingMs, onRound = () => {}) => {
    let [entries, records, files, bytes, conflicts, longestMs] = [0, 0, 0, 0, 0, 0]
    let metadataBytes: number | null = null
    for (let rounds = 1; ; rounds++) {
      const maxCheckpointEntries = affordable(remainingMs())
      const startMs = clock.now()
      const report = await commit({ ...runtime, limits: { ...runtime.limits, maxCheckpointEntries } })
      const ms = clock.now() - startMs
      longestMs = Math.max(longestMs, ms)
      // The slowest counts, but is forgotten by and by: one slow minute must not slow a process for good.
      if (report.entries > 0 && report.entries >= Math.min(maxCheckpointEntries, FIRST_ENTRIES))
        pace = Math.max(ms / report.entries, (pace ?? 0) / 2)
      entries += report.entries
      records += report.records
      files += report.files
      bytes += report.fileBytes
      conflicts += report.conflicts
      if (report.metadataBytes !== null) metadataBytes = Math.max(report.metadataBytes, metadataBytes ?? 0)
      const { n: checkpoint, watermark, stateRows, stateBytes, more } = report
      const done = { rounds, checkpoint, entries, records, files, bytes, watermark, conflicts, longestMs }
      const soFar: CommitSummary = { ...done, metadataBytes, stateRows, stateBytes, more }
      onRound(soFar)
      if (!more || remainingMs() < ROUND_FACTOR * longestMs + MARGIN_MS) return soFar
    }
  }
}
