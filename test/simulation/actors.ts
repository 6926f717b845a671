import { isKind } from '../../lib/errors.ts'
import { advance, advanceToEnd } from '../../lib/runtime/advance.ts'
import { commit } from '../../lib/runtime/commit.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import type { Runtime } from '../../lib/runtime/runtime.ts'
import { trim } from '../../lib/runtime/trim.ts'
import { deadObjects } from './cleaner.ts'
import { anew, replace } from './disasters.ts'
import { touchTable } from './foreign.ts'
import { deliveriesOf, type SimRecord } from './kafka.ts'
import type { Actor, Outcome } from './kernel.ts'
import { simulatedPorts } from './ports.ts'
import { allPartitions, insist, invoke, STAGING, untilProvisioned, type World } from './world.ts'

export async function provisioner(world: World, actor: Actor): Promise<void> {
  const partitions = { [world.workload.oracle.source]: [...world.polled] }
  await insist(world, actor, 'provision', (runtime) => provision(runtime, partitions))
  world.provisioned = true
}

export async function producer(world: World, actor: Actor): Promise<void> {
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
export async function poller(world: World, actor: Actor, partitions: readonly number[]): Promise<void> {
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

export async function committer(world: World, actor: Actor): Promise<void> {
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

export async function repeat(
  world: World,
  actor: Actor,
  what: string,
  run: (runtime: Runtime) => Promise<unknown>,
): Promise<void> {
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

export async function advancer(world: World, actor: Actor): Promise<void> {
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
export async function cleaner(world: World, actor: Actor): Promise<void> {
  const { kernel, rng, stores, workload } = world
  const { objects } = simulatedPorts(kernel, stores, { actor })
  while (!world.stop) {
    await kernel.sleep(actor, rng.between(5, 80))
    for (const location of await deadObjects(stores, STAGING, workload.plan.name)) {
      if (rng.chance(0.3)) continue
      try {
        await objects.delete(location)
      } catch (error) {
        if (!isKind(error, 'Unavailable')) throw error
      }
    }
  }
}

/** A partition is added while all runs. */
export async function joiner(world: World, actor: Actor): Promise<void> {
  const { kernel, rng, scenario } = world
  if (scenario.joiner === undefined) return
  await untilProvisioned(world, actor)
  await kernel.sleep(actor, rng.between(1, 500))
  // Somebody says so first, or the first record of it does.
  if (rng.chance(0.5)) await insist(world, actor, 'provision', (runtime) => provision(runtime, allPartitions(world)))
  world.polled.add(scenario.joiner)
}

/** Somebody else's commits to our tables: they keep our properties and add their own. */
export async function foreign(world: World, actor: Actor): Promise<void> {
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

export async function finisher(world: World, actor: Actor): Promise<void> {
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
