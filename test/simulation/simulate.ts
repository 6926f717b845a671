import { isKind } from '../../lib/errors.ts'
import { memoryCatalog } from '../../lib/ports/memory/catalog.ts'
import { memoryLog } from '../../lib/ports/memory/log.ts'
import { memoryObjects } from '../../lib/ports/memory/objects.ts'
import { advance, advanceToEnd, commitAll } from '../../lib/runtime/advance.ts'
import { commit } from '../../lib/runtime/commit.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import { createRuntime, nameIncarnation, type Runtime } from '../../lib/runtime/runtime.ts'
import { trim } from '../../lib/runtime/trim.ts'
import { type Checked, check, type History } from './checkers.ts'
import { deadObjects, unappliedFiles, unconsumedSegments } from './cleaner.ts'
import { replaceTable, touchTable } from './foreign.ts'
import { createBroker, deliveriesOf, layOut, type SimBroker, type SimRecord } from './kafka.ts'
import { type Actor, createKernel, createRng, type Kernel, type Outcome, type Rng, Violation } from './kernel.ts'
import { type Event, type Holder, type Stores, simulatedPorts } from './ports.ts'
import { type Replacement, type Scenario, scenarioOf } from './scenario.ts'
import type { Workload } from './workload.ts'
import { WORKLOADS } from './workloads.ts'

export interface Result {
  readonly seed: number
  readonly variant: number
  readonly scenario: Scenario
  readonly violation: { readonly check: string; readonly message: string; readonly stack: string | undefined } | undefined
  readonly checked: Checked | undefined
  readonly steps: number
  readonly faults: number
  /** Changes when anything at all happened in another order. */
  readonly traceHash: string
  readonly trace: readonly string[]
}

const START_MS = 1_760_000_000_000
const STAGING = 'memory://staging/'
const WAREHOUSE = 'memory://warehouse/'
/** Calls at once, zombies among them; Lambda's concurrency limit. */
const MAX_CALLS = 6
/** Steps with faults before the world heals, and in all before a run counts as stuck. */
const FAULTY_STEPS = 2_500
const MAX_STEPS = 60_000
/** Steps that everybody goes on trying after a disaster. */
const HALTED_STEPS = 1_000

/** A warm function: one call at a time; a crash takes it down, a failure may or may not. */
interface Container {
  readonly holder: Holder
  readonly runtime: Runtime
}

interface World {
  readonly kernel: Kernel
  readonly rng: Rng
  readonly scenario: Scenario
  readonly workload: Workload
  readonly stores: Stores
  readonly broker: SimBroker
  readonly pool: Container[]
  /** Partitions that the pollers read. */
  readonly polled: Set<number>
  /** By partition: the offset the event source is to read next. */
  readonly positions: number[]
  calls: number
  /** Calls under way, those that nobody waits for among them. */
  readonly running: Set<Actor>
  names: number
  provisioned: boolean
  pollersLeft: number
  produced: boolean
  stop: boolean
  /** A disaster happened: halting is right. */
  halted: boolean
}

/**
 * Runs the whole pipeline once. The topic depends on `seed` alone; interleaving, batches and faults on `seed` and `variant`.
 */
