import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, watch } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { threshold, xoshiro128 } from '../../bench/random.ts'
import { usage } from '../../lib/errors.ts'

const HELP = `node test/services/kill.ts --mode input|events|brokers [--rounds N] [--seed N] [--count LINES]
  [--brokers H:P --expected DIR] [--run-args "…"] [--keep]

Each round starts the run on a fresh warehouse, kills it by SIGKILL at a random point (after a random time, or right after a
random change in the warehouse), starts it again, perhaps kills it again, lets it end, and has PyIceberg compare all four
tables with the oracle. A round without a kill that found the run alive is played again with another point.`

const MODES = ['input', 'events', 'brokers'] as const
type Mode = (typeof MODES)[number]

const REPO = join(import.meta.dirname, '../..')
const HERE = import.meta.dirname
const SERVICES = process.env.FRAZIL_SERVICES ?? join(REPO, '.frazil-services')
const READER = join(SERVICES, 'venv/bin/python')
const PYTHON = process.env.PYTHON ?? 'python3.11'
const PIPELINE = 'pipelines/trades.ts'
/** Many commits, so that many kills fall into one. */
const COMMIT_INTERVAL = '100ms'
/** Kills in one round: one, and half as often each further one. */
const KILLS_PER_ROUND_MAX = 4
/** A point may lie past the end of a run; so many rounds in a row without a kill mean that something is wrong. */
const MISSES_MAX = 20
/** Enough to look at. */
const FAILURES_MAX = 3
const RUN_LIMIT_MS = 120_000

interface Ended {
  readonly code: number | null
  readonly killed: boolean
  readonly ms: number
  /** Changes seen in the warehouse. */
  readonly changes: number
  readonly stderr: string
}

/** When to kill: after so many ms, or at the so-manieth change in the warehouse. */
type Point = { readonly afterMs: number } | { readonly atChange: number } | undefined

function runOnce(args: readonly string[], warehouse: string, point: Point): Promise<Ended> {
  return new Promise((resolve, reject) => {
    mkdirSync(warehouse, { recursive: true })
    const began = performance.now()
    let changes = 0
    let killed = false
    let stderr = ''
    const child = spawn(process.execPath, ['lib/cli/main.ts', 'run', PIPELINE, '--warehouse', warehouse, ...args], {
      cwd: REPO,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const kill = () => {
      if (!killed && child.exitCode === null) killed = child.kill('SIGKILL')
    }
    const watcher = watch(warehouse, { recursive: true }, () => {
      changes++
      if (point !== undefined && 'atChange' in point && changes >= point.atChange) kill()
    })
    // Directories may vanish under the watcher; that is no finding.
    watcher.on('error', () => {})
    const timer = point !== undefined && 'afterMs' in point ? setTimeout(kill, point.afterMs) : undefined
    const limit = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`Cannot test: expected the run to end in ${RUN_LIMIT_MS} ms, it did not.\n${stderr}`))
    }, RUN_LIMIT_MS)
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-10_000)
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      clearTimeout(limit)
      watcher.close()
      resolve({ code, killed: killed && signal === 'SIGKILL', ms: performance.now() - began, changes, stderr })
    })
  })
}

function command(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: REPO,
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let text = ''
    child.stdout.on('data', (part) => (text += part))
    child.stderr.on('data', (part) => (text += part))
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0 ? resolve(text) : reject(new Error(`${program} ${args.join(' ')}: exit ${code}\n${text}`)),
    )
  })
}

function compare(warehouse: string, expected: string): Promise<string> {
  return command(READER, [join(HERE, 'read_pyiceberg.py'), warehouse, expected])
}

/** Makes the input and what is expected of it; returns the arguments that run it. */
async function prepare(mode: Mode, work: string, options: { count: number; seed: number; brokers: string | undefined }) {
  if (mode === 'brokers') return ['--brokers', options.brokers ?? '']
  const file = join(work, `${mode}.ndjson`)
  const trades = [
    '--count',
    options.count,
    '--seed',
    options.seed,
    '--late',
    0.003,
    '--poison',
    0.002,
    '--odd',
    0.002,
    '--out',
    file,
  ]
  const events = [
    '--events',
    '--timestamps',
    '--ahead',
    0.0005,
    '--duplicates',
    0.3,
    '--batch',
    2000,
    '--batch-seed',
    options.seed,
  ]
  const args = mode === 'events' ? [...trades, ...events] : trades
  await command(process.execPath, [join(REPO, 'bench/trades.ts'), ...args.map(String)])
  await command(PYTHON, [join(HERE, 'oracle.py'), `--${mode}`, file, '--out', join(work, 'expected')])
  return [`--${mode}`, file]
}

