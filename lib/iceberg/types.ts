/**
 * Table metadata as the Iceberg spec lays it out ("Table Metadata Fields", appendix C), format version 2. The spec's keys are
 * kept word for word. Ids and sequence numbers are 64 bits wide and so bigint; times in milliseconds are numbers. Keys that
 * are not named here are kept as they were read.
 */
export interface TableMetadata {
  readonly 'format-version': 2
  readonly 'table-uuid': string
  /** Without a slash at the end. */
  readonly location: string
  readonly 'last-sequence-number': bigint
  readonly 'last-updated-ms': number
  readonly 'last-column-id': number
  readonly schemas: readonly IcebergSchema[]
  readonly 'current-schema-id': number
  readonly 'partition-specs': readonly PartitionSpec[]
  readonly 'default-spec-id': number
  readonly 'last-partition-id': number
  readonly properties: Readonly<Record<string, string>>
  readonly 'current-snapshot-id'?: bigint | undefined
  readonly snapshots: readonly Snapshot[]
  readonly 'snapshot-log': readonly SnapshotLogEntry[]
  readonly 'metadata-log': readonly MetadataLogEntry[]
  readonly 'sort-orders': readonly SortOrder[]
  readonly 'default-sort-order-id': number
  readonly refs: Readonly<Record<string, SnapshotRef>>
  readonly statistics?: readonly StatisticsFile[]
  readonly 'partition-statistics'?: readonly StatisticsFile[]
}

export interface IcebergSchema {
  readonly type: 'struct'
  readonly 'schema-id': number
  readonly fields: readonly SchemaField[]
  readonly 'identifier-field-ids'?: readonly number[]
}

export interface SchemaField {
  readonly id: number
  readonly name: string
  readonly required: boolean
  /** A primitive's name, or the JSON of a nested type. */
  readonly type: string | Readonly<Record<string, unknown>>
  readonly doc?: string
}

export interface PartitionSpec {
  readonly 'spec-id': number
  readonly fields: readonly PartitionSpecField[]
}

export interface PartitionSpecField {
  readonly 'source-id': number
  readonly 'field-id': number
  readonly name: string
  /** `identity`, `day`, `bucket[16]` … */
  readonly transform: string
}

export interface SortOrder {
  readonly 'order-id': number
  readonly fields: readonly SortOrderField[]
}

export interface SortOrderField {
  readonly transform: string
  readonly 'source-id': number
  readonly direction: 'asc' | 'desc'
  readonly 'null-order': 'nulls-first' | 'nulls-last'
}

export interface Snapshot {
  readonly 'snapshot-id': bigint
  readonly 'parent-snapshot-id'?: bigint | undefined
  readonly 'sequence-number': bigint
  readonly 'timestamp-ms': number
  readonly 'manifest-list': string
  /** `operation` among them. */
  readonly summary: Readonly<Record<string, string>>
  readonly 'schema-id'?: number | undefined
}

export interface SnapshotLogEntry {
  readonly 'timestamp-ms': number
  readonly 'snapshot-id': bigint
}

export interface MetadataLogEntry {
  readonly 'timestamp-ms': number
  readonly 'metadata-file': string
}

export interface SnapshotRef {
  readonly 'snapshot-id': bigint
  readonly type: 'branch' | 'tag'
  /** Of a branch: so many of its newest snapshots stay, however old. */
  readonly 'min-snapshots-to-keep'?: number
  /** Of a branch: its snapshots older than this go. */
  readonly 'max-snapshot-age-ms'?: number
  /** The ref itself goes once its snapshot is older; `main` never does. */
  readonly 'max-ref-age-ms'?: number
}

/** A file of statistics of a snapshot, in Puffin or Parquet (spec, "Table Statistics", "Partition Statistics"). */
export interface StatisticsFile {
  readonly 'snapshot-id': bigint
  readonly 'statistics-path': string
}

export const MAIN_BRANCH = 'main'
