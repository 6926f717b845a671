import { openDynamoLog } from '../lib/aws/dynamo-log.ts'
import { openGlueCatalog } from '../lib/aws/glue-catalog.ts'
import { openS3Objects } from '../lib/aws/s3-objects.ts'
import { systemClock, systemRandom } from '../lib/local/system.ts'
import type { Plan } from '../lib/pipeline/plan.ts'
import { provisionConfig } from './config.ts'
import { respondByHttp } from './custom-resource.ts'
import { provisionHandler } from './provision-handler.ts'
import { openTelemetry } from './telemetry.ts'

/** Makes the handler that CloudFormation calls while it deploys. Throws `Usage` for an environment that cannot be. */
export function provisionFunction(plan: Plan): ReturnType<typeof provisionHandler> {
  const config = provisionConfig(process.env)
  const ports = {
    log: openDynamoLog({ table: config.logTable }),
    objects: openS3Objects(),
    catalog: openGlueCatalog(),
    random: systemRandom,
    clock: systemClock,
    broker: undefined,
    telemetry: openTelemetry('provision', plan.name),
  }
  return provisionHandler(plan, ports, config, respondByHttp)
}
