import { hash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import fc from 'fast-check'
import { ByteWriter, parquetWrite } from 'hyparquet-writer'
import { describe, expect, test } from 'vitest'
import type { Batch } from '../../lib/columns/batch.ts'
import { batchBuilder, rowsOf } from '../../lib/columns/operations.ts'
import type { ColumnType, Field, Fields } from '../../lib/columns/schema.ts'
import { FrazilError } from '../../lib/errors.ts'
import { parquetSummary, readParquet } from '../../lib/parquet/reader.ts'
import { snappyCompress } from '../../lib/parquet/snappy.ts'
import { snappyDecompress } from '../../lib/parquet/snappy-read.ts'
import { cases, cut, TYPES } from './arbitraries.ts'
import { bytesOf, fieldsOf, type Row, utf8, write, writeRows } from './support.ts'

/** All batches of a file as one. */
function readAll(bytes: Uint8Array, fields: Fields): Batch {
  const all = batchBuilder(fields, 0)
  for (const batch of readParquet(bytes, fields, 'a.parquet')) all.append(batch)
  return all.finish()
}

const rowsIn = (bytes: Uint8Array, fields: Fields): Row[] => rowsOf(readAll(bytes, fields))

const field = (id: number, name: string, type: ColumnType, required = false): Field => ({ id, name, type, required })

describe('files of our own', () => {
  test('give back what was written, for all types, nulls, codecs and sizes of pages and row groups', () => {
    fc.assert(
      fc.property(cases, fc.constantFrom(1, 7, 1000), ({ fields, rows, options }, size) => {
        const file = write(fields, cut(fields, rows, size), options)
        const bytes = bytesOf(file)
        expect(rowsIn(bytes, fields)).toEqual(rows)
        expect(parquetSummary(bytes, 'a.parquet')).toMatchObject({
          rows: rows.length,
          rowGroups: file.splitOffsets.length,
          fieldIds: fields.map(({ id }) => id),
        })
      }),
      { numRuns: 300 },
    )
  })

  test('give back columns by field id, in the order asked for; null for one the file lacks', () => {
    const fields = fieldsOf(['int', 'string'])
    const bytes = bytesOf(
      writeRows(fields, [
        { int_0: 1, string_1: 'a' },
        { int_0: 2, string_1: null },
      ]),
    )
    const wanted = TYPES.map((type, i) => field(90 + i, `new ${type}`, type))
    const found = rowsIn(bytes, [field(12, 'renamed', 'string'), ...wanted, field(11, 'number', 'long', true)])
    const nulls = Object.fromEntries(wanted.map(({ name }) => [name, null]))
    expect(found).toEqual([
      { renamed: 'a', ...nulls, number: 1n },
      { renamed: null, ...nulls, number: 2n },
    ])
  })

  test('keep a dictionary where they have one, and are plain where it did not last', () => {
    const fields = fieldsOf(['string', 'string'])
    const rows = Array.from({ length: 3000 }, (_, i) => ({
      string_0: i % 5 === 0 ? null : `symbol ${i % 7}`,
      string_1: i < 2000 ? `one of ${i % 3}` : i % 5 === 0 ? null : `text of row ${i}`,
    }))
    const bytes = bytesOf(writeRows(fields, rows, { pageRows: 500, maxDictionaryBytes: 1000 }))
    const [batch] = readParquet(bytes, fields, 'a.parquet')
    // Seven symbols, and the empty string for null.
    expect(batch!.vectors[0]).toMatchObject({ entries: 8 })
    expect(batch!.vectors[1]).toMatchObject({ codes: undefined, entries: 3000 })
    expect(rowsOf(batch!)).toEqual(rows)
  })

  test('widen int to long exactly', () => {
    const values = [0, -1, 2 ** 31 - 1, -(2 ** 31), null]
    const bytes = bytesOf(
      writeRows(
        [field(1, 'n', 'int')],
        values.map((n) => ({ n })),
      ),
    )
    expect(rowsIn(bytes, [field(1, 'n', 'long')])).toEqual(values.map((n) => ({ n: n === null ? null : BigInt(n) })))
  })
})

describe('files by hyparquet-writer', () => {
  test.each(['UNCOMPRESSED', 'SNAPPY'] as const)('give back what was written (%s)', (codec) => {
    const many = Array.from({ length: 5000 }, (_, i) => i)
    const out = new ByteWriter()
    const columns = [
      { name: 'flag', type: 'BOOLEAN', data: many.map((i) => (i % 7 === 0 ? null : i % 3 === 0)) },
      { name: 'n', type: 'INT32', data: many.map((i) => i % 9) },
      { name: 'wide', type: 'INT64', data: many.map((i) => BigInt(i) * 2n ** 40n) },
      { name: 'price', type: 'DOUBLE', data: many.map((i) => (i % 4 === 0 ? null : i / 8)) },
      { name: 'small', type: 'FLOAT', data: many.map((i) => i / 8) },
      { name: 'symbol', type: 'STRING', data: many.map((i) => `symbol ${i % 20}`) },
      { name: 'text', type: 'STRING', data: many.map((i) => (i % 5 === 0 ? null : `text of row ${i}`)) },
    ] as const
    const repetition = (data: readonly unknown[]) => (data.includes(null) ? 'OPTIONAL' : 'REQUIRED')
    const annotations = (type: string) =>
      type === 'STRING' ? { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } } : { type }
    parquetWrite({
      writer: out,
      codec,
      rowGroupSize: 3000,
      columnData: columns.map(({ name, data }) => ({ name, data: [...data] })),
      schema: [
        { name: 'root', num_children: columns.length },
        ...columns.map(({ name, type, data }, i) => ({
          name,
          field_id: i + 1,
          repetition_type: repetition(data),
          ...annotations(type),
        })),
      ] as never,
    })
    const fields = [
      field(1, 'flag', 'boolean'),
      field(2, 'n', 'int', true),
      field(3, 'wide', 'long'),
      field(4, 'price', 'double'),
      field(5, 'small', 'double'),
      field(6, 'symbol', 'string'),
      field(7, 'text', 'string'),
    ]
    const expected = many.map((i) => Object.fromEntries(columns.map(({ name, data }) => [name, data[i] as never])))
    expect(rowsIn(new Uint8Array(out.getBuffer()), fields)).toEqual(expected)
  })
})

