import { randomUUID } from 'node:crypto'
import { type Answer, type Instance, startInstance } from './instance.ts'

export interface FunctionOptions {
  /** A bundle: its export `handler` is called. */
  readonly file: string
  /** @default 512 */
  readonly memoryMb?: number
  /** @default 60_000 */
  readonly timeoutMs?: number
  /** The function's own variables; nothing of this process is handed on. */
  readonly environment?: Readonly<Record<string, string>>
  /** Calls at once, an instance each. @default 10 */
  readonly concurrency?: number
}

export interface Invocation {
  /** `Unhandled` when the function failed; absent when it returned. */
  readonly functionError?: string
  /** What it returned, or `{errorType, errorMessage}`, as JSON. */
  readonly payload: string
  readonly ms: number
  /** Of the process since its start. */
  readonly peakRssMb: number
  /** True when a process was started for this call. */
  readonly coldStart: boolean
  /** Milliseconds from spawn until the function asked for this call; of a cold start only. */
  readonly initMs?: number
}

/** A call under way, and the hands on its process. */
export interface Call {
  readonly answer: Promise<Invocation>
  /** Stops the process where it is, as a hypervisor may. The deadline does not wait for it. */
  freeze(): void
  wake(): void
  /** The machine is gone: the call fails, whatever it has done stays done. */
  kill(): void
}

/** A function as Lambda runs it, in processes on this machine. */
export interface LambdaFunction {
  /** Calls it, on a warm process if one is free. Rejects when the call is not made: too large, or too many at once. */
  invoke(payload: string): Promise<Invocation>
  /** As `invoke`, for tests that interfere. */
  begin(payload: string): Promise<Call>
  /** All that its processes printed, line by line. */
  readonly log: readonly string[]
  /** Ends all processes: the next call is a cold start. */
  reset(): void
}

/** Lambda's quotas of a synchronous call, in bytes. */
const MAX_REQUEST_BYTES = 6_291_456
const MAX_RESPONSE_BYTES = 6_291_556

export function lambdaFunction(options: FunctionOptions): LambdaFunction {
  const { file, memoryMb = 512, timeoutMs = 60_000, environment = {}, concurrency = 10 } = options
  const idle: Instance[] = []
  const all = new Set<Instance>()
  const log: string[] = []

  async function begin(payload: string): Promise<Call> {
    const sizeBytes = Buffer.byteLength(payload)
    if (sizeBytes > MAX_REQUEST_BYTES)
      throw new Error(`RequestTooLargeException: expected at most ${MAX_REQUEST_BYTES} bytes, found ${sizeBytes}`)
    const warm = idle.pop()
    if (warm === undefined && all.size >= concurrency) throw new Error('TooManyRequestsException: all instances are busy')
    const startMs = performance.now()
    const instance = warm ?? (await startInstance({ file, memoryMb, environment, print: (line) => log.push(line) }))
    all.add(instance)
    return {
      answer: run(instance, payload, startMs, warm === undefined),
      freeze: instance.freeze,
      wake: instance.wake,
      kill: () => instance.kill('killed'),
    }
  }

  async function run(instance: Instance, payload: string, startMs: number, coldStart: boolean): Promise<Invocation> {
    const requestId = randomUUID()
    const timer = setTimeout(() => instance.kill('timeout'), timeoutMs)
    const answer = await instance.call(payload, requestId, Date.now() + timeoutMs)
    clearTimeout(timer)
    if (instance.isAlive() && !Number.isNaN(instance.initMs())) idle.push(instance)
    else {
      instance.kill('init failed')
      all.delete(instance)
    }
    return {
      ...told(answer, requestId, timeoutMs),
      ms: performance.now() - startMs,
      peakRssMb: instance.peakRssMb(),
      coldStart,
      ...(coldStart && { initMs: instance.initMs() }),
    }
  }

  return {
    begin,
    invoke: async (payload) => (await begin(payload)).answer,
    log,
    reset() {
      for (const instance of all) instance.kill('reset')
      all.clear()
      idle.length = 0
    },
  }
}

/** An answer as the caller of a function gets it. */
function told(answer: Answer, requestId: string, timeoutMs: number): Pick<Invocation, 'functionError' | 'payload'> {
  const failed = (errorType: string, errorMessage: string) => ({
    functionError: 'Unhandled',
    payload: JSON.stringify({ errorType, errorMessage: `RequestId: ${requestId} Error: ${errorMessage}` }),
  })
  if (answer.kind === 'lost')
    return answer.why === 'timeout'
      ? failed('Sandbox.Timedout', `Task timed out after ${(timeoutMs / 1000).toFixed(2)} seconds`)
      : failed('Runtime.ExitError', answer.why)
  if (answer.kind === 'error') return { functionError: 'Unhandled', payload: answer.payload }
  const sizeBytes = Buffer.byteLength(answer.payload)
  if (sizeBytes > MAX_RESPONSE_BYTES)
    return failed(
      'Function.ResponseSizeTooLarge',
      `expected a response of at most ${MAX_RESPONSE_BYTES} bytes, found ${sizeBytes}`,
    )
  return { payload: answer.payload }
}
