import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Bundles, bundle } from '../../functions/bundle.ts'
import { deliver, eventsOf, expectExactly, failed, printed, recordsIn, succeeded } from '../functions/support.ts'
import { outputOf } from '../functions/telling.ts'
import { type Deployment, deploy } from '../lambda/deployment.ts'
import type { Passing } from '../lambda/gateway.ts'
import type { Call } from '../lambda/host.ts'
import { ministack } from './services.ts'

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

/** Stops a call's passages that match until they are let go; resolves at the first. Others pass. */
async function hold(matches: (passing: Passing) => boolean, atFirst: () => void = () => {}): Promise<() => void> {
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  await new Promise<void>((reached) => {
    deployment.gateway.onPassing = (passing) => {
      if (!matches(passing)) return
      atFirst()
      reached()
      return released
    }
  })
  deployment.gateway.onPassing = () => {}
  return release
}

/** Kills a call's process at its n-th call to AWS, right before it reaches the service or right after; false: there were less. */
async function killAt(call: Call, n: number, at: Passing['at']): Promise<boolean> {
  const { gateway } = deployment
  gateway.onPassing = (passing) => {
    if (passing.n === n && passing.at === at) call.kill()
  }
  const { functionError } = await call.answer
  gateway.reset()
  return functionError !== undefined
}

describe('bundled functions on S3, DynamoDB and Glue', () => {
  test('what they ingest and commit is what the pipeline makes of the events, redeliveries and all', async () => {
    const events = eventsOf(4000, { duplicateShare: 0.3 })
    const [ingest, commit] = [deployment.start('ingest'), deployment.start('commit')]
    for (const [i, event] of events.entries()) {
      expect(succeeded(await ingest.invoke(event))).toBeNull()
      if (i % 5 === 0) succeeded(await commit.invoke('{}'))
    }
    const summary = succeeded(await commit.invoke('{}')) as Record<string, number>
    expect(summary).toMatchObject({ rounds: 1, more: false })
    await expectExactly(deployment, events)
    expect(succeeded(await commit.invoke('{}'))).toMatchObject({ entries: 0, records: 0, checkpoint: summary.checkpoint })
    expect(printed(ingest, 'staged').reduce((sum, { recordsIn }) => sum + recordsIn, 0)).toBe(4000)
  })

  test('a call of ingest needs one PUT and one floor read, and a tail read and a put a partition', async () => {
    const [first, second] = eventsOf(4000, { batchRecords: 2000 })
    const ingest = deployment.start('ingest')
    succeeded(await ingest.invoke(first))
    deployment.gateway.reset()
    succeeded(await ingest.invoke(second))
    const n = Object.keys(JSON.parse(second).records).length
    const calls = Object.entries(Object.groupBy(deployment.gateway.calls, (call) => call)).map(([call, of]) => [call, of?.length])
    expect(Object.fromEntries(calls)).toEqual({
      'S3.PutObject': 1,
      'DynamoDB.Query': n,
      'DynamoDB.PutItem': n,
      'DynamoDB.BatchGetItem': 1,
    })
  })

  test('a handler killed at any of its calls, before or after it took effect, loses and doubles nothing', async () => {
    const events = eventsOf(12_000, { batchRecords: 300 })
    const ingest = deployment.start('ingest')
    let next = 0
    let kills = 0
    for (const at of ['before', 'after'] as const)
      for (let n = 1, killed = true; killed; n++) {
        const event = events[next++]
        deployment.gateway.reset()
        killed = await killAt(await ingest.begin(event), n, at)
        if (killed) await deliver(ingest, event)
        if (killed) kills++
      }
    succeeded(await deployment.start('commit').invoke('{}'))
    await expectExactly(deployment, events.slice(0, next))
    // At least the incarnation, and a partition's tail, segment, put and floor, twice.
    expect(kills).toBeGreaterThanOrEqual(10)
  })

  test('a commit killed at its calls leaves nothing that the next one does not finish', async () => {
    const events = eventsOf(6000, { batchRecords: 300 })
    const [ingest, commit] = [deployment.start('ingest'), deployment.start('commit')]
    let next = 0
    let kills = 0
    for (let n = 1, killed = true; killed; n += 4) {
      await deliver(ingest, events[next++])
      deployment.gateway.reset()
      killed = await killAt(await commit.begin('{}'), n, n % 8 === 1 ? 'before' : 'after')
      if (killed) kills++
    }
    succeeded(await commit.invoke('{}'))
    await expectExactly(deployment, events.slice(0, next))
    expect(kills).toBeGreaterThan(5)
  })

  test.each(['before', 'after'] as const)(
    'a handler frozen right %s its append took effect finds its records in when it wakes',
    async (at) => {
      const events = eventsOf(3000, { batchRecords: 600 })
      const [ingest, commit, sleeper] = [deployment.start('ingest'), deployment.start('commit'), deployment.start('ingest')]
      await deliver(ingest, events[0])
      const call = await sleeper.begin(events[1])
      const release = await hold((passing) => passing.call === 'DynamoDB.PutItem' && passing.at === at, call.freeze)
      for (const event of events.slice(1)) await deliver(ingest, event)
      succeeded(await commit.invoke('{}'))
      call.wake()
      release()
      expect(succeeded(await call.answer)).toBeNull()
      succeeded(await commit.invoke('{}'))
      await expectExactly(deployment, events)
      // What another staged meanwhile is in none of its counts.
      const [{ recordsIn: taken }] = printed(sleeper, 'staged')
      if (at === 'before') expect(taken).toBeLessThan(recordsIn(events[1]))
    },
  )

  test('of two commits at once one appends the checkpoint, the other finds the work done', async () => {
    const events = eventsOf(2000)
    const [ingest, commit, slow] = [deployment.start('ingest'), deployment.start('commit'), deployment.start('commit')]
    succeeded(await commit.invoke('{}'))
    for (const event of events) await deliver(ingest, event)
    const call = await slow.begin('{}')
    const release = await hold((passing) => passing.call === 'DynamoDB.PutItem' && passing.at === 'before')
    expect(succeeded(await commit.invoke('{}'))).toMatchObject({ records: 2000, checkpoint: 2 })
    release()
    expect(succeeded(await call.answer)).toMatchObject({ records: 0, checkpoint: 2, rounds: 2 })
    await expectExactly(deployment, events)
  })

  test('commits and handlers that run all at once leave exact tables', async () => {
    const events = eventsOf(3000)
    const [ingest, commit] = [deployment.start('ingest'), deployment.start('commit')]
    succeeded(await commit.invoke('{}'))
    for (let i = 0; i < events.length; i += 3) {
      const some = events.slice(i, i + 3)
      // Each event twice, in order, as two pollers would that both think the partitions theirs; and two commits.
      const pollers = [0, 1].map(async () => {
        for (const event of some) await deliver(ingest, event)
      })
      const commits = [0, 1].map(async () => succeeded(await commit.invoke('{}')))
      await Promise.all([...pollers, ...commits])
    }
    succeeded(await commit.invoke('{}'))
    await expectExactly(deployment, events)
  })
})

