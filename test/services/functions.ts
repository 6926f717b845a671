import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { xoshiro128 } from '../../bench/random.ts'
import { bundle } from '../../functions/bundle.ts'
import { startMapping } from '../../lib/local/event-source-mapping.ts'
import type { CommitSummary } from '../../lib/runtime/commit-until.ts'
import { ministack } from '../aws/services.ts'
import { deploy } from '../lambda/deployment.ts'
import type { Invocation, LambdaFunction } from '../lambda/host.ts'

const HELP = `node test/services/functions.ts --brokers HOST:PORT --topic TOPIC --out FILE [--kill SHARE] [--seed N] [--no-partial]
The bundled functions on a topic, as in production: an event source mapping calls ingest, a schedule calls commit, logs are in
DynamoDB, objects on S3, tables in Glue. A share of the calls is killed at random moments. What readers need goes to FILE.`

/** Two commits at a time, as when one outlives the schedule. */
const COMMITTERS = 2
const COMMIT_EVERY_MS = 500
/** Calls are killed within so many milliseconds of their start: some before they begin, some after they are done. */
const KILL_WITHIN_MS = 800
const FUNCTION = { memoryMb: 512, timeoutMs: 30_000 }

const { values } = parseArgs({
  options: {
    brokers: { type: 'string' },
    topic: { type: 'string' },
    out: { type: 'string' },
    kill: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    partial: { type: 'boolean', default: true },
  },
  allowNegative: true,
})
const { brokers, topic, out } = values
if (brokers === undefined || topic === undefined || out === undefined) throw new Error(HELP)

const random = xoshiro128(Number(values.seed))
const chance = () => random() / 2 ** 32
const repo = join(import.meta.dirname, '../..')
const work = mkdtempSync(join(process.env.FRAZIL_SERVICES ?? repo, 'functions-'))
const pipeline = join(repo, 'test/functions/trades.ts')
const began = performance.now()
const count = { ingested: 0, committed: 0, killed: 0, failed: 0, records: 0, coldStarts: 0, ingestPeakMb: 0, commitPeakMb: 0 }

/** Calls a function; some calls do not live to their end. */
async function invoke(fn: LambdaFunction, payload: string, peak: 'ingestPeakMb' | 'commitPeakMb'): Promise<Invocation> {
  const call = await fn.begin(payload)
  let timer: NodeJS.Timeout | undefined
  if (chance() < Number(values.kill)) timer = setTimeout(call.kill, chance() * KILL_WITHIN_MS)
  const answer = await call.answer
  clearTimeout(timer)
  count[peak] = Math.max(count[peak], answer.peakRssMb)
  if (answer.coldStart) count.coldStarts++
  if (answer.functionError !== undefined && /killed/.test(answer.payload)) count.killed++
  else if (answer.functionError !== undefined) {
    count.failed++
    console.error(`a call failed: ${answer.payload}`)
  }
  return answer
}

const files = await bundle({ pipeline, outDir: join(work, 'bundle') })
const deployment = await deploy({ ingest: files.ingest.file, commit: files.commit.file }, ministack())
const partial = values.partial ? { FRAZIL_PARTIAL_RESPONSES: '1' } : undefined
const ingest = deployment.start('ingest', { ...FUNCTION, ...(partial && { environment: partial }) })
const commit = deployment.start('commit', FUNCTION)
try {
  const mapping = await startMapping({
    brokers: brokers.split(','),
    topics: [topic],
    functionName: 'ingest',
    eventSource: 'SelfManagedKafka',
    batchSize: 10_000,
    ...(values.partial && { provisioned: { partialResponses: true, bisect: true } }),
    invoke: async (event) => {
      count.ingested++
      return invoke(ingest, event, 'ingestPeakMb')
    },
  })
  let isDone = false
  const schedule = Array.from({ length: COMMITTERS }, async () => {
    for (;;) {
      const last = isDone
      const { functionError, payload } = await invoke(commit, '{}', 'commitPeakMb')
      if (functionError === undefined) {
        const summary = JSON.parse(payload) as CommitSummary
        count.committed++
        count.records += summary.records
        if (last && !summary.more) return
      }
      await new Promise((resolve) => setTimeout(resolve, COMMIT_EVERY_MS))
    }
  })
  await mapping.caughtUp()
  isDone = true
  await Promise.all(schedule)
  await mapping.stop()
  const seconds = (performance.now() - began) / 1000

  // The end of the topic closes the last windows: a run on a laptop goes on with the very same logs and tables.
  const { commit: environment } = deployment.environment
  const {
    FRAZIL_STAGING: staging = '',
    FRAZIL_LOG_TABLE: logTable = '',
    FRAZIL_WAREHOUSE: warehouse = '',
    FRAZIL_PARTITIONS: _,
    ...aws
  } = environment
  const code = await run(['--log-table', logTable, '--catalog', 'glue', '--warehouse', warehouse, '--staging', staging], {
    ...aws,
    AWS_ENDPOINT_URL: ministack().endpoint,
  })
  if (code !== 0) throw new Error(`expected the run that closes the windows to exit 0, found ${code}`)
  writeFileSync(
    out,
    Object.entries({ ...aws, AWS_ENDPOINT_URL: ministack().endpoint })
      .map(([k, v]) => `${k}=${v}\n`)
      .join(''),
  )
  if (Number(values.kill) > 0 && count.killed === 0) throw new Error('expected some calls to be killed, found none')
  if (count.failed > 0) throw new Error(`expected only killed calls to fail, found ${count.failed} others`)
  const bundles = { ingestKb: kilobytes(files.ingest.bytes), ingestOwnKb: kilobytes(files.ingest.ownBytes) }
  console.log(JSON.stringify({ ...count, ...bundles, seconds: Number(seconds.toFixed(1)) }))
} finally {
  await deployment.close()
  rmSync(work, { recursive: true, force: true })
}

function kilobytes(bytes: number): number {
  return Math.round(bytes / 1024)
}

function run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<number | null> {
  const child = spawn(
    process.execPath,
    [join(repo, 'lib/cli/main.ts'), 'run', pipeline, '--brokers', brokers ?? '', '--until-end', '--json', ...args],
    { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'inherit', 'inherit'] },
  )
  return new Promise((resolve, reject) => child.on('close', resolve).on('error', reject))
}
