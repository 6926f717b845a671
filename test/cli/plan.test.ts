import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { planOf } from '../../lib/index.ts'
import { openWarehouse } from '../../lib/local/warehouse.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import { createRuntime, nameIncarnation } from '../../lib/runtime/runtime.ts'
import trades from '../../pipelines/trades.ts'
import { batch, trade } from '../runtime/world.ts'
import { frazil, rowsOf, runTrades, TRADES, tempDir, tradesFile } from './frazil.ts'

const dir = tempDir()
const input = tradesFile(dir, 300)

/** The trades pipeline with some of its text replaced. */
function changed(name: string, ...replacements: [string, string][]): string {
  const file = join(dir, `${name}.ts`)
  const text = readFileSync(TRADES, 'utf8').replace('../lib/index.ts', 'frazil')
  writeFileSync(
    file,
    replacements.reduce((before, [from, to]) => before.replace(from, to), text),
  )
  return file
}

const withVenue = () =>
  changed(
    'venue',
    ['qty: column.double(),', 'qty: column.double(),\n    venue: column.string().optional(),'],
    ["'side',", "'side', 'venue',"],
  )
const plan = (pipeline: string, warehouse: string, ...more: string[]) =>
  frazil('plan', pipeline, '--warehouse', warehouse, ...more)
/** Every file below a directory, with its bytes. */
const contents = (root: string) =>
  Object.fromEntries(
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => [file, readFileSync(file).toString('base64')]),
  )

describe('frazil plan', () => {
  test('says of tables without logs that the logs are elsewhere, and not that each table is foreign', async () => {
    const warehouse = join(dir, 'without-logs')
    await runTrades(input, warehouse)
    rmSync(join(warehouse, '.frazil'), { recursive: true })
    const { code, stderr } = await plan(TRADES, warehouse)
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^error: Cannot plan for pipeline trades: expected its logs in \S+without-logs\/\.frazil, found none there/,
    )
  })

  test('where nothing is says that all is made, and makes nothing', async () => {
    const warehouse = join(dir, 'none')
    const { code, stdout, stderr } = await plan(TRADES, warehouse)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^table +change +columns\n/)
    expect(stdout).toMatch(/^trades\.agg_1m_late +is made +symbol string, ts long, .*side string\?/m)
    expect(stdout.split('\n').filter((line) => line.includes(' is made '))).toHaveLength(4)
    expect((await plan(TRADES, warehouse, '--exit-code')).code).toBe(1)
    expect(existsSync(warehouse)).toBe(false)
  })

  test('tells what a run then does, and that nothing is left to do', async () => {
    const warehouse = join(dir, 'warehouse')
    await runTrades(input, warehouse)
    const before = contents(warehouse)
    expect(await plan(TRADES, warehouse, '--exit-code')).toMatchObject({ code: 0, stderr: '' })

    const { stdout } = await plan(withVenue(), warehouse, '--json')
    const venue = [{ name: 'venue', type: 'string', required: false }]
    expect(JSON.parse(stdout)).toEqual([
      { table: 'trades.raw_trades', change: 'gets', columns: venue },
      { table: 'trades.agg_1m', change: 'stays', columns: [] },
      { table: 'trades.agg_1m_late', change: 'gets', columns: venue },
      { table: 'trades.dead_letters', change: 'stays', columns: [] },
    ])
    expect((await plan(withVenue(), warehouse, '--exit-code')).code).toBe(1)
    expect(contents(warehouse)).toEqual(before)

    const run = await frazil('run', withVenue(), '--input', input, '--warehouse', warehouse, '--until-end', '--json')
    expect(run).toMatchObject({ code: 0, stderr: '' })
    expect(await plan(withVenue(), warehouse, '--exit-code')).toMatchObject({ code: 0 })
  })

  test('refuses what a run would refuse, and shows all tables all the same', async () => {
    const warehouse = join(dir, 'refusing')
    await runTrades(input, warehouse)
    const before = contents(warehouse)
    const other = changed('other', ["'side',", ''], ["['symbol', 'window_start']", "['window_start']"], ["'price',", ''])
    const { code, stdout, stderr } = await plan(other, warehouse, '--json')
    expect(code).toBe(1)
    expect((JSON.parse(stdout) as { change: string }[]).map(({ change }) => change)).toEqual([
      'refused',
      'refused',
      'stays',
      'stays',
    ])
    const { error } = JSON.parse(stderr) as { error: { kind: string; message: string } }
    expect(error.kind).toBe('Refused')
    expect(error.message).toMatch(/^Cannot use table trades\.raw_trades: expected no column price double, found it, and required/)
    expect(error.message).toMatch(/\nCannot use table trades\.agg_1m: expected sort order/)
    expect(contents(warehouse)).toEqual(before)
    const run = await frazil('run', other, '--input', input, '--warehouse', warehouse, '--until-end')
    expect(run).toMatchObject({ code: 1, stderr: expect.stringContaining(error.message.split('\n')[0]) })
  })

  test('refuses a definition that lacks windows that staged rows wait for, as a deployment does', async () => {
    const warehouse = join(dir, 'staged')
    await stageOne(warehouse)
    const before = contents(warehouse)
    const { code, stdout, stderr } = await plan(changed('renamed', ["'agg_1m'", "'candles'"]), warehouse, '--json')
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toContainEqual(expect.objectContaining({ table: 'trades.candles', change: 'is made' }))
    const { error } = JSON.parse(stderr) as { error: { kind: string; message: string } }
    expect(error.kind).toBe('Refused')
    expect(error.message).toMatch(/^Cannot go on with pipeline trades: [^\n]*agg_1m/)
    expect(contents(warehouse)).toEqual(before)
    expect(await plan(TRADES, warehouse, '--exit-code')).toMatchObject({ code: 0, stderr: '' })
  })
})

