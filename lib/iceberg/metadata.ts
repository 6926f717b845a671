import { gunzipSync } from 'node:zlib'
import { corrupt, isKind, messageOf, refused } from '../errors.ts'
import type { IcebergSchema, PartitionSpec, Snapshot, SortOrder, StatisticsFile, TableMetadata } from './types.ts'

/** Node 24 has both halves of ECMAScript's "JSON.parse source text access"; TypeScript's library does not name them yet. */
const parseWithSource = JSON.parse as (
  text: string,
  reviver: (this: unknown, key: string, value: unknown, context: { readonly source?: string }) => unknown,
) => unknown
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }

type Json = Readonly<Record<string, unknown>>

/**
 * Reads a metadata file (gzipped ones too). Integers of any size survive: those named in `TableMetadata` as bigint become
 * so, unknown ones only when a number could not hold them. Throws `Corrupt` for what is not table metadata, `Refused` for a
 * format version other than 2. About 15 ms per thousand snapshots.
 */
export function parseMetadata(bytes: Uint8Array, location = 'table metadata'): TableMetadata {
  const json = jsonOf(bytes, location)
  const version = json['format-version']
  if (version !== 2) throw wrongVersion(location, version)
  const read = reader(json, location)
  const current = json['current-snapshot-id']
  const metadata: TableMetadata = {
    ...json,
    'format-version': 2,
    'table-uuid': read.string('table-uuid'),
    location: read.string('location').replace(/(?<=[^/])\/+$/, ''),
    'last-sequence-number': read.long('last-sequence-number'),
    'last-updated-ms': read.number('last-updated-ms'),
    'last-column-id': read.number('last-column-id'),
    schemas: read.list('schemas', (value) => value as unknown as IcebergSchema),
    'current-schema-id': read.number('current-schema-id'),
    'partition-specs': read.list('partition-specs', (value) => value as unknown as PartitionSpec),
    'default-spec-id': read.number('default-spec-id'),
    'last-partition-id': read.number('last-partition-id'),
    'sort-orders': read.list('sort-orders', (value) => value as unknown as SortOrder),
    'default-sort-order-id': read.number('default-sort-order-id'),
    properties: (json.properties ?? {}) as Readonly<Record<string, string>>,
    // Some writers say "no snapshot yet" by -1 (spec, appendix C), others by null or nothing.
    'current-snapshot-id':
      current === undefined || current === null || current === -1 ? undefined : read.long('current-snapshot-id'),
    snapshots: read.list('snapshots', snapshotOf, []),
    'snapshot-log': read.list(
      'snapshot-log',
      (value, entry) => ({ ...value, 'timestamp-ms': entry.number('timestamp-ms'), 'snapshot-id': entry.long('snapshot-id') }),
      [],
    ),
    'metadata-log': read.list(
      'metadata-log',
      (value, entry) => ({
        ...value,
        'timestamp-ms': entry.number('timestamp-ms'),
        'metadata-file': entry.string('metadata-file'),
      }),
      [],
    ),
    refs: refsOf(json.refs, location),
    ...(json.statistics == null ? {} : { statistics: read.list('statistics', statisticsOf) }),
    ...(json['partition-statistics'] == null ? {} : { 'partition-statistics': read.list('partition-statistics', statisticsOf) }),
  }
  check(metadata, location)
  return metadata
}

function snapshotOf(value: Json, read: Reader): Snapshot {
  const parent = value['parent-snapshot-id']
  if (value['manifest-list'] === undefined)
    throw refused(
      `Cannot read snapshot ${String(value['snapshot-id'])}: expected a manifest list, found manifests in the metadata (format version 1). Rewrite the table's manifests, or expire that snapshot.`,
    )
  return {
    ...value,
    'snapshot-id': read.long('snapshot-id'),
    'parent-snapshot-id': parent === undefined || parent === null ? undefined : read.long('parent-snapshot-id'),
    // Absent in snapshots from before an upgrade to version 2: 0 (spec, "Reading v1 metadata for v2").
    'sequence-number': value['sequence-number'] === undefined ? 0n : read.long('sequence-number'),
    'timestamp-ms': read.number('timestamp-ms'),
    'manifest-list': read.string('manifest-list'),
    summary: (value.summary ?? {}) as Readonly<Record<string, string>>,
  }
}

function statisticsOf(value: Json, read: Reader): StatisticsFile {
  return { ...value, 'snapshot-id': read.long('snapshot-id'), 'statistics-path': read.string('statistics-path') }
}

function refsOf(value: unknown, location: string): TableMetadata['refs'] {
  const refs = Object.entries((value ?? {}) as Readonly<Record<string, Json>>).map(([name, ref]) => {
    const read = reader(ref, `${location}, refs.${name}`)
    return [name, { ...ref, 'snapshot-id': read.long('snapshot-id'), type: read.string('type') }]
  })
  return Object.fromEntries(refs) as TableMetadata['refs']
}

function check(metadata: TableMetadata, location: string): void {
  const missing = (what: string, id: bigint | number) =>
    corrupt(`Cannot read ${location}: expected ${what} ${id}, found none. Restore an earlier metadata file.`)
  const current = metadata['current-snapshot-id']
  if (current !== undefined && !metadata.snapshots.some((snapshot) => snapshot['snapshot-id'] === current))
    throw missing('current snapshot', current)
  currentSchema(metadata)
  defaultSpec(metadata)
  const order = metadata['default-sort-order-id']
  if (order !== 0 && !metadata['sort-orders'].some((o) => o['order-id'] === order)) throw missing('sort order', order)
}

