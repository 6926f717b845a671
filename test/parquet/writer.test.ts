import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Fields } from '../../lib/columns/schema.ts'
import { batchOf } from '../../lib/columns/values.ts'
import { isKind } from '../../lib/errors.ts'
import { type ParquetFile, parquetWriter } from '../../lib/parquet/writer.ts'
import { cases, cut, TYPES } from './arbitraries.ts'
import { bytesOf, fieldsOf, metadataOf, type Row, readWithHyparquet, utf8, withoutCodes, write, writeRows } from './support.ts'

describe('what is written is read back', () => {
  test('every type, null or not, whatever the sizes of batches, pages, row groups and dictionaries', async () => {
    await fc.assert(
      fc.asyncProperty(cases, fc.integer({ min: 1, max: 130 }), async ({ fields, rows, options }, batchRows) => {
        const file = write(fields, cut(fields, rows, batchRows), options)
        expect(await readWithHyparquet(fields, file)).toEqual(rows)
        expect(file.rows).toBe(rows.length)
      }),
      { numRuns: 300 },
    )
  })

  test('a selection: these rows, in this order, repeated where asked, and nothing beyond its count', async () => {
    await fc.assert(
      fc.asyncProperty(
        cases,
        fc.array(fc.nat(), { maxLength: 80, size: 'max' }),
        fc.nat(80),
        async ({ fields, rows, options }, picks, cutAt) => {
          fc.pre(rows.length > 0)
          const selection = Int32Array.from(picks, (pick) => pick % rows.length)
          const count = Math.min(cutAt, selection.length)
          const writer = parquetWriter(fields, options)
          writer.append(batchOf(fields, rows), selection, 0, count)
          writer.append(withoutCodes(batchOf(fields, rows)), selection)
          expect(writer.rows).toBe(count + selection.length)
          const expected = [...selection.subarray(0, count), ...selection].map((row) => rows[row])
          expect(await readWithHyparquet(fields, writer.finish())).toEqual(expected)
        },
      ),
      { numRuns: 150 },
    )
  })

  test('rows that a batch holds beyond its count are left out', async () => {
    const fields = fieldsOf(['long', 'string'])
    const batch = batchOf(fields, [
      { long_0: 1n, string_1: 'a' },
      { long_0: 2n, string_1: 'b' },
    ])
    const file = write(fields, [{ ...batch, rows: 1 }])
    expect(await readWithHyparquet(fields, file)).toEqual([{ long_0: 1n, string_1: 'a' }])
  })

  test('a batch whose memory is used again for the next one', async () => {
    const fields = fieldsOf(['string', 'int'], true)
    const batch = batchOf(fields, [
      { string_0: 'aa', int_1: 1 },
      { string_0: 'bb', int_1: 2 },
    ])
    const writer = parquetWriter(fields)
    writer.append(batch)
    const [strings, ints] = batch.vectors
    if (strings?.type !== 'string' || ints?.type !== 'int') throw new Error('unexpected types')
    strings.bytes.set(utf8.encode('ccdd'))
    ints.values.set([3, 4])
    writer.append(batch)
    expect(await readWithHyparquet(fields, writer.finish())).toEqual([
      { string_0: 'aa', int_1: 1 },
      { string_0: 'bb', int_1: 2 },
      { string_0: 'cc', int_1: 3 },
      { string_0: 'dd', int_1: 4 },
    ])
  })

  test('no rows: a valid file without row groups', async () => {
    const fields = fieldsOf(TYPES)
    const file = parquetWriter(fields).finish()
    expect(await readWithHyparquet(fields, file)).toEqual([])
    expect(file).toMatchObject({ rows: 0, splitOffsets: [] })
    expect(file.columns[3]).toEqual({
      fieldId: 14,
      sizeBytes: 0,
      values: 0,
      nulls: 0,
      nans: 0,
      lower: undefined,
      upper: undefined,
    })
  })

  test('strings larger than a page and a row group', async () => {
    const fields = fieldsOf(['string', 'binary'])
    const rows: Row[] = Array.from({ length: 9 }, (_, i) => ({
      string_0: i === 4 ? null : String.fromCodePoint(0x100 + i).repeat(300_000 * (i % 3)),
      binary_1: new Uint8Array(i * 100_000).fill(i),
    }))
    const file = writeRows(fields, rows, { pageBytes: 1 << 16, rowGroupBytes: 1 << 20 })
    expect(await readWithHyparquet(fields, file)).toEqual(rows)
    expect(file.splitOffsets.length).toBeGreaterThan(1)
  })
})

