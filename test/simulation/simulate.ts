import { memoryCatalog } from '../../lib/ports/memory/catalog.ts'
import { memoryLog } from '../../lib/ports/memory/log.ts'
import { memoryObjects } from '../../lib/ports/memory/objects.ts'
import { advanceToEnd, commitAll } from '../../lib/runtime/advance.ts'
import { commit } from '../../lib/runtime/commit.ts'
import { provision } from '../../lib/runtime/provision.ts'
import { trim } from '../../lib/runtime/trim.ts'
import { advancer, cleaner, committer, finisher, foreign, joiner, poller, producer, provisioner, repeat } from './actors.ts'
import { type Checked, check, type History } from './checkers.ts'
import { vandal } from './disasters.ts'
import { createBroker, layOut } from './kafka.ts'
import { type Actor, createKernel, createRng, Violation } from './kernel.ts'
import type { Event, Stores } from './ports.ts'
import { type Scenario, scenarioOf } from './scenario.ts'
import { WORKLOADS } from './workloads.ts'
import { allPartitions, insist, STAGING, type World } from './world.ts'

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
/** Steps with faults before the world heals, and in all before a run counts as stuck. */
const FAULTY_STEPS = 2_500
const MAX_STEPS = 60_000
/** Steps that everybody goes on trying after a disaster. */
const HALTED_STEPS = 1_000

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
