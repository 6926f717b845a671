import { zstdCompressSync } from 'node:zlib'
import avsc from 'avsc'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readAvro } from '../../lib/iceberg/avro-read.ts'
import { type AvroRecord, type AvroRow, avroName, optional } from '../../lib/iceberg/avro-schema.ts'
import { writeAvro } from '../../lib/iceberg/avro-write.ts'

const sync = Uint8Array.from({ length: 16 }, (_, i) => i * 7)
const record = (fields: AvroRecord['fields']): AvroRecord => ({ type: 'record', name: 'r', fields })

/** One field of each type that Iceberg's metadata uses. */
const everything = record([
  { name: 'flag', type: 'boolean' },
  { name: 'small', type: 'int', 'field-id': 7 },
  { name: 'large', type: 'long' },
  { name: 'real', type: 'double' },
  { name: 'text', type: 'string' },
  { name: 'raw', type: 'bytes' },
  { name: 'date', type: optional({ type: 'int', logicalType: 'date' }), default: null },
  { name: 'list', type: optional({ type: 'array', items: 'long', 'element-id': 133 }), default: null },
  {
    name: 'pairs',
    type: {
      type: 'array',
      logicalType: 'map',
      items: {
        type: 'record',
        name: 'k1_v2',
        fields: [
          { name: 'key', type: 'int' },
          { name: 'value', type: 'bytes' },
        ],
      },
    },
  },
])

const bytes = fc.uint8Array({ maxLength: 20 })
const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const row = fc.record({
  flag: fc.boolean(),
  small: fc.integer(),
  large: long,
  real: fc.double(),
  text: fc.string({ unit: 'grapheme' }),
  raw: bytes,
  date: fc.option(fc.integer()),
  list: fc.option(fc.array(long, { maxLength: 5 })),
  pairs: fc.array(fc.record({ key: fc.integer(), value: bytes }), { maxLength: 5 }),
})
/** Copies into plain objects and arrays, as what we read has no prototypes. */
const plain = (rows: readonly AvroRow[]) =>
  rows.map((r) => ({ ...r, pairs: (r.pairs as readonly AvroRow[]).map((pair) => ({ ...pair })) }))

const written = (rows: readonly AvroRow[], codec: 'deflate' | 'null' = 'deflate') =>
  writeAvro({ schema: everything, rows, metadata: { extra: 'täg' }, sync, codec })

/** avsc reads longs as bigints only when told how. */
const bigintLong = avsc.types.LongType.__with({
  fromBuffer: (b: Buffer) => b.readBigInt64LE(),
  toBuffer: (n: bigint) => {
    const b = Buffer.alloc(8)
    b.writeBigInt64LE(n)
    return b
  },
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (n: unknown) => typeof n === 'bigint',
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
})
const peerType = avsc.Type.forSchema(JSON.parse(JSON.stringify(everything)), {
  registry: { long: bigintLong },
  wrapUnions: false,
})

async function peerReads(file: Uint8Array): Promise<AvroRow[]> {
  const rows: AvroRow[] = []
  const decoder = new avsc.streams.BlockDecoder({ parseHook: () => peerType })
  decoder.on('data', (value: AvroRow) => rows.push(value))
  const done = new Promise((resolve, reject) => decoder.on('end', resolve).on('error', reject))
  decoder.end(Buffer.from(file))
  await done
  return rows
}

async function peerWrites(rows: readonly AvroRow[], codec: 'deflate' | 'null'): Promise<Uint8Array> {
  const encoder = new avsc.streams.BlockEncoder(peerType, { codec, syncMarker: Buffer.from(sync) })
  const chunks: Buffer[] = []
  encoder.on('data', (chunk: Buffer) => chunks.push(chunk))
  const done = new Promise((resolve) => encoder.on('end', resolve))
  for (const value of rows) encoder.write(value)
  encoder.end()
  await done
  return new Uint8Array(Buffer.concat(chunks))
}