export async function simulate(seed: number, variant = 0): Promise<Result> {
  const scenario = scenarioOf(seed, variant)
  const rng = createRng(seed, 1000 + variant)
  const kernel = createKernel({ rng, startMs: START_MS, stickiness: scenario.stickiness, priorities: scenario.priorities })
  const workload = WORKLOADS[scenario.workload]
  const shape = { ...scenario.shape, startMs: START_MS }
  const topic = layOut(createRng(seed, 7), workload.oracle.topic, shape, (r, time, kafkaMs) =>
    workload.content(r, time, kafkaMs, scenario.poison),
  )
  const broker = createBroker(topic)
  const events: Event[] = []
  const archive = new Map<string, Uint8Array>()
  const stores: Stores = {
    log: memoryLog(),
    objects: memoryObjects(),
    catalog: memoryCatalog(),
    broker,
    events,
    archive,
    afterCheckpoint: undefined,
  }
  const world: World = {
    kernel,
    rng,
    scenario,
    workload,
    stores,
    broker,
    pool: [],
    polled: new Set(topic.partitions.map((_, p) => p).filter((p) => p !== scenario.joiner)),
    positions: topic.partitions.map(() => 0),
    calls: 0,
    running: new Set(),
    names: 0,
    provisioned: false,
    pollersLeft: 0,
    produced: false,
    stop: false,
    halted: false,
  }
  const base = { seed, variant, scenario }
  const history = (complete: boolean): History => ({
    oracle: workload.oracle,
    topic,
    produced: broker.produced,
    events,
    archive,
    staging: STAGING,
    complete,
  })
  let violation: Result['violation']
  let checked: Checked | undefined
  try {
    await runWorld(world)
    checked = await check(history(!world.halted))
    if (!world.halted) await assertSettled(world, () => check(history(true)), checked)
  } catch (error) {
    violation = describe(error)
    // The stores often tell more plainly what went wrong than the symptom that stopped the run.
    if (violation.check !== 'Checker')
      await check(history(false)).catch((found) => {
        if (found instanceof Violation) violation = describe(found)
      })
  }
  return {
    ...base,
    violation,
    checked,
    steps: kernel.steps(),
    faults: kernel.faultCount(),
    traceHash: kernel.hash(),
    trace: kernel.trace,
  }
}

function describe(error: unknown): NonNullable<Result['violation']> {
  if (error instanceof Violation)
    return { check: error.check, message: error.message, stack: (error.cause as Error | undefined)?.stack }
  return { check: 'Checker', message: String(error), stack: error instanceof Error ? error.stack : undefined }
}

async function runWorld(world: World): Promise<void> {
  const { kernel, scenario } = world
  const top = (name: string, body: (actor: Actor) => Promise<void>) =>
    kernel.spawn(name, async (actor) => {
      try {
        await body(actor)
      } catch (error) {
        throw error instanceof Violation ? error : new Violation('Harness', `${name} threw ${String(error)}`, { cause: error })
      }
    })
  kernel.setFaults(scenario.faults)
  for (let i = 0; i < scenario.provisioners; i++) top(`provisioner${i}`, (actor) => provisioner(world, actor))
  top('producer', (actor) => producer(world, actor))
  const owners: number[][] = Array.from({ length: scenario.pollers }, () => [])
  for (const p of world.broker.topic.partitions.keys()) owners[p % scenario.pollers].push(p)
  world.pollersLeft = scenario.pollers
  for (const [i, partitions] of owners.entries()) top(`poller${i}`, (actor) => poller(world, actor, partitions))
  for (let i = 0; i < scenario.committers; i++) top(`committer${i}`, (actor) => committer(world, actor))
  if (scenario.trims) top('trimmer', (actor) => repeat(world, actor, 'trim', (runtime) => trim(runtime)))
  if (scenario.advances > 0) top('advancer', (actor) => advancer(world, actor))
  if (scenario.foreign > 0) top('foreign', (actor) => foreign(world, actor))
  if (scenario.joiner !== undefined) top('joiner', (actor) => joiner(world, actor))
  if (scenario.cleans) top('cleaner', (actor) => cleaner(world, actor))
  if (scenario.vanishes) top('vandal', (actor) => vandal(world, actor))
  top('finisher', (actor) => finisher(world, actor))

  if ((await kernel.run(() => world.stop || world.halted, FAULTY_STEPS)) === 'exhausted') {
    kernel.setFaults(undefined)
    kernel.thaw()
  }
  await untilIdle(world)
  // An advance, or a zombie's late write, may have come after the last round.
  if (world.halted || scenario.advances === 0) return
  kernel.spawn('settler', (actor) => insist(world, actor, 'settle', (runtime) => commitAll(runtime)))
  await untilIdle(world)
}

async function untilIdle(world: World): Promise<void> {
  const { kernel } = world
  const end = await kernel.run(() => world.halted, MAX_STEPS)
  if (world.halted) {
    await kernel.run(() => false, HALTED_STEPS)
    return
  }
  if (end === 'exhausted') throw new Violation('Progress', `no end after ${kernel.steps()} steps`)
  if (kernel.running().length > 0)
    throw new Violation('Progress', `nothing can go on, yet these are not done: ${kernel.running().join(', ')}`)
}

