import type { Field, Fields } from '../columns/schema.ts'
import type { TablePlan } from '../pipeline/plan.ts'
import { metadataLogOf, nextTimestamp } from './commit.ts'
import { currentSchema, defaultSortOrder, defaultSpec } from './metadata.ts'
import { fieldsOf, isColumnType, schemaOf, sortOrderOf, transformText } from './schema.ts'
import type { IcebergSchema, SchemaField, SortOrder, TableMetadata } from './types.ts'

/** Whether a table that exists can take what a plan makes, and what it lacks for that. Pure. */
export type Fit =
  | { readonly verdict: 'Same' }
  /** New to the table, in the plan's order; their ids are the plan's and mean nothing here. */
  | { readonly verdict: 'Add'; readonly columns: Fields }
  | { readonly verdict: 'Refuse'; readonly why: string }

/**
 * Columns are matched by name: ids and order are the table's own, since one that was added later stands at its end. An optional
 * column may be missing on either side: in the table it is added, in the plan it is null from now on, so that definitions of
 * before and after a change can both write during a roll-out. Partition fields and sort order must be equal. Properties are the
 * user's to change.
 */
export function decideFit(metadata: TableMetadata, plan: Pick<TablePlan, 'fields' | 'partitionBy' | 'sortBy'>): Fit {
  const schema = currentSchema(metadata)
  const refusals: string[] = []
  const columns: Field[] = []
  for (const field of plan.fields) {
    const known = schema.fields.find(({ name }) => name === field.name)
    if (known === undefined) {
      const why = whyNotAdded(schema, field)
      if (why === undefined) columns.push(field)
      else refusals.push(why)
    } else if (columnText(known) !== columnText(field))
      refusals.push(`expected column ${columnText(field)}, found ${columnText(known)}`)
  }
  for (const field of schema.fields)
    if (field.required && !plan.fields.some(({ name }) => name === field.name))
      refusals.push(`expected no column ${columnText(field)}, found it, and required: a new row would have no value for it`)
  const order = defaultSortOrder(metadata)
  refusals.push(
    ...difference('partitions', planPartitions(plan), tablePartitions(metadata, schema)),
    ...difference('sort order', orderTexts(sortOrderOf(plan.fields, plan.sortBy), plan.fields), orderTexts(order, schema.fields)),
  )
  if (refusals.length > 0) return { verdict: 'Refuse', why: refusals.join('; ') }
  return columns.length > 0 ? { verdict: 'Add', columns } : { verdict: 'Same' }
}

function whyNotAdded(schema: IcebergSchema, field: Field): string | undefined {
  // Glue and Hive fold names, and Spark by default does not tell such two apart.
  const namesake = schema.fields.find(({ name }) => name.toLowerCase() === field.name.toLowerCase())
  if (namesake !== undefined) return `expected column ${field.name}, found ${namesake.name}, which engines may take for the same`
  // A default for rows that are there needs format version 3 (spec, "Default values").
  if (field.required)
    return `expected column ${columnText(field)}, found none: the rows that are there would have no value for it`
  return undefined
}

function difference(what: string, expected: readonly string[], found: readonly string[]): string[] {
  const [wanted, has] = [expected, found].map((texts) => texts.join(', ') || 'none')
  return wanted === has ? [] : [`expected ${what} ${wanted}, found ${has}`]
}

/** A column as people read it: `note string?` when it may hold null. */
export function columnText({ name, type, required }: Pick<SchemaField, 'name' | 'type' | 'required'>): string {
  return `${name} ${typeof type === 'string' ? type : String(type.type)}${required ? '' : '?'}`
}

/** `note string?, at timestamptz`. */
export const columnsText = (fields: Fields): string => fields.map(columnText).join(', ')

const nameOf = (fields: readonly Pick<SchemaField, 'id' | 'name'>[], id: number): string =>
  fields.find((field) => field.id === id)?.name ?? `column id ${id}`

const planPartitions = ({ partitionBy }: Pick<TablePlan, 'partitionBy'>) =>
  partitionBy.map(({ column, transform }) => `${transformText(transform)}(${column})`)
const tablePartitions = (metadata: TableMetadata, schema: IcebergSchema) =>
  defaultSpec(metadata).fields.map((field) => `${field.transform}(${nameOf(schema.fields, field['source-id'])})`)
const orderTexts = (order: SortOrder | undefined, fields: readonly Pick<SchemaField, 'id' | 'name'>[]) =>
  (order?.fields ?? []).map(
    (field) => `${field.transform}(${nameOf(fields, field['source-id'])}) ${field.direction} ${field['null-order']}`,
  )

export interface AddColumns {
  readonly base: TableMetadata
  /** Where `base` was read from. */
  readonly baseLocation: string
  /** Optional ones, whose names the table does not have. */
  readonly columns: Fields
  readonly nowMs: number
}

/**
 * `base` with more columns, behind those it has and under ids that no column ever had (spec, "Schema Evolution": "Adding a new
 * field assigns a new ID for that field"). Files that lack them are read as null there ("Column Projection"); snapshots keep
 * the `schema-id` they were made with.
 */
export function addColumns({ base, baseLocation, columns, nowMs }: AddColumns): TableMetadata {
  const current = currentSchema(base)
  const lastId = base['last-column-id']
  const schemaId = Math.max(...base.schemas.map((schema) => schema['schema-id'])) + 1
  const added = schemaOf(columns.map((column, i) => ({ ...column, id: lastId + 1 + i }))).fields
  return {
    ...base,
    'last-updated-ms': nextTimestamp(base, nowMs),
    'last-column-id': lastId + columns.length,
    schemas: [...base.schemas, { ...current, 'schema-id': schemaId, fields: [...current.fields, ...added] }],
    'current-schema-id': schemaId,
    'metadata-log': metadataLogOf(base, baseLocation, base.properties),
  }
}

/**
 * The columns that new files are written with: all that the table has, so that no definition writes less than another staged.
 * Optional ones of a type this version does not write are left out, and read as null. Throws `Refused` for a required one.
 */
export function writtenFields(metadata: TableMetadata): Fields {
  const { fields, ...schema } = currentSchema(metadata)
  return fieldsOf({ ...schema, fields: fields.filter(({ type, required }) => required || isColumnType(type)) })
}
