import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { type MaintenanceResult, simulateMaintenance } from './maintenance/simulate.ts'
import { type Result, simulate } from './simulate.ts'

/**
 * `npx node test/simulation/run.ts --seeds 2000 --from 1` runs seeds; `--seed 1234` replays one. Exits 1 when a seed fails.
 */
const HELP = `Runs the pipeline under simulated faults, one seed after another.
  --seeds N      how many seeds (200)
  --from N       the first seed (1)
  --seed N       one seed alone, with its trace
  --variant N    another run over the same topic (0)
  --maintenance  tables kept by compaction, expiry, retention, sweeps and trims, beside commits and other engines
  --workers N    processes at once (2)
  --keep-going   do not stop at the first failure
  --json         the summary as one JSON line on stdout`

/** One seed in so many is run twice over the same topic, and its tables are compared bit for bit. */
const TWICE_EVERY = 8
const TRACE_LINES = 60

export interface Failure {
  readonly seed: number
  readonly variant: number
  readonly check: string
  readonly message: string
  readonly maintenance?: boolean
}

interface Tally {
  seeds: number
  steps: number
  faults: number
  rows: number
  late: number
  windows: number
  deadLetters: number
  checkpoints: number
  compared: number
  rewrites: number
  expiries: number
  sweeps: number
  foreign: number
  deleted: number
}

const emptyTally = (): Tally => ({
  seeds: 0,
  steps: 0,
  faults: 0,
  rows: 0,
  late: 0,
  windows: 0,
  deadLetters: 0,
  checkpoints: 0,
  compared: 0,
  rewrites: 0,
  expiries: 0,
  sweeps: 0,
  foreign: 0,
  deleted: 0,
})

function count(tally: Tally, result: Result): void {
  tally.steps += result.steps
  tally.faults += result.faults
  tally.rows += result.checked?.rows ?? 0
  tally.late += result.checked?.late ?? 0
  tally.windows += result.checked?.windows ?? 0
  tally.deadLetters += result.checked?.deadLetters ?? 0
  tally.checkpoints += result.checked?.checkpoints ?? 0
}

/** Runs one seed, and now and then its topic once more in another way: the rows must be the same. */
export async function runSeed(seed: number, tally: Tally = emptyTally()): Promise<Failure | undefined> {
  const first = await simulate(seed, 0)
  tally.seeds++
  count(tally, first)
  if (first.violation !== undefined) return { seed, variant: 0, check: first.violation.check, message: first.violation.message }
  // An advance and a late partition are recorded in the logs and depend on when they came (rule E4); after a disaster
  // nothing is complete.
  const { advances, joiner, vanishes, replaced } = first.scenario
  if (seed % TWICE_EVERY !== 0 || advances > 0 || joiner !== undefined || vanishes || replaced !== undefined) return undefined
  const second = await simulate(seed, 1)
  count(tally, second)
  tally.compared++
  if (second.violation !== undefined)
    return { seed, variant: 1, check: second.violation.check, message: second.violation.message }
  if (first.checked?.digest === second.checked?.digest) return undefined
  return { seed, variant: 1, check: 'Deterministic', message: 'the same topic gave other rows in another run' }
}

/** Runs one seed of the simulation of maintenance. */
export async function runMaintenanceSeed(seed: number, tally: Tally = emptyTally()): Promise<Failure | undefined> {
  const result = await simulateMaintenance(seed)
  const { swaps } = result
  tally.seeds++
  tally.steps += result.steps
  tally.faults += result.faults
  tally.rows += result.rows
  tally.checkpoints += result.checkpoints
  tally.rewrites += swaps.compact + swaps.manifests
  tally.expiries += swaps.expire + swaps.retain
  tally.sweeps += swaps.sweep
  tally.foreign += swaps.foreign
  tally.deleted += result.deleted
  if (result.violation === undefined) return undefined
  return { seed, variant: 0, check: result.violation.check, message: result.violation.message, maintenance: true }
}

const replayCommand = ({ seed, variant, maintenance = false }: Failure): string =>
  `npx node test/simulation/run.ts${maintenance ? ' --maintenance' : ''} --seed ${seed}${variant === 0 ? '' : ` --variant ${variant}`}`

async function replayMaintenance(seed: number): Promise<number> {
  const result = await simulateMaintenance(seed)
  tellTrace(result)
  const { rows, checkpoints, swaps, deleted } = result
  console.log(
    `seed ${seed}: ${result.steps} steps, ${result.faults} faults, trace ${result.traceHash}, ${JSON.stringify({ rows, checkpoints, deleted, swaps })}`,
  )
  if (result.violation === undefined) return 0
  tellViolation(result.violation)
  return 1
}

function tellTrace({ trace, scenario }: Pick<Result | MaintenanceResult, 'trace' | 'scenario'>): void {
  for (const line of trace.slice(-TRACE_LINES * 5)) console.log(line)
  console.log(JSON.stringify(scenario))
}

function tellViolation({ message, stack }: NonNullable<Result['violation']>): void {
  console.log(`VIOLATED ${message}`)
  if (stack !== undefined) console.log(stack)
}

async function replay(seed: number, variant: number): Promise<number> {
  const result = await simulate(seed, variant)
  tellTrace(result)
  console.log(
    `seed ${seed} variant ${variant}: ${result.steps} steps, ${result.faults} faults, trace ${result.traceHash}, ${JSON.stringify(result.checked)}`,
  )
  if (result.violation === undefined) {
    const failure = await runSeed(seed)
    if (failure === undefined) return 0
    console.log(`VIOLATED ${failure.check}: ${failure.message}`)
    return 1
  }
  tellViolation(result.violation)
  return 1
}

