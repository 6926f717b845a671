import { describe, expect, it } from 'vitest'
import { commitUnknown } from '../../lib/errors.ts'
import { changeTable, type TablePorts } from '../../lib/iceberg/change.ts'
import { withProperties } from '../../lib/iceberg/commit.ts'
import { CONTENT_EQUALITY_DELETES } from '../../lib/iceberg/data-file.ts'
import { currentSnapshot, serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { metadataLocation } from '../../lib/iceberg/paths.ts'
import { replaceFiles } from '../../lib/iceberg/replace.ts'
import { hasLiveFiles, manifestsOf, readSnapshot } from '../../lib/iceberg/snapshot.ts'
import { compactJob, mergeManifests, previewCompaction } from '../../lib/maintenance/compact.ts'
import { FENCE_PROPERTY } from '../../lib/maintenance/fence.ts'
import { limitsOf } from '../../lib/maintenance/limits.ts'
import { planCompaction } from '../../lib/maintenance/plan-compaction.ts'
import type { CompactPolicy } from '../../lib/pipeline/maintenance.ts'
import { fileOf } from '../iceberg/fixtures.ts'
import { DAY, deletesFor, EAGER, HOUR, NO_LIMITS, rowsOf, START, type TableWorld, tableWorld } from './world.ts'

const MB = 1 << 20
const sorted = (offsets: readonly number[]) => [...offsets].sort((a, b) => a - b)

async function compact(world: TableWorld, policy: CompactPolicy = EAGER, ports: TablePorts = world.ports) {
  const { jobs } = await previewCompaction(world.ports, world.id, policy, NO_LIMITS, world.now())
  const reports = []
  for (const job of jobs) reports.push(await compactJob(ports, job, policy, NO_LIMITS))
  return reports
}

/** A plan over files that are only described: sizes in MB, all of one day. */
async function plannedSizes(sizes: readonly number[], policy: Partial<CompactPolicy> = {}, limits = NO_LIMITS) {
  const world = await tableWorld()
  const { metadata } = await world.load()
  const data = sizes.map((size, i) => ({
    file: { ...fileOf(`f${i}`, 20_500), sizeBytes: size * MB },
    sequenceNumber: BigInt(i + 1),
    fileSequenceNumber: BigInt(i + 1),
    snapshotId: 1n,
  }))
  const plan = planCompaction(metadata, { data, deletes: [] }, { ...EAGER, minInputFiles: 5, ...policy }, limits, world.now())
  return plan.groups.map(({ files }) => files.map(({ file }) => file.sizeBytes / MB))
}

describe('the plan of a compaction', () => {
  it('takes files below three quarters of the target, once there are enough of them', async () => {
    expect(await plannedSizes([10, 10, 10, 10, 10, 400, 512])).toEqual([[10, 10, 10, 10, 10]])
    expect(await plannedSizes([10, 10, 10, 10])).toEqual([])
  })

  it('takes fewer when they make a whole file', async () => {
    expect(await plannedSizes([200, 200, 200])).toEqual([[200, 200, 200]])
  })

  it('takes none that would not become fewer', async () => {
    expect(await plannedSizes([300, 300])).toEqual([])
    expect(await plannedSizes([380, 380, 380, 380, 380], { minInputFiles: 2 })).toEqual([[380, 380, 380, 380, 380]])
    expect(await plannedSizes([380, 380, 380], { minInputFiles: 2 })).toEqual([])
  })

  it('leaves out a file that is larger than all others together', async () => {
    expect(await plannedSizes([200, 10, 10, 10, 10, 10])).toEqual([[10, 10, 10, 10, 10]])
    expect(await plannedSizes([40, 10, 10, 10, 10, 10])).toEqual([[40, 10, 10, 10, 10, 10]])
    expect(await plannedSizes([200, 10, 10])).toEqual([])
  })

  it('splits a file that is far too large', async () => {
    expect(await plannedSizes([1000])).toEqual([[1000]])
    expect(await plannedSizes([900])).toEqual([])
  })

  it('takes groups that memory cuts below the number of files that are enough, and the rest of them later', async () => {
    const limits = limitsOf(2048)
    const groups = await plannedSizes(Array(100).fill(80), {}, limits)
    expect(groups.map((group) => group.length)).toEqual(Array(24).fill(4))
    expect(await plannedSizes(Array(4).fill(80), {}, limits)).toEqual([])
    // What they become takes more than half of a group: memory has no room for two.
    expect(await plannedSizes(Array(25).fill(320), {}, limits)).toEqual([])
    expect(await plannedSizes(Array(50).fill(175), {}, limits)).toEqual([])
  })

  it('takes small files between those that are as large as memory lets them be', async () => {
    const limits = { maxGroupBytes: 100 * MB, maxGroupValues: 2 ** 40 }
    expect(await plannedSizes([70, 5, 70, 5, 70, 5, 70, 5, 70, 5], {}, limits)).toEqual([[5, 5, 5, 5, 5]])
  })

  it('cuts groups where memory ends, and leaves alone what would not fit by itself', async () => {
    const limits = { maxGroupBytes: 100 * MB, maxGroupValues: 2 ** 40 }
    expect(await plannedSizes([30, 30, 30, 30, 30, 30], { minInputFiles: 3 }, limits)).toEqual([
      [30, 30, 30],
      [30, 30, 30],
    ])
    expect(await plannedSizes([1000], {}, limits)).toEqual([])
  })

  it('is the same again for the same snapshot and time', async () => {
    const world = await tableWorld()
    await world.commits(...Array.from({ length: 6 }, (_, i) => rowsOf(i * 10, 10, START + (i % 2) * DAY)))
    const { metadata } = await world.load()
    const snapshot = await readSnapshot(world.ports.objects, metadata)
    const plan = () => planCompaction(metadata, snapshot, EAGER, NO_LIMITS, world.now())
    expect(plan()).toEqual(plan())
    expect(plan().groups.map(({ partition, files }) => [partition, files.length])).toEqual([
      [[20_500], 3],
      [[20_501], 3],
    ])
  })

  it('waits until nothing came into a partition for a while', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 5), rowsOf(5, 5))
    const policy = { ...EAGER, hot: false, coldAfterMs: HOUR }
    const groupsAt = async (ms: number) => (await previewCompaction(world.ports, world.id, policy, NO_LIMITS, ms)).groups.length
    expect(await groupsAt(START + HOUR - 1)).toBe(0)
    expect(await groupsAt(START + HOUR)).toBe(1)
    world.at(START + HOUR)
    await world.commits(rowsOf(10, 5))
    expect(await groupsAt(START + HOUR)).toBe(0)
  })

  it('judges files by themselves in a table that is not partitioned by time', async () => {
    const world = await tableWorld({ partitionBy: [] })
    await world.commits(rowsOf(0, 5), rowsOf(5, 5))
    world.at(START + HOUR)
    await world.commits(rowsOf(10, 5))
    const policy = { ...EAGER, hot: false, coldAfterMs: HOUR }
    const { groups } = await previewCompaction(world.ports, world.id, policy, NO_LIMITS, START + HOUR)
    expect(groups).toMatchObject([{ partition: '', files: 2 }])
  })
})

