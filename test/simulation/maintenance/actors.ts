import { commitUnknown, isKind } from '../../../lib/errors.ts'
import type { TablePorts } from '../../../lib/iceberg/change.ts'
import { compactJob, mergeManifests, previewCompaction } from '../../../lib/maintenance/compact.ts'
import { expireSnapshots } from '../../../lib/maintenance/expire.ts'
import { sweepOrphans } from '../../../lib/maintenance/orphans.ts'
import { dropOldPartitions } from '../../../lib/maintenance/retention.ts'
import type { TableId } from '../../../lib/ports/catalog.ts'
import type { Log } from '../../../lib/ports/log.ts'
import { incarnationLogKey } from '../../../lib/protocol/names.ts'
import { cleanStaging } from '../../../lib/runtime/clean-staging.ts'
import { logsAt } from '../../../lib/runtime/maintain.ts'
import { trim } from '../../../lib/runtime/trim.ts'
import { type Actor, type Outcome, Violation } from '../kernel.ts'
import { simulatedPorts } from '../ports.ts'
import { invoke, STAGING, untilProvisioned, type World } from '../world.ts'
import { commitAppend, commitDeed, type Engine, prepareAppend } from './foreign.ts'
import type { Chore, MaintenanceScenario } from './scenario.ts'

/** A pipeline at work, and what its tables are kept by. */
export interface Kept {
  readonly world: World
  readonly setup: MaintenanceScenario
}

type KeeperPorts = TablePorts & { readonly log: Log }

/** Processes at once, those that nobody waits for among them. */
const MAX_PROCESSES = 5

export const tableId = ({ world }: Kept, name: string): TableId => ({ namespace: world.workload.plan.namespace, name })

/** Runs a part of the library in a process of its own, which may crash, freeze, or outlive its caller's patience. */
async function process(
  { world }: Kept,
  caller: Actor,
  what: string,
  patienceMs: number,
  run: (ports: KeeperPorts, actor: Actor) => Promise<unknown>,
): Promise<Outcome> {
  const { kernel, stores } = world
  while (world.running.size >= MAX_PROCESSES) await kernel.sleep(caller, 10)
  const child = kernel.spawn(`${what}#${++world.calls}`, async (actor) => {
    try {
      await run(simulatedPorts(kernel, stores, { actor }), actor)
    } catch (error) {
      kernel.note(`${actor.name} FAILED ${String(error).slice(0, 300)}`)
      if (!(error instanceof Violation) && !isKind(error, 'Unavailable', 'CommitUnknown'))
        throw new Violation('UnexpectedError', `${actor.name} threw ${String(error)}`, { cause: error })
      throw error
    }
  })
  world.running.add(child)
  void child.outcome.then(() => world.running.delete(child))
  return kernel.wait(caller, child, patienceMs)
}

/** The ports of a process that sleeps where it matters: before it commits what it wrote, and before it looks what became of a swap. */
function drowsy({ world: { kernel, rng } }: Kept, actor: Actor, ports: KeeperPorts): KeeperPorts {
  const sleep = () => {
    actor.frozenUntil = kernel.now() + rng.between(50, 1500)
  }
  return {
    ...ports,
    objects: {
      ...ports.objects,
      async put(location, parts) {
        await ports.objects.put(location, parts)
        if (location.includes('/compact-') && rng.chance(0.5)) sleep()
      },
    },
    catalog: {
      ...ports.catalog,
      async swap(...swap) {
        const swapped = await ports.catalog.swap(...swap)
        if (!swapped || rng.chance(0.5)) return swapped
        sleep()
        throw commitUnknown('Cannot swap: expected an answer, found a simulated timeout.')
      },
    },
  }
}

/** Plans a table's compaction and hands it to workers: groups in one job or several, now and then the same one to two. */
async function compaction(kept: Kept, caller: Actor, name: string, patienceMs: number, careful: boolean): Promise<void> {
  const { world, setup } = kept
  const { kernel, rng } = world
  const jobs: Awaited<ReturnType<typeof previewCompaction>>['jobs'][number][] = []
  await process(kept, caller, 'compact-plan', patienceMs, async (ports) => {
    const preview = await previewCompaction(ports, tableId(kept, name), setup.compact, setup.limits, ports.clock.now())
    jobs.push(...preview.jobs)
  })
  for (const job of jobs) {
    const middle = careful ? job.to : rng.between(job.from + 1, job.to)
    const parts =
      middle === job.to
        ? [job]
        : [
            { ...job, to: middle },
            { ...job, from: middle },
          ]
    if (!careful && rng.chance(0.25)) parts.push(parts[0])
    for (const part of parts) {
      const alone = careful || rng.chance(0.5)
      if (!careful && rng.chance(0.3)) await kernel.sleep(caller, rng.between(1, 100))
      await process(kept, caller, 'compact', alone ? patienceMs : 1, (ports, actor) =>
        compactJob(setup.drowsy && !careful ? drowsy(kept, actor, ports) : ports, part, setup.compact, setup.limits),
      )
    }
  }
}

