import { setTimeout as pause } from 'node:timers/promises'

/**
 * What CloudFormation asks of a custom resource, and how it is answered
 * (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html).
 */
export interface CustomResourceEvent {
  readonly RequestType: 'Create' | 'Update' | 'Delete'
  /** A presigned address of S3 that takes the answer. */
  readonly ResponseURL: string
  readonly StackId: string
  readonly RequestId: string
  readonly LogicalResourceId: string
  readonly PhysicalResourceId?: string
}

export interface Answer {
  readonly Status: 'SUCCESS' | 'FAILED'
  readonly Reason: string
  readonly PhysicalResourceId: string
  readonly StackId: string | undefined
  readonly RequestId: string | undefined
  readonly LogicalResourceId: string | undefined
  readonly Data: Readonly<Record<string, string>>
}

export interface Outcome {
  readonly status: Answer['Status']
  readonly reason?: string
  readonly data?: Readonly<Record<string, string>>
}

/** Of one text, as JSON. CloudFormation takes answers of 4,096 bytes; this leaves room for identifiers. */
const MAX_TEXT_BYTES = 1500
const MAX_TRIES = 3
const TRY_MS = 10_000
/** Before the second try, and twice that before the third. */
const PAUSE_MS = 1000

/** The physical id stays the same for good: a new one would have CloudFormation delete the old resource. */
export function answerTo(event: Partial<CustomResourceEvent>, { status, reason = '', data = {} }: Outcome): Answer {
  return {
    Status: status,
    Reason: cut(reason),
    PhysicalResourceId: event.PhysicalResourceId ?? 'frazil-tables',
    StackId: event.StackId,
    RequestId: event.RequestId,
    LogicalResourceId: event.LogicalResourceId,
    Data: Object.fromEntries(Object.entries(data).map(([name, text]) => [name, cut(text)])),
  }
}

/**
 * Puts an answer where CloudFormation waits for it, in three tries. Throws when it cannot: the stack then waits until its own
 * timeout.
 */
export async function respondByHttp(url: string, answer: Answer, pauseMs = PAUSE_MS): Promise<void> {
  const body = JSON.stringify(answer)
  for (let tries = 1; ; tries++) {
    const problem = await put(url, body)
    if (problem === undefined) return
    // Never the address: it is a secret as long as it is valid.
    if (tries === MAX_TRIES)
      throw new Error(`Cannot answer CloudFormation: expected its address to take the answer, found ${problem}.`)
    await pause(pauseMs * tries)
  }
}

/** Undefined when it was taken; otherwise why not, in words that hold nothing of the address. */
async function put(url: string, body: string): Promise<string | undefined> {
  try {
    // The signature covers an empty content type.
    const request = { method: 'PUT', body, headers: { 'content-type': '' }, signal: AbortSignal.timeout(TRY_MS) }
    const { ok, status } = await fetch(url, request)
    return ok ? undefined : `status ${status}`
  } catch (error) {
    // The message of an address that cannot be parsed holds it; names and codes do not.
    const { name, cause } = error as { name?: string; cause?: { code?: unknown } }
    return String(cause?.code ?? name ?? 'an error')
  }
}

const jsonBytes = (text: string): number => Buffer.byteLength(JSON.stringify(text)) - 2

/** Whole characters from the start, as many as there is room for. */
function cut(text: string): string {
  if (jsonBytes(text) <= MAX_TEXT_BYTES) return text
  let [kept, bytes] = ['', 0]
  for (const character of text) {
    bytes += jsonBytes(character)
    if (bytes > MAX_TEXT_BYTES) break
    kept += character
  }
  return `${kept}…`
}
