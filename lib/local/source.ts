import type { Records } from '../columns/records.ts'
import type { Broker } from '../ports/broker.ts'

/** Where records come from in a local run. A source is also the broker that proves what is unread. */
export interface Source extends Broker {
  /** Partitions to open before the first record, by pipeline source id. */
  partitionsBySource(): Promise<Readonly<Record<string, readonly number[]>>>
  /**
   * The next bounded batch: records of several partitions, each in offset order; undefined when all is read for now, and then
   * everything returned before must be staged before anything is proved unread. One batch may be asked for ahead.
   */
  next(): Promise<readonly Records[] | undefined>
  /** Bytes read so far, and in all where that is known. */
  progress(): { readonly bytesRead: number; readonly totalBytes: number | undefined }
  /** Partitions that had nothing new for their source's idle time. */
  idle(): readonly { readonly source: string; readonly partition: number }[]
  close(): Promise<void>
}

/** Records one batch holds at most: what Lambda's event source mapping gives a function. */
export const MAX_BATCH_RECORDS = 10_000
