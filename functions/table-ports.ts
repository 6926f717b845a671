import { openDynamoLog } from '../lib/aws/dynamo-log.ts'
import { openGlueCatalog } from '../lib/aws/glue-catalog.ts'
import { openS3Objects } from '../lib/aws/s3-objects.ts'
import { systemClock, systemRandom } from '../lib/local/system.ts'
import type { Ports } from '../lib/runtime/runtime.ts'

/** What a function that works on tables stands on. Ingest sees no table, and has no Glue in it. */
export function openTablePorts({ logTable }: { readonly logTable: string }): Ports {
  return {
    log: openDynamoLog({ table: logTable }),
    objects: openS3Objects(),
    catalog: openGlueCatalog(),
    random: systemRandom,
    clock: systemClock,
    broker: undefined,
  }
}
