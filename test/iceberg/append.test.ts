import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { appendFiles } from '../../lib/iceberg/append.ts'
import { createTable } from '../../lib/iceberg/create.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { DELETES_MANIFEST } from '../../lib/iceberg/manifest.ts'
import { readManifestList, writeManifestList } from '../../lib/iceberg/manifest-list.ts'
import { currentSnapshot, parseMetadata, serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { nextVersion, objectLocation } from '../../lib/iceberg/paths.ts'
import { loadTable, metadataCache, planFiles, snapshotAsOf, snapshots } from '../../lib/iceberg/scan.ts'
import { manifestsOf } from '../../lib/iceberg/snapshot.ts'
import type { Objects } from '../../lib/ports/objects.ts'
import { fileOf, NOW, seededRandom, tradesId, tradesMetadata, tradesPlan, tradesTable } from './fixtures.ts'

type Table = Awaited<ReturnType<typeof tradesTable>>
interface Commit {
  files?: DataFile[]
  nowMs?: number
  summary?: Record<string, string>
  properties?: Record<string, string>
}

async function prepare({ objects, random, load }: Table, { files = [], nowMs = NOW, summary = {}, properties = {} }: Commit) {
  const table = await load()
  const next = await appendFiles({
    metadata: table.metadata,
    metadataLocation: table.pointer.metadataLocation,
    objects,
    random,
    nowMs,
    files,
    summary,
    properties,
  })
  return { table, next }
}

async function commit(at: Table, what: Commit) {
  const { table, next } = await prepare(at, what)
  if (!(await at.catalog.swap(tradesId, table.pointer, next.location))) throw new Error('lost the swap')
  return next
}

const paths = async ({ objects, load }: Table, snapshotId?: bigint) =>
  (await planFiles(objects, (await load()).metadata, snapshotId)).map(({ file }) => file.filePath.split('/').at(-1)).sort()
const locations = async (objects: Objects) => {
  const found: string[] = []
  for await (const { location } of objects.list('memory://')) found.push(location)
  return found
}

describe('a table just created', () => {
  it('is empty and loads as it was made', async () => {
    const table = await tradesTable()
    const { metadata, pointer } = await table.load()
    expect(metadata).toEqual(tradesMetadata())
    expect(pointer.metadataLocation).toMatch(/^memory:\/\/w\/trades\/raw_trades\/metadata\/00000-[0-9a-f-]{36}\.metadata\.json$/)
    expect(await planFiles(table.objects, metadata)).toEqual([])
    expect([snapshots(metadata), snapshotAsOf(metadata, NOW)]).toEqual([[], undefined])
  })

  it('is not made twice', async () => {
    const { catalog, objects, random, load } = await tradesTable()
    expect(
      await createTable({ catalog, objects, random, id: tradesId, metadata: { ...tradesMetadata(), 'table-uuid': 'other' } }),
    ).toBe(false)
    expect((await load()).metadata['table-uuid']).toBe(tradesMetadata()['table-uuid'])
  })

  it('whose metadata file is gone is Corrupt', async () => {
    const { objects, load } = await tradesTable()
    for (const location of await locations(objects)) await objects.delete(location)
    await expect(load()).rejects.toMatchObject({ kind: 'Corrupt' })
  })
})

describe('append', () => {
  it('shows nothing before the swap, and everything after', async () => {
    const table = await tradesTable()
    const { next, table: base } = await prepare(table, { files: [fileOf('a', 1)], properties: { marker: '1' } })
    expect(await paths(table)).toEqual([])
    expect((await table.load()).metadata.properties.marker).toBeUndefined()
    await table.catalog.swap(tradesId, base.pointer, next.location)
    expect(await paths(table)).toEqual(['a.parquet'])
    expect((await table.load()).metadata).toEqual(next.metadata)
    expect(next.metadata.properties.marker).toBe('1')
  })

  it('gives files back as they went in, with the sequence numbers of their commits', async () => {
    const table = await tradesTable()
    const [a, b, c] = [fileOf('a', 1), fileOf('b', -3), fileOf('c', null)]
    const first = await commit(table, { files: [a, b] })
    const second = await commit(table, { files: [c] })
    const read = await planFiles(table.objects, (await table.load()).metadata)
    const [one, two] = [first, second].map(({ metadata }) => metadata['current-snapshot-id'])
    expect(read.toSorted((x, y) => (x.file.filePath < y.file.filePath ? -1 : 1))).toEqual([
      { file: a, sequenceNumber: 1n, fileSequenceNumber: 1n, snapshotId: one },
      { file: b, sequenceNumber: 1n, fileSequenceNumber: 1n, snapshotId: one },
      { file: c, sequenceNumber: 2n, fileSequenceNumber: 2n, snapshotId: two },
    ])
  })

  it('carries earlier manifests over unchanged and writes one of its own', async () => {
    const table = await tradesTable()
    const first = currentSnapshot((await commit(table, { files: [fileOf('a', 1)] })).metadata)
    const second = currentSnapshot((await commit(table, { files: [fileOf('b', 1), fileOf('c', 2)] })).metadata)
    const [before, after] = [await manifestsOf(table.objects, first!), await manifestsOf(table.objects, second!)]
    expect(after).toHaveLength(2)
    expect(after[1]).toEqual(before[0])
    expect(after[0]).toMatchObject({ addedFiles: 2, addedRows: 20, sequenceNumber: 2n, addedSnapshotId: second?.['snapshot-id'] })
    expect(await table.objects.size(after[0].path)).toBe(after[0].sizeBytes)
  })

  it('chains snapshots by parent, sequence number and metadata log', async () => {
    const table = await tradesTable()
    const created = (await table.load()).pointer.metadataLocation
    const first = await commit(table, { files: [fileOf('a', 1)] })
    const second = await commit(table, { files: [fileOf('b', 1)] })
    const { metadata } = await table.load()
    const [one, two] = snapshots(metadata)
    expect([one.parent, two.parent, one.sequenceNumber, two.sequenceNumber]).toEqual([undefined, one.id, 1n, 2n])
    expect([one.current, two.current, two.operation]).toEqual([false, true, 'append'])
    expect(metadata['metadata-log'].map((entry) => entry['metadata-file'])).toEqual([created, first.location])
    expect(metadata['snapshot-log'].map((entry) => entry['snapshot-id'])).toEqual([one.id, two.id])
    expect(metadata.refs.main).toEqual({ 'snapshot-id': two.id, type: 'branch' })
    expect(second.location).toMatch(/\/metadata\/00002-[0-9a-f-]{36}\.metadata\.json$/)
  })

  it('names its files as Iceberg does', async () => {
    const table = await tradesTable()
    const { metadata } = await commit(table, { files: [fileOf('a', 1)] })
    const id = metadata['current-snapshot-id']
    const names = (await locations(table.objects))
      .map((location) => location.replace('memory://w/trades/raw_trades/metadata/', ''))
      .sort()
    expect(names[0]).toMatch(/^00000-.*\.metadata\.json$/)
    expect(names[1]).toMatch(/^00001-.*\.metadata\.json$/)
    expect(names.filter((name) => /^[0-9a-f-]{36}-m0\.avro$/.test(name))).toHaveLength(1)
    expect(names.filter((name) => new RegExp(`^snap-${id}-1-[0-9a-f-]{36}\\.avro$`).test(name))).toHaveLength(1)
  })

  it('sums up what it added and what the table now holds', async () => {
    const table = await tradesTable()
    await commit(table, { files: [fileOf('a', 1), fileOf('b', 1), fileOf('c', 2, 5)], summary: { marker: 'x:1' } })
    await commit(table, { files: [fileOf('d', null, 7)], summary: { 'total-records': 'lies', operation: 'delete' } })
    const [one, two] = snapshots((await table.load()).metadata)
    expect(one.summary).toEqual({
      marker: 'x:1',
      operation: 'append',
      'added-data-files': '3',
      'added-records': '25',
      'added-files-size': '2500',
      'changed-partition-count': '2',
      'total-records': '25',
      'total-files-size': '2500',
      'total-data-files': '3',
      'total-delete-files': '0',
      'total-position-deletes': '0',
      'total-equality-deletes': '0',
    })
    expect(two.summary).toMatchObject({
      operation: 'append',
      'added-records': '7',
      'total-records': '32',
      'total-data-files': '4',
      'total-files-size': '3200',
    })
  })

  it('leaves totals out that the parent did not know', async () => {
    const table = await tradesTable()
    const { table: base, next } = await prepare(table, { files: [fileOf('a', 1)] })
    const silent = {
      ...next.metadata,
      snapshots: next.metadata.snapshots.map((s) => ({ ...s, summary: { operation: 'append' } })),
    }
    const after = await appendFiles({
      metadata: silent,
      metadataLocation: next.location,
      objects: table.objects,
      random: table.random,
      nowMs: NOW,
      files: [fileOf('b', 1)],
      summary: {},
      properties: {},
    })
    expect(base.metadata.snapshots).toEqual([])
    expect(Object.keys(currentSnapshot(after.metadata)?.summary ?? {})).not.toContain('total-records')
  })

  it('without files still adds a snapshot, with the same files and new properties', async () => {
    const table = await tradesTable()
    const empty = await commit(table, { properties: { marker: '1' } })
    expect(snapshots(empty.metadata)[0].summary).toMatchObject({
      operation: 'append',
      'changed-partition-count': '0',
      'total-records': '0',
    })
    expect(snapshots(empty.metadata)[0].summary['added-data-files']).toBeUndefined()
    await commit(table, { files: [fileOf('a', 1)], properties: { marker: '2' } })
    await commit(table, { properties: { marker: '3' } })
    const { metadata } = await table.load()
    expect([snapshots(metadata).length, metadata.properties.marker, await paths(table)]).toEqual([3, '3', ['a.parquet']])
  })

  it('never goes back in time, whatever the clock says', async () => {
    const table = await tradesTable()
    await commit(table, { nowMs: NOW + 1000 })
    await commit(table, { nowMs: NOW - 5000 })
    await commit(table, { nowMs: NOW + 2000 })
    const { metadata } = await table.load()
    expect(snapshots(metadata).map((s) => s.timestampMs)).toEqual([NOW + 1000, NOW + 1000, NOW + 2000])
    expect(metadata['last-updated-ms']).toBe(NOW + 2000)
  })

  it('two appends to one base: one swap wins, the other is prepared again and loses nothing', async () => {
    const table = await tradesTable()
    const mine = await prepare(table, { files: [fileOf('mine', 1)] })
    await commit(table, { files: [fileOf('theirs', 1)] })
    expect(await table.catalog.swap(tradesId, mine.table.pointer, mine.next.location)).toBe(false)
    expect(await paths(table)).toEqual(['theirs.parquet'])
    await commit(table, { files: [fileOf('mine', 1)] })
    expect(await paths(table)).toEqual(['mine.parquet', 'theirs.parquet'])
  })

  it('one manifest per partition spec, for a table whose partitions changed', async () => {
    const table = await tradesTable()
    const { metadata, pointer } = await table.load()
    const evolved = {
      ...metadata,
      'partition-specs': [...metadata['partition-specs'], { 'spec-id': 1, fields: [] }],
      'default-spec-id': 1,
    }
    const files = [fileOf('a', 1), fileOf('b', 1, 10, { specId: 1, partition: [] })]
    const next = await appendFiles({
      metadata: evolved,
      metadataLocation: pointer.metadataLocation,
      objects: table.objects,
      random: table.random,
      nowMs: NOW,
      files,
      summary: {},
      properties: {},
    })
    expect((await manifestsOf(table.objects, currentSnapshot(next.metadata)!)).map((m) => m.specId)).toEqual([0, 1])
    expect((await planFiles(table.objects, next.metadata)).map(({ file }) => file)).toEqual(files)
    expect(currentSnapshot(next.metadata)?.summary['changed-partition-count']).toBe('2')
  })

  it('snapshot ids are positive, 63 bits wide and never taken twice', async () => {
    const table = await tradesTable()
    for (let i = 0; i < 20; i++) await commit(table, {})
    const ids = snapshots((await table.load()).metadata).map((s) => s.id)
    expect(new Set(ids).size).toBe(20)
    expect(ids.every((id) => id > 0n && id < 2n ** 63n)).toBe(true)
    expect(ids.some((id) => id > 2n ** 53n)).toBe(true)
    const sameAgain = seededRandom()
    const once = await appendFiles({
      metadata: tradesMetadata(),
      metadataLocation: '',
      objects: table.objects,
      random: sameAgain,
      nowMs: NOW,
      files: [],
      summary: {},
      properties: {},
    })
    const again = await appendFiles({
      metadata: once.metadata,
      metadataLocation: '',
      objects: table.objects,
      random: seededRandom(),
      nowMs: NOW,
      files: [],
      summary: {},
      properties: {},
    })
    expect(new Set(snapshots(again.metadata).map((s) => s.id)).size).toBe(2)
  })

  it('any history of commits reads back as the files it added, at each snapshot', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.option(fc.integer({ min: -1000, max: 30000 })), { maxLength: 4 }), { maxLength: 6 }),
        async (history) => {
          const table = await tradesTable()
          const expected: string[][] = []
          const ids: bigint[] = []
          for (const [c, days] of history.entries()) {
            const files = days.map((day, f) => fileOf(`${c}-${f}`, day))
            ids.push((await commit(table, { files })).metadata['current-snapshot-id']!)
            expected.push([...(expected.at(-1) ?? []), ...files.map((file) => file.filePath.split('/').at(-1)!)].sort())
          }
          for (const [c, id] of ids.entries()) expect(await paths(table, id)).toEqual(expected[c])
        },
      ),
      { numRuns: 30 },
    )
  })
})

