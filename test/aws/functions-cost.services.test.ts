import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateFunctionCommand, DeleteFunctionCommand, InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { lambdaEvents } from '../../bench/lambda-events.ts'
import { generateTrades } from '../../bench/trades.ts'
import { type Bundles, bundle } from '../../functions/bundle.ts'
import { eventsOf, expectExactly, PARTITIONS, printed, succeeded } from '../functions/support.ts'
import { type Deployment, deploy } from '../lambda/deployment.ts'
import { ministack, uniqueName } from './services.ts'

const EVENT_LIMIT_BYTES = 6 * 1024 * 1024
/** Of the backlog test; a million or more tell the same and take longer. */
const BACKLOG_RECORDS = Number(process.env.FRAZIL_TEST_BACKLOG ?? 300_000)

const dir = mkdtempSync(join(tmpdir(), 'frazil-functions-'))
let bundles: Bundles
let deployment: Deployment
beforeAll(async () => {
  bundles = await bundle({ pipeline: join(import.meta.dirname, '../functions/trades.ts'), outDir: dir })
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))
beforeEach(async () => {
  deployment = await deploy({ ingest: bundles.ingest.file, commit: bundles.commit.file }, ministack())
  return () => deployment.close()
})

const tell = (figures: object) => console.log(JSON.stringify(figures))

/** One event of `count` records in four partitions, its values made longer by a key that the schema does not have, up to `bytes`. */
function eventOfBytes(count: number, bytes: number, offset: number, poison: boolean): string {
  const valuesAt = (padding: string) =>
    Array.from({ length: count }, (_, i) => {
      const trade = {
        symbol: `S${i % 50}`,
        ts: 1_705_641_634_567 + i,
        price: 1 + i / 100,
        qty: i % 7,
        side: 'buy',
        note: padding,
      }
      return Buffer.from(JSON.stringify(trade).slice(0, poison ? -1 : undefined)).toString('base64')
    })
  const eventAt = (padding: string) => {
    const records = valuesAt(padding).map((value, i) => ({
      topic: 'trades',
      partition: i % PARTITIONS,
      offset: offset + Math.floor(i / PARTITIONS),
      timestamp: 1_705_641_634_567 + i,
      timestampType: 'CREATE_TIME',
      key: 'QQ==',
      value,
      headers: [],
    }))
    const byPartition = Object.groupBy(records, ({ partition }) => `trades-${partition}`)
    return JSON.stringify({ eventSource: 'aws:kafka', records: byPartition })
  }
  // Three bytes of a value are four of base64; a little less, so that rounding up does not go beyond.
  const room = bytes - eventAt('').length
  return eventAt('x'.repeat(Math.max(0, Math.floor(((room / count) * 3) / 4) - 3)))
}