describe('dictionaries', () => {
  const fields = fieldsOf(['string'], true)
  const coded = (distinct: number, rows: number): Row[] =>
    Array.from({ length: rows }, (_, i) => ({ string_0: `value ${i % distinct}` }))
  const encodings = (file: ParquetFile) => metadataOf(file).row_groups.map((group) => group.columns[0]!.meta_data!.encodings)
  const pages = (file: ParquetFile) =>
    metadataOf(file).row_groups.map((group) =>
      group.columns[0]!.meta_data!.encoding_stats!.map((page) => `${page.count} ${page.page_type} ${page.encoding}`),
    )

  test.each([1, 2, 3, 255, 256, 257, 65_536, 65_537])('of %i entries are read back', async (distinct) => {
    const rows = coded(distinct, 3 * distinct + 5)
    const file = writeRows(fields, rows)
    expect(encodings(file)).toEqual([['PLAIN', 'RLE', 'RLE_DICTIONARY']])
    expect(await readWithHyparquet(fields, file)).toEqual(rows)
  })

  test('a page is as wide as the dictionary was when the page was full', async () => {
    const rows = [...coded(2, 100), ...coded(300, 900)]
    const file = writeRows(fields, rows, { pageBytes: 400 })
    expect(pages(file)).toEqual([['1 DICTIONARY_PAGE PLAIN', '10 DATA_PAGE RLE_DICTIONARY']])
    expect(await readWithHyparquet(fields, file)).toEqual(rows)
  })

  test('that save nothing are dropped with the first page, in every row group', async () => {
    const rows = coded(5000, 5000)
    const file = writeRows(fields, rows, { rowGroupBytes: 1 << 15 })
    expect(encodings(file).length).toBeGreaterThan(1)
    expect(new Set(encodings(file).flat())).toEqual(new Set(['PLAIN', 'RLE']))
    expect(await readWithHyparquet(fields, file)).toEqual(rows)
  })

  test('that grow too large give way to PLAIN pages, and come back with the next row group', async () => {
    const rows = [...coded(10, 4096), ...coded(1000, 4096), ...coded(10, 4096)]
    const writer = parquetWriter(fields, { maxDictionaryBytes: 1000, pageBytes: 4096, rowGroupBytes: 8192 })
    for (const batch of cut(fields, rows, 1024)) writer.append(batch)
    const file = writer.finish()
    expect(await readWithHyparquet(fields, file)).toEqual(rows)
    const found = pages(file)
    expect(found[0]!.map((page) => page.slice(2))).toContain('DATA_PAGE RLE_DICTIONARY')
    expect(found[0]!.some((page) => page.endsWith('DATA_PAGE PLAIN'))).toBe(true)
    expect(found.at(-1)!.some((page) => page.endsWith('RLE_DICTIONARY'))).toBe(true)
  })

  test('are not made for a page without values', async () => {
    const optional = fieldsOf(['string'])
    const rows: Row[] = [...Array.from({ length: 300 }, () => ({ string_0: null })), ...coded(2, 200)]
    const file = writeRows(optional, rows, { pageBytes: 400 })
    expect(pages(file)).toEqual([['1 DICTIONARY_PAGE PLAIN', '2 DATA_PAGE RLE_DICTIONARY', '3 DATA_PAGE PLAIN']])
    expect(await readWithHyparquet(optional, file)).toEqual(rows)
  })
})

