import { Buffer } from 'node:buffer'
import {
  CreateDatabaseCommand,
  CreateTableCommand,
  GetDatabasesCommand,
  GetTableCommand,
  GetTablesCommand,
  GlueClient,
  type Table,
  type TableInput,
  UpdateTableCommand,
} from '@aws-sdk/client-glue'
import { type FrazilError, messageOf, refused, unavailable, usage } from '../errors.ts'
import type { Catalog, TableId, TablePointer } from '../ports/catalog.ts'
import { type CallBudget, type ClientOptions, clientConfig, ONCE, REPEATABLE } from './clients.ts'
import { asOurs, asOursAfterSwap, type Call } from './errors.ts'
import { checkKept, checkPortable, isIceberg, metadataLocationOf, newTableInput, updatedTableInput } from './glue-table.ts'

export interface GlueCatalogOptions extends ClientOptions {
  /** For all calls: one made by `glueClient`, which the caller closes. @default two of its own, of which one repeats reads */
  readonly client?: GlueClient
  /** Whose catalog. @default that of the caller's account */
  readonly catalogId?: string
}

export interface GlueCatalog extends Catalog {
  /** Closes its own connections; a client that was passed in stays open. */
  close(): void
}

/** A client that may write for `openGlueCatalog`: it tries each call once. */
export function glueClient(options: ClientOptions = {}, budget: CallBudget = ONCE): GlueClient {
  return new GlueClient(clientConfig(budget, options))
}

/**
 * Tables in Glue's Data Catalog, entered as Iceberg's Java library does, so that Athena, Spark and all others find them. The
 * version token is Glue's `VersionId`, which an update names and Glue compares. Writes are tried once: a repeated one would
 * take its own success for another's (protocol rule 10). Nothing is deleted, and no old versions are
 * archived (`SkipArchive`): Glue allows a table 100,000 of them.
 *
 * Permissions: glue:GetDatabases, GetTable, GetTables, CreateDatabase, CreateTable, UpdateTable on catalog, database and
 * tables; where Lake Formation governs, its rights as well.
 */
