import { corrupt, refused } from '../errors.ts'
import { readAvro } from './avro-read.ts'
import type { AvroRow } from './avro-schema.ts'
import { writeAvro } from './avro-write.ts'
import { ADDED, DATA_MANIFEST, DELETED, EXISTING, type ManifestEntry } from './manifest.ts'
import { MANIFEST_FILE_SCHEMA, MANIFEST_LIST_NAMES } from './manifest-schemas.ts'
import { comparePartitionValues, type PartitionValue, singleValueBytes } from './partition-value.ts'
import { partitionType } from './schema.ts'
import type { IcebergSchema, PartitionSpec } from './types.ts'

/** A manifest as a manifest list names it (spec, "Manifest Lists", `manifest_file`). */
export interface ManifestFile {
  readonly path: string
  readonly sizeBytes: number
  readonly specId: number
  /** 0 data, 1 deletes. */
  readonly content: number
  readonly sequenceNumber: bigint
  /** The least data sequence number of its live files. */
  readonly minSequenceNumber: bigint
  readonly addedSnapshotId: bigint
  readonly addedFiles: number
  readonly existingFiles: number
  readonly deletedFiles: number
  readonly addedRows: number
  readonly existingRows: number
  readonly deletedRows: number
  /** One per partition field; undefined when its writer left them out. */
  readonly partitions: readonly FieldSummary[] | undefined
  readonly keyMetadata: Uint8Array | undefined
}

/** The values of one partition field over all files of a manifest (spec, `field_summary`). */
export interface FieldSummary {
  readonly containsNull: boolean
  readonly containsNan: boolean | undefined
  readonly lower: Uint8Array | undefined
  readonly upper: Uint8Array | undefined
}

export interface NewManifest {
  readonly path: string
  readonly sizeBytes: number
  readonly schema: IcebergSchema
  readonly spec: PartitionSpec
  readonly entries: readonly ManifestEntry[]
  readonly snapshotId: bigint
  /** Of the commit that adds it: what null sequence numbers in the entries stand for. */
  readonly sequenceNumber: bigint
  readonly content?: number
}

/** The manifest list's row for a manifest just written. */
export function manifestFile({
  path,
  sizeBytes,
  schema,
  spec,
  entries,
  snapshotId,
  sequenceNumber,
  content = DATA_MANIFEST,
}: NewManifest): ManifestFile {
  const withStatus = (status: number) => entries.filter((entry) => entry.status === status)
  const rows = (list: readonly ManifestEntry[]) => list.reduce((sum, entry) => sum + entry.file.recordCount, 0)
  const [added, existing, deleted] = [withStatus(ADDED), withStatus(EXISTING), withStatus(DELETED)]
  let minSequenceNumber = sequenceNumber
  for (const entry of [...added, ...existing])
    if (entry.sequenceNumber !== null && entry.sequenceNumber < minSequenceNumber) minSequenceNumber = entry.sequenceNumber
  return {
    path,
    sizeBytes,
    specId: spec['spec-id'],
    content,
    sequenceNumber,
    minSequenceNumber,
    addedSnapshotId: snapshotId,
    addedFiles: added.length,
    existingFiles: existing.length,
    deletedFiles: deleted.length,
    addedRows: rows(added),
    existingRows: rows(existing),
    deletedRows: rows(deleted),
    partitions: spec.fields.map((field, i) =>
      fieldSummary(
        partitionType(schema, field['source-id'], field.transform),
        entries.map((entry) => entry.file.partition[i]),
      ),
    ),
    keyMetadata: undefined,
  }
}

function fieldSummary(type: string, values: readonly PartitionValue[]): FieldSummary {
  let lower: Exclude<PartitionValue, null> | undefined
  let upper: Exclude<PartitionValue, null> | undefined
  for (const value of values) {
    if (value === null || Number.isNaN(value)) continue
    if (lower === undefined || comparePartitionValues(value, lower) < 0) lower = value
    if (upper === undefined || comparePartitionValues(value, upper) > 0) upper = value
  }
  return {
    containsNull: values.includes(null),
    containsNan: values.some((value) => Number.isNaN(value)),
    lower: lower === undefined ? undefined : singleValueBytes(type, lower),
    upper: upper === undefined ? undefined : singleValueBytes(type, upper),
  }
}

export interface ManifestListOptions {
  readonly snapshotId: bigint
  readonly parentSnapshotId: bigint | undefined
  readonly sequenceNumber: bigint
  readonly manifests: readonly ManifestFile[]
  /** 16 bytes; see `writeAvro`. */
  readonly sync: Uint8Array
}

