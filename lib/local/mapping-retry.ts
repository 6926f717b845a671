import { countRecords, type Run } from './mapping-event.ts'
import { readResponse } from './mapping-response.ts'

/** Error handling of a mapping; `Infinity` is AWS's -1. */
export interface RetryPolicy {
  /** Retries after the first try. */
  readonly retryAttempts: number
  readonly maxRecordAgeMs: number
  readonly bisect: boolean
  readonly partialResponses: boolean
}

/** What only a mapping in provisioned mode can have, as the user says it. */
export interface ErrorHandling {
  /** 0 to 10,000, or -1: forever. @default -1 */
  readonly retryAttempts?: number
  /** 60 s to 7 days, or -1: any age. @default -1 */
  readonly maxRecordAgeMs?: number
  /** Halve a batch that fails. @default false */
  readonly bisect?: boolean
  /** `ReportBatchItemFailures`. @default false */
  readonly partialResponses?: boolean
}

/** Retries without end are cut to this many where there is a destination ("Maximum retry attempts"). */
const RETRIES_WITH_DESTINATION = 10

/** Without provisioned mode: the whole batch again until it succeeds, and whatever is returned means success. */
const ON_DEMAND: RetryPolicy = {
  retryAttempts: Number.POSITIVE_INFINITY,
  maxRecordAgeMs: Number.POSITIVE_INFINITY,
  bisect: false,
  partialResponses: false,
}

export function retryPolicy(provisioned: ErrorHandling | undefined, hasDestination: boolean): RetryPolicy {
  if (provisioned === undefined) return ON_DEMAND
  const { retryAttempts = -1, maxRecordAgeMs = -1, bisect = false, partialResponses = false } = provisioned
  const forever = hasDestination ? RETRIES_WITH_DESTINATION : Number.POSITIVE_INFINITY
  return {
    retryAttempts: retryAttempts === -1 ? forever : retryAttempts,
    maxRecordAgeMs: maxRecordAgeMs === -1 ? Number.POSITIVE_INFINITY : maxRecordAgeMs,
    bisect,
    partialResponses,
  }
}

/** What one invocation carries. */
export interface Batch {
  readonly runs: readonly Run[]
  /** Failed tries that count against `retryAttempts`. */
  readonly attempts: number
  /** Invocations in all, of this batch and of those it was cut from. */
  readonly invocations: number
  /** `functionError` of the last one. */
  readonly functionError?: string | undefined
}

export type Answer =
  | { readonly kind: 'returned'; readonly payload: string }
  | { readonly kind: 'functionError'; readonly functionError: string }
  /** The function was not reached (throttled, no such function): never counted, never bisected. */
  | { readonly kind: 'notInvoked' }

export type Outcome = 'succeeded' | 'partial' | 'failed' | 'notInvoked'

export interface Step {
  readonly outcome: Outcome
  /** To be invoked in this order, before anything else of their partitions. */
  readonly todo: readonly Batch[]
  /** Out of retries: for the destination. */
  readonly givenUp?: Batch
}

/**
 * What follows from an answer. A record leaves the batch by success or into `givenUp`, never otherwise. Bisecting is no retry
 * and counts nothing: each half is a smaller batch, so it ends ("Splitting batches doesn't consume the retry quota"). With
 * partial responses the cut is at the lowest failing offset, and a batch that fails at its very first record is halved.
 */
export function afterAnswer(batch: Batch, answer: Answer, policy: RetryPolicy): Step {
  if (answer.kind === 'notInvoked') return { outcome: 'notInvoked', todo: [batch] }
  const functionError = answer.kind === 'functionError' ? answer.functionError : undefined
  const tried: Batch = { ...batch, invocations: batch.invocations + 1, functionError }
  if (answer.kind === 'functionError') return { outcome: 'failed', ...afterFailure(tried, policy) }
  if (!policy.partialResponses) return { outcome: 'succeeded', todo: [] }
  const response = readResponse(answer.payload, batch.runs)
  switch (response.kind) {
    case 'succeeded':
      return { outcome: 'succeeded', todo: [] }
    case 'failed':
      return { outcome: 'failed', ...afterFailure(tried, policy) }
    case 'partial': {
      const left = { ...tried, runs: runsFrom(batch.runs, response.from) }
      const isShorter = countRecords(left.runs) < countRecords(batch.runs)
      if (policy.bisect && isShorter) return { outcome: 'partial', todo: [left] }
      return { outcome: 'partial', ...afterFailure(left, policy) }
    }
  }
}

function afterFailure(batch: Batch, { bisect, retryAttempts }: RetryPolicy): Omit<Step, 'outcome'> {
  if (bisect && countRecords(batch.runs) > 1) return { todo: halves(batch) }
  if (batch.attempts >= retryAttempts) return { todo: [], givenUp: batch }
  return { todo: [{ ...batch, attempts: batch.attempts + 1 }] }
}

/** The named partitions from their offset on; the others are done. */
function runsFrom(runs: readonly Run[], from: ReadonlyMap<string, number>): Run[] {
  return runs.flatMap((run) => {
    const first = from.get(run.name)
    return first === undefined ? [] : [{ ...run, records: run.records.filter(({ offset }) => offset >= first) }]
  })
}

/** Cut in the middle of all records, in order: a partition may have a part in both halves. */
function halves(batch: Batch): readonly Batch[] {
  const first: Run[] = []
  const second: Run[] = []
  let room = Math.ceil(countRecords(batch.runs) / 2)
  for (const run of batch.runs) {
    const cut = Math.min(room, run.records.length)
    room -= cut
    if (cut > 0) first.push({ ...run, records: run.records.slice(0, cut) })
    if (cut < run.records.length) second.push({ ...run, records: run.records.slice(cut) })
  }
  return [
    { ...batch, runs: first },
    { ...batch, runs: second },
  ]
}

/** Takes out the records that are too old to be sent ("Maximum record age"). A record without a timestamp has no age. */
export function splitExpired(
  batch: Batch,
  nowMs: number,
  maxRecordAgeMs: number,
): { readonly alive: Batch; readonly expired: Batch } {
  const isExpired = (timestampMs: number) => timestampMs >= 0 && nowMs - timestampMs > maxRecordAgeMs
  const filtered = (wanted: boolean): Batch => ({
    ...batch,
    runs: batch.runs.flatMap((run) => {
      const records = run.records.filter(({ timestampMs }) => isExpired(timestampMs) === wanted)
      return records.length === 0 ? [] : [{ ...run, records }]
    }),
  })
  return maxRecordAgeMs === Number.POSITIVE_INFINITY
    ? { alive: batch, expired: { ...batch, runs: [] } }
    : { alive: filtered(false), expired: filtered(true) }
}
