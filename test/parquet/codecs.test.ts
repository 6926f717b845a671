import { describe, expect, test } from 'vitest'
import type { Codec } from '../../lib/parquet/pages.ts'
import { type ParquetOptions, parquetWriter } from '../../lib/parquet/writer.ts'
import { TYPES } from './arbitraries.ts'
import { fieldsOf, metadataOf, queryWithDuckDb, type Row, readWithHyparquet, writeRows } from './support.ts'

/** Our names, Parquet's, and whether it makes repeating values smaller. */
const CODECS: readonly (readonly [Codec, string])[] = [
  ['zstd', 'ZSTD'],
  ['gzip', 'GZIP'],
  ['snappy', 'SNAPPY'],
  ['none', 'UNCOMPRESSED'],
]

const repeating = (count: number): Row[] =>
  Array.from({ length: count }, (_, i) => ({ string_0: `some text ${i % 50}, again and again`, long_1: BigInt(i) }))
const sizeOf = (options: Partial<ParquetOptions>) =>
  writeRows(fieldsOf(['string', 'long'], true), repeating(20_000), { maxDictionaryBytes: 0, ...options }).sizeBytes

describe.each(CODECS)('codec %s', (codec, name) => {
  test('is named by every column chunk', () => {
    const file = writeRows(fieldsOf(['string', 'long']), repeating(100), { codec })
    expect(metadataOf(file).row_groups.flatMap(({ columns }) => columns.map(({ meta_data }) => meta_data!.codec))).toEqual([
      name,
      name,
    ])
  })

  test('stores values that do not compress, each page a little larger than it was', async () => {
    const fields = fieldsOf(['binary'], true)
    const rows: Row[] = Array.from({ length: 40 }, () => ({ binary_0: crypto.getRandomValues(new Uint8Array(20_000)) }))
    const file = writeRows(fields, rows, { codec, pageBytes: 100_000 })
    expect(file.sizeBytes).toBeGreaterThan(800_000)
    expect(file.sizeBytes).toBeLessThan(802_000)
    expect(await readWithHyparquet(fields, file)).toEqual(rows)
    const hex = await queryWithDuckDb(file, 'SELECT hex(binary_0) AS value FROM read_parquet($FILE)')
    expect(hex).toEqual(
      rows.map(({ binary_0 }) => ({
        value: Buffer.from(binary_0 as Uint8Array)
          .toString('hex')
          .toUpperCase(),
      })),
    )
  })

  test('no rows, and nothing but nulls', async () => {
    const fields = fieldsOf(TYPES)
    expect(await readWithHyparquet(fields, parquetWriter(fields, { codec }).finish())).toEqual([])
    const nulls = Array.from({ length: 2000 }, () => Object.fromEntries(fields.map(({ name }) => [name, null])))
    const file = writeRows(fields, nulls, { codec, pageBytes: 300 })
    expect(await readWithHyparquet(fields, file)).toEqual(nulls)
    expect(await queryWithDuckDb(file, 'SELECT count(*) AS rows FROM read_parquet($FILE)')).toEqual([{ rows: 2000n }])
  })

  test('empty strings, one alone too', async () => {
    const fields = fieldsOf(['string'], true)
    for (const count of [1, 5000]) {
      const rows = Array.from({ length: count }, () => ({ string_0: '' }))
      const file = writeRows(fields, rows, { codec, maxDictionaryBytes: 0 })
      expect(await readWithHyparquet(fields, file)).toEqual(rows)
      expect(await queryWithDuckDb(file, 'SELECT string_0 FROM read_parquet($FILE)')).toEqual(rows)
    }
  })

  test('pages far larger than 64 KB', async () => {
    const fields = fieldsOf(['string', 'long'], true)
    const rows = repeating(30_000)
    const file = writeRows(fields, rows, { codec, maxDictionaryBytes: 0, pageBytes: 1 << 20 })
    expect(await readWithHyparquet(fields, file)).toEqual(rows)
    expect(await queryWithDuckDb(file, 'SELECT * FROM read_parquet($FILE)')).toEqual(rows)
  })
})

describe('compression', () => {
  test('makes what repeats smaller: zstd and gzip more than snappy', () => {
    const [zstd, gzip, snappy, none] = CODECS.map(([codec]) => sizeOf({ codec }))
    expect(snappy).toBeLessThan(none! / 2)
    expect(zstd).toBeLessThan(snappy! * 0.8)
    expect(gzip).toBeLessThan(snappy! * 0.8)
  })

  test('has the level that was asked for', () => {
    expect(sizeOf({ codec: 'zstd', zstdLevel: 19 })).toBeLessThan(sizeOf({ codec: 'zstd', zstdLevel: 1 }))
    expect(sizeOf({ codec: 'gzip', gzipLevel: 9 })).toBeLessThan(sizeOf({ codec: 'gzip', gzipLevel: 1 }))
    // Level 0 stores.
    expect(sizeOf({ codec: 'gzip', gzipLevel: 0 })).toBeGreaterThan(sizeOf({ codec: 'none' }))
  })
})
