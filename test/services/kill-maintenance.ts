import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { threshold, xoshiro128 } from '../../bench/random.ts'

// node test/services/kill-maintenance.ts [--rounds N] [--seed N] [--count LINES] [--keep]
//
// Each round runs a file into a fresh warehouse, while compact, expire, orphans and trim work on it with --apply, one after the other,
// nothing too young for them. All of them are killed by SIGKILL at random moments, the run too, and begun again. In the end PyIceberg finds what the
// oracle expects, the audit finds nothing, and after one undisturbed round of maintenance nothing lies in the tables that they do not name.

const REPO = join(import.meta.dirname, '../..')
const HERE = import.meta.dirname
const SERVICES = process.env.FRAZIL_SERVICES ?? join(REPO, '.frazil-services')
const PYTHON = process.env.PYTHON ?? 'python3.11'
const PIPELINE = 'pipelines/trades.ts'
const TABLES = ['raw_trades', 'agg_1m', 'agg_1m_late', 'dead_letters']
const COMMIT_INTERVAL = '20ms'
const OLD_MS = 2 * 3_600_000
/** Shares of commands and of runs that are killed. */
const KILL_COMMANDS = 0.6
const KILL_RUNS = 0.7
/** A command starts within the first part of this, and works in the rest. */
const COMMAND_MS = 1200
const RUN_MS = 4000
const RUN_KILLS_MAX = 3
/** Commands at the same time. */
const LANES = 2
/** Between looks at what is there, also to make it old. */
const WAIT_MS = 20
const LIMIT_MS = 120_000

interface Ended {
  readonly code: number | null
  readonly killed: boolean
  readonly stdout: string
  readonly stderr: string
}