async function main(): Promise<boolean> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      mode: text,
      rounds: text,
      seed: text,
      count: text,
      brokers: text,
      expected: text,
      'run-args': text,
      keep: { type: 'boolean', default: false },
    },
  })
  const mode = MODES.find((one) => one === values.mode)
  if (mode === undefined || (mode === 'brokers' && (values.brokers === undefined || values.expected === undefined)))
    throw usage(HELP)
  const rounds = Number(values.rounds ?? 20)
  const seed = Number(values.seed ?? 1)
  const random = xoshiro128(seed)
  const began = performance.now()
  mkdirSync(SERVICES, { recursive: true })
  const work = mkdtempSync(join(SERVICES, 'kill-'))
  const expected = values.expected ?? join(work, 'expected')
  const input = await prepare(mode, work, { count: Number(values.count ?? 100_000), seed, brokers: values.brokers })
  const args = [
    ...input,
    '--until-end',
    '--commit-interval',
    COMMIT_INTERVAL,
    ...(values['run-args']?.split(' ').filter(Boolean) ?? []),
  ]

  const check = async (warehouse: string): Promise<string | undefined> => {
    try {
      await compare(warehouse, expected)
      return undefined
    } catch (error) {
      return String(error)
    }
  }

  let failed = 0
  let passed = 0
  let kills = 0
  const report = (round: string, found: string | undefined, how: string) => {
    if (found === undefined) passed++
    else failed++
    console.error(`${found === undefined ? 'ok' : 'FAILED'} ${mode} ${round}: ${how}${found === undefined ? '' : `\n${found}`}`)
  }

  // Nobody is killed: how long it takes, how often the warehouse changes; and doing it again adds nothing.
  const calm = join(work, 'calm')
  const whole = await runOnce(args, calm, undefined)
  const again = await runOnce(args, calm, undefined)
  const exits =
    whole.code === 0 && again.code === 0 ? undefined : `exit ${whole.code}, ${again.code}\n${whole.stderr}\n${again.stderr}`
  report(
    'undisturbed',
    exits ?? (await check(calm)),
    `${Math.round(whole.ms)} ms, ${whole.changes} changes, then again ${Math.round(again.ms)} ms`,
  )
  if (failed > 0) return false
  rmSync(calm, { recursive: true })

  let misses = 0
  for (let round = 1; failed < FAILURES_MAX && round <= rounds && misses < MISSES_MAX; ) {
    const warehouse = join(work, `round-${round}`)
    const points: string[] = []
    let ended: Ended
    let killsHere = 0
    for (let attempt = 0; ; attempt++) {
      const wanted = attempt === 0 || (attempt < KILLS_PER_ROUND_MAX && random() < threshold(0.5))
      const part = random() / 2 ** 32
      const point: Point = !wanted
        ? undefined
        : random() % 2 === 0
          ? { afterMs: part * whole.ms }
          : { atChange: 1 + Math.floor(part * whole.changes) }
      ended = await runOnce(args, warehouse, point)
      if (ended.killed) {
        killsHere++
        points.push(`${JSON.stringify(point)} at ${Math.round(ended.ms)} ms`)
      } else break
    }
    if (killsHere === 0 && ended.code === 0) {
      misses++
      rmSync(warehouse, { recursive: true })
      continue
    }
    misses = 0
    kills += killsHere
    const found = ended.code === 0 ? await check(warehouse) : `exit ${ended.code}\n${ended.stderr}`
    report(`round ${round}`, found, `killed ${points.join(', ')}`)
    if (found === undefined && !values.keep) rmSync(warehouse, { recursive: true })
    else console.error(`  kept: ${warehouse}`)
    round++
  }
  if (misses >= MISSES_MAX) report('kills', `expected kills to find the run alive, ${misses} in a row did not`, '')
  const seconds = Number(((performance.now() - began) / 1000).toFixed(1))
  console.log(JSON.stringify({ mode, seed, rounds, kills, failed, seconds }))
  console.log(`${passed} passed, ${failed} failed`)
  if (failed === 0 && !values.keep) rmSync(work, { recursive: true })
  return failed === 0
}

process.exitCode = (await main()) ? 0 : 1
