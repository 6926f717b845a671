import { parentPort, workerData } from 'node:worker_threads'
import { FrazilError, messageOf } from '../errors.ts'
import type { Plan } from '../pipeline/plan.ts'
import { commitAll } from '../runtime/advance.ts'
import { commit } from '../runtime/commit.ts'
import { createRuntime } from '../runtime/runtime.ts'
import type { CommitAnswer, CommitRequest } from './committer.ts'
import { openWarehouse, type WarehouseAt } from './warehouse.ts'

// Runs commits beside the reading thread, on connections of its own. A plan is plain data, so it travels.
const { plan, warehouse: at, incarnation } = workerData as { plan: Plan; warehouse: WarehouseAt; incarnation: string }
const opening = openWarehouse(at).then((warehouse) => {
  const { ports, staging, tables } = warehouse
  return { warehouse, runtime: createRuntime({ plan, ports, staging, warehouse: tables, incarnation }) }
})
// Its failure is told with the first request.
opening.catch(() => {})
const answer = (message: CommitAnswer) => parentPort?.postMessage(message)

parentPort?.on('message', async (request: CommitRequest) => {
  try {
    const { warehouse, runtime } = await opening
    if (request === 'commit') answer({ kind: 'report', report: await commit(runtime) })
    else if (request === 'commitAll') await commitAll(runtime, (report) => answer({ kind: 'report', report }))
    else warehouse.close()
    answer({ kind: 'done' })
    if (request === 'close') parentPort?.close()
  } catch (error) {
    answer({ kind: 'error', error: error instanceof FrazilError ? error.kind : 'Bug', message: messageOf(error) })
  }
})
