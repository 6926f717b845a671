import pipeline from '#pipeline'
import { openDynamoLog } from '../lib/aws/dynamo-log.ts'
import { openGlueCatalog } from '../lib/aws/glue-catalog.ts'
import { openS3Objects } from '../lib/aws/s3-objects.ts'
import { systemClock, systemRandom } from '../lib/local/system.ts'
import { planOf } from '../lib/pipeline/plan-of.ts'
import { commitHandler } from './commit-handler.ts'
import { commitConfig } from './config.ts'
import { printToStdout } from './logging.ts'

const config = commitConfig(process.env)

/** Called by a schedule; what it is called with does not matter. */
export const handler = commitHandler(
  planOf(pipeline),
  {
    log: openDynamoLog({ table: config.logTable }),
    objects: openS3Objects(),
    catalog: openGlueCatalog(),
    random: systemRandom,
    clock: systemClock,
    broker: undefined,
    print: printToStdout,
  },
  config,
)
