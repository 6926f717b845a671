import type { ColumnType, Field, Fields } from '../columns/schema.ts'
import { corrupt, invalidPipeline, refused } from '../errors.ts'
import type { PartitionField, SortField, Transform } from '../pipeline/plan.ts'
import type { IcebergSchema, PartitionSpec, SchemaField, SortOrder } from './types.ts'

/** Partition field ids begin here (spec, "Partition Specs"). */
const FIRST_PARTITION_ID = 1000

/** Our column types bear Iceberg's names; the spec's other types are not read yet. */
const COLUMN_TYPES: ReadonlySet<string> = new Set<ColumnType>([
  'boolean',
  'int',
  'long',
  'double',
  'string',
  'binary',
  'timestamptz',
])

/** A schema as the spec writes it (appendix C), from columns. */
export function schemaOf(fields: Fields, schemaId = 0): IcebergSchema {
  return {
    type: 'struct',
    'schema-id': schemaId,
    fields: fields.map(({ id, name, required, type }) => ({ id, name, required, type })),
  }
}

/** The columns of a schema. Throws `Refused` for a column whose type this version cannot read. */
export function fieldsOf(schema: IcebergSchema): Fields {
  return schema.fields.map(({ id, name, required, type }): Field => ({ id, name, required, type: columnType(name, type) }))
}

/** Whether this version reads and writes columns of a type. */
export function isColumnType(type: SchemaField['type']): type is ColumnType {
  return typeof type === 'string' && COLUMN_TYPES.has(type)
}

function columnType(name: string, type: SchemaField['type']): ColumnType {
  if (isColumnType(type)) return type
  const found = typeof type === 'string' ? type : String(type.type)
  throw refused(
    `Cannot read column ${name}: expected one of ${[...COLUMN_TYPES].join(', ')}, found ${found}. Leave the column out, or use a version of frazil that reads it.`,
  )
}

/** The types that transforms take (spec, "Partition Transforms"), as far as we have them. */
const TRANSFORM_TYPES: Readonly<Record<Transform['kind'], readonly ColumnType[]>> = {
  identity: ['boolean', 'int', 'long', 'double', 'string', 'binary', 'timestamptz'],
  year: ['timestamptz'],
  month: ['timestamptz'],
  day: ['timestamptz'],
  hour: ['timestamptz'],
  bucket: ['int', 'long', 'string', 'binary', 'timestamptz'],
}

/**
 * A partition spec, its fields named as Iceberg's own libraries name them: `event_time_day`, `symbol_bucket`, an identity by
 * its column. Throws `InvalidPipeline` for a transform that does not fit its column and for names that collide.
 */
export function specOf(fields: Fields, partitionBy: readonly PartitionField[], specId = 0): PartitionSpec {
  const names = new Set<string>()
  const specFields = partitionBy.map(({ column, transform }, i) => {
    const source = fieldNamed(fields, column, 'partition')
    const { kind } = transform
    if (!TRANSFORM_TYPES[kind].includes(source.type))
      throw invalidPipeline(
        `Cannot partition by ${kind}(${column}): expected a column of type ${TRANSFORM_TYPES[kind].join(' or ')}, found ${source.type}. Choose another column or transform.`,
      )
    if (kind === 'bucket' && !(Number.isInteger(transform.buckets) && transform.buckets > 0 && transform.buckets < 2 ** 31))
      throw invalidPipeline(
        `Cannot partition by bucket(${column}): expected a positive number of buckets, found ${transform.buckets}. Give a whole number.`,
      )
    const name = partitionName({ column, transform })
    if (names.has(name) || (kind !== 'identity' && fields.some((field) => field.name === name)))
      throw invalidPipeline(
        `Cannot partition by ${kind}(${column}): expected its partition field ${name} to have a name of its own, found another ${name}. Rename the column.`,
      )
    names.add(name)
    return { 'source-id': source.id, 'field-id': FIRST_PARTITION_ID + i, name, transform: transformText(transform) }
  })
  return { 'spec-id': specId, fields: specFields }
}

export function partitionName({ column, transform }: PartitionField): string {
  return transform.kind === 'identity' ? column : `${column}_${transform.kind}`
}

export function transformText(transform: Transform): string {
  return transform.kind === 'bucket' ? `bucket[${transform.buckets}]` : transform.kind
}

