/**
 * Immutable objects under absolute locations: `file:///dir/x`, `s3://bucket/x`, `memory://x`. Locations are literal,
 * never percent-decoded (Iceberg readers take them so). Names are unique by construction, so nothing is overwritten.
 */
export interface ObjectInfo {
  readonly location: string
  readonly sizeBytes: number
  readonly modifiedMs: number
}

export interface Objects {
  /** Durable and readable as a whole once resolved; never visible in part. */
  put(location: string, parts: readonly Uint8Array[]): Promise<void>
  /** The bytes, or those of a range; undefined when there is no such object. */
  get(location: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array | undefined>
  /** Size in bytes, undefined when there is no such object. */
  size(location: string): Promise<number | undefined>
  /** Deleting what is not there is fine. */
  delete(location: string): Promise<void>
  /** Everything whose location starts with `prefix`, in no order. */
  list(prefix: string): AsyncIterable<ObjectInfo>
}
