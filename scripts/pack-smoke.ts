import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { generateTrades } from '../bench/trades.ts'

// npm run smoke: packs the package, installs it as a user would and runs a pipeline with it, outside this checkout. Needs the
// registry for its dependencies, so it is no part of npm test.
const ROOT = join(import.meta.dirname, '..')
const LINES = 1000
/** The command must feel instant: the fastest of some starts, since a busy machine says nothing of ours. */
const MAX_STARTUP_MS = 100
const STARTS = 9
const dir = mkdtempSync(join(tmpdir(), 'frazil-smoke-'))
const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` }

const PIPELINE = `import { column, kafka, minutes, pipeline, seconds, timestampMillis, tumbling } from 'frazil'

const trades = kafka('trades', {
  key: 'symbol',
  schema: { symbol: column.string(), ts: column.long(), price: column.double() },
  computed: { event_time: (c) => timestampMillis(c.ts) },
  eventTime: 'event_time',
  watermark: { delay: seconds(5) },
})

const counts = trades
  .keyBy('symbol')
  .window(tumbling(minutes(1)))
  .aggregate((a) => ({ trades: a.count(), high: a.max('price') }))

export default pipeline('smoke', {
  sinks: [trades.select('symbol', 'price', 'event_time').appendTo('all_trades'), counts.appendTo('per_minute')],
})
`

try {
  step('pack', ROOT, 'npm', 'pack', '--pack-destination', dir)
  const tarball = readdirSync(dir).find((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('npm pack left no tarball')
  const user = join(dir, 'user')
  mkdirSync(user)
  writeFileSync(join(user, 'package.json'), '{ "name": "user", "private": true, "type": "commonjs" }\n')
  writeFileSync(join(user, 'pipeline.ts'), PIPELINE)
  const input = openSync(join(user, 'trades.ndjson'), 'w')
  for (const chunk of generateTrades({ count: LINES })) writeSync(input, chunk)
  closeSync(input)
  const version = versionOf(join(ROOT, 'package.json'))

  step('install', user, 'npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', join(dir, tarball))
  check('frazil --version', step('version', user, 'npx', '--no-install', 'frazil', '--version').trim(), version)
  const startMs = fastestStartMs(join(user, 'node_modules/frazil/dist/cli/main.js'))
  check(`--version within ${MAX_STARTUP_MS} ms`, startMs < MAX_STARTUP_MS, true)
  const command = [
    'frazil',
    'run',
    'pipeline.ts',
    '--input',
    'trades.ndjson',
    '--warehouse',
    'warehouse',
    '--until-end',
    '--json',
  ]
  const summary = JSON.parse(step('run', user, 'npx', '--no-install', ...command)) as { tables: Record<string, number> }
  check('rows of smoke.all_trades', summary.tables['smoke.all_trades'], LINES)
  const sql = 'SELECT sum(trades) AS n FROM smoke.per_minute'
  const rows = step('query', user, 'npx', '--no-install', 'frazil', 'query', sql, '--warehouse', 'warehouse', '--json')
  const late = summary.tables['smoke.per_minute_late']
  check('trades in windows', (JSON.parse(rows) as { n: number }[])[0].n, LINES - late)

  const types = [
    '--noEmit',
    '--strict',
    '--target',
    'es2024',
    '--module',
    'nodenext',
    '--moduleDetection',
    'force',
    '--types',
    '',
  ]
  step('types', user, process.execPath, join(ROOT, 'node_modules/typescript/bin/tsc'), ...types, 'pipeline.ts')
  console.log('pack smoke: all well')
} finally {
  rmSync(dir, { recursive: true, force: true })
}

function step(name: string, cwd: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8' })
  if (status === 0) return stdout
  throw new Error(`${name} failed: ${command} ${args.join(' ')} ended with ${status ?? error?.message}\n${stdout}${stderr}`)
}

function check(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) throw new Error(`${what}: expected ${String(expected)}, found ${String(found)}`)
  console.log(`ok ${what}: ${String(found)}`)
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
