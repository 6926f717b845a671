import type { Plan } from '../lib/pipeline/plan.ts'
import { logsConfig } from './config.ts'
import { orphansHandler } from './orphans-handler.ts'
import { openTablePorts } from './table-ports.ts'
import { openTelemetry } from './telemetry.ts'

/** Makes the handler of a schedule; what it is called with does not matter. Throws `Usage` for an environment that cannot be. */
export function orphansFunction(plan: Plan): ReturnType<typeof orphansHandler> {
  const config = logsConfig('orphans', process.env)
  return orphansHandler(plan, { ...openTablePorts(config), telemetry: openTelemetry('orphans', plan.name) }, config)
}
