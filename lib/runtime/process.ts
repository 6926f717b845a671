import type { Batch, Vector } from '../columns/batch.ts'
import { expectType, vectorOf } from '../columns/batch.ts'
import type { JsonDecoder, Rejected, RejectReason } from '../columns/decode-json.ts'
import { evaluateComputed, filterRows } from '../columns/evaluate.ts'
import { getQuotient, setLong, setProduct, words } from '../columns/numbers.ts'
import { batchOf, select, take } from '../columns/operations.ts'
import type { Records } from '../columns/records.ts'
import { lookup } from '../lookup.ts'
import type { Output, Plan, SourcePlan, Step } from '../pipeline/plan.ts'
import type { SliceRef } from '../protocol/staging.ts'
import { fold, lateBatch } from '../stream/aggregate.ts'
import { encodeSlice, type SliceHeader } from '../stream/slice.ts'
import { judge } from '../stream/watermark.ts'

/** A slice on its way to a segment or an entry. */
export type StagedSlice = Omit<SliceRef, 'offset' | 'length'> & { readonly bytes: Uint8Array }

/** Slices of one partition's records, and what the log entry says of them. */
export interface Processed {
  readonly slices: readonly StagedSlice[]
  /** Milliseconds; -Infinity while the partition had no event time. */
  readonly watermark: number
  /** Greatest event time of the records, milliseconds; -Infinity when none has one. */
  readonly greatestTime: number
  readonly deadLetters: number
  /** Dead letters by reason. */
  readonly reasons: Reasons
  readonly late: number
}

export type Reasons = Readonly<Partial<Record<RejectReason, number>>>

/** Both counts together. */
export function addReasons(a: Reasons, b: Reasons): Reasons {
  const sum: Partial<Record<RejectReason, number>> = { ...a }
  for (const [reason, count] of Object.entries(b) as [RejectReason, number][]) sum[reason] = (sum[reason] ?? 0) + count
  return sum
}

/** Longest detail text a dead letter carries, in UTF-16 units. */
const MAX_DETAIL = 1000

/**
 * Records in, slices out: decode, compute, accept or reject, judge lateness record by record, fold partial aggregates.
 * Pure: the same records after the same watermark give the same slices, whoever runs it and how often.
 *
 * @param start index of the first record to take
 * @param before the partition's watermark before that record, milliseconds, -Infinity for none
 */
export function processRecords(
  plan: Plan,
  source: SourcePlan,
  decoder: JsonDecoder,
  records: Records,
  start: number,
  before: number,
): Processed {
  const decoded = decoder.decode(records, start, records.count)
  const rejected: Rejected[] = [...decoded.rejected]
  let rows: Batch = withKafkaColumns(source, decoded.batch, decoded.indexes, records)
  let indexes = decoded.indexes
  for (const { name, expression } of source.computed) {
    const { vector, outOfRange } = evaluateComputed(expression, rows)
    rows = withColumn(rows, source, name, vector)
    if (outOfRange !== undefined) {
      for (const row of outOfRange)
        rejected.push({
          index: indexes[row],
          reason: name === source.eventTime ? 'event_time_out_of_range' : 'out_of_range',
          detail: `Cannot compute column ${name}: expected a time within 100,000,000 days of 1970, found one outside.`,
        })
      ;({ rows, indexes } = without(rows, indexes, outOfRange))
    }
  }
  rows = inOrder(source, rows)
  let times = eventTimes(rows, source.eventTime)
  const ahead = aheadOfKafka(source, times, rows.rows, indexes, records)
  if (ahead !== undefined) {
    for (const row of ahead)
      rejected.push({
        index: indexes[row],
        reason: 'event_time_ahead',
        detail: `Cannot accept event time ${times[row]}: expected at most ${source.maxAheadMs} ms after the record's own timestamp ${records.timestamps[indexes[row]]}.`,
      })
    ;({ rows, indexes } = without(rows, indexes, ahead))
    times = eventTimes(rows, source.eventTime)
  }

  const watermarks = new Float64Array(rows.rows)
  const watermark = judge(times, rows.rows, before, source.delayMs, watermarks)
  const slices: StagedSlice[] = []
  const add = (target: string, batch: Batch, more: Partial<SliceHeader> = {}) => {
    if (batch.rows === 0) return
    const { fingerprint } = more
    const bytes = encodeSlice({ source: source.id, target, ...more }, batch)
    slices.push({ target, rows: batch.rows, ...(fingerprint !== undefined && { fingerprint }), bytes })
  }
  let late = 0
  for (const output of source.outputs) late += route(plan, output, rows, times, watermarks, add)
  if (rejected.length > 0) {
    rejected.sort((a, b) => a.index - b.index)
    add(`table:${source.deadLetters}`, deadLetterBatch(plan, source, records, rejected))
  }
  const reasons: Partial<Record<RejectReason, number>> = {}
  for (const { reason } of rejected) reasons[reason] = (reasons[reason] ?? 0) + 1
  let greatestTime = Number.NEGATIVE_INFINITY
  for (const time of times) if (time > greatestTime) greatestTime = time
  return { slices, watermark, greatestTime, deadLetters: rejected.length, reasons, late }
}

