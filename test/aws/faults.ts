/** The part of an SDK client that a fault needs. Every client of AWS SDK v3 has it. */
interface Faultable {
  readonly middlewareStack: {
    add(middleware: never, options: { readonly step: 'deserialize'; readonly priority: 'high'; readonly name: string }): void
  }
}
interface Args {
  readonly input: object
}
interface Result {
  readonly output: object
  readonly response: unknown
}

export interface FaultOptions {
  /** How many matching tries it meets. @default 1 */
  readonly times?: number
  /** Matching tries that pass first. @default 0 */
  readonly skip?: number
  /** Only tries whose input says so: `(input) => input.Key === 'a'`. */
  readonly where?: (input: Record<string, unknown>) => boolean
}

/** A try of a call, as the client's own retries make them. */
export interface Try {
  /** Without "Command": `PutItem`, `GetObject`. */
  readonly command: string
  readonly input: Record<string, unknown>
}

/** Faults are met in the order they were made; one try meets one fault. */
export interface Faults {
  /** Every try so far, repeated ones included. */
  readonly tries: readonly Try[]
  /** How many tries there were of `command`, or of all. */
  count(command?: string): number
  /** The try fails and never reaches the service. */
  before(command: string, error: () => Error, options?: FaultOptions): void
  /** The service does its work, then its answer, be it an error, is lost: the caller sees this error. */
  after(command: string, error: () => Error, options?: FaultOptions): void
  /** The service answers, and this is what arrives instead. */
  answer(
    command: string,
    change: (output: Record<string, unknown>, input: Record<string, unknown>) => object,
    options?: FaultOptions,
  ): void
  /** The try stands still before it reaches the service (or, with `at: 'after'`, before its answer arrives) until released. */
  hold(command: string, options?: FaultOptions & { readonly at?: 'before' | 'after' }): Held
  /** Forgets faults not yet met, and the tries so far. */
  clear(): void
}

export interface Held {
  /** Resolves once the try stands still. */
  readonly reached: Promise<void>
  release(): void
}

interface Fault {
  readonly command: string
  readonly where: (input: Record<string, unknown>) => boolean
  skip: number
  times: number
  run(input: Record<string, unknown>, call: () => Promise<Result>): Promise<Result>
}

/**
 * What no emulator shows (throttling, conflicts, lost answers, timeouts), injected around real calls of a real client. It sits
 * inside the client's retry loop, so that the client's own retries meet it as they would meet the service.
 */
export function injectFaults(client: Faultable): Faults {
  let faults: Fault[] = []
  const tries: Try[] = []
  const add = (command: string, options: FaultOptions, run: Fault['run']) => {
    faults.push({ command, where: options.where ?? (() => true), skip: options.skip ?? 0, times: options.times ?? 1, run })
  }
  /** The first fault that this try meets, used up by one. */
  const met = ({ command, input }: Try): Fault | undefined => {
    for (const fault of faults) {
      if (fault.command !== command || fault.times === 0 || !fault.where(input)) continue
      if (fault.skip > 0) {
        fault.skip--
        continue
      }
      fault.times--
      return fault
    }
    return undefined
  }
  const middleware = (next: (args: Args) => Promise<Result>, context: { readonly commandName?: string }) => (args: Args) => {
    const now: Try = { command: (context.commandName ?? '').replace(/Command$/, ''), input: args.input as Try['input'] }
    tries.push(now)
    const call = () => next(args)
    return met(now)?.run(now.input, call) ?? call()
  }
  client.middlewareStack.add(middleware as never, { step: 'deserialize', priority: 'high', name: 'injectedFaults' })
  return {
    tries,
    count: (command) => (command === undefined ? tries.length : tries.filter((one) => one.command === command).length),
    before: (command, error, options = {}) => add(command, options, async () => Promise.reject(error())),
    after: (command, error, options = {}) =>
      add(command, options, async (_, call) => {
        await call().catch(() => undefined)
        throw error()
      }),
    answer: (command, change, options = {}) =>
      add(command, options, async (input, call) => {
        const { output, response } = await call()
        return { response, output: { ...output, ...change(output as Record<string, unknown>, input) } }
      }),
    hold(command, options = {}) {
      const reached = Promise.withResolvers<void>()
      const released = Promise.withResolvers<void>()
      add(command, options, async (_, call) => {
        const early = options.at === 'after' ? await call() : undefined
        reached.resolve()
        await released.promise
        return early ?? call()
      })
      return { reached: reached.promise, release: released.resolve }
    },
    clear() {
      faults = []
      tries.length = 0
    },
  }
}

/** An error as a service sends it. Names and statuses: the API reference of the service. */
export function serviceError(name: string, status = 400, message = `injected ${name}`): Error {
  return Object.assign(new Error(message), {
    name,
    $fault: status >= 500 ? 'server' : 'client',
    $metadata: { httpStatusCode: status },
  })
}

export const throttled = () => serviceError('ThrottlingException', 400, 'Rate exceeded')
export const serverError = () => serviceError('InternalServerError', 500, 'Internal error')
export const denied = () => serviceError('AccessDeniedException', 400, 'is not authorized to perform this')

/** What the SDK's HTTP handler throws when the peer goes away, or does not answer in time. */
export const connectionReset = (): Error => Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })
export const timedOut = (): Error => Object.assign(new Error('no answer in time'), { name: 'TimeoutError' })