describe('compaction', () => {
  it('makes one sorted file of many, with every row once, and says that it is sorted', async () => {
    const world = await tableWorld()
    const lists = [rowsOf(0, 7), rowsOf(7, 7), rowsOf(14, 7)]
    await world.commits(...lists)
    const [report] = await compact(world)
    expect(report).toMatchObject({ filesBefore: 3, filesAfter: 1, gaveUp: [], more: false })
    const bySymbolThenLatest = lists
      .flat()
      .sort((a, b) => (a.symbol < b.symbol ? -1 : a.symbol > b.symbol ? 1 : b.timeMs - a.timeMs))
    expect(await world.offsets()).toEqual(bySymbolThenLatest.map(({ offset }) => offset))
    expect((await world.dataFiles()).map(({ sortOrderId }) => sortOrderId)).toEqual([1])
  })

  it('packs files as they come where the table has no order, and declares none', async () => {
    const world = await tableWorld({ sortBy: [] })
    await world.commits(rowsOf(0, 3), rowsOf(3, 3))
    await compact(world)
    expect(await world.offsets()).toEqual([0, 1, 2, 3, 4, 5])
    expect((await world.dataFiles()).map(({ sortOrderId }) => sortOrderId)).toEqual([undefined])
  })

  it('is a snapshot of operation replace that keeps totals and properties', async () => {
    const world = await tableWorld()
    await world.append([await world.write(rowsOf(0, 4))], { 'frazil.trades.marker': 'i1:3' })
    await world.append([await world.write(rowsOf(4, 4))])
    await compact(world)
    const { metadata } = await world.load()
    expect(currentSnapshot(metadata)?.summary).toMatchObject({
      operation: 'replace',
      'added-data-files': '1',
      'deleted-data-files': '2',
      'added-records': '8',
      'deleted-records': '8',
      'total-records': '8',
      'total-data-files': '1',
    })
    expect(metadata.properties['frazil.trades.marker']).toBe('i1:3')
  })

  it('gives new files the sequence number of the snapshot it read, so that later deletes still concern them', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 4), rowsOf(4, 4))
    const { jobs } = await previewCompaction(world.ports, world.id, EAGER, NO_LIMITS, START)
    await world.commits(rowsOf(8, 4))
    await compactJob(world.ports, jobs[0], EAGER, NO_LIMITS)
    const { data } = await readSnapshot(world.ports.objects, (await world.load()).metadata)
    expect(data.map((one) => [one.sequenceNumber, one.fileSequenceNumber]).sort()).toEqual([
      [2n, 4n],
      [3n, 3n],
    ])
  })

  it('keeps what was appended meanwhile', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 4), rowsOf(4, 4))
    const { jobs } = await previewCompaction(world.ports, world.id, EAGER, NO_LIMITS, START)
    await world.commits(rowsOf(8, 4), rowsOf(12, 4))
    await compactJob(world.ports, jobs[0], EAGER, NO_LIMITS)
    expect(sorted(await world.offsets())).toEqual(Array.from({ length: 16 }, (_, i) => i))
    expect(await world.dataFiles()).toHaveLength(3)
  })

  it('does a job once however often it is called', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 4), rowsOf(4, 4))
    const { jobs } = await previewCompaction(world.ports, world.id, EAGER, NO_LIMITS, START)
    await compactJob(world.ports, jobs[0], EAGER, NO_LIMITS)
    const files = await world.dataFiles()
    const there = await world.locations()
    const again = await compactJob(world.ports, jobs[0], EAGER, NO_LIMITS)
    expect(again).toMatchObject({
      filesBefore: 0,
      gaveUp: [{ files: 2, why: 'its files were replaced or deleted', unreadable: false }],
    })
    expect(await world.dataFiles()).toEqual(files)
    expect(await world.locations()).toEqual(there)
  })

  it('gives up a group one of whose files somebody deleted, and deletes what it wrote', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 4), rowsOf(4, 4))
    const { jobs } = await previewCompaction(world.ports, world.id, EAGER, NO_LIMITS, START)
    const [gone] = await world.dataFiles()
    await changeTable(world.ports, world.id, 'delete from', async ({ metadata, pointer }) => {
      const options = { metadata, metadataLocation: pointer.metadataLocation, objects: world.ports.objects }
      const to = await replaceFiles({
        ...options,
        random: world.ports.random,
        nowMs: START,
        operation: 'delete',
        remove: new Set([gone.filePath]),
        add: [],
        summary: {},
        properties: {},
      })
      return { verdict: 'Swap', to, result: undefined }
    })
    const [left] = await world.dataFiles()
    const report = await compactJob(world.ports, jobs[0], EAGER, NO_LIMITS)
    expect(report.gaveUp).toMatchObject([{ files: 2, why: 'its files were replaced or deleted' }])
    expect(await world.dataFiles()).toEqual([left])
    expect((await world.locations()).filter((location) => location.includes('/compact-'))).toEqual([])
  })

  it('leaves partitions with delete files alone, and says so', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 4), rowsOf(4, 4), rowsOf(8, 4, START + DAY), rowsOf(12, 4, START + DAY))
    const [first] = await world.dataFiles()
    const day = (await world.dataFiles()).find(({ partition }) => partition[0] === 20_500) ?? first
    await world.commitDeletes([deletesFor(day, 'memory://w/trades/raw_trades/data/d.parquet')])
    const preview = await previewCompaction(world.ports, world.id, EAGER, NO_LIMITS, START)
    expect(preview.leftAlone).toEqual([{ partition: 'event_time_day=2026-02-16', files: 2, why: 'delete files' }])
    expect(preview.groups).toMatchObject([{ partition: 'event_time_day=2026-02-17', files: 2 }])
    await compact(world)
    const { deletes, data } = await readSnapshot(world.ports.objects, (await world.load()).metadata)
    expect([deletes.length, data.length]).toEqual([1, 3])
  })

  it('takes equality deletes of an unpartitioned spec for ones of every partition, but not of younger rows', async () => {
    const world = await tableWorld({ partitionBy: [] })
    await world.commits(rowsOf(0, 4), rowsOf(4, 4))
    const [file] = await world.dataFiles()
    const location = 'memory://w/trades/raw_trades/data/e.parquet'
    await world.commitDeletes([{ ...deletesFor(file, location), content: CONTENT_EQUALITY_DELETES, equalityIds: [5] }])
    const preview = () => previewCompaction(world.ports, world.id, EAGER, NO_LIMITS, START)
    expect((await preview()).leftAlone).toMatchObject([{ files: 2, why: 'delete files' }])
  })

  it('gives up a group that a delete concerns which came while it was rewritten', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 4), rowsOf(4, 4))
    const { jobs } = await previewCompaction(world.ports, world.id, EAGER, NO_LIMITS, START)
    const files = await world.dataFiles()
    await world.commitDeletes([deletesFor(files[0], 'memory://w/trades/raw_trades/data/d.parquet')])
    const report = await compactJob(world.ports, jobs[0], EAGER, NO_LIMITS)
    expect(report.gaveUp).toMatchObject([{ why: 'new deletes concern its files' }])
    expect((await world.dataFiles()).map(({ filePath }) => filePath)).toEqual(files.map(({ filePath }) => filePath))
  })

  it('gives up when orphans were swept meanwhile: what it wrote may be gone', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 4), rowsOf(4, 4))
    const { jobs } = await previewCompaction(world.ports, world.id, EAGER, NO_LIMITS, START)
    const { objects, random } = world.ports
    // The sweep comes between the rewrite and its commit.
    const put = objects.put.bind(objects)
    let swept = false
    const racing: TablePorts = {
      ...world.ports,
      objects: {
        ...objects,
        put: async (location, parts) => {
          await put(location, parts)
          if (swept || !location.includes('/compact-')) return
          swept = true
          await changeTable(world.ports, world.id, 'fence', async ({ metadata: base, pointer }) => {
            const metadata = withProperties(base, pointer.metadataLocation, { [FENCE_PROPERTY]: '1' }, START)
            const to = { metadata, location: metadataLocation(metadata, 9, random.uuid()) }
            await put(to.location, [serializeMetadata(metadata)])
            return { verdict: 'Swap', to, result: undefined }
          })
        },
      },
    }
    const report = await compactJob(racing, jobs[0], EAGER, NO_LIMITS)
    expect(report.gaveUp).toMatchObject([{ why: 'orphans were swept meanwhile' }])
    expect(await world.dataFiles()).toHaveLength(2)
  })

  it('knows its own success when the answer to its swap was lost', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 4), rowsOf(4, 4))
    const { catalog } = world.ports
    let lost = 0
    const ports: TablePorts = {
      ...world.ports,
      catalog: {
        ...catalog,
        swap: async (...args) => {
          await catalog.swap(...args)
          if (lost++ === 0) throw commitUnknown('Cannot swap: expected an answer, found none.')
          return false
        },
      },
    }
    const [report] = await compact(world, EAGER, ports)
    expect(report).toMatchObject({ filesBefore: 2, filesAfter: 1, gaveUp: [] })
    expect(sorted(await world.offsets())).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(lost).toBe(1)
  })

  it('leaves a group with a damaged file alone, says why, and goes on with others', async () => {
    const world = await tableWorld()
    const nextDay = START + DAY
    await world.commits(rowsOf(0, 4), rowsOf(4, 4), rowsOf(8, 4, nextDay), rowsOf(12, 4, nextDay))
    const damaged = (await world.dataFiles()).find(({ partition }) => partition[0] === 20_500)
    await world.ports.objects.put(damaged?.filePath ?? '', [new Uint8Array(100)])
    const [report] = await compact(world)
    expect(report).toMatchObject({
      filesBefore: 2,
      filesAfter: 1,
      gaveUp: [{ partition: 'event_time_day=2026-02-16', files: 2, unreadable: true, damaged: true }],
    })
    expect(report.gaveUp[0].why).toContain('Cannot read Parquet')
    expect(await world.dataFiles()).toHaveLength(3)
  })

  it('tells a file that was lost from one that others let go of', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 4), rowsOf(4, 4))
    const [{ filePath }] = await world.dataFiles()
    await world.ports.objects.delete(filePath)
    const [report] = await compact(world)
    expect(report).toMatchObject({ filesBefore: 0, gaveUp: [{ files: 2, unreadable: true, damaged: true }] })
    expect(report.gaveUp[0].why).toBe(
      `Cannot compact ${filePath}: expected the file that the table names, found none. Restore the file.`,
    )
  })

  it('tells how many manifests the table had before its first commit and has after its last', async () => {
    const world = await tableWorld()
    const days = [0, 1].map((day) => START + day * DAY)
    await world.commits(...days.flatMap((day, i) => [rowsOf(i * 8, 4, day), rowsOf(i * 8 + 4, 4, day)]))
    const { jobs } = await previewCompaction(world.ports, world.id, EAGER, NO_LIMITS, START)
    const { manifests } = await compactJob(world.ports, jobs[0], EAGER, NO_LIMITS)
    const current = currentSnapshot((await world.load()).metadata)
    const live = current === undefined ? [] : (await manifestsOf(world.ports.objects, current)).filter(hasLiveFiles)
    expect(manifests).toEqual({ before: 4, after: live.length })
    expect((await compactJob(world.ports, jobs[0], EAGER, NO_LIMITS)).manifests).toBeUndefined()
  })

  it('stops between groups when time is up, and the next plan has the rest', async () => {
    const world = await tableWorld()
    await world.commits(
      ...[0, 1].flatMap((day) => [rowsOf(day * 8, 4, START + day * DAY), rowsOf(day * 8 + 4, 4, START + day * DAY)]),
    )
    const { jobs } = await previewCompaction(world.ports, world.id, EAGER, NO_LIMITS, START)
    let calls = 0
    expect(await compactJob(world.ports, jobs[0], EAGER, NO_LIMITS, () => calls++ === 0)).toMatchObject({
      filesBefore: 2,
      more: true,
    })
    expect((await compact(world)).map(({ filesBefore }) => filesBefore)).toEqual([2])
    expect(await world.dataFiles()).toHaveLength(2)
    expect(await compact(world)).toEqual([])
  })

  it('splits what it writes at the target size', async () => {
    const world = await tableWorld({ properties: { 'write.parquet.compression-codec': 'uncompressed' } })
    await world.commits(...Array.from({ length: 4 }, (_, i) => rowsOf(i * 5000, 5000)))
    await compact(world, { ...EAGER, targetFileBytes: (1 * MB) / 4 })
    const files = await world.dataFiles()
    expect(files.length).toBeGreaterThan(1)
    expect(sorted(await world.offsets())).toEqual(Array.from({ length: 20_000 }, (_, i) => i))
  })
})

