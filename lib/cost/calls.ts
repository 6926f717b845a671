import type { Plan } from '../pipeline/plan.ts'
import type { Batches } from './load.ts'

/** Calls to AWS that have a price, by the names of the service's API. */
export type Call =
  | 'S3.PutObject'
  | 'S3.GetObject'
  | 'S3.HeadObject'
  | 'DynamoDB.Query'
  | 'DynamoDB.PutItem'
  | 'DynamoDB.BatchGetItem'
  | 'Glue.GetTable'
  | 'Glue.UpdateTable'

/** What a call of a function sends. Counts are averages, and so may be fractions. */
export interface Bill {
  readonly calls: Readonly<Partial<Record<Call, number>>>
  readonly readUnits: number
  readonly writeUnits: number
}

const WRITE_UNIT_BYTES = 1024
/** Strongly consistent. */
const READ_UNIT_BYTES = 4096
const BATCH_GET_ITEMS = 100
/** Entries that commit asks of a log at once. */
const QUERY_ENTRIES = 64

/**
 * A call of ingest that stages a batch: per partition the tail is read and an entry put, one object for all of them, then the
 * floors. Cold starts, redeliveries and the first call of a pipeline are not in it.
 */
export function ingestBill({ partitions, inline, entryBytes }: Pick<Batches, 'partitions' | 'inline' | 'entryBytes'>): Bill {
  return {
    calls: {
      ...(!inline && { 'S3.PutObject': 1 }),
      'DynamoDB.Query': partitions,
      'DynamoDB.PutItem': partitions,
      'DynamoDB.BatchGetItem': Math.ceil(partitions / BATCH_GET_ITEMS),
    },
    // A tail and a floor for each.
    readUnits: 2 * partitions,
    writeUnits: partitions * Math.ceil(entryBytes / WRITE_UNIT_BYTES),
  }
}

/** What one round of commit finds. */
export interface Round {
  /** Of all topics. */
  readonly partitions: number
  /** Objects staged since the last round. */
  readonly segments: number
  /** Entries in the log of a partition since then. */
  readonly entries: number
  readonly entryBytes: number
  /** Tables of rows that get some. */
  readonly rowTables: number
  /** Data files of those tables. */
  readonly rowFiles: number
  /** Operators of which windows close, each with a table of its own. */
  readonly closing: number
  /** Data files of those tables. */
  readonly windowFiles: number
}

/** A round of commit that has something to do: reads the logs, writes files, the checkpoint and the tables that change. */
export function commitBill(plan: Plan, round: Round): Bill {
  const { partitions, segments, entries, entryBytes, rowTables, rowFiles, closing, windowFiles } = round
  const changed = rowTables + closing
  const files = rowFiles + windowFiles
  const pages = Math.floor(entries / QUERY_ENTRIES) + 1
  const units = Math.max(pages, Math.ceil((entries * entryBytes) / READ_UNIT_BYTES))
  return {
    calls: {
      // The checkpoint's body, segments, a manifest list for each table that changes, the windows that close.
      'S3.GetObject': 1 + segments + changed + closing,
      'S3.HeadObject': files,
      // Data; manifest, manifest list and metadata; open windows of each operator; the checkpoint's body.
      'S3.PutObject': files + 3 * changed + Object.keys(plan.operators).length + 1,
      // And the last checkpoint.
      'DynamoDB.Query': partitions * pages + 1,
      'DynamoDB.PutItem': 1,
      'DynamoDB.BatchGetItem': 1,
      'Glue.GetTable': Object.keys(plan.tables).length + changed,
      'Glue.UpdateTable': changed,
    },
    readUnits: partitions * units + 2,
    writeUnits: 1,
  }
}

/** A call of commit that finds nothing staged. */
export function idleBill(plan: Plan, partitions: number): Bill {
  return {
    calls: {
      'S3.GetObject': 1,
      'DynamoDB.Query': partitions + 1,
      'Glue.GetTable': Object.keys(plan.tables).length,
    },
    readUnits: partitions + 1,
    writeUnits: 0,
  }
}
