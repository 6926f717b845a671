import type { Checkpoint } from './checkpoint.ts'
import { stagingLogKey } from './names.ts'
import type { SegmentPair } from './segment.ts'

/**
 * What may be deleted, decided from the checkpoint log (protocol rules 6, 7, 13). Each proof below says that nothing names an
 * object now and nothing ever will, by what never goes back: slots are written once, checkpoints follow each other slot by slot
 * and each starts from the one before it, what is consumed stays consumed, names hold a UUID and are never taken again. So a
 * proof holds for good, from whichever checkpoint it was made and however late the delete lands; age adds nothing to it.
 *
 * Readers that are behind may still come for such an object. They find it missing, look at the log, and start over (20).
 */
export type CleaningVerdict =
  | { readonly verdict: 'Dead' }
  /** `needed`, or not proved otherwise; `unknown`: of a log that this checkpoint does not know. */
  | { readonly verdict: 'Keep'; readonly why: 'needed' | 'unknown' }

const DEAD: CleaningVerdict = { verdict: 'Dead' }
const NEEDED: CleaningVerdict = { verdict: 'Keep', why: 'needed' }
const UNKNOWN: CleaningVerdict = { verdict: 'Keep', why: 'unknown' }

/** What a checkpoint says that cleaning goes by. */
export interface Needs {
  /** Its slot: every slot up to it is taken or trimmed. */
  readonly n: number
  /** Names below the staging location: its body, and what open state refers to. */
  readonly live: ReadonlySet<string>
  /** The last consumed slot by the key of a staging log; a log of another incarnation, or that nobody opened, is missing. */
  readonly consumed: ReadonlyMap<string, number>
}

/** What `last`, the highest entry of its log, needs. The tail is never trimmed, so no zombie's entry can stand there (2, 3). */
export function needsOf<F>(last: Checkpoint<F>, pipeline: string, incarnation: string): Needs {
  const { n, entry, body, topics, sources } = last
  const refs = Object.values(body?.state ?? {}).flat()
  const live = new Set(refs.map(({ object }) => object))
  if (entry.body !== null) live.add(entry.body.name)
  const consumed = new Map<string, number>()
  for (const [source, partitions] of Object.entries(sources))
    for (const [partition, { slot }] of Object.entries(partitions))
      consumed.set(stagingLogKey(pipeline, source, incarnation, topics[source], Number(partition)), slot)
  return { n, live, consumed }
}

/**
 * A segment, from the (log, slot) pairs that its footer names. Proof, pair by pair: a consumed slot is taken, by our entry, whose
 * rows are then in files and state of the checkpoints up to this one; or by another's, and then our put loses, or lands in the
 * slot after it was trimmed, where nobody reads it and the floor tells its writer (2, 6). No other entry can name the segment:
 * whoever loses a slot writes another one.
 */
export function decideSegment(name: string, pairs: readonly SegmentPair[], { live, consumed }: Needs): CleaningVerdict {
  if (live.has(name)) return NEEDED
  if (pairs.length === 0 || pairs.some(({ log }) => !consumed.has(log))) return UNKNOWN
  return pairs.every(({ log, slot }) => slot <= (consumed.get(log) ?? 0)) ? DEAD : NEEDED
}

/**
 * A body or a state object, written for checkpoint `n`. Proof, when the log has reached slot `n` and the last checkpoint does not
 * refer to the object: if another entry took slot `n`, nobody refers to what lost it. If ours did, bodies and state pass from
 * each checkpoint to the next, `open` entries among them, and one has dropped it; whoever prepares the next starts from the
 * last. Above the last checkpoint it may belong to a commit in preparation, however old.
 */
export function decideNumbered(n: number, name: string, needs: Needs): CleaningVerdict {
  return n > needs.n || needs.live.has(name) ? NEEDED : DEAD
}

/** Where a table stands: its marker, and what the logs ask of it. */
export interface TableStand {
  /** Its marker, in the metadata that was searched for the file. */
  readonly marker: number
  /** Undefined: the pipeline's logs are not at hand, and little is proved. */
  readonly logs:
    | {
        /** Slot of the last checkpoint. */
        readonly last: number
        /** The last checkpoint with work for the table, as the last body says; 0 when it says nothing of it. */
        readonly need: number
      }
    | undefined
}

/**
 * A data file that a commit wrote for checkpoint `n`, given that no snapshot of the table's metadata names it. The metadata must
 * have the uuid that checkpoints pin and a marker of the logs' incarnation. Logs and metadata may be read in either order.
 *
 * Proof for `n <= marker`: checkpoint `n` is decided, and if it named the file for this table, it was applied, since a table
 * passes its needs one by one. The file was in the table and has been removed; it is added only while the marker is below `n`,
 * and markers never fall. Proof for `need <= marker < n <= last`: slot `n` is taken. A body there with work for the table would
 * have made its need `n`; the need is lower, so what stands there is no body, or one that does not name the file. Everything
 * else may be added yet: also at or below the checkpoint log's floor, since an `open` entry carries forward a body that is not
 * applied.
 */
export function decideDataFile(n: number, { marker, logs }: TableStand): CleaningVerdict {
  if (n <= marker) return DEAD
  if (logs === undefined) return UNKNOWN
  return n <= logs.last && logs.need <= marker ? DEAD : NEEDED
}
