import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { REPO, TRADES, tempDir, tradesFile } from './frazil.ts'

const MAIN = join(REPO, 'lib/cli/main.ts')
const dir = tempDir()
const elsewhere = join(dir, 'elsewhere')
mkdirSync(elsewhere)

async function said(cwd: string, env: NodeJS.ProcessEnv, command: string, ...args: string[]): Promise<string> {
  const { FORCE_COLOR: _, ...inherited } = process.env
  const PATH = `${dirname(process.execPath)}:${process.env.PATH}`
  const child = spawn(command, args, { cwd, env: { ...inherited, PATH, NO_COLOR: '1', ...env } })
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  return stdout + stderr
}

describe('relative paths', () => {
  const tables = ['tables', '--warehouse', 'none']

  test('count from where npm run was called, not from the root of the checkout', async () => {
    const answer = await said(join(REPO, 'docs/how-to'), {}, 'npm', 'run', '--silent', 'frazil', '--', ...tables)
    expect(answer).toContain(`Cannot read warehouse ${join(REPO, 'docs/how-to/none')}:`)
  })

  test('count from the working directory when npm runs something else that calls the command', async () => {
    const env = { INIT_CWD: REPO, npm_lifecycle_event: 'test' }
    expect(await said(elsewhere, env, 'node', MAIN, ...tables)).toContain(`Cannot read warehouse ${join(elsewhere, 'none')}:`)
  })
})

describe('what to call next', () => {
  const run = ['run', TRADES, '--input', tradesFile(dir, 10), '--until-end', '--warehouse']

  test('is the script of the checkout within it', async () => {
    expect(await said(REPO, {}, 'node', MAIN, ...run, join(dir, 'a'))).toContain('\n  npm run --silent frazil -- tables ')
  })

  test('is the file itself elsewhere, where there is no such script', async () => {
    expect(await said(elsewhere, {}, 'node', MAIN, ...run, join(dir, 'b'))).toContain(`\n  node ${MAIN} tables `)
  })
})
