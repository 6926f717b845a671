import { existsSync, mkdirSync, readdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { setInterval as ticks } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { frazil, rowsOf, runTrades, start, TRADES, tempDir, tradesFile } from './frazil.ts'

const dir = tempDir()
const input = tradesFile(dir, 2000)
const DAY_MS = 86_400_000

const trim = (warehouse: string, ...more: string[]) => frazil('trim', TRADES, '--warehouse', warehouse, ...more)

interface Report {
  readonly applied: boolean
  readonly checkpoint: number
  readonly entries: number
  readonly logs: { readonly key: string; readonly floor: number; readonly entries: number }[]
  readonly segments: { readonly objects: number; readonly bytes: number }
  readonly bodies: { readonly objects: number }
  readonly kept: Record<'young' | 'needed' | 'unknown', { readonly objects: number }>
  readonly failed: number
}

async function reported(warehouse: string, ...more: string[]): Promise<Report> {
  const { code, stdout, stderr } = await trim(warehouse, ...more, '--json')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout) as Report
}

const stagingFiles = (warehouse: string) =>
  readdirSync(join(warehouse, '.frazil/staging'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

/** Makes all that lies in staging as old as this. */
function age(warehouse: string, ms: number): void {
  const at = new Date(Date.now() - ms)
  for (const file of stagingFiles(warehouse)) utimesSync(file, at, at)
}

describe('frazil trim', () => {
  test('says what it would delete, deletes just that with --apply, and a run goes on from what is left', async () => {
    const warehouse = join(dir, 'warehouse')
    await runTrades(input, warehouse)
    const before = await rowsOf('SELECT * FROM trades.agg_1m ORDER BY ALL', warehouse)
    const files = stagingFiles(warehouse)

    const young = await reported(warehouse)
    expect(young).toMatchObject({ applied: false, segments: { objects: 0 }, bodies: { objects: 0 }, failed: 0 })
    expect(young.kept.young.objects).toBe(files.length)

    age(warehouse, 4 * DAY_MS)
    const foreseen = await reported(warehouse)
    expect(foreseen.entries).toBeGreaterThan(0)
    expect(foreseen.logs.at(-1)?.floor).toBe(foreseen.checkpoint - 1)
    expect(foreseen.segments.objects).toBeGreaterThan(0)
    expect(foreseen.kept.young.objects).toBe(0)
    const shown = await trim(warehouse)
    expect(shown.stdout).toMatch(/^would delete +count +size\n/)
    expect(shown.stdout).toMatch(new RegExp(`^log entries +${foreseen.entries} +-$`, 'm'))
    expect(shown.stderr).toMatch(/Nothing was deleted\. --apply does it\.\n$/)
    expect(stagingFiles(warehouse)).toEqual(files)

    expect(await reported(warehouse, '--apply')).toEqual({ ...foreseen, applied: true })
    expect(stagingFiles(warehouse)).toHaveLength(foreseen.kept.needed.objects)
    expect(await reported(warehouse)).toMatchObject({ entries: 0, segments: { objects: 0 }, bodies: { objects: 0 } })

    await runTrades(input, warehouse)
    expect(await rowsOf('SELECT * FROM trades.agg_1m ORDER BY ALL', warehouse)).toEqual(before)
  })

  test('works beside a run that has the warehouse', async () => {
    const warehouse = join(dir, 'beside')
    const { child, answer } = start(['run', TRADES, '--input', input, '--warehouse', warehouse, '--commit-interval', '10ms'])
    try {
      const made = join(warehouse, 'trades/agg_1m/metadata')
      for await (const _ of ticks(10)) if (existsSync(made) || child.exitCode !== null) break
      expect(await reported(warehouse, '--older-than', '1ms', '--apply')).toMatchObject({ applied: true })
    } finally {
      child.kill('SIGINT')
    }
    expect((await answer).code).toBe(130)
    await runTrades(input, warehouse)
    await reported(warehouse, '--older-than', '0s', '--apply')
    const [{ n }] = await rowsOf<{ n: number }>(
      'SELECT (SELECT count(*) FROM trades.raw_trades) + (SELECT count(*) FROM trades.dead_letters) AS n',
      warehouse,
    )
    expect(n).toBe(2000)
  })

  test.each([
    ['without --apply', []],
    ['with --apply', ['--apply']],
  ])('%s makes nothing where no warehouse of the pipeline is, and exits 2', async (_, apply) => {
    const none = join(dir, 'none')
    const { code, stdout, stderr } = await trim(none, ...apply)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(
      /^error: Cannot trim pipeline trades: expected its logs in \S+none\/\.frazil, found none there\. Check --/,
    )
    expect(existsSync(none)).toBe(false)
    const empty = join(dir, 'empty')
    mkdirSync(empty, { recursive: true })
    expect((await trim(empty, ...apply)).code).toBe(2)
    expect(readdirSync(empty)).toEqual([])
  })

  test('refuses an age that is none', async () => {
    const { code, stderr } = await trim(join(dir, 'none'), '--older-than', 'long')
    expect(code).toBe(2)
    expect(stderr).toMatch(/^error: Cannot read --older-than: expected an age/)
  })

  test.each(['trim', 'audit'])('%s says that it takes a pipeline, not a table', async (command) => {
    const { code, stderr } = await frazil(command, 'trades.raw_trades', '--warehouse', join(dir, 'none'))
    expect(code).toBe(2)
    expect(stderr).toMatch(/found nothing\. This command takes a pipeline's file, not a table\.\n/)
  })
})
