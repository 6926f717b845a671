import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Value, Vector } from '../../lib/columns/batch.ts'
import { type ColumnType, numbered } from '../../lib/columns/schema.ts'
import { batchOf } from '../../lib/columns/values.ts'
import { civilFromDays, daysFromMonth } from '../../lib/iceberg/civil.ts'
import { murmur3, murmur3Long } from '../../lib/iceberg/murmur3.ts'
import { transformColumn } from '../../lib/iceberg/transforms.ts'
import type { Transform } from '../../lib/pipeline/plan.ts'

const vectorOf = (type: ColumnType, values: Value[]): Vector =>
  batchOf(
    numbered([{ name: 'v', type, required: false }]),
    values.map((v) => ({ v })),
  ).vectors[0]
const transformed = (transform: Transform, type: ColumnType, values: Value[]) => {
  const { codes, values: distinct } = transformColumn(transform, vectorOf(type, values), values.length)
  return Array.from(codes, (code) => distinct[code])
}
const micros = (iso: string) => BigInt(Date.parse(iso)) * 1000n
const utf8 = (text: string) => new TextEncoder().encode(text)

describe('murmur3', () => {
  it('gives the hashes of the Iceberg spec, appendix B', () => {
    expect(murmur3Long(34, 0)).toBe(2017239379)
    expect(
      murmur3Long(Number(BigInt.asIntN(32, micros('2017-11-16T22:31:08Z'))), Number(micros('2017-11-16T22:31:08Z') >> 32n)),
    ).toBe(-2047944441)
    expect(murmur3(utf8('iceberg'))).toBe(1210000089)
    expect(murmur3(Uint8Array.of(0, 1, 2, 3))).toBe(-188683207)
  })

  it('hashes a long as its eight bytes, and a range as a copy of it', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        fc.uint8Array({ maxLength: 40 }),
        fc.nat(8),
        (long, bytes, pad) => {
          const words = new Int32Array(BigInt64Array.of(long).buffer)
          expect(murmur3Long(words[0], words[1])).toBe(murmur3(new Uint8Array(words.buffer)))
          const padded = new Uint8Array(pad + bytes.length + 3).fill(255)
          padded.set(bytes, pad)
          expect(murmur3(padded, pad, pad + bytes.length)).toBe(murmur3(bytes))
        },
      ),
    )
  })
})

