import { FrazilError, refused } from '../lib/errors.ts'
import type { Plan } from '../lib/pipeline/plan.ts'
import { lastCheckpoint } from '../lib/runtime/checkpoints.ts'
import { declaredPartitions } from '../lib/runtime/open-partitions.ts'
import { provision, type TableChange } from '../lib/runtime/provision.ts'
import { createRuntime, nameIncarnation, type Ports, type StagingRuntime } from '../lib/runtime/runtime.ts'
import { assertStagedIsKnown } from '../lib/runtime/staged.ts'
import { type ProvisionConfig, planForFunctions } from './config.ts'
import { type Answer, answerTo, type CustomResourceEvent, type Outcome } from './custom-resource.ts'
import type { Context, Telling } from './telemetry.ts'
import { withoutValues } from './values.ts'

/** Tells CloudFormation how a request of its ended. */
export type Respond = (url: string, answer: Answer) => Promise<void>

/**
 * The handler of a deployment: makes the tables that are missing, adds the columns that are new, and opens partitions, before
 * the new ingest and commit are put in place. A definition that cannot go on from what is there fails the deployment, which
 * CloudFormation then rolls back with ingest and commit untouched. Deletes nothing, whatever is deleted.
 *
 * Without CloudFormation it may be called with `{}`, and throws where it would have told CloudFormation.
 */
export function provisionHandler(definition: Plan, ports: Ports & Telling, config: ProvisionConfig, respond: Respond) {
  const plan = planForFunctions(definition, config)
  const { staging, warehouse } = config

  const provisioned = async (): Promise<readonly TableChange[]> => {
    const incarnation = await nameIncarnation(ports.log, ports.random, plan.name)
    const runtime = createRuntime({ plan, ports, staging, warehouse, incarnation })
    await assertNoneTakenBack(runtime)
    await assertStagedIsKnown(runtime)
    return provision(runtime, declaredPartitions(plan))
  }

  return async (event: Partial<CustomResourceEvent>, context: Context): Promise<readonly TableChange[]> => {
    const { RequestType: request, ResponseURL: url } = event
    const answer = async (outcome: Outcome): Promise<void> => {
      if (url !== undefined) await respond(url, answerTo(event, outcome))
    }
    ports.telemetry.begin(context)
    let changes: readonly TableChange[] = []
    try {
      // Tables and logs outlive the stack.
      if (request !== 'Delete') changes = await provisioned()
      ports.telemetry.info('provisioned', { request: request ?? 'none', tables: textOf(changes) })
    } catch (thrown) {
      const error = withoutValues(thrown)
      ports.telemetry.error(error)
      if (url === undefined) throw error
      await answer({ status: 'FAILED', reason: error instanceof FrazilError ? error.message : `Bug: ${error.message}` })
      return []
    }
    // Outside: what cannot be answered is not answered with FAILED, for it was done.
    await answer({ status: 'SUCCESS', data: { Tables: textOf(changes) } })
    return changes
  }
}

/** One line: `raw_trades: as it was; agg_1m: adds note string?`. */
function textOf(changes: readonly TableChange[]): string {
  return changes.map(({ table, change, columns }) => `${table}: ${change}${columns === '' ? '' : ` ${columns}`}`).join('; ')
}

/**
 * Throws `Refused` for a topic that is said to have fewer partitions than are open. Windows wait for every partition that is
 * open, whatever number a definition says later (protocol rule 22): to take the smaller one in silence would be to promise
 * otherwise.
 */
async function assertNoneTakenBack(runtime: StagingRuntime): Promise<void> {
  const last = await lastCheckpoint(runtime)
  for (const { id, topic, partitions = 0 } of Object.values(runtime.plan.sources)) {
    const open = Object.keys(last?.sources[id] ?? {}).map(Number)
    const least = Math.max(-1, ...open) + 1
    if (partitions < least)
      throw refused(
        `Cannot deploy pipeline ${runtime.plan.name}: expected topic ${topic} to have the ${least} partitions that are open, or more, found ${partitions}. An open partition cannot be taken back: windows wait for it. Set the number to ${least}; if it was wrong from the start, deploy under another pipeline name.`,
      )
  }
}
