import { spawnSync } from 'node:child_process'
import { closeSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { generateTrades } from '../bench/trades.ts'
import { FrazilError, messageOf, unavailable, usage } from '../lib/errors.ts'
import { connectKafka } from '../lib/local/kafka.ts'
import { produce } from '../test/services/produce.ts'
import { bootstrap, clientVariables, deploy, emulatorEnvironment, outputOf, synthesize } from './stack-deploy.ts'
import {
  claim,
  isClaimed,
  isUp,
  type Places,
  placesOf,
  pollerLog,
  readText,
  release,
  runningPoller,
  SERVICES,
  service,
  startPoller,
  stopPoller,
} from './stack-services.ts'

const HELP = `npm run stack [-- --count N] [-- --compose]
  Deploys cdk/app.ts on an emulator of AWS beside a Kafka broker, produces N trades (100000) and shows the tables. Again: deploys
  what changed and produces more. --compose: services and poller are up already, by localstack/compose.yaml.
npm run stack:stop
  Ends what npm run stack started, and forgets what it held.`

const TOPIC = 'trades'
const PARTITIONS = 4
const STACK = 'frazil-trades'
/** Nobody looks at it: the local poller logs in nowhere. The construct takes brokers only with a login. */
const SECRET = 'arn:aws:secretsmanager:us-east-1:000000000000:secret:kafka-login-AbCdEf'
/** ministack refuses alarms on expressions, and the stack with them. */
const withoutAlarms = 'lateShare'
/** Event time that a call of `npm run stack` adds. */
const SPAN_MS = 600_000
const SHARES = { lateShare: 0.001, poisonShare: 0.0005 }
const BATCH_RECORDS = 5000
/** The schedule calls commit every minute; the first calls start processes. */
const ROWS_WITHIN_MS = 240_000
const UP_WITHIN_MS = 60_000
const LOOK_EVERY_MS = 2000

/** What calls of this script hand on to the next. */
interface State {
  readonly calls: number
  /** Event time at which the next trades begin. */
  readonly nextStartMs: number
}

/** What lies in the stack's directory, the broker's own apart. */
const ASSEMBLY = 'cdk.out'
const TRADES = 'trades.ndjson'
const STATE = 'state.json'
const MADE = ['ministack', ASSEMBLY, `${ASSEMBLY}.outputs.json`, TRADES, STATE, 'poller.log']

const repo = join(import.meta.dirname, '..')

async function start(places: Places, count: number, compose: boolean): Promise<void> {
  const began = performance.now()
  const env = emulatorEnvironment(places.endpoint)
  claim(places)
  if (compose) await servicesAreUp(places)
  else await startServices(places)
  say('Deploying cdk/app.ts …')
  const assembly = join(places.dir, ASSEMBLY)
  const partitions = `${TOPIC}=${PARTITIONS}`
  await synthesize({ assembly, env, context: { brokers: places.brokers, secretArn: SECRET, partitions, withoutAlarms } })
  await bootstrap({ assembly, env })
  const outputs = await deploy({ assembly, env })
  const warehouse = outputOf(outputs, 'PipelineWarehouseOutput').replace(/\/$/, '')
  say(`Deployed. Tables: ${outputOf(outputs, 'PipelineTablesOutput')}`)
  if (!compose) {
    await stopPoller(places)
    startPoller(places, ['--stack', STACK, '--topic', TOPIC, '--brokers', places.brokers], env)
  }
  await produceTrades(places, count)
  const frazil = (...args: readonly string[]) => run(['lib/cli/main.ts', ...args, ...where(warehouse)], env)
  say('Waiting for the rows: the schedule calls commit every minute …')
  await rowsAreIn(places, compose, () => frazil('tables', '--json'))
  console.log('\nTables:')
  console.log(frazil('tables'))
  const query = 'SELECT * EXCLUDE window_end FROM trades.agg_1m ORDER BY window_start DESC, volume DESC LIMIT 5'
  console.log(`${query}\n`)
  console.log(frazil('query', query))
  console.log(howToGoOn(places, warehouse, outputOf(outputs, 'PipelineLogTableOutput'), compose))
  say(`Took ${((performance.now() - began) / 1000).toFixed(0)} s.`)
}

/** ministack forgets all when it ends, so a broker never outlives it: offsets and logs belong together. */
async function startServices(places: Places): Promise<void> {
  if (SERVICES.every((name) => isUp(places, name))) return
  await clear(places)
  try {
    for (const name of SERVICES) service(places, name, 'start')
    service(places, 'kafka', 'create-topic', TOPIC, String(PARTITIONS))
  } catch (error) {
    await clear(places)
    throw error
  }
}

/** As docker compose starts them, which returns before they are. Throws `Unavailable` for what does not come up. */
async function servicesAreUp(places: Places): Promise<void> {
  say('Waiting for the services of localstack/compose.yaml …')
  const began = performance.now()
  for (;;) {
    try {
      await fetch(places.endpoint)
      await recordsOf(places)
      return
    } catch (cause) {
      if (performance.now() - began > UP_WITHIN_MS)
        throw unavailable(
          `Cannot deploy: expected AWS at ${places.endpoint} and topic ${TOPIC} at ${places.brokers}, found: ${messageOf(cause)}. Run docker compose --file localstack/compose.yaml up --detach.`,
          { cause },
        )
    }
    await delay(LOOK_EVERY_MS)
  }
}

async function stop(places: Places): Promise<void> {
  if (!isClaimed(places)) return say(`Nothing to stop: npm run stack has not run with ${places.dir}.`)
  await clear(places)
  release(places)
}

/** Of a directory that is the stack's. */
async function clear(places: Places): Promise<void> {
  await stopPoller(places)
  service(places, 'ministack', 'stop')
  service(places, 'kafka', 'destroy')
  // By name: somebody may have put more beside it.
  for (const name of MADE) rmSync(join(places.dir, name), { recursive: true, force: true })
}

const stateFile = ({ dir }: Places): string => join(dir, STATE)

/** Each call's trades follow those of the one before, so that they are not late. */
async function produceTrades(places: Places, count: number): Promise<void> {
  const text = readText(stateFile(places))
  const last: State = text === '' ? { calls: 0, nextStartMs: 0 } : JSON.parse(text)
  const startMs = Math.max(last.nextStartMs, Date.now() - SPAN_MS)
  const file = join(places.dir, TRADES)
  const out = openSync(file, 'w')
  for (const chunk of generateTrades({ count, seed: last.calls + 1, startMs, spanMs: SPAN_MS, ...SHARES })) writeSync(out, chunk)
  closeSync(out)
  say(`Producing ${count} trades …`)
  const brokers = places.brokers.split(',')
  const options = { compression: 'none', batchRecords: BATCH_RECORDS, transactional: false, tombstoneEvery: undefined } as const
  await produce({ brokers, topic: TOPIC, file, ...options })
  const state: State = { calls: last.calls + 1, nextStartMs: startMs + SPAN_MS }
  writeFileSync(stateFile(places), JSON.stringify(state))
}

/** Records of the topic, by the broker. */
async function recordsOf({ brokers }: Places): Promise<number> {
  const connection = await connectKafka(brokers.split(','))
  const bounds = await connection.bounds(TOPIC).finally(() => connection.close())
  return [...bounds.values()].reduce((sum, { high }) => sum + high, 0)
}

/** Resolves when each record of the topic is in raw trades or in dead letters, and candles are there. */
async function rowsAreIn(places: Places, compose: boolean, tables: () => string): Promise<void> {
  const produced = await recordsOf(places)
  const began = performance.now()
  for (;;) {
    const rows = Object.fromEntries((JSON.parse(tables()) as { table: string; rows: number }[]).map((t) => [t.table, t.rows]))
    const [raw = 0, dead = 0, candles = 0] = ['raw_trades', 'dead_letters', 'agg_1m'].map((name) => rows[`trades.${name}`])
    if (raw + dead >= produced && candles > 0) return
    if (!compose && runningPoller(places) === undefined)
      throw unavailable(`Cannot go on: the poller ended. It said:\n${readText(pollerLog(places)).slice(-2000)}`)
    if (performance.now() - began > ROWS_WITHIN_MS)
      throw unavailable(
        `Cannot show the rows: expected ${produced} records in the tables within ${ROWS_WITHIN_MS / 1000} s, found ${raw + dead}. Look at ${pollerLog(places)} and at the functions' logs.`,
      )
    await delay(LOOK_EVERY_MS)
  }
}

const where = (warehouse: string): readonly string[] => ['--catalog', 'glue', '--warehouse', warehouse]

function run(args: readonly string[], env: NodeJS.ProcessEnv): string {
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: repo, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 2] })
  if (status !== 0) throw unavailable(`Cannot go on: expected node ${args.join(' ')} to exit 0, found ${status}.`)
  return stdout
}

