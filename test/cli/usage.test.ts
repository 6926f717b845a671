import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { takeRunLock } from '../../lib/local/run-lock.ts'
import { frazil, runTrades, TRADES, tempDir, tradesFile } from './frazil.ts'

const dir = tempDir()
const warehouse = join(dir, 'warehouse')
const empty = join(dir, 'empty')
const input = tradesFile(dir, 100)
const run = ['run', TRADES, '--warehouse', warehouse]

beforeAll(() => {
  mkdirSync(empty)
})

/** What is wrong, the arguments, and what the message must say. All exit 2: the command could not run. */
const WRONG: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['no command', [], /expected a command|Usage: frazil/],
  ['a misspelt command', ['quary', 'SELECT 1'], /unknown command 'quary' \(Did you mean query\?\)/],
  ['a misspelt option', [...run, '--inptu', input], /unknown option '--inptu' \(Did you mean --input\?\)/],
  ['too many arguments', [...run, 'other.ts', '--input', input], /too many arguments/],
  ['no pipeline', ['run', '--warehouse', warehouse], /missing required argument 'pipeline'/],
  ['no warehouse', ['run', TRADES, '--input', input], /expected --warehouse DIR, found none/],
  ['no warehouse to query', ['query', 'SELECT 1'], /expected --warehouse DIR, found none/],
  ['an option without its value', [...run, '--input'], /option '--input <file>' argument missing/],
  ['no source', run, /expected one of --input, --events and --brokers, found none/],
  ['two sources', [...run, '--input', input, '--brokers', 'localhost:9092'], /found --input and --brokers/],
  ['partitions without --input', [...run, '--events', input, '--partitions', '2'], /--partitions goes with --input/],
  [
    'no number of partitions',
    [...run, '--input', input, '--partitions', 'two'],
    /expected a whole number from 1 to 10000, found 'two'/,
  ],
  ['no partitions at all', [...run, '--input', input, '--partitions', '0'], /found '0'/],
  ['an interval without a unit', [...run, '--input', input, '--commit-interval', '5'], /expected a duration such as 500ms/],
  ['a broker without a port', [...run, '--brokers', 'localhost'], /expected host:port, .* found 'localhost'/],
  [
    'a missing input file',
    [...run, '--input', join(dir, 'nowhere.ndjson')],
    /expected a file at .*nowhere.ndjson, found nothing/,
  ],
  ['a missing events file', [...run, '--events', join(dir, 'nowhere.ndjson')], /Cannot read --events/],
  ['a directory as input', [...run, '--input', dir], /found a directory/],
  [
    'a missing pipeline file',
    ['run', 'nowhere.ts', '--warehouse', warehouse, '--input', input],
    /expected a file at .*nowhere.ts/,
  ],
  ['a pipeline that is no program', ['run', input, '--warehouse', warehouse, '--input', input], /expected a \.ts or \.js file/],
  [
    'a format that there is not',
    ['query', 'SELECT 1', '--warehouse', warehouse, '--format', 'xml'],
    /Allowed choices are table, json, csv/,
  ],
  [
    'a query of a missing warehouse',
    ['query', 'SELECT 1', '--warehouse', join(dir, 'none')],
    /expected a directory with a catalog\.db .*found nothing/,
  ],
  ['tables of a directory that is no warehouse', ['tables', '--warehouse', empty], /found no catalog\.db/],
  ['a file as warehouse', ['tables', '--warehouse', input], /found a file/],
]

describe('what cannot run', () => {
  test.concurrent.each(WRONG)('%s exits 2, says so on stderr and makes no files', async (_, args, message) => {
    const { code, stdout, stderr } = await frazil(...args)
    expect(stderr).toMatch(message)
    expect(stdout).toBe('')
    expect(code).toBe(2)
    expect(stderr).not.toMatch(/\n\s+at .*\.ts:\d/)
    expect(existsSync(warehouse)).toBe(false)
    expect(readdirSync(empty)).toEqual([])
  })

  test.concurrent.each(WRONG)('%s is one JSON object on stderr under --json', async (_, args, message) => {
    const { code, stdout, stderr } = await frazil('--json', ...args)
    const { error } = JSON.parse(stderr) as { error: { kind: string; message: string } }
    expect(error.kind).toBe('Usage')
    expect(error.message).toMatch(message)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })

  test('a warehouse in use exits 2 and names the process', async () => {
    const busy = join(dir, 'busy')
    const lock = takeRunLock(busy)
    const { code, stderr } = await frazil('run', TRADES, '--input', input, '--warehouse', busy, '--until-end')
    lock.release()
    expect(stderr).toContain(`is in use by another run (pid ${process.pid})`)
    expect(code).toBe(2)
  })

  test('a broker that is down exits 2 and names it', async () => {
    const { code, stderr } = await frazil('run', TRADES, '--brokers', '127.0.0.1:1', '--warehouse', join(dir, 'down'), '--json')
    const { error } = JSON.parse(stderr) as { error: { kind: string; message: string } }
    expect(error.kind).toBe('Unavailable')
    expect(error.message).toContain('127.0.0.1:1')
    expect(code).toBe(2)
  })

  test('a warehouse that is a file exits 2', async () => {
    const { code, stderr } = await frazil('run', TRADES, '--input', input, '--warehouse', input)
    expect(stderr).toMatch(/^error: Cannot use warehouse .*trades\.ndjson: expected a directory, found a file/)
    expect(code).toBe(2)
  })

  test('a warehouse where no directory can be made exits 2', async () => {
    const { code, stderr } = await frazil('run', TRADES, '--input', input, '--warehouse', '/proc/frazil/warehouse')
    expect(stderr).toMatch(/^error: Cannot use warehouse \/proc\/frazil\/warehouse: .*Name a directory that can be written/)
    expect(code).toBe(2)
  })

  test('a warehouse that was moved exits 2 and says where it was', async () => {
    const made = join(dir, 'made')
    await runTrades(input, made)
    renameSync(made, join(dir, 'moved'))
    const { code, stderr } = await frazil('tables', '--warehouse', join(dir, 'moved'))
    expect(stderr).toContain(`lies elsewhere, at file://${made}/trades/`)
    expect(code).toBe(2)
  })

  test('a damaged catalog is a finding: exit 1', async () => {
    const damaged = join(dir, 'damaged')
    mkdirSync(damaged)
    writeFileSync(join(damaged, 'catalog.db'), 'this is no database, but long enough to be read as the header of one'.repeat(20))
    const { code, stderr } = await frazil('tables', '--warehouse', damaged, '--json')
    expect((JSON.parse(stderr) as { error: { kind: string } }).error.kind).toBe('Corrupt')
    expect(code).toBe(1)
  })
})

describe('help', () => {
  test('--help goes to stdout and exits 0', async () => {
    const { code, stdout, stderr } = await frazil('run', '--help')
    expect(stdout).toContain('Usage: frazil run [options] <pipeline>')
    expect(stderr).toBe('')
    expect(code).toBe(0)
  })

  test('--help lists the commands in groups', async () => {
    const { stdout } = await frazil('--help')
    const headings = [...stdout.matchAll(/^(\S.*):$/gm)].map(([, heading]) => heading)
    expect(headings).toEqual(['Options', 'Run', 'Look', 'Keep small', 'Plan and cost', 'Help'])
    expect(stdout).toMatch(/^Keep small:\n {2}compact .*^ {2}expire .*^ {2}orphans .*^ {2}trim .*^Plan and cost:$/ms)
  })

  test('--version prints the version of package.json', async () => {
    const { code, stdout } = await frazil('--version')
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(code).toBe(0)
  })
})
