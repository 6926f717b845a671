import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { commitUnknown, corrupt, type FrazilError, messageOf, unavailable } from '../errors.ts'
import type { Catalog } from '../ports/catalog.ts'
import { makeDirectories } from './directories.ts'

export interface SqliteCatalogOptions {
  /** The `catalog_name` of our rows: what PyIceberg and Spark must call the catalog. @default 'frazil' */
  readonly catalogName?: string
  /** How long a call waits for another writer before it throws `Unavailable`. @default 10000 */
  readonly busyTimeoutMs?: number
}

export interface SqliteCatalog extends Catalog {
  /** Closes the connection; the catalog stays usable by others. */
  close(): void
}

/**
 * A catalog in one SQLite file, in the schema of Iceberg's JDBC catalog (version 1), so that PyIceberg's SqlCatalog and
 * Spark's JdbcCatalog open it as their own, also while we run. The version token is the metadata location, which is what
 * those catalogs compare too. Calls block the thread; a swap that has resolved survives a power cut.
 *
 * A new file keeps SQLite's rollback journal: one plain file, which anybody can copy, mount read-only or open without our
 * leave; commits are few. With that journal only synchronous=EXTRA makes the end of a commit durable.
 */
export function openSqliteCatalog(
  path: string,
  { catalogName = 'frazil', busyTimeoutMs = 10_000 }: SqliteCatalogOptions = {},
): SqliteCatalog {
  const database = guarded('open', path, () => {
    makeDirectories(dirname(path))
    return opened(path, busyTimeoutMs)
  })

  // Rows of other types are views.
  const isTable = "(iceberg_type = 'TABLE' OR iceberg_type IS NULL)"
  const isThis = 'catalog_name = ? AND table_namespace = ? AND table_name = ?'
  const load = database.prepare(`SELECT metadata_location FROM iceberg_tables WHERE ${isThis} AND ${isTable}`)
  const list = database.prepare(
    `SELECT table_namespace, table_name FROM iceberg_tables WHERE catalog_name = ? AND ${isTable} ORDER BY table_namespace, table_name`,
  )
  // What both libraries write for a namespace without properties; without a row Spark would not show an empty namespace.
  const insertNamespace = database.prepare(`
    INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
    VALUES (?, ?, 'exists', 'true') ON CONFLICT DO NOTHING`)
  const insertTable = database.prepare(`
    INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
    VALUES (?, ?, ?, ?, NULL, 'TABLE') ON CONFLICT DO NOTHING`)
  const update = database.prepare(`
    UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ?
    WHERE ${isThis} AND ${isTable} AND metadata_location = ?`)

  return {
    async load({ namespace, name }) {
      const row = guarded('read', path, () => load.get(catalogName, namespace, name)) as
        | { metadata_location: string | null }
        | undefined
      const location = row?.metadata_location ?? undefined
      return location === undefined ? undefined : { metadataLocation: location, version: location }
    },
    async create({ namespace, name }, metadataLocation) {
      return guarded('write', path, () =>
        inTransaction(database, () => {
          insertNamespace.run(catalogName, namespace)
          return insertTable.run(catalogName, namespace, name, metadataLocation).changes === 1
        }),
      )
    },
    async swap({ namespace, name }, expected, metadataLocation) {
      return guarded(
        'write',
        path,
        () => update.run(metadataLocation, expected.version, catalogName, namespace, name, expected.version).changes === 1,
      )
    },
    async list() {
      const rows = guarded('read', path, () => list.all(catalogName)) as { table_namespace: string; table_name: string }[]
      return rows.map((row) => ({ namespace: row.table_namespace, name: row.table_name }))
    },
    close: () => database.close(),
  }
}

/** To the letter as Iceberg's JdbcUtil has it (1.12, schema version V1). */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS iceberg_tables(catalog_name VARCHAR(255) NOT NULL,table_namespace VARCHAR(255) NOT NULL,table_name VARCHAR(255) NOT NULL,metadata_location VARCHAR(1000),previous_metadata_location VARCHAR(1000), iceberg_type VARCHAR(5),PRIMARY KEY (catalog_name, table_namespace, table_name));
  CREATE TABLE IF NOT EXISTS iceberg_namespace_properties(catalog_name VARCHAR(255) NOT NULL,namespace VARCHAR(255) NOT NULL,property_key VARCHAR(255),property_value VARCHAR(1000),PRIMARY KEY (catalog_name, namespace, property_key));`

function opened(path: string, busyTimeoutMs: number): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: busyTimeoutMs })
  try {
    database.exec('PRAGMA synchronous = EXTRA')
    if (tableNames(database).size < 2) database.exec(SCHEMA)
    upgraded(database)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function tableNames(database: DatabaseSync): Set<string> {
  const rows = database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN ('iceberg_tables', 'iceberg_namespace_properties')")
    .all() as { name: string }[]
  return new Set(rows.map((row) => row.name))
}

/** Catalogs made by older libraries (schema version V0) lack a column; theirs go on to work with it. */
function upgraded(database: DatabaseSync): void {
  const hasType = () =>
    database.prepare("SELECT 1 FROM pragma_table_info('iceberg_tables') WHERE name = 'iceberg_type'").get() !== undefined
  if (hasType()) return
  inTransaction(database, () => {
    if (!hasType()) database.exec('ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)')
  })
}

/** Takes the write lock first: two readers that both want to write would refuse each other instead of waiting. */
function inTransaction<T>(database: DatabaseSync, action: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = action()
    database.exec('COMMIT')
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

/** https://sqlite.org/rescode.html; the low byte of an extended code is its primary code. */
const SQLITE_BUSY = 5
const SQLITE_CORRUPT = 11
const SQLITE_NOTADB = 26

function guarded<T>(verb: 'open' | 'read' | 'write', path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw asOurs(verb, path, error)
  }
}

function asOurs(verb: 'open' | 'read' | 'write', path: string, error: unknown): FrazilError {
  const errcode = (error as { errcode?: unknown }).errcode
  const code = typeof errcode === 'number' ? errcode & 0xff : undefined
  const cannot = `Cannot ${verb} catalog ${path}: ${messageOf(error)}.`
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB)
    return corrupt(`${cannot} Expected a SQLite file with Iceberg's JDBC catalog in it.`, { cause: error })
  // Busy means that nothing was done: the lock was never ours.
  if (code === SQLITE_BUSY) return unavailable(`${cannot} Another process writes to it; try again.`, { cause: error })
  if (verb === 'write') return commitUnknown(`${cannot} It may have happened; load the table and look.`, { cause: error })
  return unavailable(`${cannot} Check the disk and the file's permissions.`, { cause: error })
}
