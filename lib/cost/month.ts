import type { Plan, TablePlan } from '../pipeline/plan.ts'
import { type Bill, commitBill, idleBill, ingestBill, type Round } from './calls.ts'
import { COMMIT_MEMORY_MB, commitSeconds, gbSeconds, INGEST_MEMORY_MB, ingestSeconds } from './lambda.ts'
import { type Batches, batchesOf, type Load } from './load.ts'

/** Of thirty days. */
export const MONTH_SECONDS = 30 * 24 * 3600

/** One of the two functions, for a month. */
export interface FunctionMonth {
  readonly invocations: number
  readonly gbSeconds: number
  readonly bill: Bill
}

/** What a pipeline does in a month. */
export interface Month {
  readonly batches: readonly Batches[]
  readonly records: number
  /** Bytes of values. */
  readonly valueBytes: number
  readonly ingest: FunctionMonth
  readonly commit: FunctionMonth
  /** Share of the time that one commit function is at work; above 1 it falls behind. */
  readonly commitBusy: number
  /** Calls of ingest at once, on average. */
  readonly ingestAtOnce: number
  /** Bytes that the month adds and that stay. */
  readonly added: { readonly tables: number; readonly staging: number; readonly log: number }
}

/** Staged bytes and log entries that one checkpoint takes: the defaults of the commit function. */
const MAX_CHECKPOINT_BYTES = 32 * 1024 * 1024
const MAX_CHECKPOINT_ENTRIES = 4096

/** Bytes of a row as a share of its value's, and of a window's row: trades and their candles. */
const ROW_SHARE = 16 / 108
const WINDOW_ROW_BYTES = 60
/** DynamoDB bills so much for each item besides its content. */
const ITEM_OVERHEAD_BYTES = 100

/** A month of a load. Throws `Usage` for a load that cannot be. */
export function monthOf(plan: Plan, load: Load): Month {
  const batches = batchesOf(plan, load)
  const records = load.recordsPerSecond * MONTH_SECONDS
  const invocations = total(batches, ({ batchesPerSecond }) => batchesPerSecond * MONTH_SECONDS)
  const ingestTime = total(
    batches,
    (topic) => topic.batchesPerSecond * MONTH_SECONDS * ingestSeconds(topic.records, load.valueBytes),
  )
  const ingest = {
    invocations,
    gbSeconds: gbSeconds(ingestTime, INGEST_MEMORY_MB),
    bill: added(batches.map((topic) => scaled(ingestBill(topic), topic.batchesPerSecond * MONTH_SECONDS))),
  }
  const { commit, time } = commitMonth(plan, load, batches)
  const rows = total(batches, (topic) => topic.recordsPerSecond * MONTH_SECONDS * rowOutputs(topic))
  const windowRows = total(Object.values(plan.operators), ({ keys, windowMs }) =>
    Math.min(records, (keys.length > 0 ? load.keys : 1) * windowsOf(windowMs)),
  )
  return {
    batches,
    records,
    valueBytes: records * load.valueBytes,
    ingest,
    commit,
    commitBusy: time / MONTH_SECONDS,
    ingestAtOnce: ingestTime / MONTH_SECONDS,
    added: {
      tables: rows * ROW_SHARE * load.valueBytes + windowRows * WINDOW_ROW_BYTES,
      staging: total(batches, (topic) => (topic.inline ? 0 : topic.batchesPerSecond * MONTH_SECONDS * topic.stagedBytes)),
      log: total(
        batches,
        (topic) => topic.batchesPerSecond * MONTH_SECONDS * topic.partitions * (topic.entryBytes + ITEM_OVERHEAD_BYTES),
      ),
    },
  }
}

