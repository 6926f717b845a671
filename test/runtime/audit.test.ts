import { describe, expect, test } from 'vitest'
import type { LoadedTable } from '../../lib/iceberg/scan.ts'
import type { Snapshot } from '../../lib/iceberg/types.ts'
import type { PartitionProgress } from '../../lib/protocol/checkpoint.ts'
import { encodeStagingEntry, type StagingEntry } from '../../lib/protocol/staging.ts'
import { askedOf, coverageOf, stagedRows } from '../../lib/runtime/audit-coverage.ts'
import { type PartitionLog, stagingJudge } from '../../lib/runtime/audit-logs.ts'
import { judgeOffsets } from '../../lib/runtime/audit-offsets.ts'
import { explainedBy } from '../../lib/runtime/audit-retention.ts'
import { judgeTable } from '../../lib/runtime/audit-table.ts'
import type { Last } from '../../lib/runtime/checkpoints.ts'
import { tradesId, tradesMetadata, UUID } from '../iceberg/fixtures.ts'

const entry = (from: number, next: number, more: Partial<StagingEntry> = {}): StagingEntry => ({
  v: 1,
  kind: 'records',
  writer: 'w',
  from,
  next,
  watermark: next,
  records: next - from - (more.missing ?? 0),
  deadLetters: 0,
  late: 0,
  missing: 0,
  last: null,
  maxTimestamp: null,
  segment: null,
  inline: null,
  slices: [{ target: 'table:raw', rows: next - from - (more.missing ?? 0) - (more.deadLetters ?? 0), offset: 0, length: 1 }],
  ...more,
})

/** A log of these entries from `slot` on, consumed as `progress` says. */
function judged(entries: readonly StagingEntry[], progress: PartitionProgress, { slot = 1, floor = 0 } = {}) {
  const judge = stagingJudge('trades-0', progress)
  for (const [i, each] of entries.entries()) judge.take({ slot: slot + i, value: encodeStagingEntry(each) })
  return judge.finish(floor)
}

describe('a staging log', () => {
  test('that is whole tells first offset, gaps and what waits', () => {
    const entries = [entry(10, 20), entry(20, 30, { missing: 3 }), entry(30, 33)]
    const { log, problems } = judged(entries, { slot: 2, next: 30, watermark: 30 })
    expect(problems).toEqual([])
    expect(log).toMatchObject({ first: 10, gaps: 3, whole: true, waiting: 3 })
    expect(log.entries.map(({ from, missing, rows }) => [from, missing, rows])).toEqual([
      [10, 0, { raw: 10 }],
      [20, 3, { raw: 7 }],
    ])
  })

  test('that was trimmed does not, unless the checkpoint does', () => {
    const at = { slot: 2, floor: 1 }
    const trimmed = judged([entry(20, 30)], { slot: 2, next: 30, watermark: 30 }, at)
    expect(trimmed).toMatchObject({ problems: [], log: { first: null, gaps: null, whole: false } })
    const told = judged([entry(20, 30)], { slot: 2, next: 30, watermark: 30, first: 10, missing: 4 }, at)
    expect(told).toMatchObject({ problems: [], log: { first: 10, gaps: 4, whole: false } })
  })

  test('must say what the checkpoint says of it', () => {
    const { problems } = judged([entry(10, 20)], { slot: 1, next: 20, watermark: 20, first: 10, missing: 2 })
    expect(problems).toEqual([
      'Expected staging log trades-0 to begin at offset 10 and to have 2 gaps, as the last checkpoint says, found 10 and 0.',
    ])
  })

  test.each([
    [
      'a slot',
      [entry(0, 5), entry(9, 12)],
      { slot: 2, next: 12, watermark: 12 },
      /expected an entry from offset 5, found one from 9/,
    ],
    [
      'its watermark',
      [entry(0, 5), entry(5, 9, { watermark: 1 })],
      { slot: 2, next: 9, watermark: 1 },
      /expected a watermark of at least 5/,
    ],
    ['its end', [entry(0, 5)], { slot: 2, next: 9, watermark: 9 }, /to reach slot 2, .* found its end at 1/],
    ['its place', [entry(0, 5)], { slot: 1, next: 9, watermark: 9 }, /to end at offset 9, .* found 5/],
  ])('that lost %s is named', (_, entries, progress, message) => {
    expect(judged(entries, progress).problems.join()).toMatch(message)
  })

  test('with a hole, or with an entry that is damaged, is named', () => {
    expect(judged([entry(5, 9)], { slot: 2, next: 9, watermark: 9 }, { slot: 2 }).problems.join()).toMatch(
      /Expected slot 1 .* found slot 2 .*: 1 entry is gone/,
    )
    const judge = stagingJudge('trades-0', { slot: 1, next: 9, watermark: 9 })
    judge.take({ slot: 1, value: 'no JSON' })
    expect(judge.finish(0).problems[0]).toMatch(/slot 1: Cannot read a staging entry/)
  })
})

