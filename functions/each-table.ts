import type { Plan } from '../lib/pipeline/plan.ts'
import type { Random } from '../lib/ports/time.ts'
import { tablesOf } from '../lib/runtime/maintain.ts'
import type { Context, Telemetry } from './telemetry.ts'
import { withoutValues } from './values.ts'

/** Time left below which no further table is begun: the worst of one call to AWS, and what is deleted after it. */
export const MARGIN_MS = 60_000

export interface Visited<T> {
  /** What was done to the tables that did not fail. */
  readonly done: readonly T[]
  /** Errors of the others, without values, logged already. */
  readonly failed: readonly Error[]
  /** True when the time was up before the last table. */
  readonly more: boolean
}

/**
 * Does something to the tables of a pipeline, one by one while time lasts. A table that fails keeps none of the others from its
 * turn, and neither does one that takes all the time: each call begins at a table of its own choice, the first one in any case.
 */
export async function eachTable<T>(
  plan: Plan,
  { random, telemetry }: { readonly random: Random; readonly telemetry: Telemetry },
  context: Context,
  visit: (table: ReturnType<typeof tablesOf>[number]) => Promise<T>,
): Promise<Visited<T>> {
  const tables = tablesOf(plan)
  const first = Number.parseInt(random.uuid().slice(-8), 16) % Math.max(1, tables.length)
  const done: T[] = []
  const failed: Error[] = []
  for (const [i, table] of [...tables.slice(first), ...tables.slice(0, first)].entries()) {
    if (i > 0 && context.getRemainingTimeInMillis() < MARGIN_MS) return { done, failed, more: true }
    try {
      done.push(await visit(table))
    } catch (thrown) {
      const error = withoutValues(thrown)
      telemetry.error(error, { table: table.id.name })
      failed.push(error)
    }
  }
  return { done, failed, more: false }
}

export const sumOf = <T>(items: readonly T[], of: (item: T) => number): number => items.reduce((sum, item) => sum + of(item), 0)
