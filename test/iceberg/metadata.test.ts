import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { metadataLogOf, withSnapshot } from '../../lib/iceberg/commit.ts'
import { currentSchema, currentSnapshot, parseMetadata, serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { DEFAULT_PROPERTIES } from '../../lib/iceberg/properties.ts'
import type { Snapshot, TableMetadata } from '../../lib/iceberg/types.ts'
import { tradesMetadata } from './fixtures.ts'

const bytesOf = (text: string) => new TextEncoder().encode(text)
const textOf = (metadata: TableMetadata) => new TextDecoder().decode(serializeMetadata(metadata))
const snapshot = (id: bigint, extra: Partial<Snapshot> = {}): Snapshot => ({
  'snapshot-id': id,
  'sequence-number': 1n,
  'timestamp-ms': 1,
  'manifest-list': 'memory://w/list.avro',
  summary: { operation: 'append' },
  'schema-id': 0,
  ...extra,
})
const committed = (base: TableMetadata, next: Snapshot, baseLocation = 'memory://w/0', properties = {}) =>
  withSnapshot({ base, baseLocation, snapshot: next, properties })

/** As Iceberg's Java library (1.12) writes it, shortened. */
const SPARK = `{"format-version":2,"table-uuid":"4c3c5017-d85a-475a-ad4f-0683c7b86abc","location":"file:///w/ns/t/","last-sequence-number":2,
"last-updated-ms":1795244252938,"last-column-id":2,"current-schema-id":0,"schemas":[{"type":"struct","schema-id":0,"fields":[{"id":1,"name":"symbol","required":true,"type":"string"},{"id":2,"name":"event_time","required":true,"type":"timestamptz"}]}],
"default-spec-id":0,"partition-specs":[{"spec-id":0,"fields":[{"name":"event_time_day","transform":"day","source-id":2,"field-id":1000}]}],"last-partition-id":1000,
"default-sort-order-id":0,"sort-orders":[{"order-id":0,"fields":[]}],"properties":{"owner":"root"},"current-snapshot-id":9223372036854775807,
"refs":{"main":{"snapshot-id":9223372036854775807,"type":"branch","max-ref-age-ms":12}},
"snapshots":[{"sequence-number":2,"snapshot-id":9223372036854775807,"parent-snapshot-id":627444497478222205,"timestamp-ms":1795244252938,"summary":{"operation":"append"},"manifest-list":"file:/w/snap.avro","schema-id":0,"first-row-id":3}],
"statistics":[{"snapshot-id":627444497478222205,"statistics-path":"x","file-size-in-bytes":413}],"partition-statistics":[],
"snapshot-log":[{"timestamp-ms":1795244252938,"snapshot-id":9223372036854775807}],"metadata-log":[{"timestamp-ms":1795244249636,"metadata-file":"file:/w/0.json"}]}`

describe('table metadata', () => {
  it('keeps 63-bit ids to the last bit, both ways', () => {
    const metadata = parseMetadata(bytesOf(SPARK))
    expect(metadata['current-snapshot-id']).toBe(9223372036854775807n)
    expect(currentSnapshot(metadata)?.['parent-snapshot-id']).toBe(627444497478222205n)
    expect(metadata['snapshot-log'][0]['snapshot-id']).toBe(9223372036854775807n)
    expect(textOf(metadata)).toContain('"parent-snapshot-id":627444497478222205,')
    expect(textOf(metadata)).toContain('"snapshot-id":9223372036854775807')
  })

  it('gives bigint for ids and sequence numbers that would fit a number, too', () => {
    const metadata = parseMetadata(bytesOf(SPARK.replaceAll('9223372036854775807', '7')))
    expect(metadata['current-snapshot-id']).toBe(7n)
    expect(metadata.refs.main['snapshot-id']).toBe(7n)
    expect(metadata['last-sequence-number']).toBe(2n)
  })

  it('keeps what it does not know, at every level, and ids in it', () => {
    const text = textOf(parseMetadata(bytesOf(SPARK)))
    expect(text).toContain('"statistics":[{"snapshot-id":627444497478222205,"statistics-path":"x","file-size-in-bytes":413}]')
    expect(text).toContain('"first-row-id":3')
    expect(text).toContain('"max-ref-age-ms":12')
  })

  it('reads what it writes, whatever the ids and properties', () => {
    const id = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n })
    fc.assert(
      fc.property(fc.uniqueArray(id, { maxLength: 5 }), fc.dictionary(fc.string(), fc.string()), (ids, properties) => {
        const metadata = ids.reduce(
          (base, next) => committed(base, snapshot(next, { summary: { operation: 'append', ...properties } })),
          tradesMetadata(undefined, properties),
        )
        const read = parseMetadata(serializeMetadata(metadata))
        expect(read).toEqual(metadata)
        expect(textOf(read)).toBe(textOf(metadata))
      }),
    )
  })

  it('takes digits in strings for text', () => {
    const metadata = tradesMetadata(undefined, { odd: '"snapshot-id":12345678901234567890, ' })
    expect(parseMetadata(serializeMetadata(metadata)).properties.odd).toBe('"snapshot-id":12345678901234567890, ')
  })

  it('takes -1, null and nothing for "no snapshot yet"', () => {
    const text = textOf(tradesMetadata())
    for (const none of ['', '"current-snapshot-id":-1,', '"current-snapshot-id":null,'])
      expect(currentSnapshot(parseMetadata(bytesOf(text.replace('{', `{${none}`))))).toBeUndefined()
  })

  it('reads gzipped metadata', () => {
    expect(parseMetadata(gzipSync(SPARK))['table-uuid']).toBe('4c3c5017-d85a-475a-ad4f-0683c7b86abc')
  })

  it('knows the table location without the slash at its end', () => {
    expect(parseMetadata(bytesOf(SPARK)).location).toBe('file:///w/ns/t')
  })

  it('refuses other format versions and says what to do', () => {
    const version = (v: number) => () =>
      parseMetadata(bytesOf(SPARK.replace('"format-version":2', `"format-version":${v}`)), 'x.json')
    expect(version(1)).toThrow(
      expect.objectContaining({ kind: 'Refused', message: expect.stringMatching(/x\.json.*version 2, found 1.*Upgrade/) }),
    )
    expect(version(3)).toThrow(expect.objectContaining({ kind: 'Refused', message: expect.stringMatching(/found 3/) }))
  })

  it('says Corrupt, and where, for what is not table metadata', () => {
    const damages: [string, RegExp][] = [
      ['', /x\.json/],
      ['{', /x\.json/],
      ['[]', /not a JSON object/],
      ['{"a":1}', /format-version/],
      [SPARK.replace('"table-uuid"', '"uuid"'), /table-uuid to be a string, found nothing/],
      [
        SPARK.replace('"last-sequence-number":2', '"last-sequence-number":"2"'),
        /last-sequence-number to be an integer, found string/,
      ],
      [SPARK.replace('"last-updated-ms":1795244252938', '"last-updated-ms":1.5'), /last-updated-ms/],
      [SPARK.replace('"current-schema-id":0', '"current-schema-id":9'), /schema 9, found 0/],
      [SPARK.replace('"default-spec-id":0', '"default-spec-id":9'), /partition spec 9/],
      [SPARK.replace('"default-sort-order-id":0', '"default-sort-order-id":9'), /sort order 9/],
      [SPARK.replace('"current-snapshot-id":9223372036854775807', '"current-snapshot-id":5'), /current snapshot 5/],
      [SPARK.replace('"timestamp-ms":1795244252938,"summary"', '"summary"'), /snapshots\[0\].*timestamp-ms/],
      [SPARK.replace('"snapshots":[', '"snapshots":[7,'), /snapshots/],
    ]
    for (const [text, message] of damages)
      expect(() => parseMetadata(bytesOf(text), 'x.json')).toThrow(
        expect.objectContaining({ kind: 'Corrupt', message: expect.stringMatching(message) }),
      )
    expect(() => parseMetadata(Uint8Array.of(0x7b, 0xff, 0x7d), 'x.json')).toThrow(expect.objectContaining({ kind: 'Corrupt' }))
    expect(() => parseMetadata(Uint8Array.of(0x1f, 0x8b, 1, 2), 'x.json')).toThrow(expect.objectContaining({ kind: 'Corrupt' }))
  })

  it('refuses snapshots that list their manifests inline, as format version 1 did', () => {
    const text = SPARK.replace('"manifest-list":"file:/w/snap.avro"', '"manifests":["file:/w/m0.avro"]')
    expect(() => parseMetadata(bytesOf(text))).toThrow(expect.objectContaining({ kind: 'Refused' }))
  })

  it('a snapshot becomes current, moves main and is logged; other branches and properties stay', () => {
    const base = {
      ...tradesMetadata(undefined, { kept: '1', replaced: '1' }),
      refs: { audit: { 'snapshot-id': 5n, type: 'tag' as const } },
    }
    const next = committed(base, snapshot(7n, { 'sequence-number': 3n, 'timestamp-ms': 2_000_000_000_000 }), 'memory://w/00000', {
      replaced: '2',
    })
    expect(next['current-snapshot-id']).toBe(7n)
    expect(next['last-sequence-number']).toBe(3n)
    expect(next['last-updated-ms']).toBe(2_000_000_000_000)
    expect(next.refs).toEqual({ audit: { 'snapshot-id': 5n, type: 'tag' }, main: { 'snapshot-id': 7n, type: 'branch' } })
    expect(next['snapshot-log']).toEqual([{ 'timestamp-ms': 2_000_000_000_000, 'snapshot-id': 7n }])
    expect(next['metadata-log']).toEqual([{ 'timestamp-ms': base['last-updated-ms'], 'metadata-file': 'memory://w/00000' }])
    expect(next.properties).toMatchObject({ kept: '1', replaced: '2' })
  })

  it('the metadata log keeps as many files as the table says: 20 of a table of ours, else 100', () => {
    const afterCommits = (commits: number, properties: Record<string, string>) =>
      Array.from({ length: commits }, (_, i) => i).reduce(
        (base, i) => committed(base, snapshot(BigInt(i + 1)), `memory://w/${i}`),
        tradesMetadata(undefined, properties),
      )
    const property = 'write.metadata.previous-versions-max'
    const log = afterCommits(23, {})['metadata-log']
    expect([log.length, log[0]['metadata-file'], log[19]['metadata-file']]).toEqual([20, 'memory://w/3', 'memory://w/22'])
    const { [property]: _, ...others } = tradesMetadata().properties
    const silent = { ...tradesMetadata(), properties: others }
    expect(metadataLogOf({ ...silent, 'metadata-log': log }, 'memory://w/23', others)).toHaveLength(21)
    expect(metadataLogOf({ ...silent, 'metadata-log': Array(103).fill(log[0]) }, 'memory://w/23', others)).toHaveLength(100)
    expect(afterCommits(5, { [property]: '3' })['metadata-log']).toHaveLength(3)
    expect(afterCommits(5, { [property]: '0' })['metadata-log']).toHaveLength(1)
  })

  it('a new table is complete before its first snapshot', () => {
    const metadata = tradesMetadata()
    expect(JSON.parse(textOf(metadata))).toEqual({
      'format-version': 2,
      'table-uuid': '4c3c5017-d85a-475a-ad4f-0683c7b86abc',
      location: 'memory://w/trades/raw_trades',
      'last-sequence-number': 0,
      'last-updated-ms': 1_795_244_252_251,
      'last-column-id': 5,
      schemas: [
        {
          type: 'struct',
          'schema-id': 0,
          fields: [
            { id: 1, name: 'symbol', required: true, type: 'string' },
            { id: 2, name: 'event_time', required: true, type: 'timestamptz' },
            { id: 3, name: 'price', required: true, type: 'double' },
            { id: 4, name: 'note', required: false, type: 'binary' },
            { id: 5, name: 'kafka_offset', required: true, type: 'long' },
          ],
        },
      ],
      'current-schema-id': 0,
      'partition-specs': [
        { 'spec-id': 0, fields: [{ 'source-id': 2, 'field-id': 1000, name: 'event_time_day', transform: 'day' }] },
      ],
      'default-spec-id': 0,
      'last-partition-id': 1000,
      properties: { ...DEFAULT_PROPERTIES },
      snapshots: [],
      'snapshot-log': [],
      'metadata-log': [],
      'sort-orders': [
        {
          'order-id': 1,
          fields: [
            { transform: 'identity', 'source-id': 1, direction: 'asc', 'null-order': 'nulls-first' },
            { transform: 'identity', 'source-id': 2, direction: 'desc', 'null-order': 'nulls-last' },
          ],
        },
      ],
      'default-sort-order-id': 1,
      refs: {},
    })
    expect(currentSchema(metadata).fields).toHaveLength(5)
  })
})
