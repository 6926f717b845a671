import { openDynamoLog } from '../lib/aws/dynamo-log.ts'
import { openS3Objects } from '../lib/aws/s3-objects.ts'
import { systemClock, systemRandom } from '../lib/local/system.ts'
import type { Plan } from '../lib/pipeline/plan.ts'
import { logsConfig } from './config.ts'
import { openTelemetry } from './telemetry.ts'
import { trimHandler } from './trim-handler.ts'

/** Makes the handler of a schedule; what it is called with does not matter. Throws `Usage` for an environment that cannot be. */
export function trimFunction(plan: Plan): ReturnType<typeof trimHandler> {
  const config = logsConfig('trim', process.env)
  const ports = {
    log: openDynamoLog({ table: config.logTable }),
    objects: openS3Objects(),
    random: systemRandom,
    clock: systemClock,
    telemetry: openTelemetry('trim', plan.name),
  }
  return trimHandler(plan, ports, config)
}
