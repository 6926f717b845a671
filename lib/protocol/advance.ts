import type { StagingEntry, StagingTail } from './staging.ts'

export type AdvanceVerdict =
  /** The watermark is there already. */
  | { readonly verdict: 'AlreadyIn' }
  /** Put this entry, if the broker proves that nothing is unread from `from` on (protocol rule 24). */
  | { readonly verdict: 'Prove'; readonly from: number; readonly slot: number; readonly entry: StagingEntry }

/**
 * Raises the watermark of a partition that has nothing unread, by an entry in its own staging log: a batch in flight takes
 * the slot and the advance loses. The tail must be read BEFORE the broker is asked.
 */
export function decideAdvance(tail: StagingTail, writer: string, toMs: number): AdvanceVerdict {
  const { entry } = tail
  if (entry?.watermark !== null && entry?.watermark !== undefined && entry.watermark >= toMs) return { verdict: 'AlreadyIn' }
  const next = entry?.next ?? null
  return {
    verdict: 'Prove',
    from: next ?? 0,
    slot: tail.slot + 1,
    entry: {
      v: 1,
      kind: 'advance',
      writer,
      from: next,
      next,
      watermark: toMs,
      records: 0,
      deadLetters: 0,
      late: 0,
      missing: 0,
      last: entry?.last ?? null,
      maxTimestamp: entry?.maxTimestamp ?? null,
      segment: null,
      inline: null,
      slices: [],
    },
  }
}