function howToGoOn({ endpoint, brokers, dir }: Places, warehouse: string, logTable: string, compose: boolean): string {
  const exports = Object.entries(clientVariables(endpoint)).map(([name, value]) => `${name}=${value}`)
  return `AWS      ${endpoint}   (S3, DynamoDB, Glue, Lambda, CloudFormation, Scheduler, …)
Kafka    ${brokers}   topic ${TOPIC}, ${PARTITIONS} partitions
Tables   ${warehouse}
Logs     table ${logTable} of DynamoDB${compose ? '' : `\nFiles    ${dir}: what services and poller printed`}

What to try next:
  export ${exports.join(' ')}
  npm run --silent frazil -- tables ${where(warehouse).join(' ')}
  npm run --silent frazil -- query "SELECT reason, count(*) AS records FROM trades.dead_letters GROUP BY ALL" ${where(warehouse).join(' ')}
  npm run --silent frazil -- plan pipelines/trades.ts ${where(warehouse).join(' ')} --log-table ${logTable}
  npm run stack${compose ? ' -- --compose' : ''}        # after a change of the pipeline: deploys it, and produces more
  ${compose ? 'docker compose --file localstack/compose.yaml down' : 'npm run stack:stop'}`
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { count: { type: 'string', default: '100000' }, compose: { type: 'boolean', default: false } },
    allowPositionals: true,
  })
  const [verb = 'start', ...more] = positionals
  const count = Number(values.count)
  if (more.length > 0 || !['start', 'stop'].includes(verb) || !Number.isSafeInteger(count) || count < 1) throw usage(HELP)
  const places = placesOf(process.env)
  await (verb === 'stop' ? stop(places) : start(places, count, values.compose))
}

await main().catch((error) => {
  const isUsers = error instanceof FrazilError || String(error.code).startsWith('ERR_PARSE_ARGS')
  console.error(isUsers ? error.message : error)
  process.exitCode = 2
})
