import type { Plan } from '../lib/pipeline/plan.ts'
import { compactHandler } from './compact-handler.ts'
import { compactConfig } from './config.ts'
import { openTables } from './table-ports.ts'
import { openTelemetry } from './telemetry.ts'

/** Makes the handler that a state machine or a schedule calls. Throws `Usage` for an environment that cannot be. */
export function compactFunction(plan: Plan): ReturnType<typeof compactHandler> {
  const config = compactConfig(process.env)
  return compactHandler(plan, { ...openTables(), telemetry: openTelemetry('compact', plan.name) }, config)
}
