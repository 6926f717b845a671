import { parentPort, workerData } from 'node:worker_threads'
import { FrazilError, messageOf } from '../errors.ts'
import type { Plan } from '../pipeline/plan.ts'
import { commitAll } from '../runtime/advance.ts'
import { commit } from '../runtime/commit.ts'
import { createRuntime } from '../runtime/runtime.ts'
import type { CommitAnswer, CommitRequest } from './committer.ts'
import { openWarehouse } from './warehouse.ts'

// Runs commits beside the reading thread, on connections of its own. A plan is plain data, so it travels.
const { plan, dir, incarnation } = workerData as { plan: Plan; dir: string; incarnation: string }
const warehouse = openWarehouse(dir)
const runtime = createRuntime({
  plan,
  ports: warehouse.ports,
  staging: warehouse.staging,
  warehouse: warehouse.tables,
  incarnation,
})
const answer = (message: CommitAnswer) => parentPort?.postMessage(message)

parentPort?.on('message', async (request: CommitRequest) => {
  try {
    if (request === 'commit') answer({ kind: 'report', report: await commit(runtime) })
    else if (request === 'commitAll') await commitAll(runtime, (report) => answer({ kind: 'report', report }))
    else warehouse.close()
    answer({ kind: 'done' })
    if (request === 'close') parentPort?.close()
  } catch (error) {
    answer({ kind: 'error', error: error instanceof FrazilError ? error.kind : 'Bug', message: messageOf(error) })
  }
})
