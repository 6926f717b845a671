import { describe, expect, it } from 'vitest'
import {
  assertSucceeds,
  type CheckpointBody,
  type CheckpointEntry,
  closedWatermark,
  decideOpen,
  ranges,
  resolveCheckpoint,
  whyForeign,
} from '../../lib/protocol/checkpoint.ts'
import { decideApply, formatMarker, parseMarker, type SnapshotView, type TableView } from '../../lib/protocol/marker.ts'
import { checkpointTrimFloor, stagingTrimFloor } from '../../lib/protocol/trim.ts'

const body: CheckpointBody<string> = {
  v: 1,
  pipeline: 'trades',
  incarnation: 'i1',
  n: 7,
  watermark: 60_000,
  topics: { trades: 'trades' },
  sources: { trades: { 0: { slot: 3, next: 30, watermark: 61_000 }, 1: { slot: 2, next: 20, watermark: 60_000 } } },
  state: {},
  tables: { raw_trades: { uuid: 'u', need: 7, base: 5 } },
  intents: { raw_trades: [{ kind: 'addFiles', files: ['f'] }] },
}
const entry: CheckpointEntry = { v: 1, kind: 'commit', writer: 'w', body: { name: 'b', digest: 'd', n: 7 }, opened: [] }
const last = resolveCheckpoint(7, entry, body)

describe('partitions that join', () => {
  it('join by an open entry that carries the last checkpoint forward, with the closed watermark as floor (rule 23)', () => {
    const open = decideOpen(last, 'w2', [{ source: 'trades', topic: 'trades', partitions: [0, 1, 2, 3] }])
    expect(open).toEqual({
      v: 1,
      kind: 'open',
      writer: 'w2',
      body: entry.body,
      opened: [{ source: 'trades', topic: 'trades', partitions: [[2, 3]], floor: 60_000 }],
    })
    const next = resolveCheckpoint(8, open as CheckpointEntry, body)
    expect(next.sources.trades[2]).toEqual({ slot: 0, next: null, watermark: 60_000 })
    expect(next.sources.trades[0]).toEqual(body.sources.trades[0])
    expect(next.watermark).toBe(60_000)
  })

  it('bring the topic of their source into the checkpoint, and a definition with another one is foreign', () => {
    const open = decideOpen<string>(undefined, 'w', [{ source: 'views', topic: 'page_views', partitions: [0] }])
    const opened = resolveCheckpoint<string>(1, open as CheckpointEntry, undefined)
    const definition = (sources: Record<string, { topic: string }>) => ({ sources, operators: {} })
    expect(whyForeign(opened, definition({ views: { topic: 'page_views' }, more: { topic: 'other' } }))).toBeUndefined()
    expect(whyForeign(opened, definition({ views: { topic: 'views2' } }))).toMatch(
      /has read topic page_views, found topic views2/,
    )
    expect(whyForeign(last, definition({ views: { topic: 'trades' } }))).toMatch(/source trades .* which this definition lacks/)
  })

  it('open nothing when all of them are in', () => {
    expect(decideOpen(last, 'w2', [{ source: 'trades', topic: 'trades', partitions: [1, 0] }])).toBeUndefined()
  })

  it('count as minus infinity until their first entry when nothing was closed yet (rule 22)', () => {
    const first = decideOpen<string>(undefined, 'w', [{ source: 'trades', topic: 'trades', partitions: [0, 1] }])
    const opened = resolveCheckpoint<string>(1, first as CheckpointEntry, undefined)
    expect(closedWatermark(null, [...Object.values(opened.sources.trades), { slot: 1, next: 1, watermark: 99 }])).toBeNull()
  })

  it('stay small in the entry: numbers become ranges (rule 27)', () => {
    expect(ranges([5, 1, 2, 3, 9, 2])).toEqual([
      [1, 3],
      [5, 5],
      [9, 9],
    ])
  })
})

describe('the closed watermark', () => {
  it('is the least over all partitions (rule 22)', () => {
    expect(
      closedWatermark(null, [
        { slot: 1, next: 1, watermark: 70 },
        { slot: 1, next: 1, watermark: 50 },
      ]),
    ).toBe(50)
  })

  it('never falls, also when a partition joins behind it (rule 23)', () => {
    expect(closedWatermark(60, [{ slot: 0, next: null, watermark: null }])).toBe(60)
  })
})

describe('a checkpoint that follows another', () => {
  const next = { ...body, n: 8 }

  it('may not lower the watermark, go back in a partition, or forget one (rule 28)', () => {
    expect(() => assertSucceeds(last, next)).not.toThrow()
    expect(() => assertSucceeds(last, { ...next, n: 9 })).toThrow(/follow 7/)
    expect(() => assertSucceeds(last, { ...next, watermark: 59_999 })).toThrow(/watermark/)
    expect(() => assertSucceeds(last, { ...next, sources: { trades: { 0: body.sources.trades[0] } } })).toThrow(
      /forgets partition 1/,
    )
    expect(() =>
      assertSucceeds(last, { ...next, sources: { trades: { ...body.sources.trades, 0: { slot: 2, next: 30, watermark: 1 } } } }),
    ).toThrow(/goes back/)
  })
})