describe('coverage', () => {
  const log = (more: Partial<PartitionLog> = {}): PartitionLog => ({
    source: 'trades',
    topic: 'trades',
    partition: 0,
    next: 100,
    first: 0,
    gaps: 0,
    entries: [],
    whole: false,
    waiting: 0,
    ...more,
  })
  const asked = { partition: 0, from: 0, next: 100, head: 0 }
  const found = (offsets: number, headOffsets = 0) => ({ offsets, headOffsets })

  test('is asked for from the first offset staged to where the checkpoint stands', () => {
    const count = { rows: 5, deadLetters: 1, leastRow: 12, least: 11, greatest: 20 }
    expect(askedOf(0, log({ first: 10, next: 30 }), count, null)).toEqual({ partition: 0, from: 10, next: 30, head: 12 })
    expect(askedOf(0, log({ first: 10, next: 30, whole: true }), count, null)).toMatchObject({ from: 10, head: 10 })
    // Without the log's beginning the rows tell, without logs the table's marker, without that the rows again.
    expect(askedOf(0, log({ first: null, next: 30 }), count, null)).toMatchObject({ from: 11, next: 30 })
    expect(askedOf(0, undefined, count, 25)).toMatchObject({ from: 11, next: 25 })
    expect(askedOf(0, undefined, count, null)).toMatchObject({ from: 11, next: 21 })
    expect(askedOf(0, log({ first: null, next: null }), undefined, null)).toBeUndefined()
  })

  test('is proved when what is missing are the recorded gaps, no more and no fewer', () => {
    expect(coverageOf('raw', log({ gaps: 3 }), asked, found(97))).toMatchObject({ verdict: 'proved', missing: 3, excess: 0 })
    expect(coverageOf('raw', log({ gaps: 3 }), asked, found(96))).toMatchObject({ verdict: 'finding', excess: 1 })
    expect(coverageOf('raw', log({ gaps: 3 }), asked, found(98))).toMatchObject({ verdict: 'finding', excess: -1 })
  })

  test('is unproved when nothing tells of gaps and something is missing', () => {
    expect(coverageOf('raw', log({ gaps: null }), asked, found(99))).toMatchObject({ verdict: 'unproved', missing: 1 })
    expect(coverageOf('raw', log({ gaps: null }), asked, found(100))).toMatchObject({ verdict: 'proved' })
  })

  test('is unproved when nothing tells where it began', () => {
    expect(coverageOf('raw', undefined, asked, found(100))).toMatchObject({ verdict: 'unproved', missing: 0 })
    expect(coverageOf('raw', log({ first: null }), asked, found(100))).toMatchObject({ verdict: 'unproved' })
    expect(coverageOf('raw', log({ first: null, gaps: 3 }), asked, found(100))).toMatchObject({ verdict: 'unproved', excess: 0 })
    expect(coverageOf('raw', log({ first: null, gaps: 3 }), asked, found(90))).toMatchObject({ verdict: 'finding', excess: 7 })
  })

  test('of a table that may have joined later is unproved below its first row, where the log was trimmed', () => {
    const late = { ...asked, head: 40 }
    expect(coverageOf('raw', log(), late, found(62, 2))).toMatchObject({ verdict: 'unproved', before: 38, excess: 0 })
    expect(coverageOf('raw', log(), late, found(61, 2))).toMatchObject({ verdict: 'finding', before: 38, excess: 1 })
  })

  test('does not ask for what was staged before the table was there', () => {
    const entries = [
      { from: 0, next: 40, missing: 0, accepted: 38, deadLetters: 2, rows: { dead: 2 } },
      { from: 40, next: 100, missing: 0, accepted: 60, deadLetters: 0, rows: { raw: 60 } },
    ]
    const whole = log({ entries, whole: true })
    expect(coverageOf('raw', whole, asked, found(62))).toMatchObject({ verdict: 'proved', unstaged: 38 })
    expect(stagedRows([whole], 'raw')).toBe(60)
    expect(stagedRows([whole, log()], 'raw')).toBeUndefined()
  })
})