describe('a partition that cannot be staged', () => {
  /** An event of partitions 0 and 1; `timestamp` of 0's records, by which a topic created again is known. */
  const eventOf = (offset: number, timestamp: number) =>
    JSON.stringify({
      eventSource: 'SelfManagedKafka',
      bootstrapServers: 'b-1:9092',
      records: Object.fromEntries(
        [0, 1].map((partition) => [
          `trades-${partition}`,
          [0, 1].map((i) => ({
            topic: 'trades',
            partition,
            offset: (partition === 0 ? 0 : offset) + i,
            timestamp: partition === 0 ? timestamp : 1000,
            timestampType: 'CREATE_TIME',
            value: Buffer.from(JSON.stringify({ symbol: 'A', ts: 1000, price: 1, qty: 1 })).toString('base64'),
            headers: [{ trace: [1, 2] }],
          })),
        ]),
      ),
    })

  test('fails the event where the mapping knows no partial responses: it comes again as a whole, and nothing is lost', async () => {
    const ingest = deployment.start('ingest')
    succeeded(await ingest.invoke(eventOf(0, 1000)))
    const { errorType, errorMessage } = failed(await ingest.invoke(eventOf(2, 9000)))
    expect(errorType).toBe('Refused')
    expect(errorMessage).toMatch(/^Cannot stage trades-0: [^\n]*The topic was created again/)
    expect(outputOf(ingest.log).lines.map(({ level }) => level)).toEqual(['INFO', 'ERROR'])
  })

  test('is told where it does, and the others are in', async () => {
    const ingest = deployment.start('ingest', { environment: { FRAZIL_PARTIAL_RESPONSES: '1' } })
    expect(succeeded(await ingest.invoke(eventOf(0, 1000)))).toBeNull()
    expect(succeeded(await ingest.invoke(eventOf(2, 9000)))).toEqual({
      batchItemFailures: [{ itemIdentifier: { partition: 'trades-0', offset: 0 } }],
    })
    expect(succeeded(await deployment.start('commit').invoke('{}'))).toMatchObject({ records: 6 })
    expect(await deployment.count('raw_trades')).toBe(6)
  })
})

describe('what is missing or set wrong', () => {
  const [event] = eventsOf(100)

  test.each([
    [
      'a table',
      { FRAZIL_LOG_TABLE: 'nobody' },
      /^Cannot read log \S+ in table nobody: expected a DynamoDB table nobody, found none/,
    ],
    ['a bucket', { FRAZIL_STAGING: 's3://nobody-has-this/staging/' }, /expected a bucket nobody-has-this, found none/],
    ['an endpoint', { AWS_ENDPOINT_URL: 'http://127.0.0.1:9' }, /nothing answers at the endpoint/],
    ['a variable', { FRAZIL_STAGING: '' }, /^Cannot start ingest: expected variable FRAZIL_STAGING, found none/],
    ['a name', { FRAZIL_LOGTABLE: 'a' }, /found FRAZIL_LOGTABLE/],
  ])('%s is told in one line, and nothing is lost', async (_, environment, message) => {
    const { errorMessage } = failed(await deployment.start('ingest', { environment }).invoke(event))
    expect(errorMessage).toMatch(message)
    expect(errorMessage).not.toContain('\n')
    succeeded(await deployment.start('ingest').invoke(event))
    succeeded(await deployment.start('commit').invoke('{}'))
    await expectExactly(deployment, [event])
  })
})
