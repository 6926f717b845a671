import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { blocksOf, fileOf } from '../test/docs/blocks.ts'

// npm run smoke: does what the pages on Frazil in one's own project say, outside this checkout: packs, installs, checks types, runs
// a pipeline, synthesizes its stack. Needs the registry for the package's dependencies, so it is no part of npm test.
const ROOT = join(import.meta.dirname, '..')
const PAGES = ['docs/how-to/use-in-your-own-project.md', 'docs/how-to/deploy.md']
/** What the page calls the checkout. */
const CHECKOUT = '/path/to/frazil'
/** The command must feel instant: against Node itself, the fastest of some starts each, since a busy machine slows both. */
const MAX_STARTUP_RATIO = 2.5
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
  const blocks = PAGES.flatMap((page) => blocksOf(page).map((block) => ({ ...block, at: `${page}:${block.line}` })))
  let said = ''
  for (const { info, text, at } of blocks) {
    const file = fileOf(info)
    if (file !== undefined) writeFileSync(join(project, file), text)
    else if (info === 'sh smoke') said = step(at, text.replaceAll(CHECKOUT, ROOT))
    else if (info === 'output') check(`the output at ${at}`, said, text)
  }
  const tarball = readdirSync(project).find((name) => name.endsWith('.tgz'))
  check('the tarball', tarball, `frazil-${versionOf(join(ROOT, 'package.json'))}.tgz`)
  step('a project of CommonJS', `node --input-type=commonjs --eval "require('frazil/cdk').StreamingPipeline.name"`)
  const ratio = startupRatio(join(project, 'node_modules/frazil/dist/lib/cli/main.js'))
  check(`--version within ${MAX_STARTUP_RATIO} times what Node takes`, ratio < MAX_STARTUP_RATIO, true)
  console.log('pack smoke: all well')
} finally {
  rmSync(dir, { recursive: true, force: true })
}

/** Runs a block of the page as a user would, in the project. Returns what it wrote to stdout. */
function step(at: string, block: string): string {
  const { status, stdout, stderr, error } = spawnSync('bash', ['-euo', 'pipefail', '-c', block], {
    cwd: project,
    env,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${at} ended with ${status ?? error?.message}\n${block}${stdout}${stderr}`)
  console.log(`ok ${at}`)
  return stdout
}

function check(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) throw new Error(`${what}: expected ${String(expected)}, found ${String(found)}`)
  console.log(`ok ${what}`)
}

function startupRatio(main: string): number {
  const fastest = { ours: Number.POSITIVE_INFINITY, bare: Number.POSITIVE_INFINITY }
  const startMs = (...args: string[]): number => {
    const before = performance.now()
    spawnSync(process.execPath, args)
    return performance.now() - before
  }
  for (let i = 0; i < STARTS; i++) {
    fastest.ours = Math.min(fastest.ours, startMs(main, '--version'))
    fastest.bare = Math.min(fastest.bare, startMs('--eval', '0'))
  }
  return fastest.ours / fastest.bare
}

function versionOf(packageFile: string): string {
  return (JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }).version
}