describe('what a table needs', () => {
  const marker = (n: number) => ({ incarnation: 'i1', n })
  const table = (change: Partial<TableView>, snapshots: SnapshotView[] = []): TableView => ({
    uuid: 'u',
    marker: marker(5),
    current: 1n,
    snapshot: (id) => snapshots.find((s) => s.id === id),
    ...change,
  })
  const ours = (n: number): SnapshotView[] => [{ id: 1n, parent: undefined, marker: marker(n) }]
  const expected = { uuid: 'u', incarnation: 'i1', need: 7, base: 5, body: 7, last: 7 }

  it('is applied when its marker is below its need, and done when it is there (rules 10, 12)', () => {
    expect(decideApply(table({}, ours(5)), expected).verdict).toBe('Apply')
    expect(decideApply(table({ marker: marker(7) }, ours(7)), expected).verdict).toBe('Done')
  })

  it('is nothing when the checkpoint has no work for it, whatever its marker (rule 12)', () => {
    expect(decideApply(table({}, ours(5)), { ...expected, need: 5 }).verdict).toBe('Done')
    expect(decideApply(table({ marker: marker(0), current: undefined }), { ...expected, need: 0 }).verdict).toBe('Done')
  })

  it('is refused when the table was dropped and created again (rule 15)', () => {
    expect(decideApply(table({ uuid: 'other' }, ours(5)), expected)).toMatchObject({
      verdict: 'Refuse',
      why: expect.stringContaining('created again'),
    })
  })

  it('is refused when the marker is gone or of another incarnation (rule 15)', () => {
    expect(decideApply(table({ marker: undefined }, ours(5)), expected).verdict).toBe('Refuse')
    expect(decideApply(table({ marker: { incarnation: 'i2', n: 5 } }, ours(5)), expected).verdict).toBe('Refuse')
  })

  it('is refused when the marker is ahead of the last checkpoint (rule 28)', () => {
    expect(decideApply(table({ marker: marker(8) }, ours(8)), expected)).toMatchObject({
      verdict: 'Refuse',
      why: expect.stringContaining('ahead'),
    })
  })

  it('is refused when the table was rolled back below its marker (rule 15)', () => {
    expect(decideApply(table({}, ours(4)), expected)).toMatchObject({
      verdict: 'Refuse',
      why: expect.stringContaining('rolled back'),
    })
    expect(decideApply(table({ current: undefined }), expected).verdict).toBe('Refuse')
  })

  it('is refused when it missed a checkpoint that was applied before (rule 15)', () => {
    expect(decideApply(table({}, ours(5)), { ...expected, need: 6 })).toMatchObject({
      verdict: 'Refuse',
      why: expect.stringContaining('below 6'),
    })
  })

  it('is refused when its marker is between its needs, or ahead of its need: table or logs were restored (rules 15, 28)', () => {
    expect(decideApply(table({ marker: marker(4) }, ours(4)), expected)).toMatchObject({
      verdict: 'Refuse',
      why: expect.stringContaining('rolled back'),
    })
    expect(decideApply(table({ marker: marker(6) }, ours(6)), { ...expected, need: 5, base: 3 })).toMatchObject({
      verdict: 'Refuse',
      why: expect.stringContaining('the logs are older'),
    })
    expect(decideApply(table({ marker: marker(1) }, ours(1)), { ...expected, need: 0, base: 0 }).verdict).toBe('Refuse')
  })

  it('looks through foreign snapshots for the newest of ours, and is refused when there is none (rule 15)', () => {
    const foreign: SnapshotView = { id: 2n, parent: 1n, marker: undefined }
    expect(decideApply(table({ current: 2n }, [foreign, ...ours(5)]), expected).verdict).toBe('Apply')
    expect(decideApply(table({ current: 2n }, [{ ...foreign, parent: undefined }]), expected).verdict).toBe('Refuse')
  })

  it('takes a parent that is missing through expiry for no proof of anything (rule 15)', () => {
    expect(decideApply(table({ current: 2n }, [{ id: 2n, parent: 1n, marker: undefined }]), expected).verdict).toBe('Apply')
  })

  it('is told by a marker that reads back as it was written', () => {
    expect(parseMarker(formatMarker({ incarnation: 'a:b', n: 12 }))).toEqual({ incarnation: 'a:b', n: 12 })
    expect(parseMarker('nonsense')).toBeUndefined()
    expect(parseMarker('i:-1')).toBeUndefined()
  })
})

describe('trimming', () => {
  it('goes as far as is consumed but never takes the tail (rules 2, 3)', () => {
    expect(stagingTrimFloor(3, 10)).toBe(3)
    expect(stagingTrimFloor(10, 10)).toBe(9)
    expect(stagingTrimFloor(0, 0)).toBe(0)
    expect(checkpointTrimFloor(4)).toBe(3)
    expect(checkpointTrimFloor(0)).toBe(0)
  })
})
