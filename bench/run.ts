import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { planOf } from '../lib/index.ts'
import { type RunSource, run } from '../lib/local/run.ts'
import trades from '../pipelines/trades.ts'
import { generateTrades } from './trades.ts'

// The whole local run, in this process: trades from a file (or a broker that holds them already) into all four tables.
// Prints one JSON line; start-up (opening, provisioning) is stated apart.
const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '5000000' },
    input: { type: 'string' },
    brokers: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
})
const dir = mkdtempSync(join(tmpdir(), 'frazil-bench-'))
const source = await sourceOf()
const cpuBefore = process.cpuUsage()
const summary = await run({
  plan: planOf(trades),
  warehouse: { kind: 'directory', dir: join(dir, 'warehouse') },
  source,
  untilEnd: true,
  commitIntervalMs: 1000,
  signal: new AbortController().signal,
  onProgress: () => {},
})
const { user, system } = process.cpuUsage(cpuBefore)
const seconds = (summary.elapsedMs - summary.startupMs) / 1000
console.log(
  JSON.stringify({
    name: source.kind === 'brokers' ? 'run-brokers' : 'run-file',
    records: summary.records,
    records_per_second: Math.round(summary.records / seconds),
    seconds: Number(seconds.toFixed(2)),
    startup_seconds: Number((summary.startupMs / 1000).toFixed(2)),
    cpu_seconds_per_million: Number(((user + system) / summary.records).toFixed(2)),
    peak_rss_mb: Math.round(process.resourceUsage().maxRSS / 1024),
    data_files: summary.files,
    data_bytes: summary.fileBytes,
    rows: summary.tables,
  }),
)
if (!values.keep) rmSync(dir, { recursive: true })

async function sourceOf(): Promise<RunSource> {
  if (values.brokers !== undefined) return { kind: 'brokers', brokers: [values.brokers], security: {} }
  if (values.input !== undefined) return { kind: 'input', file: values.input, partitions: 4 }
  const file = join(tmpdir(), `frazil-trades-${values.count}.ndjson`)
  if (!existsSync(file)) {
    await writeFile(`${file}.new`, generateTrades({ count: Number(values.count), poisonShare: 0.0001 }))
    renameSync(`${file}.new`, file)
  }
  return { kind: 'input', file, partitions: 4 }
}
