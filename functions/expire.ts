import type { Plan } from '../lib/pipeline/plan.ts'
import { expireConfig } from './config.ts'
import { expireHandler } from './expire-handler.ts'
import { openTables } from './table-ports.ts'
import { openTelemetry } from './telemetry.ts'

/** Makes the handler of a schedule; what it is called with does not matter. Throws `Usage` for an environment that cannot be. */
export function expireFunction(plan: Plan): ReturnType<typeof expireHandler> {
  expireConfig(process.env)
  return expireHandler(plan, { ...openTables(), telemetry: openTelemetry('expire', plan.name) })
}