/** When all is done, doing it all again must change nothing. */
async function assertSettled(world: World, recheck: () => Promise<Checked>, before: Checked): Promise<void> {
  const { kernel, stores } = world
  kernel.setFaults(undefined)
  const count = stores.events.length
  kernel.spawn('again', async (actor) => {
    await insist(world, actor, 'provision', (runtime) => provision(runtime, allPartitions(world)))
    await insist(world, actor, 'commit', async (runtime) => void (await commit(runtime)))
    await insist(world, actor, 'end', async (runtime) => void (await advanceToEnd(runtime)))
  })
  await untilIdle(world)
  const wrote = stores.events.slice(count).filter((event) => event.at === 'put' || event.at === 'swap' || event.at === 'create')
  if (wrote.length > 0) throw new Violation('Settled', `doing it all again wrote ${JSON.stringify(wrote)}`)
  const after = await recheck()
  if (after.digest !== before.digest) throw new Violation('Settled', 'doing it all again changed rows')
}

function allPartitions({ workload, broker }: World): Record<string, number[]> {
  return { [workload.oracle.source]: broker.topic.partitions.map((_, p) => p) }
}

/**
 * Calls a function of the library in a container of its own, as an actor of its own. `timeoutMs` after which the caller
 * gives up; the call goes on as a zombie.
 */
async function invoke(
  world: World,
  caller: Actor,
  what: string,
  timeoutMs: number,
  run: (runtime: Runtime, actor: Actor) => Promise<void>,
): Promise<Outcome> {
  const { kernel, pool, rng } = world
  while (world.running.size >= MAX_CALLS) await kernel.sleep(caller, 10)
  const warm = pool.length > 0 && rng.chance(0.7) ? pool.splice(rng.int(pool.length), 1)[0] : undefined
  const child = kernel.spawn(`${what}#${++world.calls}`, async (actor) => {
    try {
      const container = warm ?? (await coldStart(world, actor))
      container.holder.actor = actor
      try {
        await run(container.runtime, actor)
        pool.push(container)
      } catch (error) {
        if (rng.chance(0.5)) pool.push(container)
        throw error
      }
    } catch (error) {
      kernel.note(`${actor.name} FAILED ${String(error).slice(0, 200)}`)
      // A store that fails or a race that is lost may fail a call. Anything else is an alarm nobody should have heard.
      const expected =
        isKind(error, 'Unavailable', 'CommitUnknown', 'Conflict') || (world.halted && isKind(error, 'Refused', 'Corrupt'))
      if (!(error instanceof Violation) && !expected && what !== 'anew')
        throw new Violation('UnexpectedError', `${actor.name} threw ${String(error)}`, { cause: error })
      throw error
    }
  })
  world.running.add(child)
  void child.outcome.then(() => world.running.delete(child))
  return kernel.wait(caller, child, timeoutMs)
}

/** Goes on until a call succeeds, each time with more patience. */
async function insist(
  world: World,
  actor: Actor,
  what: string,
  run: (runtime: Runtime, actor: Actor) => Promise<void>,
): Promise<void> {
  let timeoutMs = world.scenario.timeoutMs * 2
  while ((await invoke(world, actor, what, timeoutMs, run)).kind !== 'done') {
    timeoutMs *= 2
    await world.kernel.sleep(actor, world.rng.between(1, 20))
  }
}

async function coldStart(world: World, actor: Actor): Promise<Container> {
  const { kernel, stores, workload, scenario } = world
  const holder: Holder = { actor }
  const ports = simulatedPorts(kernel, stores, holder)
  const incarnation = await nameIncarnation(ports.log, ports.random, workload.plan.name)
  const runtime = createRuntime({
    plan: workload.plan,
    ports,
    staging: STAGING,
    warehouse: WAREHOUSE,
    incarnation,
    limits: scenario.limits,
  })
  return { holder, runtime }
}

async function untilProvisioned(world: World, actor: Actor): Promise<void> {
  while (!world.provisioned) await world.kernel.sleep(actor, 5)
}

