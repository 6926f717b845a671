import { describe, expect, it } from 'vitest'
import { column, isKind, kafka, minutes, pipeline, planOf, seconds, timestampMillis, tumbling } from '../../lib/index.ts'
import { readWriteProperties } from '../../lib/pipeline/table-properties.ts'

const source = (topic = 's', deadLetters: object = {}) =>
  kafka(topic, {
    schema: { a: column.string(), ts: column.long() },
    computed: { t: (c) => timestampMillis(c.ts) },
    eventTime: 't',
    watermark: { delay: seconds(1) },
    deadLetters,
  })
const counts = (stream: ReturnType<typeof source>) =>
  stream
    .keyBy('a')
    .window(tumbling(minutes(1)))
    .aggregate((a) => ({ n: a.count() }))
const SNAPPY = { 'write.parquet.compression-codec': 'snappy' } as const

/** What a definition with these properties throws. */
function refusal(properties: unknown): string {
  try {
    source().appendTo('rows', { properties } as object)
  } catch (error) {
    if (isKind(error, 'InvalidPipeline')) return error.message
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('properties of a table', () => {
  it('are in the plan of each kind of table, and none is an empty map', () => {
    const s = source('s', { properties: { owner: 'desk 4' } })
    const { tables } = planOf(
      pipeline('p', {
        sinks: [
          s.appendTo('rows', { properties: SNAPPY }),
          counts(s).appendTo('counts', { late: { properties: { 'write.parquet.compression-level': '9' } } }),
        ],
      }),
    )
    expect(Object.fromEntries(Object.entries(tables).map(([name, { properties }]) => [name, properties]))).toEqual({
      rows: SNAPPY,
      counts: {},
      counts_late: { 'write.parquet.compression-level': '9' },
      dead_letters: { owner: 'desk 4' },
    })
    expect(Object.isFrozen(tables.rows!.properties)).toBe(true)
  })

  it('of other engines pass through as they are, whatever their text', () => {
    const properties = {
      'write.parquet.bloom-filter-enabled.column.a': 'true',
      'history.expire.max-snapshot-age-ms': 'no number',
      'team.frazil.owner': '',
      __proto__x: 'y',
    }
    const { tables } = planOf(pipeline('p', { sinks: [source().appendTo('rows', { properties })] }))
    expect(tables.rows!.properties).toEqual(properties)
  })

  it('do not change what open windows mean', () => {
    const fingerprint = (properties: object) =>
      planOf(pipeline('p', { sinks: [counts(source()).appendTo('counts', { properties } as object)] })).operators.counts!
        .fingerprint
    expect(fingerprint(SNAPPY)).toBe(fingerprint({}))
  })

  it('are a copy: what the caller changes later stays out', () => {
    const properties: Record<string, string> = { x: '1' }
    const sink = source().appendTo('rows', { properties })
    properties.x = '2'
    expect(planOf(pipeline('p', { sinks: [sink] })).tables.rows!.properties).toEqual({ x: '1' })
  })

  it('must be the same where two sources share a dead-letter table, in any order', () => {
    const shared = (first: object, second: object) =>
      pipeline('p', {
        sinks: [source('a', { properties: first }).appendTo('a'), source('b', { properties: second }).appendTo('b')],
      })
    expect(planOf(shared({ x: '1', y: '2' }, { y: '2', x: '1' })).tables.dead_letters!.properties).toEqual({ x: '1', y: '2' })
    expect(() => shared({ x: '1' }, {})).toThrow(/share the dead-letter table dead_letters but lay it out differently/)
  })

  it.each([
    ["one of Frazil's own", { 'frazil.p.marker': 'i1:7' }, /rows: frazil\.p\.marker is one of Frazil's own.*Remove it/],
    ['one that Iceberg reserves', { 'format-version': '3' }, /Iceberg reserves format-version/],
    ['a number', { 'write.parquet.page-row-limit': 1000 }, /expected write\.parquet\.page-row-limit to be a string, found 1000/],
    ['nothing for a value', { 'write.parquet.page-row-limit': undefined }, /to be a string, found undefined/],
    ['a list', ['a'], /expected an object such as .*, found an array/],
    ['text', 'snappy', /expected an object such as .*, found "snappy"/],
    ['null', null, /found null/],
    [
      'a codec that Frazil does not write',
      { 'write.parquet.compression-codec': 'lz4' },
      /Cannot set properties of table rows: expected property write\.parquet\.compression-codec to be zstd, gzip, snappy or uncompressed, found "lz4"\./,
    ],
    [
      'a level of gzip that is one of zstd',
      { 'write.parquet.compression-codec': 'gzip', 'write.parquet.compression-level': '10' },
      /to be a whole number from 0 to 9, found "10"/,
    ],
  ])('are refused at definition when there is %s', (_, properties, message) => {
    expect(refusal(properties)).toMatch(message)
  })
})

describe('reading how files are written', () => {
  const read = (properties: Record<string, string>) => {
    const verdict = readWriteProperties(properties)
    if (verdict.verdict === 'Wrong') throw new Error(verdict.why)
    return verdict.properties
  }

  it('leaves to the writer what the properties do not say, but the codec, which is zstd', () => {
    expect(read({ 'some.other': 'x' })).toEqual({
      codec: 'zstd',
      level: undefined,
      rowGroupBytes: undefined,
      pageBytes: undefined,
      pageRows: undefined,
      dictionaryBytes: undefined,
      targetFileBytes: undefined,
    })
  })

  it('takes every property that Iceberg names', () => {
    expect(
      read({
        'write.parquet.compression-codec': 'gzip',
        'write.parquet.compression-level': '9',
        'write.parquet.row-group-size-bytes': '134217728',
        'write.parquet.page-size-bytes': '1048576',
        'write.parquet.page-row-limit': '20000',
        'write.parquet.dict-size-bytes': '0',
        'write.target-file-size-bytes': '9007199254740991',
      }),
    ).toEqual({
      codec: 'gzip',
      level: 9,
      rowGroupBytes: 134_217_728,
      pageBytes: 1_048_576,
      pageRows: 20_000,
      dictionaryBytes: 0,
      targetFileBytes: Number.MAX_SAFE_INTEGER,
    })
  })

  it.each([
    ['zstd', 'zstd'],
    ['ZSTD', 'zstd'],
    ['GZip', 'gzip'],
    ['Snappy', 'snappy'],
    ['UNCOMPRESSED', 'none'],
  ])('takes the codec %s in any case', (name, codec) => {
    expect(read({ 'write.parquet.compression-codec': name }).codec).toBe(codec)
  })

  it('ignores a level where the codec has none, as Iceberg does', () => {
    for (const codec of ['snappy', 'uncompressed'])
      expect(read({ 'write.parquet.compression-codec': codec, 'write.parquet.compression-level': 'x' }).level).toBeUndefined()
  })

  it.each([
    ['write.parquet.compression-codec', 'brotli', 'zstd, gzip, snappy or uncompressed'],
    ['write.parquet.compression-codec', 'none', 'zstd, gzip, snappy or uncompressed'],
    ['write.parquet.compression-codec', '', 'zstd, gzip, snappy or uncompressed'],
    ['write.parquet.compression-codec', 'constructor', 'zstd, gzip, snappy or uncompressed'],
    ['write.parquet.compression-level', '0', 'a whole number from 1 to 22'],
    ['write.parquet.compression-level', '23', 'a whole number from 1 to 22'],
    ['write.parquet.row-group-size-bytes', '0', 'a whole number from 1 to 2147483647'],
    ['write.parquet.row-group-size-bytes', '128MB', 'a whole number from 1 to 2147483647'],
    ['write.parquet.page-size-bytes', '-1', 'a whole number from 1 to 2147483647'],
    ['write.parquet.page-size-bytes', '2147483648', 'a whole number from 1 to 2147483647'],
    ['write.parquet.page-row-limit', '1e3', 'a whole number from 1 to 2147483647'],
    ['write.parquet.page-row-limit', ' 5', 'a whole number from 1 to 2147483647'],
    ['write.parquet.dict-size-bytes', '1.5', 'a whole number from 0 to 2147483647'],
    ['write.target-file-size-bytes', '0', 'a whole number from 1 to 9007199254740991'],
    ['write.target-file-size-bytes', '9'.repeat(400), 'a whole number from 1 to 9007199254740991'],
  ])('names property, what is allowed and what was found: %s = %j', (property, value, allowed) => {
    const verdict = readWriteProperties({ [property]: value })
    expect(verdict).toMatchObject({ verdict: 'Wrong' })
    const start = `expected property ${property} to be ${allowed}, found "${value.slice(0, 60)}`
    expect('why' in verdict && verdict.why.startsWith(start)).toBe(true)
  })

  it('names all that are wrong', () => {
    expect(readWriteProperties({ 'write.parquet.compression-codec': 'lz4', 'write.parquet.page-row-limit': '0' })).toMatchObject({
      why: expect.stringMatching(
        /compression-codec .* found "lz4"; expected property write\.parquet\.page-row-limit .* found "0"$/,
      ),
    })
  })
})