describe('the Avro codec', () => {
  it('reads back every value that it wrote, longs to the last bit', () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 20 }), fc.constantFrom('deflate' as const, 'null' as const), (rows, codec) => {
        expect(plain(readAvro(written(rows, codec), { location: 'x' }).rows)).toEqual(rows)
      }),
    )
  })

  it('writes what avsc reads', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 20 }), async (rows) => {
        const read = await peerReads(written(rows))
        expect(
          read.map((r) => ({
            ...r,
            raw: new Uint8Array(r.raw as Buffer),
            pairs: (r.pairs as { key: number; value: Buffer }[]).map(({ key, value }) => ({ key, value: new Uint8Array(value) })),
          })),
        ).toEqual(rows)
      }),
      { numRuns: 50 },
    )
  })

  it('reads what avsc writes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { minLength: 1, maxLength: 20 }),
        fc.constantFrom('deflate' as const, 'null' as const),
        async (rows, codec) => {
          const forPeer = rows.map((r) => ({
            ...r,
            raw: Buffer.from(r.raw),
            pairs: r.pairs.map(({ key, value }) => ({ key, value: Buffer.from(value) })),
          }))
          const read = readAvro(await peerWrites(forPeer, codec), { location: 'x' })
          expect(plain(read.rows)).toEqual(rows)
        },
      ),
      { numRuns: 50 },
    )
  })

  it('keeps the header: own keys, codec, and the schema with its field ids', () => {
    const { metadata, schema } = readAvro(written([]), { location: 'x' })
    expect(metadata).toMatchObject({ extra: 'täg', 'avro.codec': 'deflate' })
    expect(schema).toEqual(JSON.parse(JSON.stringify(everything)))
    expect(metadata['avro.schema']).toContain('"element-id":133')
  })

  it('encodes longs as the Avro specification shows', () => {
    const one = (large: bigint) =>
      writeAvro({ schema: record([{ name: 'n', type: 'long' }]), rows: [{ n: large }], metadata: {}, sync, codec: 'null' })
    // "0, -1, 1, -2, 2, -64, 64" of the specification, and the ends of the range.
    const examples: [bigint, string][] = [
      [0n, '00'],
      [-1n, '01'],
      [1n, '02'],
      [-2n, '03'],
      [-64n, '7f'],
      [64n, '8001'],
      [2n ** 63n - 1n, 'feffffffffffffffff01'],
      [-(2n ** 63n), 'ffffffffffffffffff01'],
    ]
    for (const [n, hex] of examples) {
      const file = Buffer.from(one(n))
      const end = file.length - 16
      expect(file.subarray(end - hex.length / 2, end).toString('hex')).toBe(hex)
    }
  })

  it('splits many rows into blocks and joins them again', () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => ({ n: BigInt(i) * 1_000_003n, s: `row ${i}` }))
    const schema = record([
      { name: 'n', type: 'long' },
      { name: 's', type: 'string' },
    ])
    const file = writeAvro({ schema, rows, metadata: {}, sync })
    expect(Buffer.from(file).indexOf(Buffer.from(sync), file.length - 16)).toBe(file.length - 16)
    expect(readAvro(file, { location: 'x' }).rows.map((r) => ({ ...r }))).toEqual(rows)
  })

  it('reads zstandard blocks, as newer libraries write them', () => {
    const plainFile = Buffer.from(
      writeAvro({
        schema: record([{ name: 's', type: 'string' }]),
        rows: [{ s: 'frazil '.repeat(100) }],
        metadata: {},
        sync,
        codec: 'null',
      }),
    )
    const headerEnd = plainFile.indexOf(Buffer.from(sync)) + 16
    const withCodec = Buffer.from(
      plainFile.subarray(0, headerEnd).toString('latin1').replace('\u0008null', '\u0012zstandard'),
      'latin1',
    )
    const body = zstdCompressSync(plainFile.subarray(headerEnd + 3, plainFile.length - 16))
    const file = Buffer.concat([withCodec, Buffer.from([2, body.length * 2]), body, Buffer.from(sync)])
    expect({ ...readAvro(file, { location: 'x' }).rows[0] }).toEqual({ s: 'frazil '.repeat(100) })
  })

  it('names fields by their ids where asked, whatever the file calls them', () => {
    const file = writeAvro({
      schema: record([{ name: 'added_data_files_count', type: 'int', 'field-id': 504 }]),
      rows: [{ added_data_files_count: 3 }],
      metadata: {},
      sync,
    })
    expect({ ...readAvro(file, { location: 'x', names: new Map([[504, 'added_files_count']]) }).rows[0] }).toEqual({
      added_files_count: 3,
    })
  })

  it('refuses a codec it does not know, by name', () => {
    const file = Buffer.from(Buffer.from(written([], 'null')).toString('latin1').replace('\u0008null', '\u000csnappy'), 'latin1')
    expect(() => readAvro(file, { location: 'm0.avro' })).toThrow(
      expect.objectContaining({ kind: 'Refused', message: expect.stringContaining('snappy') }),
    )
  })

  it('says Corrupt for every truncation', () => {
    const file = written([
      { flag: true, small: 1, large: 2n, real: 3, text: 'four', raw: Uint8Array.of(5), date: null, list: [6n], pairs: [] },
    ])
    const headerEnd = Buffer.from(file).indexOf(Buffer.from(sync)) + 16
    for (let length = 0; length < file.length; length++)
      if (length !== headerEnd)
        expect(() => readAvro(file.subarray(0, length), { location: 'x' })).toThrow(expect.objectContaining({ kind: 'Corrupt' }))
  })

  it('says Corrupt, and ends, for damaged bytes, or reads what is still a file', () => {
    const file = written(
      Array.from({ length: 5 }, (_, i) => ({
        flag: true,
        small: i,
        large: 2n,
        real: 3,
        text: 'four',
        raw: Uint8Array.of(5),
        date: 1,
        list: [6n],
        pairs: [],
      })),
    )
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const damaged = file.slice()
        damaged[at] ^= change
        try {
          readAvro(damaged, { location: 'x' })
        } catch (error) {
          expect(['Corrupt', 'Refused']).toContain((error as { kind: string }).kind)
        }
      }),
    )
  })

  it('refuses to write a value of another type', () => {
    const wrong: [string, AvroRow][] = [
      ['int', { n: 2 ** 31 }],
      ['int', { n: 1.5 }],
      ['long', { n: 2n ** 63n }],
      ['long', { n: 2 ** 53 }],
      ['string', { n: 1 }],
      ['bytes', { n: 'x' }],
      ['boolean', { n: null }],
    ]
    for (const [type, value] of wrong)
      expect(() =>
        writeAvro({ schema: record([{ name: 'n', type: type as 'int' }]), rows: [value], metadata: {}, sync }),
      ).toThrow(expect.objectContaining({ kind: 'Corrupt', message: expect.stringContaining('record.n') }))
  })

  it('makes names that Avro takes as Iceberg does', () => {
    expect(['plain_1', '1st', 'a-b', 'é', 'a b'].map(avroName)).toEqual(['plain_1', '_1st', 'a_x2Db', '_xE9', 'a_x20b'])
  })
})