async function provisioner(world: World, actor: Actor): Promise<void> {
  const partitions = { [world.workload.oracle.source]: [...world.polled] }
  await insist(world, actor, 'provision', (runtime) => provision(runtime, partitions))
  world.provisioned = true
}

async function producer(world: World, actor: Actor): Promise<void> {
  const { kernel, broker, rng, scenario } = world
  for (;;) {
    const left = broker.topic.partitions.map((_, p) => p).filter((p) => broker.produced[p] < broker.topic.partitions[p].length)
    if (left.length === 0) break
    // Partitions that lag behind others are what watermarks are about.
    const p = rng.chance(0.5) ? left[0] : rng.pick(left)
    for (let n = rng.between(1, 8); n > 0 && broker.produced[p] < broker.topic.partitions[p].length; n--) broker.produce(p)
    if (scenario.slowProducer) await kernel.sleep(actor, rng.between(1, 60))
  }
  world.produced = true
}

/** Lambda's event source mapping: in order per partition, at least once, on to the next only after success. */
async function poller(world: World, actor: Actor, partitions: readonly number[]): Promise<void> {
  const { kernel, rng, scenario, broker, positions } = world
  await untilProvisioned(world, actor)
  let retry: SimRecord[][] | undefined
  for (;;) {
    const mine = partitions.filter((p) => world.polled.has(p))
    const lists =
      retry ??
      mine.filter(() => rng.chance(0.7)).map((p) => [...broker.fetch(p, positions[p], rng.between(1, scenario.batchMax))])
    retry = undefined
    const batch = lists.filter((list) => list.length > 0)
    if (batch.length === 0) {
      const read = partitions.every((p) => world.polled.has(p) && positions[p] >= broker.end(p))
      if (read && world.produced) break
      await kernel.sleep(actor, rng.between(1, 20))
      continue
    }
    if (rng.chance(scenario.duplicates)) duplicate(world, actor, mine)
    const outcome = await deliver(world, actor, batch)
    if (outcome.kind !== 'done') {
      // The same batch again; after a rebalance another cut of the same records.
      if (rng.chance(0.6)) retry = batch
      await kernel.sleep(actor, rng.between(0, 10))
      continue
    }
    for (const list of batch) positions[list[0].partition] = list[list.length - 1].offset + 1
    // A redelivery of what is acknowledged, after a rebalance that lost the position.
    if (rng.chance(scenario.duplicates / 4))
      for (const list of batch) if (rng.chance(0.5)) positions[list[0].partition] = list[rng.int(list.length)].offset
  }
  world.pollersLeft--
}

function deliver(world: World, actor: Actor, batch: readonly (readonly SimRecord[])[]): Promise<Outcome> {
  const { stores, workload, scenario } = world
  const topic = workload.oracle.topic
  return invoke(
    world,
    actor,
    `ingest[${batch.map((list) => `${list[0].partition}:${list[0].offset}+${list.length}`).join(' ')}]`,
    scenario.timeoutMs,
    async (runtime, child) => {
      await ingest(runtime, deliveriesOf(topic, batch))
      const next = new Map(batch.map((list) => [list[0].partition, list[list.length - 1].offset + 1]))
      stores.events.push({ at: 'ack', by: child.name, topic, next })
    },
  )
}

/** A second delivery at the same time, from anywhere in the past to anywhere ahead: two pollers that both think it is theirs. */
function duplicate(world: World, actor: Actor, partitions: readonly number[]): void {
  const { rng, broker, positions, scenario } = world
  const batch = partitions
    .filter(() => rng.chance(0.6))
    .map((p) => {
      const all = broker.fetch(p, 0, Number.MAX_SAFE_INTEGER)
      const acknowledged = all.findIndex((record) => record.offset >= positions[p])
      const from = rng.int((acknowledged < 0 ? all.length : acknowledged) + 1)
      return all.slice(from, from + rng.between(1, Math.max(12, scenario.batchMax * 2)))
    })
    .filter((list) => list.length > 0)
  if (batch.length > 0) void deliver(world, actor, batch)
}

