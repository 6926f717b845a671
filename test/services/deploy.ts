import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import {
  GetFunctionCommand,
  InvokeCommand,
  LambdaClient,
  paginateListEventSourceMappings,
  paginateListFunctions,
} from '@aws-sdk/client-lambda'
import { generateTrades, type TradesOptions } from '../../bench/trades.ts'
import type { ExpireSummary } from '../../functions/expire-handler.ts'
import type { OrphansSummary } from '../../functions/orphans-handler.ts'
import type { TrimSummary } from '../../functions/trim-handler.ts'
import { openGlueCatalog } from '../../lib/aws/glue-catalog.ts'
import { openS3Objects } from '../../lib/aws/s3-objects.ts'
import { loadTable, planFiles } from '../../lib/iceberg/scan.ts'
import type { CommitSummary } from '../../lib/runtime/commit-until.ts'
import { startPoller } from '../../localstack/poller.ts'
import {
  bootstrap,
  clientVariables,
  deploy,
  destroy,
  emulatorEnvironment,
  outputOf,
  synthesize,
  tryDeploy,
} from '../../scripts/stack-deploy.ts'
import { ministack, uniqueName } from '../aws/services.ts'
import { produce } from './produce.ts'

const HELP = `node test/services/deploy.ts --brokers HOST:PORT --topic TOPIC --out FILE [--count N]
A pipeline's life on an emulator of AWS, by cdk: bootstrapped, deployed, updated, refused an update, kept well, destroyed. All the while the
local mapping feeds the deployed functions from the topic, which must be empty and have 4 partitions. In the end a run on this
machine closes the windows. What readers need goes to FILE; the column that the update adds is trade_id.`

const { values } = parseArgs({
  options: {
    brokers: { type: 'string' },
    topic: { type: 'string' },
    out: { type: 'string' },
    count: { type: 'string', default: '20000' },
  },
})
const { brokers, topic, out } = values
if (brokers === undefined || topic === undefined || out === undefined) throw new Error(HELP)

/** Trades before the update, after it, and after the refusal. While the update goes on they come in small shares of it. */
const count = Number(values.count)
const SMALL_SHARE = 0.05
const SPAN_MS = 1_800_000
const START_MS = 1_705_707_000_000
const SHARES = { lateShare: 0.002, poisonShare: 0.002, oddShare: 0.002 }

const repo = join(import.meta.dirname, '../..')
const work = mkdtempSync(join(process.env.FRAZIL_SERVICES ?? repo, 'deploy-'))
const stack = uniqueName('deployed')
const namespace = stack.replaceAll('-', '_')
const { endpoint } = ministack()
const env = { ...emulatorEnvironment(endpoint), TOPIC: topic, NAMESPACE: namespace }
const lambda = new LambdaClient(ministack())
const catalog = openGlueCatalog(ministack())
const objects = openS3Objects(ministack())
const began = performance.now()

const assemblyOf = (definition: string) => ({ assembly: join(work, definition), env })
async function synthesized(definition: string) {
  const context = { stack, brokers: brokers ?? '', definition }
  await synthesize({ ...assemblyOf(definition), app: 'node test/services/deploy/app.ts', context })
  return assemblyOf(definition)
}

function expect(truth: boolean, what: string): asserts truth {
  if (!truth) throw new Error(`expected ${what}`)
}

let seed = 50
let startMs = START_MS
/** A share of `count` trades, with a seed of their own; their event times follow those of the trades before. */
async function send(share = 1, options: Omit<TradesOptions, 'count'> = SHARES): Promise<void> {
  const file = join(work, 'part.ndjson')
  const spanMs = SPAN_MS * share
  const all = { count: Math.round(count * share), seed: seed++, startMs, spanMs, ...options }
  startMs += spanMs
  writeFileSync(file, Buffer.concat([...generateTrades(all)]))
  const how = { compression: 'none', batchRecords: 1000, transactional: false, tombstoneEvery: undefined } as const
  await produce({ brokers: (brokers ?? '').split(','), topic: topic ?? '', file, ...how })
}

/** What a function answers to a schedule. */
async function called<T>(name: string): Promise<T> {
  const { FunctionError: failed, Payload: payload } = await lambda.send(new InvokeCommand({ FunctionName: name, Payload: '{}' }))
  const text = payload?.transformToString() ?? ''
  expect(failed === undefined, `${name} to succeed, found ${text}`)
  return JSON.parse(text) as T
}

/** Commits what is staged, as the schedule does each minute, beside it. */
async function commitAll(name: string): Promise<void> {
  while ((await called<CommitSummary>(name)).more);
}

