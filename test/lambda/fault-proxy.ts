import type { Gateway, Instead, Passing } from './gateway.ts'

/** What happens to a try of a call, at one of its two passages. */
export interface Fault {
  readonly at: Passing['at']
  /** Undefined: it goes on after all. */
  readonly instead: (passing: Passing) => Promise<Instead | undefined>
}

/** A try that a function made, as the proxy saw it. */
export interface Try {
  readonly call: string
  /** The same for all tries of a call. */
  readonly id: string
  /** As the SDK says it. */
  readonly maxTries: number
  readonly faulted: boolean
}

/** A gateway that answers in place of the services. */
export interface FaultProxy {
  /** All tries since the last `clear`. */
  readonly tries: readonly Try[]
  /**
   * The next `times` tries of a call meet the fault. They are tries of one call, the first of its name, so that calls at once
   * do not share them; of several calls where the SDK tries a call once.
   */
  inject(call: string, fault: Fault, times: number): void
  /** All tries of all calls of this name do. */
  injectForGood(call: string, fault: Fault): void
  /** Forgets faults and tries. */
  clear(): void
}

export function faultProxy(gateway: Gateway): FaultProxy {
  let tries: { call: string; id: string; maxTries: number; faulted: boolean }[] = []
  let planned: { call: string; fault: Fault; left: number; id: string | undefined } | undefined
  /** Tries of the planned call under way, by their number in the gateway: `after` must meet those that `before` chose. */
  const chosen = new Map<number, Try>()

  const choose = ({ call, id, n, maxTries }: Passing): void => {
    const made = { call, id, maxTries, faulted: false }
    tries.push(made)
    if (planned === undefined || planned.call !== call || planned.left === 0) return
    if (planned.id !== undefined && planned.id !== id) return
    if (planned.left !== Number.POSITIVE_INFINITY && maxTries > 1) planned.id = id
    planned.left--
    made.faulted = true
    chosen.set(n, made)
  }

  const arm = () => {
    gateway.divert = async (passing) => {
      if (passing.at === 'before') choose(passing)
      return chosen.has(passing.n) && planned?.fault.at === passing.at ? planned.fault.instead(passing) : undefined
    }
  }
  arm()
  return {
    get tries() {
      return tries
    },
    inject(call, fault, times) {
      planned = { call, fault, left: times, id: undefined }
    },
    injectForGood(call, fault) {
      planned = { call, fault, left: Number.POSITIVE_INFINITY, id: undefined }
    },
    clear() {
      tries = []
      planned = undefined
      chosen.clear()
      gateway.reset()
      arm()
    },
  }
}

interface Refusal {
  readonly name: string
  readonly status: number
}
type Refusals = Readonly<Record<'DynamoDB' | 'S3' | 'Glue', Refusal>>

/** Names and statuses: the API references of the services. */
export const THROTTLED: Refusals = {
  DynamoDB: { name: 'ThrottlingException', status: 400 },
  S3: { name: 'SlowDown', status: 503 },
  Glue: { name: 'ThrottlingException', status: 400 },
}
export const OVER_CAPACITY: Refusals = {
  ...THROTTLED,
  DynamoDB: { name: 'ProvisionedThroughputExceededException', status: 400 },
}
export const FAILING: Refusals = {
  DynamoDB: { name: 'InternalServerError', status: 500 },
  S3: { name: 'InternalError', status: 500 },
  Glue: { name: 'InternalServiceException', status: 500 },
}
/** Two calls met; of writes only. */
export const CONFLICTING: Refusals = {
  DynamoDB: { name: 'TransactionConflictException', status: 400 },
  S3: { name: 'ConditionalRequestConflict', status: 409 },
  Glue: { name: 'ConcurrentModificationException', status: 400 },
}
export const DENIED: Refusals = {
  DynamoDB: { name: 'AccessDeniedException', status: 400 },
  S3: { name: 'AccessDenied', status: 403 },
  Glue: { name: 'AccessDeniedException', status: 400 },
}

/** The service is not reached; its refusal is told in its own wire format. */
export function refusing(refusals: Refusals): Fault {
  return { at: 'before', instead: async ({ call }) => inItsFormat(call, refusals) }
}

/** The connection is cut before the service is reached. */
export const CUT_OFF: Fault = { at: 'before', instead: async () => 'reset' }

/** The service has done it; nobody hears of it. */
export const ANSWER_LOST: Fault = { at: 'after', instead: async () => 'reset' }

/** The answer comes late, but within any client's patience. */
export const LATE: Fault = {
  at: 'after',
  async instead() {
    await new Promise((resolve) => setTimeout(resolve, 100))
    return undefined
  },
}

/** The caller gives up waiting. Only then the service is reached, and does what it was asked for. */
export const TOO_LATE: Fault = {
  at: 'before',
  async instead({ gone }) {
    await gone
    return undefined
  },
}

function inItsFormat(call: string, refusals: Refusals): Instead {
  const service = call.split('.')[0] as keyof Refusals
  const { name, status } = refusals[service]
  const message = `injected ${name}`
  const answer = (type: string, body: string): Instead => ({
    status,
    headers: { 'content-type': type, 'content-length': String(Buffer.byteLength(body)) },
    body: Buffer.from(body),
  })
  switch (service) {
    case 'DynamoDB':
      return answer('application/x-amz-json-1.0', JSON.stringify({ __type: `com.amazon.coral.service#${name}`, message }))
    case 'Glue':
      return answer('application/x-amz-json-1.1', JSON.stringify({ __type: name, Message: message }))
    case 'S3':
      // The answer to a HEAD has no body.
      return answer(
        'application/xml',
        call === 'S3.HeadObject'
          ? ''
          : `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${name}</Code><Message>${message}</Message><RequestId>1</RequestId></Error>`,
      )
  }
}
