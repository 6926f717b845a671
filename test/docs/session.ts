import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, expect } from 'vitest'
import { type Block, blocksOf, fileOf, REPO } from './blocks.ts'

const MARK = '\u0001'
const IN_CHECKOUT = [
  '.gitignore',
  'bench',
  'biome.json',
  'cdk',
  'cdk.json',
  'functions',
  'lib',
  'package.json',
  'pipelines',
  'tsconfig.json',
]

/** A checkout as `git clone` and `npm ci` leave it, its packages shared; gone after the tests. */
export function checkout(): string {
  const dir = mkdtempSync(join(tmpdir(), 'frazil-docs-'))
  afterAll(() => rmSync(dir, { recursive: true, force: true }))
  for (const name of IN_CHECKOUT) cpSync(join(REPO, name), join(dir, name), { recursive: true })
  symlinkSync(join(REPO, 'node_modules'), join(dir, 'node_modules'))
  return dir
}

/**
 * Does in `dir` what a page says: writes its files, runs its blocks of the kind `info` as one shell session, and compares what
 * each wrote with the `output` that follows it.
 */
export async function follow(
  dir: string,
  page: string,
  info: 'sh' | 'sh aws',
  variables: Readonly<Record<string, string>> = {},
): Promise<void> {
  const blocks = blocksOf(page)
  writeFiles(dir, blocks)
  const commands = blocks.filter((block) => block.info === info)
  const script = commands.map((block) => block.text)
  const outputs = await session(dir, script, variables)
  for (const [i, block] of blocks.entries()) {
    if (block.info !== 'output') continue
    const last = blocks[i - 1]
    expect(last?.info, `${page}:${block.line} follows a command that runs`).toMatch(/^sh( aws)?$/)
    if (last.info === info) expect(outputs[commands.indexOf(last)], `${page}:${block.line}`).toBe(block.text)
  }
}

function writeFiles(dir: string, blocks: readonly Block[]): void {
  for (const { info, text: content } of blocks) {
    // Others are those of a project of one's own: npm run smoke makes one.
    const file = fileOf(info)
    if (!file?.startsWith('my/')) continue
    mkdirSync(dirname(join(dir, file)), { recursive: true })
    writeFileSync(join(dir, file), content)
  }
}

/** Runs commands as one shell session and gives what each wrote to stdout. */
export async function session(
  dir: string,
  blocks: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): Promise<string[]> {
  const script = blocks.map((block) => `${block}\nprintf '${MARK}'`).join('\n')
  const { FORCE_COLOR: _, ...inherited } = process.env
  const PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`
  const env = { ...inherited, ...variables, PATH, NO_COLOR: '1' }
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], { cwd: dir, env })
  const code = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  if ((await code) !== 0) throw new Error(`A block failed:\n${stdout}${stderr}`)
  return stdout.split(MARK)
}
