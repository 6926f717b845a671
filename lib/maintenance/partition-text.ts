import { partitionPath } from '../iceberg/partition.ts'
import type { PartitionValue } from '../iceberg/partition-value.ts'
import { isColumnType, parseTransform } from '../iceberg/schema.ts'
import type { PartitionSpecField, TableMetadata } from '../iceberg/types.ts'

/** What `parseTransform` takes; another engine's tables may have more. */
const KNOWN_TRANSFORM = /^(?:identity|year|month|day|hour|bucket\[\d+\])$/

/**
 * A partition as people and folders name it: `event_time_day=2026-01-01/symbol_bucket=3`, empty for an unpartitioned table.
 * Transforms and types of other engines that we cannot compute show their value as it is stored. `specId` must be one of the
 * table's.
 */
export function partitionText(metadata: TableMetadata, specId: number, values: readonly PartitionValue[]): string {
  const spec = metadata['partition-specs'].find((candidate) => candidate['spec-id'] === specId)
  return (spec?.fields ?? []).map((field, i) => fieldText(metadata, field, values[i] ?? null)).join('/')
}

function fieldText({ schemas }: TableMetadata, field: PartitionSpecField, value: PartitionValue): string {
  // The column may have been dropped since: older schemas still have it.
  const source = schemas.flatMap(({ fields }) => fields).findLast(({ id }) => id === field['source-id'])
  if (source === undefined || !isColumnType(source.type) || !KNOWN_TRANSFORM.test(field.transform))
    return `${field.name}=${encodeURIComponent(value instanceof Uint8Array ? Buffer.from(value).toString('base64') : String(value))}`
  const { id, name, required, type } = source
  const partitionBy = [{ column: name, transform: parseTransform(field.transform) }]
  const path = partitionPath({ fields: [{ id, name, required, type }], partitionBy }, [value])
  // The field's own name, which another engine may have chosen.
  return `${field.name}${path.slice(path.indexOf('='))}`
}
