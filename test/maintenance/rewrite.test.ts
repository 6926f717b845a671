import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { changeTable } from '../../lib/iceberg/change.ts'
import { metadataLogOf } from '../../lib/iceberg/commit.ts'
import { serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { metadataLocation, nextVersion } from '../../lib/iceberg/paths.ts'
import { isOurOrder, sortByOf } from '../../lib/iceberg/schema.ts'
import { readSnapshot } from '../../lib/iceberg/snapshot.ts'
import type { SortOrder } from '../../lib/iceberg/types.ts'
import { compactJob, previewCompaction } from '../../lib/maintenance/compact.ts'
import { type CompactionLimits, planCompaction } from '../../lib/maintenance/plan-compaction.ts'
import { rewriteGroup } from '../../lib/maintenance/rewrite-group.ts'
import type { CompactPolicy } from '../../lib/pipeline/maintenance.ts'
import { EAGER, NO_LIMITS, type Row, rowsOf, START, type TableWorld, tableWorld } from './world.ts'

const MB = 2 ** 20
const sorted = (offsets: readonly number[]) => [...offsets].sort((a, b) => a - b)

async function compact(world: TableWorld, policy: CompactPolicy, limits: CompactionLimits = NO_LIMITS) {
  const preview = await previewCompaction(world.ports, world.id, policy, limits, world.now())
  for (const job of preview.jobs) await compactJob(world.ports, job, policy, limits)
  return preview
}

/** The first group of a plan, rewritten and not committed. */
async function rewritten(world: TableWorld, limits: CompactionLimits, policy: CompactPolicy = EAGER) {
  const table = await world.load()
  const snapshot = await readSnapshot(world.ports.objects, table.metadata)
  const { groups, targetFileBytes } = planCompaction(table.metadata, snapshot, policy, limits, world.now())
  return rewriteGroup({ ...world.ports, table, group: groups[0], targetFileBytes })
}

/** As another engine declares it. */
const orderBy = (world: TableWorld, order: Partial<SortOrder['fields'][number]>) =>
  changeTable(world.ports, world.id, 'alter', async ({ metadata, pointer }) => {
    const field = { transform: 'identity', 'source-id': 1, direction: 'asc', 'null-order': 'nulls-first', ...order } as const
    const next = {
      ...metadata,
      'sort-orders': [...metadata['sort-orders'], { 'order-id': 7, fields: [field] }],
      'default-sort-order-id': 7,
      'metadata-log': metadataLogOf(metadata, pointer.metadataLocation, metadata.properties),
    }
    const location = metadataLocation(next, nextVersion(pointer.metadataLocation), world.ports.random.uuid())
    await world.ports.objects.put(location, [serializeMetadata(next)])
    return { verdict: 'Swap', to: { location, metadata: next }, result: undefined }
  })

describe('a compaction after another', () => {
  it.each([
    ['small files', 0.05, 2],
    ['small files', 0.25, 5],
    ['more', 0.25, 2],
  ])('finds nothing to do: %s, target %d MB, %d files enough', async (_, targetMb, minInputFiles) => {
    const world = await tableWorld({ partitionBy: [] })
    await world.commits(...Array.from({ length: 8 }, (_, i) => rowsOf(i * 40_000, 40_000)))
    const policy = { ...EAGER, minInputFiles, targetFileBytes: targetMb * MB }
    await compact(world, policy)
    const files = await world.dataFiles()
    const small = files.filter(({ sizeBytes }) => sizeBytes < 0.75 * targetMb * MB)
    expect(small.length).toBeLessThan(2)
    expect((await compact(world, policy)).groups).toEqual([])
    expect(sorted(await world.offsets())).toHaveLength(320_000)
  })

  it('leaves a row that is larger than the target as it is, and splits rows of such a size once', async () => {
    const world = await tableWorld()
    const large = (offset: number): Row => ({ symbol: randomBytes(400_000).toString('hex'), timeMs: START, offset })
    await world.commits([large(1)], [large(2), large(3), large(4)])
    const policy = { ...EAGER, targetFileBytes: MB / 8 }
    expect((await compact(world, policy)).groups).toMatchObject([{ files: 1 }])
    expect(await world.dataFiles()).toHaveLength(4)
    expect((await compact(world, policy)).groups).toEqual([])
  })
})

describe('a group whose rows do not all fit', () => {
  // 8 bytes of each of five values.
  const rowBytes = 40

  it('becomes one of the files that do, and the rest waits for the next plan', async () => {
    const world = await tableWorld()
    await world.commits(...Array.from({ length: 5 }, (_, i) => rowsOf(i * 1000, 1000)))
    const limits = { ...NO_LIMITS, maxMemoryBytes: 3500 * rowBytes }
    const result = await rewritten(world, limits)
    expect(result?.group.files).toHaveLength(3)
    expect(result?.group.bytes).toBe(result?.group.files.reduce((sum, { file }) => sum + file.sizeBytes, 0))
    await compact(world, EAGER, limits)
    expect(await world.dataFiles()).toHaveLength(3)
    expect(sorted(await world.offsets())).toHaveLength(5000)
  })

  it('gives up when no two do', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 1000), rowsOf(1000, 1000))
    for (const rows of [500, 1500])
      await expect(rewritten(world, { ...NO_LIMITS, maxMemoryBytes: rows * rowBytes })).rejects.toThrow('too large for memory')
  })

  it('leaves out what takes more than half of the memory by itself', async () => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 900), rowsOf(900, 300), rowsOf(1200, 300))
    const result = await rewritten(world, { ...NO_LIMITS, maxMemoryBytes: 1000 * rowBytes }, { ...EAGER, minInputFiles: 3 })
    expect(result?.group.files.map(({ file }) => file.recordCount)).toEqual([300, 300])
    expect(result?.skipped).toEqual([])
  })

  it('is rewritten file by file where rows stay as they come', async () => {
    const world = await tableWorld({ sortBy: [] })
    await world.commits(rowsOf(0, 1000), rowsOf(1000, 1000))
    const result = await rewritten(world, { ...NO_LIMITS, maxMemoryBytes: 1000 * rowBytes })
    expect(result?.group.files).toHaveLength(2)
  })

  it('counts strings as long as they are once one file spells them out', async () => {
    const world = await tableWorld()
    const long = 'x'.repeat(1000)
    const coded = Array.from({ length: 1000 }, (_, i): Row => ({ symbol: `${long}${i % 2}`, timeMs: START, offset: i }))
    const plain = Array.from({ length: 10 }, (_, i): Row => ({ symbol: `${i}`, timeMs: START, offset: 2000 + i }))
    await world.commits(coded, coded)
    const limits = { ...NO_LIMITS, maxMemoryBytes: MB / 2 }
    expect((await rewritten(world, limits))?.group.files).toHaveLength(2)
    await world.commits(plain)
    expect((await rewritten(world, limits))?.group.files).toHaveLength(2)
    expect((await rewritten(world, { ...limits, maxMemoryBytes: 4 * MB }))?.group.files).toHaveLength(3)
  })
})

