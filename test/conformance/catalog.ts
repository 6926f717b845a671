import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Catalog, TableId, TablePointer } from '../../lib/ports/catalog.ts'
import { DESCRIPTION } from './description.ts'

export interface CatalogStore {
  readonly catalog: Catalog
  /** Another client of the same catalog. */
  second(): Promise<Catalog>
  /** The catalog as a new process finds it. */
  reopened(): Promise<Catalog>
  close(): Promise<void>
}

const trades: TableId = { namespace: 'trades', name: 'raw_trades' }
const at = (n: number) => `memory://w/trades/raw_trades/metadata/${n}.metadata.json`

export interface CatalogAbilities {
  /** Whether names may be of any characters. Where not, names that would not be kept as written are refused. @default true */
  readonly oddNames?: boolean
}

/** What every Catalog adapter must do. */
export function describeCatalog(
  name: string,
  open: () => Promise<CatalogStore>,
  { oddNames = true }: CatalogAbilities = {},
): void {
  describe(`catalog conformance: ${name}`, () => {
    let store: CatalogStore
    let catalog: Catalog
    beforeEach(async () => {
      store = await open()
      catalog = store.catalog
    })
    afterEach(() => store.close())

    const loaded = async (id: TableId = trades, from: Catalog = catalog): Promise<TablePointer> => {
      const pointer = await from.load(id)
      if (pointer === undefined) throw new Error(`${id.name} is not there`)
      return pointer
    }

    it('a table that was never created is not there', async () => {
      expect(await catalog.load(trades)).toBeUndefined()
      expect(await catalog.list()).toEqual([])
    })

    it('a created table is loaded from where it was put', async () => {
      expect(await catalog.create(trades, at(0), DESCRIPTION)).toBe(true)
      expect((await loaded()).metadataLocation).toBe(at(0))
    })

    it('creating a table twice leaves the first one', async () => {
      await catalog.create(trades, at(0), DESCRIPTION)
      expect(await catalog.create(trades, at(1), DESCRIPTION)).toBe(false)
      expect((await loaded()).metadataLocation).toBe(at(0))
    })

    it('tables of one name in two namespaces are two tables', async () => {
      const other = { ...trades, namespace: 'ads' }
      await catalog.create(trades, at(0), DESCRIPTION)
      expect(await catalog.create(other, at(1), DESCRIPTION)).toBe(true)
      expect(await catalog.swap(trades, await loaded(), at(2))).toBe(true)
      expect((await loaded(other)).metadataLocation).toBe(at(1))
    })

    it('a swap against the current pointer replaces it and gives it another version', async () => {
      await catalog.create(trades, at(0), DESCRIPTION)
      const before = await loaded()
      expect(await catalog.swap(trades, before, at(1))).toBe(true)
      const after = await loaded()
      expect(after.metadataLocation).toBe(at(1))
      expect(after.version).not.toBe(before.version)
    })

    it('a swap may describe the table anew, and is a swap like any other', async () => {
      await catalog.create(trades, at(0), DESCRIPTION)
      const before = await loaded()
      const more = [...DESCRIPTION.columns, { id: 3, name: 'note', type: 'string', required: false }]
      expect(await catalog.swap(trades, before, at(1), { ...DESCRIPTION, columns: more })).toBe(true)
      expect((await loaded()).metadataLocation).toBe(at(1))
      expect(await catalog.swap(trades, before, at(2), DESCRIPTION)).toBe(false)
      expect((await loaded()).metadataLocation).toBe(at(1))
    })

    it('a swap against a stale pointer is lost and changes nothing', async () => {
      await catalog.create(trades, at(0), DESCRIPTION)
      const stale = await loaded()
      await catalog.swap(trades, stale, at(1))
      expect(await catalog.swap(trades, stale, at(2))).toBe(false)
      expect((await loaded()).metadataLocation).toBe(at(1))
    })

    it('the same swap made twice is lost the second time', async () => {
      await catalog.create(trades, at(0), DESCRIPTION)
      const base = await loaded()
      expect(await catalog.swap(trades, base, at(1))).toBe(true)
      expect(await catalog.swap(trades, base, at(1))).toBe(false)
    })

    it('a swap of a table that does not exist is lost and makes none', async () => {
      await catalog.create({ ...trades, name: 'other' }, at(0), DESCRIPTION)
      const pointer = await loaded({ ...trades, name: 'other' })
      expect(await catalog.swap(trades, pointer, at(1))).toBe(false)
      expect(await catalog.load(trades)).toBeUndefined()
    })

    it('of many swaps against one pointer exactly one wins, through two clients', async () => {
      await catalog.create(trades, at(0), DESCRIPTION)
      const second = await store.second()
      const base = await loaded()
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 ? catalog : second).swap(trades, base, at(i + 1))),
      )
      expect(results.filter(Boolean)).toHaveLength(1)
      expect((await loaded()).metadataLocation).toBe(at(results.indexOf(true) + 1))
    })

    it('of many creations of one table exactly one wins, through two clients', async () => {
      const second = await store.second()
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 ? catalog : second).create(trades, at(i), DESCRIPTION)),
      )
      expect(results.filter(Boolean)).toHaveLength(1)
      expect((await loaded()).metadataLocation).toBe(at(results.indexOf(true)))
    })

    it('what one client commits another sees at once', async () => {
      const second = await store.second()
      await catalog.create(trades, at(0), DESCRIPTION)
      await second.swap(trades, await loaded(trades, second), at(1))
      expect((await loaded()).metadataLocation).toBe(at(1))
    })

    it('tables survive the process that made them', async () => {
      await catalog.create(trades, at(0), DESCRIPTION)
      await catalog.swap(trades, await loaded(), at(1))
      const again = await store.reopened()
      expect((await loaded(trades, again)).metadataLocation).toBe(at(1))
    })

    it('lists all tables by namespace, then name', async () => {
      const names = { trades: ['raw_trades', 'agg_1m', 'Agg', 'agg_1'], ads: ['z', 'ä', '_'] }
      const kept = Object.entries(names).flatMap(([namespace, tables]) =>
        tables.filter((table) => oddNames || /^[a-z0-9_]+$/.test(table)).map((table) => ({ namespace, name: table })),
      )
      for (const id of kept) await catalog.create(id, at(0), DESCRIPTION)
      const listed = (await catalog.list()).map((id) => `${id.namespace}.${id.name}`)
      const sorted = ['ads._', 'ads.z', 'ads.ä', 'trades.Agg', 'trades.agg_1', 'trades.agg_1m', 'trades.raw_trades']
      expect(listed).toEqual(oddNames ? sorted : ['ads._', 'ads.z', 'trades.agg_1', 'trades.agg_1m', 'trades.raw_trades'])
    })

    it('locations are taken literally', async () => {
      const odd = `memory://w/it's %20 "there"`
      await catalog.create(trades, at(0), DESCRIPTION)
      await catalog.swap(trades, await loaded(), odd)
      expect((await loaded()).metadataLocation).toBe(odd)
    })

    const odd = { namespace: "o'd%d", name: 'a"b_%' }
    if (oddNames)
      it('names are taken literally', async () => {
        await catalog.create(odd, at(0), DESCRIPTION)
        expect((await loaded(odd)).metadataLocation).toBe(at(0))
        expect(await catalog.load({ namespace: "o'd%d", name: 'a"bX%' })).toBeUndefined()
      })
    else
      it('names that would not be kept as written are refused before anything is made', async () => {
        for (const id of [odd, { ...trades, namespace: 'Trades' }, { ...trades, name: 'RAW_TRADES' }, { ...trades, name: '' }])
          await expect(catalog.create(id, at(0), DESCRIPTION), id.name).rejects.toMatchObject({ kind: 'Usage' })
        expect(await catalog.list()).toEqual([])
      })
  })
}
