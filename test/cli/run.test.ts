import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setInterval as ticks } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { frazil, rowsOf, runTrades, start, TRADES, tempDir, tradesFile } from './frazil.ts'

const dir = tempDir()
const LINES = 2000
const input = tradesFile(dir, LINES)

test('a run tells its counts, and the same run again adds nothing', async () => {
  const warehouse = join(dir, 'again')
  const first = await frazil('run', TRADES, '--input', input, '--warehouse', warehouse, '--until-end', '--json')
  const summary = JSON.parse(first.stdout)
  expect(summary).toMatchObject({ pipeline: 'trades', warehouse, interrupted: false, records: LINES, missing: 0 })
  expect(summary.tables['trades.raw_trades'] + summary.tables['trades.dead_letters']).toBe(LINES)
  expect(summary.tables['trades.dead_letters']).toBe(summary.deadLetters)
  expect(summary.tables['trades.agg_1m_late']).toBe(summary.late)
  expect(summary.deadLetters).toBeGreaterThan(0)
  expect(summary.late).toBeGreaterThan(0)

  const second = await runTrades(input, warehouse)
  expect(second).toMatchObject({ records: 0, files: 0, tables: summary.tables })
})

test('people get the counts on stdout and what to try next on stderr', async () => {
  const { code, stdout, stderr } = await frazil(
    'run',
    TRADES,
    '--input',
    input,
    '--warehouse',
    join(dir, 'people'),
    '--until-end',
  )
  expect(stdout).toMatch(/^Done in /)
  expect(stdout).toContain('2,000 records: ')
  expect(stdout).toContain('trades.raw_trades')
  expect(stderr).toContain(`query "SELECT * FROM trades.raw_trades LIMIT 10" --warehouse ${join(dir, 'people')}`)
  expect(code).toBe(0)
})

test('another input into the same warehouse is refused: exit 1', async () => {
  const warehouse = join(dir, 'pinned')
  await runTrades(input, warehouse)
  const other = tradesFile(dir, 10, 'other.ndjson')
  const { code, stderr } = await frazil('run', TRADES, '--input', other, '--warehouse', warehouse, '--until-end', '--json')
  expect((JSON.parse(stderr) as { error: { kind: string } }).error.kind).toBe('Refused')
  expect(code).toBe(1)
})

test('an interrupted run commits what it has, exits 130, and the next one finishes the work', async () => {
  const warehouse = join(dir, 'interrupted')
  const { child, answer } = start(['run', TRADES, '--input', input, '--warehouse', warehouse, '--json'])
  // It follows the file until it is told to stop. Once it has a data file, it is past its start.
  const data = join(warehouse, 'trades/raw_trades/data')
  for await (const _ of ticks(10)) if (existsSync(data) || child.exitCode !== null) break
  child.kill('SIGINT')
  // npm passes a Ctrl-C on that the terminal sent already: twice is once.
  child.kill('SIGINT')
  const { code, stdout, stderr } = await answer
  expect(stderr).toBe('')
  expect(JSON.parse(stdout)).toMatchObject({ interrupted: true })
  expect(code).toBe(130)

  await runTrades(input, warehouse)
  const [row] = await rowsOf<{ n: number; offsets: number }>(
    `SELECT count(*) AS n, count(DISTINCT (kafka_partition, kafka_offset)) AS offsets FROM
      (SELECT kafka_partition, kafka_offset FROM raw_trades UNION ALL SELECT kafka_partition, kafka_offset FROM dead_letters)`,
    warehouse,
  )
  expect(row).toEqual({ n: LINES, offsets: LINES })
})

test('tables tells rows, files, marker and partitioning', async () => {
  const warehouse = join(dir, 'tables')
  const { tables } = await runTrades(input, warehouse)
  const reports = JSON.parse((await frazil('tables', '--warehouse', warehouse, '--json')).stdout)
  expect(reports.map((report: { table: string; rows: number }) => [report.table, report.rows])).toEqual(
    Object.entries(tables).sort(([a], [b]) => (a < b ? -1 : 1)),
  )
  const raw = reports.find((report: { table: string }) => report.table === 'trades.raw_trades')
  expect(raw).toMatchObject({ partitioning: ['day(event_time)'], location: `file://${warehouse}/trades/raw_trades` })
  expect(raw.markers.trades).toBeGreaterThan(0)
  expect(raw.files).toBeGreaterThan(0)
  const { stdout } = await frazil('tables', '--warehouse', warehouse)
  expect(stdout).toMatch(
    /trades\.raw_trades +1,\d{3} +\d+ +[\d.]+ kB +\d+ +\d{4}-\d\d-\d\dT[\d:.]+Z +checkpoint \d+ +day\(event_time\)\n/,
  )
})

test('--version and --help load neither DuckDB nor the runtime', async () => {
  const imported = [
    ...readFileSync(join(import.meta.dirname, '../../lib/cli/program.ts'), 'utf8').matchAll(/^import (?!type)[^']*'([^']+)'/gm),
  ]
  expect(imported.map(([, name]) => name).sort()).toEqual(['../errors.ts', './output.ts', 'commander', 'node:fs'])
})
