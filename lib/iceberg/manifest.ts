import { corrupt } from '../errors.ts'
import { readAvro } from './avro-read.ts'
import { type AvroRow, type AvroValue, avroName } from './avro-schema.ts'
import { writeAvro } from './avro-write.ts'
import type { DataFile } from './data-file.ts'
import { manifestEntrySchema, manifestNames, partitionKey } from './manifest-schemas.ts'
import type { PartitionValue } from './partition-value.ts'
import type { IcebergSchema, PartitionSpec } from './types.ts'

/** Spec, `manifest_entry.status`. */
export const EXISTING = 0
export const ADDED = 1
export const DELETED = 2

/** Spec, manifest `content`. */
export const DATA_MANIFEST = 0
export const DELETES_MANIFEST = 1

/** A file in a manifest. Null ids and numbers are inherited from the manifest list ("Sequence Number Inheritance"). */
export interface ManifestEntry {
  readonly status: number
  readonly snapshotId: bigint | null
  /** The data sequence number. */
  readonly sequenceNumber: bigint | null
  readonly fileSequenceNumber: bigint | null
  readonly file: DataFile
}

export interface ManifestOptions {
  readonly schema: IcebergSchema
  readonly spec: PartitionSpec
  readonly entries: readonly ManifestEntry[]
  /** Of all entries. @default DATA_MANIFEST */
  readonly content?: number
  /** 16 bytes; see `writeAvro`. */
  readonly sync: Uint8Array
}

/** A manifest file, format version 2. Entries with status ADDED may leave their numbers null, no others. */
export function writeManifest({ schema, spec, entries, content = DATA_MANIFEST, sync }: ManifestOptions): Uint8Array {
  const names = spec.fields.map((field) => avroName(field.name))
  return writeAvro({
    schema: manifestEntrySchema(spec, schema),
    metadata: {
      schema: JSON.stringify(schema),
      'schema-id': String(schema['schema-id']),
      'partition-spec': JSON.stringify(spec.fields),
      'partition-spec-id': String(spec['spec-id']),
      'format-version': '2',
      content: content === DATA_MANIFEST ? 'data' : 'deletes',
    },
    rows: entries.values().map((entry) => entryRow(entry, names, spec)),
    sync,
  })
}

function entryRow(
  { status, snapshotId, sequenceNumber, fileSequenceNumber, file }: ManifestEntry,
  names: readonly string[],
  spec: PartitionSpec,
): AvroRow {
  if (status !== ADDED && (sequenceNumber === null || fileSequenceNumber === null || snapshotId === null))
    throw corrupt(`Cannot write a manifest: expected sequence numbers for ${file.filePath}, which is not new, found none.`)
  if (file.specId !== spec['spec-id'] || file.partition.length !== names.length)
    throw corrupt(
      `Cannot write a manifest: expected ${file.filePath} in partition spec ${spec['spec-id']}, found ${file.specId}.`,
    )
  return {
    status,
    snapshot_id: snapshotId,
    sequence_number: sequenceNumber,
    file_sequence_number: fileSequenceNumber,
    data_file: {
      content: file.content,
      file_path: file.filePath,
      file_format: file.fileFormat,
      partition: Object.fromEntries(names.map((name, i) => [name, file.partition[i]])),
      record_count: file.recordCount,
      file_size_in_bytes: file.sizeBytes,
      column_sizes: pairs(file.columnSizes),
      value_counts: pairs(file.valueCounts),
      null_value_counts: pairs(file.nullCounts),
      nan_value_counts: pairs(file.nanCounts),
      lower_bounds: pairs(file.lowerBounds),
      upper_bounds: pairs(file.upperBounds),
      key_metadata: file.keyMetadata ?? null,
      split_offsets: file.splitOffsets.length === 0 ? null : file.splitOffsets,
      equality_ids: file.equalityIds ?? null,
      sort_order_id: file.sortOrderId ?? null,
      referenced_data_file: file.referencedDataFile ?? null,
    },
  }
}

