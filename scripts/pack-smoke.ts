import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { blocksOf, fileOf } from '../test/docs/blocks.ts'

// npm run smoke: does what the page on using Frazil in one's own project says, outside this checkout: packs, installs, checks types,
// runs a pipeline. Needs the registry for the package's dependencies, so it is no part of npm test.
const ROOT = join(import.meta.dirname, '..')
const PAGE = 'docs/how-to/use-in-your-own-project.md'
/** What the page calls the checkout. */
const CHECKOUT = '/path/to/frazil'
/** The command must feel instant: the fastest of some starts, since a busy machine says nothing of ours. */
const MAX_STARTUP_MS = 100
const STARTS = 9

const dir = mkdtempSync(join(tmpdir(), 'frazil-smoke-'))
const project = join(dir, 'candles')
const { FORCE_COLOR: _, ...inherited } = process.env
const env = {
  ...inherited,
  NO_COLOR: '1',
  PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`,
  npm_config_audit: 'false',
  npm_config_fund: 'false',
  npm_config_prefer_offline: 'true',
}

try {
  mkdirSync(project)
  const blocks = blocksOf(PAGE)
  for (const { info, text } of blocks) {
    const file = fileOf(info)
    if (file !== undefined) writeFileSync(join(project, file), text)
  }
  let said = ''
  for (const { info, text, line } of blocks) {
    if (info === 'sh smoke') said = step(line, text.replaceAll(CHECKOUT, ROOT))
    else if (info === 'output') check(`the output at ${PAGE}:${line}`, said, text)
  }
  const tarball = readdirSync(project).find((name) => name.endsWith('.tgz'))
  check('the tarball', tarball, `frazil-${versionOf(join(ROOT, 'package.json'))}.tgz`)
  const startMs = fastestStartMs(join(project, 'node_modules/frazil/dist/lib/cli/main.js'))
  check(`--version within ${MAX_STARTUP_MS} ms`, startMs < MAX_STARTUP_MS, true)
  console.log('pack smoke: all well')
} finally {
  rmSync(dir, { recursive: true, force: true })
}

/** Runs a block of the page as a user would, in the project. Returns what it wrote to stdout. */
function step(line: number, block: string): string {
  const { status, stdout, stderr, error } = spawnSync('bash', ['-euo', 'pipefail', '-c', block], {
    cwd: project,
    env,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${PAGE}:${line} ended with ${status ?? error?.message}\n${block}${stdout}${stderr}`)
  console.log(`ok ${PAGE}:${line}`)
  return stdout
}

function check(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) throw new Error(`${what}: expected ${String(expected)}, found ${String(found)}`)
  console.log(`ok ${what}`)
}

function fastestStartMs(main: string): number {
  let fastest = Number.POSITIVE_INFINITY
  for (let i = 0; i < STARTS; i++) {
    const before = performance.now()
    spawnSync(process.execPath, [main, '--version'])
    fastest = Math.min(fastest, performance.now() - before)
  }
  return fastest
}

function versionOf(packageFile: string): string {
  return (JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }).version
}