describe('calendar', () => {
  it('agrees with Date wherever Date reaches', () => {
    fc.assert(
      fc.property(fc.integer({ min: -100_000_000, max: 100_000_000 }), (days) => {
        const date = new Date(days * 86_400_000)
        expect(civilFromDays(days)).toEqual({
          year: date.getUTCFullYear(),
          month: date.getUTCMonth() + 1,
          day: date.getUTCDate(),
        })
        const months = (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth()
        expect(daysFromMonth(months)).toBe(days - date.getUTCDate() + 1)
      }),
    )
  })
})

describe('partition transforms', () => {
  it('bucket gives the bucket of the spec for every type it takes', () => {
    const bucket: Transform = { kind: 'bucket', buckets: 16 }
    const of = (hash: number) => (hash & 0x7fffffff) % 16
    expect(transformed(bucket, 'int', [34])).toEqual([of(2017239379)])
    expect(transformed(bucket, 'long', [34n])).toEqual([of(2017239379)])
    expect(transformed(bucket, 'timestamptz', [micros('2017-11-16T14:31:08-08:00')])).toEqual([of(-2047944441)])
    expect(transformed(bucket, 'string', ['iceberg', null, 'iceberg'])).toEqual([of(1210000089), null, of(1210000089)])
    expect(transformed(bucket, 'binary', [Uint8Array.of(0, 1, 2, 3)])).toEqual([of(-188683207)])
    expect(transformed(bucket, 'int', [-7])).toEqual(transformed(bucket, 'long', [-7n]))
  })

  it('times count from 1970 and are floored before it', () => {
    const times = [
      '2017-11-16T22:31:08Z',
      '1970-01-01T00:00:00Z',
      '1969-12-31T23:59:59.999Z',
      '1969-01-01T00:00:00Z',
      '0001-01-01T00:00:00Z',
    ].map(micros)
    expect(transformed({ kind: 'year' }, 'timestamptz', times)).toEqual([47, 0, -1, -1, -1969])
    expect(transformed({ kind: 'month' }, 'timestamptz', times)).toEqual([574, 0, -1, -12, -23628])
    expect(transformed({ kind: 'day' }, 'timestamptz', times)).toEqual([17486, 0, -1, -365, -719162])
    expect(transformed({ kind: 'hour' }, 'timestamptz', times)).toEqual([419686, 0, -1, -8760, -17259888])
    expect(transformed({ kind: 'day' }, 'timestamptz', [-1n, 86_399_999_999n, 86_400_000_000n])).toEqual([-1, 0, 1])
  })

  it('times are exact over all 64 bits, also next to the edge of a unit', () => {
    const day = 86_400_000_000n
    const floorOf = (us: bigint, unit: bigint) => (us - (((us % unit) + unit) % unit)) / unit
    const anywhere = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    const edge = fc
      .bigInt({ min: -106_751_991n, max: 106_751_991n })
      .chain((d) => fc.constantFrom(d * day - 1n, d * day, d * day + 1n))
    fc.assert(
      fc.property(fc.array(fc.option(fc.oneof(anywhere, edge)), { minLength: 1, maxLength: 20 }), (times) => {
        const days = times.map((us) => (us === null ? null : Number(floorOf(us, day))))
        expect(transformed({ kind: 'day' }, 'timestamptz', times)).toEqual(days)
        expect(transformed({ kind: 'hour' }, 'timestamptz', times)).toEqual(
          times.map((us) => (us === null ? null : Number(BigInt.asIntN(32, floorOf(us, day / 24n))))),
        )
        expect(transformed({ kind: 'year' }, 'timestamptz', times)).toEqual(
          days.map((d) => (d === null ? null : civilFromDays(d).year - 1970)),
        )
        expect(transformed({ kind: 'month' }, 'timestamptz', times)).toEqual(
          days.map((d) => {
            if (d === null) return null
            const { year, month } = civilFromDays(d)
            return (year - 1970) * 12 + month - 1
          }),
        )
      }),
    )
  })

  it('identity keeps every value of every type, null, NaN and minus zero among them', () => {
    const cases: [ColumnType, Value[]][] = [
      ['boolean', [true, false, null, true]],
      ['int', [3, -3, null, 3]],
      ['long', [2n ** 62n, null, 2n ** 62n, -1n, -1n]],
      ['double', [1.5, Number.NaN, null, 0, -0, Number.NaN, Number.NEGATIVE_INFINITY]],
      ['string', ['a', '', null, 'ä', 'a']],
      ['binary', [Uint8Array.of(1), Uint8Array.of(), null, Uint8Array.of(1)]],
      ['timestamptz', [0n, 0n, null, 5n]],
    ]
    for (const [type, values] of cases) {
      expect(transformed({ kind: 'identity' }, type, values)).toEqual(values)
      const { values: distinct } = transformColumn({ kind: 'identity' }, vectorOf(type, values), values.length)
      expect(new Set(distinct.map((v) => (Object.is(v, -0) ? '-0' : String(v)))).size).toBe(distinct.length)
    }
  })

  it('equal strings share a code though a dictionary holds them twice', () => {
    const vector: Vector = {
      type: 'string',
      codes: Int32Array.of(0, 1, 2, 0),
      entries: 3,
      offsets: Int32Array.of(0, 1, 2, 3),
      bytes: utf8('aab'),
      validity: undefined,
    }
    expect(transformColumn({ kind: 'identity' }, vector, 4)).toEqual({ codes: Int32Array.of(0, 0, 1, 0), values: ['a', 'b'] })
  })
})