/** A call of Step Functions, whose SDK nobody else needs. */
async function states(action: string, input: object): Promise<Readonly<Record<string, string>>> {
  const headers = {
    'content-type': 'application/x-amz-json-1.0',
    'x-amz-target': `AWSStepFunctions.${action}`,
    authorization: 'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/states/aws4_request',
  }
  const answer = await fetch(endpoint, { method: 'POST', headers, body: JSON.stringify(input) })
  const text = await answer.text()
  expect(answer.ok, `${action} to succeed, found ${text}`)
  return JSON.parse(text)
}

/** Starts the state machine of compaction, as its schedule does each hour, and waits until it is through. */
async function compacted(stateMachineArn: string): Promise<void> {
  const { executionArn } = await states('StartExecution', { stateMachineArn, input: '{}' })
  for (;;) {
    const { status, ...rest } = await states('DescribeExecution', { executionArn })
    if (status === 'SUCCEEDED') return
    expect(status === 'RUNNING', `the compaction to succeed, found ${status}: ${JSON.stringify(rest)}`)
    await pause(200)
  }
}

/** Calls until the first snapshots are a minute old, which is how long the definition keeps them. */
async function expired(name: string): Promise<ExpireSummary> {
  for (;;) {
    const expiry = await called<ExpireSummary>(name)
    if (expiry.expired > 0) return expiry
    expect(performance.now() - began < 600_000, 'snapshots to expire')
    await pause(2000)
  }
}

async function filesOf(name: string): Promise<number> {
  const table = await loadTable(catalog, objects, { namespace, name })
  return table === undefined ? 0 : (await planFiles(objects, table.metadata)).length
}

/** What says that a function is another one than before. */
async function versions(names: readonly string[]): Promise<string> {
  const found = await Promise.all(names.map((name) => lambda.send(new GetFunctionCommand({ FunctionName: name }))))
  return JSON.stringify(found.map(({ Configuration: c }) => [c?.FunctionName, c?.CodeSha256, c?.LastModified, c?.Environment]))
}

async function functionsAndMappings(): Promise<readonly string[]> {
  const found: string[] = []
  for await (const { Functions: page = [] } of paginateListFunctions({ client: lambda }, {}))
    found.push(...page.flatMap(({ FunctionArn: arn }) => arn ?? []))
  for await (const { EventSourceMappings: page = [] } of paginateListEventSourceMappings({ client: lambda }, {}))
    found.push(...page.flatMap(({ FunctionArn: arn }) => `mapping of ${arn}`))
  return found.filter((arn) => arn.includes(`:function:${stack}-`)).sort()
}

function query(warehouse: string, sql: string): Readonly<Record<string, number>> {
  const args = ['lib/cli/main.ts', 'query', sql, '--format', 'json', '--catalog', 'glue', '--warehouse', warehouse]
  const { stdout, status } = spawnSync(process.execPath, args, { cwd: repo, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 2] })
  expect(status === 0, `the query to exit 0, found ${status}`)
  return JSON.parse(stdout)[0]
}

function run(definition: string, args: readonly string[]): Promise<number | null> {
  const file = join(repo, `test/services/deploy/${definition}.ts`)
  const all = [join(repo, 'lib/cli/main.ts'), 'run', file, '--brokers', brokers ?? '', '--until-end', '--json', ...args]
  const child = spawn(process.execPath, all, { env, stdio: ['ignore', 'inherit', 'inherit'] })
  return new Promise((resolve, reject) => child.on('close', resolve).on('error', reject))
}

const say = (what: string) => console.log(`${((performance.now() - began) / 1000).toFixed(1)} s: ${what}`)