/** The file that DuckDB makes of a query over the numbers `i` below 6000. */
async function writtenByDuckDb(select: string, options: string): Promise<Uint8Array> {
  const folder = mkdtempSync(join(tmpdir(), 'frazil-parquet-'))
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
  const connection = await instance.connect()
  try {
    const path = join(folder, 'file.parquet')
    await connection.run(`COPY (SELECT ${select} FROM range(6000) AS t(i)) TO '${path}' (FORMAT parquet, ${options})`)
    return readFileSync(path)
  } finally {
    connection.closeSync()
    instance.closeSync()
    rmSync(folder, { recursive: true })
  }
}

describe('files by DuckDB', () => {
  const ids =
    'FIELD_IDS {flag: 1, n: 2, wide: 3, price: 4, small: 5, symbol: 6, text: 7, raw: 8, seen: 9, steps: 10, missing: 11}'
  const select = `if(i % 7 = 0, NULL, i % 3 = 0) AS flag, (i % 9)::INTEGER AS n, if(i % 3 = 0, NULL, (i - 3000) * 1099511627776) AS wide,
    if(i % 4 = 0, NULL, i / 8) AS price, (i / 8)::FLOAT AS small, 'symbol ' || i % 20 AS symbol,
    if(i % 5 = 0, NULL, 'text of row ' || i) AS text, encode('raw ' || i % 100) AS raw,
    make_timestamptz(1705641634567891 + i) AS seen, 9007199254740993 - i * i AS steps, NULL::VARCHAR AS missing`
  const fields = [
    field(1, 'flag', 'boolean'),
    // DuckDB writes all columns optional.
    field(2, 'n', 'int', true),
    field(3, 'wide', 'long'),
    field(4, 'price', 'double'),
    field(5, 'small', 'double'),
    field(6, 'symbol', 'string', true),
    field(7, 'text', 'string'),
    field(8, 'raw', 'binary'),
    field(9, 'seen', 'timestamptz'),
    field(10, 'steps', 'long'),
    field(11, 'missing', 'string'),
  ]
  const expected = Array.from({ length: 6000 }, (_, i) => ({
    flag: i % 7 === 0 ? null : i % 3 === 0,
    n: i % 9,
    wide: i % 3 === 0 ? null : BigInt(i - 3000) * 2n ** 40n,
    price: i % 4 === 0 ? null : i / 8,
    small: i / 8,
    symbol: `symbol ${i % 20}`,
    text: i % 5 === 0 ? null : `text of row ${i}`,
    raw: utf8.encode(`raw ${i % 100}`),
    seen: 1705641634567891n + BigInt(i),
    steps: 9007199254740993n - BigInt(i) * BigInt(i),
    missing: null,
  }))

  // Version 2 brings delta and byte stream split encodings and RLE booleans.
  test.each([
    ['snappy', 'V1'],
    ['zstd', 'V1'],
    ['gzip', 'V1'],
    ['uncompressed', 'V1'],
    ['snappy', 'V2'],
    ['zstd', 'V2'],
    ['gzip', 'V2'],
    ['uncompressed', 'V2'],
  ])('give back what was written (%s, %s)', async (codec, version) => {
    const bytes = await writtenByDuckDb(select, `CODEC ${codec}, PARQUET_VERSION ${version}, ROW_GROUP_SIZE 2500, ${ids}`)
    expect(rowsIn(bytes, fields)).toEqual(expected)
    expect(parquetSummary(bytes, 'a').rows).toBe(6000)
  })

  test.each(['V1', 'V2'])('of values that no dictionary holds give them back too (%s)', async (version) => {
    const bytes = await writtenByDuckDb(
      "md5(i::VARCHAR) || repeat('x', i % 40) AS n",
      `CODEC zstd, PARQUET_VERSION ${version}, DICTIONARY_SIZE_LIMIT 10, FIELD_IDS {n: 1}`,
    )
    const found = rowsIn(bytes, [field(1, 'n', 'string')]).map(({ n }) => n)
    expect(found).toEqual(Array.from({ length: 6000 }, (_, i) => hash('md5', `${i}`) + 'x'.repeat(i % 40)))
  })

  test.each([
    ['i::DECIMAL(9, 2) AS n', '', 'long', 'expected a column of type long, found INT32 (other)'],
    ['i::UINTEGER AS n', '', 'long', 'expected a column of type long, found INT32 (other)'],
    ['i::TINYINT AS n', '', 'string', 'expected a column of type string, found INT32 (signed)'],
    ['i::BIGINT AS n', '', 'int', 'expected a column of type int, found INT64 (signed)'],
    ['make_timestamp(i) AS n', '', 'timestamptz', 'found INT64 (other)'],
    ['make_timestamp(i)::TIMESTAMP_NS AS n', '', 'timestamptz', 'found INT64 (other)'],
    ["'a' AS n", '', 'binary', 'expected a column of type binary, found BYTE_ARRAY (string)'],
    ['[i] AS n', '', 'long', 'found a nested one'],
    ['i AS n', 'CODEC lz4_raw', 'long', 'expected the codec uncompressed, snappy, gzip or zstd, found LZ4_RAW'],
    ['i AS n', 'CODEC brotli', 'long', 'found BROTLI'],
  ] as const)('are refused, and it is said why: %s %s', async (columns, options, type, message) => {
    const small = columns.replace(/\bi\b/g, '(i % 100)')
    const bytes = await writtenByDuckDb(small, `${options}${options && ', '}FIELD_IDS {n: 1}`)
    const read = () => rowsIn(bytes, [field(1, 'n', type)])
    expect(read).toThrow(expect.objectContaining({ kind: 'Refused' }))
    expect(read).toThrow('Cannot read Parquet column n of a.parquet: expected')
    expect(read).toThrow(message)
  })

  test('without field ids are refused', async () => {
    const bytes = await writtenByDuckDb('i AS n', 'CODEC zstd')
    expect(() => rowsIn(bytes, [field(1, 'n', 'long')])).toThrow(
      "Cannot read Parquet file a.parquet: expected columns with Iceberg's field ids, found none",
    )
  })

  test('nested columns that are not asked for are passed over', async () => {
    const bytes = await writtenByDuckDb(
      "{a: i, b: [i]} AS s, i AS n, MAP {'k': i} AS m, -i AS last",
      'FIELD_IDS {s: {__duckdb_field_id: 1, a: 5, b: {__duckdb_field_id: 6, element: 7}}, n: 2, m: {__duckdb_field_id: 3, key: 8, value: 9}, last: 4}',
    )
    const found = rowsIn(bytes, [field(4, 'last', 'long'), field(2, 'n', 'long')])
    expect(found).toEqual(Array.from({ length: 6000 }, (_, i) => ({ last: BigInt(-i), n: BigInt(i) })))
  })
})