/**
 * The metadata as a file: UTF-8 JSON, one line. Snapshots and entries of their log never change, so the text of each is made
 * once: a table of thousands of snapshots gets one more for the price of one.
 */
export function serializeMetadata(metadata: TableMetadata): Uint8Array {
  const { snapshots, 'snapshot-log': log, ...rest } = metadata
  const lists = `"snapshots":[${snapshots.map(textOf).join()}],"snapshot-log":[${log.map(textOf).join()}]`
  return new TextEncoder().encode(`${jsonText(rest).slice(0, -1)},${lists}}`)
}

const texts = new WeakMap<object, string>()

function textOf(part: object): string {
  let text = texts.get(part)
  if (text === undefined) texts.set(part, (text = jsonText(part)))
  return text
}

const jsonText = (value: object): string =>
  JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? rawJSON(String(part)) : part))

/** The schema that new files are written with. */
export function currentSchema(metadata: TableMetadata): IcebergSchema {
  return byId(metadata.schemas, 'schema-id', metadata['current-schema-id'], 'schema', metadata)
}

/** The partition spec that new files are written with. */
export function defaultSpec(metadata: TableMetadata): PartitionSpec {
  return specById(metadata, metadata['default-spec-id'])
}

/** The order that new files are sorted in; undefined where 0, "unsorted", is not written down. */
export function defaultSortOrder(metadata: TableMetadata): SortOrder | undefined {
  return metadata['sort-orders'].find((order) => order['order-id'] === metadata['default-sort-order-id'])
}

export function specById(metadata: TableMetadata, id: number): PartitionSpec {
  return byId(metadata['partition-specs'], 'spec-id', id, 'partition spec', metadata)
}

/** A snapshot that the table still has, or undefined. */
export function snapshotById(metadata: TableMetadata, id: bigint): Snapshot | undefined {
  return metadata.snapshots.findLast((snapshot) => snapshot['snapshot-id'] === id)
}

/** What a reader sees unless it asks for another; undefined while the table is empty and was never committed to. */
export function currentSnapshot(metadata: TableMetadata): Snapshot | undefined {
  const id = metadata['current-snapshot-id']
  return id === undefined ? undefined : snapshotById(metadata, id)
}

function byId<K extends string, T extends { readonly [key in K]: number }>(
  items: readonly T[],
  key: K,
  id: number,
  what: string,
  metadata: TableMetadata,
): T {
  const item = items.find((candidate) => candidate[key] === id)
  if (item === undefined)
    throw corrupt(
      `Cannot read table ${metadata.location}: expected ${what} ${id}, found ${items.map((i) => i[key]).join(', ') || 'none'}. Restore an earlier metadata file.`,
    )
  return item
}

function jsonOf(bytes: Uint8Array, location: string): Json {
  try {
    const plain = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes
    const text = new TextDecoder('utf-8', { fatal: true }).decode(plain)
    const json = parseWithSource(text, (_, value, { source }) =>
      typeof value === 'number' && !Number.isSafeInteger(value) && source !== undefined && /^-?\d+$/.test(source)
        ? BigInt(source)
        : value,
    )
    if (typeof json !== 'object' || json === null || Array.isArray(json)) throw corrupt('it is not a JSON object')
    return json as Json
  } catch (error) {
    throw corrupt(
      `Cannot read ${location}: expected Iceberg table metadata, found damage: ${messageOf(error)}. Restore an earlier metadata file.`,
      {
        cause: isKind(error, 'Corrupt') ? undefined : error,
      },
    )
  }
}

function wrongVersion(location: string, version: unknown) {
  if (typeof version !== 'number') return corrupt(`Cannot read ${location}: expected a format-version, found ${String(version)}.`)
  const advice =
    version < 2
      ? "Upgrade the table with another engine: set its property 'format-version' to '2'."
      : 'Use a version of frazil that knows it.'
  return refused(`Cannot read ${location}: expected Iceberg format version 2, found ${version}. ${advice}`)
}

interface Reader {
  string(key: string): string
  number(key: string): number
  long(key: string): bigint
  list<T>(key: string, item: (value: Json, read: Reader) => T, absent?: readonly T[]): readonly T[]
}

/** Checks types at the border, so that the rest of the room may rely on them. */
function reader(json: Json, location: string): Reader {
  const wrong = (key: string, expected: string) => {
    const found = json[key] === undefined ? 'nothing' : typeof json[key]
    return corrupt(
      `Cannot read ${location}: expected ${key} to be ${expected}, found ${found}. Restore an earlier metadata file.`,
    )
  }
  return {
    string(key) {
      const value = json[key]
      if (typeof value !== 'string') throw wrong(key, 'a string')
      return value
    },
    number(key) {
      const value = json[key]
      if (!Number.isSafeInteger(value)) throw wrong(key, 'an integer')
      return value as number
    },
    long(key) {
      const value = json[key]
      if (typeof value !== 'bigint' && !Number.isSafeInteger(value)) throw wrong(key, 'an integer')
      return BigInt(value as bigint | number)
    },
    list(key, item, absent) {
      const value = json[key] ?? absent
      if (!Array.isArray(value)) throw wrong(key, 'a list')
      if (value === absent) return absent
      return (value as Json[]).map((entry, i) => {
        if (typeof entry !== 'object' || entry === null) throw wrong(key, 'a list of objects')
        return item(entry, reader(entry, `${location}, ${key}[${i}]`))
      })
    },
  }
}