const calls = { succeeded: 0, partial: 0, failed: 0, notInvoked: 0 }
try {
  const first = await synthesized('first')
  await bootstrap(first)
  const outputs = await deploy(first)
  const [ingest, commit] = [outputOf(outputs, 'Ingest'), outputOf(outputs, 'Commit')]
  const warehouse = outputOf(outputs, 'PipelineWarehouseOutput').replace(/\/$/, '')
  const logTable = outputOf(outputs, 'PipelineLogTableOutput')
  const counts = `SELECT count(*)::INT AS n FROM ${namespace}.raw_trades`
  expect((await functionsAndMappings()).length === 8, `seven functions and a mapping, found ${await functionsAndMappings()}`)
  expect(query(warehouse, counts).n === 0, 'an empty table before the first record')
  say(`deployed: ${outputOf(outputs, 'PipelineTablesOutput')}`)

  const mapping = await startPoller({
    ...{ lambda, stack, topic, brokers: brokers.split(','), consumerGroup: stack },
    onInvocation: ({ outcome }) => {
      calls[outcome]++
    },
    onFunctionError: (payload) => say(`a call failed, and comes again: ${payload}`),
  })
  expect(mapping !== undefined, 'a mapping')
  await send()
  await mapping.caughtUp()
  await commitAll(commit)
  const before = query(warehouse, counts).n
  expect(before !== undefined && before > 0.9 * count, `the rows of ${count} trades, found ${before}`)
  say(`fed: ${before} rows`)

  // Records keep coming: the old and the new functions take turns.
  const second = await synthesized('second')
  let isUpdated = false
  const update = deploy(second).finally(() => {
    isUpdated = true
  })
  while (!isUpdated) await send(SMALL_SHARE)
  const updated = await update
  const changes = outputOf(updated, 'PipelineTablesOutput')
  expect(/raw_trades: gets trade_id long\?/.test(changes), `raw_trades to get trade_id, found ${changes}`)
  await mapping.caughtUp()
  await send(1, { lateShare: 0 })
  await mapping.caughtUp()
  await commitAll(commit)
  const { n: after, ids } = query(warehouse, counts.replace('n ', 'n, count(trade_id)::INT AS ids '))
  expect(ids !== undefined && after !== undefined && ids >= count, `trade_id in the ${count} rows since the update, found ${ids}`)
  expect(after - ids >= before, `none in the ${before} rows before it, found ${after - ids}`)
  say(`updated: ${changes}; ${after} rows, ${ids} with a trade_id`)

  const there = await versions([ingest, commit])
  const refused = await synthesized('refused')
  const { code, text } = await tryDeploy(refused)
  const reason = text.match(/Cannot use table [^\n|]*/)?.[0]
  expect(code !== 0 && reason !== undefined, `the deployment to be refused, found exit ${code}: ${text.slice(-2000)}`)
  expect(/UPDATE_ROLLBACK_COMPLET/.test(text), `the stack to roll back, found ${text.slice(-2000)}`)
  expect((await versions([ingest, commit])) === there, `ingest and commit untouched, found ${await versions([ingest, commit])}`)
  await send()
  await mapping.caughtUp()
  await commitAll(commit)
  const { n: since } = query(warehouse, counts)
  expect(since !== undefined && since > after + 0.9 * count, `functions that go on after a refusal, found ${since} rows`)
  say(`refused: ${reason}`)

  // As their schedules would in an hour: ministack's start functions and state machines, too.
  const files = await filesOf('raw_trades')
  await compacted(outputOf(outputs, 'Compaction'))
  const fewer = await filesOf('raw_trades')
  expect(fewer < files, `fewer files than ${files} after the compaction, found ${fewer}`)
  const expiry = await expired(outputOf(outputs, 'Expire'))
  expect(expiry.files > 0, `files to go with the snapshots, found ${JSON.stringify(expiry)}`)
  const sweep = await called<OrphansSummary>(outputOf(outputs, 'Orphans'))
  expect(sweep.listed > 0 && sweep.found === 0, `no orphan as old as that, found ${JSON.stringify(sweep)}`)
  const trimmed = await called<TrimSummary>(outputOf(outputs, 'Trim'))
  expect(trimmed.entries > 0, `entries of logs to be trimmed, found ${JSON.stringify(trimmed)}`)
  expect(query(warehouse, counts).n === since, 'the rows of before')
  say(`kept well: ${files} files, then ${fewer}; ${JSON.stringify({ expiry, sweep, trimmed })}`)

  await mapping.stop()
  const destroyed = await destroy(second)
  for (const type of ['S3::Bucket', 'DynamoDB::Table', 'Glue::Database', 'KMS::Key'])
    expect(new RegExp(`DELETE_SKIPPED +\\| AWS::${type} `).test(destroyed), `AWS::${type} to be retained, found ${destroyed}`)
  const left = await functionsAndMappings()
  expect(left.length === 0, `neither functions nor mappings, found ${left}`)
  expect(query(warehouse, counts).n === since, 'the tables as they were')
  // The logs are there as well: a run on this machine goes on where the functions stopped.
  const stayed = [
    '--log-table',
    logTable,
    '--catalog',
    'glue',
    '--warehouse',
    warehouse,
    '--staging',
    `${warehouse}/.frazil/staging`,
  ]
  const exit = await run('second', stayed)
  expect(exit === 0, `the run that closes the windows to exit 0, found ${exit}`)
  const variables = { ...clientVariables(endpoint), NAMESPACE: namespace }
  writeFileSync(
    out,
    Object.entries(variables)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  )
  say(`destroyed; calls of ingest: ${JSON.stringify(calls)}`)
} finally {
  lambda.destroy()
  catalog.close()
  objects.close()
  rmSync(work, { recursive: true, force: true })
}
