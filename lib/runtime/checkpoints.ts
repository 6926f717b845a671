import { createHash } from 'node:crypto'
import { corrupt, refused } from '../errors.ts'
import type { DataFileJson } from '../iceberg/data-file.ts'
import {
  type Checkpoint,
  type CheckpointBody,
  type CheckpointEntry,
  checkpointTail,
  encodeCheckpointEntry,
  resolveCheckpoint,
  whyForeign,
} from '../protocol/checkpoint.ts'
import { checkpointLogKey } from '../protocol/names.ts'
import { decideAppend } from '../protocol/staging.ts'
import { put } from './put.ts'
import type { StagingRuntime } from './runtime.ts'

export type Body = CheckpointBody<DataFileJson>
export type Last = Checkpoint<DataFileJson>

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/**
 * The last checkpoint, resolved; undefined before the pipeline is provisioned. A missing or damaged body means that our
 * tail is stale, or that something is lost: read the tail again to tell, and halt rather than guess (protocol rule 20).
 * Throws `Refused` for a definition that cannot go on from it.
 */
export async function lastCheckpoint(runtime: StagingRuntime): Promise<Last | undefined> {
  const { log, objects } = runtime.ports
  const key = checkpointLogKey(runtime.plan.name, runtime.incarnation)
  let seen = -1
  for (;;) {
    const tail = checkpointTail(await log.tail(key))
    if (tail === undefined) return undefined
    const { n, entry } = tail
    if (entry.body === null) return known(runtime, resolveCheckpoint<DataFileJson>(n, entry, undefined))
    const bytes = await objects.get(runtime.staging + entry.body.name)
    if (bytes !== undefined && digestOf(bytes) === entry.body.digest)
      return known(runtime, resolveCheckpoint(n, entry, JSON.parse(Buffer.from(bytes).toString()) as Body))
    if (n === seen)
      throw corrupt(
        `Cannot read checkpoint ${n} of pipeline ${runtime.plan.name}: expected its body ${entry.body.name}, found ${bytes === undefined ? 'nothing' : 'other bytes'}. Restore the object, or point staging at where it is: another warehouse, --staging or FRAZIL_STAGING looks like this. Nothing is lost while staging is kept.`,
      )
    seen = n
  }
}

/** Every reader of a checkpoint asks first whether its definition can go on from there. */
function known({ plan }: StagingRuntime, last: Last): Last {
  const why = whyForeign(last, plan)
  if (why === undefined) return last
  throw refused(
    `Cannot go on with pipeline ${plan.name}: ${why}. Restore the definition, or start it under another pipeline name or on a new warehouse.`,
  )
}

/**
 * Appends checkpoint `n`. False: somebody else's checkpoint is there, or the log was trimmed past it while we slept.
 */
export async function appendCheckpoint(runtime: StagingRuntime, n: number, entry: CheckpointEntry): Promise<boolean> {
  const { log } = runtime.ports
  const key = checkpointLogKey(runtime.plan.name, runtime.incarnation)
  const value = encodeCheckpointEntry(entry)
  const result = await put(log, key, n, value)
  const [floor] = await log.floors([key])
  return decideAppend(result, value, n, floor).verdict === 'Appended'
}