describe('a file that cannot be read', () => {
  it.each([
    ['in its footer', (bytes: Uint8Array) => bytes.slice(0, 100)],
    ['in its pages', (bytes: Uint8Array) => bytes.fill(0xaa, 5, 60)],
  ])('is skipped and told, damaged %s', async (_, damage) => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 400), rowsOf(400, 400), rowsOf(800, 400))
    const [, { filePath }] = await world.dataFiles()
    const bytes = await world.ports.objects.get(filePath)
    await world.ports.objects.put(filePath, [damage(Uint8Array.from(bytes ?? []))])
    const result = await rewritten(world, NO_LIMITS)
    expect(result?.skipped).toEqual([{ location: filePath, why: expect.stringContaining('Cannot read Parquet'), damaged: true }])
    expect(result?.group.files.map(({ file }) => file.filePath)).not.toContain(filePath)
    expect(result?.added.map(({ recordCount }) => recordCount)).toEqual([800])
  })

  it('is left out though rows of it were taken before', async () => {
    const world = await tableWorld({ sortBy: [] })
    const file = await world.write(rowsOf(400, 400))
    await world.commits(rowsOf(0, 400))
    // Another file than the manifest says: that is seen after its last row.
    await world.append([{ ...file, recordCount: 399 }])
    await world.commits(rowsOf(800, 400))
    const result = await rewritten(world, NO_LIMITS)
    expect(result?.skipped).toMatchObject([{ location: file.filePath }])
    expect(result?.added.map(({ recordCount }) => recordCount)).toEqual([800])
  })
})

describe('a sort order that we cannot produce', () => {
  it.each([
    ['a transform', { transform: 'bucket[4]' }],
    ['nulls elsewhere', { 'source-id': 4, 'null-order': 'nulls-last' }],
  ] as const)('by %s is not claimed: files are packed, or left alone when told to sort', async (_, order) => {
    const world = await tableWorld()
    await world.commits(rowsOf(0, 5), rowsOf(5, 5))
    await orderBy(world, order)
    const told = await previewCompaction(world.ports, world.id, { ...EAGER, strategy: 'sort' }, NO_LIMITS, world.now())
    expect(told).toMatchObject({ groups: [], leftAlone: [{ files: 2, why: 'sort order' }] })
    expect((await compact(world, EAGER)).groups).toMatchObject([{ files: 2, sorted: false }])
    expect((await world.dataFiles()).map(({ sortOrderId }) => sortOrderId)).toEqual([undefined])
  })

  it('is refused by who would write in it, but for a column without nulls', async () => {
    const { metadata } = await (await tableWorld()).load()
    const [schema] = metadata.schemas
    const order = (id: number): SortOrder => ({
      'order-id': 7,
      fields: [{ transform: 'identity', 'source-id': id, direction: 'asc', 'null-order': 'nulls-last' }],
    })
    const optional = schema.fields.find(({ required }) => !required)?.id ?? 0
    expect(() => sortByOf(order(optional), schema)).toThrow('nulls-last')
    expect(isOurOrder(order(optional), schema)).toBe(false)
    expect(isOurOrder(order(99), schema)).toBe(false)
    const required = schema.fields.find((field) => field.required)
    expect(sortByOf(order(required?.id ?? 0), schema)).toEqual([{ column: required?.name, direction: 'asc' }])
  })
})
