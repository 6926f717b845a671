import type { TablePorts } from '../lib/iceberg/change.ts'
import type { Plan } from '../lib/pipeline/plan.ts'
import { expireTable } from '../lib/runtime/maintain.ts'
import { eachTable, MARGIN_MS, sumOf } from './each-table.ts'
import type { Context, Telling } from './telemetry.ts'

/** What a call did, to all tables together. */
export interface ExpireSummary {
  /** Snapshots that went, and those that stay. */
  readonly expired: number
  readonly kept: number
  /** Files that no snapshot needed any more: deleted, and those that the store would not delete now. */
  readonly files: number
  readonly left: number
  /** Partitions that retention dropped, and the rows in them. */
  readonly partitions: number
  readonly rows: number
  /** True when the time was up: the next call goes on. */
  readonly more: boolean
}

/**
 * The handler of expiry: drops partitions that are older than the policy of their table keeps them, and lets go of old
 * snapshots. What it is called with does not matter. Tables that fail are told after all were tried, by the error of the first.
 */
export function expireHandler(plan: Plan, ports: TablePorts & Telling) {
  const { clock, telemetry } = ports
  return async (_event: unknown, context: Context): Promise<ExpireSummary> => {
    const startMs = clock.now()
    telemetry.begin(context)
    const { done, failed, more } = await eachTable(plan, ports, context, ({ id, policy }) =>
      expireTable(ports, id, policy, startMs, true, () => context.getRemainingTimeInMillis() >= MARGIN_MS),
    )
    const expiries = done.flatMap(({ expiry }) => expiry ?? [])
    const retentions = done.flatMap(({ retention }) => retention ?? [])
    const summary = {
      expired: sumOf(expiries, ({ expired }) => expired),
      kept: sumOf(expiries, ({ kept }) => kept),
      files: sumOf(expiries, ({ files }) => files),
      left: sumOf(expiries, ({ left }) => left),
      partitions: sumOf(retentions, ({ partitions }) => partitions.length),
      rows: sumOf(retentions, ({ rows }) => rows),
      more,
    }
    const metrics = {
      expiredSnapshots: summary.expired,
      deletedFiles: summary.files,
      droppedRows: summary.rows,
      ...(expiries.length > 0 && { tableSnapshots: Math.max(...expiries.map(({ kept }) => kept)) }),
    }
    const { left, partitions } = summary
    const facts = { left, partitions, tables: done.length, failed: failed.length, more, ms: clock.now() - startMs }
    telemetry.info('expired', { ...metrics, ...facts })
    telemetry.publish(metrics)
    if (failed.length > 0) throw failed[0]
    return summary
  }
}
