import { describe, expect, it } from 'vitest'
import { appendFiles } from '../../lib/iceberg/append.ts'
import { badlyClustered, wideManifests } from '../../lib/iceberg/clustering.ts'
import { ADDED, DATA_MANIFEST, DELETES_MANIFEST } from '../../lib/iceberg/manifest.ts'
import { type ManifestFile, manifestFile } from '../../lib/iceberg/manifest-list.ts'
import { currentSchema, currentSnapshot, specById } from '../../lib/iceberg/metadata.ts'
import { replaceFiles } from '../../lib/iceberg/replace.ts'
import { manifestsOf } from '../../lib/iceberg/snapshot.ts'
import type { TableMetadata } from '../../lib/iceberg/types.ts'
import { fileOf, NOW, tradesMetadata, tradesPlan, tradesTable } from './fixtures.ts'

/** A manifest of two files, of the first and the last day. */
function manifest(first: number, last: number, content = DATA_MANIFEST): ManifestFile {
  const metadata = tradesMetadata()
  const entries = [first, last].map((day, i) => {
    return { status: ADDED, snapshotId: 1n, sequenceNumber: null, fileSequenceNumber: null, file: fileOf(`f${i}`, day) }
  })
  const of = { path: 'm', sizeBytes: 1, schema: currentSchema(metadata), spec: specById(metadata, 0), entries, content }
  return manifestFile({ ...of, snapshotId: 1n, sequenceNumber: 1n })
}
const manifests = (count: number, first: number, last: number) => Array.from({ length: count }, () => manifest(first, last))

describe('manifests are badly clustered', () => {
  it('when more than ten that cover several days overlap', () => {
    expect(badlyClustered(tradesMetadata(), manifests(10, 3, 9))).toBe(false)
    expect(badlyClustered(tradesMetadata(), manifests(11, 3, 9))).toBe(true)
    expect(badlyClustered(tradesMetadata(), [...manifests(6, 3, 9), ...manifests(5, 9, 12)])).toBe(true)
    expect(badlyClustered(tradesMetadata(), [...manifests(6, 3, 9), ...manifests(5, 10, 12)])).toBe(false)
  })

  it('not by any number that hold one day each, nor before 1970 by another rule', () => {
    expect(badlyClustered(tradesMetadata(), manifests(100, 5, 5))).toBe(false)
    expect(badlyClustered(tradesMetadata(), manifests(11, -9, -3))).toBe(true)
    expect(wideManifests(tradesMetadata(), [manifest(-1, 1), manifest(1, 1), manifest(1, 2, DELETES_MANIFEST)])).toHaveLength(1)
  })

  it('not by strings that happen to have four bytes', () => {
    const metadata = tradesMetadata({ ...tradesPlan, partitionBy: [{ column: 'symbol', transform: { kind: 'identity' } }] })
    expect(badlyClustered(metadata, manifests(30, 3, 9))).toBe(false)
  })

  it('and not any more once they are written anew, each day in at most two', async () => {
    const table = await tradesTable()
    const commit = async (base: Awaited<ReturnType<typeof table.load>>, days: readonly number[], name: string) => {
      const options = { ...table, metadata: base.metadata, metadataLocation: base.pointer.metadataLocation, nowMs: NOW }
      const files = days.map((day) => fileOf(`${name}-${day}`, day))
      const to = await appendFiles({ ...options, files, summary: {}, properties: {} })
      await table.catalog.swap(base.id, base.pointer, to.location)
    }
    for (let i = 0; i < 12; i++) await commit(await table.load(), [20_000, 20_001, 20_002], `c${i}`)
    const base = await table.load()
    const bytes = (await listed(base.metadata)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    // A target that makes four manifests of them, none of which counts as small before.
    const properties = { ...base.metadata.properties, 'commit.manifest.target-size-bytes': String(Math.round(bytes / 40)) }
    const metadata = { ...base.metadata, properties }
    expect(badlyClustered(metadata, await listed(metadata))).toBe(true)
    const to = await replaceFiles({
      ...table,
      metadata,
      metadataLocation: base.pointer.metadataLocation,
      nowMs: NOW,
      operation: 'replace',
      remove: new Set(),
      add: [],
      mergeManifests: true,
      summary: {},
      properties: {},
    })
    const after = await listed(to.metadata)
    expect(badlyClustered(metadata, after)).toBe(false)
    expect(wideManifests(metadata, after).length).toBeLessThanOrEqual(2)
    expect(after.reduce((sum, { existingFiles }) => sum + existingFiles, 0)).toBe(36)

    function listed(of: TableMetadata) {
      const snapshot = currentSnapshot(of)
      return snapshot === undefined ? Promise.resolve([]) : manifestsOf(table.objects, snapshot)
    }
  })
})
