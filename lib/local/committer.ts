import { Worker } from 'node:worker_threads'
import { type ErrorKind, FrazilError } from '../errors.ts'
import type { Plan } from '../pipeline/plan.ts'
import type { CommitReport } from '../runtime/commit.ts'
import type { WarehouseAt } from './warehouse.ts'

export type CommitRequest = 'commit' | 'commitAll' | 'close'
export type CommitAnswer =
  | { readonly kind: 'report'; readonly report: CommitReport }
  | { readonly kind: 'done' }
  | { readonly kind: 'error'; readonly error: ErrorKind | 'Bug'; readonly message: string }

/** Commits in a worker thread, one request at a time. */
export interface Committer {
  readonly busy: boolean
  /** One round. */
  commit(): Promise<void>
  /** Until nothing is left that was staged before the call. */
  commitAll(): Promise<void>
  close(): Promise<void>
}

export function startCommitter(options: {
  plan: Plan
  warehouse: WarehouseAt
  incarnation: string
  onReport: (report: CommitReport) => void
}): Committer {
  const { plan, warehouse, incarnation, onReport } = options
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const worker = new Worker(new URL(`./commit-worker.${extension}`, import.meta.url), {
    workerData: { plan, warehouse, incarnation },
  })
  let waiting: { resolve: () => void; reject: (error: unknown) => void } | undefined
  let turn: Promise<void> = Promise.resolve()
  let dead: unknown
  const settle = (error?: unknown) => {
    const settled = waiting
    waiting = undefined
    if (error === undefined) settled?.resolve()
    else settled?.reject(error)
  }
  worker.on('message', (answer: CommitAnswer) => {
    if (answer.kind === 'report') onReport(answer.report)
    else if (answer.kind === 'done') settle()
    else settle(answer.error === 'Bug' ? new Error(answer.message) : new FrazilError(answer.error, answer.message))
  })
  worker.on('error', (error) => {
    dead = error
    settle(error)
  })
  worker.on('exit', (code) => {
    dead ??= new Error(`the commit worker ended with code ${code}`)
    settle(dead)
  })
  const request = (message: CommitRequest): Promise<void> => {
    const mine = turn.then(
      () =>
        new Promise<void>((resolve, reject) => {
          if (dead !== undefined) return reject(dead)
          waiting = { resolve, reject }
          worker.postMessage(message)
        }),
    )
    turn = mine.catch(() => {})
    return mine
  }
  return {
    get busy() {
      return waiting !== undefined
    },
    commit: () => request('commit'),
    commitAll: () => request('commitAll'),
    async close() {
      if (dead === undefined) await request('close')
      await worker.terminate()
    },
  }
}
