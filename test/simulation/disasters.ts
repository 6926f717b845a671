import { isKind } from '../../lib/errors.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { unappliedFiles, unconsumedSegments } from './cleaner.ts'
import { replaceTable } from './foreign.ts'
import { deliveriesOf, type SimRecord } from './kafka.ts'
import { type Actor, Violation } from './kernel.ts'
import type { Replacement } from './scenario.ts'
import { invoke, STAGING, untilProvisioned, type World } from './world.ts'

/** Destroys an object that is still needed. Commit must halt; whoever has read it already may go on. */
export async function vandal(world: World, actor: Actor): Promise<void> {
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

/** One table is replaced; whoever commits from now on must refuse to write to it. */
export async function replace(world: World, kind: Replacement): Promise<void> {
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

/** The topic is deleted and created again: its offsets are low again, its records are other ones. None may be acknowledged. */
export async function anew(world: World, actor: Actor): Promise<void> {
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
        `records of a topic created again were acknowledged: partition ${p}, offset ${first}, log ends at ${next}`,
      )
    })
    if (outcome.kind === 'failed' && !isKind(outcome.error, 'Refused', 'Unavailable'))
      throw new Violation('TopicAnew', `expected a refusal, found ${String(outcome.error)}`)
    kernel.note(`anew ${outcome.kind}`)
  }
}
