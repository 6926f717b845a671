import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import {
  CreateDatabaseCommand,
  CreateTableCommand,
  DeleteTableCommand,
  GetTableCommand,
  type GlueClient,
  type TableInput,
  UpdateTableCommand,
} from '@aws-sdk/client-glue'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ClientOptions, ONCE, REPEATABLE } from '../../lib/aws/clients.ts'
import { type GlueCatalog, glueClient, openGlueCatalog } from '../../lib/aws/glue-catalog.ts'
import { isKind } from '../../lib/errors.ts'
import type { TablePointer } from '../../lib/ports/catalog.ts'
import { describeCatalog } from '../conformance/catalog.ts'
import { DESCRIPTION } from '../conformance/description.ts'
import { connectionReset, denied, type Faults, injectFaults, serverError, serviceError, throttled, timedOut } from './faults.ts'
import { ministack } from './services.ts'

/** A catalog of one's own: ministack takes an access key of 12 digits for an account's id. */
const newAccount = (): ClientOptions => ({
  ...ministack(),
  credentials: { accessKeyId: String(randomInt(10 ** 11, 10 ** 12)), secretAccessKey: 'test' },
})

describeCatalog(
  'Glue (ministack)',
  async () => {
    const account = newAccount()
    const open: GlueCatalog[] = []
    const opened = () => {
      const catalog = openGlueCatalog(account)
      open.push(catalog)
      return catalog
    }
    return {
      catalog: opened(),
      second: async () => opened(),
      reopened: async () => opened(),
      close: async () => {
        for (const catalog of open) catalog.close()
      },
    }
  },
  { oddNames: false },
)

const trades = { namespace: 'trades', name: 'raw_trades' }
const at = (n: number) => `s3://w/trades/raw_trades/metadata/${n}.metadata.json`