describe('the metadata cache', () => {
  it('spares reading what was read, and never hides a swap', async () => {
    const { catalog, objects, load } = await tradesTable()
    const cache = metadataCache()
    const read = () => loadTable(catalog, objects, tradesId, cache)
    const first = await read()
    await objects.delete(first!.pointer.metadataLocation)
    expect((await read())?.metadata).toBe(first?.metadata)
    await expect(load()).rejects.toMatchObject({ kind: 'Corrupt' })
    const next = { ...first!.metadata, properties: { swapped: 'yes' } }
    await objects.put('memory://w/next.metadata.json', [serializeMetadata(next)])
    await catalog.swap(tradesId, first!.pointer, 'memory://w/next.metadata.json')
    expect((await read())?.metadata).toEqual(next)
  })

  it('keeps as many files as it may, those last used', () => {
    const cache = metadataCache(2)
    const metadata = tradesMetadata()
    for (const location of ['a', 'b', 'a', 'c']) if (cache.get(location) === undefined) cache.set(location, metadata)
    expect(['a', 'b', 'c'].map((location) => cache.get(location) !== undefined)).toEqual([true, false, true])
  })
})

describe('scan', () => {
  it('finds the snapshot of a time by the log', async () => {
    const table = await tradesTable()
    for (const nowMs of [NOW + 10, NOW + 20]) await commit(table, { nowMs })
    const { metadata } = await table.load()
    const [one, two] = snapshots(metadata).map((s) => s.id)
    expect([NOW + 9, NOW + 10, NOW + 19, NOW + 20, NOW + 999].map((ms) => snapshotAsOf(metadata, ms))).toEqual([
      undefined,
      one,
      one,
      two,
      two,
    ])
  })

  it('refuses a snapshot that the table does not have', async () => {
    const table = await tradesTable()
    await expect(paths(table, 5n)).rejects.toMatchObject({ kind: 'Refused' })
  })

  it('refuses a snapshot with delete files', async () => {
    const table = await tradesTable()
    const { metadata } = await commit(table, { files: [fileOf('a', 1)] })
    const list = currentSnapshot(metadata)!['manifest-list']
    const manifests = readManifestList((await table.objects.get(list))!, list)
    const withDeletes = [...manifests, { ...manifests[0], content: DELETES_MANIFEST }]
    await table.objects.put(list, [
      writeManifestList({
        snapshotId: 1n,
        parentSnapshotId: undefined,
        sequenceNumber: 1n,
        manifests: withDeletes,
        sync: new Uint8Array(16),
      }),
    ])
    await expect(paths(table)).rejects.toMatchObject({ kind: 'Refused', message: expect.stringContaining('delete files') })
  })

  it('a missing manifest or manifest list is Corrupt, never an empty table', async () => {
    for (const gone of [/-m0\.avro$/, /snap-/]) {
      const table = await tradesTable()
      await commit(table, { files: [fileOf('a', 1)] })
      for (const location of await locations(table.objects)) if (gone.test(location)) await table.objects.delete(location)
      await expect(paths(table)).rejects.toMatchObject({ kind: 'Corrupt' })
    }
  })

  it('takes the locations of engines on Hadoop for what they are', () => {
    expect(objectLocation('file:/w/a%20b')).toBe('file:///w/a%20b')
    for (const same of ['file:///w/a', 's3://b/file:/x', 'memory://x']) expect(objectLocation(same)).toBe(same)
  })

  it('numbers metadata files after those of other engines', () => {
    expect(
      ['file:/w/metadata/00012-abc.metadata.json', 'x/v7.metadata.json', 'x/00099-a.gz.metadata.json', 'x/other.json', ''].map(
        nextVersion,
      ),
    ).toEqual([13, 8, 100, 0, 0])
  })

  it('keeps a table without partitions apart by nothing', async () => {
    const table = await tradesTable({ ...tradesPlan, partitionBy: [], sortBy: [] })
    const file = fileOf('a', 0, 10, { partition: [], sortOrderId: undefined })
    await commit(table, { files: [file] })
    const { metadata } = await table.load()
    expect((await planFiles(table.objects, metadata))[0].file).toEqual(file)
    expect(
      parseMetadata((await table.objects.get((await table.load()).pointer.metadataLocation))!)['default-sort-order-id'],
    ).toBe(0)
  })
})