/** Runs one output's steps and hands its slices to `add`; returns how many rows were late. */
function route(
  plan: Plan,
  output: Output,
  all: Batch,
  allTimes: Float64Array,
  allWatermarks: Float64Array,
  add: (target: string, batch: Batch, more?: Partial<SliceHeader>) => void,
): number {
  const { batch, kept } = runSteps(output.steps, all)
  if (output.kind === 'rows') {
    add(`table:${output.table}`, select(batch, lookup(plan.tables, output.table, 'table').fields))
    return 0
  }
  const operator = lookup(plan.operators, output.operator, 'operator')
  const times = kept === undefined ? allTimes : gather(allTimes, kept)
  const watermarks = kept === undefined ? allWatermarks : gather(allWatermarks, kept)
  const folded = fold(operator, select(batch, operator.input), times, watermarks)
  const { fingerprint } = operator
  add(`state:${operator.id}`, folded.partials, { operator: operator.id, fingerprint })
  if (folded.late.length > 0) {
    const fields = lookup(plan.tables, operator.lateTable, 'table').fields
    add(`table:${operator.lateTable}`, lateBatch(operator, batch, folded.late, folded.lateWindowStart, watermarks, fields), {
      operator: operator.id,
    })
  }
  return folded.late.length
}

/** Steps over rows; `kept` maps the rows left to those given, undefined when all are left. */
function runSteps(steps: readonly Step[], rows: Batch): { batch: Batch; kept: Int32Array | undefined } {
  let batch = rows
  let kept: Int32Array | undefined
  for (const step of steps) {
    if (step.kind === 'filter') {
      const left = filterRows(step.predicate, batch)
      if (left === undefined) continue
      batch = take(batch, left)
      const earlier: Int32Array | undefined = kept
      kept = earlier === undefined ? left : left.map((row) => earlier[row])
    } else {
      const { vector } = evaluateComputed(step.expression, batch)
      const field = { id: batch.fields.length + 1, name: step.name, type: vector.type, required: step.required }
      batch = { fields: [...batch.fields, field], rows: batch.rows, vectors: [...batch.vectors, vector] }
    }
  }
  return { batch, kept }
}

function gather(values: Float64Array, rows: Int32Array): Float64Array {
  const result = new Float64Array(rows.length)
  for (let i = 0; i < rows.length; i++) result[i] = values[rows[i]]
  return result
}