/** A manifest list, format version 2. */
export function writeManifestList({
  snapshotId,
  parentSnapshotId,
  sequenceNumber,
  manifests,
  sync,
}: ManifestListOptions): Uint8Array {
  return writeAvro({
    schema: MANIFEST_FILE_SCHEMA,
    metadata: {
      'snapshot-id': String(snapshotId),
      'parent-snapshot-id': parentSnapshotId === undefined ? 'null' : String(parentSnapshotId),
      'sequence-number': String(sequenceNumber),
      'format-version': '2',
    },
    rows: manifests.values().map(manifestRow),
    sync,
  })
}

function manifestRow(manifest: ManifestFile): AvroRow {
  return {
    manifest_path: manifest.path,
    manifest_length: manifest.sizeBytes,
    partition_spec_id: manifest.specId,
    content: manifest.content,
    sequence_number: manifest.sequenceNumber,
    min_sequence_number: manifest.minSequenceNumber,
    added_snapshot_id: manifest.addedSnapshotId,
    added_files_count: manifest.addedFiles,
    existing_files_count: manifest.existingFiles,
    deleted_files_count: manifest.deletedFiles,
    added_rows_count: manifest.addedRows,
    existing_rows_count: manifest.existingRows,
    deleted_rows_count: manifest.deletedRows,
    partitions:
      manifest.partitions?.map(({ containsNull, containsNan, lower, upper }) => ({
        contains_null: containsNull,
        contains_nan: containsNan ?? null,
        lower_bound: lower ?? null,
        upper_bound: upper ?? null,
      })) ?? null,
    key_metadata: manifest.keyMetadata ?? null,
  }
}

/** What a manifest list's rows look like once read. Version 1 lacks content and sequence numbers: all 0. */
interface ManifestRow {
  readonly manifest_path: string
  readonly manifest_length: bigint
  readonly partition_spec_id: number
  readonly content?: number
  readonly sequence_number?: bigint
  readonly min_sequence_number?: bigint
  readonly added_snapshot_id: bigint
  readonly added_files_count?: number | null
  readonly existing_files_count?: number | null
  readonly deleted_files_count?: number | null
  readonly added_rows_count?: bigint | null
  readonly existing_rows_count?: bigint | null
  readonly deleted_rows_count?: bigint | null
  readonly partitions?:
    | readonly {
        readonly contains_null: boolean
        readonly contains_nan?: boolean | null
        readonly lower_bound?: Uint8Array | null
        readonly upper_bound?: Uint8Array | null
      }[]
    | null
  readonly key_metadata?: Uint8Array | null
}

/** The manifests of a snapshot, of any writer. */
export function readManifestList(bytes: Uint8Array, location: string): ManifestFile[] {
  return readAvro(bytes, { location, names: MANIFEST_LIST_NAMES }).rows.map((row) =>
    manifestOf(row as unknown as ManifestRow, location),
  )
}

function manifestOf(row: ManifestRow, location: string): ManifestFile {
  if (typeof row.manifest_path !== 'string' || typeof row.added_snapshot_id !== 'bigint')
    throw corrupt(`Cannot read manifest list ${location}: expected a path and a snapshot id in each entry.`)
  // Optional in version 1. An unknown count must not look like none: a reader would skip the manifest.
  const known = (count: number | null | undefined): number => {
    if (typeof count === 'number') return count
    throw refused(
      `Cannot read manifest list ${location}: expected file counts for ${row.manifest_path}, found none. Rewrite the table's manifests with another engine.`,
    )
  }
  return {
    path: row.manifest_path,
    sizeBytes: Number(row.manifest_length),
    specId: row.partition_spec_id,
    content: row.content ?? DATA_MANIFEST,
    sequenceNumber: row.sequence_number ?? 0n,
    minSequenceNumber: row.min_sequence_number ?? 0n,
    addedSnapshotId: row.added_snapshot_id,
    addedFiles: known(row.added_files_count),
    existingFiles: known(row.existing_files_count),
    deletedFiles: known(row.deleted_files_count),
    addedRows: Number(row.added_rows_count ?? 0n),
    existingRows: Number(row.existing_rows_count ?? 0n),
    deletedRows: Number(row.deleted_rows_count ?? 0n),
    partitions: row.partitions?.map((field) => ({
      containsNull: field.contains_null,
      containsNan: field.contains_nan ?? undefined,
      lower: field.lower_bound ?? undefined,
      upper: field.upper_bound ?? undefined,
    })),
    keyMetadata: row.key_metadata ?? undefined,
  }
}