async function committer(world: World, actor: Actor): Promise<void> {
  const { rng, stores } = world
  await untilProvisioned(world, actor)
  let seen = 0
  while (!world.stop) {
    // Rounds with nothing to do prove little and cost as much as others.
    const idle = stores.events.length === seen && rng.chance(0.8)
    seen = stores.events.length
    if (!idle) await invoke(world, actor, 'commit', world.scenario.timeoutMs, async (runtime) => void (await commit(runtime)))
    await world.kernel.sleep(actor, world.rng.between(1, world.scenario.commitEveryMs))
  }
}

async function repeat(world: World, actor: Actor, what: string, run: (runtime: Runtime) => Promise<void>): Promise<void> {
  await untilProvisioned(world, actor)
  while (!world.stop) {
    await invoke(world, actor, what, world.scenario.timeoutMs, run)
    await world.kernel.sleep(actor, world.rng.between(5, 80))
  }
}

/** Notes the ends of the topic as an advance begins: what the proof is held against. */
function noteAdvance({ stores, workload, broker }: World, actor: Actor): void {
  const ends = broker.topic.partitions.map((_, p) => broker.end(p))
  stores.events.push({ at: 'advance', by: actor.name, source: workload.oracle.source, ends })
}

async function advancer(world: World, actor: Actor): Promise<void> {
  const { kernel, rng, workload, broker, scenario } = world
  await untilProvisioned(world, actor)
  for (let i = 0; i < scenario.advances && !world.stop; i++) {
    await kernel.sleep(actor, rng.between(5, 100))
    // Also one that nobody opened yet.
    const partition = rng.int(broker.topic.partitions.length)
    const times = broker.topic.partitions
      .flatMap((records, p) => records.slice(0, broker.produced[p]))
      .map((record) => record.eventTimeMs)
    if (times.length === 0) continue
    const toMs = Math.max(...times) - workload.oracle.delayMs - (rng.chance(0.5) ? rng.int(300_000) : 0)
    await invoke(world, actor, `advance[${partition}]`, scenario.timeoutMs, async (runtime, child) => {
      noteAdvance(world, child)
      await advance(runtime, workload.oracle.source, partition, toMs)
    })
  }
}

/** Deletes what the logs prove to be dead; what it decided once stays right however late it acts. */
async function cleaner(world: World, actor: Actor): Promise<void> {
  const { kernel, rng, stores } = world
  const { objects } = simulatedPorts(kernel, stores, { actor })
  while (!world.stop) {
    await kernel.sleep(actor, rng.between(5, 80))
    for (const location of await deadObjects(stores, STAGING)) {
      if (rng.chance(0.3)) continue
      try {
        await objects.delete(location)
      } catch (error) {
        if (!isKind(error, 'Unavailable')) throw error
      }
    }
  }
}

/** Destroys an object that is still needed. Commit must halt; whoever has read it already may go on. */
async function vandal(world: World, actor: Actor): Promise<void> {
  const { kernel, rng, stores } = world
  const destroy = async (needed: readonly string[]): Promise<boolean> => {
    if (world.stop || world.halted || needed.length === 0) return false
    const location = rng.pick(needed)
    world.halted = true
    kernel.note(`vandal destroys ${location}`)
    await stores.objects.delete(location)
    return true
  }
  await untilProvisioned(world, actor)
  await kernel.sleep(actor, rng.between(20, 200))
  if (rng.chance(0.5)) {
    while (!world.stop && !(await destroy(await unconsumedSegments(stores, STAGING)))) await kernel.sleep(actor, 2)
    return
  }
  // At once, or an applier that has just seen the file would be blamed.
  stores.afterCheckpoint = async () => {
    const files = await unappliedFiles(stores, STAGING)
    if (await destroy(files))
      for (const location of files)
        if ((await stores.objects.size(location)) === undefined) stores.events.push({ at: 'destroy', by: actor.name, location })
  }
}

/** A partition is added while all runs. */
async function joiner(world: World, actor: Actor): Promise<void> {
  const { kernel, rng, scenario } = world
  if (scenario.joiner === undefined) return
  await untilProvisioned(world, actor)
  await kernel.sleep(actor, rng.between(1, 500))
  // Somebody says so first, or the first record of it does.
  if (rng.chance(0.5)) await insist(world, actor, 'provision', (runtime) => provision(runtime, allPartitions(world)))
  world.polled.add(scenario.joiner)
}