describe('rows that retention dropped', () => {
  const part = (before: number, excess: number) =>
    ({ missing: 0, gaps: 0, unstaged: 0, before, excess, verdict: 'finding' }) as const
  const explained = (parts: readonly ReturnType<typeof part>[], least: number, complete = true, most = least) =>
    explainedBy(parts, { least, most }, complete)

  test('explain as many offsets, over all partitions together and once', () => {
    expect(explained([part(0, 60), part(40, 0)], 100)).toEqual({ missing: 100, verdict: 'dropped' })
    // What lies below the first row has used them up.
    expect(explained([part(100, 30)], 100)).toEqual({ missing: 130, verdict: 'unclear' })
    expect(explained([part(0, 60), part(0, 60)], 60)).toEqual({ missing: 120, verdict: 'lost' })
    expect(explained([part(20, 100)], 100)).toMatchObject({ verdict: 'unclear' })
    expect(explained([part(20, 101)], 100)).toMatchObject({ verdict: 'lost' })
    expect(explained([part(0, 99)], 100)).toMatchObject({ verdict: 'back' })
    expect(explained([part(0, 0)], 100)).toMatchObject({ verdict: 'back' })
  })

  test('prove nothing where not all is known', () => {
    expect(explained([part(0, 100)], 100, false)).toMatchObject({ verdict: 'unclear' })
    expect(explained([part(0, 40)], 100, false)).toMatchObject({ verdict: 'unclear' })
    expect(explained([part(0, 101)], 100, false)).toMatchObject({ verdict: 'lost' })
  })

  test('may be of another source, where dead letters are shared', () => {
    for (const missing of [60, 80, 100])
      expect(explained([part(0, missing)], 60, true, 100)).toMatchObject({ verdict: 'dropped' })
    expect(explained([part(0, 59)], 60, true, 100)).toMatchObject({ verdict: 'back' })
  })

  test('that are none explain nothing', () => {
    expect(explained([part(0, 0)], 0)).toMatchObject({ verdict: 'none' })
    expect(explained([part(9, 0)], 0)).toMatchObject({ verdict: 'unclear' })
    expect(explained([part(9, 1)], 0)).toMatchObject({ verdict: 'lost' })
  })
})

test('offsets of a later marker are nowhere behind those of an earlier one', () => {
  const at = (table: string, n: number, next: number) => ({ table, n, next: new Map([['trades-0', next]]) })
  const logged = new Map([['trades-0', 30]])
  expect(judgeOffsets([at('b', 5, 30), at('a', 3, 20), at('never', 0, 99)], logged, 5)).toEqual([])
  expect(judgeOffsets([at('a', 3, 20), at('b', 5, 10)], logged, 5)).toMatchObject([{ kind: 'regression', table: 'b' }])
  expect(judgeOffsets([at('a', 5, 20), at('b', 5, 21)], logged, 5)[0].message).toContain('expected the same')
  expect(judgeOffsets([at('a', 5, 31)], logged, 5)[0].message).toContain('The last checkpoint, 5, stands at offset 30')
  // Committed while the audit read: above the checkpoint at hand.
  expect(judgeOffsets([at('a', 6, 40)], logged, 5)).toEqual([])
})