/** Throws `Refused` for transforms this version does not compute (`truncate`, `void`, those of later specs). */
export function parseTransform(text: string): Transform {
  const bucket = /^bucket\[(\d+)\]$/.exec(text)
  if (bucket !== null) return { kind: 'bucket', buckets: Number(bucket[1]) }
  switch (text) {
    case 'identity':
    case 'year':
    case 'month':
    case 'day':
    case 'hour':
      return { kind: text }
    default:
      throw refused(
        `Cannot write into partitions by ${text}: expected identity, year, month, day, hour or bucket. Use a version of frazil that knows it.`,
      )
  }
}

/** A partition spec as the plan writes one: what `routeByPartition` and `partitionPath` take. */
export function partitionByOf(spec: PartitionSpec, schema: IcebergSchema): readonly PartitionField[] {
  return spec.fields.map((field) => ({
    column: sourceField(schema, field['source-id']).name,
    transform: parseTransform(field.transform),
  }))
}

/** The highest partition field id in use, or the one before the first (spec, `last-partition-id`). */
export function lastPartitionId(spec: PartitionSpec): number {
  return Math.max(FIRST_PARTITION_ID - 1, ...spec.fields.map((field) => field['field-id']))
}

/** Sort order 0 is "unsorted" by the spec; ours is 1. Nulls come first ascending and last descending, Iceberg's defaults. */
export function sortOrderOf(fields: Fields, sortBy: readonly SortField[]): SortOrder {
  if (sortBy.length === 0) return { 'order-id': 0, fields: [] }
  return {
    'order-id': 1,
    fields: sortBy.map(({ column, direction }) => ({
      transform: 'identity',
      'source-id': fieldNamed(fields, column, 'sort').id,
      direction,
      'null-order': nullOrderOf(direction),
    })),
  }
}

/** A sort order as the plan writes one. Throws `Refused` for one that we cannot produce exactly (`isOurOrder`). */
export function sortByOf(order: SortOrder | undefined, schema: IcebergSchema): readonly SortField[] {
  return (order?.fields ?? []).map((field) => {
    const { transform, direction, 'source-id': source, 'null-order': nulls } = field
    if (transform !== 'identity')
      throw refused(
        `Cannot write in the order of ${transform}: expected columns as they are. Use a version of frazil that knows it.`,
      )
    const { name, required } = sourceField(schema, source)
    if (!required && nulls !== nullOrderOf(direction))
      throw refused(
        `Cannot write in the order of ${name} ${direction} ${nulls}: expected ${nullOrderOf(direction)}. Use a version of frazil that knows it.`,
      )
    return { column: name, direction }
  })
}

/**
 * Whether files can be written in a sort order: by columns as they are, of the top level, with nulls where Iceberg has them by
 * default.
 */
export function isOurOrder({ fields }: SortOrder, schema: IcebergSchema): boolean {
  return fields.every(({ transform, direction, 'source-id': source, 'null-order': nulls }) => {
    const field = schema.fields.find(({ id }) => id === source)
    return transform === 'identity' && field !== undefined && (field.required || nulls === nullOrderOf(direction))
  })
}

const nullOrderOf = (direction: SortField['direction']) => (direction === 'asc' ? 'nulls-first' : 'nulls-last')

/**
 * The Iceberg type of a partition field's values. Any transform may be asked for, also those we cannot compute: reading a
 * foreign table needs only its type.
 */
export function partitionType(schema: IcebergSchema, sourceId: number, transform: string): string {
  if (transform === 'day') return 'date'
  if (transform === 'year' || transform === 'month' || transform === 'hour' || transform.startsWith('bucket[')) return 'int'
  const { name, type } = sourceField(schema, sourceId)
  if (typeof type !== 'string')
    throw corrupt(`Cannot read partitions by ${name}: expected a primitive type, found ${String(type.type)}.`)
  return type
}

function sourceField(schema: IcebergSchema, id: number): SchemaField {
  const field = schema.fields.find((candidate) => candidate.id === id)
  if (field === undefined)
    throw refused(
      `Cannot use partitions or an order by column id ${id}: expected it in schema ${schema['schema-id']}, found none. It was dropped, or lies in a nested column; use a version of frazil that knows such tables.`,
    )
  return field
}

function fieldNamed(fields: Fields, name: string, verb: string): Field {
  const field = fields.find((candidate) => candidate.name === name)
  if (field === undefined)
    throw invalidPipeline(
      `Cannot ${verb} by ${name}: expected one of ${fields.map((f) => f.name).join(', ')}. Name a column of the table.`,
    )
  return field
}
