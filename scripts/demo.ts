import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { generateTrades } from '../bench/trades.ts'

// npm run demo: makes a million trades, runs the pipeline over them and looks at the tables. All of it by the commands that
// it prints, so that each can be tried again.
const TRADES = 1_000_000
const LATE_SHARE = 0.001
const POISON_SHARE = 0.0005
const DIR = 'demo'
const INPUT = join(DIR, 'trades.ndjson')
const WAREHOUSE = join(DIR, 'warehouse')
/** Says that what lies beside it may be removed by the next demo. */
const OURS = join(DIR, '.made-by-npm-run-demo')

process.chdir(join(import.meta.dirname, '..'))
const startedMs = performance.now()

console.log('Frazil turns a Kafka topic into Iceberg tables, each record once. Here a file stands for the topic.\n')
prepare()
makeTrades()
frazil('run', 'pipelines/trades.ts', '--input', INPUT, '--warehouse', WAREHOUSE, '--until-end')
console.log('\nThe last candles, one per symbol and minute:')
frazil(
  'query',
  'SELECT * EXCLUDE window_end FROM trades.agg_1m ORDER BY window_start DESC, volume DESC LIMIT 10',
  '--warehouse',
  WAREHOUSE,
)
console.log('\nWhat is no trade is kept, with the reason:')
frazil(
  'query',
  'SELECT reason, count(*) AS records FROM trades.dead_letters GROUP BY ALL ORDER BY records DESC',
  '--warehouse',
  WAREHOUSE,
)
console.log('\nThe tables:')
frazil('tables', '--warehouse', WAREHOUSE)
console.log(`
All of it took ${((performance.now() - startedMs) / 1000).toFixed(1)} s. The warehouse is ${join(process.cwd(), WAREHOUSE)}

What to try next:
  # the same run again: nothing is added, each record is in already
  npm run --silent frazil -- run pipelines/trades.ts --input ${INPUT} --warehouse ${WAREHOUSE} --until-end
  # which minutes had trades that came too late, and by how much
  npm run --silent frazil -- query "SELECT symbol, window_start, watermark - window_end AS too_late_by FROM trades.agg_1m_late ORDER BY too_late_by DESC LIMIT 5" --warehouse ${WAREHOUSE}
  # your own pipeline: docs/tutorial/first-pipeline.md`)

function prepare(): void {
  if (!existsSync(OURS)) {
    const found = [INPUT, WAREHOUSE].find((path) => existsSync(path))
    if (found !== undefined) fail(`Cannot run the demo: expected no ${found}, found one that no demo made. Move it away.`)
  }
  mkdirSync(DIR, { recursive: true })
  writeFileSync(OURS, 'The demo removes trades.ndjson and warehouse beside this file before it makes them anew.\n')
  rmSync(INPUT, { force: true })
  rmSync(WAREHOUSE, { recursive: true, force: true })
}

function makeTrades(): void {
  process.stderr.write(`Making ${TRADES.toLocaleString('en-US')} trades, some late, some poison … `)
  const file = openSync(INPUT, 'w')
  for (const chunk of generateTrades({ count: TRADES, lateShare: LATE_SHARE, poisonShare: POISON_SHARE })) writeSync(file, chunk)
  closeSync(file)
  process.stderr.write(`${(statSync(INPUT).size / 1e6).toFixed(0)} MB in ${INPUT}\n`)
}

/** Runs a command as a user would, and shows it. */
function frazil(...args: string[]): void {
  const shown = args.map((arg) => (/^[\w./-]+$/.test(arg) ? arg : `"${arg}"`)).join(' ')
  console.log(`\n$ npm run --silent frazil -- ${shown}`)
  const { status, signal } = spawnSync(process.execPath, ['lib/cli/main.ts', ...args], { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? (signal === 'SIGINT' ? 130 : 2))
}

function fail(message: string): never {
  process.stderr.write(`error: ${message}\n`)
  process.exit(2)
}
