import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { beforeAll, describe, expect, test } from 'vitest'
import { compactedText, previewText } from '../../lib/cli/compact-text.ts'
import { frazil, rowsOf, start, TRADES, tempDir } from './frazil.ts'
import { change, type FileTold, listing, RUNS_MS, told, tradesInParts } from './many-commits.ts'

const dir = tempDir()
const warehouse = join(dir, 'warehouse')
const trades = tradesInParts(dir, warehouse)
const PARTS = 6

const compact = (table: string, ...flags: readonly string[]) => frazil('compact', table, '--warehouse', warehouse, ...flags)
const files = (table: string) => told<FileTold[]>('files', table, '--warehouse', warehouse)
const all = (table: string) => rowsOf(`SELECT * FROM trades.${table} ORDER BY ALL`, warehouse)

interface Told {
  readonly applied: boolean
  readonly groups: readonly { readonly files: number; readonly sorted: boolean }[]
  readonly collecting: number
  readonly manifests: { readonly count: number; readonly many: boolean }
  readonly result: { readonly filesBefore: number; readonly filesAfter: number; readonly manifestsAfter: number } | null
}
const compactTold = (table: string, ...flags: readonly string[]) =>
  told<Told>('compact', table, '--warehouse', warehouse, ...flags)

/** The rows of data files by a reader that is not ours. */
async function byHyparquet(paths: readonly FileTold[]): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = []
  for (const { path } of paths) {
    const bytes = readFileSync(fileURLToPath(path))
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
    rows.push(...(await parquetReadObjects({ file, compressors })))
  }
  return rows
}

const texts = (rows: readonly Record<string, unknown>[]) =>
  rows.map((row) => JSON.stringify(row, (_, value) => (typeof value === 'bigint' ? String(value) : value)))

beforeAll(async () => {
  for (let part = 0; part < PARTS; part++) await trades.next(500)
}, RUNS_MS)

