import { describe, expect, test } from 'vitest'
import { METRICS } from '../../functions/metrics.ts'
import { type Bill, commitBill, idleBill, ingestBill, type Round } from '../../lib/cost/calls.ts'
import { estimate } from '../../lib/cost/estimate.ts'
import { batchesOf, type Load } from '../../lib/cost/load.ts'
import { MONTH_SECONDS, monthOf } from '../../lib/cost/month.ts'
import { column, kafka, pipeline, planOf, seconds, timestampMillis } from '../../lib/index.ts'
import { billOf, PLAN, rowsBelow, TRADES } from './page.ts'

const measured = new Map(rowsBelow('Calls').map((row) => [row[0], row]))

/** The calls of ingest that a load of one topic comes to. */
function ingestOf(load: Partial<Load>): Bill {
  const [batches] = batchesOf(PLAN, { ...TRADES, ...load })
  return ingestBill(batches)
}

const TEN_BATCHES: Round = {
  partitions: 4,
  segments: 10,
  entries: 10,
  entryBytes: batchesOf(PLAN, { ...TRADES, recordsPerSecond: 10_000 })[0].entryBytes,
  rowTables: 1,
  rowFiles: 1,
  closing: 0,
  windowFiles: 0,
}
const ESTIMATED: Readonly<Record<string, () => Bill>> = {
  'ingest, 10,000 trades of one partition': () => ingestOf({ recordsPerSecond: 10_000, partitions: 1 }),
  'ingest, 2,500 trades of each of four partitions': () => ingestOf({ recordsPerSecond: 10_000, partitions: 4 }),
  'ingest, 10 trades': () => ingestOf({ recordsPerSecond: 10, partitions: 1, keys: 5 }),
  'commit, nothing to do': () => idleBill(PLAN, 4),
  'commit, 10 batches of 10,000 trades, no window closes': () => commitBill(PLAN, TEN_BATCHES),
  'commit, 10 batches of 10,000 trades, windows close': () => commitBill(PLAN, { ...TEN_BATCHES, closing: 1, windowFiles: 1 }),
}
/** Once in a process's or a pipeline's life, or once a redelivery: an estimate leaves them out, and says so. */
const LEFT_OUT = [
  'ingest, a batch that is in already',
  'ingest, cold start, 10,000 trades of one partition',
  'ingest, first call of a pipeline, four partitions',
  'commit, cold start, nothing to do',
]

describe('calls, as the page has them measured', () => {
  test('every row is estimated or left out on purpose', () => {
    const rows = [...measured.keys()].filter((name) => /^(?:ingest|commit), /.test(name))
    expect([...Object.keys(ESTIMATED), ...LEFT_OUT].sort()).toEqual(rows.sort())
  })

  test.each(Object.entries(ESTIMATED))('%s', (name, estimated) => {
    expect(rounded(estimated())).toEqual(billOf(measured.get(name) ?? []))
  })

  test('a month is so many of them: with a commit each 10 s one in six closes the windows of a minute', () => {
    const { commit } = monthOf(PLAN, { ...TRADES, recordsPerSecond: 10_000, commitIntervalMs: 10_000 })
    const commits = MONTH_SECONDS / 10
    const [open, close] = ['no window closes', 'windows close'].map((what) =>
      billOf(measured.get(`commit, 10 batches of 10,000 trades, ${what}`) ?? []),
    )
    for (const call of ['S3.PutObject', 'S3.GetObject', 'S3.HeadObject', 'Glue.GetTable', 'DynamoDB.Query'] as const)
      expect((commit.bill.calls[call] ?? 0) / commits, call).toBeCloseTo(
        (5 * (open.calls[call] ?? 0) + (close.calls[call] ?? 0)) / 6,
      )
    expect(commit.bill.readUnits / commits).toBeCloseTo(open.readUnits)
  })
})

/** Averages of many partitions come to whole numbers but for the last bits. */
function rounded({ calls, readUnits, writeUnits }: Bill): Bill {
  const whole = (n: number) => (Math.abs(n - Math.round(n)) < 1e-9 ? Math.round(n) : n)
  return {
    calls: Object.fromEntries(Object.entries(calls).map(([call, count]) => [call, whole(count)])),
    readUnits: whole(readUnits),
    writeUnits: whole(writeUnits),
  }
}

describe('calls of other shapes', () => {
  test('floors of more than a hundred partitions take another call', () => {
    expect(ingestBill({ partitions: 101, inline: false, entryBytes: 600 }).calls['DynamoDB.BatchGetItem']).toBe(2)
  })

  test('a log of more than 64 new entries takes another query', () => {
    const { calls } = commitBill(PLAN, { ...TEN_BATCHES, entries: 64 })
    expect(calls['DynamoDB.Query']).toBe(2 * 4 + 1)
  })

  test('a backlog beyond what a checkpoint takes makes more rounds, each with its puts', () => {
    const puts = (recordsPerSecond: number) => {
      const { commit } = monthOf(PLAN, { ...TRADES, recordsPerSecond })
      return (commit.bill.calls['DynamoDB.PutItem'] ?? 0) / commit.invocations
    }
    // 60 s of 18 bytes a trade: 32 MB are 31,000 trades a second.
    expect(puts(30_000)).toBe(1)
    expect(puts(60_000)).toBe(2)
  })

  test('a table partitioned by buckets gets a file for each', () => {
    const source = kafka('views', {
      schema: { at: column.long(), page: column.string() },
      computed: { time: (c) => timestampMillis(c.at) },
      eventTime: 'time',
      watermark: { delay: seconds(5) },
    })
    const plan = planOf(pipeline('views', { sinks: [source.appendTo('all_views', { partitionBy: ['bucket(8, page)'] })] }))
    const { commit, ingest } = monthOf(plan, TRADES)
    expect((commit.bill.calls['S3.HeadObject'] ?? 0) / commit.invocations).toBe(8)
    // Data, three of the table, the checkpoint's body; no windows, so no open state.
    expect((commit.bill.calls['S3.PutObject'] ?? 0) / commit.invocations).toBe(8 + 3 + 1)
    expect(ingest.bill.calls['S3.PutObject']).toBe(ingest.invocations)
  })

  test('metrics are as many as the functions have', () => {
    const line = estimate(PLAN, TRADES).lines.find(({ name }) => name === 'CloudWatch metrics')
    expect(line?.quantity).toBe(Object.keys(METRICS).length)
  })
})
