import { lookup } from '../lookup.ts'
import { checkpointLogKey, stagingLogKey } from '../protocol/names.ts'
import { checkpointTrimFloor, stagingTrimFloor } from '../protocol/trim.ts'
import { lastCheckpoint } from './checkpoints.ts'
import type { Runtime } from './runtime.ts'

/** Trims the logs as far as the last checkpoint proves that nobody needs them (protocol rules 2, 3). */
export async function trim(runtime: Runtime): Promise<void> {
  const { log } = runtime.ports
  const last = await lastCheckpoint(runtime)
  if (last === undefined) return
  for (const [source, partitions] of Object.entries(last.sources)) {
    const { topic } = lookup(runtime.plan.sources, source, 'source')
    for (const [partition, progress] of Object.entries(partitions)) {
      const key = stagingLogKey(runtime.plan.name, source, runtime.incarnation, topic, Number(partition))
      const floor = stagingTrimFloor(progress.slot, (await log.tail(key))?.slot ?? 0)
      if (floor > 0) await log.trim(key, floor)
    }
  }
  const floor = checkpointTrimFloor(last.n)
  if (floor > 0) await log.trim(checkpointLogKey(runtime.plan.name, runtime.incarnation), floor)
}
