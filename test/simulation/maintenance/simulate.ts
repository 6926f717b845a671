import { memoryCatalog } from '../../../lib/ports/memory/catalog.ts'
import { memoryLog } from '../../../lib/ports/memory/log.ts'
import { memoryObjects } from '../../../lib/ports/memory/objects.ts'
import { commitAll } from '../../../lib/runtime/advance.ts'
import { committer, finisher, poller, producer, provisioner } from '../actors.ts'
import { createBroker, layOut } from '../kafka.ts'
import { type Actor, createKernel, createRng, Violation } from '../kernel.ts'
import type { Event, Stores } from '../ports.ts'
import { insist, STAGING, type World } from '../world.ts'
import { type Kept, keeper, night, stranger } from './actors.ts'
import { type Checker, createChecker } from './checker.ts'
import { checkEnd } from './end.ts'
import { type MaintenanceScenario, maintenanceScenario } from './scenario.ts'
import { maintained } from './workload.ts'

export interface MaintenanceResult {
  readonly seed: number
  readonly scenario: MaintenanceScenario
  readonly violation: { readonly check: string; readonly message: string; readonly stack: string | undefined } | undefined
  readonly swaps: Checker['swaps']
  readonly deleted: number
  readonly rows: number
  readonly checkpoints: number
  readonly steps: number
  readonly faults: number
  readonly traceHash: string
  readonly trace: readonly string[]
}

/** Ninety seconds before an hour ends, so that rows come into two partitions. */
const START_MS = 1_760_000_310_000
const FAULTY_STEPS = 3_000
const MAX_STEPS = 60_000

/** Runs a pipeline, keepers of its tables and other engines side by side, once. */
export async function simulateMaintenance(seed: number): Promise<MaintenanceResult> {
  const setup = maintenanceScenario(seed, START_MS)
  const { pipeline: scenario } = setup
  const rng = createRng(seed, 6000)
  const kernel = createKernel({ rng, startMs: START_MS, stickiness: scenario.stickiness, priorities: scenario.priorities })
  const workload = maintained
  const topic = layOut(createRng(seed, 7), workload.oracle.topic, { ...scenario.shape, startMs: START_MS }, (r, time, kafkaMs) =>
    workload.content(r, time, kafkaMs, scenario.poison),
  )
  const broker = createBroker(topic)
  const events: Event[] = []
  const archive = new Map<string, Uint8Array>()
  const checker = createChecker({
    archive,
    pipeline: workload.oracle.pipeline,
    staging: STAGING,
    retention: setup.retention && {
      table: 'raw_trades',
      column: setup.retention.column,
      before: BigInt(setup.retentionNowMs - setup.retention.keepMs) * 1000n,
    },
  })
  const stores: Stores = {
    log: memoryLog(),
    objects: memoryObjects({ now: () => kernel.now() }),
    catalog: memoryCatalog(),
    broker,
    events,
    archive,
    afterCheckpoint: undefined,
    watch: async (event) => {
      try {
        await checker.look(event)
        // The moment that those who slept through it should wake.
        if (setup.drowsy && event.at === 'swap' && /^(sweep|foreign)/.test(event.by) && rng.chance(0.5)) kernel.thaw()
      } catch (error) {
        const found = error instanceof Violation ? error : new Violation('Checker', String(error), { cause: error })
        kernel.violate(found)
      }
    },
  }
  const world: World = {
    kernel,
    rng,
    scenario,
    workload,
    stores,
    broker,
    pool: [],
    polled: new Set(topic.partitions.keys()),
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
  const kept: Kept = { world, setup }
  let violation: MaintenanceResult['violation']
  let rows = 0
  try {
    await runWorld(kept)
    rows = await checkEnd(kept, checker, topic)
  } catch (error) {
    violation =
      error instanceof Violation
        ? { check: error.check, message: error.message, stack: (error.cause as Error | undefined)?.stack }
        : { check: 'Checker', message: String(error), stack: error instanceof Error ? error.stack : undefined }
  }
  return {
    seed,
    scenario: setup,
    violation,
    swaps: checker.swaps,
    deleted: checker.deleted.size,
    rows,
    checkpoints: events.filter((event) => event.at === 'put' && event.key.startsWith('checkpoint/')).length,
    steps: kernel.steps(),
    faults: kernel.faultCount(),
    traceHash: kernel.hash(),
    trace: kernel.trace,
  }
}

async function runWorld(kept: Kept): Promise<void> {
  const { world, setup } = kept
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
  top('provisioner', (actor) => provisioner(world, actor))
  top('producer', (actor) => producer(world, actor))
  world.pollersLeft = 1
  top('poller', (actor) => poller(world, actor, [...world.broker.topic.partitions.keys()]))
  for (let i = 0; i < scenario.committers; i++) top(`committer${i}`, (actor) => committer(world, actor))
  for (let i = 0; i < setup.keepers; i++) top(`keeper${i}`, (actor) => keeper(kept, actor))
  if (setup.foreign > 0) top('foreign', (actor) => stranger(kept, actor))
  top('finisher', (actor) => finisher(world, actor))

  if ((await kernel.run(() => world.stop, FAULTY_STEPS)) === 'exhausted') {
    kernel.setFaults(undefined)
    kernel.thaw()
  }
  await untilIdle(world)
  kernel.setFaults(undefined)
  kernel.spawn('settler', (actor) => insist(world, actor, 'settle', (runtime) => commitAll(runtime)))
  await untilIdle(world)
  // What crashes have left is put right by the chores as they come, and then nothing is left to do.
  let before = 0
  for (let i = 0; i < 3; i++) {
    before = world.stores.events.length
    top('night', (actor) => night(kept, actor))
    await untilIdle(world)
  }
  // A log is trimmed to where it is trimmed already.
  const did = world.stores.events.slice(before).filter((event) => event.at !== 'trim')
  if (did.length > 0)
    throw new Violation(
      'Settled',
      `the third night in a row changed something: ${did.map((event) => JSON.stringify(event)).join('\n')}`,
    )
}

async function untilIdle({ kernel }: World): Promise<void> {
  if ((await kernel.run(() => false, MAX_STEPS)) === 'exhausted')
    throw new Violation('Progress', `no end after ${kernel.steps()} steps`)
  if (kernel.running().length > 0)
    throw new Violation('Progress', `nothing can go on, yet these are not done: ${kernel.running().join(', ')}`)
}
