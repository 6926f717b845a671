import { createHash } from 'node:crypto'
import { corrupt, refused } from '../errors.ts'
import type { DataFileJson } from '../iceberg/data-file.ts'
import type { Log } from '../ports/log.ts'
import type { Objects } from '../ports/objects.ts'
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

/** What it takes to read a pipeline's checkpoints: no definition. */
export interface CheckpointAccess {
  readonly log: Log
  readonly objects: Objects
  /** Location prefix of segments, checkpoint bodies and state, ending in a slash. */
  readonly staging: string
  readonly pipeline: string
  readonly incarnation: string
}

/** What a runtime reads its checkpoints by. */
export function checkpointAccess({ ports, staging, plan, incarnation }: StagingRuntime): CheckpointAccess {
  return { log: ports.log, objects: ports.objects, staging, pipeline: plan.name, incarnation }
}

/**
 * The last checkpoint, resolved; undefined before the pipeline is provisioned. A missing or damaged body means that our
 * tail is stale, or that something is lost: read the tail again to tell, and halt rather than guess (protocol rule 20).
 */
export async function readCheckpoint(access: CheckpointAccess): Promise<Last | undefined> {
  const { log, objects, staging, pipeline, incarnation } = access
  const key = checkpointLogKey(pipeline, incarnation)
  let seen = -1
  for (;;) {
    const tail = checkpointTail(await log.tail(key))
    if (tail === undefined) return undefined
    const { n, entry } = tail
    if (entry.body === null) return resolveCheckpoint<DataFileJson>(n, entry, undefined)
    const bytes = await objects.get(staging + entry.body.name)
    if (bytes !== undefined && digestOf(bytes) === entry.body.digest)
      return resolveCheckpoint(n, entry, JSON.parse(Buffer.from(bytes).toString()) as Body)
    if (n === seen)
      throw corrupt(
        `Cannot read checkpoint ${n} of pipeline ${pipeline}: expected its body ${entry.body.name}, found ${bytes === undefined ? 'nothing' : 'other bytes'}. Restore the object, or point staging at where it is: another warehouse, --staging or FRAZIL_STAGING looks like this. Nothing is lost while staging is kept.`,
      )
    seen = n
  }
}

/** As `readCheckpoint`. Throws `Refused` for a definition that cannot go on from it. */
export async function lastCheckpoint(runtime: StagingRuntime): Promise<Last | undefined> {
  const last = await readCheckpoint(checkpointAccess(runtime))
  return last === undefined ? undefined : known(runtime, last)
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