describe('what the functions need', () => {
  test('a cold start takes some 0.1 s to load, and the first answer comes soon after', async () => {
    const [event] = eventsOf(1000)
    const starts: { initMs: number; firstMs: number; warmMs: number }[] = []
    for (let i = 0; i < 5; i++) {
      const ingest = deployment.start('ingest')
      const cold = await ingest.invoke(event)
      succeeded(cold)
      const warm = await ingest.invoke(event)
      expect([cold.coldStart, warm.coldStart]).toEqual([true, false])
      starts.push({ initMs: Math.round(cold.initMs ?? 0), firstMs: Math.round(cold.ms), warmMs: Math.round(warm.ms) })
      ingest.reset()
    }
    const { ingest, commit } = bundles
    tell({
      figure: 'functions',
      ingest: { bytes: ingest.bytes, ownBytes: ingest.ownBytes },
      commit: { bytes: commit.bytes, ownBytes: commit.ownBytes },
      coldStarts: starts,
    })
  })

  test.each([
    ['10,000 trades', 10_000, false],
    ['10,000 records that nobody can read', 10_000, true],
    ['60 records of 70 KB', 60, false],
  ])('ingest takes events of 6 MB in a function of 256 MB: %s', async (shape, count, poison) => {
    const ingest = deployment.start('ingest', { memoryMb: 256 })
    let peakRssMb = 0
    let ms = 0
    for (let i = 0; i < 8; i++) {
      const event = eventOfBytes(count, EVENT_LIMIT_BYTES, (i * count) / PARTITIONS, poison)
      expect(event.length).toBeGreaterThan(0.98 * EVENT_LIMIT_BYTES)
      const call = await ingest.invoke(event)
      succeeded(call)
      ;({ peakRssMb, ms } = call)
    }
    tell({ figure: 'ingest of 6 MB', shape, peakRssMb, ms: Math.round(ms) })
    expect(printed(ingest, 'staged').reduce((sum, { deadLetters }) => sum + deadLetters, 0)).toBe(poison ? 8 * count : 0)
    expect(peakRssMb).toBeLessThan(256)
  })

  test('commit works off a backlog in bounded steps and bounded memory', async () => {
    const ingest = deployment.start('ingest')
    const lines = generateTrades({ count: BACKLOG_RECORDS, spanMs: 3_600_000 })
    for (const event of lambdaEvents(lines, { partitions: PARTITIONS, timestamps: true })) succeeded(await ingest.invoke(event))
    const staged = printed(ingest, 'staged').reduce((sum, { bytesStaged }) => sum + bytesStaged, 0)
    const maxCheckpointBytes = Math.ceil(staged / 4)
    const environment = { FRAZIL_MAX_CHECKPOINT_BYTES: String(maxCheckpointBytes) }
    const call = await deployment.start('commit', { memoryMb: 512, environment }).invoke('{}')
    const summary = succeeded(call) as Record<string, number>
    tell({
      figure: 'commit of a backlog',
      staged,
      maxCheckpointBytes,
      peakRssMb: call.peakRssMb,
      ms: Math.round(call.ms),
      ...summary,
    })
    expect(summary).toMatchObject({ records: BACKLOG_RECORDS, more: false })
    expect(summary.rounds).toBeGreaterThanOrEqual(4)
    expect(await deployment.count('raw_trades')).toBe(BACKLOG_RECORDS)
    // A round of a quarter of this backlog; all of it decoded at once would be several times as much.
    expect(call.peakRssMb).toBeLessThan(256)
  })
})

describe("ministack's own Lambda", () => {
  /**
   * A bundle as a zip, made by another hand. Before it a few lines that Lambda does not need: ministack hands its own variables
   * on to functions, and ours refuse those of Frazil's that they do not know.
   */
  function zipOf(kind: 'ingest' | 'commit'): Uint8Array {
    const home = deployment.folder(kind)
    const known = JSON.stringify(Object.keys(deployment.environment[kind]))
    writeFileSync(
      join(home, 'start.mjs'),
      `for (const name of Object.keys(process.env)) if (name.startsWith('FRAZIL_') && !${known}.includes(name)) delete process.env[name]
export const { handler } = await import('./index.mjs')
`,
    )
    const zip = join(dir, `${kind}.zip`)
    execFileSync('python3', ['-m', 'zipfile', '-c', zip, 'start.mjs', 'index.mjs', 'plan.mjs'], { cwd: home })
    return readFileSync(zip)
  }

  test('runs the same bundles with the same result', async () => {
    const client = new LambdaClient(ministack())
    const names = { ingest: uniqueName('ingest'), commit: uniqueName('commit') }
    for (const kind of ['ingest', 'commit'] as const)
      await client.send(
        new CreateFunctionCommand({
          FunctionName: names[kind],
          Runtime: 'nodejs24.x',
          Handler: 'start.handler',
          Role: 'arn:aws:iam::000000000000:role/functions',
          Code: { ZipFile: zipOf(kind) },
          Timeout: 60,
          MemorySize: 512,
          Environment: { Variables: { ...deployment.environment[kind] } },
        }),
      )
    const invoke = async (FunctionName: string, payload: string) => {
      const { FunctionError, Payload } = await client.send(new InvokeCommand({ FunctionName, Payload: Buffer.from(payload) }))
      const answer = Buffer.from(Payload ?? []).toString()
      return succeeded({ payload: answer, ...(FunctionError !== undefined && { functionError: FunctionError }) })
    }
    try {
      const events = eventsOf(3000, { duplicateShare: 0.2 })
      for (const event of events) expect(await invoke(names.ingest, event)).toBeNull()
      expect(await invoke(names.commit, '{}')).toMatchObject({ records: 3000, more: false })
      await expectExactly(deployment, events)
    } finally {
      for (const FunctionName of Object.values(names)) await client.send(new DeleteFunctionCommand({ FunctionName }))
      client.destroy()
    }
  })
})
