import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { CreateBucketCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Bundles, bundle, type FunctionName } from '../../functions/bundle.ts'
import type { Answer } from '../../functions/custom-resource.ts'
import { MAX_SINGLE_PUT_BYTES, openS3Objects, s3Client } from '../../lib/aws/s3-objects.ts'
import { parseKafkaEvent } from '../../lib/columns/event.ts'
import { planOf } from '../../lib/index.ts'
import { commit } from '../../lib/runtime/commit.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { createRuntime, nameIncarnation } from '../../lib/runtime/runtime.ts'
import trades from '../../pipelines/trades.ts'
import { deliver, eventsOf, expectExactly, failed, recordsIn, succeeded } from '../functions/support.ts'
import { type Deployment, deploy } from '../lambda/deployment.ts'
import {
  ANSWER_LOST,
  CONFLICTING,
  CUT_OFF,
  DENIED,
  FAILING,
  type Fault,
  type FaultProxy,
  faultProxy,
  LATE,
  OVER_CAPACITY,
  refusing,
  THROTTLED,
  TOO_LATE,
  type Try,
} from '../lambda/fault-proxy.ts'
import { openGateway } from '../lambda/gateway.ts'
import type { LambdaFunction } from '../lambda/host.ts'
import { ministack, uniqueName } from './services.ts'

