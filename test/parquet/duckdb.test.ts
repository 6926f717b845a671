import { describe, expect, test } from 'vitest'
import type { ColumnType } from '../../lib/columns/schema.ts'
import { batchOf } from '../../lib/columns/values.ts'
import { parquetWriter } from '../../lib/parquet/writer.ts'
import { fieldsOf, queryWithDuckDb, type Row, withoutCodes, write, writeRows } from './support.ts'

const TYPES: readonly ColumnType[] = ['boolean', 'int', 'long', 'double', 'string', 'binary', 'timestamptz']

/** Row i of a table of every type; each column is null in every fifth row, another fifth for each. */
function everyType(i: number): Row {
  const values: Row = {
    boolean_0: i % 3 === 0,
    int_1: i - 1000,
    long_2: 2n ** 40n * BigInt(i - 700),
    double_3: i / 8,
    string_4: i % 2 === 0 ? `symbol ${i % 7}` : `text of row ${i}`,
    binary_5: Uint8Array.of(i & 255, 0, 255),
    timestamptz_6: 1_705_641_634_567_891n + BigInt(i),
  }
  return Object.fromEntries(Object.entries(values).map(([name, value], k) => [name, (i + k) % 5 === 0 ? null : value]))
}

describe('DuckDB', () => {
  test.each(['zstd', 'gzip', 'snappy', 'none'] as const)(
    'reads every type with nulls over many pages and row groups (%s)',
    async (codec) => {
      const fields = fieldsOf(TYPES)
      const rows = Array.from({ length: 20_000 }, (_, i) => everyType(i))
      const batches = Array.from({ length: 8 }, (_, k) => batchOf(fields, rows.slice(k * 2500, (k + 1) * 2500)))
      const file = write(
        fields,
        batches.map((batch, k) => (k % 2 === 0 ? batch : withoutCodes(batch))),
        { codec, pageBytes: 5000, rowGroupBytes: 300_000, maxDictionaryBytes: 20_000 },
      )
      expect(file.splitOffsets.length).toBeGreaterThan(1)
      const found = await queryWithDuckDb(
        file,
        'SELECT * REPLACE (epoch_us(timestamptz_6) AS timestamptz_6, hex(binary_5) AS binary_5) FROM read_parquet($FILE)',
      )
      const expected = rows.map((row) => ({
        ...row,
        binary_5:
          row.binary_5 &&
          Buffer.from(row.binary_5 as Uint8Array)
            .toString('hex')
            .toUpperCase(),
      }))
      expect(found).toEqual(expected)
    },
  )

  test('notices a changed byte in any page: zstd carries a checksum', async () => {
    const fields = fieldsOf(['long', 'string'])
    const rows = Array.from({ length: 3000 }, (_, i) => ({ long_0: BigInt(i * i), string_1: `text ${i % 50} of ${i}` }))
    const file = writeRows(fields, rows, { pageBytes: 4000 })
    const sql = 'SELECT sum(long_0), sum(hash(string_1)) FROM read_parquet($FILE)'
    await queryWithDuckDb(file, sql)
    const bytes = Buffer.concat(file.parts)
    const footerAt = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8)
    let unnoticed = 0
    for (let at = 200; at < footerAt; at += 397) {
      const damaged = Buffer.from(bytes)
      damaged[at] ^= 0x10
      const answer = await queryWithDuckDb({ ...file, parts: [damaged] }, sql).catch(() => undefined)
      if (answer !== undefined) unnoticed++
    }
    // What lies in a header of a page, and not in the page, may change without a change of any value.
    expect(unnoticed).toBeLessThanOrEqual(2)
  })

  test('sees field ids, types, nullability and logical types', async () => {
    const optional = fieldsOf(TYPES)
    const fields = [...optional, { id: 99, name: 'last', type: 'int', required: true } as const]
    const schema = await queryWithDuckDb(
      parquetWriter(fields).finish(),
      'SELECT name, type, repetition_type, converted_type, logical_type, field_id FROM parquet_schema($FILE) OFFSET 1',
    )
    const row = (name: string, type: string, id: number, converted: string | null, logical: string | null) => ({
      name,
      type,
      repetition_type: id === 99 ? 'REQUIRED' : 'OPTIONAL',
      converted_type: converted,
      logical_type: logical,
      field_id: BigInt(id),
    })
    expect(schema).toEqual([
      row('boolean_0', 'BOOLEAN', 11, null, null),
      row('int_1', 'INT32', 12, null, null),
      row('long_2', 'INT64', 13, null, null),
      row('double_3', 'DOUBLE', 14, null, null),
      row('string_4', 'BYTE_ARRAY', 15, 'UTF8', 'StringType()'),
      row('binary_5', 'BYTE_ARRAY', 16, null, null),
      row(
        'timestamptz_6',
        'INT64',
        17,
        'TIMESTAMP_MICROS',
        'TimestampType(isAdjustedToUTC=1, unit=TimeUnit(MILLIS=<null>, MICROS=MicroSeconds(), NANOS=<null>))',
      ),
      row('last', 'INT32', 99, null, null),
    ])
  })

  test('types the columns as we mean them, without rows too', async () => {
    const described = await queryWithDuckDb(parquetWriter(fieldsOf(TYPES)).finish(), 'DESCRIBE FROM read_parquet($FILE)')
    expect(described.map((column) => column.column_type)).toEqual([
      'BOOLEAN',
      'INTEGER',
      'BIGINT',
      'DOUBLE',
      'VARCHAR',
      'BLOB',
      'TIMESTAMP WITH TIME ZONE',
    ])
  })

  test('sees the statistics of each row group', async () => {
    const fields = fieldsOf(['long', 'double', 'string', 'timestamptz', 'int'])
    const row = (i: number): Row => ({
      long_0: -(2n ** 40n) * BigInt(i),
      double_1: i === 1 ? null : -0,
      string_2: i === 1 ? 'b'.repeat(70) : 'é',
      timestamptz_3: BigInt(i),
      int_4: null,
    })
    const file = writeRows(fields, [row(1), row(2), row(3)])
    const found = await queryWithDuckDb(
      file,
      `SELECT path_in_schema, stats_min_value, stats_max_value, stats_null_count, min_is_exact, max_is_exact, num_values, compression
       FROM parquet_metadata($FILE)`,
    )
    const of = (
      name: string,
      min: string | null,
      max: string | null,
      nulls: bigint,
      minExact: boolean | null,
      maxExact: boolean | null,
    ) => ({
      path_in_schema: name,
      stats_min_value: min,
      stats_max_value: max,
      stats_null_count: nulls,
      min_is_exact: minExact,
      max_is_exact: maxExact,
      num_values: 3n,
      compression: 'ZSTD',
    })
    expect(found).toEqual([
      of('long_0', `${-3n * 2n ** 40n}`, `${-(2n ** 40n)}`, 0n, true, true),
      of('double_1', '-0.0', '0.0', 1n, true, true),
      of('string_2', 'b'.repeat(64), 'é', 0n, false, true),
      of('timestamptz_3', '1970-01-01 00:00:00.000001+00', '1970-01-01 00:00:00.000003+00', 0n, true, true),
      of('int_4', null, null, 3n, null, null),
    ])
  })

  test('finds rows by filters that prune row groups by their statistics', async () => {
    const fields = fieldsOf(['long', 'string'])
    const rows: Row[] = Array.from({ length: 20_000 }, (_, i) => ({
      long_0: BigInt(i),
      string_1: `${'x'.repeat(80)}${i + 10_000}`,
    }))
    const file = writeRows(fields, rows, { rowGroupBytes: 100_000 })
    expect(file.splitOffsets.length).toBeGreaterThan(3)
    const count = (where: string) => queryWithDuckDb(file, `SELECT count(*) AS n FROM read_parquet($FILE) WHERE ${where}`)
    expect(await count('long_0 BETWEEN 4000 AND 12000')).toEqual([{ n: 8001n }])
    expect(await count(`string_1 = repeat('x', 80) || '29999'`)).toEqual([{ n: 1n }])
    expect(await count(`string_1 >= repeat('x', 80) || '20000'`)).toEqual([{ n: 10_000n }])
    const extremes = await queryWithDuckDb(file, 'SELECT min(string_1) AS a, max(string_1) AS b FROM read_parquet($FILE)')
    expect(extremes).toEqual([{ a: rows[0]!.string_1, b: rows.at(-1)!.string_1 }])
  })

  test('finds NaN above every number, though bounds leave it out', async () => {
    const fields = fieldsOf(['double'])
    const file = writeRows(fields, [{ double_0: 1 }, { double_0: Number.NaN }, { double_0: null }])
    expect(await queryWithDuckDb(file, 'SELECT count(*) AS n FROM read_parquet($FILE) WHERE double_0 > 100')).toEqual([{ n: 1n }])
  })

  test('reads columns that are null throughout', async () => {
    const fields = fieldsOf(TYPES)
    const file = writeRows(
      fields,
      Array.from({ length: 3000 }, () => ({})),
      { pageBytes: 1000 },
    )
    const counts = TYPES.map((type, i) => `count(${type}_${i})`).join(' + ')
    expect(await queryWithDuckDb(file, `SELECT count(*) AS rows, ${counts} AS n FROM read_parquet($FILE)`)).toEqual([
      { rows: 3000n, n: 0n },
    ])
  })

  test.each([1, 2, 256, 257, 65_537])('reads codes of a dictionary of %i entries, nulls between', async (distinct) => {
    const fields = fieldsOf(['string'])
    const rows: Row[] = Array.from({ length: 3 * distinct + 7 }, (_, i) => ({
      string_0: i % 4 === 1 ? null : `value ${i % distinct}`,
    }))
    const found = await queryWithDuckDb(writeRows(fields, rows), 'SELECT string_0 FROM read_parquet($FILE)')
    expect(found).toEqual(rows)
  })

  test('reads chunks that change from codes to PLAIN, and pages of nulls before the first value', async () => {
    const fields = fieldsOf(['string'])
    const rows: Row[] = [
      ...Array.from({ length: 600 }, () => ({ string_0: null })),
      ...Array.from({ length: 600 }, (_, i) => ({ string_0: `few ${i % 3}` })),
      ...Array.from({ length: 600 }, (_, i) => ({ string_0: `many ${i}` })),
    ]
    const file = writeRows(fields, rows, { pageBytes: 800, maxDictionaryBytes: 2000 })
    const encodings = await queryWithDuckDb(file, 'SELECT encodings FROM parquet_metadata($FILE)')
    expect(encodings).toEqual([{ encodings: 'PLAIN, RLE, RLE_DICTIONARY' }])
    expect(await queryWithDuckDb(file, 'SELECT string_0 FROM read_parquet($FILE)')).toEqual(rows)
  })
})