/** Does one chore at one table, or at the logs. */
async function doChore(
  kept: Kept,
  caller: Actor,
  chore: Chore,
  name: string,
  patienceMs: number,
  careful: boolean,
): Promise<void> {
  const { world, setup } = kept
  const id = tableId(kept, name)
  const { plan } = world.workload
  switch (chore) {
    case 'compact':
      return compaction(kept, caller, name, patienceMs, careful)
    case 'manifests':
      await process(kept, caller, 'manifests', patienceMs, (ports) => mergeManifests(ports, id, !careful))
      return
    case 'expire':
      await process(kept, caller, 'expire', patienceMs, (ports) =>
        expireSnapshots(ports, id, setup.expire, ports.clock.now(), true),
      )
      return
    case 'retain': {
      const { retention, retentionNowMs } = setup
      if (retention === undefined || name !== 'raw_trades') return
      await process(kept, caller, 'retain', patienceMs, (ports) => dropOldPartitions(ports, id, retention, retentionNowMs, true))
      return
    }
    case 'sweep':
      await process(kept, caller, 'sweep', patienceMs, (ports) =>
        sweepOrphans(ports, id, {
          ...setup.orphans,
          nowMs: ports.clock.now(),
          apply: true,
          logsOf: logsAt(ports, STAGING),
          others: [],
        }),
      )
      return
    case 'trim':
      await invoke(world, caller, 'trim', patienceMs, (runtime) => trim(runtime))
      return
    case 'clean':
      await process(kept, caller, 'clean', patienceMs, async ({ log, objects, clock }) => {
        const incarnation = (await log.tail(incarnationLogKey(plan.name)))?.value
        if (incarnation === undefined) return
        const access = { log, objects, staging: STAGING, pipeline: plan.name, incarnation }
        await cleanStaging(access, { nowMs: clock.now(), olderThanMs: 0, apply: true })
      })
  }
}

/** Does chores, in any order, as long as the pipeline is at work. */
export async function keeper(kept: Kept, actor: Actor): Promise<void> {
  const { world, setup } = kept
  const { kernel, rng, stores } = world
  await untilProvisioned(world, actor)
  let seen = 0
  for (let done = 0; done < setup.choresEach && !world.stop; ) {
    await kernel.sleep(actor, rng.between(1, 60))
    const swaps = stores.events.filter((event) => event.at === 'swap').length
    // What was kept well a moment ago needs nothing, save what a crash has left.
    if (swaps === seen && rng.chance(0.7)) continue
    seen = swaps
    done++
    await doChore(kept, actor, rng.pick(setup.chores), rng.pick(setup.tables), setup.patienceMs, false)
  }
}

/** Another engine at the same tables. */
export async function stranger(kept: Kept, actor: Actor): Promise<void> {
  const { world, setup } = kept
  const { kernel, rng, stores } = world
  await untilProvisioned(world, actor)
  const { random } = simulatedPorts(kernel, stores, { actor })
  const engine: Engine = { stores, rng, random, now: () => kernel.now() }
  for (let i = 0; i < setup.foreign && !world.stop; i++) {
    await kernel.sleep(actor, rng.between(1, 80))
    const id = tableId(kept, rng.pick(setup.tables))
    if (setup.slowMs !== undefined && rng.chance(0.4)) {
      const waiting = await prepareAppend(engine, id)
      await kernel.sleep(actor, rng.between(1, setup.slowMs))
      // An engine that is slower than the age that protects its files loses them: then it never commits.
      if (waiting === undefined || kernel.now() - waiting.writtenMs >= setup.slowMs) continue
      await commitAppend(engine, id, waiting)
      kernel.note(`foreign slow append of ${waiting.file.filePath}`)
      continue
    }
    const deed = rng.pick(setup.deeds)
    kernel.note(`foreign ${deed} to ${id.name}: ${await commitDeed(engine, id, deed)}`)
  }
}

/** A day later: everything once, with nothing in the way. */
export async function night(kept: Kept, actor: Actor): Promise<void> {
  const { kernel } = kept.world
  await kernel.sleep(actor, 25 * 3_600_000)
  for (const name of kept.setup.tables)
    for (const chore of ['retain', 'compact', 'manifests', 'expire', 'sweep'] as const)
      await doChore(kept, actor, chore, name, Number.MAX_SAFE_INTEGER, true)
  for (const chore of ['trim', 'clean'] as const) await doChore(kept, actor, chore, '', Number.MAX_SAFE_INTEGER, true)
}
