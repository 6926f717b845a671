import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll } from 'vitest'
import { generateTrades } from '../../bench/trades.ts'

export const REPO = join(import.meta.dirname, '../..')
export const TRADES = join(REPO, 'pipelines/trades.ts')

export interface Answer {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Starts the command as a shell would; colours and terminals of the test runner are kept out. */
export function start(args: readonly string[], cwd = REPO): { readonly child: ChildProcess; readonly answer: Promise<Answer> } {
  const { FORCE_COLOR: _, ...env } = process.env
  const child = spawn(process.execPath, [join(REPO, 'lib/cli/main.ts'), ...args], {
    cwd,
    env: { ...env, NO_COLOR: '1', TZ: 'Asia/Tokyo' },
  })
  const code = new Promise<number | null>((resolve) => child.once('close', resolve))
  const answer = Promise.all([code, text(child.stdout), text(child.stderr)])
  return { child, answer: answer.then(([exit, stdout, stderr]) => ({ code: exit, stdout, stderr })) }
}

export const frazil = (...args: readonly string[]): Promise<Answer> => start(args).answer

/** A directory of this test file's own, gone afterwards. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'frazil-cli-'))
  afterAll(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Trades in an hour, some late, some poison. Returns the file. */
export function tradesFile(dir: string, count: number, name = 'trades.ndjson'): string {
  const file = join(dir, name)
  writeFileSync(file, Buffer.concat([...generateTrades({ count, lateShare: 0.01, poisonShare: 0.01 })]))
  return file
}

/** Runs trades into `warehouse` until the end; throws what the command said when it failed. */
export async function runTrades(input: string, warehouse: string): Promise<{ readonly tables: Record<string, number> }> {
  const { code, stdout, stderr } = await frazil(
    'run',
    TRADES,
    '--input',
    input,
    '--warehouse',
    warehouse,
    '--until-end',
    '--json',
  )
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}

/** Rows of a query, by `--json`. */
export async function rowsOf<T = Record<string, unknown>>(sql: string, warehouse: string): Promise<T[]> {
  const { code, stdout, stderr } = await frazil('query', sql, '--warehouse', warehouse, '--json')
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}
