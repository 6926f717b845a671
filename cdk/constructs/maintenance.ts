import { Duration } from 'aws-cdk-lib'
import type * as lambda from 'aws-cdk-lib/aws-lambda'
import type * as sfn from 'aws-cdk-lib/aws-stepfunctions'
import type { Construct } from 'constructs'
import type { FunctionName } from '../../functions/bundle.ts'
import type { MaintenancePlan } from '../../lib/pipeline/maintenance.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import { makeCompaction } from './compaction.ts'
import { makeFunction, makeScheduledFunction, type ScheduledFunctionOptions, type Shared } from './functions.ts'
import { given } from './given.ts'
import { compactRights, expireRights, orphansRights, type Places, trimRights } from './permissions.ts'
import type { StreamingPipelineProps } from './props.ts'

/** The functions that keep tables well, without those that are never called. */
export interface Maintenance {
  readonly compact?: lambda.Function
  /** Plans by `compact`, and has it do the jobs. */
  readonly compaction?: sfn.StateMachine
  readonly expire?: lambda.Function
  readonly orphans?: lambda.Function
  readonly trim?: lambda.Function
}

/** Homes of what is made: everything in them comes after the tables. */
export const MAINTENANCE_IDS = ['Compact', 'Expire', 'Orphans', 'Trim'] as const

/** How often they are called where nothing is said. */
const EVERY = {
  /** A partition is cold an hour after its last file. */
  compact: Duration.hours(1),
  /**
   * Snapshots are thinned by the hour and go by the day: a quarter of a day more than the policy says adds some per cent of
   * metadata.
   */
  expire: Duration.hours(6),
  /** Files wait days before they are deleted, and each sweep lists all there are. */
  orphans: Duration.days(1),
  trim: Duration.hours(1),
} as const

const DEFAULT_COMPACT_MEMORY_MB = 2048
const DEFAULT_COMPACT_CONCURRENCY = 5
/** They hold the names of a table's files: some hundred bytes for each. */
const MEMORY_MB = 1024
/** All that Lambda gives: they stop by themselves before it, and what is cut off is done by the next call. */
const TIMEOUT = Duration.minutes(15)

export interface MaintenanceOptions {
  readonly plan: Plan
  readonly places: Places
  readonly shared: Shared
  /** FRAZIL_LOG_TABLE and FRAZIL_STAGING. */
  readonly logs: Readonly<Record<string, string>>
  readonly code: (name: FunctionName) => lambda.Code
  readonly props: StreamingPipelineProps
}

/**
 * Makes those that have something to do: by their schedules, and by the policies of the tables. Ids are those of
 * `addScheduledFunction`.
 */
export function makeMaintenance(scope: Construct, options: MaintenanceOptions): Maintenance {
  const { plan, places, shared, logs, code, props } = options
  const wanted = (...parts: readonly (keyof MaintenancePlan)[]) =>
    Object.values(plan.tables).some(({ maintenance }) => parts.some((part) => maintenance[part] !== undefined))
  const everyOf = (name: keyof typeof EVERY): Duration | undefined => {
    const every = props[`${name}Every`] ?? EVERY[name]
    return every === 'never' ? undefined : every
  }
  const made = (
    id: string,
    name: 'expire' | 'orphans' | 'trim',
    of: Pick<ScheduledFunctionOptions, 'description' | 'rights' | 'environment'>,
  ): lambda.Function | undefined => {
    const every = everyOf(name)
    if (every === undefined) return undefined
    return makeScheduledFunction(scope, id, shared, { ...of, code: code(name), every, memoryMb: MEMORY_MB, timeout: TIMEOUT })
  }
  return given({
    ...(wanted('compact') ? makeCompact(scope, options, everyOf('compact')) : {}),
    expire: wanted('expire', 'retention')
      ? made('Expire', 'expire', {
          description: `Expires snapshots and old rows of pipeline ${plan.name}`,
          rights: expireRights(places),
        })
      : undefined,
    orphans: wanted('orphans')
      ? made('Orphans', 'orphans', {
          description: `Deletes files that no table of pipeline ${plan.name} names`,
          rights: orphansRights(places),
          environment: logs,
        })
      : undefined,
    trim: made('Trim', 'trim', {
      description: `Trims logs and staging of pipeline ${plan.name}`,
      rights: trimRights(places),
      environment: logs,
    }),
  })
}

function makeCompact(
  scope: Construct,
  { plan, places, shared, code, props }: MaintenanceOptions,
  every: Duration | undefined,
): Pick<Maintenance, 'compact' | 'compaction'> {
  if (every === undefined) return {}
  const description = `Compacts tables of pipeline ${plan.name}`
  const compact = makeFunction(scope, 'Compact', shared, {
    description,
    code: code('compact'),
    memoryMb: props.compactMemoryMb ?? DEFAULT_COMPACT_MEMORY_MB,
    timeout: TIMEOUT,
    rights: compactRights(places),
  })
  const home = scope.node.findChild('Compact') as Construct
  const concurrency = props.compactConcurrency ?? DEFAULT_COMPACT_CONCURRENCY
  return { compact, compaction: makeCompaction(home, shared, { description, compact, every, concurrency }) }
}
