import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { gbSeconds } from '../lib/cost/lambda.ts'
import { PRICES, PRICES_AS_OF, PRICES_REGION, priced } from '../lib/cost/prices.ts'
import { openWarehouse } from '../lib/local/warehouse.ts'
import { compactJob, previewCompaction } from '../lib/maintenance/compact.ts'
import { limitsOf } from '../lib/maintenance/limits.ts'
import { DEFAULT_MAINTENANCE } from '../lib/pipeline/maintenance.ts'
import type { Objects } from '../lib/ports/objects.ts'
import { compactionInput, resetInput, TABLE } from './compact-input.ts'

const HELP = `npm run bench:compact -- [--files 1000] [--rounds 3] [--memory MB] [--parts sort,binpack,spark-sort,spark-binpack,duckdb]

Compacts a table of so many files of 5,000 trades into files of 128 MB, sorted by (symbol, ts) and packed as they come; prints one JSON line a part:
medians of the rounds, each a process of its own measured from its start to its end. Parts take turns. The parts spark-* and duckdb run the peers in bench/peers
on the same files; Spark needs what test/services/install.sh installs.`

const REPO = join(import.meta.dirname, '..')
const TARGET_BYTES = 128 << 20
/** Memory that the sizing rule is told, and a function would have. */
const MEMORY_MB = 1024
/** Memory at which a function has one vCPU, https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html */
const VCPU_MEMORY_MB = 1769

type Figures = Readonly<Record<string, number>>

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '3' },
    memory: { type: 'string', default: String(MEMORY_MB) },
    parts: { type: 'string', default: 'sort,binpack' },
    work: { type: 'string' },
    warehouse: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
const memoryMb = Number(values.memory)

if (values.help) console.log(HELP)
else if (values.work === 'sort' || values.work === 'binpack') await work(values.work, values.warehouse ?? '')
else await compare()

/** One compaction in this process: what the command and the function do, on a directory. */
async function work(strategy: 'sort' | 'binpack', dir: string): Promise<void> {
  const warehouse = await openWarehouse({ kind: 'directory', dir })
  const calls = { gets: 0, puts: 0, heads: 0, lists: 0 }
  const ports = { ...warehouse.ports, objects: counted(warehouse.ports.objects, calls) }
  const policy = { ...DEFAULT_MAINTENANCE.compact, strategy, targetFileBytes: TARGET_BYTES, hot: true }
  const limits = limitsOf(memoryMb)
  const { jobs, groups } = await previewCompaction(ports, TABLE, policy, limits, ports.clock.now())
  const report = { filesBefore: 0, filesAfter: 0, bytesBefore: 0, bytesAfter: 0 }
  for (const job of jobs) {
    const done = await compactJob(ports, job, policy, limits)
    if (done.gaveUp.length > 0) throw new Error(`a group gave up: ${JSON.stringify(done.gaveUp)}`)
    report.filesBefore += done.filesBefore
    report.filesAfter += done.filesAfter
    report.bytesBefore += done.bytesBefore
    report.bytesAfter += done.bytesAfter
  }
  warehouse.close()
  const { user, system } = process.cpuUsage()
  const { maxRSS } = process.resourceUsage()
  const usage = { cpu_seconds: (user + system) / 1e6, peak_rss_mb: maxRSS / 1024 }
  console.log(JSON.stringify({ ...usage, groups: groups.length, ...report, ...calls }))
}

/** Requests that have a price, counted as they pass. */
function counted(objects: Objects, calls: { gets: number; puts: number; heads: number; lists: number }): Objects {
  return {
    get(location, range) {
      calls.gets++
      return objects.get(location, range)
    },
    put(location, parts) {
      calls.puts++
      return objects.put(location, parts)
    },
    size(location) {
      calls.heads++
      return objects.size(location)
    },
    delete: (location) => objects.delete(location),
    list(prefix) {
      calls.lists++
      return objects.list(prefix)
    },
  }
}

async function compare(): Promise<void> {
  const dir = await compactionInput(Number(values.files))
  const services = process.env.FRAZIL_SERVICES ?? join(REPO, '.frazil-services')
  const python = join(services, 'venv/bin/python')
  const ours = (part: string) => [
    process.execPath,
    join(import.meta.dirname, 'compact.ts'),
    ...['--work', part, '--warehouse', dir, '--memory', String(memoryMb)],
  ]
  const spark = (strategy: string) => [python, join(import.meta.dirname, 'peers/spark_compact.py'), dir, strategy]
  const commands: Readonly<Record<string, readonly string[]>> = {
    sort: ours('sort'),
    binpack: ours('binpack'),
    'spark-sort': spark('sort'),
    'spark-binpack': spark('binpack'),
    duckdb: [process.execPath, join(import.meta.dirname, 'peers/duckdb-compact.ts'), dir],
  }
  const parts = values.parts.split(',')
  const measured = new Map<string, Figures[]>(parts.map((part) => [part, []]))
  for (let round = 0; round < Number(values.rounds); round++)
    for (const part of parts) {
      const command = commands[part]
      if (command === undefined) throw new Error(HELP)
      resetInput(dir)
      measured.get(part)?.push(await run(command, services))
    }
  for (const [part, figures] of measured) {
    const medians = mediansOf(figures)
    const dollars = part === 'sort' || part === 'binpack' ? { dollars_per_gb: dollarsPerGb(medians) } : {}
    console.log(JSON.stringify({ part, rounds: figures.length, ...medians, ...dollars }))
  }
  console.log(
    JSON.stringify({ prices: PRICES_AS_OF, region: PRICES_REGION, function_memory_mb: memoryMb, gb: '10^9 bytes of input' }),
  )
  resetInput(dir)
}

/** Runs a part to its end; its last line tells its figures, the clock here its time. */
async function run([program = '', ...args]: readonly string[], services: string): Promise<Figures> {
  const began = performance.now()
  const child = spawn(program, args, {
    cwd: REPO,
    env: { ...process.env, FRAZIL_SERVICES: services, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const code = new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject))
  const [exit, stdout, stderr] = await Promise.all([code, text(child.stdout), text(child.stderr)])
  if (exit !== 0) throw new Error(`${[program, ...args].join(' ')}: exit ${exit}\n${stderr.slice(-4000)}`)
  const figures = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Figures
  return { wall_seconds: (performance.now() - began) / 1000, ...figures }
}

function mediansOf(figures: readonly Figures[]): Figures {
  const names = Object.keys(figures[0] ?? {})
  const median = (name: string) => figures.map((one) => one[name] ?? 0).sort((a, b) => a - b)[figures.length >> 1] ?? 0
  return Object.fromEntries(names.map((name) => [name, Number(median(name).toFixed(2))]))
}

/** Of input, in a function: its CPU share grows with its memory; what S3 keeps it waiting is not in it. */
function dollarsPerGb({ cpu_seconds: cpu = 0, bytesBefore = 0, gets = 0, puts = 0, heads = 0, lists = 0 }: Figures): number {
  const seconds = (cpu * VCPU_MEMORY_MB) / Math.min(memoryMb, VCPU_MEMORY_MB)
  const lambda = priced(PRICES.lambdaGbSecond, gbSeconds(seconds, memoryMb)) + priced(PRICES.lambdaCall, 1)
  const requests = priced(PRICES.s3Get, gets + heads) + priced(PRICES.s3Put, puts + lists)
  return Number((((lambda + requests) * 1e9) / bytesBefore).toFixed(5))
}