export function openGlueCatalog({ client, catalogId, ...options }: GlueCatalogOptions = {}): GlueCatalog {
  const reads = client ?? glueClient(options, REPEATABLE)
  const writes = client ?? glueClient(options)
  const CatalogId = catalogId

  /** What Glue has of a table; undefined when it, or its database, is not there. Throws `Refused` when it is no Iceberg table. */
  async function entryOf(id: TableId): Promise<(TablePointer & { readonly table: Table }) | undefined> {
    checkKept(id)
    const table = await reads
      .send(new GetTableCommand({ CatalogId, DatabaseName: id.namespace, Name: id.name }))
      .then(({ Table }) => Table)
      .catch((error) => {
        if (is(error, 'EntityNotFoundException')) return undefined
        throw asOurs(error, call('read', id, 'glue:GetTable'))
      })
    if (table === undefined) return undefined
    const { VersionId: version } = table
    const metadataLocation = metadataLocationOf(table)
    if (isIceberg(table) && metadataLocation !== undefined && version !== undefined) return { table, metadataLocation, version }
    throw refused(
      `Cannot use table ${label(id)} of Glue: expected an Iceberg table with its metadata_location and a version, found ${
        isIceberg(table) ? 'one without' : `one of type ${table.Parameters?.table_type ?? table.TableType ?? 'unknown'}`
      }. Drop it, or use another name.`,
    )
  }

  async function enter(id: TableId, TableInput: TableInput): Promise<'entered' | 'exists' | 'no database'> {
    try {
      await writes.send(new CreateTableCommand({ CatalogId, DatabaseName: id.namespace, TableInput }))
      return 'entered'
    } catch (error) {
      if (is(error, 'AlreadyExistsException')) return 'exists'
      if (is(error, 'EntityNotFoundException')) return 'no database'
      if (!is(error, 'ConcurrentModificationException')) throw notWritten(error, call('create', id, 'glue:CreateTable'))
      // Two creations met. The other one has made it, or nobody has.
      if ((await entryOf(id)) !== undefined) return 'exists'
      throw unavailable(`Cannot create table ${label(id)} in Glue: another creation was under way. Try again.`, { cause: error })
    }
  }

  async function createDatabase(id: TableId): Promise<void> {
    try {
      await writes.send(new CreateDatabaseCommand({ CatalogId, DatabaseInput: { Name: id.namespace } }))
    } catch (error) {
      // Somebody else may have made it just now.
      if (!is(error, 'AlreadyExistsException'))
        throw asOurs(error, { ...call('create', id, 'glue:CreateDatabase'), doing: `create database ${id.namespace} in Glue` })
    }
  }

  async function* databases(): AsyncGenerator<string> {
    const listing = { doing: 'list databases of Glue', permission: 'glue:GetDatabases', missing: 'a Glue catalog' }
    let NextToken: string | undefined
    do {
      const page = await reads.send(new GetDatabasesCommand({ CatalogId, NextToken })).catch((error) => {
        throw asOurs(error, listing)
      })
      for (const { Name = '' } of page.DatabaseList ?? []) yield Name
      ;({ NextToken } = page)
    } while (NextToken)
  }

  async function* tables(namespace: string): AsyncGenerator<Table> {
    const listing = {
      doing: `list tables of database ${namespace} in Glue`,
      permission: 'glue:GetTables',
      missing: `a database ${namespace}`,
    }
    let NextToken: string | undefined
    do {
      const page = await reads.send(new GetTablesCommand({ CatalogId, DatabaseName: namespace, NextToken })).catch((error) => {
        // The database was dropped since it was listed.
        if (is(error, 'EntityNotFoundException')) return undefined
        throw asOurs(error, listing)
      })
      yield* page?.TableList ?? []
      NextToken = page?.NextToken
    } while (NextToken)
  }

  return {
    async load(id) {
      const entry = await entryOf(id)
      return entry && { metadataLocation: entry.metadataLocation, version: entry.version }
    },

    async create(id, metadataLocation, description) {
      checkPortable(id)
      await checkOnce(writes)
      const input = newTableInput(id.name, metadataLocation, description)
      const first = await enter(id, input)
      if (first !== 'no database') return first === 'entered'
      await createDatabase(id)
      const second = await enter(id, input)
      if (second !== 'no database') return second === 'entered'
      throw unavailable(`Cannot create table ${label(id)} in Glue: its database was dropped just now. Try again.`)
    },

    async swap(id, expected, metadataLocation, description) {
      await checkOnce(writes)
      // Versions count anew when a table is dropped and made again, so the version alone would take the new table for the old
      // one (protocol rule 15). Between this look and the update only the version holds, as in Iceberg's own library.
      const entry = await entryOf(id)
      if (entry?.version !== expected.version || entry.metadataLocation !== expected.metadataLocation) return false
      try {
        await writes.send(
          new UpdateTableCommand({
            CatalogId,
            DatabaseName: id.namespace,
            TableInput: updatedTableInput(entry.table, metadataLocation, description),
            VersionId: expected.version,
            SkipArchive: true,
          }),
        )
        return true
      } catch (error) {
        if (is(error, 'ConcurrentModificationException', 'EntityNotFoundException')) return false
        throw notWritten(error, call('update', id, 'glue:UpdateTable'))
      }
    },

    async list() {
      const ids: TableId[] = []
      for await (const namespace of databases())
        for await (const table of tables(namespace)) if (isIceberg(table)) ids.push({ namespace, name: table.Name ?? '' })
      return ids.sort((a, b) => order(a.namespace, b.namespace) || order(a.name, b.name))
    },

    close() {
      if (client !== undefined) return
      reads.destroy()
      writes.destroy()
    },
  }
}

const label = ({ namespace, name }: TableId) => `${namespace}.${name}`

function call(verb: 'read' | 'create' | 'update', id: TableId, permission: string): Call {
  return {
    doing: `${verb} table ${label(id)} in Glue`,
    permission: `${permission} on catalog, database and table (and in Lake Formation, where it governs)`,
    missing: `a database ${id.namespace}`,
  }
}

/** Errors of a write, where a refusal that is certain must not look like an unknown outcome. */
function notWritten(cause: unknown, call: Call): FrazilError {
  // A limit of tables or versions, which waiting does not raise, and a key that cannot be used.
  if (is(cause, 'ResourceNumberLimitExceededException', 'GlueEncryptionException'))
    return usage(
      `Cannot ${call.doing}: ${messageOf(cause)}. Nothing was written; raise the limit or set the catalog's key right.`,
      {
        cause,
      },
    )
  return asOursAfterSwap(cause, call)
}

/** A client that repeats writes would report its own success as somebody else's: better not to begin. */
async function checkOnce(client: GlueClient): Promise<void> {
  const attempts = await client.config.maxAttempts()
  if (attempts !== 1)
    throw usage(`Cannot write to Glue: expected a client that tries once, found one with ${attempts} attempts. Use glueClient.`)
}

function is(error: unknown, ...names: string[]): boolean {
  return error instanceof Error && names.includes(error.name)
}

/** By UTF-8 bytes, as every catalog of ours sorts. */
function order(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
