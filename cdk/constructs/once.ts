import { Stack, Stage } from 'aws-cdk-lib'
import type { Construct, IConstruct } from 'constructs'
import { usage } from '../../lib/errors.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'

interface Known {
  readonly scope: Construct
  readonly plan: Plan
}

/** Pipelines by stage and environment (account and region). */
const known = new WeakMap<IConstruct, Map<string, Known[]>>()

/**
 * Throws `Usage` for a pipeline that cannot stand beside those in the same stage, account and region. Stacks that name no
 * account and region count as being in the same.
 *
 * - One of its name: metrics are told apart by it, so alarms of one would hear the other.
 * - One that makes the same database, or has a table of the same name in it.
 */
export function assertOnce(scope: Construct, plan: Plan, makesDatabase: boolean): void {
  const pipelines = besides(scope)
  const what = `Cannot deploy pipeline ${plan.name}`
  const { namespace } = plan
  for (const other of pipelines) {
    const { path } = other.scope.node
    if (other.plan.name === plan.name)
      throw usage(
        `${what}: expected one of that name in an account and region, found another at ${path}. Rename one, or set env of their stacks.`,
      )
    if (other.plan.namespace !== namespace) continue
    const table = Object.keys(plan.tables).find((name) => name in other.plan.tables)
    if (table !== undefined)
      throw usage(
        `${what}: expected tables of its own in namespace ${namespace}, found ${table}, which the pipeline at ${path} has too. Rename it in one of them${table === 'dead_letters' ? " (deadLetters: { table: '…' } in kafka())" : ''}, or give one a namespace of its own.`,
      )
    if (makesDatabase && databaseOf(other.scope) !== undefined)
      throw usage(
        `${what}: expected one pipeline to make database ${namespace}, found another at ${path} that makes it. Write database: '${namespace}' here.`,
      )
  }
  pipelines.push({ scope, plan })
}

/** Has tables made after their database, which another pipeline may make: whichever of them is there first. */
export function orderByDatabase(scope: Construct, tables: IConstruct, { namespace }: Plan): void {
  for (const { scope: other, plan } of besides(scope)) {
    if (plan.namespace !== namespace) continue
    const [theirs, ours] = [databaseOf(other), databaseOf(scope)]
    if (theirs !== undefined) tables.node.addDependency(theirs)
    if (ours !== undefined) other.node.tryFindChild('Tables')?.node.addDependency(ours)
  }
}

function besides(scope: Construct): Known[] {
  const stage = Stage.of(scope) ?? scope.node.root
  const byEnvironment = known.get(stage) ?? new Map<string, Known[]>()
  known.set(stage, byEnvironment)
  const { environment } = Stack.of(scope)
  const pipelines = byEnvironment.get(environment) ?? []
  byEnvironment.set(environment, pipelines)
  return pipelines
}

const databaseOf = (scope: Construct): IConstruct | undefined => scope.node.tryFindChild('Database')
