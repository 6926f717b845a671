import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { planModule } from '../../functions/bundle.ts'
import { columnsText } from '../../lib/iceberg/evolve.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { digestOf } from './bundles.ts'

/** Where everything lies: names and locations that are known when the stack is deployed. */
export interface Locations {
  readonly warehouse: string
  readonly staging: string
  readonly logTable: string
}

/**
 * What the resource of the tables depends on, as properties: CloudFormation calls the function when one of them changes.
 * Columns are written out, so that `cdk diff` reads as a plan; locations are, so that a bucket or table that is exchanged is
 * looked at before ingest and commit go there.
 */
export function definitionProperties(
  plan: Plan,
  partitions: Readonly<Record<string, number>>,
  folder: string,
  { warehouse, staging, logTable }: Locations,
): Readonly<Record<string, unknown>> {
  return {
    Definition: digestOf(planModule(plan)),
    Code: digestOf(readFileSync(join(folder, 'index.mjs'), 'utf8')),
    Warehouse: warehouse,
    Staging: staging,
    LogTable: logTable,
    Partitions: Object.fromEntries(
      Object.values(plan.sources).map(({ topic, partitions: said }) => [topic, String(partitions[topic] ?? said)]),
    ),
    Columns: Object.fromEntries(Object.values(plan.tables).map(({ name, fields }) => [name, columnsText(fields)])),
  }
}