describe('a damaged file', () => {
  const fields = fieldsOf(TYPES)
  const rows = Array.from({ length: 200 }, (_, i): Row => {
    const isNull = i % 9 === 0
    return {
      boolean_0: isNull ? null : i % 2 === 0,
      int_1: i,
      long_2: BigInt(i),
      double_3: isNull ? null : i / 4,
      string_4: `symbol ${i % 5}`,
      binary_5: isNull ? null : Uint8Array.of(i, 1, 2, 3),
      timestamptz_6: BigInt(i),
    }
  })
  const codec = fc.constantFrom('zstd', 'gzip', 'snappy', 'none')

  /** Reads what may be damaged: the number of rows, or the kind of error; anything else thrown is a defect. */
  function attempt(bytes: Uint8Array): number | string {
    try {
      return readAll(bytes, fields).rows
    } catch (error) {
      if (!(error instanceof FrazilError)) throw error
      return error.kind
    }
  }

  test('cut anywhere is known as corrupt', () => {
    const bytes = bytesOf(writeRows(fields, rows, { pageRows: 64 }))
    fc.assert(
      fc.property(fc.integer({ min: 0, max: bytes.length - 1 }), (length) => {
        expect(attempt(bytes.subarray(0, length))).toBe('Corrupt')
      }),
    )
  })

  test('of flipped bytes is an error or reads like a file, never out of bounds and never for ever', () => {
    fc.assert(
      fc.property(
        codec,
        fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), fc.integer({ min: 1, max: 255 })), {
          minLength: 1,
          maxLength: 3,
        }),
        (name, flips) => {
          const bytes = bytesOf(writeRows(fields, rows, { codec: name, pageRows: 64 }))
          for (const [at, mask] of flips) bytes[Math.floor(at * bytes.length)]! ^= mask
          expect([200, 'Corrupt', 'Refused']).toContain(attempt(bytes))
        },
      ),
      { numRuns: 1500 },
    )
  })

  test('whose values are damaged is known by the checksum of its page', () => {
    const bytes = bytesOf(writeRows(fields, rows, { codec: 'none' }))
    const at = Buffer.from(bytes).indexOf(Buffer.from(BigInt64Array.of(100n, 101n).buffer))
    bytes[at] = 99
    expect(() => rowsIn(bytes, fields)).toThrow('expected a page of checksum')
  })

  test('of damaged pages without checksums is an error or reads like a file, in all encodings', async () => {
    const select = `if(i % 7 = 0, NULL, i % 3 = 0) AS boolean_0, (i % 9)::INTEGER AS int_1, i * i AS long_2, i / 8 AS double_3,
      'symbol ' || i % 20 AS string_4, encode('raw ' || i) AS binary_5, make_timestamptz(1705641634567891 + i) AS timestamptz_6`
    const ids = `FIELD_IDS {${fields.map(({ name, id }) => `${name}: ${id}`).join(', ')}}`
    for (const options of ['CODEC uncompressed, PARQUET_VERSION V2', 'CODEC snappy', 'CODEC gzip, PARQUET_VERSION V2']) {
      const whole = await writtenByDuckDb(select, `${options}, ${ids}`)
      let noticed = 0
      for (let at = 4; at < whole.length; at += Math.ceil(whole.length / 150)) {
        const bytes = Uint8Array.from(whole)
        bytes[at] = ~bytes[at]!
        const found = attempt(bytes)
        if (typeof found === 'string') noticed++
        else expect(found).toBe(6000)
      }
      expect(noticed).toBeGreaterThan(0)
    }
  })

  test('with a null in a required field is corrupt', () => {
    const optional = fieldsOf(['int'])
    const bytes = bytesOf(writeRows(optional, [{ int_0: 1 }, { int_0: null }]))
    const read = () => rowsIn(bytes, fieldsOf(['int'], true))
    expect(read).toThrow(
      'Cannot read Parquet column int_0 of a.parquet: expected a value in every row of a required field, found null in row 1',
    )
    expect(read).toThrow(expect.objectContaining({ kind: 'Corrupt' }))
    expect(() => rowsIn(bytes, [field(77, 'new', 'int', true)])).toThrow('expected a column of field id 77')
  })

  test('that is encrypted is refused', () => {
    const bytes = bytesOf(writeRows(fields, rows))
    bytes.set(utf8.encode('PARE'), bytes.length - 4)
    expect(attempt(bytes)).toBe('Refused')
  })
})

