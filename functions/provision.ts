import type { Plan } from '../lib/pipeline/plan.ts'
import { provisionConfig } from './config.ts'
import { respondByHttp } from './custom-resource.ts'
import { provisionHandler } from './provision-handler.ts'
import { openTablePorts } from './table-ports.ts'
import { openTelemetry } from './telemetry.ts'

/** Makes the handler that CloudFormation calls while it deploys. Throws `Usage` for an environment that cannot be. */
export function provisionFunction(plan: Plan): ReturnType<typeof provisionHandler> {
  const config = provisionConfig(process.env)
  const ports = { ...openTablePorts(config), telemetry: openTelemetry('provision', plan.name) }
  return provisionHandler(plan, ports, config, respondByHttp)
}
