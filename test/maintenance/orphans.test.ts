import { describe, expect, it } from 'vitest'
import { changeTable } from '../../lib/iceberg/change.ts'
import { createTable, newTable } from '../../lib/iceberg/create.ts'
import { replaceFiles } from '../../lib/iceberg/replace.ts'
import { expireSnapshots } from '../../lib/maintenance/expire.ts'
import { type OrphanOptions, sweepOrphans } from '../../lib/maintenance/orphans.ts'
import { compactFileName, dataFileName } from '../../lib/protocol/names.ts'
import { tradesPlan } from '../iceberg/fixtures.ts'
import { DAY, rowsOf, START, type TableWorld, tableWorld } from './world.ts'

const ROOT = 'memory://w/trades/raw_trades'
const UUID = '00000000-1111-4222-8333-444444444444'
const marker = (n: number) => ({ 'frazil.trades.marker': `i1:${n}` })

const sweep = async (world: TableWorld, options: Partial<OrphanOptions> = {}) =>
  sweepOrphans(world.ports, world.id, {
    olderThanMs: 3 * DAY,
    quarantineMs: DAY,
    nowMs: world.now(),
    apply: true,
    logsOf: async () => undefined,
    others: await world.ports.catalog.list(),
    ...options,
  })
const stray = async (world: TableWorld, name: string) => {
  const location = `${ROOT}/${name}`
  await world.ports.objects.put(location, [new Uint8Array(7)])
  return location
}
const names = (files: readonly { readonly location: string }[]) => files.map(({ location }) => location.slice(ROOT.length + 1))

describe('orphans', () => {
  it('go onto a list once they are old, and from there a day later', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 3))
    const there = await stray(world, 'data/lost.parquet')
    expect(await sweep(world)).toMatchObject({ found: [], needed: 5, listed: 6, young: 1, own: 0 })
    world.at(START + 3 * DAY)
    expect(names((await sweep(world)).found)).toEqual(['data/lost.parquet'])
    expect(await world.locations()).toContain(there)
    world.at(START + 4 * DAY - 1)
    expect(await sweep(world)).toMatchObject({ found: [], waiting: 1, deleted: [] })
    world.at(START + 4 * DAY)
    expect(names((await sweep(world)).deleted)).toEqual(['data/lost.parquet'])
    expect(await world.locations()).not.toContain(there)
    expect((await world.locations()).filter((location) => location.includes('frazil-'))).toEqual([])
    expect(await world.offsets()).toEqual([0, 1, 2])
    expect((await world.load()).metadata.properties['frazil.fence']).toBe('1')
    expect(await sweep(world)).toMatchObject({ found: [], waiting: 0, deleted: [], left: 0 })
  })

  it('are only named without apply', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 3))
    await stray(world, 'data/lost.parquet')
    world.at(START + 3 * DAY)
    const there = await world.locations()
    const report = await sweep(world, { apply: false, quarantineMs: 0 })
    expect(names(report.found)).toEqual(['data/lost.parquet'])
    expect(await world.locations()).toEqual(there)
    expect((await world.load()).metadata.properties['frazil.fence']).toBeUndefined()
  })

  it('that are in a table again when their time comes stay', async () => {
    const world = await tableWorld()
    const file = await world.write(rowsOf(0, 3))
    world.at(START + 3 * DAY)
    expect((await sweep(world)).found).toHaveLength(1)
    // A slow commit of another engine.
    await world.append([file])
    world.at(START + 4 * DAY)
    expect(await sweep(world)).toMatchObject({ deleted: [] })
    expect(await world.offsets()).toEqual([0, 1, 2])
  })

  it('are not what an older snapshot, a log of metadata or a list of ours names, nor hidden files', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 3), rowsOf(3, 3))
    await changeTable(world.ports, world.id, 'delete from', async ({ metadata, pointer }) => {
      const remove = new Set([(await world.dataFiles())[0].filePath])
      const { objects, random } = world.ports
      const base = { metadata, metadataLocation: pointer.metadataLocation, objects, random, nowMs: START }
      const to = await replaceFiles({ ...base, operation: 'delete', remove, add: [], summary: {}, properties: {} })
      return { verdict: 'Swap', to, result: undefined }
    })
    await stray(world, '_SUCCESS')
    await stray(world, 'data/.part')
    await stray(world, 'metadata/frazil-doomed-1.json')
    world.at(START + 30 * DAY)
    expect((await sweep(world)).found).toEqual([])
    await expireSnapshots(
      { ...world.ports, objects: { ...world.ports.objects, list: async function* () {} } },
      world.id,
      { keepMs: 0, retainLast: 1, thinAfterMs: undefined },
      world.now(),
      true,
    )
    // That expiry saw no list, as if it had crashed: its files are found here, the data file among them.
    const found = names((await sweep(world)).found)
    expect(found.filter((name) => name.startsWith('data/'))).toHaveLength(1)
    expect(found.length).toBeGreaterThan(3)
  })

  it('orphan cleanup with a different URI scheme: it refuses', async () => {
    const world = await tableWorld()
    const file = await world.write(rowsOf(0, 3))
    await world.append([{ ...file, filePath: file.filePath.replace('memory://', 's3a://') }])
    world.at(START + 30 * DAY)
    await expect(sweep(world)).rejects.toMatchObject({ kind: 'Refused', message: expect.stringContaining('s3a://') })
    expect(await world.locations()).toContain(file.filePath)
  })

  it('are not looked for where another table puts its data', async () => {
    const world = await tableWorld()
    const { objects, catalog, random } = world.ports
    const properties = { 'write.data.path': `${ROOT}/elsewhere` }
    const location = 'memory://w/trades/agg'
    const metadata = newTable({ uuid: UUID, location, plan: tradesPlan, properties, nowMs: START })
    await createTable({ catalog, objects, random, id: { namespace: 'trades', name: 'agg' }, metadata })
    await expect(sweep(world)).rejects.toThrow(`found those of trades.agg at ${ROOT}/elsewhere`)
  })

  it('are not looked for where another table lies inside', async () => {
    const world = await tableWorld({ location: 'memory://w/trades' })
    await world.ports.catalog.create({ namespace: 'trades', name: 'inner' }, 'memory://w/trades/inner/metadata/0.json', {
      location: 'memory://w/trades/inner',
      columns: [],
    })
    await expect(sweep(world)).rejects.toThrow('found those of trades.inner at memory://w/trades/inner/metadata')
  })
})

