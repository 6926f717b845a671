import { crc32, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Batch, BytesVector, Value } from '../../lib/columns/batch.ts'
import { batchOf, emptyBatch, rowsOf, take, valueAt } from '../../lib/columns/operations.ts'
import { type ColumnType, type Fields, numbered } from '../../lib/columns/schema.ts'
import { isKind } from '../../lib/errors.ts'
import { decodeSlice, encodeSlice, MAX_SLICE_VALUES } from '../../lib/stream/slice.ts'

const label = { source: 'trades', target: 'table:raw_trades' }
const roundTrip = (batch: Batch) => decodeSlice(encodeSlice(label, batch)).batch

const arbitraries: Record<ColumnType, fc.Arbitrary<Value>> = {
  boolean: fc.boolean(),
  int: fc.oneof(fc.integer(), fc.integer({ min: 0, max: 300 }), fc.constantFrom(-(2 ** 31), 2 ** 31 - 1)),
  long: fc.oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.bigInt({ min: -300n, max: 70_000n }),
    fc.bigInt({ min: 2n ** 53n - 3n, max: 2n ** 53n + 3n }),
    fc.bigInt({ min: 0n, max: 2n ** 32n + 1n }),
  ),
  double: fc.oneof(fc.double(), fc.constantFrom(0, -0, 0.1)),
  string: fc.oneof(fc.constantFrom('', 'BTC', 'ETH', '\u0000', '𝄞'), fc.string({ unit: 'grapheme', maxLength: 300 })),
  binary: fc.uint8Array({ maxLength: 300 }),
  timestamptz: fc.oneof(
    fc.bigInt({ min: -8_640_000_000_000_000_000n, max: 8_640_000_000_000_000_000n }),
    fc.integer({ min: -100_000, max: 2 ** 40 }).map((ms) => BigInt(ms) * 1000n),
  ),
}
const types = Object.keys(arbitraries) as ColumnType[]

const batches: fc.Arbitrary<Batch> = fc
  .array(fc.record({ type: fc.constantFrom(...types), nulls: fc.constantFrom(0, 1, 3, 1e9), constant: fc.boolean() }), {
    maxLength: 6,
  })
  .chain((columns) => {
    const fields = numbered(columns.map(({ type, nulls }, i) => ({ name: `c${i}`, type, required: nulls === 0 })))
    const row = fc.tuple(
      ...columns.map(({ type, nulls }) =>
        nulls === 0
          ? arbitraries[type]
          : nulls === 1e9
            ? fc.constant(null)
            : fc.option(arbitraries[type], { nil: null, freq: nulls }),
      ),
    )
    return fc.array(row, { maxLength: 40 }).map((rows) =>
      batchOf(
        fields,
        rows.map((values) =>
          Object.fromEntries(
            values.map((value, i) => [`c${i}`, columns[i].constant && value !== null ? (rows[0][i] ?? value) : value]),
          ),
        ),
      ),
    )
  })

/** Strings without a dictionary, as a source with too many of them has. */
function plain(batch: Batch): Batch {
  return {
    ...batch,
    vectors: batch.vectors.map((vector): BytesVector | typeof vector => {
      if ((vector.type !== 'string' && vector.type !== 'binary') || vector.codes === undefined) return vector
      const entries = [...vector.codes].map((code) => vector.bytes.slice(vector.offsets[code], vector.offsets[code + 1]))
      const offsets = new Int32Array(batch.rows + 1)
      for (const [i, entry] of entries.entries()) offsets[i + 1] = offsets[i] + entry.length
      return { ...vector, codes: undefined, entries: batch.rows, offsets, bytes: new Uint8Array(Buffer.concat(entries)) }
    }),
  }
}

const trades: Fields = numbered([
  { name: 'symbol', type: 'string', required: true },
  { name: 'ts', type: 'long', required: true },
  { name: 'price', type: 'double', required: true },
  { name: 'side', type: 'string', required: false },
  { name: 'event_time', type: 'timestamptz', required: true },
])
const tradeRows = (n: number) =>
  batchOf(
    trades,
    Array.from({ length: n }, (_, i) => ({
      symbol: ['BTC', 'ETH'][i % 2],
      ts: 1_700_000_000_000 + i * 7,
      price: 100 + i / 8,
      side: i % 3 === 0 ? null : 'buy',
      event_time: (1_700_000_000_000 + i * 7) * 1000,
    })),
  )

