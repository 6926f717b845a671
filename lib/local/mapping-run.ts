import { refused } from '../errors.ts'
import { countRecords, type EventOrigin, eventBytes, eventJson, PAYLOAD_LIMIT_BYTES } from './mapping-event.ts'
import { type FailureCondition, failureOf, type MappingFailure } from './mapping-failure.ts'
import {
  type Answer,
  afterAnswer,
  type Batch,
  type ErrorHandling,
  type Outcome,
  retryPolicy,
  splitExpired,
} from './mapping-retry.ts'
import type { Schedule, Task, TopicPartition } from './mapping-schedule.ts'
import { systemRandom } from './system.ts'

/** How the function is called, and what happens when it fails. */
export interface FunctionOptions extends EventOrigin {
  /** Names the function in reports and failures; nothing is looked up by it. */
  readonly functionName: string
  /** Provisioned mode: the only one with error handling besides "again until it succeeds". */
  readonly provisioned?: ErrorHandling & {
    /** The on-failure destination. Called again until it resolves. */
    readonly onFailure?: (failure: MappingFailure) => Promise<void>
  }
  /** Calls the function. A rejection means that it was not reached. */
  readonly invoke: (eventJson: string) => Promise<InvokeResult>
  readonly onInvocation?: (report: InvocationReport) => void
}

export interface InvokeResult {
  /** `Unhandled` when the function failed; absent when it returned. */
  readonly functionError?: string | undefined
  /** What it returned, as JSON. */
  readonly payload: string
}

/** `now` is in milliseconds, and moves on by `ms` while `wait` waits. `wait` rejects when `signal` aborts. */
export interface MappingTime {
  now(): number
  wait(ms: number, signal: AbortSignal): Promise<void>
}

export interface InvocationReport {
  readonly functionName: string
  readonly ranges: readonly (TopicPartition & { readonly first: number; readonly last: number; readonly count: number })[]
  readonly records: number
  readonly payloadBytes: number
  /** Counts the invocations of these records, from 1. */
  readonly attempt: number
  readonly durationMs: number
  readonly outcome: Outcome
  /** Records that will be handed over again. */
  readonly left: number
  /** Records out of retries: sent to the destination, or discarded where there is none. */
  readonly givenUp: number
}

export interface RunnerOptions extends FunctionOptions {
  readonly schedule: Schedule
  /** The event up to its first partition. */
  readonly start: string
  readonly time: MappingTime
  readonly gate: Gate
  /** Aborts when the mapping ends: nothing is called any more. */
  readonly signal: AbortSignal
  /** Called whenever records are done. */
  readonly onProgress: () => void
}

/** Lets a number of invocations through at once, first come first served. A batch that waits for its retry holds no place. */
export interface Gate {
  isOpen(): boolean
  enter(): Promise<void>
  leave(): void
}

export function createGate(places: number): Gate {
  const queue: (() => void)[] = []
  let entered = 0
  return {
    isOpen: () => entered < places,
    async enter() {
      if (entered < places) entered++
      else await new Promise<void>((resolve) => queue.push(resolve))
    },
    leave() {
      const next = queue.shift()
      if (next === undefined) entered--
      else next()
    },
  }
}

/** AWS says "exponential backoff" and no figures. */
const FIRST_RETRY_MS = 100
const LONGEST_RETRY_MS = 10_000

/**
 * Takes a task through its invocations until all its records are done or given up, or the mapping ends. Batches of a task run
 * one after another: what was cut off waits, so the order within each partition holds.
 */
export function createRunner(
  options: RunnerOptions,
): (next: { readonly kind: 'invoke' | 'tooLarge'; readonly task: Task }) => Promise<void> {
  const { functionName, provisioned, schedule, start, time, gate, signal } = options
  const policy = retryPolicy(provisioned, provisioned?.onFailure !== undefined)

  const backoff = (failures: number) =>
    time.wait(Math.min(FIRST_RETRY_MS * 2 ** failures, LONGEST_RETRY_MS), signal).catch(() => {})

  const call = async ({ runs }: Batch): Promise<Answer> => {
    await gate.enter()
    try {
      // The mapping may have ended while this batch stood in line.
      if (signal.aborted) return { kind: 'notInvoked' }
      const { functionError, payload } = await options.invoke(eventJson(start, runs))
      return functionError === undefined ? { kind: 'returned', payload } : { kind: 'functionError', functionError }
    } catch {
      return { kind: 'notInvoked' }
    } finally {
      gate.leave()
    }
  }

  /** False when the mapping ended before the destination had it: the records will be delivered again. */
  const giveUp = async (batch: Batch, condition: FailureCondition): Promise<boolean> => {
    const send = provisioned?.onFailure
    if (send === undefined) return true
    const facts = { batch, condition, origin: options, functionName, requestId: systemRandom.uuid(), nowMs: time.now() }
    const failure = failureOf(facts)
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await send(failure)
        return true
      } catch {
        await backoff(failures)
      }
    }
    return false
  }

  const discard = async (task: Task): Promise<void> => {
    const [{ name, records }] = task.runs
    if (provisioned?.onFailure === undefined)
      throw refused(
        `Cannot hand over offset ${records[0].offset} of ${name}: expected an event of at most ${PAYLOAD_LIMIT_BYTES} bytes, found ${eventBytes(start, task.runs)}. Give the mapping an on-failure destination, or make records smaller.`,
      )
    if (!(await giveUp({ runs: task.runs, attempts: 0, invocations: 0 }, 'MaximumPayloadSizeExceeded'))) return
    schedule.advance(task, [])
  }

  const handOver = async (task: Task): Promise<void> => {
    let todo: readonly Batch[] = [{ runs: task.runs, attempts: 0, invocations: 0 }]
    let failures = 0
    while (todo.length > 0 && !signal.aborted) {
      const [head, ...rest] = todo
      const { alive, expired } = splitExpired(head, time.now(), policy.maxRecordAgeMs)
      if (expired.runs.length > 0 && !(await giveUp(expired, 'RecordAgeExceeded'))) return
      if (alive.runs.length === 0) {
        todo = schedule.advance(task, rest)
        continue
      }
      const startedMs = time.now()
      const answer = await call(alive)
      const step = afterAnswer(alive, answer, policy)
      options.onInvocation?.({
        functionName,
        ranges: alive.runs.map(({ topic, partition, records }) => {
          return { topic, partition, first: records[0].offset, last: records[records.length - 1].offset, count: records.length }
        }),
        records: countRecords(alive.runs),
        payloadBytes: eventBytes(start, alive.runs),
        attempt: alive.invocations + 1,
        durationMs: time.now() - startedMs,
        outcome: step.outcome,
        left: step.todo.reduce((sum, { runs }) => sum + countRecords(runs), 0),
        givenUp: countRecords(step.givenUp?.runs ?? []),
      })
      if (step.givenUp !== undefined && !(await giveUp(step.givenUp, 'RetryAttemptsExhausted'))) return
      todo = schedule.advance(task, [...step.todo, ...rest])
      options.onProgress()
      if (step.todo.length > 0) await backoff(failures++)
      else failures = 0
    }
  }

  return ({ kind, task }) => (kind === 'tooLarge' ? discard(task) : handOver(task))
}
