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

/** CloudFormation takes 4,096 bytes; this leaves room for identifiers. */
const MAX_TEXT = 1500
const MAX_TRIES = 3
const TRY_MS = 10_000

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

/** Puts an answer where CloudFormation waits for it. Throws when it cannot: the stack then waits until its own timeout. */
export async function respondByHttp(url: string, answer: Answer): Promise<void> {
  const body = JSON.stringify(answer)
  for (let tries = 1; ; tries++) {
    // The signature covers an empty content type.
    const request = { method: 'PUT', body, headers: { 'content-type': '' }, signal: AbortSignal.timeout(TRY_MS) }
    const problem = await fetch(url, request).then(
      ({ ok, status }) => (ok ? undefined : `status ${status}`),
      (error: unknown) => String(error),
    )
    if (problem === undefined) return
    // Never the address: it is a secret as long as it is valid.
    if (tries === MAX_TRIES)
      throw new Error(`Cannot answer CloudFormation: expected its address to take the answer, found ${problem}.`)
  }
}

const cut = (text: string): string => (text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`)