describe('snappy', () => {
  test('gives back what was compressed', () => {
    const pieces = fc.array(
      fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.nat(400))),
    )
    fc.assert(
      fc.property(pieces, (parts) => {
        const input = Buffer.concat(
          parts.flatMap((part) => (part instanceof Uint8Array ? [part] : Array.from({ length: part[1] }, () => part[0]))),
        )
        expect(Buffer.compare(snappyDecompress(snappyCompress(input), input.length), input)).toBe(0)
      }),
    )
  })

  test('reads literals and copies of every form', () => {
    // Lengths in one to four bytes behind the tag, copies with offsets of one, two and four bytes.
    const literal = Buffer.alloc(300, 'abcdefg')
    const body = [
      Uint8Array.of(0xd4, 0x02), // 340 bytes in all
      Uint8Array.of(63 << 2, 0x2b, 1, 0, 0),
      literal,
      Uint8Array.of(1 | (4 << 2) | (1 << 5), 0x2c), // 8 bytes from 300 back
      Uint8Array.of(2 | (19 << 2), 7, 0), // 20 from 7 back
      Uint8Array.of(3 | (11 << 2), 1, 0, 0, 0), // 12 from 1 back
    ]
    const expected = Buffer.concat([literal, Buffer.from('abcdefga'), Buffer.alloc(20, 'fgabcdefga'.slice(2, 9))])
    const out = snappyDecompress(Buffer.concat(body), 340)
    expect(Buffer.from(out.subarray(0, 308))).toEqual(expected.subarray(0, 308))
    for (let i = 308; i < 328; i++) expect(out[i]).toBe(out[i - 7])
    expect([...out.subarray(328)]).toEqual(Array(12).fill(out[327]))
  })

  test('refuses what reaches outside', () => {
    for (const damaged of [
      [],
      [5],
      [5, 0xf0],
      [5, 0x10, 1, 2],
      [4, 0x01, 1],
      [4, 0x00, 7, 0x09, 2],
      [4, 0x00, 7, 0x0d, 1],
      [0x80, 0x80, 0x80, 0x80, 0x80, 1],
    ])
      expect(() => snappyDecompress(Uint8Array.from(damaged), 4)).toThrow("in Snappy's format, found damage")
  })
})