/** Calls that find something, and those that find nothing. */
function commitMonth(
  plan: Plan,
  load: Load,
  batches: readonly Batches[],
): { readonly commit: FunctionMonth; readonly time: number } {
  const invocations = (MONTH_SECONDS * 1000) / load.commitIntervalMs
  const perSecond = total(batches, ({ batchesPerSecond }) => batchesPerSecond)
  // Batches that come seldom have a call each.
  const working = Math.min(invocations, perSecond * MONTH_SECONDS)
  const batchesOfCall = (topic: Batches) => (topic.batchesPerSecond * MONTH_SECONDS) / working
  const staged = total(batches, (topic) => batchesOfCall(topic) * topic.stagedBytes)
  const entries = total(batches, (topic) => batchesOfCall(topic) * topic.partitions)
  const rounds = Math.max(1, Math.ceil(staged / MAX_CHECKPOINT_BYTES), Math.ceil(entries / MAX_CHECKPOINT_ENTRIES))
  const partitions = total(batches, ({ topicPartitions }) => topicPartitions)
  const segments = total(batches, (topic) => (topic.inline ? 0 : batchesOfCall(topic))) / rounds
  const records = (load.recordsPerSecond * MONTH_SECONDS) / (working * rounds)
  const round: Round = {
    partitions,
    segments,
    entries: entries / rounds / partitions,
    entryBytes: Math.max(...batches.map(({ entryBytes }) => entryBytes)),
    ...filesOf(plan, load, records, working * rounds),
  }
  const idle = invocations - working
  const time = working * rounds * commitSeconds(records, load.valueBytes, segments) + idle * commitSeconds(0, load.valueBytes, 0)
  return {
    commit: {
      invocations,
      gbSeconds: gbSeconds(time, COMMIT_MEMORY_MB),
      bill: added([scaled(commitBill(plan, round), working * rounds), scaled(idleBill(plan, partitions), idle)]),
    },
    time,
  }
}

/** Tables that a round changes and files that it writes, on average: windows close once, whatever the number of rounds. */
function filesOf(plan: Plan, load: Load, records: number, rounds: number) {
  const rowTables = new Set(
    Object.values(plan.sources).flatMap((source) =>
      source.outputs.flatMap((output) => (output.kind === 'rows' ? [output.table] : [])),
    ),
  )
  const closings = Object.values(plan.operators).map((operator) => ({
    share: Math.min(1, windowsOf(operator.windowMs) / rounds),
    files: filesPerCommit(plan.tables[operator.table], operator.keys.length > 0 ? load.keys : 1, load.keys),
  }))
  return {
    rowTables: rowTables.size,
    rowFiles: total([...rowTables], (table) => filesPerCommit(plan.tables[table], records, load.keys)),
    closing: total(closings, ({ share }) => share),
    windowFiles: total(closings, ({ share, files }) => share * files),
  }
}

/** A file for each table partition: all of one commit have the same year, month, day and hour. */
function filesPerCommit(table: TablePlan, rows: number, keys: number): number {
  const values = table.partitionBy.map(({ transform }) =>
    transform.kind === 'bucket' ? transform.buckets : transform.kind === 'identity' ? keys : 1,
  )
  return Math.max(
    1,
    Math.min(
      rows,
      values.reduce((product, count) => product * count, 1),
    ),
  )
}

const windowsOf = (windowMs: number) => (MONTH_SECONDS * 1000) / windowMs
const rowOutputs = ({ source }: Batches) => source.outputs.filter(({ kind }) => kind === 'rows').length

function total<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((sum, item) => sum + of(item), 0)
}

function scaled({ calls, readUnits, writeUnits }: Bill, times: number): Bill {
  const scaledCalls = Object.fromEntries(Object.entries(calls).map(([call, count]) => [call, count * times]))
  return { calls: scaledCalls, readUnits: readUnits * times, writeUnits: writeUnits * times }
}

function added(bills: readonly Bill[]): Bill {
  const calls: Record<string, number> = {}
  for (const bill of bills) for (const [call, count] of Object.entries(bill.calls)) calls[call] = (calls[call] ?? 0) + count
  return {
    calls,
    readUnits: total(bills, ({ readUnits }) => readUnits),
    writeUnits: total(bills, ({ writeUnits }) => writeUnits),
  }
}
