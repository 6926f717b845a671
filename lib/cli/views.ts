import type { DuckDBConnection } from '@duckdb/node-api'
import type { ColumnType } from '../columns/schema.ts'
import { refused, usage } from '../errors.ts'
import { currentSchema, snapshotById } from '../iceberg/metadata.ts'
import { type LoadedTable, planFiles, snapshotAsOf } from '../iceberg/scan.ts'
import { fieldsOf } from '../iceberg/schema.ts'
import type { TableMetadata } from '../iceberg/types.ts'
import { type ReadWarehouse, tableName } from './read-warehouse.ts'
import { findTravels, replaceTravels, type Travel } from './time-travel.ts'

export const SQL_TYPES: Readonly<Record<ColumnType, string>> = {
  boolean: 'BOOLEAN',
  int: 'INTEGER',
  long: 'BIGINT',
  double: 'DOUBLE',
  string: 'VARCHAR',
  binary: 'BLOB',
  timestamptz: 'TIMESTAMPTZ',
}

/**
 * Makes each table of the warehouse a view: `namespace.table`, and `table` where that is unique. We plan the scan, DuckDB reads
 * the files. Only tables whose name occurs in the SQL are planned. Returns the SQL with its time travel resolved to views.
 */
export async function createViews(connection: DuckDBConnection, warehouse: ReadWarehouse, sql: string): Promise<string> {
  const lowered = sql.toLowerCase()
  for (const namespace of new Set(warehouse.tables.map((table) => table.id.namespace)))
    await connection.run(`CREATE SCHEMA IF NOT EXISTS ${quoted(namespace)}`)
  for (const table of warehouse.tables) {
    const { namespace, name } = table.id
    const asked = lowered.includes(name.toLowerCase())
    await createView(connection, warehouse, table, `${quoted(namespace)}.${quoted(name)}`, undefined, asked)
    if (namesakes(warehouse, name).length === 1 && namespace !== 'main')
      await connection.run(`CREATE VIEW main.${quoted(name)} AS SELECT * FROM ${quoted(namespace)}.${quoted(name)}`)
  }
  const travels = findTravels(sql)
  const replacements: string[] = []
  for (const [i, travel] of travels.entries()) {
    const table = tableOf(warehouse, travel)
    const schema = quoted(`${tableName(table)}@${i}`)
    await connection.run(`CREATE SCHEMA ${schema}`)
    // The view keeps the table's name, so that the query's own `agg_1m.symbol` still means it.
    const view = `${schema}.${quoted(table.id.name)}`
    await createView(connection, warehouse, table, view, snapshotOf(table.metadata, travel, tableName(table)), true)
    replacements.push(view)
  }
  return replaceTravels(sql, travels, replacements)
}

async function createView(
  connection: DuckDBConnection,
  { objects, localFiles }: ReadWarehouse,
  { metadata }: LoadedTable,
  view: string,
  snapshotId: bigint | undefined,
  asked: boolean,
): Promise<void> {
  const files = asked ? await planFiles(objects, metadata, snapshotId) : []
  const fields = fieldsOf(schemaAt(metadata, snapshotId))
  if (files.length === 0) {
    const columns = fields.map(({ name, type }) => `CAST(NULL AS ${SQL_TYPES[type]}) AS ${quoted(name)}`)
    await connection.run(`CREATE VIEW ${view} AS SELECT ${columns.join(', ')} WHERE false`)
    return
  }
  const foreign = files.find(({ file }) => file.fileFormat.toUpperCase() !== 'PARQUET')
  if (foreign !== undefined)
    throw refused(
      `Cannot read ${foreign.file.filePath}: expected Parquet, found ${foreign.file.fileFormat}. Rewrite the table with the engine that wrote it.`,
    )
  // By field id: columns renamed or added since a file was written are found, or NULL, as the Iceberg spec wants it.
  const columns = fields.map(
    ({ id, name, type }) => `${id}: {name: ${text(name)}, type: '${SQL_TYPES[type]}', default_value: NULL}`,
  )
  const paths = (await localFiles(files.map(({ file }) => file.filePath))).map(text)
  await connection.run(
    `CREATE VIEW ${view} AS SELECT * FROM read_parquet([${paths.join(', ')}], schema = MAP {${columns.join(', ')}}, hive_partitioning = false)`,
  )
}

/** A snapshot of another time is read with the schema of its time. */
function schemaAt(metadata: TableMetadata, snapshotId: bigint | undefined) {
  const schemaId = snapshotId === undefined ? undefined : snapshotById(metadata, snapshotId)?.['schema-id']
  return metadata.schemas.find((schema) => schema['schema-id'] === schemaId) ?? currentSchema(metadata)
}

function tableOf(warehouse: ReadWarehouse, { name }: Travel): LoadedTable {
  const shown = name.join('.')
  const tables = namesakes(warehouse, name.at(-1) ?? '').filter(
    ({ id }) => name.length === 1 || (name.length === 2 && sameName(id.namespace, name[0])),
  )
  if (tables.length === 0)
    throw usage(`Cannot find table ${shown}: expected one of ${warehouse.tables.map(tableName).join(', ') || 'no tables'}.`)
  if (tables.length > 1)
    throw usage(`Cannot tell which table ${shown} is: found ${tables.map(tableName).join(', ')}. Name its namespace.`)
  return tables[0]
}

function snapshotOf(metadata: TableMetadata, { at }: Travel, name: string): bigint {
  if (at.kind === 'version') {
    if (snapshotById(metadata, at.id) === undefined)
      throw usage(`Cannot read ${name} FOR VERSION AS OF ${at.id}: expected one of its snapshots: ${shownSnapshots(metadata)}.`)
    return at.id
  }
  const id = snapshotAsOf(metadata, at.ms)
  if (id === undefined)
    throw usage(
      `Cannot read ${name} FOR TIMESTAMP AS OF '${at.text}': expected a time at or after its first snapshot: ${shownSnapshots(metadata)}.`,
    )
  return id
}

const SHOWN_SNAPSHOTS = 5

function shownSnapshots({ snapshots }: TableMetadata): string {
  const last = snapshots.slice(-SHOWN_SNAPSHOTS).map((s) => `${s['snapshot-id']} of ${new Date(s['timestamp-ms']).toISOString()}`)
  const more = snapshots.length - last.length
  return last.length === 0 ? 'it has none' : `${last.join(', ')}${more > 0 ? ` and ${more} earlier` : ''}`
}

const sameName = (a: string, b: string) => a.toLowerCase() === b.toLowerCase()
const namesakes = (warehouse: ReadWarehouse, name: string) => warehouse.tables.filter(({ id }) => sameName(id.name, name))
export const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`
export const text = (value: string) => `'${value.replaceAll("'", "''")}'`
