import fc from 'fast-check'
import type { Batch, Value } from '../../lib/columns/batch.ts'
import type { ColumnType, Field, Fields } from '../../lib/columns/schema.ts'
import { batchOf } from '../../lib/columns/values.ts'
import type { ParquetOptions } from '../../lib/parquet/writer.ts'
import { type Row, withoutCodes } from './support.ts'

export const TYPES: readonly ColumnType[] = ['boolean', 'int', 'long', 'double', 'string', 'binary', 'timestamptz']

const longs = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -3n, max: 3n }),
  fc.constantFrom(-(2n ** 32n), -(2n ** 31n), 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n),
)
const VALUES: Readonly<Record<ColumnType, fc.Arbitrary<Value>>> = {
  boolean: fc.boolean(),
  int: fc.oneof(fc.integer(), fc.integer({ min: -2, max: 2 })),
  long: longs,
  timestamptz: longs,
  double: fc.oneof(fc.double(), fc.constantFrom(0, -0, Number.NaN, 1, -1)),
  string: fc.oneof(
    fc.constantFrom('', 'a', 'BTCUSDT', 'a string of more than sixteen', '\ufeffmark', '😀'.repeat(20), '\u{10ffff}'.repeat(17)),
    fc.string({ unit: 'binary', maxLength: 30 }).filter((value) => value.isWellFormed()),
  ),
  binary: fc.oneof(fc.uint8Array({ maxLength: 30 }), fc.constant(new Uint8Array(20).fill(255))),
}

export interface Case {
  readonly fields: Fields
  readonly rows: readonly Row[]
  readonly options: Partial<ParquetOptions>
}

const field = fc.record({ type: fc.constantFrom(...TYPES), required: fc.boolean() })
/** A table: columns, rows, and how to write it. */
export const cases: fc.Arbitrary<Case> = fc
  .array(field, { minLength: 1, maxLength: 4 })
  .map((all): Fields => all.map((one, i): Field => ({ id: 100 - i, name: `column ${i}`, ...one })))
  .chain((fields) =>
    fc.record({
      fields: fc.constant(fields),
      rows: fc.array(
        fc.record(
          Object.fromEntries(
            fields.map((one) => [one.name, one.required ? VALUES[one.type] : fc.oneof(fc.constant(null), VALUES[one.type])]),
          ),
        ),
        { maxLength: 120, size: 'max' },
      ),
      options: fc.record({
        codec: fc.constantFrom('zstd', 'gzip', 'snappy', 'none'),
        zstdLevel: fc.constantFrom(1, 3, 12),
        gzipLevel: fc.constantFrom(0, 1, 9),
        pageBytes: fc.constantFrom(1, 16, 100, 1000, 1 << 20),
        pageRows: fc.constantFrom(1, 7, 131_072),
        rowGroupBytes: fc.constantFrom(1, 64, 1000, 1 << 25),
        maxDictionaryBytes: fc.constantFrom(0, 40, 1 << 20),
      }),
    }),
  )

/** Rows cut into batches of `size`, half of them without dictionaries. */
export function cut(fields: Fields, rows: readonly Row[], size: number): Batch[] {
  const batches: Batch[] = []
  for (let at = 0; at < rows.length; at += size) {
    const batch = batchOf(fields, rows.slice(at, at + size))
    batches.push(batches.length % 2 === 0 ? batch : withoutCodes(batch))
  }
  return batches
}
