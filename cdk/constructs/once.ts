import { Stack, Stage } from 'aws-cdk-lib'
import type { Construct, IConstruct } from 'constructs'
import { usage } from '../../lib/errors.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'

/** By stage: path of the construct by account, region and pipeline. */
const known = new WeakMap<IConstruct, Map<string, string>>()

/**
 * Throws `Usage` for a pipeline that is there already, in the same stage, account and region: metrics are told apart by its name, so
 * alarms of one would hear the other. Stacks that name no account and region count as being in the same.
 */
export function assertOnce(scope: Construct, { name }: Plan): void {
  const stage = Stage.of(scope) ?? scope.node.root
  const pipelines = known.get(stage) ?? new Map<string, string>()
  known.set(stage, pipelines)
  const key = `${Stack.of(scope).environment} ${name}`
  const other = pipelines.get(key)
  if (other !== undefined)
    throw usage(
      `Cannot deploy pipeline ${name}: expected one of that name in an account and region, found another at ${other}. Rename one, or set env of their stacks.`,
    )
  pipelines.set(key, scope.node.path)
}
