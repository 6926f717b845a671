import { openDynamoLog } from '../lib/aws/dynamo-log.ts'
import { openS3Objects } from '../lib/aws/s3-objects.ts'
import { systemClock, systemRandom } from '../lib/local/system.ts'
import type { Plan } from '../lib/pipeline/plan.ts'
import { ingestConfig } from './config.ts'
import { ingestHandler } from './ingest-handler.ts'
import { openTelemetry } from './telemetry.ts'

/** Makes the handler that the event source mapping calls with Kafka records. Throws `Usage` for an environment that cannot be. */
export function ingestFunction(plan: Plan): ReturnType<typeof ingestHandler> {
  const config = ingestConfig(process.env)
  const ports = {
    log: openDynamoLog({ table: config.logTable }),
    objects: openS3Objects(),
    random: systemRandom,
    clock: systemClock,
    telemetry: openTelemetry('ingest', plan.name),
  }
  return ingestHandler(plan, ports, config)
}