describe('merging manifests', () => {
  it('makes few of many, in order of partitions, without changing files or rows', async () => {
    const world = await tableWorld()
    await world.commits(...Array.from({ length: 60 }, (_, i) => rowsOf(i, 1, START + (i % 3) * DAY)))
    const before = await world.dataFiles()
    expect(await mergeManifests(world.ports, world.id)).toEqual({ before: 60, after: 1 })
    const after = await world.dataFiles()
    expect(after.map(({ filePath }) => filePath).sort()).toEqual(before.map(({ filePath }) => filePath).sort())
    expect(after.map(({ partition }) => partition[0])).toEqual([
      ...Array(20).fill(20_500),
      ...Array(20).fill(20_501),
      ...Array(20).fill(20_502),
    ])
    expect(await mergeManifests(world.ports, world.id)).toEqual({ before: 1, after: 1 })
  })

  it('waits until they are many, unless told', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 1), rowsOf(1, 1))
    expect(await mergeManifests(world.ports, world.id)).toEqual({ before: 2, after: 2 })
    expect(await mergeManifests(world.ports, world.id, true)).toEqual({ before: 2, after: 1 })
    const { metadata } = await world.load()
    const snapshot = currentSnapshot(metadata)
    const manifests = snapshot === undefined ? [] : await manifestsOf(world.ports.objects, snapshot)
    expect(manifests.filter(hasLiveFiles)).toMatchObject([{ existingFiles: 2, addedFiles: 0, existingRows: 2 }])
  })

  it('is done when it was told to, though somebody else commits first', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 1), rowsOf(1, 1))
    const { catalog } = world.ports
    let lost = 0
    const swap: typeof catalog.swap = async (...args) => {
      if (lost++ === 0) await world.commits(rowsOf(2, 1))
      return catalog.swap(...args)
    }
    const ports = { ...world.ports, catalog: { ...catalog, swap } }
    expect(await mergeManifests(ports, world.id, true)).toEqual({ before: 3, after: 1 })
  })

  it('is done once when the answer to its swap was lost', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 1), rowsOf(1, 1))
    const { catalog } = world.ports
    const swap: typeof catalog.swap = async (...args) => {
      await catalog.swap(...args)
      throw commitUnknown('Cannot swap: expected an answer, found none.')
    }
    const ports = { ...world.ports, catalog: { ...catalog, swap } }
    expect(await mergeManifests(ports, world.id, true)).toEqual({ before: 2, after: 1 })
    expect((await world.load()).metadata.snapshots).toHaveLength(3)
  })
})