/** Leaves a trade staged in a warehouse, with tables made and nothing committed. */
async function stageOne(dir: string): Promise<void> {
  const { ports, staging, tables, close } = await openWarehouse({ kind: 'directory', dir })
  const definition = planOf(trades)
  const incarnation = await nameIncarnation(ports.log, ports.random, definition.name)
  const runtime = createRuntime({ plan: definition, ports, staging, warehouse: tables, incarnation })
  await provision(runtime, { trades: [0] })
  await ingest(runtime, [batch(0, 0, [trade('A', 1, 1)])])
  close()
}

test('a query reads files of before and after a column was added as one table, and an earlier snapshot with its columns', async () => {
  const warehouse = join(dir, 'evolved')
  const grown = join(dir, 'grown.ndjson')
  const trade = (i: number) => `{"symbol":"S","ts":${1_700_000_000_000 + i},"price":${i},"qty":1,"venue":"v${i}"}\n`
  writeFileSync(grown, [0, 1, 2].map(trade).join(''))
  await runTrades(grown, warehouse)
  writeFileSync(grown, [0, 1, 2, 3, 4].map(trade).join(''))
  const run = await frazil('run', withVenue(), '--input', grown, '--warehouse', warehouse, '--until-end', '--json')
  expect(run).toMatchObject({ code: 0, stderr: '' })
  expect(await rowsOf('SELECT price, venue FROM trades.raw_trades ORDER BY price', warehouse)).toEqual(
    [null, null, null, 'v3', 'v4'].map((venue, price) => ({ price, venue })),
  )
  expect(await rowsOf("SELECT price FROM trades.raw_trades WHERE venue = 'v4'", warehouse)).toEqual([{ price: 4 }])
  const { stderr } = await frazil('query', 'FROM raw_trades FOR VERSION AS OF 1', '--warehouse', warehouse)
  const first = /snapshots: (\d+) of/.exec(stderr)?.[1]
  const [earlier] = await rowsOf(`FROM trades.raw_trades FOR VERSION AS OF ${first} ORDER BY price`, warehouse)
  expect(Object.keys(earlier)).not.toContain('venue')
  expect(earlier).toMatchObject({ symbol: 'S', price: 0 })
})
