/** Names a table: Iceberg's namespace (one level) and name. */
export interface TableId {
  readonly namespace: string
  readonly name: string
}

/** What the catalog says of a table: where its metadata is, and the token that a swap is compared against. */
export interface TablePointer {
  readonly metadataLocation: string
  readonly version: string
}

/** What a catalog may show of a table besides its pointer; nobody reads tables by it. */
export interface TableDescription {
  /** Where data and metadata lie, without a slash at the end. */
  readonly location: string
  /** Types as the Iceberg spec names primitives: `long`, `timestamptz`, `decimal(9, 2)`. */
  readonly columns: readonly { readonly id: number; readonly name: string; readonly type: string; readonly required: boolean }[]
}

/**
 * The third compare-and-set: a table's metadata pointer. No retries live below this interface (protocol rule 10).
 */
export interface Catalog {
  load(table: TableId): Promise<TablePointer | undefined>
  /** False when the table exists already. */
  create(table: TableId, metadataLocation: string, description: TableDescription): Promise<boolean>
  /**
   * Replaces the pointer if it still is `expected`. `false` means certainly not replaced.
   * Throws `CommitUnknown` or `Unavailable` when the outcome is unknown: load and look.
   *
   * @param description when what was shown of the table is to be replaced with the pointer; without it that stays
   */
  swap(table: TableId, expected: TablePointer, metadataLocation: string, description?: TableDescription): Promise<boolean>
  /** All tables, sorted by namespace and name. */
  list(): Promise<readonly TableId[]>
}
