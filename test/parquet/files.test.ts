import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { batchOf } from '../../lib/columns/values.ts'
import { parquetFiles } from '../../lib/parquet/files.ts'
import { parquetWriter } from '../../lib/parquet/writer.ts'
import { cases, cut } from './arbitraries.ts'
import { fieldsOf, metadataOf, type Row, readWithHyparquet } from './support.ts'

const fields = fieldsOf(['long', 'string'], true)
/** Rows that hardly compress: 8 bytes and 24 digits each. */
const rowsOf = (count: number): Row[] =>
  Array.from({ length: count }, (_, i) => ({
    long_0: BigInt.asIntN(64, BigInt(i) * 0x9e3779b97f4a7c1n),
    string_1: `${(i * 0.7548776662466927) % 1}${(i * 0.5698402909980532) % 1}`,
  }))

/** Numbers of so many random bits. */
function bitsOf(bits: number): () => bigint {
  let seed = 1
  const next = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return seed >>> 2
  }
  return bits > 30 ? () => (BigInt(next()) << 30n) | BigInt(next()) : () => BigInt(next() >>> (30 - bits))
}

describe('files of a partition', () => {
  test('are one while it stays below its target, and none without rows', () => {
    expect(parquetFiles(fields, { targetFileBytes: 1 }).finish()).toEqual([])
    const files = parquetFiles(fields)
    for (const batch of cut(fields, rowsOf(20_000), 3000)) files.append(batch)
    expect(files.finish().map((file) => file.rows)).toEqual([20_000])
  })

  test.each([500, 4096, 10_000, 50_000])('are several of about the target when batches have %i rows', async (batchRows) => {
    const rows = rowsOf(50_000)
    const targetFileBytes = 300_000
    const files = parquetFiles(fields, { targetFileBytes, codec: 'none', pageBytes: 10_000 })
    for (const batch of cut(fields, rows, batchRows)) files.append(batch)
    const made = files.finish()
    expect(made.length).toBeGreaterThan(5)
    for (const file of made.slice(0, -1)) {
      expect(file.sizeBytes).toBeGreaterThan(targetFileBytes * 0.9)
      // One step of 4,096 rows at most beyond, and the footer.
      expect(file.sizeBytes).toBeLessThan(targetFileBytes + 4096 * 50)
    }
    const read = await Promise.all(made.map((file) => readWithHyparquet(fields, file)))
    expect(read.flat()).toEqual(rows)
  })

  test('keep a selection in its order over the seam', async () => {
    const rows = rowsOf(30_000)
    const order = Int32Array.from(rows.keys()).reverse()
    const files = parquetFiles(fields, { targetFileBytes: 200_000 })
    files.append(batchOf(fields, rows), order)
    const made = files.finish()
    expect(made.length).toBeGreaterThan(2)
    const read = await Promise.all(made.map((file) => readWithHyparquet(fields, file)))
    expect(read.flat()).toEqual(rows.toReversed())
  })

  test('hold every row once, whatever the target, the options and the batches', async () => {
    await fc.assert(
      fc.asyncProperty(cases, fc.integer({ min: 1, max: 130 }), fc.constantFrom(1, 300, 2000), async (table, size, target) => {
        const files = parquetFiles(table.fields, { ...table.options, targetFileBytes: target })
        for (const batch of cut(table.fields, table.rows, size)) files.append(batch)
        const made = files.finish()
        expect(made.every((file) => file.rows > 0)).toBe(true)
        const read = await Promise.all(made.map((file) => readWithHyparquet(table.fields, file)))
        expect(read.flat()).toEqual(table.rows)
      }),
      { numRuns: 100 },
    )
  })

  // Files times columns times bits of a value that do not compress.
  test.each([
    [1, 5, 4],
    [1, 60, 4],
    [1, 20, 60],
    [4, 20, 8],
    [4, 60, 30],
    [32, 60, 20],
  ])('are of about %i MB as they lie, by %i columns of %i random bits', (targetMb, columns, bits) => {
    const target = targetMb * 2 ** 20
    const wide = fieldsOf(Array<'long'>(columns).fill('long'), true)
    const files = parquetFiles(wide, { targetFileBytes: target, codec: 'zstd', zstdLevel: 1 })
    const random = bitsOf(bits)
    const rows = 20_000
    for (let bytes = 0; bytes < 3 * target; bytes += (rows * columns * bits) / 8) {
      const vectors = wide.map(() => ({
        type: 'long' as const,
        values: BigInt64Array.from({ length: rows }, random),
        validity: undefined,
      }))
      files.append({ fields: wide, rows, vectors })
    }
    const made = files.finish()
    expect(made.length).toBeGreaterThan(2)
    for (const { sizeBytes } of made.slice(0, -1)) {
      expect(sizeBytes).toBeGreaterThan(0.9 * target)
      expect(sizeBytes).toBeLessThan(1.2 * target)
    }
  })

  test('are of about their size though rows compress well at first and then do not', () => {
    const target = 2 ** 20
    const one = fieldsOf(['long'], true)
    const random = bitsOf(60)
    for (const order of [
      [1n, random],
      [random, 1n],
    ]) {
      const files = parquetFiles(one, { targetFileBytes: target })
      for (const kind of order)
        for (let i = 0; i < 10; i++) {
          const values = BigInt64Array.from({ length: 40_000 }, () => (typeof kind === 'bigint' ? kind : kind()))
          files.append({ fields: one, rows: values.length, vectors: [{ type: 'long', values, validity: undefined }] })
        }
      for (const { sizeBytes } of files.finish().slice(0, -1)) {
        expect(sizeBytes).toBeGreaterThan(0.9 * target)
        // A page of what was taken to compress well.
        expect(sizeBytes).toBeLessThan(2.2 * target)
      }
    }
  })

  test('take long values in small steps', () => {
    const wide = fieldsOf(['binary'], true)
    const rows = Array.from({ length: 200 }, (_, i) => ({ binary_0: new Uint8Array(100_000).fill(i) }))
    const files = parquetFiles(wide, { targetFileBytes: 1_000_000, codec: 'none' })
    files.append(batchOf(wide, rows))
    for (const file of files.finish()) expect(file.sizeBytes).toBeLessThan(2_200_000)
  })
})

describe('a writer', () => {
  test('takes rows until its file is full, then says where it stopped', () => {
    const batch = batchOf(fields, rowsOf(20_000))
    const writer = parquetWriter(fields, { targetFileBytes: 200_000, codec: 'none' })
    expect(writer.full).toBe(false)
    const stopped = writer.append(batch)
    expect(stopped).toBe(writer.rows)
    expect(stopped).toBeLessThan(20_000)
    expect(writer.full).toBe(true)
    expect(parquetWriter(fields).append(batch, undefined, stopped)).toBe(20_000)
  })

  test('closes a page at its limit of rows', () => {
    const writer = parquetWriter(fieldsOf(['long', 'string'], true), { pageRows: 1000 })
    writer.append(
      batchOf(
        fields,
        Array.from({ length: 4500 }, (_, i) => ({ long_0: 1n, string_1: `${i % 3}` })),
      ),
    )
    const [group] = metadataOf(writer.finish()).row_groups
    const dataPages = group!.columns.map(({ meta_data }) =>
      meta_data!.encoding_stats!.filter((page) => page.page_type === 'DATA_PAGE').map((page) => page.count),
    )
    expect(dataPages).toEqual([[5], [5]])
  })
})