/** Appends Kafka's own columns to decoded rows. */
function withKafkaColumns(source: SourcePlan, batch: Batch, indexes: Int32Array, records: Records): Batch {
  const n = batch.rows
  const topic = Buffer.from(records.topic)
  const offsets = new BigInt64Array(n)
  const timestamps = new BigInt64Array(n)
  const validity = new Uint8Array(n)
  const offsetWords = words(offsets)
  const timestampWords = words(timestamps)
  let present = 0
  for (let i = 0; i < n; i++) {
    const at = indexes[i]
    setLong(offsetWords, i, records.offsets[at])
    const timestamp = records.timestamps[at]
    if (!Number.isNaN(timestamp)) {
      setProduct(timestampWords, i, timestamp, 1000)
      validity[i] = 1
      present++
    }
  }
  const kafka: Record<string, Vector> = {
    kafka_topic: {
      type: 'string',
      codes: new Int32Array(n),
      entries: 1,
      offsets: Int32Array.of(0, topic.length),
      bytes: topic,
      validity: undefined,
    },
    kafka_partition: { type: 'int', values: new Int32Array(n).fill(records.partition), validity: undefined },
    kafka_offset: { type: 'long', values: offsets, validity: undefined },
    kafka_timestamp: { type: 'timestamptz', values: timestamps, validity: present === n ? undefined : validity },
  }
  const names = Object.keys(kafka)
  const fields = source.row.filter((field) => names.includes(field.name))
  return {
    fields: [...batch.fields, ...fields],
    rows: n,
    vectors: [...batch.vectors, ...fields.map((field) => kafka[field.name])],
  }
}

function withColumn(batch: Batch, source: SourcePlan, name: string, vector: Vector): Batch {
  const fields = source.row.filter((field) => field.name === name)
  return { fields: [...batch.fields, ...fields], rows: batch.rows, vectors: [...batch.vectors, vector] }
}

/** The columns in the order of the source's row, without a copy. */
function inOrder(source: SourcePlan, batch: Batch): Batch {
  return select(batch, source.row)
}

function without(batch: Batch, indexes: Int32Array, rows: ArrayLike<number>): { rows: Batch; indexes: Int32Array } {
  const drop = new Uint8Array(batch.rows)
  for (let i = 0; i < rows.length; i++) drop[rows[i]] = 1
  const keep = new Int32Array(batch.rows - rows.length)
  let n = 0
  for (let i = 0; i < batch.rows; i++) if (drop[i] === 0) keep[n++] = i
  return { rows: take(batch, keep), indexes: keep.map((row) => indexes[row]) }
}

/** Event times in milliseconds: microseconds, floored (docs/reference/json-decoding.md). */
function eventTimes(batch: Batch, column: string): Float64Array {
  const micros = words(expectType(vectorOf(batch, column), 'timestamptz').values)
  const times = new Float64Array(batch.rows)
  for (let i = 0; i < batch.rows; i++) times[i] = getQuotient(micros, i, 1000)
  return times
}

/** Rows whose event time is further than `maxAhead` beyond their Kafka timestamp (rule E6). */
function aheadOfKafka(
  source: SourcePlan,
  times: Float64Array,
  rows: number,
  indexes: Int32Array,
  records: Records,
): number[] | undefined {
  const { maxAheadMs } = source
  if (maxAheadMs === undefined) return undefined
  let ahead: number[] | undefined
  // NaN (no timestamp) compares false.
  for (let i = 0; i < rows; i++) if (times[i] > records.timestamps[indexes[i]] + maxAheadMs) (ahead ??= []).push(i)
  return ahead
}

function deadLetterBatch(plan: Plan, source: SourcePlan, records: Records, rejected: readonly Rejected[]): Batch {
  return batchOf(
    lookup(plan.tables, source.deadLetters, 'table').fields,
    rejected.map(({ index, reason, detail }) => {
      const start = records.valueStart[index]
      const timestamp = records.timestamps[index]
      return {
        kafka_topic: records.topic,
        kafka_partition: records.partition,
        kafka_offset: BigInt(records.offsets[index]),
        kafka_timestamp: Number.isNaN(timestamp) ? null : BigInt(timestamp) * 1000n,
        key: records.key(index),
        value: start < 0 ? null : records.bytes.subarray(start, records.valueEnd[index]),
        reason,
        detail: detail.length > MAX_DETAIL ? `${detail.slice(0, MAX_DETAIL)}…` : detail,
      }
    }),
  )
}
