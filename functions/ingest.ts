import pipeline from '#pipeline'
import { openDynamoLog } from '../lib/aws/dynamo-log.ts'
import { openS3Objects } from '../lib/aws/s3-objects.ts'
import { systemClock, systemRandom } from '../lib/local/system.ts'
import { planOf } from '../lib/pipeline/plan-of.ts'
import { ingestConfig } from './config.ts'
import { ingestHandler } from './ingest-handler.ts'
import { printToStdout } from './logging.ts'

const config = ingestConfig(process.env)

/** Called by the event source mapping with Kafka records. */
export const handler = ingestHandler(
  planOf(pipeline),
  {
    log: openDynamoLog({ table: config.logTable }),
    objects: openS3Objects(),
    random: systemRandom,
    clock: systemClock,
    print: printToStdout,
  },
  config,
)
