import { type ColumnType, type Fields, indexOfField } from '../columns/schema.ts'
import { invalidPipeline } from '../errors.ts'
import { shown } from './check.ts'
import type { MaintenancePlan } from './maintenance.ts'
import { type MaintenanceOptions, maintenanceOf } from './maintenance-options.ts'
import type { PartitionField, SortField, Transform } from './plan.ts'
import type { NamesOf, Schema } from './schema-types.ts'
import { propertiesOf, type TableProperties } from './table-properties.ts'

type TimeUnit = 'year' | 'month' | 'day' | 'hour'

/**
 * How a table is partitioned: `day(event_time)` (or year, month, hour) over a time, `bucket(16, symbol)`, or a column as it
 * is (Iceberg spec, "Partition Transforms").
 */
export type PartitionBy<S extends Schema> = (
  | `${TimeUnit}(${NamesOf<S>['time']})`
  | `bucket(${number}, ${NamesOf<S>['bucket']})`
  | NamesOf<S>['key']
) &
  unknown

/** How rows are sorted inside files: by a column, ascending, or `price desc`. */
export type SortBy<S extends Schema> = (NamesOf<S>['any'] | `${NamesOf<S>['any']} ${'asc' | 'desc'}`) & unknown

/** Where and how a stream's rows are kept. */
export interface TableOptions<S extends Schema> {
  /** @default [] one partition */
  readonly partitionBy?: readonly PartitionBy<S>[]
  /** @default [] in the order of arrival */
  readonly sortBy?: readonly SortBy<S>[]
  /**
   * Iceberg's table properties, set when the table is made; a table that exists keeps its own. How files are written is said
   * here: `{ 'write.parquet.compression-codec': 'snappy' }`. @default {} zstd, and sizes that suit
   */
  readonly properties?: TableProperties
  /**
   * How the table is kept well: its small files compacted, old snapshots expired, orphans deleted, old rows dropped. What is
   * not said has a default. @default compacts what is cold; snapshots for 7 days; orphans go after 3 days; rows stay
   * @example { snapshots: { keep: days(30) }, rows: { keep: days(365) } }
   */
  readonly maintenance?: MaintenanceOptions
}

export interface TableLayout {
  readonly partitionBy: readonly PartitionField[]
  readonly sortBy: readonly SortField[]
  readonly properties: Readonly<Record<string, string>>
  readonly maintenance: MaintenancePlan
}

/** Names of the options that `layoutOf` reads. */
export const LAYOUT_OPTIONS: readonly string[] = [
  'partitionBy',
  'sortBy',
  'properties',
  'maintenance',
] satisfies (keyof TableLayout)[]

/** The layout of a table over `fields`. Throws `InvalidPipeline`. */
export function layoutOf(table: string, fields: Fields, options: { readonly [K in keyof TableLayout]?: unknown }): TableLayout {
  const partitionBy = partitionFields(table, fields, listOf(`partition table ${table}`, options.partitionBy))
  const sortBy = sortFields(table, fields, listOf(`sort table ${table}`, options.sortBy))
  return {
    partitionBy,
    sortBy,
    properties: propertiesOf(table, options.properties),
    maintenance: maintenanceOf(table, { partitionBy, sortBy }, options.maintenance),
  }
}

function partitionFields(table: string, fields: Fields, texts: readonly string[]): readonly PartitionField[] {
  const result: PartitionField[] = []
  for (const text of texts) {
    const what = `partition table ${table} by ${shown(text)}`
    const field = partitionField(what, text)
    checkColumn(what, fields, field.column, suits(field.transform))
    // Iceberg allows one time transform, and one of each other kind, per column.
    const group = groupOf(field.transform)
    if (result.some((other) => other.column === field.column && groupOf(other.transform) === group))
      throw invalidPipeline(`Cannot ${what}: ${field.column} is in the partitioning already. Name it once.`)
    result.push(field)
  }
  return result
}

function partitionField(what: string, text: string): PartitionField {
  const match = /^(?:(\w+)\((?:(\d+), *)?(\w+)\)|(\w+))$/.exec(text)
  const [, kind, count, column, plain] = match ?? []
  if (plain !== undefined) return { column: plain, transform: { kind: 'identity' } }
  if (column !== undefined && count === undefined && (kind === 'year' || kind === 'month' || kind === 'day' || kind === 'hour'))
    return { column, transform: { kind } }
  if (column !== undefined && kind === 'bucket' && count !== undefined) {
    const buckets = Number(count)
    if (buckets < 1 || buckets > 2 ** 31 - 1)
      throw invalidPipeline(`Cannot ${what}: expected 1 to 2147483647 buckets, found ${count}.`)
    return { column, transform: { kind: 'bucket', buckets } }
  }
  throw invalidPipeline(
    `Cannot ${what}: expected year(column), month(column), day(column), hour(column), bucket(16, column) or a column.`,
  )
}

function suits({ kind }: Transform): readonly ColumnType[] {
  switch (kind) {
    case 'identity':
      return ['boolean', 'int', 'long', 'string', 'timestamptz']
    case 'bucket':
      return ['int', 'long', 'string', 'binary', 'timestamptz']
    default:
      return ['timestamptz']
  }
}

function groupOf({ kind }: Transform): string {
  return kind === 'identity' || kind === 'bucket' ? kind : 'time'
}

function sortFields(table: string, fields: Fields, texts: readonly string[]): readonly SortField[] {
  const result: SortField[] = []
  for (const text of texts) {
    const what = `sort table ${table} by ${shown(text)}`
    const [, column, direction = 'asc'] = /^(\w+)(?: (asc|desc))?$/.exec(text) ?? []
    if (column === undefined || (direction !== 'asc' && direction !== 'desc'))
      throw invalidPipeline(`Cannot ${what}: expected a column, perhaps followed by asc or desc.`)
    checkColumn(what, fields, column)
    if (result.some((other) => other.column === column))
      throw invalidPipeline(`Cannot ${what}: ${column} is in the order already. Name it once.`)
    result.push({ column, direction })
  }
  return result
}

function checkColumn(what: string, fields: Fields, name: string, types?: readonly ColumnType[]): void {
  const field = fields[indexOfField(fields, name)]
  if (field === undefined)
    throw invalidPipeline(`Cannot ${what}: there is no column ${name}. Expected one of ${fields.map((f) => f.name).join(', ')}.`)
  if (types !== undefined && !types.includes(field.type))
    throw invalidPipeline(`Cannot ${what}: expected ${name} to be ${types.join(' or ')}, found ${field.type}.`)
}

function listOf(what: string, value: unknown): readonly string[] {
  if (value === undefined) return []
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
    throw invalidPipeline(`Cannot ${what}: expected a list such as ['day(event_time)'], found ${shown(value)}.`)
  return value
}