describe('a slice', () => {
  test('gives back exactly what was put in: every type, nulls, no rows, no columns', () => {
    fc.assert(
      fc.property(batches, (batch) => {
        const found = roundTrip(batch)
        expect(found.fields).toEqual(batch.fields)
        expect(rowsOf(found)).toEqual(rowsOf(batch))
        expect(rowsOf(roundTrip(plain(batch)))).toEqual(rowsOf(batch))
        // The slot of a null is 0 or the empty string.
        const bare = found.vectors.map((vector) => ({ ...vector, validity: undefined }))
        for (const [k, vector] of found.vectors.entries())
          for (let i = 0; i < found.rows; i++)
            if (vector.validity?.[i] === 0) {
              const slot = valueAt(bare[k], i)
              expect(slot instanceof Uint8Array ? slot.length : Number(slot)).toBe(0)
            }
      }),
      { numRuns: 2000 },
    )
  })

  test('keeps its label and schema, and has no optional ones that were not given', () => {
    const full = { ...label, operator: 'candles', fingerprint: 'ab12' }
    expect(decodeSlice(encodeSlice(full, tradeRows(3))).header).toEqual({ ...full, rows: 3, schema: trades })
    expect(Object.keys(decodeSlice(encodeSlice(label, emptyBatch(trades))).header)).toEqual([
      'source',
      'target',
      'rows',
      'schema',
    ])
  })

  test('is the same bytes for the same rows, whatever their dictionaries still hold', () => {
    const batch = tradeRows(1000)
    const odd = Int32Array.from({ length: 300 }, (_, i) => 2 * i + 1)
    const taken = take(batch, odd)
    const rebuilt = batchOf(trades, rowsOf(taken))
    expect(Buffer.from(encodeSlice(label, taken)).equals(Buffer.from(encodeSlice(label, rebuilt)))).toBe(true)
  })

  test('drops the unused entries of a dictionary', () => {
    const fields = numbered([{ name: 's', type: 'string', required: true }])
    const wide = batchOf(
      fields,
      Array.from({ length: 5000 }, (_, i) => ({ s: `entry number ${i * 7919}` })),
    )
    const two = roundTrip(take(wide, Int32Array.of(4000, 4001, 4000, 4000, 4000)))
    expect((two.vectors[0] as BytesVector).entries).toBeLessThanOrEqual(5)
    expect(encodeSlice(label, take(wide, Int32Array.of(4000, 4001, 4000))).length).toBeLessThan(250)
  })

  test('is many times smaller than its rows in memory', () => {
    expect(encodeSlice(label, tradeRows(10_000)).length).toBeLessThan(10_000 * 10)
  })

  test('reads no further than the rows, where vectors are longer', () => {
    const batch = tradeRows(50)
    expect(rowsOf(roundTrip({ ...batch, rows: 20 }))).toEqual(rowsOf(batch).slice(0, 20))
  })

  test('can stand anywhere in a larger buffer, aligned or not', () => {
    const slice = encodeSlice(label, tradeRows(100))
    for (let shift = 0; shift < 8; shift++) {
      const segment = new Uint8Array(slice.length + 16)
      segment.set(slice, shift)
      expect(rowsOf(decodeSlice(segment.subarray(shift, shift + slice.length)).batch)).toEqual(rowsOf(tradeRows(100)))
    }
  })
})

