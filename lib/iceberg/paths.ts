import type { TableMetadata } from './types.ts'

/**
 * Where a table's files lie, by the names that Iceberg's own libraries give them. Everything below is unique by its UUID, so
 * two writers never write the same object.
 */

export function metadataDir(metadata: Pick<TableMetadata, 'location' | 'properties'>): string {
  return trimmed(metadata.properties['write.metadata.path'] ?? `${metadata.location}/metadata`)
}

/** Below it data files are put, in their partition's folder. */
export function dataDir(metadata: Pick<TableMetadata, 'location' | 'properties'>): string {
  return trimmed(metadata.properties['write.data.path'] ?? `${metadata.location}/data`)
}

/** `NNNNN-<uuid>.metadata.json`; the number says how many came before, for people. */
export function metadataLocation(
  metadata: Pick<TableMetadata, 'location' | 'properties'>,
  version: number,
  uuid: string,
): string {
  return `${metadataDir(metadata)}/${String(version).padStart(5, '0')}-${uuid}.metadata.json`
}

/** The number for the metadata file that follows `location`; 0 when that has none. */
export function nextVersion(location: string): number {
  const number = /(?:^|\/)v?(\d{1,15})[-.][^/]*$/.exec(location)
  return number === null ? 0 : Number(number[1]) + 1
}

/** `snap-<id>-1-<uuid>.avro`: Iceberg counts attempts within one commit; each of ours has a UUID of its own. */
export function manifestListLocation(metadata: TableMetadata, snapshotId: bigint, uuid: string): string {
  return `${metadataDir(metadata)}/snap-${snapshotId}-1-${uuid}.avro`
}

/** `<uuid>-m<i>.avro`. */
export function manifestLocation(metadata: TableMetadata, uuid: string, i: number): string {
  return `${metadataDir(metadata)}/${uuid}-m${i}.avro`
}

/**
 * A location as the Objects port names it. Engines on Hadoop write `file:///dir/x` as `file:/dir/x`: the same file. Nothing
 * else is changed, percent signs least of all.
 */
export function objectLocation(location: string): string {
  return location.replace(/^file:\/(?!\/)/, 'file:///')
}

/** Without slashes at the end, but not shorter than a root. */
export function trimmed(location: string): string {
  return location.replace(/(?<=[^/])\/+$/, '')
}
