import type { Plan } from '../lib/pipeline/plan.ts'
import { commitHandler } from './commit-handler.ts'
import { commitConfig } from './config.ts'
import { openTablePorts } from './table-ports.ts'
import { openTelemetry } from './telemetry.ts'

/**
 * Makes the handler of the schedule; what it is called with does not matter. Throws `Usage` for an environment that cannot be.
 */
export function commitFunction(plan: Plan): ReturnType<typeof commitHandler> {
  const config = commitConfig(process.env)
  return commitHandler(plan, { ...openTablePorts(config), telemetry: openTelemetry('commit', plan.name) }, config)
}
