import type { TablePlan } from '../pipeline/plan.ts'
import type { Catalog, TableDescription, TableId } from '../ports/catalog.ts'
import type { Objects } from '../ports/objects.ts'
import type { Random } from '../ports/time.ts'
import { currentSchema, serializeMetadata } from './metadata.ts'
import { metadataLocation, trimmed } from './paths.ts'
import { DEFAULT_PROPERTIES } from './properties.ts'
import { lastPartitionId, schemaOf, sortOrderOf, specOf } from './schema.ts'
import type { TableMetadata } from './types.ts'

export interface NewTable {
  readonly uuid: string
  /** Absolute; data and metadata go below it. */
  readonly location: string
  readonly plan: Pick<TablePlan, 'fields' | 'partitionBy' | 'sortBy'>
  readonly properties: Readonly<Record<string, string>>
  readonly nowMs: number
}

/**
 * Metadata of an empty table, format version 2, without a snapshot. Throws `InvalidPipeline` when the plan's partitions or
 * order do not fit its columns.
 */
export function newTable({ uuid, location, plan, properties, nowMs }: NewTable): TableMetadata {
  const spec = specOf(plan.fields, plan.partitionBy)
  const order = sortOrderOf(plan.fields, plan.sortBy)
  return {
    'format-version': 2,
    'table-uuid': uuid,
    location: trimmed(location),
    'last-sequence-number': 0n,
    'last-updated-ms': nowMs,
    'last-column-id': Math.max(0, ...plan.fields.map((field) => field.id)),
    schemas: [schemaOf(plan.fields)],
    'current-schema-id': 0,
    'partition-specs': [spec],
    'default-spec-id': spec['spec-id'],
    'last-partition-id': lastPartitionId(spec),
    properties: { ...DEFAULT_PROPERTIES, ...properties },
    snapshots: [],
    'snapshot-log': [],
    'metadata-log': [],
    'sort-orders': [order],
    'default-sort-order-id': order['order-id'],
    refs: {},
  }
}

export interface CreateTable {
  readonly catalog: Catalog
  readonly objects: Objects
  readonly random: Random
  readonly id: TableId
  readonly metadata: TableMetadata
}

/**
 * Writes a table's first metadata file and enters it in the catalog. False when the catalog has such a table already; the
 * file is then nobody's.
 */
export async function createTable({ catalog, objects, random, id, metadata }: CreateTable): Promise<boolean> {
  const location = metadataLocation(metadata, 0, random.uuid())
  await objects.put(location, [serializeMetadata(metadata)])
  return await catalog.create(id, location, descriptionOf(metadata))
}

/** What a catalog may show of a table. */
export function descriptionOf(metadata: TableMetadata): TableDescription {
  const columns = currentSchema(metadata).fields.map(({ id, name, type, required }) => {
    return { id, name, type: typeof type === 'string' ? type : JSON.stringify(type), required }
  })
  return { location: metadata.location, columns }
}
