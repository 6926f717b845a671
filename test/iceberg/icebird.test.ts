import { parquetWriteBuffer } from 'hyparquet-writer'
import { icebergManifests, icebergRead } from 'icebird'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { appendFiles } from '../../lib/iceberg/append.ts'
import { dataFile } from '../../lib/iceberg/data-file.ts'
import { NOW, tradesId, tradesTable } from './fixtures.ts'

/** icebird reads by fetch alone, so its requests are answered from our objects. */
function serve(get: (location: string) => Promise<Uint8Array | undefined>): void {
  vi.stubGlobal('fetch', async (url: string, init?: RequestInit) => {
    const bytes = await get(String(url))
    if (bytes === undefined) return new Response(null, { status: 404 })
    const range = /bytes=(\d+)-(\d*)/.exec(new Headers(init?.headers).get('range') ?? '')
    if (range === null) return new Response(Buffer.from(bytes))
    const end = range[2] === '' ? bytes.length : Number(range[2]) + 1
    return new Response(Buffer.from(bytes.subarray(Number(range[1]), end)), { status: 206 })
  })
}
afterEach(() => vi.unstubAllGlobals())

describe('icebird, an Iceberg reader that is not ours', () => {
  it('reads the manifests and rows of a table after several appends', async () => {
    const { catalog, objects, random, load } = await tradesTable()
    serve((location) => objects.get(location))
    const symbols = [['BTC', 'ETH'], ['SOL'], []]
    for (const [i, symbol] of symbols.entries()) {
      const { metadata, pointer } = await load()
      const location = `${metadata.location}/data/event_time_day=2024-01-1${i}/${i}.parquet`
      const bytes = new Uint8Array(
        parquetWriteBuffer({
          columnData: [
            { name: 'symbol', data: symbol, type: 'STRING' },
            { name: 'price', data: symbol.map((_, k) => i + k / 2), type: 'DOUBLE' },
          ],
        }),
      )
      await objects.put(location, [bytes])
      const columns = [
        {
          fieldId: 1,
          sizeBytes: 10,
          values: symbol.length,
          nulls: 0,
          nans: undefined,
          lower: Uint8Array.of(65),
          upper: Uint8Array.of(90),
        },
      ]
      const file = dataFile(
        { sizeBytes: bytes.length, rows: symbol.length, splitOffsets: [4], columns },
        { location, specId: 0, partition: [19732 + i], sortOrderId: 1 },
      )
      const files = symbol.length > 0 ? [file] : []
      const next = await appendFiles({
        metadata,
        metadataLocation: pointer.metadataLocation,
        objects,
        random,
        nowMs: NOW,
        files,
        summary: {},
        properties: {},
      })
      expect(await catalog.swap(tradesId, pointer, next.location)).toBe(true)
    }
    const { metadata } = await load()
    // It knows ids as numbers or bigints alike; its types know numbers only.
    const theirs = {
      ...metadata,
      schemas: [
        { ...metadata.schemas[0], fields: metadata.schemas[0].fields.filter((f) => ['symbol', 'price'].includes(f.name)) },
      ],
    } as never
    const manifests = await icebergManifests(theirs)
    const entries = manifests.flatMap(
      (manifest) =>
        manifest.entries as unknown as { sequence_number: bigint; data_file: { record_count: bigint; partition: unknown } }[],
    )
    expect(entries.map((entry) => [entry.sequence_number, entry.data_file.record_count, entry.data_file.partition])).toEqual([
      [2n, 1n, { event_time_day: new Date('2024-01-11') }],
      [1n, 2n, { event_time_day: new Date('2024-01-10') }],
    ])
    expect(await icebergRead({ tableUrl: metadata.location, metadata: theirs })).toEqual([
      { symbol: 'SOL', price: 1 },
      { symbol: 'BTC', price: 0 },
      { symbol: 'ETH', price: 0.5 },
    ])
  })
})
