import { describe, expect, it } from 'vitest'
import { batchOf } from '../../lib/columns/values.ts'
import { isKind } from '../../lib/errors.ts'
import { parquetOptionsOf } from '../../lib/iceberg/properties.ts'
import { parquetWriter } from '../../lib/parquet/writer.ts'
import { tradeFields, tradesId, tradesMetadata } from './fixtures.ts'

describe('properties that say how a table is written', () => {
  it('of a fresh table ask for zstd and files of at most 512 MB', () => {
    expect(parquetOptionsOf(tradesId, tradesMetadata().properties)).toEqual({ codec: 'zstd', targetFileBytes: 536_870_912 })
  })

  it('become options of the writer', () => {
    expect(
      parquetOptionsOf(tradesId, {
        'write.parquet.compression-codec': 'zstd',
        'write.parquet.compression-level': '19',
        'write.parquet.row-group-size-bytes': '1000',
        'write.parquet.page-size-bytes': '200',
        'write.parquet.page-row-limit': '30',
        'write.parquet.dict-size-bytes': '4',
        'write.target-file-size-bytes': '5000',
      }),
    ).toEqual({
      codec: 'zstd',
      zstdLevel: 19,
      rowGroupBytes: 1000,
      pageBytes: 200,
      pageRows: 30,
      maxDictionaryBytes: 4,
      targetFileBytes: 5000,
    })
    expect(
      parquetOptionsOf(tradesId, { 'write.parquet.compression-codec': 'gzip', 'write.parquet.compression-level': '2' }),
    ).toEqual({ codec: 'gzip', gzipLevel: 2, targetFileBytes: 536_870_912 })
    expect(parquetOptionsOf(tradesId, { 'write.parquet.compression-codec': 'uncompressed' })).toMatchObject({ codec: 'none' })
  })

  it('at their least and greatest are what the writer takes', () => {
    const numbers = [
      'write.parquet.row-group-size-bytes',
      'write.parquet.page-size-bytes',
      'write.parquet.page-row-limit',
      'write.parquet.dict-size-bytes',
      'write.target-file-size-bytes',
    ]
    const row = { symbol: 'A', event_time: 1n, price: 2, kafka_offset: 3n }
    for (const value of ['1', '2147483647'])
      for (const [codec, level] of [
        ['gzip', '0'],
        ['gzip', '9'],
        ['zstd', '1'],
        ['zstd', '22'],
      ] as const) {
        const properties = {
          'write.parquet.compression-codec': codec,
          'write.parquet.compression-level': level,
          ...Object.fromEntries(numbers.map((name) => [name, value])),
        }
        const writer = parquetWriter(tradeFields, parquetOptionsOf(tradesId, properties))
        writer.append(batchOf(tradeFields, [row]))
        expect(writer.finish().rows).toBe(1)
      }
  })

  it('that cannot be done are refused with table, property, value and the way out', () => {
    const error = (() => {
      try {
        parquetOptionsOf(tradesId, { 'write.parquet.compression-codec': 'lz4' })
      } catch (thrown) {
        return thrown
      }
      return undefined
    })()
    expect(isKind(error, 'Refused')).toBe(true)
    expect((error as Error).message).toBe(
      'Cannot write files of table trades.raw_trades: expected property write.parquet.compression-codec to be zstd, gzip, snappy or uncompressed, found "lz4". Set it right, or unset it, with the engine that set it; nothing is lost, what is staged waits for the next commit.',
    )
  })
})
