import { describe, expect, it } from 'vitest'
import { decideAdvance } from '../../lib/protocol/advance.ts'
import { segmentPairs, segmentParts } from '../../lib/protocol/segment.ts'
import {
  assertFollows,
  decideAppend,
  decideStage,
  decodeStagingEntry,
  encodeStagingEntry,
  greatestTimestamp,
  type StagingEntry,
} from '../../lib/protocol/staging.ts'

const entry: StagingEntry = {
  v: 1,
  kind: 'records',
  writer: 'w',
  from: 0,
  next: 10,
  watermark: 5000,
  records: 10,
  deadLetters: 0,
  late: 0,
  missing: 0,
  last: { offset: 9, timestamp: 900 },
  maxTimestamp: 950,
  segment: null,
  inline: null,
  slices: [],
}

const delivered = (offsets: number[], timestamps: number[] = offsets.map(() => Number.NaN)) => ({
  count: offsets.length,
  offsets: Float64Array.from(offsets),
  timestamps: Float64Array.from(timestamps),
})

describe('what of a delivery is staged', () => {
  it('takes everything into an empty log and calls nothing missing, whatever the first offset (rule 9)', () => {
    expect(decideStage({ slot: 0, entry: undefined }, delivered([500, 501]))).toEqual({
      verdict: 'Stage',
      slot: 1,
      start: 0,
      from: 500,
      missing: 0,
    })
  })

  it('drops records below next one by one and keeps the rest (rule 5)', () => {
    expect(decideStage({ slot: 3, entry }, delivered([8, 9, 10, 11]))).toEqual({
      verdict: 'Stage',
      slot: 4,
      start: 2,
      from: 10,
      missing: 0,
    })
  })

  it('reports success when every record is below next (rule 5)', () => {
    expect(decideStage({ slot: 3, entry }, delivered([0, 1, 9]))).toEqual({ verdict: 'AlreadyIn' })
  })

  it('counts offsets that no record had, before the batch and inside it (rule 9)', () => {
    expect(decideStage({ slot: 3, entry }, delivered([12, 15]))).toEqual({
      verdict: 'Stage',
      slot: 4,
      start: 0,
      from: 10,
      missing: 4,
    })
  })

  it('refuses a record below next that is newer than any staged: the topic was created again (rule 8)', () => {
    expect(decideStage({ slot: 3, entry }, delivered([0], [951]))).toMatchObject({ verdict: 'Refuse' })
    expect(decideStage({ slot: 3, entry }, delivered([0], [950]))).toEqual({ verdict: 'AlreadyIn' })
  })

  it('refuses the last offset when it comes again with another timestamp (rule 8)', () => {
    expect(decideStage({ slot: 3, entry }, delivered([9], [899]))).toMatchObject({ verdict: 'Refuse' })
    expect(decideStage({ slot: 3, entry }, delivered([9], [900]))).toEqual({ verdict: 'AlreadyIn' })
  })

  it('keeps the greatest timestamp ever staged, which an older batch does not lower (rule 8)', () => {
    expect(greatestTimestamp(950, delivered([10, 11], [940, Number.NaN]), 0)).toBe(950)
    expect(greatestTimestamp(950, delivered([10, 11], [2000, 960]), 1)).toBe(960)
    expect(greatestTimestamp(null, delivered([10]), 0)).toBeNull()
  })
})

describe('what a put came to', () => {
  it('counts only when the slot lies above the floor read afterwards (rule 2)', () => {
    expect(decideAppend({ won: true }, 'mine', 4, 3).verdict).toBe('Appended')
    expect(decideAppend({ won: true }, 'mine', 4, 4).verdict).toBe('Reload')
  })

  it('knows its own earlier put, whose answer was lost, from another writer’s (rule 4)', () => {
    expect(decideAppend({ won: false, existing: 'mine' }, 'mine', 4, 0).verdict).toBe('Appended')
    expect(decideAppend({ won: false, existing: 'theirs' }, 'mine', 4, 0).verdict).toBe('Reload')
  })
})

describe('reading a staging log', () => {
  it('halts when an entry does not begin where the one before ended (rules 1, 28)', () => {
    expect(() => assertFollows('trades-0', 10, null, { ...entry, from: 11, next: 12 })).toThrow(
      /expected an entry from offset 10, found one from 11/,
    )
    expect(() => assertFollows('trades-0', null, null, entry)).not.toThrow()
  })

  it('halts when a watermark falls (rule 28)', () => {
    expect(() => assertFollows('trades-0', 0, 5001, entry)).toThrow(/watermark of at least 5001/)
    expect(() => assertFollows('trades-0', 0, 5001, { ...entry, watermark: null })).toThrow(/watermark/)
  })

  it('reads back what it wrote, and refuses a version it does not know', () => {
    expect(decodeStagingEntry(encodeStagingEntry(entry))).toEqual(entry)
    expect(() => decodeStagingEntry(JSON.stringify({ ...entry, v: 2 }))).toThrow(/version 1, found 2/)
  })

  it('refuses to write an entry above 4 KB, which every tail read would pay for (rule 27)', () => {
    expect(() => encodeStagingEntry({ ...entry, inline: 'x'.repeat(4096) })).toThrow(/at most 4096 bytes/)
  })
})

describe('advancing an idle partition', () => {
  it('has nothing to do when the watermark is there already', () => {
    expect(decideAdvance({ slot: 3, entry }, 'w2', 5000)).toEqual({ verdict: 'AlreadyIn' })
  })

  it('takes the slot after the tail it read, keeps next, and covers no offsets (rule 24)', () => {
    const verdict = decideAdvance({ slot: 3, entry }, 'w2', 6000)
    expect(verdict).toMatchObject({ verdict: 'Prove', from: 10, slot: 4 })
    if (verdict.verdict !== 'Prove') throw new Error('unreachable')
    expect(verdict.entry).toMatchObject({
      kind: 'advance',
      from: 10,
      next: 10,
      watermark: 6000,
      records: 0,
      last: entry.last,
      maxTimestamp: 950,
    })
    expect(() => assertFollows('trades-0', 10, 5000, verdict.entry)).not.toThrow()
  })

  it('leaves next unknown in a partition that never had a record, so that its first one is no gap (rule 9)', () => {
    const verdict = decideAdvance({ slot: 0, entry: undefined }, 'w2', 6000)
    if (verdict.verdict !== 'Prove') throw new Error('unreachable')
    expect(verdict.entry.next).toBeNull()
    expect(decideStage({ slot: 1, entry: verdict.entry }, delivered([500]))).toMatchObject({ from: 500, missing: 0 })
  })
})

describe('a segment', () => {
  it('names every log and slot it was written for (rule 6)', () => {
    const pairs = [
      { log: 'staging/a', slot: 4 },
      { log: 'staging/b', slot: 9 },
    ]
    expect(segmentPairs(Buffer.concat(segmentParts([Buffer.from('slice')], pairs)))).toEqual(pairs)
    expect(() => segmentPairs(Buffer.from('not a segment'))).toThrow(/expected its footer/)
  })
})
