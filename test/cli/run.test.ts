import { existsSync, readFileSync, writeFileSync } from 'node:fs'
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

test('input of another form is told to people, with the query that shows it, and exits 0', async () => {
  const csv = join(dir, 'trades.csv')
  writeFileSync(csv, 'symbol,ts,price\nA,1,2\n\n')
  const warehouse = join(dir, 'csv')
  const people = await frazil('run', TRADES, '--input', csv, '--warehouse', warehouse, '--until-end')
  expect(people.code).toBe(0)
  expect(people.stdout).toContain('3 records: 3 dead letters, 0 late rows, 0 offsets missing')
  expect(people.stdout).toContain('1 data file written')
  expect(people.stdout).toContain('no watermark: no record had an event time')
  expect(people.stderr).toContain(
    'note: 3 of 3 records became dead letters, 2 of them invalid_json. --input takes one JSON object a line. See them:\n',
  )
  const [, sql] = /query "(SELECT reason, .*)" --warehouse/.exec(people.stderr) as RegExpExecArray
  expect(await rowsOf(`${sql.replace('LIMIT', 'ORDER BY ALL LIMIT')}`, warehouse)).toEqual([
    { reason: 'empty_value', detail: expect.any(String), value: '' },
    { reason: 'invalid_json', detail: expect.any(String), value: 'A,1,2' },
    { reason: 'invalid_json', detail: expect.any(String), value: 'symbol,ts,price' },
  ])

  const again = await frazil('run', TRADES, '--input', csv, '--warehouse', warehouse, '--until-end')
  expect(again.stdout).toMatch(/^Done in [\d.]+ s: there was nothing new to read\n0 data files written/)
  expect(again.stderr).not.toContain('note:')

  const scripts = await frazil('run', TRADES, '--input', csv, '--warehouse', join(dir, 'csv2'), '--until-end', '--json')
  expect(scripts.stderr).toBe('')
  expect(JSON.parse(scripts.stdout)).toMatchObject({ deadLetters: 3, reasons: { invalid_json: 2, empty_value: 1 } })
})

test('less than half of dead letters is no news, half is', async () => {
  const note = async (name: string, bad: number) => {
    const file = join(dir, `${name}.ndjson`)
    const good = '{"symbol":"A","ts":1767225600000,"price":1,"qty":1}'
    writeFileSync(file, [good, good, ...Array<string>(bad).fill('{"symbol":5}')].join('\n'))
    const { stdout, stderr } = await frazil('run', TRADES, '--input', file, '--warehouse', join(dir, name), '--until-end')
    return { note: /note: .*/.exec(stderr)?.[0], counts: stdout.split('\n')[1] }
  }
  expect(await note('few', 1)).toEqual({
    note: undefined,
    counts: '3 records: 1 dead letter, 0 late rows, 0 offsets missing',
  })
  expect((await note('half', 2)).note).toBe('note: 2 of 4 records became dead letters, 2 of them wrong_type. See them:')
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