async function reportFailure(failure: Failure): Promise<void> {
  const { seed, variant, maintenance } = failure
  const { trace } = await (maintenance ? simulateMaintenance(seed) : simulate(seed, variant))
  console.error(`\nseed ${failure.seed} VIOLATED ${failure.message}\n\nlast steps:`)
  for (const line of trace.slice(-TRACE_LINES)) console.error(`  ${line}`)
  console.error(`\nreplay: ${replayCommand(failure)}\n`)
}

interface Work {
  readonly from: number
  readonly end: number
  readonly stride: number
  readonly keepGoing: boolean
  readonly maintenance: boolean
}

type Message =
  | { readonly kind: 'failure'; readonly failure: Failure }
  | { readonly kind: 'tally'; readonly tally: Tally; readonly over: boolean }

async function work({ from, end, stride, keepGoing, maintenance }: Work, say: (message: Message) => void): Promise<void> {
  let tally = emptyTally()
  let saidMs = performance.now()
  const run = maintenance ? runMaintenanceSeed : runSeed
  for (let seed = from; seed < end; seed += stride) {
    const failure = await run(seed, tally)
    if (failure !== undefined) {
      say({ kind: 'failure', failure })
      if (!keepGoing) break
    }
    if (performance.now() - saidMs > 1000) {
      say({ kind: 'tally', tally, over: false })
      tally = emptyTally()
      saidMs = performance.now()
    }
  }
  say({ kind: 'tally', tally, over: true })
}

async function runAll(
  from: number,
  seeds: number,
  workers: number,
  keepGoing: boolean,
  maintenance: boolean,
): Promise<{ tally: Tally; failures: Failure[] }> {
  const total = emptyTally()
  const failures: Failure[] = []
  const startMs = performance.now()
  const listen = (message: Message): boolean => {
    if (message.kind === 'failure') {
      failures.push(message.failure)
      return false
    }
    for (const key of Object.keys(total) as (keyof Tally)[]) total[key] += message.tally[key]
    const perSecond = total.seeds / ((performance.now() - startMs) / 1000)
    if (process.stderr.isTTY) process.stderr.write(`\r${total.seeds} of ${seeds} seeds, ${perSecond.toFixed(0)}/s `)
    return message.over
  }
  const end = from + seeds
  if (workers === 1) await work({ from, end, stride: 1, keepGoing, maintenance }, listen)
  else {
    const running: Worker[] = []
    await Promise.all(
      Array.from(
        { length: workers },
        (_, i) =>
          new Promise<void>((resolve, reject) => {
            const data: Work = { from: from + i, end, stride: workers, keepGoing, maintenance }
            const worker = new Worker(new URL(import.meta.url), { workerData: data })
            running.push(worker)
            worker.on('message', (message: Message) => {
              listen(message)
              if (message.kind === 'failure' && !keepGoing)
                for (const other of running) if (other !== worker) void other.terminate()
            })
            worker.on('error', reject)
            worker.on('exit', () => resolve())
          }),
      ),
    )
  }
  if (process.stderr.isTTY) process.stderr.write('\n')
  return { tally: total, failures }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '200' },
      from: { type: 'string', default: '1' },
      seed: { type: 'string' },
      variant: { type: 'string', default: '0' },
      workers: { type: 'string', default: '2' },
      maintenance: { type: 'boolean', default: false },
      'keep-going': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(HELP)
    return 0
  }
  const { maintenance } = values
  if (values.seed !== undefined)
    return maintenance ? replayMaintenance(Number(values.seed)) : replay(Number(values.seed), Number(values.variant))
  const startMs = performance.now()
  const { tally, failures } = await runAll(
    Number(values.from),
    Number(values.seeds),
    Number(values.workers),
    values['keep-going'],
    maintenance,
  )
  const seconds = (performance.now() - startMs) / 1000
  const cpuMs = process.cpuUsage().user / 1000
  failures.sort((a, b) => a.seed - b.seed)
  if (values.json) console.log(JSON.stringify({ ...tally, seconds, failures }))
  else {
    if (failures.length > 0) await reportFailure(failures[0])
    for (const failure of failures.slice(1))
      console.error(`seed ${failure.seed} VIOLATED ${failure.message.split('\n')[0]}\n  replay: ${replayCommand(failure)}`)
    const pace = `${tally.seeds} seeds in ${seconds.toFixed(1)} s (${(tally.seeds / seconds).toFixed(0)} seeds/s, ${(cpuMs / tally.seeds).toFixed(1)} ms CPU a seed), ${failures.length} failed; ${tally.steps} steps, ${tally.faults} faults, ${tally.checkpoints} checkpoints, ${tally.rows} rows`
    console.log(
      maintenance
        ? `maintenance: ${pace}, ${tally.rewrites} rewrites, ${tally.expiries} expiries, ${tally.sweeps} sweeps, ${tally.foreign} changes by others, ${tally.deleted} files deleted`
        : `simulation: ${pace}, ${tally.late} late, ${tally.windows} windows, ${tally.deadLetters} dead letters, ${tally.compared} topics run twice`,
    )
  }
  return failures.length > 0 ? 1 : 0
}

if (!isMainThread) await work(workerData as Work, (message) => parentPort?.postMessage(message))
else if (import.meta.main) process.exitCode = await main()
