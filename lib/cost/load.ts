import { usage } from '../errors.ts'
import { lookup } from '../lookup.ts'
import type { Plan, SourcePlan } from '../pipeline/plan.ts'

/** What a pipeline is given to do, and how it is set. */
export interface Load {
  /** Of all topics together; spread evenly over their partitions. */
  readonly recordsPerSecond: number
  /** Bytes of a record's value, on average. */
  readonly valueBytes: number
  /** Of every topic; undefined: as the definition says, else 4. */
  readonly partitions: number | undefined
  /** Distinct keys of each windowed operator, all of them seen in every window. */
  readonly keys: number
  /** The longest that the event source mapping gathers records. */
  readonly batchWindowMs: number
  readonly commitIntervalMs: number
  /** Event pollers at least, per topic; undefined: the mapping is on demand. */
  readonly pollers: number | undefined
}

/** What decides that a batch is handed over. */
export type ClosedBy = 'records' | 'bytes' | 'window'

/** The calls of ingest for one topic. */
export interface Batches {
  readonly source: SourcePlan
  /** Of the topic. */
  readonly topicPartitions: number
  readonly recordsPerSecond: number
  readonly batchesPerSecond: number
  /** Records of a batch. */
  readonly records: number
  /** Partitions that a batch has records of, on average. */
  readonly partitions: number
  readonly closedBy: ClosedBy
  /** Bytes of slices that a batch stages. */
  readonly stagedBytes: number
  /** Whether they lie in the log's entries: then there is no object. */
  readonly inline: boolean
  /** Of one log entry. */
  readonly entryBytes: number
}

/** As `frazil run` takes it for a topic that nobody described. */
const DEFAULT_PARTITIONS = 4
/** Of an event source mapping for Kafka, https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html */
const MAX_BATCH_RECORDS = 10_000
const MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
/** Names, numbers and braces around a record in a Lambda event, with a key of eight bytes, without headers. */
const ENVELOPE_BYTES = 150

/*
 * Of `ingest`, by the test of docs/reference/costs.md and by reading logs of the trades pipeline: a slice of n trades of 108
 * bytes takes 400 + 18 n, one of open windows 640 and 45 for each key. Other values are taken to shrink as trades do.
 */
const ROWS_SLICE_BYTES = 400
const STAGED_SHARE = 18 / 108
const WINDOW_SLICE_BYTES = 640
const WINDOW_ROW_BYTES = 45
/** `inlineBytes` of the runtime's limits. */
const INLINE_BYTES = 1536
const ENTRY_BYTES = 420
const SLICE_REF_BYTES = 80

/** Bytes of a record in a Lambda event: JSON, its value in base64. */
export function eventBytes(topic: string, valueBytes: number): number {
  return ENVELOPE_BYTES + topic.length + 4 * Math.ceil(valueBytes / 3)
}

/**
 * How a load reaches ingest, topic by topic. On demand one poller reads all partitions of a topic; with `pollers` each has its
 * share of them and batches of its own. Throws `Usage` for values that no event of Lambda can hold.
 */
export function batchesOf(plan: Plan, load: Load): readonly Batches[] {
  const sources = Object.values(plan.sources)
  const partitionsOf = (source: SourcePlan) => load.partitions ?? source.partitions ?? DEFAULT_PARTITIONS
  const all = sources.reduce((sum, source) => sum + partitionsOf(source), 0)
  return sources.map((source) => {
    const topicPartitions = partitionsOf(source)
    return topicBatches(plan, source, load, topicPartitions, (load.recordsPerSecond * topicPartitions) / all)
  })
}

function topicBatches(plan: Plan, source: SourcePlan, load: Load, topicPartitions: number, recordsPerSecond: number): Batches {
  const bytes = eventBytes(source.topic, load.valueBytes)
  if (bytes > MAX_PAYLOAD_BYTES)
    throw usage(
      `Cannot size ${source.topic}: expected values that a Lambda event of 6 MB holds, found ${load.valueBytes} bytes, ${bytes} in an event. Keep large values elsewhere and send where they are.`,
    )
  const readers = Math.min(load.pollers ?? 1, topicPartitions)
  const gathered = (recordsPerSecond / readers) * (load.batchWindowMs / 1000)
  const fitting = Math.min(MAX_BATCH_RECORDS, Math.floor(MAX_PAYLOAD_BYTES / bytes))
  // A window begins with a record: no batch is empty.
  const records = Math.min(fitting, Math.max(1, gathered))
  const full: ClosedBy = fitting < MAX_BATCH_RECORDS ? 'bytes' : 'records'
  const readPartitions = topicPartitions / readers
  const partitions = readPartitions * (1 - (1 - 1 / readPartitions) ** records)
  const slices = slicesOf(plan, source, load, records / partitions, topicPartitions)
  const perPartition = slices.reduce((sum, slice) => sum + slice, 0)
  const inline = perPartition <= INLINE_BYTES
  const base64Bytes = inline ? (perPartition * 4) / 3 : 0
  return {
    source,
    topicPartitions,
    recordsPerSecond,
    batchesPerSecond: recordsPerSecond / records,
    records,
    partitions,
    closedBy: gathered >= fitting ? full : 'window',
    stagedBytes: perPartition * partitions,
    inline,
    entryBytes: ENTRY_BYTES + SLICE_REF_BYTES * slices.length + base64Bytes,
  }
}

/** Bytes of the slices that `records` of one partition become: one for each table of rows, one for each operator. */
function slicesOf(plan: Plan, source: SourcePlan, load: Load, records: number, topicPartitions: number): readonly number[] {
  return source.outputs.map((output) => {
    if (output.kind === 'rows') return ROWS_SLICE_BYTES + STAGED_SHARE * load.valueBytes * records
    const keyed = lookup(plan.operators, output.operator, 'operator').keys.length > 0
    return WINDOW_SLICE_BYTES + WINDOW_ROW_BYTES * Math.min(records, keyed ? load.keys / topicPartitions : 1)
  })
}