describe('a table', () => {
  const MARKER = 'frazil.trades.marker'
  const snapshot = (id: number, summary: Record<string, string>): Snapshot => ({
    'snapshot-id': BigInt(id),
    'parent-snapshot-id': id === 1 ? undefined : BigInt(id - 1),
    'sequence-number': BigInt(id),
    'timestamp-ms': id,
    'manifest-list': 'memory://list',
    summary: { operation: 'append', 'added-records': '5', ...summary },
    'schema-id': 0,
  })
  const ours = (n: number, watermark: number) => ({ [MARKER]: `i:${n}`, 'frazil.trades.watermark': String(watermark) })

  function table(snapshots: readonly Snapshot[], properties: Record<string, string> = {}): LoadedTable {
    const metadata = tradesMetadata(undefined, properties)
    const current = snapshots.at(-1)?.['snapshot-id']
    return {
      id: tradesId,
      pointer: { metadataLocation: 'memory://metadata', version: '1' },
      metadata: { ...metadata, snapshots, 'current-snapshot-id': current },
    }
  }

  const checkpoint = (n: number, need: number, base: number): Last => ({
    n,
    entry: { v: 1, kind: 'commit', writer: 'w', body: null, opened: [] },
    body: {
      v: 1,
      pipeline: 'trades',
      incarnation: 'i',
      n,
      watermark: 90,
      topics: {},
      sources: {},
      state: {},
      tables: { raw_trades: { uuid: UUID, need, base } },
      intents: {},
    },
    watermark: 90,
    topics: {},
    sources: {},
  })
  const judge = (loaded: LoadedTable, last: Last | undefined, newest = last?.n ?? 0) =>
    judgeTable('trades.raw_trades', loaded, { pipeline: 'trades', incarnation: 'i', last, newest })
  const kindsOf = ({ findings }: ReturnType<typeof judge>) => findings.map(({ kind }) => kind)

  test('that stands where the checkpoint says is fine, and tells its own closed watermark', () => {
    const judged = judge(table([snapshot(1, ours(2, 50)), snapshot(2, ours(3, 60))], { [MARKER]: 'i:3' }), checkpoint(4, 3, 2))
    expect(judged).toMatchObject({ findings: [], ahead: false, watermark: 60, marker: { n: 3 } })
  })

  test('that a run has brought further meanwhile is fine; further than the log is not', () => {
    const loaded = table([snapshot(1, ours(3, 50)), snapshot(2, ours(5, 60))], { [MARKER]: 'i:5' })
    expect(judge(loaded, checkpoint(4, 3, 2), 6)).toMatchObject({ findings: [], ahead: true })
    expect(kindsOf(judge(loaded, checkpoint(4, 3, 2), 4))).toEqual(['marker'])
  })

  test('whose snapshots go back in checkpoint or watermark has a regression', () => {
    const loaded = table([snapshot(1, ours(3, 70)), snapshot(2, ours(3, 60))], { [MARKER]: 'i:3' })
    expect(kindsOf(judge(loaded, checkpoint(3, 3, 2)))).toEqual(['regression', 'regression'])
  })

  test('may be compacted and may drop what retention counts; no other writer may change its rows', () => {
    const replace = { operation: 'replace', 'added-records': '10', 'deleted-records': '10' }
    const remove = { operation: 'delete', 'added-records': '0', 'deleted-records': '4' }
    const snapshots = [snapshot(1, ours(3, 60)), snapshot(2, replace), snapshot(3, remove)]
    const properties = { [MARKER]: 'i:3', 'frazil.dropped-rows': '4' }
    expect(judge(table(snapshots, properties), checkpoint(3, 3, 2))).toMatchObject({ findings: [], droppedRows: 4 })
    expect(kindsOf(judge(table(snapshots, { [MARKER]: 'i:3' }), checkpoint(3, 3, 2)))).toEqual(['foreign'])
    const lossy = { ...replace, 'added-records': '9' }
    const compacted = judge(table([snapshot(1, ours(3, 60)), snapshot(2, lossy)], properties), checkpoint(3, 3, 2))
    expect(compacted.findings[0].message).toContain('removed 1 row.')
  })

  test('must count as many rows after a rewrite as before, and drop as many as retention says', () => {
    const replace = { operation: 'replace', 'added-records': '5', 'deleted-records': '5' }
    const messages = (total: string, last: Record<string, string>, properties: Record<string, string> = {}) => {
      const snapshots = [snapshot(1, { ...ours(3, 60), 'total-records': '5' }), snapshot(2, { ...last, 'total-records': total })]
      const { findings } = judge(table(snapshots, { [MARKER]: 'i:3', ...properties }), checkpoint(3, 3, 2))
      return findings.map(({ message }) => message)
    }
    expect(messages('5', replace)).toEqual([])
    expect(messages('4', replace)).toEqual([
      'Table trades.raw_trades: snapshot 2 (replace) counts 4 rows after 5, though it added 0.',
    ])
    // A copied marker makes no commit of it.
    expect(messages('4', { ...replace, ...ours(4, 60), 'added-records': '4' })).toEqual(
      expect.arrayContaining([expect.stringMatching(/snapshot 2 \(replace\).* removed 1 row\./)]),
    )
    const remove = { operation: 'delete', 'added-records': '0', 'deleted-records': '2' }
    expect(messages('3', remove, { 'frazil.dropped-rows': '2' })).toEqual([])
    expect(messages('3', remove, { 'frazil.dropped-rows': '3' })).toEqual([
      'Table trades.raw_trades: its snapshots deleted 2 rows, retention accounts for 3 (frazil.dropped-rows).',
    ])
    // Older ones may have expired.
    const [, rest] = [snapshot(1, {}), snapshot(2, remove)]
    expect(judge(table([rest], { [MARKER]: 'i:3', 'frazil.dropped-rows': '3' }), checkpoint(3, 3, 2)).findings).toEqual([])
  })

  test('is judged by its own history where the logs are lost', () => {
    const loaded = table([snapshot(1, ours(3, 60)), snapshot(2, ours(2, 70))], { [MARKER]: 'i:3' })
    expect(kindsOf(judge(loaded, undefined))).toEqual(['regression'])
  })
})