describe('frazil compact', () => {
  test('leaves alone what is still collecting, and says how it would be taken', async () => {
    const { code, stdout, stderr } = await compact('raw_trades')
    expect(stdout).toBe('')
    expect(stderr).toContain('No files of trades.raw_trades to rewrite.\n')
    expect(stderr).toContain(
      'Left for later: 6 files, since they are younger than 1h or share a partition by time with one that is. --hot takes them too.\n',
    )
    expect(code).toBe(0)
    expect(await compactTold('raw_trades')).toMatchObject({ groups: [], collecting: PARTS, result: null })
  })

  test('says what it would do and writes nothing, without --apply', async () => {
    const before = listing(warehouse)
    const { code, stdout, stderr } = await compact('raw_trades', '--hot')
    expect(stdout).toMatch(/^event_time_day=2024-01-19 +6 +\d+ kB +1 +packed$/m)
    expect(stderr).toBe('Target: files of 512 MiB; 1 group in 1 job.\nNothing was written. --apply does it.\n')
    expect(code).toBe(0)
    expect((await compact('agg_1m', '--hot')).stdout).toMatch(/^window_start_day=2024-01-19 +\d+ +\d+ kB +1 +sorted$/m)
    expect((await compact('raw_trades', '--hot', '--min-input-files', '7')).stderr).toBe(
      'No files of trades.raw_trades to rewrite.\n',
    )
    expect(listing(warehouse)).toEqual(before)
  })

  test('reads a target size in MB of 1,000,000, in MiB of 1,048,576, or in bytes', async () => {
    for (const [text, bytes] of [
      ['2.5MB', 2_500_000],
      ['2MiB', 2_097_152],
      ['1234567', 1_234_567],
    ] as const)
      expect(await compactTold('raw_trades', '--target-file-size', text)).toMatchObject({ targetFileBytes: bytes })
  })

  test('merges manifests where it is told to, and touches no row or file', async () => {
    const before = await files('agg_1m_late')
    const foreseen = await compact('agg_1m_late', '--manifests')
    expect(foreseen.stderr).toMatch(/^\d manifests would be merged\.$/m)
    const { manifests, result } = await compactTold('agg_1m_late', '--manifests', '--apply')
    expect(manifests.count).toBeGreaterThan(1)
    expect(result).toMatchObject({ filesBefore: 0, filesAfter: 0, manifestsAfter: 1 })
    const paths = (list: readonly FileTold[]) => list.map(({ path }) => path).sort()
    expect(paths(await files('agg_1m_late'))).toEqual(paths(before))
  })

  test('rewrites many files into one with the same rows, and tells of jobs on stderr and of sizes on stdout', async () => {
    const [rows, before] = [await all('raw_trades'), await files('raw_trades')]
    const foreign = await byHyparquet(before)
    const { code, stdout, stderr } = await compact('raw_trades', '--hot', '--apply')
    expect(stdout).toMatch(/^files +6 +1$/m)
    expect(stderr).toMatch(/^job 1 of 1: 6 files, \d+ kB\njob 1 of 1: 6 files became 1 in \d+\.\d s\n$/)
    expect(code).toBe(0)
    const after = await files('raw_trades')
    expect(after).toHaveLength(1)
    expect(await all('raw_trades')).toEqual(rows)
    expect(texts(await byHyparquet(after)).sort()).toEqual(texts(foreign).sort())
    const again = await compact('raw_trades', '--hot', '--apply')
    expect(again.stderr).toBe('No files of trades.raw_trades to rewrite.\n')
  })

  test('sorts the rows of a table that has an order, and declares it', async () => {
    const rows = await all('agg_1m')
    const { result } = await compactTold('agg_1m', '--hot', '--apply')
    expect(result?.filesBefore).toBeGreaterThanOrEqual(PARTS)
    expect(result?.filesAfter).toBe(1)
    const after = await files('agg_1m')
    expect(after.map(({ sortOrder }) => sortOrder)).toEqual([1])
    const read = await byHyparquet(after)
    const keys = read.map(({ symbol, window_start }) => `${symbol} ${(window_start as Date).toISOString()}`)
    expect(keys).toEqual([...keys].sort())
    expect(new Set(read.map(({ symbol }) => symbol)).size).toBeGreaterThan(1)
    expect(await all('agg_1m')).toEqual(rows)
  })

  test('serves a table without a marker as one of its own', async () => {
    for (let part = 0; part < 2; part++) await trades.next(200)
    await change(warehouse, 'agg_1m_late', ({ properties }) => ({
      properties: Object.fromEntries(Object.entries(properties).filter(([name]) => !name.startsWith('frazil.'))),
    }))
    const rows = await all('agg_1m_late')
    const { result } = await compactTold('agg_1m_late', '--hot', '--min-input-files', '2', '--apply')
    expect(result?.filesAfter).toBe(1)
    expect(await all('agg_1m_late')).toEqual(rows)
  })

  test('refuses to sort a table without an order, sizes and counts that cannot be, and a table that is not there', async () => {
    for (const [args, message] of [
      [['raw_trades', '--strategy', 'sort'], /expected it to have a sort order, found none/],
      [['raw_trades', '--strategy', 'zorder'], /Allowed choices are binpack, sort/],
      [['raw_trades', '--target-file-size', '512'], /expected at least 1048576 bytes, found '512'/],
      [['raw_trades', '--target-file-size', '512 MB'], /expected a size such as 128MB, 64MiB or a number of bytes/],
      [['raw_trades', '--min-input-files', '1'], /expected a whole number from 2 to \d+, found '1'/],
      [['raw_trade'], /did you mean trades\.raw_trades\?/],
      [['pipelines/trades.ts'], /this command takes a table, not a pipeline's file\./],
    ] as const) {
      const [table, ...flags] = args
      const { code, stdout, stderr } = await compact(table, ...flags)
      expect(stderr).toMatch(message)
      expect(stdout).toBe('')
      expect(code).toBe(2)
    }
  })
})

describe('what did not go', () => {
  const none = { jobs: [], groups: [], targetFileBytes: 1, manifests: 3, manyManifests: false }
  const leftAlone = [{ partition: 'day=2026-01-01', files: 12, why: 'delete files' }]

  test('is told with its reason, before and after', () => {
    const preview = { ...none, leftAlone }
    expect(previewText(preview)).toMatch(/^day=2026-01-01 +12 +- +- +left alone: delete files$/m)
    const raced = { unreadable: false, damaged: false }
    const gaveUp = [{ partition: '', files: 7, why: 'its files were replaced or deleted', ...raced }]
    const tally = { filesBefore: 0, filesAfter: 0, bytesBefore: 0, bytesAfter: 0, manifestsAfter: 3, interrupted: false }
    const text = compactedText(preview, { ...tally, gaveUp })
    expect(text).toMatch(/^- +7 +gave up: its files were replaced or deleted$/m)
    expect(text).toMatch(/^day=2026-01-01 +12 +left alone: delete files$/m)
  })
})

describe('frazil compact of a table with a damaged file', () => {
  test('names the file under the table, and exits 1 until it is restored', async () => {
    const hurt = join(dir, 'hurt')
    const parts = tradesInParts(tempDir(), hurt)
    for (let part = 0; part < 2; part++) await parts.next(200)
    const [{ path }] = await told<FileTold[]>('files', 'raw_trades', '--warehouse', hurt)
    const file = fileURLToPath(path)
    const bytes = readFileSync(file)
    const again = () => frazil('compact', 'raw_trades', '--hot', '--min-input-files', '2', '--apply', '--warehouse', hurt)
    writeFileSync(file, bytes.subarray(0, 100))
    const { code, stdout, stderr } = await again()
    expect(stdout).toMatch(/^event_time_day=2024-01-19 +2 +gave up: a file cannot be read$/m)
    expect(stderr).toMatch(
      /^event_time_day=2024-01-19: Cannot read Parquet .*\nRestore the file; until then its partition is not compacted\.\n$/m,
    )
    expect(stderr).not.toContain('the next compaction plans it anew')
    expect(code).toBe(1)
    writeFileSync(file, bytes)
    expect((await again()).code).toBe(0)
  })
})

describe('frazil compact that is interrupted', () => {
  test('ends after the group at hand, exits 130, and every row is still there once', async () => {
    const rows = await all('raw_trades')
    const catalog = new DatabaseSync(join(warehouse, 'catalog.db'))
    // No swap until the signal is there.
    catalog.exec('BEGIN IMMEDIATE')
    const { child, answer } = start([
      'compact',
      'raw_trades',
      '--hot',
      '--min-input-files',
      '2',
      '--apply',
      '--warehouse',
      warehouse,
    ])
    await once(child.stderr!, 'data')
    child.kill('SIGINT')
    await once(child.stderr!, 'data')
    catalog.exec('ROLLBACK')
    catalog.close()
    const { code, stdout, stderr } = await answer
    expect(stderr).toMatch(
      /^job 1 of 1: \d files, .*\nInterrupted: ends after the group at hand; Ctrl-C again ends now\.\n.*Interrupted: what was rewritten until then is in the table\.\n$/s,
    )
    expect(code).toBe(130)
    expect(await all('raw_trades')).toEqual(rows)
    const { manifests } = await compactTold('raw_trades')
    expect(stdout).toMatch(new RegExp(`^manifests +\\d +${manifests.count}$`, 'm'))
  })
})

describe('frazil compact beside a run', () => {
  const busy = join(dir, 'busy')
  const parts = tradesInParts(tempDir(), busy)

  test(
    'takes no lock, and loses and doubles nothing',
    async () => {
      for (let part = 0; part < 2; part++) await parts.next(300)
      const args = ['run', TRADES, '--input', parts.grow(39_000), '--warehouse', busy, '--until-end']
      const run = start([...args, '--commit-interval', '1ms', '--json'])
      let running = true
      const answer = run.answer.finally(() => {
        running = false
      })
      let rewritten = 0
      do {
        for (const table of ['raw_trades', 'agg_1m']) {
          const flags = ['--hot', '--min-input-files', '2', '--warehouse', busy]
          const { result } = await told<Told>('compact', table, '--apply', ...flags)
          rewritten += result?.filesBefore ?? 0
        }
      } while (running)
      const { code, stdout, stderr } = await answer
      expect(stderr).toBe('')
      expect(code).toBe(0)
      expect(rewritten).toBeGreaterThan(0)
      const { tables } = JSON.parse(stdout) as { tables: Record<string, number> }
      for (const name of ['trades.raw_trades', 'trades.agg_1m']) {
        const [{ n }] = await rowsOf<{ n: number }>(`SELECT count(*) AS n FROM ${name}`, busy)
        expect(n).toBe(tables[name])
      }
      const [{ twice }] = await rowsOf<{ twice: number }>(
        'SELECT count(*) - count(DISTINCT (kafka_partition, kafka_offset)) AS twice FROM trades.raw_trades',
        busy,
      )
      expect(twice).toBe(0)
    },
    RUNS_MS,
  )
})