describe('the Glue catalog', () => {
  let account: ClientOptions
  let client: GlueClient
  let catalog: GlueCatalog
  let faults: Faults

  beforeEach(() => {
    account = newAccount()
    client = glueClient(account)
    faults = injectFaults(client)
    catalog = openGlueCatalog({ client })
  })
  afterEach(() => client.destroy())

  const loaded = async (): Promise<TablePointer> => {
    const pointer = await catalog.load(trades)
    if (pointer === undefined) throw new Error('the table is not there')
    return pointer
  }
  const entry = async () => {
    const { Table } = await client.send(new GetTableCommand({ DatabaseName: 'trades', Name: 'raw_trades' }))
    if (Table === undefined) throw new Error('Glue has no such table')
    return Table
  }
  const enterForeign = async (input: Partial<TableInput> = {}, database = 'trades') => {
    await client.send(new CreateDatabaseCommand({ DatabaseInput: { Name: database } })).catch(() => {})
    const TableInput = { Name: 'raw_trades', ...input }
    await client.send(new CreateTableCommand({ DatabaseName: database, TableInput }))
  }
  const ICEBERG = { table_type: 'ICEBERG', metadata_location: at(0) }
  const base = async (): Promise<TablePointer> => {
    await catalog.create(trades, at(0), DESCRIPTION)
    return loaded()
  }
  const outcome = (promise: Promise<unknown>): Promise<unknown> =>
    promise.catch((error) => (isKind(error, 'CommitUnknown', 'Unavailable', 'Usage', 'Refused') ? error.kind : error))

  describe('an entry', () => {
    it('is what Iceberg’s library would make: parameters, location and columns', async () => {
      await catalog.create(trades, at(0), {
        location: 's3://w/trades/raw_trades',
        columns: [
          { id: 1, name: 'symbol', type: 'string', required: true },
          { id: 2, name: 'event_time', type: 'timestamptz', required: false },
          { id: 3, name: 'price', type: 'decimal(9, 2)', required: false },
          {
            id: 4,
            name: 'tags',
            type: '{"type":"list","element-id":5,"element":"long","element-required":true}',
            required: false,
          },
        ],
      })
      const { TableType, Parameters, StorageDescriptor } = await entry()
      expect({ TableType, Parameters }).toEqual({ TableType: 'EXTERNAL_TABLE', Parameters: ICEBERG })
      const column = (Name: string, Type: string, id: number, optional: boolean) => ({
        Name,
        Type,
        Parameters: {
          'iceberg.field.id': String(id),
          'iceberg.field.optional': String(optional),
          'iceberg.field.current': 'true',
        },
      })
      expect(StorageDescriptor).toEqual({
        Location: 's3://w/trades/raw_trades',
        Columns: [
          column('symbol', 'string', 1, false),
          column('event_time', 'timestamp', 2, true),
          column('price', 'decimal(9,2)', 3, true),
          column('tags', 'array<bigint>', 4, true),
        ],
      })
    })

    it('keeps through a swap all that others wrote, and names the location before', async () => {
      await enterForeign({
        Description: 'their words',
        Owner: 'them',
        TableType: 'EXTERNAL_TABLE',
        PartitionKeys: [],
        Parameters: { ...ICEBERG, table_type: 'iceberg', theirs: 'stays', previous_metadata_location: 's3://old' },
        StorageDescriptor: { Location: 's3://theirs', Columns: [{ Name: 'c', Type: 'int', Comment: 'no' }] },
      })
      const before = await entry()
      expect(await catalog.swap(trades, await loaded(), at(1))).toBe(true)
      expect(await entry()).toEqual({
        ...before,
        UpdateTime: expect.any(Date),
        VersionId: '2',
        Parameters: {
          theirs: 'stays',
          table_type: 'ICEBERG',
          metadata_location: at(1),
          previous_metadata_location: at(0),
        },
      })
      const update = faults.tries.find(({ command }) => command === 'UpdateTable')
      // ministack keeps no archive, so we look at what was asked.
      expect(update?.input).toMatchObject({ SkipArchive: true, VersionId: '1' })
    })

    it('shows the columns that a swap describes, and those that it no longer has as not current', async () => {
      const pointer = await base()
      const [symbol] = DESCRIPTION.columns
      const note = { id: 3, name: 'note', type: 'timestamptz', required: false }
      expect(await catalog.swap(trades, pointer, at(1), { ...DESCRIPTION, columns: [symbol, note] })).toBe(true)
      const { StorageDescriptor } = await entry()
      const shown = StorageDescriptor?.Columns?.map(({ Name, Type, Parameters = {} }) => [
        Name,
        Type,
        ...Object.values(Parameters),
      ])
      expect(StorageDescriptor?.Location).toBe(DESCRIPTION.location)
      expect(shown).toEqual([
        ['symbol', 'string', '1', 'false', 'true'],
        ['note', 'timestamp', '3', 'true', 'true'],
        ['price', 'double', '2', 'true', 'false'],
      ])
      expect(await catalog.swap(trades, await loaded(), at(2))).toBe(true)
      expect((await entry()).StorageDescriptor).toEqual(StorageDescriptor)
    })

    it('of a table that is not Iceberg’s is refused, and not listed', async () => {
      await enterForeign({ Parameters: { classification: 'parquet' } })
      await expect(catalog.load(trades)).rejects.toMatchObject({
        kind: 'Refused',
        message: expect.stringMatching(
          /^Cannot use table trades\.raw_trades of Glue: expected an Iceberg table .* another name\.$/,
        ),
      })
      expect(await outcome(catalog.swap(trades, { metadataLocation: at(0), version: '1' }, at(1)))).toBe('Refused')
      expect(await catalog.create(trades, at(0), DESCRIPTION)).toBe(false)
      expect(await catalog.list()).toEqual([])
    })

    it('without a metadata location is refused: it may be in the making', async () => {
      await enterForeign({ Parameters: { table_type: 'ICEBERG' } })
      expect(await outcome(catalog.load(trades))).toBe('Refused')
    })

    it('is found in a database that others made, and made there', async () => {
      await client.send(new CreateDatabaseCommand({ DatabaseInput: { Name: 'trades', Description: 'theirs' } }))
      faults.clear()
      expect(await catalog.create(trades, at(0), DESCRIPTION)).toBe(true)
      expect(faults.tries.map(({ command }) => command)).toEqual(['CreateTable'])
    })

    it('of a name that only others would give is read and listed, and asked for in lower case', async () => {
      await enterForeign({ Name: 'their-table', Parameters: ICEBERG }, 'their-db')
      const id = { namespace: 'their-db', name: 'their-table' }
      expect(await catalog.list()).toEqual([id])
      const pointer = await catalog.load(id)
      expect(await catalog.swap(id, pointer!, at(1))).toBe(true)
      for (const odd of ['Their-Table', '', 'a\nb', 'n'.repeat(256)]) {
        expect(await outcome(catalog.load({ ...id, name: odd })), odd).toBe('Usage')
        expect(await outcome(catalog.load({ namespace: odd, name: 'x' })), odd).toBe('Usage')
      }
    })

    it('is made only under names that every engine on Glue can say', async () => {
      for (const odd of ['with-dash', 'ä', 'a b', 'n'.repeat(256), 'A'])
        expect(await outcome(catalog.create({ ...trades, name: odd }, at(0), DESCRIPTION)), odd).toBe('Usage')
      for (const odd of ['with-dash', 'n'.repeat(253)])
        expect(await outcome(catalog.create({ ...trades, namespace: odd }, at(0), DESCRIPTION)), odd).toBe('Usage')
      expect(faults.count()).toBe(0)
      expect(await catalog.create({ namespace: 'n'.repeat(252), name: 't'.repeat(255) }, at(0), DESCRIPTION)).toBe(true)
    })

    it('lies in the catalog that the options name, in every call', async () => {
      const other = openGlueCatalog({ client, catalogId: '123456789012' })
      await other.create(trades, at(0), DESCRIPTION)
      await other.swap(trades, await loaded(), at(1))
      await other.list()
      const asked = faults.tries.filter(({ input }) => input.CatalogId === '123456789012').map(({ command }) => command)
      expect(new Set(asked)).toEqual(
        new Set(['CreateTable', 'CreateDatabase', 'GetTable', 'UpdateTable', 'GetDatabases', 'GetTables']),
      )
    })
  })

  describe('a race', () => {
    it('of 20 and of 50 swaps against one pointer, through two clients, has one winner', async () => {
      const second = openGlueCatalog(account)
      await base()
      for (const ways of [20, 50]) {
        const pointer = await loaded()
        const results = await Promise.all(
          Array.from({ length: ways }, (_, i) => (i % 2 ? catalog : second).swap(trades, pointer, at(ways + i))),
        )
        expect(results.filter(Boolean)).toHaveLength(1)
        expect(await loaded()).toEqual({
          metadataLocation: at(ways + results.indexOf(true)),
          version: String(Number(pointer.version) + 1),
        })
      }
      second.close()
    })

    it('of 20 and of 50 creations, through two clients, has one winner, also for the database', async () => {
      const second = openGlueCatalog(account)
      for (const ways of [20, 50]) {
        const id = { namespace: `trades_${ways}`, name: 'raw_trades' }
        const results = await Promise.all(
          Array.from({ length: ways }, (_, i) => (i % 2 ? catalog : second).create(id, at(i), DESCRIPTION)),
        )
        expect(results.filter(Boolean)).toHaveLength(1)
        expect((await catalog.load(id))?.metadataLocation).toBe(at(results.indexOf(true)))
      }
      second.close()
    })

    it('of committers who load and swap until they win leaves a chain of all commits', async () => {
      const second = openGlueCatalog(account)
      await base()
      const commits = 10
      const committer = async (through: GlueCatalog) => {
        for (let won = 0; won < commits; ) {
          const pointer = await through.load(trades)
          const next = Number(/(\d+)\.metadata/.exec(pointer!.metadataLocation)?.[1]) + 1
          if (await through.swap(trades, pointer!, at(next))) won++
        }
      }
      await Promise.all([committer(catalog), committer(second), committer(catalog)])
      expect((await loaded()).metadataLocation).toBe(at(3 * commits))
      second.close()
    })
  })

  describe('a swap', () => {
    it('asks twice: what is there now, and the update', async () => {
      const pointer = await base()
      faults.clear()
      expect(await catalog.swap(trades, pointer, at(1))).toBe(true)
      expect(faults.tries.map(({ command }) => command)).toEqual(['GetTable', 'UpdateTable'])
    })

    it('against a table that was dropped and made again is lost, though Glue counts its versions anew', async () => {
      const pointer = await base()
      await client.send(new DeleteTableCommand({ DatabaseName: 'trades', Name: 'raw_trades' }))
      await catalog.create(trades, at(100), DESCRIPTION)
      expect((await loaded()).version).toBe(pointer.version)
      expect(await catalog.swap(trades, pointer, at(1))).toBe(false)
      expect((await loaded()).metadataLocation).toBe(at(100))
    })

    it('that others overtake between its look and its update is lost', async () => {
      const pointer = await base()
      const held = faults.hold('UpdateTable')
      const swapping = catalog.swap(trades, pointer, at(1))
      await held.reached
      const second = openGlueCatalog(account)
      expect(await second.swap(trades, pointer, at(2))).toBe(true)
      held.release()
      expect(await swapping).toBe(false)
      expect((await loaded()).metadataLocation).toBe(at(2))
      second.close()
    })

    it('whose table is dropped between its look and its update is lost', async () => {
      const pointer = await base()
      const held = faults.hold('UpdateTable')
      const swapping = catalog.swap(trades, pointer, at(1))
      await held.reached
      const second = glueClient(account)
      await second.send(new DeleteTableCommand({ DatabaseName: 'trades', Name: 'raw_trades' }))
      held.release()
      expect(await swapping).toBe(false)
      expect(await catalog.load(trades)).toBeUndefined()
      second.destroy()
    })

    it('whose answer is lost is CommitUnknown, tried once, and a look shows that it happened', async () => {
      const pointer = await base()
      for (const [i, lost] of [
        connectionReset,
        timedOut,
        serverError,
        () => serviceError('InternalServiceException', 500),
      ].entries()) {
        const before = i === 0 ? pointer : await loaded()
        faults.clear()
        faults.after('UpdateTable', lost)
        expect(await outcome(catalog.swap(trades, before, at(i + 1)))).toBe('CommitUnknown')
        expect(faults.count('UpdateTable')).toBe(1)
        expect((await loaded()).metadataLocation).toBe(at(i + 1))
        expect(await catalog.swap(trades, before, at(i + 1))).toBe(false)
      }
    })

    it('that never arrived is CommitUnknown too, and a look shows that it did not happen', async () => {
      const pointer = await base()
      for (const lost of [connectionReset, timedOut, serverError]) {
        faults.before('UpdateTable', lost)
        expect(await outcome(catalog.swap(trades, pointer, at(1)))).toBe('CommitUnknown')
        expect(await loaded()).toEqual(pointer)
      }
      expect(await catalog.swap(trades, pointer, at(1))).toBe(true)
    })

    it('that Glue refuses for now is Unavailable, tried once, and did not happen', async () => {
      const pointer = await base()
      faults.before('UpdateTable', throttled)
      expect(await outcome(catalog.swap(trades, pointer, at(1)))).toBe('Unavailable')
      expect(faults.count('UpdateTable')).toBe(1)
      expect(await loaded()).toEqual(pointer)
    })

    it('that could not look did not happen: Unavailable, without an update', async () => {
      const pointer = await base()
      faults.before('GetTable', serverError)
      expect(await outcome(catalog.swap(trades, pointer, at(1)))).toBe('Unavailable')
      expect(faults.count('UpdateTable')).toBe(0)
    })

    it('that cannot be until a person acts is a usage error, never unknown', async () => {
      const pointer = await base()
      const refusals = [
        denied,
        () => serviceError('InvalidInputException', 400),
        () => serviceError('ValidationException', 400),
        () => serviceError('GlueEncryptionException', 400),
        () => serviceError('ResourceNumberLimitExceededException', 400),
        () => serviceError('ExpiredTokenException', 400),
      ]
      for (const refusal of refusals) {
        faults.before('UpdateTable', refusal)
        expect(await outcome(catalog.swap(trades, pointer, at(1))), refusal().name).toBe('Usage')
      }
      expect(await loaded()).toEqual(pointer)
    })

    it('through a client that repeats its calls is refused before it begins', async () => {
      const pointer = await base()
      const repeating = glueClient(account, REPEATABLE)
      const wrong = openGlueCatalog({ client: repeating })
      expect(await outcome(wrong.swap(trades, pointer, at(1)))).toBe('Usage')
      expect(await outcome(wrong.create({ ...trades, name: 'b' }, at(1), DESCRIPTION))).toBe('Usage')
      expect(await wrong.load(trades)).toEqual(pointer)
      repeating.destroy()
    })
  })

  describe('a creation', () => {
    it('whose answer is lost is CommitUnknown, tried once, and a look shows the table', async () => {
      await base()
      for (const [i, lost] of [connectionReset, timedOut, serverError].entries()) {
        const id = { ...trades, name: `t${i}` }
        faults.clear()
        faults.after('CreateTable', lost)
        expect(await outcome(catalog.create(id, at(i), DESCRIPTION))).toBe('CommitUnknown')
        expect(faults.count('CreateTable')).toBe(1)
        expect((await catalog.load(id))?.metadataLocation).toBe(at(i))
        expect(await catalog.create(id, at(i), DESCRIPTION)).toBe(false)
      }
    })

    it('that meets another says what the other left behind', async () => {
      faults.before('CreateTable', () => serviceError('ConcurrentModificationException', 400))
      expect(await outcome(catalog.create(trades, at(0), DESCRIPTION))).toBe('Unavailable')
      await base()
      faults.before('CreateTable', () => serviceError('ConcurrentModificationException', 400))
      expect(await catalog.create(trades, at(1), DESCRIPTION)).toBe(false)
    })

    it('whose database cannot be made says so, and makes no table', async () => {
      faults.before('CreateDatabase', denied)
      await expect(catalog.create(trades, at(0), DESCRIPTION)).rejects.toMatchObject({
        kind: 'Usage',
        message: expect.stringMatching(/^Cannot create database trades in Glue: access denied.* Grant glue:CreateDatabase .*$/),
      })
      faults.before('CreateDatabase', serverError)
      expect(await outcome(catalog.create(trades, at(0), DESCRIPTION))).toBe('Unavailable')
      expect(faults.count('CreateTable')).toBe(2)
    })

    it('whose database another makes meanwhile goes on', async () => {
      const held = faults.hold('CreateDatabase')
      const creating = catalog.create(trades, at(0), DESCRIPTION)
      await held.reached
      const second = glueClient(account)
      await second.send(new CreateDatabaseCommand({ DatabaseInput: { Name: 'trades' } }))
      held.release()
      expect(await creating).toBe(true)
      second.destroy()
    })
  })

  describe('a read', () => {
    it('of a table or a database that is not there is no error', async () => {
      expect(await catalog.load(trades)).toBeUndefined()
      await base()
      expect(await catalog.load({ ...trades, name: 'none' })).toBeUndefined()
    })

    it('repeats itself through a client of the catalog’s own, unlike a write', async () => {
      // The faults of one client cannot reach another: so the peer itself is the fault.
      let calls = 0
      const server = createServer((socket) => {
        calls++
        socket.on('error', () => {})
        socket.destroy()
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const { port } = server.address() as { port: number }
      const own = openGlueCatalog({ ...account, endpoint: `http://127.0.0.1:${port}` })
      expect(await outcome(own.load(trades))).toBe('Unavailable')
      expect(calls).toBe(REPEATABLE.attempts)
      calls = 0
      expect(await outcome(own.create(trades, at(0), DESCRIPTION))).toBe('CommitUnknown')
      expect(calls).toBe(ONCE.attempts)
      own.close()
      server.close()
    })

    it('of a list goes through all pages of databases and tables', async () => {
      for (const namespace of ['a', 'b'])
        for (const name of ['t1', 't2', 't3']) await catalog.create({ namespace, name }, at(0), DESCRIPTION)
      // ministack knows no pages: each page's answer is cut out of the whole one here.
      const page = (field: string, from: number, to: number, next?: string) => (output: Record<string, unknown>) => ({
        [field]: (output[field] as unknown[]).slice(from, to),
        NextToken: next,
      })
      faults.answer('GetDatabases', page('DatabaseList', 0, 1, 'd2'))
      faults.answer('GetDatabases', page('DatabaseList', 1, 2), { where: (input) => input.NextToken === 'd2' })
      const inA = (token?: string) => (input: Record<string, unknown>) => input.DatabaseName === 'a' && input.NextToken === token
      faults.answer('GetTables', page('TableList', 0, 2, 't2'), { where: inA() })
      faults.answer('GetTables', page('TableList', 0, 0, 't3'), { where: inA('t2') })
      faults.answer('GetTables', page('TableList', 2, 3), { where: inA('t3') })
      const names = (await catalog.list()).map(({ namespace, name }) => `${namespace}.${name}`)
      expect(names).toEqual(['a.t1', 'a.t2', 'a.t3', 'b.t1', 'b.t2', 'b.t3'])
      expect(faults.count('GetDatabases')).toBe(2)
      expect(faults.count('GetTables')).toBe(4)
    })

    it('of a list passes over a database that is dropped meanwhile', async () => {
      await base()
      await catalog.create({ namespace: 'b', name: 't' }, at(0), DESCRIPTION)
      faults.before('GetTables', () => serviceError('EntityNotFoundException', 400), {
        where: ({ DatabaseName }) => DatabaseName === 'trades',
      })
      expect(await catalog.list()).toEqual([{ namespace: 'b', name: 't' }])
    })

    it('that is denied names the right that is missing', async () => {
      await base()
      const expected = {
        GetTable: ['Cannot read table trades.raw_trades in Glue', () => catalog.load(trades)],
        GetDatabases: ['Cannot list databases of Glue', () => catalog.list()],
        GetTables: ['Cannot list tables of database trades in Glue', () => catalog.list()],
      } as const
      for (const [command, [start, run]] of Object.entries(expected)) {
        faults.before(command, denied)
        await expect(run()).rejects.toMatchObject({
          kind: 'Usage',
          message: expect.stringMatching(new RegExp(`^${start}: access denied.* Grant glue:${command} .*\\.$`)),
        })
      }
    })
  })

  it('an update that names no version would win over everybody: ours always names one', async () => {
    const pointer = await base()
    await client.send(
      new UpdateTableCommand({
        DatabaseName: 'trades',
        TableInput: { Name: 'raw_trades', Parameters: { ...ICEBERG, metadata_location: at(7) } },
      }),
    )
    expect(await catalog.swap(trades, pointer, at(1))).toBe(false)
    expect((await loaded()).metadataLocation).toBe(at(7))
  })
})
