import { unavailable } from '../errors.ts'
import { isLater } from './errors.ts'

/**
 * How every AWS client of ours calls: explicit attempts and timeouts, so that a call's worst case is known and fits into a
 * function's time: attempts * (connectMs + answerMs), and the waits between. Region, credentials and endpoints
 * (`AWS_ENDPOINT_URL`) come from the environment, as the SDK documents it.
 */
export interface CallBudget {
  /** Tries in all, the first one included. More than 1 only where a repeated call is harmless. */
  readonly attempts: number
  /** For one try: until the connection stands. */
  readonly connectMs: number
  /** For one try: until the answer begins, and the longest silence within it. */
  readonly answerMs: number
}

/** Reads, conditional puts that recognise themselves, and puts of immutable names: harmless to repeat. */
export const REPEATABLE: CallBudget = { attempts: 4, connectMs: 1000, answerMs: 10_000 }
/** The catalog's swap: one try, for a repeated one would take its own first success for a conflict (protocol rule 10). */
export const ONCE: CallBudget = { attempts: 1, connectMs: 1000, answerMs: 20_000 }

/** Options that all clients share. Tests pass `endpoint` and credentials; in production the environment has them. */
export interface ClientOptions {
  readonly endpoint?: string
  readonly region?: string
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string }
}

/**
 * The part of every client's configuration that is the same. The SDK's "standard" mode waits with full jitter, doubling from
 * 25 ms (DynamoDB), 50 ms (others) or 1 s (when throttled) up to 20 s, and stops retrying while most calls of the client fail.
 */
export function clientConfig(budget: CallBudget, { endpoint, region, credentials }: ClientOptions = {}) {
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(credentials === undefined ? {} : { credentials }),
    maxAttempts: budget.attempts,
    retryMode: 'standard',
    requestHandler: {
      connectionTimeout: budget.connectMs,
      requestTimeout: budget.answerMs,
      socketTimeout: budget.answerMs,
      throwOnRequestTimeout: true,
    },
  }
}

/** Any client of the SDK; each types its own inputs and outputs. */
interface Retrying {
  readonly middlewareStack: {
    add(
      middleware: never,
      options: { readonly step: 'finalizeRequest'; readonly priority: 'low'; readonly name: string; readonly override: true },
    ): void
  }
}
type Next = (args: unknown) => Promise<unknown>

/**
 * Lets the client retry, within its budget, refusals that the SDK gives up on at once: two calls met, and nothing was done
 * (DynamoDB's TransactionConflictException, S3's 409). For clients whose calls are harmless to repeat. Returns the client.
 */
export function retryConflicts<Client extends Retrying>(client: Client): Client {
  const mark = (next: Next) => async (args: unknown) => {
    try {
      return await next(args)
    } catch (error) {
      // The trait by which the SDK's retry strategy, which stands above, knows errors that are worth another try.
      if (isLater(error)) Object.assign(error as object, { $retryable: {} })
      throw error
    }
  }
  client.middlewareStack.add(mark as never, { step: 'finalizeRequest', priority: 'low', name: 'retryConflicts', override: true })
  return client
}

/** How often a batch is called for what it left undone. All rounds but the first wait, with full jitter: 3.1 s in all at most. */
const BATCH_ROUNDS = 6
const BATCH_PAUSE_MS = 100

/**
 * Runs a batch call until it leaves nothing undone: a throttled batch answers with what it did not do. `call` gets what is
 * left and returns what is left after it, `undefined` when nothing is. Throws `Unavailable` when the rounds are used up.
 */
export async function untilDone<Rest>(
  doing: string,
  first: Rest,
  call: (rest: Rest) => Promise<Rest | undefined>,
): Promise<void> {
  let rest = first
  for (let round = 0; round < BATCH_ROUNDS; round++) {
    if (round > 0) await new Promise((resolve) => setTimeout(resolve, Math.random() * BATCH_PAUSE_MS * 2 ** (round - 1)))
    const left = await call(rest)
    if (left === undefined) return
    rest = left
  }
  throw unavailable(`Cannot ${doing}: expected all of it done, found some left after ${BATCH_ROUNDS} rounds. Try again later.`)
}
