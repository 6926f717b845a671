import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'

export interface InstanceOptions {
  /** A bundle: its export `handler` is called. */
  readonly file: string
  readonly memoryMb: number
  readonly environment: Readonly<Record<string, string>>
  readonly print: (line: string) => void
}

/** What a call came to, as the process says it. `lost`: it is dead, and why. */
export type Answer =
  | { readonly kind: 'response' | 'error'; readonly payload: string }
  | { readonly kind: 'lost'; readonly why: string }

/** One process of a function behind a runtime API of its own. It runs one call at a time. */
export interface Instance {
  readonly pid: number
  /** Milliseconds from spawn to the first request for a call; NaN before that. */
  initMs(): number
  /** Peak resident memory since its start. */
  peakRssMb(): number
  isAlive(): boolean
  /** Hands over a call; resolves when the process has answered it, or has died. */
  call(payload: string, requestId: string, deadlineMs: number): Promise<Answer>
  freeze(): void
  wake(): void
  /** SIGKILL: nothing is finished, nothing is said. Calls under way are lost for this reason. */
  kill(why: string): void
}

/** How often memory is looked at. Peaks are kept by the kernel, so none is missed in the figures. */
const MEMORY_WATCH_MS = 20
const API = '/2018-06-01/runtime/'

/**
 * Starts a function's process as Lambda starts Node: the heap is limited to nine tenths of the memory, the environment is the
 * function's own. Between calls it is stopped (SIGSTOP), as Lambda freezes it.
 */
export async function startInstance({ file, memoryMb, environment, print }: InstanceOptions): Promise<Instance> {
  let waiting: ServerResponse | undefined
  let job: { payload: string; requestId: string; deadlineMs: number; settle: (answer: Answer) => void } | undefined
  let dead: string | undefined
  let initMs = Number.NaN
  let peakKb = 0
  const startMs = performance.now()

  const server = createServer((request, response) => {
    void serve(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  const child: ChildProcess = spawn(
    process.execPath,
    [
      `--max-old-space-size=${Math.floor(memoryMb * 0.9)}`,
      `--max-semi-space-size=${Math.max(1, Math.floor(memoryMb * 0.05))}`,
      join(import.meta.dirname, 'bootstrap.mjs'),
    ],
    {
      env: {
        AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${port}`,
        AWS_LAMBDA_FUNCTION_NAME: 'function',
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memoryMb),
        LAMBDA_TASK_ROOT: dirname(file),
        _HANDLER: 'index.handler',
        TZ: ':UTC',
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const pid = child.pid ?? 0
  for (const stream of [child.stdout, child.stderr]) {
    let rest = ''
    stream?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) print(line)
    })
  }

  /** A line of /proc/pid/status, in kilobytes. */
  const memoryKb = (name: 'VmRSS' | 'VmHWM'): number => {
    try {
      const [, kb] = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
      return Number(kb ?? 0)
    } catch {
      return 0
    }
  }
  const look = () => {
    peakKb = Math.max(peakKb, memoryKb('VmHWM'))
  }
  const watch = setInterval(() => {
    look()
    if (memoryKb('VmRSS') > memoryMb * 1024) kill(`memory: more than ${memoryMb} MB`)
  }, MEMORY_WATCH_MS)

  const send = (signal: NodeJS.Signals) => {
    if (dead === undefined) child.kill(signal)
  }
  const settle = (answer: Answer) => {
    const settled = job
    job = undefined
    look()
    settled?.settle(answer)
  }
  const die = (why: string) => {
    if (dead !== undefined) return
    dead = why
    clearInterval(watch)
    server.closeAllConnections()
    server.close()
    settle({ kind: 'lost', why })
  }
  const kill = (why: string) => {
    if (dead !== undefined) return
    child.kill('SIGKILL')
    die(why)
  }
  child.on('exit', (code, signal) => die(`process ended with ${signal ?? code}`))
  child.on('error', (error) => die(error.message))

  /** Gives a waiting process its call; a waiting process without one is frozen. */
  const match = () => {
    if (waiting === undefined) return
    if (job === undefined) return send('SIGSTOP')
    send('SIGCONT')
    const headers = {
      'Lambda-Runtime-Aws-Request-Id': job.requestId,
      'Lambda-Runtime-Deadline-Ms': String(job.deadlineMs),
      'Lambda-Runtime-Invoked-Function-Arn': 'arn:aws:lambda:us-east-1:000000000000:function:function',
    }
    waiting.writeHead(200, headers).end(job.payload)
    waiting = undefined
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').slice(API.length)
    if (path === 'invocation/next') {
      if (Number.isNaN(initMs)) initMs = performance.now() - startMs
      waiting = response
      return match()
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    response.writeHead(202).end()
    const payload = Buffer.concat(chunks).toString()
    if (path === 'init/error') return settle({ kind: 'error', payload })
    // A call that the host has given up is nobody's any more.
    if (path === `invocation/${job?.requestId}/response`) settle({ kind: 'response', payload })
    else if (path === `invocation/${job?.requestId}/error`) settle({ kind: 'error', payload })
  }

  return {
    pid,
    initMs: () => initMs,
    peakRssMb: () => Math.round(peakKb / 1024),
    isAlive: () => dead === undefined,
    call: (payload, requestId, deadlineMs) =>
      new Promise((resolve) => {
        if (dead !== undefined) return resolve({ kind: 'lost', why: dead })
        job = { payload, requestId, deadlineMs, settle: resolve }
        match()
      }),
    freeze: () => send('SIGSTOP'),
    wake: () => send('SIGCONT'),
    kill,
  }
}