function pairs(map: ReadonlyMap<number, number | Uint8Array>): AvroValue {
  return map.size === 0 ? null : Array.from(map, ([key, value]) => ({ key, value }))
}

/** The entries of a manifest of any writer; `spec` is the partition spec that the manifest list names for it. */
export function readManifest(bytes: Uint8Array, spec: PartitionSpec, location: string): ManifestEntry[] {
  const { rows } = readAvro(bytes, { location, names: manifestNames(spec) })
  return rows.map((row) => entryOf(row as unknown as EntryRow, spec, location))
}

/** What a manifest's rows look like once read; fields of later versions of the format may be absent. */
interface EntryRow {
  readonly status: number
  readonly snapshot_id?: bigint | null
  readonly sequence_number?: bigint | null
  readonly file_sequence_number?: bigint | null
  readonly data_file: {
    readonly content?: number
    readonly file_path: string
    readonly file_format: string
    readonly partition: Readonly<Record<string, PartitionValue>>
    readonly record_count: bigint
    readonly file_size_in_bytes: bigint
    readonly column_sizes?: Pairs<bigint>
    readonly value_counts?: Pairs<bigint>
    readonly null_value_counts?: Pairs<bigint>
    readonly nan_value_counts?: Pairs<bigint>
    readonly lower_bounds?: Pairs<Uint8Array>
    readonly upper_bounds?: Pairs<Uint8Array>
    readonly key_metadata?: Uint8Array | null
    readonly split_offsets?: readonly bigint[] | null
    readonly equality_ids?: readonly number[] | null
    readonly sort_order_id?: number | null
    readonly referenced_data_file?: string | null
  }
}
type Pairs<T> = readonly { readonly key: number; readonly value: T }[] | null

function entryOf(row: EntryRow, spec: PartitionSpec, location: string): ManifestEntry {
  const file = row.data_file
  if (typeof row.status !== 'number' || typeof file?.file_path !== 'string' || typeof file.record_count !== 'bigint')
    throw corrupt(`Cannot read manifest ${location}: expected status, file path and record count in each entry.`)
  const count = (value: bigint) => safe(value, location)
  return {
    status: row.status,
    snapshotId: row.snapshot_id ?? null,
    sequenceNumber: row.sequence_number ?? null,
    fileSequenceNumber: row.file_sequence_number ?? null,
    file: {
      content: file.content ?? 0,
      filePath: file.file_path,
      fileFormat: file.file_format.toUpperCase(),
      specId: spec['spec-id'],
      partition: spec.fields.map((field) => file.partition[partitionKey(field['field-id'])] ?? null),
      recordCount: count(file.record_count),
      sizeBytes: count(file.file_size_in_bytes),
      columnSizes: mapOf(file.column_sizes, count),
      valueCounts: mapOf(file.value_counts, count),
      nullCounts: mapOf(file.null_value_counts, count),
      nanCounts: mapOf(file.nan_value_counts, count),
      lowerBounds: mapOf(file.lower_bounds, (bytes) => bytes),
      upperBounds: mapOf(file.upper_bounds, (bytes) => bytes),
      splitOffsets: (file.split_offsets ?? []).map(count),
      sortOrderId: file.sort_order_id ?? undefined,
      equalityIds: file.equality_ids ?? undefined,
      referencedDataFile: file.referenced_data_file ?? undefined,
      keyMetadata: file.key_metadata ?? undefined,
    },
  }
}

function mapOf<T, R>(entries: Pairs<T> | undefined, value: (value: T) => R): ReadonlyMap<number, R> {
  return new Map((entries ?? []).map((entry) => [entry.key, value(entry.value)]))
}

/** Counts and sizes are longs in the file; none can honestly exceed 2^53. */
function safe(value: bigint, location: string): number {
  const n = Number(value)
  if (!Number.isSafeInteger(n) || n < 0)
    throw corrupt(`Cannot read manifest ${location}: expected a count or size, found ${value}.`)
  return n
}