describe('data files of commits', () => {
  const written = (world: TableWorld, n: number) => stray(world, `data/${dataFileName(n, UUID)}`)
  const at = async (markerAt: number, ...files: number[]) => {
    const world = await tableWorld()
    await world.append([await world.write(rowsOf(0, 3))], marker(markerAt))
    for (const n of files) await written(world, n)
    world.at(START + 30 * DAY)
    return world
  }

  it('cleanup racing a slow commit: files of a checkpoint yet to come stay, however old', async () => {
    const world = await at(5, 6)
    const logsOf = async () => ({ last: 5, need: 5 })
    expect(await sweep(world, { logsOf })).toMatchObject({ found: [], undecided: 1 })
  })

  it('stay while the last checkpoint is not applied', async () => {
    const world = await at(5, 6)
    expect(await sweep(world, { logsOf: async () => ({ last: 6, need: 6 }) })).toMatchObject({ found: [], undecided: 1 })
  })

  it('go once another checkpoint took the number, or the table has passed it', async () => {
    const world = await at(5, 4, 6)
    const report = await sweep(world, { logsOf: async () => ({ last: 6, need: 5 }) })
    expect(names(report.found)).toEqual([`data/${dataFileName(4, UUID)}`, `data/${dataFileName(6, UUID)}`])
  })

  it('are left alone where logs are not at hand, but for those that the marker has passed', async () => {
    const world = await at(5, 4, 6)
    expect(await sweep(world)).toMatchObject({ found: [{ sizeBytes: 7 }], undecided: 1 })
  })

  it('are left alone where the logs mean a table of another uuid', async () => {
    const world = await at(5, 4)
    expect(await sweep(world, { logsOf: async () => 'another' })).toMatchObject({ found: [], undecided: 1 })
  })

  it('of a table without a marker are left alone: nobody knows whose they are', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 3))
    await written(world, 4)
    world.at(START + 30 * DAY)
    expect(await sweep(world)).toMatchObject({ found: [], undecided: 1 })
  })

  it('a file that a compaction wrote goes once its fence is passed', async () => {
    const world = await at(5)
    await stray(world, `data/${compactFileName(0, UUID)}`)
    await stray(world, `data/${compactFileName(3, UUID)}`)
    world.at(START + 60 * DAY)
    const first = await sweep(world, { quarantineMs: 0 })
    // One of a fence that the table has not reached is somebody's from a later life: nobody deletes it.
    expect(names(first.deleted)).toEqual([`data/${compactFileName(0, UUID)}`])
    expect(first.undecided).toBe(1)
  })
})
