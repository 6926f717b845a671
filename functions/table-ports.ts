import { openDynamoLog } from '../lib/aws/dynamo-log.ts'
import { openGlueCatalog } from '../lib/aws/glue-catalog.ts'
import { openS3Objects } from '../lib/aws/s3-objects.ts'
import type { TablePorts } from '../lib/iceberg/change.ts'
import { systemClock, systemRandom } from '../lib/local/system.ts'
import type { Ports } from '../lib/runtime/runtime.ts'

/** What a function stands on that changes tables, and sees no log. */
export function openTables(): TablePorts {
  return { objects: openS3Objects(), catalog: openGlueCatalog(), random: systemRandom, clock: systemClock }
}

/** What a function that works on tables and logs stands on. Ingest sees no table, and has no Glue in it. */
export function openTablePorts({ logTable }: { readonly logTable: string }): Ports {
  return { log: openDynamoLog({ table: logTable }), ...openTables(), broker: undefined }
}
