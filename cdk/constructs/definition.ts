import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { planModule } from '../../functions/bundle.ts'
import { columnText } from '../../lib/iceberg/evolve.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { digestOf } from './bundles.ts'

/**
 * What the resource of the tables depends on, as properties: CloudFormation calls the function when one of them changes. Columns
 * are written out, so that `cdk diff` reads as a plan.
 */
export function definitionProperties(
  plan: Plan,
  partitions: Readonly<Record<string, number>>,
  folder: string,
): Readonly<Record<string, unknown>> {
  return {
    Definition: digestOf(planModule(plan)),
    Code: digestOf(readFileSync(join(folder, 'index.mjs'), 'utf8')),
    Partitions: Object.fromEntries(
      Object.values(plan.sources).map(({ topic, partitions: said }) => [topic, String(partitions[topic] ?? said)]),
    ),
    Columns: Object.fromEntries(Object.values(plan.tables).map(({ name, fields }) => [name, fields.map(columnText).join(', ')])),
  }
}
