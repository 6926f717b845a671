import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { appendFiles } from '../../lib/iceberg/append.ts'
import { parseMetadata, serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { planFiles, snapshots } from '../../lib/iceberg/scan.ts'
import { manifestsOf } from '../../lib/iceberg/snapshot.ts'
import type { TableMetadata } from '../../lib/iceberg/types.ts'
import { memoryObjects } from '../../lib/ports/memory/objects.ts'
import type { Objects } from '../../lib/ports/objects.ts'
import { fileOf, NOW, seededRandom } from './fixtures.ts'

/**
 * foreign/ is a table as other programs left it: Spark 4.1.4 with Iceberg 1.12.0 made it (partitioned by day, bucket,
 * truncate and a boolean), inserted three rows, deleted the one before 1970, inserted one, dropped the truncate field; then
 * PyIceberg 0.12.0 appended two rows.
 */
const dir = join(import.meta.dirname, 'foreign')
let objects: Objects
let metadata: TableMetadata

beforeAll(async () => {
  objects = memoryObjects()
  for (const name of readdirSync(dir))
    await objects.put(`file:///warehouse/ns/t/metadata/${name}`, [readFileSync(join(dir, name))])
  metadata = parseMetadata(readFileSync(join(dir, 'table.metadata.json')))
})

const tuples = async (snapshotId?: bigint) =>
  (await planFiles(objects, metadata, snapshotId)).map(({ file, sequenceNumber }) => [
    sequenceNumber,
    file.specId,
    file.partition,
    file.recordCount,
  ])

describe('a table written by Spark and PyIceberg', () => {
  it('keeps its metadata, byte for byte in meaning', () => {
    const text = readFileSync(join(dir, 'table.metadata.json'), 'utf8')
    const digits = (json: string) => json.match(/\d{16,}/g)?.sort()
    expect(digits(new TextDecoder().decode(serializeMetadata(metadata)))).toEqual(digits(text))
    expect(JSON.parse(new TextDecoder().decode(serializeMetadata(metadata)))).toEqual({ ...JSON.parse(text) })
  })

  it('lists its live files with their tuples and sequence numbers, at each snapshot', async () => {
    const [inserted, deleted, again, byPyiceberg] = snapshots(metadata)
    const [btc, eth, sol] = [
      [1n, 0, [19737, 2, 'BT', true], 1],
      [1n, 0, [-1, 0, 'ET', null], 1],
      [1n, 0, [19754, 1, 'SO', false], 1],
    ]
    const ada = [3n, 0, [19783, 3, 'AD', false], 1]
    expect([inserted.operation, deleted.operation, again.operation, byPyiceberg.operation]).toEqual([
      'append',
      'delete',
      'append',
      'append',
    ])
    expect(await tuples(inserted.id)).toEqual(expect.arrayContaining([btc, eth, sol]))
    expect(await tuples(deleted.id)).toHaveLength(2)
    expect(await tuples(deleted.id)).toEqual(expect.arrayContaining([btc, sol]))
    expect(await tuples(again.id)).toEqual(expect.arrayContaining([btc, sol, ada]))
    const now = await tuples()
    expect(now).toHaveLength(5)
    expect(now).toEqual(expect.arrayContaining([btc, sol, ada, [4n, 1, [19783, 3, false], 1], [4n, 1, [19754, 1, false], 1]]))
  })

  it('names its files as the Objects port does', async () => {
    for (const { file } of await planFiles(objects, metadata))
      expect(file.filePath).toMatch(/^file:\/\/\/warehouse\/ns\/t\/data\/event_time_day=/)
  })

  it('takes an append of ours, which leaves its manifests as they were', async () => {
    const before = await manifestsOf(objects, metadata.snapshots.at(-1)!)
    const file = fileOf('ours', 1, 10, { specId: 1, partition: [1, 2, true] })
    const next = await appendFiles({
      metadata,
      metadataLocation: 'file:///warehouse/ns/t/metadata/00005-x.metadata.json',
      objects,
      random: seededRandom(),
      nowMs: NOW,
      files: [file],
      summary: {},
      properties: {},
    })
    expect((await manifestsOf(objects, next.metadata.snapshots.at(-1)!)).slice(1)).toEqual(before)
    expect(await planFiles(objects, next.metadata)).toHaveLength(6)
    expect(next.metadata.snapshots.at(-1)).toMatchObject({
      'sequence-number': 5n,
      'parent-snapshot-id': metadata['current-snapshot-id'],
    })
    expect(next.metadata.snapshots.at(-1)?.summary['total-records']).toBe(
      String(Number(metadata.snapshots.at(-1)?.summary['total-records']) + 10),
    )
    expect(next.location).toMatch(/^file:\/\/\/warehouse\/ns\/t\/metadata\/00006-/)
  })
})
