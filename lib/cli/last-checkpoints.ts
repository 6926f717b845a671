import type { DataFileJson } from '../iceberg/data-file.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import type { Warehouse } from '../local/warehouse.ts'
import type { LastCheckpoint } from '../maintenance/health.ts'
import { type CheckpointBody, checkpointTail } from '../protocol/checkpoint.ts'
import { markersOf } from '../protocol/marker.ts'
import { checkpointLogKey, incarnationLogKey } from '../protocol/names.ts'
import { digestOf } from '../runtime/checkpoints.ts'

/** The last checkpoint of each pipeline that a table has a marker of, for those whose logs are in this warehouse. */
export async function lastCheckpointsOf(
  { metadata, id }: LoadedTable,
  warehouse: Warehouse,
): Promise<Readonly<Record<string, LastCheckpoint>>> {
  const { log } = warehouse.ports
  const found: Record<string, LastCheckpoint> = {}
  for (const pipeline of Object.keys(markersOf(metadata.properties))) {
    const incarnation = (await log.tail(incarnationLogKey(pipeline)))?.value
    if (incarnation === undefined) continue
    const tail = checkpointTail(await log.tail(checkpointLogKey(pipeline, incarnation)))
    if (tail === undefined) continue
    const body = tail.entry.body === null ? undefined : await bodyOf(warehouse, tail.entry.body)
    found[pipeline] = { incarnation, n: tail.n, need: body?.body.tables[id.name]?.need, atMs: body?.atMs }
  }
  return found
}

/** Undefined for one that is gone or damaged: the pipeline's own business, which refuses to go on from it. */
async function bodyOf({ ports: { objects }, staging }: Warehouse, { name, digest }: { name: string; digest: string }) {
  const bytes = await objects.get(staging + name)
  if (bytes === undefined || digestOf(bytes) !== digest) return undefined
  const body = JSON.parse(Buffer.from(bytes).toString()) as CheckpointBody<DataFileJson>
  for await (const { location, modifiedMs } of objects.list(staging + name))
    if (location === staging + name) return { body, atMs: modifiedMs }
  return undefined
}