const dir = mkdtempSync(join(tmpdir(), 'frazil-faults-'))
let bundles: Bundles
beforeAll(async () => {
  bundles = await bundle({ pipeline: join(import.meta.dirname, '../functions/trades.ts'), outDir: dir })
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** REPEATABLE of lib/aws/clients.ts: tries of a call, the first one included. */
const TRIES = 4
/** Swaps tried for one table by the commit loop of lib/runtime/apply.ts. */
const SWAPS = 10
/** Creations of a table that provisioning tries when they fail. */
const CREATIONS = 3

/** What passes, and how many tries of a call meet it. */
const PASSING: readonly { kind: string; fault: Fault; times: number; writesOnly?: true }[] = [
  { kind: 'throttled twice', fault: refusing(THROTTLED), times: 2 },
  { kind: 'failing twice', fault: refusing(FAILING), times: 2 },
  { kind: 'cut off twice', fault: CUT_OFF, times: 2 },
  { kind: 'in conflict twice', fault: refusing(CONFLICTING), times: 2, writesOnly: true },
  { kind: 'done, and its answer lost', fault: ANSWER_LOST, times: 1 },
  { kind: 'too late, and done after all', fault: TOO_LATE, times: 1 },
]
/** What stays until somebody acts. */
const LASTING: readonly { kind: string; fault: Fault; unknown?: true }[] = [
  { kind: 'throttled for good', fault: refusing(OVER_CAPACITY) },
  { kind: 'failing for good', fault: refusing(FAILING), unknown: true },
]

interface Told {
  /** How an error of the call begins. */
  readonly says: RegExp
  /** What must be granted for it. */
  readonly right: string
  readonly writes?: true
  /**
   * Who repeats it. `sdk`: within the call's budget. `commit`, `provision`: it is tried once, and their loop looks what became of
   * it before it tries again.
   */
  readonly repeats: 'sdk' | 'commit' | 'provision'
}
const CALLS: Readonly<Record<string, Told>> = {
  'DynamoDB.Query': { says: /^Cannot read log \S+ in table \S+: /, right: 'dynamodb:Query', repeats: 'sdk' },
  'DynamoDB.PutItem': {
    says: /^Cannot write log \S+ in table \S+: /,
    right: 'dynamodb:PutItem',
    repeats: 'sdk',
    writes: true,
  },
  'DynamoDB.BatchGetItem': {
    says: /^Cannot read the floors of \d+ logs in table \S+: /,
    right: 'dynamodb:BatchGetItem',
    repeats: 'sdk',
  },
  'S3.PutObject': { says: /^Cannot write s3:\/\/\S+: /, right: 's3:PutObject', repeats: 'sdk', writes: true },
  'S3.GetObject': { says: /^Cannot read s3:\/\/\S+: /, right: 's3:GetObject', repeats: 'sdk' },
  'S3.HeadObject': { says: /^Cannot read s3:\/\/\S+: /, right: 's3:GetObject', repeats: 'sdk' },
  'Glue.GetTable': { says: /^Cannot read table \S+ in Glue: /, right: 'glue:GetTable', repeats: 'sdk' },
  'Glue.UpdateTable': {
    says: /^Cannot update table \S+ in Glue: /,
    right: 'glue:UpdateTable',
    repeats: 'commit',
    writes: true,
  },
  'Glue.CreateTable': {
    says: /^Cannot create table \S+ in Glue: /,
    right: 'glue:CreateTable',
    repeats: 'provision',
    writes: true,
  },
  'Glue.CreateDatabase': { says: /^Cannot create database \S+ in Glue: /, right: 'glue:CreateDatabase', repeats: 'provision' },
}

/** What a creation is called that may have happened. A database that is there already is no error, so of one it does not matter. */
const kindOf = (call: string, unknown = false) => (unknown && call === 'Glue.CreateTable' ? 'CommitUnknown' : 'Unavailable')

/** A function about to be called for something that takes certain calls. */
interface Scene {
  readonly deployment: Deployment
  readonly proxy: FaultProxy
  readonly subject: LambdaFunction
  /** Brings about what the next call of the subject is to work on, and returns what it is called with. */
  prepare(): Promise<string>
  /** After the subject has succeeded. */
  afterEach?(): Promise<void>
  /** After all cases: nothing is lost, nothing is there twice. */
  inTheEnd(): Promise<void>
}

/**
 * Each of one partition: of several, a second look by itself finds in what the first left without knowing. Large enough that
 * their slices do not fit into log entries.
 */
const events = eventsOf(4000, { batchRecords: 400 })
  .flatMap(byPartition)
  .filter((event) => recordsIn(event) > 50)
const TABLES = Object.keys(planOf(trades).tables)
const FAST = { NODE_OPTIONS: `--import=${new URL('../lambda/fast-clock.mjs', import.meta.url).href}` }

/** An event for each of an event's partitions. */
function byPartition(event: string): string[] {
  const { records, ...rest } = JSON.parse(event)
  return Object.entries(records).map(([partition, of]) => JSON.stringify({ ...rest, records: { [partition]: of } }))
}

async function open(name: FunctionName) {
  const files = { ingest: bundles.ingest.file, commit: bundles.commit.file, provision: bundles.provision.file }
  const deployment = await deploy(files, ministack())
  const subject = deployment.start(name, { environment: FAST })
  const other = (kind: FunctionName) => deployment.start(kind)
  return { deployment, proxy: faultProxy(deployment.gateway), subject, other }
}

/** By what they do; together they make every call that the three functions make while nothing is amiss. */
const SCENES: Readonly<Record<string, { of: FunctionName; calls: readonly string[]; open(): Promise<Scene> }>> = {
  'ingest stages an event': {
    of: 'ingest',
    calls: ['DynamoDB.Query', 'DynamoDB.PutItem', 'DynamoDB.BatchGetItem', 'S3.PutObject'],
    async open() {
      const opened = await open('ingest')
      const committing = opened.other('commit')
      let next = 0
      return {
        ...opened,
        prepare: async () => events[next++],
        async inTheEnd() {
          succeeded(await committing.invoke('{}'))
          await expectExactly(opened.deployment, events.slice(0, next))
        },
      }
    },
  },
  'ingest meets a partition that is new to it': {
    of: 'ingest',
    calls: ['S3.GetObject'],
    async open() {
      const opened = await open('ingest')
      const committing = opened.other('commit')
      const [before, event] = events
      const expectBoth = async () => {
        succeeded(await committing.invoke('{}'))
        await expectExactly(opened.deployment, [before, event])
      }
      return {
        ...opened,
        async prepare() {
          await opened.deployment.forget()
          opened.subject.reset()
          committing.reset()
          await deliver(opened.subject, before)
          succeeded(await committing.invoke('{}'))
          return event
        },
        afterEach: expectBoth,
        inTheEnd: expectBoth,
      }
    },
  },
  'commit takes what is staged': {
    of: 'commit',
    calls: [
      'DynamoDB.Query',
      'DynamoDB.PutItem',
      'DynamoDB.BatchGetItem',
      'S3.PutObject',
      'S3.GetObject',
      'S3.HeadObject',
      'Glue.GetTable',
      'Glue.UpdateTable',
    ],
    async open() {
      const opened = await open('commit')
      const ingesting = opened.other('ingest')
      let next = 0
      const stage = () => deliver(ingesting, events[next++])
      await stage()
      succeeded(await opened.subject.invoke('{}'))
      return {
        ...opened,
        async prepare() {
          await stage()
          return '{}'
        },
        inTheEnd: () => expectExactly(opened.deployment, events.slice(0, next)),
      }
    },
  },
  'commit finds no tables': {
    of: 'commit',
    calls: ['Glue.CreateTable', 'Glue.CreateDatabase'],
    async open() {
      const opened = await open('commit')
      const ingesting = opened.other('ingest')
      const expectIt = () => expectExactly(opened.deployment, events.slice(0, 1))
      return {
        ...opened,
        async prepare() {
          await opened.deployment.forget()
          opened.subject.reset()
          ingesting.reset()
          await deliver(ingesting, events[0])
          return '{}'
        },
        afterEach: expectIt,
        inTheEnd: expectIt,
      }
    },
  },
  'provision makes tables': {
    of: 'provision',
    calls: [
      'DynamoDB.Query',
      'DynamoDB.PutItem',
      'DynamoDB.BatchGetItem',
      'S3.PutObject',
      'Glue.GetTable',
      'Glue.CreateTable',
      'Glue.CreateDatabase',
    ],
    open: () => provisioning(async ({ forget }) => forget()),
  },
  'provision finds its tables': {
    of: 'provision',
    calls: ['S3.GetObject'],
    // A process knows the metadata that it has read.
    open: () => provisioning(async () => {}),
  },
}

async function provisioning(before: (deployment: Deployment) => Promise<void>): Promise<Scene> {
  const opened = await open('provision')
  const { deployment, subject } = opened
  const { ports, environment } = deployment
  const { NAMESPACE: namespace, FRAZIL_STAGING: staging, FRAZIL_WAREHOUSE: warehouse } = environment.provision
  succeeded(await subject.invoke('{}'))
  return {
    ...opened,
    async prepare() {
      await before(deployment)
      return '{}'
    },
    async afterEach() {
      for (const name of TABLES) expect(await ports.catalog.load({ namespace, name }), name).toBeDefined()
    },
    async inTheEnd() {
      expect(succeeded(await subject.invoke('{}'))).toEqual(TABLES.map((table) => ({ table, change: 'as it was', columns: '' })))
      const incarnation = await nameIncarnation(ports.log, ports.random, 'trades')
      const runtime = createRuntime({ plan: { ...planOf(trades), namespace }, ports, staging, warehouse, incarnation })
      await ingest(runtime, parseKafkaEvent(JSON.parse(events[0])))
      while ((await commit(runtime)).more);
      await expectExactly(deployment, events.slice(0, 1))
    },
  }
}

/** Tries of every call of this name, one number a call. */
function triesOf(tries: readonly Try[], call: string): number[] {
  const byId = Map.groupBy(
    tries.filter((one) => one.call === call),
    ({ id }) => id,
  )
  return [...byId.values()].map(({ length }) => length)
}

const CASES = Object.entries(SCENES).flatMap(([name, { calls, open }]) => calls.map((call) => ({ name, call, open })))

describe.concurrent('a fault', () => {
  describe.concurrent.each(CASES)('at $call, while $name', ({ call, open: openScene }) => {
    const { writes, says, right, repeats } = CALLS[call]
    const budget = repeats === 'sdk' ? TRIES : 1
    let scene: Scene
    beforeAll(async () => {
      scene = await openScene()
      return () => scene.deployment.close()
    })

    /** One call of the function while `inject` is at work. Every try of the call said what it may cost at most. */
    async function callWith(inject: (proxy: FaultProxy) => void) {
      const { proxy, subject } = scene
      const payload = await scene.prepare()
      proxy.clear()
      inject(proxy)
      const answer = await subject.invoke(payload)
      const { tries } = proxy
      proxy.clear()
      expect(new Set(tries.filter((one) => one.call === call).map(({ maxTries }) => maxTries))).toEqual(new Set([budget]))
      return { answer, payload, faulted: tries.filter(({ faulted }) => faulted).length, triesOfCalls: triesOf(tries, call) }
    }

    /** As a mapping, a schedule and CloudFormation do: the same again. */
    async function again(payload: string): Promise<void> {
      succeeded(await scene.subject.invoke(payload))
      await scene.afterEach?.()
    }

    const alone = { concurrent: false }

    test('late, but in time: waited for', alone, async () => {
      const { answer, faulted, triesOfCalls } = await callWith((proxy) => proxy.inject(call, LATE, 1))
      succeeded(answer)
      expect([faulted, Math.max(...triesOfCalls)]).toEqual([1, 1])
      await scene.afterEach?.()
    })

    for (const { kind, fault, times } of PASSING.filter(({ writesOnly }) => !writesOnly || writes))
      test(`${kind}: repeated, and done`, alone, async () => {
        const { answer, faulted, triesOfCalls } = await callWith((proxy) => proxy.inject(call, fault, times))
        succeeded(answer)
        expect([faulted, Math.max(...triesOfCalls)]).toEqual([times, repeats === 'sdk' ? 1 + times : 1])
        await scene.afterEach?.()
      })

    for (const { kind, fault, unknown } of LASTING)
      test(`${kind}: given up within its budget, said, and done when called again`, alone, async () => {
        const { answer, payload, faulted, triesOfCalls } = await callWith((proxy) => proxy.injectForGood(call, fault))
        const { errorType, errorMessage } = failed(answer)
        expect(triesOfCalls.reduce((sum, tries) => sum + tries, 0)).toBe(faulted)
        expect(Math.max(...triesOfCalls)).toBe(budget)
        if (repeats === 'provision') expect(triesOfCalls.length).toBe(CREATIONS)
        if (repeats === 'commit') {
          expect(triesOfCalls.length).toBe(SWAPS)
          expect([errorType, errorMessage]).toEqual(['CommitUnknown', expect.stringContaining(`lost ${SWAPS} swaps`)])
        } else expect([errorType, errorMessage]).toEqual([kindOf(call, unknown), expect.stringMatching(says)])
        await again(payload)
      })

    test('denied: not repeated, said with the right that is missing, and done once it is granted', alone, async () => {
      const { answer, payload, triesOfCalls } = await callWith((proxy) => proxy.injectForGood(call, refusing(DENIED)))
      const { errorType, errorMessage } = failed(answer)
      expect([errorType, errorMessage]).toEqual(['Usage', expect.stringMatching(says)])
      expect(errorMessage).toContain(`Grant ${right} on `)
      expect(Math.max(...triesOfCalls)).toBe(1)
      await again(payload)
    })

    test('after all of it, every record is in the tables once', alone, () => scene.inTheEnd())
  })
})

describe('the calls that meet faults', () => {
  test.concurrent.each(['ingest', 'commit', 'provision'] as const)(
    'are all that %s makes while nothing is amiss',
    async (name) => {
      const seen = new Set<string>()
      const scenes = Object.values(SCENES).filter(({ of }) => of === name)
      for (const { open: openScene } of scenes) {
        const { proxy, subject, prepare, deployment } = await openScene()
        const payload = await prepare()
        proxy.clear()
        succeeded(await subject.invoke(payload))
        for (const { call } of proxy.tries) seen.add(call)
        await deployment.close()
      }
      expect([...seen].sort()).toEqual([...new Set(scenes.flatMap(({ calls }) => calls))].sort())
    },
  )
})

describe('an event of several partitions', () => {
  test('whose floors cannot be read is found in at the second look, and stays in', async () => {
    const { deployment, proxy, subject, other } = await open('ingest')
    const whole = eventsOf(800, { batchRecords: 800 }).find((event) => byPartition(event).length > 1) ?? ''
    // A first call opens the partitions, which reads a floor as well.
    succeeded(await subject.invoke(JSON.stringify({ eventSource: 'aws:kafka', records: {} })))
    succeeded(await other('commit').invoke('{}'))
    proxy.clear()
    proxy.injectForGood('DynamoDB.BatchGetItem', refusing(FAILING))
    expect(succeeded(await subject.invoke(whole))).toBeNull()
    expect(triesOf(proxy.tries, 'DynamoDB.BatchGetItem')).toEqual([TRIES])
    proxy.clear()
    expect(succeeded(await subject.invoke(whole))).toBeNull()
    succeeded(await other('commit').invoke('{}'))
    await expectExactly(deployment, [whole])
    await deployment.close()
  })
})

describe.concurrent('an object in parts', () => {
  const CREATE = 'S3.CreateMultipartUpload'
  const PART = 'S3.UploadPart'
  const COMPLETE = 'S3.CompleteMultipartUpload'
  const bytes = new Uint8Array(MAX_SINGLE_PUT_BYTES + 1).map((_, i) => i % 251)

  /** Puts it through a proxy. */
  async function put(inject: (proxy: FaultProxy) => void) {
    const client = ministack()
    const direct = openS3Objects(client)
    const gateway = await openGateway(client.endpoint)
    const proxy = faultProxy(gateway)
    const objects = openS3Objects({ ...client, endpoint: gateway.endpoint })
    const bucket = uniqueName('parts')
    const s3 = s3Client(client)
    await s3.send(new CreateBucketCommand({ Bucket: bucket }))
    inject(proxy)
    const error = await objects.put(`s3://${bucket}/a`, [bytes]).catch((caught: unknown) => caught)
    const { tries } = proxy
    const found = await direct.get(`s3://${bucket}/a`)
    const { Uploads } = await s3.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
    objects.close()
    direct.close()
    s3.destroy()
    await gateway.close()
    return { error, tries, found, left: Uploads?.length ?? 0 }
  }

  const passing = [CREATE, PART, COMPLETE].flatMap((call) => [
    { call, kind: 'throttled twice', fault: refusing(THROTTLED), times: 2 },
    { call, kind: 'failing twice', fault: refusing(FAILING), times: 2 },
    { call, kind: 'done, and its answer lost', fault: ANSWER_LOST, times: 1 },
  ])
  test.each(passing)('$call $kind: repeated, and the object is there', async ({ call, fault, times }) => {
    const { error, tries, found } = await put((proxy) => proxy.inject(call, fault, times))
    expect(error).toBeUndefined()
    expect(tries.filter(({ faulted }) => faulted).length).toBe(times)
    expect(Math.max(...triesOf(tries, call))).toBe(1 + times)
    expect(Buffer.compare(found ?? Buffer.of(), bytes)).toBe(0)
  })

  test.each([CREATE, PART, COMPLETE])('%s denied: not repeated, told, and nothing is left to be paid for', async (call) => {
    const { error, tries, found, left } = await put((proxy) => proxy.injectForGood(call, refusing(DENIED)))
    expect(error).toMatchObject({ kind: 'Usage', message: expect.stringMatching(/access denied\. Grant s3:PutObject on /) })
    expect(new Set(triesOf(tries, call))).toEqual(new Set([1]))
    expect([found, left]).toEqual([undefined, 0])
  })

  test('whose completion keeps meeting another is put again from its first part, and given up', async () => {
    const { error, tries, found, left } = await put((proxy) => proxy.injectForGood(COMPLETE, refusing(CONFLICTING)))
    expect(error).toMatchObject({ kind: 'Unavailable' })
    expect(triesOf(tries, CREATE).length).toBe(TRIES)
    expect([found, left]).toEqual([undefined, 0])
  })
})

describe('provision, asked by CloudFormation', () => {
  const SECRET = 'X-Amz-Signature=secret'

  /** An address that answers with these statuses, the last one for ever, and keeps what it is told. */
  async function listening(...statuses: readonly number[]) {
    const told: Answer[] = []
    const server = createServer(async (request, response) => {
      told.push(JSON.parse(await text(request)))
      response.writeHead(statuses[Math.min(told.length, statuses.length) - 1]).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const ResponseURL = `http://127.0.0.1:${port}/answer?${SECRET}`
    const event = { RequestType: 'Create', ResponseURL, StackId: 's', RequestId: 'r', LogicalResourceId: 'Tables' }
    return { told, event: JSON.stringify(event), close: () => server.close() }
  }

  test.each([
    ['that it is done', [200], 1],
    ['again what was not taken', [500, 503, 200], 3],
  ] as const)('tells it %s', async (_, statuses, times) => {
    const { deployment, subject } = await open('provision')
    const { told, event, close } = await listening(...statuses)
    succeeded(await subject.invoke(event))
    expect(told).toEqual(Array(times).fill(told[0]))
    expect(told[0]).toMatchObject({ Status: 'SUCCESS', StackId: 's', RequestId: 'r', LogicalResourceId: 'Tables' })
    for (const table of TABLES) expect(told[0].Data.Tables).toContain(`${table}: made with `)
    expect(subject.log.length).toBeGreaterThan(0)
    expect(subject.log.join()).not.toContain('secret')
    close()
    await deployment.close()
  })

  test('tells it which right is missing, fails nothing else, and goes on once it is granted', async () => {
    const { deployment, proxy, subject } = await open('provision')
    const { told, event, close } = await listening(200)
    proxy.injectForGood('Glue.CreateTable', refusing(DENIED))
    expect(succeeded(await subject.invoke(event))).toEqual([])
    expect(told).toMatchObject([{ Status: 'FAILED', Reason: expect.stringContaining('Grant glue:CreateTable on ') }])
    proxy.clear()
    succeeded(await subject.invoke(event))
    expect(told[1]).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: told[0].PhysicalResourceId })
    expect(subject.log.join()).not.toContain('secret')
    close()
    await deployment.close()
  })

  test('fails when it cannot tell it, without the address in its words', async () => {
    const { deployment, subject } = await open('provision')
    const { event, close } = await listening(403)
    const { errorMessage } = failed(await subject.invoke(event))
    expect(errorMessage).toBe('Cannot answer CloudFormation: expected its address to take the answer, found status 403.')
    expect(subject.log.join()).not.toContain('secret')
    close()
    await deployment.close()
  })
})
