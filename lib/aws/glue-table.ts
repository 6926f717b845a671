import type { Column, StorageDescriptor, Table, TableInput } from '@aws-sdk/client-glue'
import { usage } from '../errors.ts'
import type { TableDescription, TableId } from '../ports/catalog.ts'

/**
 * How an Iceberg table stands in Glue, as Iceberg's own Java library enters it (`GlueTableOperations`, `IcebergToGlueConverter`):
 * by its parameters engines find it; columns and location are there for people to look at. Pure.
 */

const TYPE = 'table_type'
const LOCATION = 'metadata_location'
const PREVIOUS_LOCATION = 'previous_metadata_location'
const ICEBERG = 'ICEBERG'
const CURRENT = 'iceberg.field.current'

export const isIceberg = (table: Table): boolean => table.Parameters?.[TYPE]?.toUpperCase() === ICEBERG

/** Where the table's metadata is; undefined when Glue does not say. */
export const metadataLocationOf = (table: Table): string | undefined => table.Parameters?.[LOCATION]

/** A new table. */
export function newTableInput(name: string, metadataLocation: string, { location, columns }: TableDescription): TableInput {
  return {
    Name: name,
    TableType: 'EXTERNAL_TABLE',
    Parameters: { [TYPE]: ICEBERG, [LOCATION]: metadataLocation },
    StorageDescriptor: { Location: location, Columns: columns.map(glueColumn) },
  }
}

/**
 * `table` with another metadata location, and with the columns of `description` if there is one. An update replaces the whole
 * entry, so all that others wrote goes back as it came; Glue refuses what it made itself (times, ids), and empty strings.
 */
export function updatedTableInput(table: Table, metadataLocation: string, description?: TableDescription): TableInput {
  const before = metadataLocationOf(table)
  return {
    Name: table.Name,
    Description: table.Description || undefined,
    Owner: table.Owner || undefined,
    LastAccessTime: table.LastAccessTime,
    LastAnalyzedTime: table.LastAnalyzedTime,
    Retention: table.Retention,
    StorageDescriptor: description === undefined ? table.StorageDescriptor : updatedStorage(table, description),
    PartitionKeys: table.PartitionKeys,
    ViewOriginalText: table.ViewOriginalText || undefined,
    ViewExpandedText: table.ViewExpandedText || undefined,
    TableType: table.TableType || 'EXTERNAL_TABLE',
    TargetTable: table.TargetTable,
    Parameters: {
      ...table.Parameters,
      [TYPE]: ICEBERG,
      [LOCATION]: metadataLocation,
      ...(before === undefined ? {} : { [PREVIOUS_LOCATION]: before }),
    },
  }
}

/** The columns of the new schema, then those of earlier ones, marked as such, as Iceberg's library leaves them. */
function updatedStorage({ StorageDescriptor: storage }: Table, { columns }: TableDescription): StorageDescriptor {
  const before = storage?.Columns ?? []
  const current = columns.map((column) => {
    // People's words on a column are kept nowhere else.
    const comment = before.find(({ Name }) => Name === column.name)?.Comment
    return { ...glueColumn(column), ...(comment ? { Comment: comment } : {}) }
  })
  const gone = before
    .filter(({ Name }) => !columns.some(({ name }) => name === Name))
    .map((column) => ({ ...column, Parameters: { ...column.Parameters, [CURRENT]: 'false' } }))
  return { ...storage, Columns: [...current, ...gone] }
}

function glueColumn({ id, name, type, required }: TableDescription['columns'][number]): Column {
  return {
    Name: name,
    Type: hiveType(type),
    Parameters: {
      'iceberg.field.id': String(id),
      'iceberg.field.optional': String(!required),
      [CURRENT]: 'true',
    },
  }
}

const HIVE_TYPES: Readonly<Record<string, string>> = {
  long: 'bigint',
  time: 'string',
  uuid: 'string',
  timestamptz: 'timestamp',
  timestamp_ns: 'timestamp',
  timestamptz_ns: 'timestamp',
}

/** A type as Hive names it, from its name in the Iceberg spec (appendix C), or from the JSON of a nested one. */
export function hiveType(type: unknown): string {
  if (typeof type === 'string') {
    if (type.startsWith('{')) return hiveType(JSON.parse(type))
    if (type.startsWith('fixed[')) return 'binary'
    if (type.startsWith('decimal(')) return type.replaceAll(' ', '')
    return Object.hasOwn(HIVE_TYPES, type) ? HIVE_TYPES[type] : type
  }
  const nested = type as NestedType
  switch (nested.type) {
    case 'struct':
      return `struct<${nested.fields.map((field) => `${field.name}:${hiveType(field.type)}`).join(',')}>`
    case 'list':
      return `array<${hiveType(nested.element)}>`
    case 'map':
      return `map<${hiveType(nested.key)},${hiveType(nested.value)}>`
    default:
      return 'string'
  }
}

type NestedType =
  | { readonly type: 'struct'; readonly fields: readonly { readonly name: string; readonly type: unknown }[] }
  | { readonly type: 'list'; readonly element: unknown }
  | { readonly type: 'map'; readonly key: unknown; readonly value: unknown }

const MAX_DATABASE_NAME = 252
const MAX_TABLE_NAME = 255
const CONTROL = /\p{Cc}/u

/** Glue folds names to lower case: a table asked for by another name than its own would seem to be there. Throws `Usage`. */
export function checkKept({ namespace, name }: TableId): void {
  for (const part of [namespace, name])
    if (part !== part.toLowerCase() || part.length < 1 || part.length > MAX_TABLE_NAME || CONTROL.test(part))
      throw usage(
        `Cannot use table ${namespace}.${name} in Glue: expected names of 1 to ${MAX_TABLE_NAME} characters in lower case, found "${part}". Name it so.`,
      )
}

/**
 * What Iceberg's library asks of names before it makes a table, and what every engine on Glue can then say. Others may have
 * made tables with other names; those we read. Throws `Usage`.
 */
export function checkPortable({ namespace, name }: TableId): void {
  const rules = [
    ['database', namespace, MAX_DATABASE_NAME],
    ['table', name, MAX_TABLE_NAME],
  ] as const
  for (const [what, part, longest] of rules)
    if (!/^[a-z0-9_]+$/.test(part) || part.length > longest)
      throw usage(
        `Cannot create table ${namespace}.${name} in Glue: expected a ${what} name of 1 to ${longest} lower-case letters, digits and underscores, found "${part}". Name the ${what === 'database' ? 'namespace' : 'table'} so.`,
      )
}