/** Somebody else's commits to our tables: they keep our properties and add their own. */
async function foreign(world: World, actor: Actor): Promise<void> {
  const { kernel, rng, stores, workload } = world
  await untilProvisioned(world, actor)
  const ports = simulatedPorts(kernel, stores, { actor })
  for (let i = 0; i < world.scenario.foreign && !world.stop; i++) {
    await kernel.sleep(actor, rng.between(1, 60))
    const name = rng.pick(Object.keys(workload.plan.tables))
    try {
      await touchTable(ports, { namespace: workload.plan.namespace, name })
    } catch (error) {
      if (!isKind(error, 'Unavailable', 'CommitUnknown')) throw error
    }
  }
}

async function finisher(world: World, actor: Actor): Promise<void> {
  const { kernel, scenario, rng } = world
  while (world.pollersLeft > 0 || !world.provisioned) await kernel.sleep(actor, 20)
  if (!scenario.faultyEnd) {
    kernel.setFaults(undefined)
    if (rng.chance(0.5)) kernel.thaw()
  }
  if (scenario.joiner !== undefined)
    await insist(world, actor, 'provision', (runtime) => provision(runtime, allPartitions(world)))
  if (scenario.anew) await anew(world, actor)
  if (scenario.replaced !== undefined) await replace(world, scenario.replaced)
  let complete = false
  while (!complete)
    await insist(world, actor, 'end', async (runtime, child) => {
      noteAdvance(world, child)
      complete = await advanceToEnd(runtime)
    })
  world.stop = true
  if (scenario.trims) await insist(world, actor, 'trim', (runtime) => trim(runtime))
}

/** One table is replaced; whoever commits from now on must refuse to write to it. */
async function replace(world: World, kind: Replacement): Promise<void> {
  const { stores, workload, kernel } = world
  const [{ table }] = workload.oracle.aggregates
  const id = { namespace: workload.plan.namespace, name: table }
  // Before the first checkpoint nothing is pinned yet.
  if (!stores.events.some((event) => event.at === 'swap' && event.table === table)) return
  const location = await replaceTable(stores, id, kind, `frazil.${workload.oracle.pipeline}.marker`)
  if (location === undefined) return
  world.halted = true
  stores.events.push({ at: 'replace', by: 'somebody', table, location })
  kernel.note(`somebody replaces ${table}: ${kind}`)
}

/** The topic is deleted and made anew: its offsets are low again, its records are other ones. None may be acknowledged. */
async function anew(world: World, actor: Actor): Promise<void> {
  const { rng, broker, workload, scenario, kernel } = world
  const all = broker.topic.partitions.flat()
  const latest = Math.max(...all.map((record) => record.timestamp))
  for (const [p, records] of broker.topic.partitions.entries()) {
    if (records.length === 0) continue
    const next = records[records.length - 1].offset + 1
    const lastAgain = rng.chance(0.3)
    const first = lastAgain ? next - 1 : rng.int(next)
    const count = rng.between(1, 5)
    const made = Array.from({ length: count }, (_, i): SimRecord => {
      const last = records[records.length - 1]
      const timestamp = lastAgain && i === 0 ? last.timestamp - 1 - rng.int(1000) : latest + 1 + rng.int(100_000)
      const content = workload.content(rng, last.eventTimeMs, timestamp, 0)
      const value = typeof content.value === 'string' ? new TextEncoder().encode(content.value) : content.value
      return { partition: p, offset: first + i, timestamp, key: null, value, row: content.row, eventTimeMs: content.eventTimeMs }
    })
    const outcome = await invoke(world, actor, 'anew', scenario.timeoutMs, async (runtime) => {
      await ingest(runtime, deliveriesOf(workload.oracle.topic, [made]))
      throw new Violation(
        'TopicAnew',
        `records of a topic made anew were acknowledged: partition ${p}, offset ${first}, log ends at ${next}`,
      )
    })
    if (outcome.kind === 'failed' && !isKind(outcome.error, 'Refused', 'Unavailable'))
      throw new Violation('TopicAnew', `expected a refusal, found ${String(outcome.error)}`)
    kernel.note(`anew ${outcome.kind}`)
  }
}
