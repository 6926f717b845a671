import type { Run } from './mapping-event.ts'

export type Response =
  | { readonly kind: 'succeeded' }
  /** The lowest failing offset of each partition that failed, by its name in the event. All before it is done. */
  | { readonly kind: 'partial'; readonly from: ReadonlyMap<string, number> }
  /** Not a response that Lambda understands: the whole batch counts as failed. */
  | { readonly kind: 'failed' }

const SUCCEEDED: Response = { kind: 'succeeded' }
const FAILED: Response = { kind: 'failed' }

/**
 * What a function's answer means where the mapping reports batch item failures ("Partial batch response" for Kafka sources):
 * null, nothing, an empty object or an empty list is success; a partition or offset that was not in the event fails the whole
 * batch. What the guide leaves open is read the safe way, as it is for queues: other values than an object, or an identifier
 * with missing or other keys, fail the batch too.
 */
export function readResponse(payload: string, runs: readonly Run[]): Response {
  if (payload.trim() === '') return SUCCEEDED
  let answer: unknown
  try {
    answer = JSON.parse(payload)
  } catch {
    return FAILED
  }
  if (answer === null) return SUCCEEDED
  if (!isObject(answer)) return FAILED
  const failures = answer.batchItemFailures ?? []
  if (!Array.isArray(failures)) return FAILED
  const from = new Map<string, number>()
  const sent = new Map<string, ReadonlySet<number>>()
  for (const failure of failures) {
    const identifier: unknown = isObject(failure) ? failure.itemIdentifier : undefined
    if (!isObject(identifier)) return FAILED
    const { partition: name, offset } = identifier
    if (typeof name !== 'string' || typeof offset !== 'number') return FAILED
    let offsets = sent.get(name)
    if (offsets === undefined) {
      const run = runs.find((candidate) => candidate.name === name)
      if (run === undefined) return FAILED
      sent.set(name, (offsets = new Set(run.records.map((record) => record.offset))))
    }
    if (!offsets.has(offset)) return FAILED
    from.set(name, Math.min(offset, from.get(name) ?? offset))
  }
  return from.size === 0 ? SUCCEEDED : { kind: 'partial', from }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
