import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createProgram } from '../../lib/cli/program.ts'
import { frazil, TRADES, tempDir, tradesFile } from './frazil.ts'

const dir = tempDir()
const warehouse = join(dir, 'warehouse')
const input = tradesFile(dir, 500)

/** How each command is called in earnest. A new command without a line here fails the walk. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  run: ['run', TRADES, '--input', input, '--warehouse', warehouse, '--until-end'],
  query: ['query', 'SELECT symbol, count(*) AS n FROM trades.raw_trades GROUP BY ALL', '--warehouse', warehouse],
  tables: ['tables', '--warehouse', warehouse],
  inspect: ['inspect', 'trades.raw_trades', '--warehouse', warehouse],
  snapshots: ['snapshots', 'trades.raw_trades', '--warehouse', warehouse],
  files: ['files', 'trades.raw_trades', '--warehouse', warehouse],
  audit: ['audit', TRADES, '--warehouse', warehouse],
  compact: ['compact', 'trades.raw_trades', '--warehouse', warehouse, '--hot', '--min-input-files', '2'],
  expire: ['expire', 'trades.raw_trades', '--warehouse', warehouse],
  orphans: ['orphans', 'trades.raw_trades', '--warehouse', warehouse],
  trim: ['trim', TRADES, '--warehouse', warehouse],
  plan: ['plan', TRADES, '--warehouse', warehouse],
  cost: ['cost', TRADES, '--rate', '1000', '--size', '108'],
}

const commands = createProgram(false, () => {}).commands

test('every command that exists is walked', () => {
  expect(commands.map((command) => command.name())).toEqual(Object.keys(EXAMPLES))
})

test.each(commands.map((command) => command.name()))('%s --json writes one JSON document and nothing else', async (name) => {
  for (const args of [
    [...EXAMPLES[name], '--json'],
    ['--json', ...EXAMPLES[name]],
  ]) {
    const { code, stdout, stderr } = await frazil(...args)
    expect(stderr).toBe('')
    expect(typeof JSON.parse(stdout)).toBe('object')
    expect(code).toBe(0)
  }
})

test('the format does not depend on a terminal: data alone is on stdout without --json too', async () => {
  const { stdout, stderr } = await frazil(...EXAMPLES.query, '--format', 'csv')
  expect(stdout.split('\n')[0]).toBe('symbol,n')
  expect(stderr).toBe('')
})