/** A command that is killed after so many milliseconds, unless it ended before. */
async function started(program: string, args: readonly string[], killMs?: number): Promise<Ended> {
  const child: ChildProcess = spawn(program, args, {
    cwd: REPO,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = new Promise<readonly [number | null, NodeJS.Signals | null]>((resolve, reject) =>
    child.once('error', reject).once('close', (code, signal) => resolve([code, signal])),
  )
  const timer = setTimeout(() => child.kill('SIGKILL'), killMs ?? LIMIT_MS)
  const said = [child.stdout, child.stderr].map((stream) => (stream === null ? '' : text(stream)))
  const [[code, signal], stdout = '', stderr = ''] = await Promise.all([closed, ...said])
  clearTimeout(timer)
  const killed = signal === 'SIGKILL'
  if (killed && killMs === undefined) throw new Error(`${args.join(' ')}: not done in ${LIMIT_MS} ms\n${stderr}`)
  return { code, killed, stdout, stderr }
}

async function must(program: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await started(program, args)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit ${code}\n${stdout}${stderr}`)
  return stdout
}

const frazil = (...args: readonly string[]) => ['lib/cli/main.ts', ...args, '--json']

/** Makes all that lies in a warehouse's tables too old to be anybody's who is still at it: proofs alone keep it. */
function age(warehouse: string): void {
  if (!existsSync(join(warehouse, 'trades'))) return
  const at = new Date(Date.now() - OLD_MS)
  for (const entry of readdirSync(join(warehouse, 'trades'), { recursive: true, withFileTypes: true }))
    if (entry.isFile())
      try {
        utimesSync(join(entry.parentPath, entry.name), at, at)
      } catch {
        // It went meanwhile.
      }
}

type Name = 'compact' | 'expire' | 'orphans' | 'trim'
/** Orphans more often: it alone must know what others are about to commit. */
const NAMES: readonly Name[] = ['compact', 'expire', 'orphans', 'orphans', 'trim']

function commandOf(name: Name, table: string, warehouse: string): readonly string[] {
  const at = ['--warehouse', warehouse, '--apply']
  switch (name) {
    case 'compact':
      return frazil('compact', `trades.${table}`, ...at, '--hot', '--min-input-files', '2', '--manifests')
    case 'expire':
      return frazil('expire', `trades.${table}`, ...at, '--older-than', '1ms', '--retain-last', '1')
    case 'orphans':
      return frazil('orphans', `trades.${table}`, ...at, '--older-than', '1h', '--quarantine', '0s')
    case 'trim':
      return frazil('trim', PIPELINE, ...at, '--older-than', '1ms')
  }
}

/** One round; returns how often what was killed and ended well. */
async function round(input: string, expected: string, warehouse: string, seed: number) {
  const feeder = xoshiro128(seed)
  const kills: Record<Name | 'run', number> = { run: 0, compact: 0, expire: 0, orphans: 0, trim: 0 }
  const done: Record<Name, number> = { compact: 0, expire: 0, orphans: 0, trim: 0 }
  const failures: string[] = []
  let running = true
  const feeding = (async () => {
    const args = frazil(
      'run',
      PIPELINE,
      '--events',
      input,
      '--warehouse',
      warehouse,
      '--until-end',
      '--commit-interval',
      COMMIT_INTERVAL,
    )
    for (;;) {
      const killed = kills.run < RUN_KILLS_MAX && feeder() < threshold(KILL_RUNS)
      const ended = await started(process.execPath, args, killed ? (feeder() / 2 ** 32) * RUN_MS : undefined)
      if (ended.killed) kills.run++
      else if (ended.code === 0) return
      else throw new Error(`run: exit ${ended.code}\n${ended.stderr}`)
    }
  })().finally(() => {
    running = false
  })
  const maintaining = async (keeper: () => number) => {
    while (running) {
      const name = NAMES[keeper() % NAMES.length] ?? 'compact'
      const table = TABLES[keeper() % TABLES.length] ?? ''
      const killMs = keeper() < threshold(KILL_COMMANDS) ? (keeper() / 2 ** 32) * COMMAND_MS : undefined
      if (!existsSync(join(warehouse, 'trades', table, 'metadata'))) {
        await delay(WAIT_MS)
        continue
      }
      const ended = await started(process.execPath, commandOf(name, table, warehouse), killMs)
      if (ended.killed) kills[name]++
      else if (ended.code === 0) done[name]++
      else failures.push(`${name} ${table}: exit ${ended.code}\n${ended.stderr}`)
    }
  }
  const ageing = setInterval(() => age(warehouse), WAIT_MS)
  const lanes = Array.from({ length: LANES }, (_, i) => maintaining(xoshiro128(seed + 1 + i)))
  await Promise.all([feeding, ...lanes]).finally(() => clearInterval(ageing))
  if (failures.length > 0) throw new Error(failures.join('\n'))

  const compare = () => must(join(SERVICES, 'venv/bin/python'), [join(HERE, 'read_pyiceberg.py'), warehouse, expected])
  await compare()
  await must(process.execPath, frazil('audit', PIPELINE, '--warehouse', warehouse))
  for (const name of ['compact', 'expire'] as const)
    await Promise.all(TABLES.map((table) => must(process.execPath, commandOf(name, table, warehouse))))
  age(warehouse)
  await Promise.all(TABLES.map((table) => must(process.execPath, commandOf('orphans', table, warehouse))))
  await must(process.execPath, commandOf('trim', '', warehouse))
  await compare()
  await must(process.execPath, frazil('audit', PIPELINE, '--warehouse', warehouse))
  const tables = JSON.parse(await must(process.execPath, [join(HERE, 'snapshots.ts'), warehouse])) as Record<
    string,
    { readonly garbage: readonly string[] }
  >
  const garbage = Object.values(tables).flatMap((table) => table.garbage)
  if (garbage.length > 0) throw new Error(`left in the tables: ${garbage.join(', ')}`)
  const again = JSON.parse(await must(process.execPath, commandOf('trim', '', warehouse))) as Record<
    string,
    { readonly objects?: number } | undefined
  >
  if (again.segments?.objects !== 0 || again.bodies?.objects !== 0) throw new Error(`left in staging: ${JSON.stringify(again)}`)
  return { kills, done }
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '16000' },
    keep: { type: 'boolean', default: false },
  },
})
mkdirSync(SERVICES, { recursive: true })
const work = mkdtempSync(join(SERVICES, 'kill-maintenance-'))
const input = join(work, 'events.ndjson')
const expected = join(work, 'expected')
const shares = ['--late', '0.003', '--poison', '0.002', '--odd', '0.002', '--ahead', '0.0005', '--duplicates', '0.2']
// Small events, so that there are many commits.
const shape = ['--events', '--timestamps', '--batch', '40', ...shares]
await must(process.execPath, ['bench/trades.ts', '--count', values.count, '--seed', values.seed, ...shape, '--out', input])
await must(PYTHON, [join(HERE, 'oracle.py'), '--events', input, '--out', expected])
const began = performance.now()
let failed = 0
for (let n = 1; n <= Number(values.rounds); n++) {
  const warehouse = join(work, `round-${n}`)
  try {
    console.error(
      `ok round ${n}: ${JSON.stringify(await round(input, expected, warehouse, 10 * n + 1000 * Number(values.seed)))}`,
    )
    if (!values.keep) rmSync(warehouse, { recursive: true })
  } catch (error) {
    failed++
    console.error(`FAILED round ${n}: ${error instanceof Error ? error.message : String(error)}\n  kept: ${warehouse}`)
  }
}
console.log(
  JSON.stringify({ rounds: Number(values.rounds), failed, seconds: Number(((performance.now() - began) / 1000).toFixed(1)) }),
)
if (failed === 0 && !values.keep) rmSync(work, { recursive: true })
process.exitCode = failed === 0 ? 0 : 1