describe('a damaged slice', () => {
  const outcome = (bytes: Uint8Array) => {
    try {
      decodeSlice(bytes)
      return 'rows'
    } catch (error) {
      return isKind(error, 'Corrupt') ? 'Corrupt' : isKind(error, 'Refused') ? 'Refused' : String(error)
    }
  }

  test('with any byte changed is Corrupt or Refused, never other rows', () => {
    for (const batch of [tradeRows(3), tradeRows(60), emptyBatch(trades)]) {
      const slice = encodeSlice(label, batch)
      for (let i = 0; i < slice.length; i++)
        for (const flip of [1, 0x80, 0xff]) {
          const bad = new Uint8Array(slice)
          bad[i] ^= flip
          expect(['Corrupt', 'Refused']).toContain(outcome(bad))
        }
    }
  })

  test('cut short at any place, or with something after it, is Corrupt', () => {
    const slice = encodeSlice(label, tradeRows(60))
    for (let i = 0; i < slice.length; i++) expect(outcome(slice.subarray(0, i))).toBe('Corrupt')
    expect(outcome(Buffer.concat([slice, Uint8Array.of(0)]))).toBe('Corrupt')
  })

  test('of a version not known is Refused', () => {
    const slice = new Uint8Array(encodeSlice(label, tradeRows(3)))
    slice[4] = 2
    expect(outcome(slice)).toBe('Refused')
  })

  /** A slice with any header and body, and a checksum that fits: only the reader's own checks stand in its way. */
  function forged(header: string, body: Uint8Array, bodyBytes = body.length, codec = 0): Uint8Array {
    const text = Buffer.from(header)
    const slice = Buffer.alloc(20 + text.length + body.length + 4)
    slice.write('FZSL', 0, 'latin1')
    slice[4] = 1
    slice[5] = codec
    slice.writeUInt32LE(text.length, 8)
    slice.writeUInt32LE(bodyBytes, 12)
    slice.writeUInt32LE(body.length, 16)
    slice.set(text, 20)
    slice.set(body, 20 + text.length)
    slice.writeUInt32LE(crc32(slice.subarray(0, slice.length - 4)), slice.length - 4)
    return slice
  }
  const head = (rows: number, ...columns: [number, string, string, number][]) =>
    JSON.stringify({ source: 's', target: 't', rows, columns })

  test('that claims more than its bytes hold is refused before memory is taken for it', () => {
    const nothing = new Uint8Array(0)
    expect(outcome(forged(head(0), nothing))).toBe('rows')
    expect(outcome(forged(head(MAX_SLICE_VALUES + 1, [1, 'a', 'int', 1]), nothing))).toBe('Corrupt')
    expect(outcome(forged(head(1e6, [1, 'a', 'double', 1]), Uint8Array.of(0, 2)))).toBe('Corrupt')
    expect(outcome(forged(head(3, [1, 'a', 'string', 1]), Uint8Array.of(0, 4, 255, 255, 255, 255, 0, 0, 0, 0, 0)))).toBe(
      'Corrupt',
    )
    expect(outcome(forged(head(3, [1, 'a', 'string', 1]), Uint8Array.of(0, 5, 0, 255, 255, 255, 255)))).toBe('Corrupt')
    expect(outcome(forged(head(3, [1, 'a', 'string', 1]), Uint8Array.of(0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2)))).toBe(
      'Corrupt',
    )
    const bomb = zstdCompressSync(new Uint8Array(1 << 20))
    expect(outcome(forged(head(0), bomb, 10, 1))).toBe('Corrupt')
    expect(outcome(forged(head(0), bomb, 0xffffffff, 1))).toBe('Corrupt')
    expect(outcome(forged(head(0), bomb, 1 << 20, 1))).toBe('Corrupt')
  })

  test('with any header or body at all is Corrupt, and never another error', () => {
    const column = fc.tuple(fc.integer(), fc.string(), fc.oneof(fc.constantFrom(...types), fc.string()), fc.constantFrom(0, 1))
    const header = fc.oneof(
      fc.json(),
      fc.string(),
      fc
        .tuple(fc.oneof(fc.nat(40), fc.double()), fc.array(column, { maxLength: 3 }))
        .map(([rows, columns]) => head(rows, ...columns)),
      fc
        .tuple(
          fc.nat(40),
          fc.array(
            column.map((c) => [c[0], c[1], 'string', 1] as typeof c),
            { maxLength: 2 },
          ),
        )
        .map(([rows, columns]) => head(rows, ...columns)),
    )
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.nat(5), { maxLength: 100 }).map((list) => Uint8Array.from(list)),
    )
    fc.assert(
      fc.property(header, body, fc.nat(2), (text, bytes, codec) => {
        expect(['rows', 'Corrupt']).toContain(outcome(forged(text, bytes, bytes.length, codec)))
      }),
      { numRuns: 5000 },
    )
  })
})