describe('layout', () => {
  test('parts are the file; row groups start where they are said to and close by size', async () => {
    const fields = fieldsOf(['long', 'double'], true)
    const rows: Row[] = Array.from({ length: 50_000 }, (_, i) => ({ long_0: BigInt(i), double_1: i / 7 }))
    const file = write(fields, cut(fields, rows, 10_000), { rowGroupBytes: 200_000, pageBytes: 50_000 })
    const { row_groups } = metadataOf(file)
    expect(file.parts.reduce((bytes, part) => bytes + part.length, 0)).toBe(file.sizeBytes)
    expect(row_groups.map((group) => Number(group.file_offset))).toEqual(file.splitOffsets)
    expect(file.splitOffsets[0]).toBe(4)
    for (const group of row_groups.slice(0, -1)) {
      expect(Number(group.total_byte_size)).toBeGreaterThanOrEqual(200_000)
      expect(Number(group.total_byte_size)).toBeLessThan(200_000 + 4096 * 16 + 1000)
    }
    expect(await readWithHyparquet(fields, file)).toEqual(rows)
  })

  test('offsets name the first byte of each dictionary and data page', () => {
    const fields = fieldsOf(['string', 'long', 'string'])
    const rows: Row[] = Array.from({ length: 9000 }, (_, i) => ({ string_0: `${i % 9}`, long_1: BigInt(i), string_2: `${i}` }))
    const file = writeRows(fields, rows, { pageBytes: 4000, rowGroupBytes: 60_000 })
    const bytes = bytesOf(file)
    // PageHeader starts with its type, field 1, an i32 in zigzag: DATA_PAGE is 0, DICTIONARY_PAGE 2.
    const pageType = (offset: bigint | undefined) => [...bytes.subarray(Number(offset), Number(offset) + 2)]
    const { row_groups } = metadataOf(file)
    expect(row_groups.length).toBeGreaterThan(1)
    let end = 4
    for (const { columns } of row_groups) {
      for (const { meta_data } of columns) {
        const { dictionary_page_offset, data_page_offset, total_compressed_size } = meta_data!
        expect(Number(dictionary_page_offset ?? data_page_offset)).toBe(end)
        if (dictionary_page_offset !== undefined) expect(pageType(dictionary_page_offset)).toEqual([0x15, 4])
        expect(pageType(data_page_offset)).toEqual([0x15, 0])
        end += Number(total_compressed_size)
      }
      const coded = columns.map(({ meta_data }) => meta_data!.dictionary_page_offset !== undefined)
      expect(coded).toEqual([true, false, false])
    }
  })

  test('the footer says that bounds follow the order of the type, else readers ignore them', () => {
    const file = writeRows(fieldsOf(['long', 'string']), [{ long_0: 1n }])
    // FileMetaData ends with field 7 (one after created_by): a list of two unions, each with an empty struct as field 1.
    const footer = file.parts.at(-2)!
    expect([...footer.slice(-9)]).toEqual([0x19, 0x2c, 0x1c, 0, 0, 0x1c, 0, 0, 0])
  })

  test('no page exceeds its bound, unless one value does', () => {
    const fields = fieldsOf(['string', 'long'])
    const rows: Row[] = Array.from({ length: 2000 }, (_, i) => ({ string_0: `${i}`.padEnd(i % 90), long_1: BigInt(i) }))
    const file = writeRows(fields, rows, { pageBytes: 1000, codec: 'none' })
    // Headers and levels come on top: a page of 1,000 bytes has at most 250 rows.
    const pageParts = file.parts.slice(1, -2)
    expect(pageParts.length).toBeGreaterThan(80)
    for (const part of pageParts) expect(part.length).toBeLessThan(1000 + 100)
  })

  test('pages leave memory for nothing but their compressed form', () => {
    const fields = fieldsOf(['long'], true)
    const batch = batchOf(
      fields,
      Array.from({ length: 20_000 }, () => ({ long_0: 7n })),
    )
    const writer = parquetWriter(fields, { pageBytes: 80_000 })
    writer.append(batch)
    expect(writer.bufferedBytes).toBeLessThan(1000)
    writer.append({ ...batch, rows: 5000 })
    expect(writer.bufferedBytes).toBeGreaterThan(40_000)
    const file = writer.finish()
    for (const part of file.parts) expect(part.buffer.byteLength).toBe(part.length)
  })

  test('twenty columns, the largest field id, names outside ASCII', async () => {
    const fields: Fields = Array.from({ length: 20 }, (_, i) => ({
      id: i === 19 ? 2 ** 31 - 1 : i + 1,
      name: `größe ${i}`,
      type: 'int',
      required: false,
    }))
    const row = Object.fromEntries(fields.map((one, i) => [one.name, i]))
    const file = writeRows(fields, [row])
    expect(await readWithHyparquet(fields, file)).toEqual([row])
    expect(
      metadataOf(file)
        .schema.slice(1)
        .map((element) => element.field_id),
    ).toEqual(fields.map((one) => one.id))
  })
})

describe('refusals', () => {
  const fields = fieldsOf(['long'], true)
  const batch = batchOf(fields, [{ long_0: 1n }])
  const kind = (work: () => unknown) => {
    try {
      work()
    } catch (error) {
      return isKind(error, 'Corrupt', 'InvalidPipeline') ? error.kind : 'another error'
    }
    return 'none'
  }

  test('a null in a required column', () => {
    const nulls = batchOf(fieldsOf(['long']), [{ long_0: null }])
    expect(kind(() => parquetWriter(fields).append(nulls))).toBe('Corrupt')
  })

  test('columns of other types or number', () => {
    expect(kind(() => parquetWriter(fieldsOf(['timestamptz'])).append(batch))).toBe('Corrupt')
    expect(kind(() => parquetWriter(fieldsOf(['long', 'long'])).append(batch))).toBe('Corrupt')
  })

  test('anything after the end', () => {
    const writer = parquetWriter(fields)
    writer.finish()
    expect(kind(() => writer.append(batch))).toBe('Corrupt')
    expect(kind(() => writer.finish())).toBe('Corrupt')
  })

  test('options out of range', () => {
    expect(kind(() => parquetWriter(fields, { zstdLevel: 23 }))).toBe('InvalidPipeline')
    expect(kind(() => parquetWriter(fields, { gzipLevel: 10 }))).toBe('InvalidPipeline')
    expect(kind(() => parquetWriter(fields, { pageBytes: 0 }))).toBe('InvalidPipeline')
    expect(kind(() => parquetWriter(fields, { pageRows: 0 }))).toBe('InvalidPipeline')
    expect(kind(() => parquetWriter(fields, { targetFileBytes: 0 }))).toBe('InvalidPipeline')
    expect(kind(() => parquetWriter(fields, { maxDictionaryBytes: 2 ** 27 }))).toBe('InvalidPipeline')
  })
})
