import { openDynamoLog } from '../lib/aws/dynamo-log.ts'
import { openGlueCatalog } from '../lib/aws/glue-catalog.ts'
import { openS3Objects } from '../lib/aws/s3-objects.ts'
import { systemClock, systemRandom } from '../lib/local/system.ts'
import type { Plan } from '../lib/pipeline/plan.ts'
import { commitHandler } from './commit-handler.ts'
import { commitConfig } from './config.ts'
import { openTelemetry } from './telemetry.ts'

/** Makes the handler of the schedule; what it is called with does not matter. Throws `Usage` for an environment that cannot be. */
export function commitFunction(plan: Plan): ReturnType<typeof commitHandler> {
  const config = commitConfig(process.env)
  const ports = {
    log: openDynamoLog({ table: config.logTable }),
    objects: openS3Objects(),
    catalog: openGlueCatalog(),
    random: systemRandom,
    clock: systemClock,
    broker: undefined,
    telemetry: openTelemetry('commit', plan.name),
  }
  return commitHandler(plan, ports, config)
}
