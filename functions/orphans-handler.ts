import type { TablePorts } from '../lib/iceberg/change.ts'
import type { Plan } from '../lib/pipeline/plan.ts'
import type { Log } from '../lib/ports/log.ts'
import { sweepTable, tablesOf } from '../lib/runtime/maintain.ts'
import type { LogsConfig } from './config.ts'
import { eachTable, sumOf } from './each-table.ts'
import type { Context, Telling } from './telemetry.ts'

/** What a call did, to all tables together: counts of files. */
export interface OrphansSummary {
  readonly listed: number
  /** Put on a list now, and on one from before. */
  readonly found: number
  readonly waiting: number
  /** Deleted, and those that the store would not delete now. */
  readonly deleted: number
  readonly left: number
  /** Of commits whose fate the logs do not tell. */
  readonly undecided: number
  /** True when the time was up: the next call goes on. */
  readonly more: boolean
}

/**
 * The handler of the sweep of orphans: puts files that nothing names on a list, and deletes those that were long enough on one.
 * What it is called with does not matter. Tables that fail are told after all were tried, by the error of the first.
 */
export function orphansHandler(
  plan: Plan,
  ports: TablePorts & Telling & { readonly log: Log },
  { staging }: Pick<LogsConfig, 'staging'>,
) {
  const { clock, telemetry } = ports
  return async (_event: unknown, context: Context): Promise<OrphansSummary> => {
    const startMs = clock.now()
    telemetry.begin(context)
    // All that the role may see: the catalog may have more, which nothing of ours puts there.
    const tables = tablesOf(plan).map(({ id }) => id)
    const { done, failed, more } = await eachTable(plan, ports, context, ({ id, policy }) =>
      sweepTable(ports, staging, id, policy, startMs, true, tables),
    )
    const sweeps = done.flatMap((sweep) => sweep ?? [])
    const summary = {
      listed: sumOf(sweeps, ({ listed }) => listed),
      found: sumOf(sweeps, ({ found }) => found.length),
      waiting: sumOf(sweeps, ({ waiting }) => waiting),
      deleted: sumOf(sweeps, ({ deleted }) => deleted.length),
      left: sumOf(sweeps, ({ left }) => left),
      undecided: sumOf(sweeps, ({ undecided }) => undecided),
      more,
    }
    const { found, deleted, ...facts } = summary
    const metrics = { quarantinedFiles: found, deletedOrphans: deleted }
    const calls = { tables: done.length, failed: failed.length, ms: clock.now() - startMs }
    telemetry.info('swept', { ...metrics, ...facts, ...calls })
    telemetry.publish(metrics)
    if (failed.length > 0) throw failed[0]
    return summary
  }
}
