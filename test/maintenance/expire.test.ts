import { describe, expect, it } from 'vitest'
import { unavailable, usage } from '../../lib/errors.ts'
import { changeTable, type TablePorts } from '../../lib/iceberg/change.ts'
import { decideExpire } from '../../lib/iceberg/expire.ts'
import { serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { metadataLocation } from '../../lib/iceberg/paths.ts'
import { snapshotAsOf } from '../../lib/iceberg/scan.ts'
import type { SnapshotRef, TableMetadata } from '../../lib/iceberg/types.ts'
import { compactJob, previewCompaction } from '../../lib/maintenance/compact.ts'
import { expireSnapshots } from '../../lib/maintenance/expire.ts'
import { dropOldPartitions } from '../../lib/maintenance/retention.ts'
import type { ExpirePolicy } from '../../lib/pipeline/maintenance.ts'
import { DAY, EAGER, HOUR, NO_LIMITS, rowsOf, START, type TableWorld, tableWorld } from './world.ts'

const KEEP_ONE: ExpirePolicy = { keepMs: 0, retainLast: 1, thinAfterMs: undefined }
const sorted = (offsets: readonly number[]) => [...offsets].sort((a, b) => a - b)

/** Metadata changed by another engine: refs, statistics. */
const changed = (world: TableWorld, change: (base: TableMetadata) => TableMetadata) =>
  changeTable(world.ports, world.id, 'change', async ({ metadata: base }) => {
    const metadata = change(base)
    const location = metadataLocation(metadata, 99, world.ports.random.uuid())
    await world.ports.objects.put(location, [serializeMetadata(metadata)])
    return { verdict: 'Swap', to: { metadata, location }, result: undefined }
  })
const withRef = (world: TableWorld, name: string, ref: SnapshotRef) =>
  changed(world, (base) => ({ ...base, refs: { ...base.refs, [name]: ref } }))
const ids = async (world: TableWorld) => (await world.load()).metadata.snapshots.map((snapshot) => snapshot['snapshot-id'])

/** A commit each `everyMs`, the last one now. */
async function history(count: number, everyMs: number) {
  const world = await tableWorld()
  const made: bigint[] = []
  for (let i = 0; i < count; i++) {
    world.at(START + i * everyMs)
    made.push(...(await world.commits(rowsOf(i, 1))))
  }
  return { world, made }
}

describe('which snapshots expire', () => {
  const kept = async (world: TableWorld, policy: Partial<ExpirePolicy>, keep: ReadonlySet<bigint> = new Set()) => {
    const { metadata } = await world.load()
    const going = decideExpire(metadata, { ...KEEP_ONE, ...policy, nowMs: world.now(), keep })
    const gone = new Set(going.snapshots.map((snapshot) => snapshot['snapshot-id']))
    return metadata.snapshots.map((snapshot) => snapshot['snapshot-id']).filter((id) => !gone.has(id))
  }

  it('those older than they may become, but for the last so many', async () => {
    const { world, made } = await history(6, HOUR)
    expect(await kept(world, { keepMs: 2 * HOUR })).toEqual(made.slice(3))
    expect(await kept(world, { keepMs: 2 * HOUR, retainLast: 5 })).toEqual(made.slice(1))
    expect(await kept(world, {})).toEqual(made.slice(5))
  })

  it('of the older ones all but the last of each hour, where they are thinned', async () => {
    const { world, made } = await history(9, 20 * 60_000)
    const policy = { keepMs: DAY, thinAfterMs: 50 * 60_000 }
    // 12:00 12:20 [12:40] 13:00 13:20 [13:40] [14:00] [14:20] [14:40]
    expect(await kept(world, policy)).toEqual([2, 5, 6, 7, 8].map((i) => made[i]))
    expect(await kept(world, { ...policy, retainLast: 6 })).toEqual([2, 3, 4, 5, 6, 7, 8].map((i) => made[i]))
  })

  it('never what a tag names, a branch within its own ages, or what the caller keeps', async () => {
    const { world, made } = await history(6, HOUR)
    await withRef(world, 'audit', { 'snapshot-id': made[0], type: 'tag' })
    await withRef(world, 'old', { 'snapshot-id': made[2], type: 'branch', 'min-snapshots-to-keep': 2 })
    expect(await kept(world, {}, new Set([made[4]]))).toEqual([0, 1, 2, 4, 5].map((i) => made[i]))
  })

  it('a ref that is older than it may become goes, main never', async () => {
    const { world, made } = await history(4, HOUR)
    await withRef(world, 'audit', { 'snapshot-id': made[0], type: 'tag', 'max-ref-age-ms': HOUR })
    await withRef(world, 'main', { 'snapshot-id': made[3], type: 'branch', 'max-ref-age-ms': 1 })
    world.at(world.now() + DAY)
    const { metadata } = await world.load()
    const going = decideExpire(metadata, { ...KEEP_ONE, nowMs: world.now(), keep: new Set() })
    expect(going.refs).toEqual(['audit'])
    expect(going.snapshots.map((snapshot) => snapshot['snapshot-id'])).toEqual(made.slice(0, 3))
  })

  it('one that no branch leads to stays while it is young', async () => {
    const { world, made } = await history(4, HOUR)
    // Somebody rolled main back by two.
    await changed(world, (base) => {
      const main = { 'snapshot-id': made[1], type: 'branch' } as const
      return { ...base, 'current-snapshot-id': made[1], refs: { main } }
    })
    expect(await kept(world, { keepMs: 30 * 60_000 })).toEqual([made[1], made[3]])
  })
})

describe('expiry', () => {
  it('deletes what only the expired needed, and nothing else', async () => {
    const { world } = await history(5, HOUR)
    const { jobs } = await previewCompaction(world.ports, world.id, EAGER, NO_LIMITS, world.now())
    await compactJob(world.ports, jobs[0], EAGER, NO_LIMITS)
    world.at(world.now() + 1)
    const there = await world.locations()
    const preview = await expireSnapshots(world.ports, world.id, KEEP_ONE, world.now(), false)
    expect(await world.locations()).toEqual(there)
    const report = await expireSnapshots(world.ports, world.id, KEEP_ONE, world.now(), true)
    expect(report).toMatchObject({ expired: 5, kept: 1, refs: [], left: 0 })
    // Five data files, their manifests and the lists of five snapshots.
    expect([preview.files, report.files]).toEqual([15, 15])
    expect(await world.offsets()).toHaveLength(5)
    expect((await world.locations()).filter((location) => location.includes('frazil-'))).toEqual([])
  })

  it('expiry that removes files a tag still needs: it does not', async () => {
    const { world, made } = await history(5, HOUR)
    await withRef(world, 'audit', { 'snapshot-id': made[1], type: 'tag' })
    const { jobs } = await previewCompaction(world.ports, world.id, EAGER, NO_LIMITS, world.now())
    await compactJob(world.ports, jobs[0], EAGER, NO_LIMITS)
    await expireSnapshots(world.ports, world.id, KEEP_ONE, world.now(), true)
    expect(sorted(await world.offsets(made[1]))).toEqual([0, 1])
    expect(sorted(await world.offsets())).toEqual([0, 1, 2, 3, 4])
    await changed(world, ({ refs: { audit: _, ...refs }, ...base }) => ({ ...base, refs }))
    await expireSnapshots(world.ports, world.id, KEEP_ONE, world.now(), true)
    await expect(world.offsets(made[1])).rejects.toThrow('expected one of its snapshots')
    expect(sorted(await world.offsets())).toEqual([0, 1, 2, 3, 4])
  })

  it("keeps the newest snapshot of each pipeline's marker, below any number of others", async () => {
    const { world } = await history(2, HOUR)
    const property = 'frazil.trades.marker'
    const marked = await world.append([await world.write(rowsOf(10, 1))], { [property]: 'i1:7' }, { [property]: 'i1:7' })
    await world.commits(rowsOf(11, 1), rowsOf(12, 1))
    world.at(world.now() + 1)
    await expireSnapshots(world.ports, world.id, KEEP_ONE, world.now(), true)
    expect(await ids(world)).toHaveLength(2)
    expect(await ids(world)).toContain(marked)
  })

  it('deletes statistics with their snapshot', async () => {
    const { world, made } = await history(3, HOUR)
    const path = (id: bigint) => `memory://w/trades/raw_trades/metadata/${id}.stats`
    for (const id of made) await world.ports.objects.put(path(id), [new Uint8Array(1)])
    await changed(world, (base) => ({
      ...base,
      statistics: made.map((id) => ({ 'snapshot-id': id, 'statistics-path': path(id) })),
    }))
    await expireSnapshots(world.ports, world.id, KEEP_ONE, world.now(), true)
    expect((await world.load()).metadata.statistics).toEqual([{ 'snapshot-id': made[2], 'statistics-path': path(made[2]) }])
    expect((await world.locations()).filter((location) => location.endsWith('.stats'))).toEqual([path(made[2])])
  })

  it('goes on where another stopped after its swap', async () => {
    const { world } = await history(4, HOUR)
    const { objects } = world.ports
    const stopped: TablePorts = {
      ...world.ports,
      objects: { ...objects, delete: () => Promise.reject(new Error('killed')) },
    }
    await expect(expireSnapshots(stopped, world.id, KEEP_ONE, world.now(), true)).rejects.toThrow('killed')
    expect(await ids(world)).toHaveLength(1)
    const report = await expireSnapshots(world.ports, world.id, KEEP_ONE, world.now(), true)
    expect(report).toMatchObject({ expired: 0, files: 3, left: 0 })
    expect((await world.locations()).filter((location) => /snap-|frazil-/.test(location))).toHaveLength(1)
  })

  it('tries again what the store would not delete', async () => {
    const { world } = await history(3, HOUR)
    const { objects } = world.ports
    let refusals = 1
    const flaky: TablePorts = {
      ...world.ports,
      objects: {
        ...objects,
        delete: (location) =>
          refusals-- > 0 ? Promise.reject(unavailable('Cannot delete: slow down.')) : objects.delete(location),
      },
    }
    expect(await expireSnapshots(flaky, world.id, KEEP_ONE, world.now(), true)).toMatchObject({ files: 1, left: 1 })
    expect(await expireSnapshots(flaky, world.id, KEEP_ONE, world.now(), true)).toMatchObject({ expired: 0, left: 0 })
    expect((await world.locations()).filter((location) => /snap-|frazil-/.test(location))).toHaveLength(1)
  })

  it('a list that names live files deletes none of them', async () => {
    const { world } = await history(2, HOUR)
    const files = (await world.dataFiles()).map(({ filePath }) => ({ location: filePath, sizeBytes: null }))
    const { metadata } = await world.load()
    const list = { v: 1, table: metadata['table-uuid'], atMs: 0, files }
    const location = 'memory://w/trades/raw_trades/metadata/frazil-doomed-x.json'
    await world.ports.objects.put(location, [Buffer.from(JSON.stringify(list))])
    expect(await expireSnapshots(world.ports, world.id, { ...KEEP_ONE, keepMs: DAY }, world.now(), true)).toMatchObject({
      files: 0,
    })
    expect(await world.offsets()).toHaveLength(2)
  })

  it('obeys no list of another table, and goes on past one that cannot be read', async () => {
    const { world } = await history(3, HOUR)
    const stray = 'memory://w/other/data/live.parquet'
    await world.ports.objects.put(stray, [new Uint8Array(1)])
    const list = (name: string) => `memory://w/trades/raw_trades/metadata/frazil-doomed-${name}.json`
    const foreign = { v: 1, table: 'another', atMs: 0, files: [{ location: stray, sizeBytes: null }] }
    await world.ports.objects.put(list('a'), [Buffer.from(JSON.stringify(foreign))])
    await world.ports.objects.put(list('b'), [Buffer.from('{"v":1,"ta')])
    world.at(world.now() + 2 * DAY)
    expect(await expireSnapshots(world.ports, world.id, KEEP_ONE, world.now(), true)).toMatchObject({
      expired: 2,
      files: 2,
      left: 0,
    })
    expect(await world.locations(stray)).toEqual([stray])
    expect((await world.locations()).filter((location) => location.includes('frazil-'))).toEqual([list('a')])
  })

  it('goes on with others when a file may not be deleted, and does not try for ever', async () => {
    const { world } = await history(3, HOUR)
    const { objects } = world.ports
    const denied: TablePorts = {
      ...world.ports,
      objects: {
        ...objects,
        delete: (location) =>
          location.includes('snap-') ? Promise.reject(usage('Cannot delete: access denied.')) : objects.delete(location),
      },
    }
    world.at(world.now() + 1)
    expect(await expireSnapshots(denied, world.id, KEEP_ONE, world.now(), true)).toMatchObject({ expired: 2, files: 0, left: 2 })
    world.at(world.now() + 2 * DAY)
    await expireSnapshots(denied, world.id, KEEP_ONE, world.now(), true)
    expect((await world.locations()).filter((location) => location.includes('frazil-'))).toEqual([])
  })

  it('leaves to the next call what it has no time for', async () => {
    const { world } = await history(3, HOUR)
    world.at(world.now() + 1)
    const hasTime = () => false
    expect(await expireSnapshots(world.ports, world.id, KEEP_ONE, world.now(), true, hasTime)).toMatchObject({
      files: 0,
      left: 2,
    })
    expect(await expireSnapshots(world.ports, world.id, KEEP_ONE, world.now(), true)).toMatchObject({ files: 2, left: 0 })
  })

  it('keeps the history of the snapshots that stay: an older time is the last one kept before it', async () => {
    const { world, made } = await history(9, 20 * 60_000)
    await expireSnapshots(world.ports, world.id, { keepMs: DAY, retainLast: 1, thinAfterMs: HOUR }, world.now(), true)
    const { metadata } = await world.load()
    expect(metadata['snapshot-log'].map((entry) => entry['snapshot-id'])).toEqual(await ids(world))
    expect(snapshotAsOf(metadata, START + 65 * 60_000)).toBe(made[2])
    expect(snapshotAsOf(metadata, START)).toBeUndefined()
  })
})

describe('retention', () => {
  const old = { keepMs: 2 * DAY, column: 'event_time' }

  it('drops partitions that ended long enough ago, as one snapshot, and counts their rows', async () => {
    const world = await tableWorld()
    await world.commits(...[0, 1, 2, 3].map((day) => rowsOf(day * 10, 3, START + day * DAY)))
    world.at(START + 3 * DAY)
    const preview = await dropOldPartitions(world.ports, world.id, old, world.now(), false)
    expect(preview).toMatchObject({ partitions: ['event_time_day=2026-02-16'], files: 1, rows: 3 })
    expect(sorted(await world.offsets())).toHaveLength(12)
    expect(await dropOldPartitions(world.ports, world.id, old, world.now(), true)).toEqual(preview)
    expect(sorted(await world.offsets())).toEqual([10, 11, 12, 20, 21, 22, 30, 31, 32])
    const { metadata } = await world.load()
    expect(metadata.properties['frazil.dropped-rows']).toBe('3')
    expect(metadata.snapshots.at(-1)?.summary).toMatchObject({
      operation: 'delete',
      'deleted-records': '3',
      'total-records': '9',
    })
    world.at(START + 4 * DAY)
    await dropOldPartitions(world.ports, world.id, old, world.now(), true)
    expect((await world.load()).metadata.properties['frazil.dropped-rows']).toBe('6')
  })

  it('keeps a partition to its last moment, and rows without a time', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 2))
    const file = await world.write(rowsOf(2, 2))
    await world.append([{ ...file, partition: [null] }])
    const midnight = START + DAY / 2
    expect(await dropOldPartitions(world.ports, world.id, old, midnight + 2 * DAY - 1, true)).toMatchObject({ files: 0 })
    expect(await dropOldPartitions(world.ports, world.id, old, midnight + 2 * DAY, true)).toMatchObject({ files: 1, rows: 2 })
    expect(await world.offsets()).toEqual([2, 3])
  })
})
