import { commitUnknown, FrazilError, messageOf, unavailable, usage } from '../errors.ts'

/** A call, in the words of its error: "Cannot <doing>", and what must be granted for it. */
export interface Call {
  /** `read log table frazil`, `write s3://bucket/key`. */
  readonly doing: string
  /** `dynamodb:Query on the table`. */
  readonly permission: string
  /** What a "not found" means: `a DynamoDB table frazil`. */
  readonly missing: string
}

interface SdkError {
  readonly name: string
  readonly message: string
  readonly code?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
}

const DENIED = new Set(['AccessDenied', 'AccessDeniedException', 'AllAccessDisabled', 'Forbidden', 'KMSAccessDeniedException'])
const CREDENTIALS = new Set([
  'CredentialsProviderError',
  'ExpiredToken',
  'ExpiredTokenException',
  'InvalidAccessKeyId',
  'InvalidClientTokenId',
  'InvalidSignatureException',
  'MissingAuthenticationToken',
  'SignatureDoesNotMatch',
  'UnrecognizedClientException',
])
const MISSING = new Set(['ResourceNotFoundException', 'NoSuchBucket', 'EntityNotFoundException', 'NotFound'])
const REGION = new Set([
  'PermanentRedirect',
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
  'TemporaryRedirect',
])
/** The time in a signature is too far from the service's. */
const CLOCK = new Set(['RequestTimeTooSkewed', 'RequestExpired', 'RequestInTheFuture'])
/** No way to a service: the name is unknown, nobody listens, or it is not TLS that speaks there. */
const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPROTO',
  'ERR_INVALID_URL',
])
/** Asked too much, or two calls met: nothing was done, and later it works. */
const LATER = new Set([
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'ThrottlingException',
  'Throttling',
  'TooManyRequestsException',
  'SlowDown',
  'ServiceUnavailable',
  'TransactionConflictException',
  'TransactionInProgressException',
  'ConditionalRequestConflict',
  'OperationAborted',
  'ResourceNumberLimitExceededException',
  'OperationTimeoutException',
])

/** True for refusals that say "try later" and that certainly did nothing. */
export function isLater(error: unknown): boolean {
  return LATER.has((error as Partial<SdkError>)?.name ?? '')
}

/**
 * An SDK error as ours, one line that says what to do: `Usage` for what a person must set right (rights, names, region,
 * credentials), `Unavailable` for the rest, after which a write may or may not have happened.
 */
export function asOurs(cause: unknown, call: Call): FrazilError {
  if (cause instanceof FrazilError) return cause
  const { name = '', code = '', $metadata } = cause as Partial<SdkError>
  const status = $metadata?.httpStatusCode
  const cannot = `Cannot ${call.doing}`
  const said = oneLine(messageOf(cause))
  const because = (kind: typeof usage, text: string) => kind(`${cannot}: ${text}`, { cause })

  if (CLOCK.has(name) || /^Signature (?:expired|not yet current)/.test(said))
    return because(usage, `expected a clock that agrees with AWS, found another (${said}). Set this machine's clock.`)
  if (CREDENTIALS.has(name))
    return because(usage, `expected credentials that AWS accepts, found none or others (${name}). Set them in the environment.`)
  // "Access Denied" alone says nothing more; a sentence names the identity, the action and the policy.
  if (DENIED.has(name) || status === 403)
    return because(
      usage,
      `access denied${/\S \S+ \S/.test(said) ? ` (${said})` : ''}. Grant ${call.permission} to this identity.`,
    )
  if (REGION.has(name) || status === 301)
    return because(usage, `it lies in another region (${said}). Set AWS_REGION to that one.`)
  if (/^Region is missing|^Region not accepted/.test(said))
    return because(usage, 'expected a region, found none. Set AWS_REGION.')
  if (MISSING.has(name))
    return because(
      usage,
      `expected ${call.missing}, found none in this region and account. Create it, or check the name and AWS_REGION.`,
    )
  if (name === 'ValidationException' || name === 'InvalidInputException' || name === 'InvalidBucketName')
    return because(usage, `${said}. Check names and configuration.`)
  if (UNREACHABLE.has(code) || name === 'AggregateError')
    return because(
      unavailable,
      `nothing answers at the endpoint (${code === 'EPROTO' ? 'it speaks no TLS' : said || code}). Check AWS_ENDPOINT_URL, AWS_REGION and the network.`,
    )
  if (name === 'SyntaxError')
    return because(
      unavailable,
      `expected AWS's answer, found something else${shown(status)}. Check AWS_ENDPOINT_URL and proxies.`,
    )
  return because(unavailable, `${name || 'error'}${shown(status)}: ${said}. Try again.`)
}

const shown = (status: number | undefined): string => (status === undefined ? '' : ` (${status})`)

/** As `asOurs`, for a swap of the catalog: what may have happened is `CommitUnknown`. */
export function asOursAfterSwap(cause: unknown, call: Call): FrazilError {
  const ours = asOurs(cause, call)
  return ours.kind === 'Unavailable' && !isLater(cause) ? commitUnknown(ours.message, { cause }) : ours
}

/** One line of at most 300 characters, without the names of the SDK's parts and the last full stop. */
function oneLine(text: string): string {
  const line = text.replace(/^@smithy\/\S+ - (?:\[\w+\] )?/, '').replace(/\s+/g, ' ')
  return line.trim().replace(/\.$/, '').slice(0, 300)
}
