import { describe, expect, it } from 'vitest'
import { numbered } from '../../lib/columns/schema.ts'
import { readAvro } from '../../lib/iceberg/avro-read.ts'
import { type DataFile, dataFileFromJson, dataFileToJson } from '../../lib/iceberg/data-file.ts'
import { ADDED, DELETED, EXISTING, type ManifestEntry, readManifest, writeManifest } from '../../lib/iceberg/manifest.ts'
import { manifestFile, readManifestList, writeManifestList } from '../../lib/iceberg/manifest-list.ts'
import type { PartitionValue } from '../../lib/iceberg/partition-value.ts'
import { schemaOf, specOf } from '../../lib/iceberg/schema.ts'
import type { PartitionField } from '../../lib/pipeline/plan.ts'
import { fileOf } from './fixtures.ts'

const fields = numbered([
  { name: 'time', type: 'timestamptz', required: true },
  { name: 'na-me', type: 'string', required: false },
  { name: 'raw', type: 'binary', required: false },
  { name: 'real', type: 'double', required: true },
  { name: 'flag', type: 'boolean', required: true },
  { name: 'n', type: 'long', required: true },
  { name: 'i', type: 'int', required: true },
])
const identity = (column: string): PartitionField => ({ column, transform: { kind: 'identity' } })
const partitionBy: PartitionField[] = [
  { column: 'time', transform: { kind: 'day' } },
  ...fields.map((field) => identity(field.name)),
]
const schema = schemaOf(fields)
const spec = specOf(fields, partitionBy)
const sync = new Uint8Array(16).fill(9)

const partition: readonly PartitionValue[] = [19737, -5n, 'sym', Uint8Array.of(1, 2), 1.5, true, 2n ** 62n, 7]
const file = (name: string, values: readonly PartitionValue[] = partition): DataFile => ({
  ...fileOf(name, 0),
  partition: values,
})
const entry = (
  name: string,
  values: readonly PartitionValue[] = partition,
  extra: Partial<ManifestEntry> = {},
): ManifestEntry => ({
  status: ADDED,
  snapshotId: 2n ** 62n + 1n,
  sequenceNumber: null,
  fileSequenceNumber: null,
  file: file(name, values),
  ...extra,
})
const known = { sequenceNumber: 3n, fileSequenceNumber: 2n }
const written = (entries: ManifestEntry[]) => writeManifest({ schema, spec, entries, sync })
const rowOf = (entries: ManifestEntry[]) =>
  manifestFile({ path: 'memory://w/m0.avro', sizeBytes: 99, schema, spec, entries, snapshotId: 2n ** 62n, sequenceNumber: 5n })

