import { corrupt } from '../errors.ts'
import { type PartitionValue, type PartitionValueJson, partitionValueFromJson, partitionValueToJson } from './partition-value.ts'

/** What a file holds (spec, `data_file.content`). */
export const CONTENT_DATA = 0
export const CONTENT_POSITION_DELETES = 1
export const CONTENT_EQUALITY_DELETES = 2

/**
 * A data file as a manifest lists it (spec, "Manifests", `data_file`). Counts and sizes are numbers: they fit 2^53. Maps go
 * by field id. Bounds are in the spec's single-value serialization (appendix D).
 */
export interface DataFile {
  /** 0 data, 1 position deletes, 2 equality deletes. */
  readonly content: number
  /** Literal, never percent-decoded. */
  readonly filePath: string
  /** `PARQUET` for all that we write. */
  readonly fileFormat: string
  /** The partition spec that `partition` belongs to. */
  readonly specId: number
  readonly partition: readonly PartitionValue[]
  readonly recordCount: number
  readonly sizeBytes: number
  readonly columnSizes: ReadonlyMap<number, number>
  /** Nulls and NaNs included. */
  readonly valueCounts: ReadonlyMap<number, number>
  readonly nullCounts: ReadonlyMap<number, number>
  readonly nanCounts: ReadonlyMap<number, number>
  readonly lowerBounds: ReadonlyMap<number, Uint8Array>
  readonly upperBounds: ReadonlyMap<number, Uint8Array>
  readonly splitOffsets: readonly number[]
  readonly sortOrderId: number | undefined
  /** Of equality deletes only. */
  readonly equalityIds: readonly number[] | undefined
  /** Of deletes that concern one data file only. */
  readonly referencedDataFile: string | undefined
  readonly keyMetadata: Uint8Array | undefined
}

/** What `dataFile` needs to know of a Parquet file: the shape that lib/parquet's writer returns. */
export interface WrittenFile {
  readonly sizeBytes: number
  readonly rows: number
  readonly splitOffsets: readonly number[]
  readonly columns: readonly WrittenColumn[]
}

export interface WrittenColumn {
  readonly fieldId: number
  readonly sizeBytes: number
  /** Nulls and NaNs included. */
  readonly values: number
  readonly nulls: number
  /** Undefined for types that have no NaN. */
  readonly nans: number | undefined
  readonly lower: Uint8Array | undefined
  readonly upper: Uint8Array | undefined
}

export interface DataFileOptions {
  /** Absolute location the file was put at. */
  readonly location: string
  readonly specId: number
  readonly partition: readonly PartitionValue[]
  /** Id of the order its rows are in; undefined or 0: none. */
  readonly sortOrderId?: number | undefined
}

/** The manifest's view of a Parquet file just written. */
export function dataFile(file: WrittenFile, { location, specId, partition, sortOrderId }: DataFileOptions): DataFile {
  const byField = <T>(pick: (column: WrittenColumn) => T | undefined): ReadonlyMap<number, T> => {
    const map = new Map<number, T>()
    for (const column of file.columns) {
      const value = pick(column)
      if (value !== undefined) map.set(column.fieldId, value)
    }
    return map
  }
  return {
    content: CONTENT_DATA,
    filePath: location,
    fileFormat: 'PARQUET',
    specId,
    partition,
    recordCount: file.rows,
    sizeBytes: file.sizeBytes,
    columnSizes: byField((column) => column.sizeBytes),
    valueCounts: byField((column) => column.values),
    nullCounts: byField((column) => column.nulls),
    nanCounts: byField((column) => column.nans),
    lowerBounds: byField((column) => column.lower),
    upperBounds: byField((column) => column.upper),
    splitOffsets: file.splitOffsets,
    sortOrderId,
    equalityIds: undefined,
    referencedDataFile: undefined,
    keyMetadata: undefined,
  }
}

/**
 * A data file in a checkpoint's body: plain JSON. Only data files that we wrote go there, so deletes have no place in it.
 */
export interface DataFileJson {
  readonly path: string
  readonly spec: number
  readonly partition: readonly PartitionValueJson[]
  readonly rows: number
  readonly sizeBytes: number
  readonly splitOffsets: readonly number[]
  readonly sortOrder?: number
  /** Field id, size, values, nulls, NaNs, lower and upper bound (base64); null where there is none. */
  readonly columns: readonly ColumnJson[]
}

type ColumnJson = readonly [
  fieldId: number,
  sizeBytes: number | null,
  values: number | null,
  nulls: number | null,
  nans: number | null,
  lower: string | null,
  upper: string | null,
]

export function dataFileToJson(file: DataFile): DataFileJson {
  if (file.content !== CONTENT_DATA || file.fileFormat !== 'PARQUET' || file.keyMetadata !== undefined)
    throw corrupt(`Cannot put ${file.filePath} into a checkpoint: expected a plain Parquet data file.`)
  const ids = new Set([
    ...file.valueCounts.keys(),
    ...file.columnSizes.keys(),
    ...file.lowerBounds.keys(),
    ...file.upperBounds.keys(),
  ])
  return {
    path: file.filePath,
    spec: file.specId,
    partition: file.partition.map(partitionValueToJson),
    rows: file.recordCount,
    sizeBytes: file.sizeBytes,
    splitOffsets: file.splitOffsets,
    ...(file.sortOrderId === undefined ? {} : { sortOrder: file.sortOrderId }),
    columns: [...ids].map((id) => [
      id,
      file.columnSizes.get(id) ?? null,
      file.valueCounts.get(id) ?? null,
      file.nullCounts.get(id) ?? null,
      file.nanCounts.get(id) ?? null,
      toBase64(file.lowerBounds.get(id)),
      toBase64(file.upperBounds.get(id)),
    ]),
  }
}

/** The inverse of `dataFileToJson`. The text came from a checkpoint whose digest was checked. */
export function dataFileFromJson(json: DataFileJson): DataFile {
  const column = (i: 1 | 2 | 3 | 4) => mapped<number>(json.columns, (entry) => entry[i])
  const bound = (i: 5 | 6) =>
    mapped(json.columns, (entry) => (entry[i] === null ? null : new Uint8Array(Buffer.from(entry[i], 'base64'))))
  return {
    content: CONTENT_DATA,
    filePath: json.path,
    fileFormat: 'PARQUET',
    specId: json.spec,
    partition: json.partition.map(partitionValueFromJson),
    recordCount: json.rows,
    sizeBytes: json.sizeBytes,
    columnSizes: column(1),
    valueCounts: column(2),
    nullCounts: column(3),
    nanCounts: column(4),
    lowerBounds: bound(5),
    upperBounds: bound(6),
    splitOffsets: json.splitOffsets,
    sortOrderId: json.sortOrder,
    equalityIds: undefined,
    referencedDataFile: undefined,
    keyMetadata: undefined,
  }
}

function mapped<T>(columns: readonly ColumnJson[], pick: (column: ColumnJson) => T | null): ReadonlyMap<number, T> {
  const map = new Map<number, T>()
  for (const column of columns) {
    const value = pick(column)
    if (value !== null) map.set(column[0], value)
  }
  return map
}

function toBase64(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : Buffer.from(bytes).toString('base64')
}
