import type { TablePorts } from '../iceberg/change.ts'
import { lookup } from '../lookup.ts'
import { type CompactionPreview, type CompactJob, mergeManifests, previewCompaction } from '../maintenance/compact.ts'
import { type ExpireReport, expireSnapshots } from '../maintenance/expire.ts'
import { type LogsOf, type OrphanReport, sweepOrphans } from '../maintenance/orphans.ts'
import type { CompactionLimits } from '../maintenance/plan-compaction.ts'
import { dropOldPartitions, type RetentionReport } from '../maintenance/retention.ts'
import type { MaintenancePlan } from '../pipeline/maintenance.ts'
import type { Plan } from '../pipeline/plan.ts'
import type { TableId } from '../ports/catalog.ts'
import type { Log } from '../ports/log.ts'
import { readCheckpoint } from './checkpoints.ts'

/** The tables of a pipeline, in the order of their names. */
export function tablesOf(plan: Plan): readonly { readonly id: TableId; readonly policy: MaintenancePlan }[] {
  return Object.keys(plan.tables)
    .sort()
    .map((name) => ({ id: { namespace: plan.namespace, name }, policy: lookup(plan.tables, name, 'table').maintenance }))
}

export interface CompactionPlans {
  /** To be handed to `compactJob`, in any order and at the same time. */
  readonly jobs: readonly CompactJob[]
  readonly previews: readonly { readonly table: string; readonly preview: CompactionPreview }[]
}

/** Plans the compaction of every table of a pipeline, and merges manifests where they are many. */
export async function planCompactions(
  ports: TablePorts,
  plan: Plan,
  limits: CompactionLimits,
  nowMs: number,
): Promise<CompactionPlans> {
  const previews: { table: string; preview: CompactionPreview }[] = []
  for (const { id, policy } of tablesOf(plan)) {
    if (policy.compact === undefined) continue
    const preview = await previewCompaction(ports, id, policy.compact, limits, nowMs)
    previews.push({ table: id.name, preview })
    if (preview.manyManifests) await mergeManifests(ports, id)
  }
  return { jobs: previews.flatMap(({ preview }) => preview.jobs), previews }
}

export interface TableExpiry {
  readonly table: string
  /** Undefined where the policy keeps rows for ever. */
  readonly retention: RetentionReport | undefined
  readonly expiry: ExpireReport | undefined
}

/** Drops a table's old partitions and lets go of its old snapshots, as its policy says. */
export async function expireTable(
  ports: TablePorts,
  id: TableId,
  policy: MaintenancePlan,
  nowMs: number,
  apply: boolean,
  hasTime: () => boolean = () => true,
): Promise<TableExpiry> {
  const { retention, expire } = policy
  return {
    table: id.name,
    retention: retention === undefined ? undefined : await dropOldPartitions(ports, id, retention, nowMs, apply),
    expiry: expire === undefined ? undefined : await expireSnapshots(ports, id, expire, nowMs, apply, hasTime),
  }
}

/**
 * Sweeps a table of orphans, as its policy says; undefined where that says never.
 *
 * @param others tables whose files must not lie in it
 */
export async function sweepTable(
  ports: TablePorts & { readonly log: Log },
  staging: string,
  id: TableId,
  policy: MaintenancePlan,
  nowMs: number,
  apply: boolean,
  others: readonly TableId[],
): Promise<OrphanReport | undefined> {
  if (policy.orphans === undefined) return undefined
  return sweepOrphans(ports, id, { ...policy.orphans, nowMs, apply, logsOf: logsAt(ports, staging), others })
}

/** Asks the checkpoint logs where a table stands. Where there is no such log, nothing is known. */
export function logsAt({ log, objects }: Pick<TablePorts, 'objects'> & { readonly log: Log }, staging: string): LogsOf {
  return async (pipeline, incarnation, { name, uuid }) => {
    const last = await readCheckpoint({ log, objects, staging, pipeline, incarnation })
    if (last === undefined) return undefined
    const known = last.body?.tables[name]
    if (known !== undefined && known.uuid !== uuid) return 'another'
    return { last: last.n, need: known?.need ?? 0 }
  }
}