describe('manifests', () => {
  it('come back as they were written, tuples of every type and 63-bit ids among them', () => {
    const nothing = partition.map(() => null)
    const entries = [
      entry('a'),
      entry('b', nothing),
      entry('c', partition, { status: EXISTING, ...known }),
      entry('d', partition, { status: DELETED, ...known }),
    ]
    expect(readManifest(written(entries), spec, 'm0.avro')).toEqual(entries)
  })

  it('keep all metrics of a file, and what only delete files have', () => {
    const full: DataFile = {
      ...file('a'),
      content: 2,
      equalityIds: [1, 2],
      referencedDataFile: 'memory://w/x.parquet',
      keyMetadata: Uint8Array.of(9),
      splitOffsets: [4, 2 ** 40],
    }
    const [read] = readManifest(written([{ ...entry('a'), file: full }]), spec, 'm0.avro')
    expect(read.file).toEqual(full)
  })

  it('carry the header that the spec asks for', () => {
    const { metadata } = readAvro(written([entry('a')]), { location: 'x' })
    expect(metadata).toMatchObject({
      'format-version': '2',
      content: 'data',
      'partition-spec-id': '0',
      'schema-id': '0',
      'avro.codec': 'deflate',
    })
    expect(JSON.parse(metadata.schema)).toEqual(schema)
    expect(JSON.parse(metadata['partition-spec'])).toEqual(spec.fields)
  })

  it('give field ids to every field, and Avro names to columns that have none', () => {
    const { metadata } = readAvro(written([entry('a')]), { location: 'x' })
    const text = metadata['avro.schema']
    expect(text).toContain(
      '"name":"na_x2Dme","type":["null","string"],"default":null,"field-id":1002,"iceberg-field-name":"na-me"',
    )
    expect(text).toContain('"name":"time_day","type":["null",{"type":"int","logicalType":"date"}],"default":null,"field-id":1000')
    expect(text).toContain(
      '"name":"k126_v127","fields":[{"name":"key","type":"int","field-id":126},{"name":"value","type":"bytes","field-id":127}]',
    )
    expect(text).toContain('"element-id":133')
    const unnamed = text.match(/\{"name":"[^"]+","type":[^{}[\]]+\}/g)?.filter((f) => !f.includes('field-id'))
    expect(unnamed).toEqual([])
  })

  it('refuse files that are not new but have no sequence number, or belong to another spec', () => {
    expect(() => written([entry('a', partition, { status: EXISTING })])).toThrow(expect.objectContaining({ kind: 'Corrupt' }))
    expect(() => written([{ ...entry('a'), file: { ...file('a'), specId: 1 } }])).toThrow(
      expect.objectContaining({ kind: 'Corrupt' }),
    )
  })

  it('say Corrupt when a count cannot be one', () => {
    const negative = written([{ ...entry('a'), file: { ...file('a'), recordCount: -1 } }])
    expect(() => readManifest(negative, spec, 'm0.avro')).toThrow(
      expect.objectContaining({ kind: 'Corrupt', message: expect.stringContaining('m0.avro') }),
    )
  })
})

describe('manifest lists', () => {
  it('count files and rows by status and take the least live sequence number', () => {
    const row = rowOf([
      entry('a'),
      entry('b'),
      entry('c', partition, { status: EXISTING, ...known }),
      entry('d', partition, { status: DELETED, ...known, sequenceNumber: 1n }),
    ])
    expect(row).toMatchObject({
      addedFiles: 2,
      addedRows: 20,
      existingFiles: 1,
      existingRows: 10,
      deletedFiles: 1,
      deletedRows: 10,
      sequenceNumber: 5n,
      minSequenceNumber: 3n,
      content: 0,
      specId: 0,
    })
    expect(rowOf([entry('a')]).minSequenceNumber).toBe(5n)
  })

  it('summarise each partition field: nulls, NaN, and bounds in single-value bytes', () => {
    const row = rowOf([
      entry('a', [19737, -5n, 'sym', Uint8Array.of(1, 2), Number.NaN, true, 2n ** 62n, 7]),
      entry('b', [19736, 5n, null, Uint8Array.of(1), -0, false, -1n, -7]),
    ])
    const int = (n: number) => new Uint8Array(Int32Array.of(n).buffer)
    const long = (n: bigint) => new Uint8Array(BigInt64Array.of(n).buffer)
    const double = (n: number) => new Uint8Array(Float64Array.of(n).buffer)
    const text = (t: string) => new TextEncoder().encode(t)
    const summary = (lower: Uint8Array, upper: Uint8Array, containsNull = false, containsNan = false) => ({
      containsNull,
      containsNan,
      lower,
      upper,
    })
    expect(row.partitions).toEqual([
      summary(int(19736), int(19737)),
      summary(long(-5n), long(5n)),
      summary(text('sym'), text('sym'), true),
      summary(Uint8Array.of(1), Uint8Array.of(1, 2)),
      summary(double(-0), double(-0), false, true),
      summary(Uint8Array.of(0), Uint8Array.of(1)),
      summary(long(-1n), long(2n ** 62n)),
      summary(int(-7), int(7)),
    ])
    expect(
      rowOf([
        entry(
          'a',
          partition.map(() => null),
        ),
      ]).partitions?.[0],
    ).toEqual({ containsNull: true, containsNan: false, lower: undefined, upper: undefined })
  })

  it('come back as they were written', () => {
    const manifests = [
      rowOf([entry('a')]),
      { ...rowOf([entry('b')]), content: 1, partitions: undefined, keyMetadata: Uint8Array.of(1) },
    ]
    const bytes = writeManifestList({ snapshotId: 2n ** 62n, parentSnapshotId: undefined, sequenceNumber: 5n, manifests, sync })
    expect(readManifestList(bytes, 'snap.avro')).toEqual(manifests)
    expect(readAvro(bytes, { location: 'x' }).metadata).toMatchObject({
      'snapshot-id': '4611686018427387904',
      'parent-snapshot-id': 'null',
      'sequence-number': '5',
      'format-version': '2',
    })
  })
})

describe('data files in checkpoints', () => {
  it('survive JSON with every bound, count and tuple', () => {
    for (const values of [partition, partition.map(() => null), [1, 2n, '', new Uint8Array(), Number.NaN, false, -1n, 0]]) {
      const original = file('a', values)
      expect(dataFileFromJson(JSON.parse(JSON.stringify(dataFileToJson(original))))).toEqual(original)
    }
    const unsorted = fileOf('b', 1, 3, { sortOrderId: undefined, splitOffsets: [] })
    expect(dataFileFromJson(JSON.parse(JSON.stringify(dataFileToJson(unsorted))))).toEqual(unsorted)
  })

  it('are never delete files', () => {
    expect(() => dataFileToJson({ ...file('a'), content: 1 })).toThrow(expect.objectContaining({ kind: 'Corrupt' }))
  })
})
