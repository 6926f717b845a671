import { isKind } from '../../lib/errors.ts'
import { createRuntime, nameIncarnation, type Runtime } from '../../lib/runtime/runtime.ts'
import type { SimBroker } from './kafka.ts'
import { type Actor, type Kernel, type Outcome, type Rng, Violation } from './kernel.ts'
import { type Holder, type Stores, simulatedPorts } from './ports.ts'
import type { Scenario } from './scenario.ts'
import type { Workload } from './workload.ts'

export const STAGING = 'memory://staging/'
const WAREHOUSE = 'memory://warehouse/'
/** Calls at once, zombies among them; Lambda's concurrency limit. */
const MAX_CALLS = 6

/** A warm function: one call at a time; a crash takes it down, a failure may or may not. */
export interface Container {
  readonly holder: Holder
  readonly runtime: Runtime
}

/** One run: its stores, its topic, and what its actors know of each other. */
export interface World {
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

export function allPartitions({ workload, broker }: World): Record<string, number[]> {
  return { [workload.oracle.source]: broker.topic.partitions.map((_, p) => p) }
}

/**
 * Calls a function of the library in a container of its own, as an actor of its own. `timeoutMs` after which the caller
 * gives up; the call goes on as a zombie.
 */
export async function invoke(
  world: World,
  caller: Actor,
  what: string,
  timeoutMs: number,
  run: (runtime: Runtime, actor: Actor) => Promise<unknown>,
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
      const expected = isKind(error, 'Unavailable', 'CommitUnknown') || (world.halted && isKind(error, 'Refused', 'Corrupt'))
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
export async function insist(
  world: World,
  actor: Actor,
  what: string,
  run: (runtime: Runtime, actor: Actor) => Promise<unknown>,
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

export async function untilProvisioned(world: World, actor: Actor): Promise<void> {
  while (!world.provisioned) await world.kernel.sleep(actor, 5)
}
