import { corrupt } from '../lib/errors.ts'
import type { TablePorts } from '../lib/iceberg/change.ts'
import { lookup } from '../lib/lookup.ts'
import { type CompactJob, compactJob } from '../lib/maintenance/compact.ts'
import type { CompactionLimits } from '../lib/maintenance/plan-compaction.ts'
import type { CompactPolicy } from '../lib/pipeline/maintenance.ts'
import type { Plan } from '../lib/pipeline/plan.ts'
import { planCompactions } from '../lib/runtime/maintain.ts'
import { eachTable, sumOf } from './each-table.ts'
import type { MetricValues } from './metrics.ts'
import type { Context, Telling } from './telemetry.ts'
import { withoutValues } from './values.ts'

/** Jobs of one plan: an answer that a state machine hands on has 256 KB, and a job takes up to 600 bytes. */
const MAX_JOBS = 400
/** Time left below which no group is begun, whatever the ones before took: what was rewritten is committed in it. */
const RESERVE_MS = 60_000

/** What step `plan` answers. */
export interface PlannedCompaction {
  /** Each for a call with step `work`, in any order and at the same time. */
  readonly jobs: readonly CompactJob[]
  /** Tables that could not be planned. */
  readonly failed: number
  /** True when there is more to do than jobs: the next plan has it. */
  readonly more: boolean
}

/** What steps `work` and `all` answer: counts alone, for a partition is named by values of records. */
export interface CompactedFiles {
  /** Files replaced, and those in their place. */
  readonly filesBefore: number
  readonly filesAfter: number
  readonly bytesBefore: number
  readonly bytesAfter: number
  /** Groups whose files stay as they are. */
  readonly gaveUp: number
  /** Of these, ones with a file that cannot be read: the next plan has them again, and gives them up again. */
  readonly unreadable: number
  /** True when the time was up: the next plan has the rest. */
  readonly more: boolean
}

/** What a step did; `failed` has the errors of parts of it, logged already. */
export interface Step<T> {
  readonly answer: T
  readonly metrics: MetricValues
  readonly failed: readonly Error[]
}

export interface CompactSetting {
  readonly plan: Plan
  readonly ports: TablePorts & Telling
  readonly limits: CompactionLimits
}

/** Merges manifests where they are many, and plans what is to be rewritten, table by table. */
export async function planStep({ plan, ports, limits }: CompactSetting, context: Context): Promise<Step<PlannedCompaction>> {
  const nowMs = ports.clock.now()
  const { done, failed, more } = await eachTable(plan, ports, context, ({ id }) => {
    // A table at a time: one that cannot be read must not stop the others.
    const tables = { [id.name]: lookup(plan.tables, id.name, 'table') }
    return planCompactions(ports, { ...plan, tables }, limits, nowMs)
  })
  const jobs = done.flatMap((of) => of.jobs)
  const previews = done.flatMap((of) => of.previews.map(({ preview }) => preview))
  const metrics = {
    filesToCompact: sumOf(previews, ({ groups }) => sumOf(groups, ({ files }) => files)),
    filesLeftAlone: sumOf(previews, ({ leftAlone }) => sumOf(leftAlone, ({ files }) => files)),
    ...(previews.length > 0 && { tableManifests: Math.max(...previews.map(({ manifests }) => manifests)) }),
  }
  const answer = { jobs: jobs.slice(0, MAX_JOBS), failed: failed.length, more: more || jobs.length > MAX_JOBS }
  return { answer, metrics, failed }
}

/** Does one job, as far as time lasts. */
export async function workStep(
  { ports, limits }: CompactSetting,
  job: CompactJob,
  policy: CompactPolicy,
  hasTime: () => boolean,
): Promise<Step<CompactedFiles>> {
  const { gaveUp, manifests: _, ...files } = await compactJob(ports, job, policy, limits, hasTime)
  const step = compacted({ ...files, gaveUp: gaveUp.length, unreadable: gaveUp.filter(({ unreadable }) => unreadable).length })
  const damaged = gaveUp.filter((group) => group.damaged).length
  if (damaged === 0) return step
  // Nobody would notice otherwise before a query fails. Which files it is would name values of records here.
  const error = corrupt(
    `Cannot compact table ${job.table.name}: expected readable data files, found damaged ones in ${damaged} groups. "frazil compact" with --apply names them; restore them.`,
  )
  ports.telemetry.error(error, { table: job.table.name })
  return { ...step, failed: [error] }
}

/** Plans, and does job after job while time lasts. One that fails does not stop the others. */
export async function allSteps(setting: CompactSetting, context: Context): Promise<Step<CompactedFiles>> {
  const { plan, ports } = setting
  const planned = await planStep(setting, context)
  const hasTime = timeKeeper(context)
  const failed = [...planned.failed]
  let files: CompactedFiles = {
    filesBefore: 0,
    filesAfter: 0,
    bytesBefore: 0,
    bytesAfter: 0,
    gaveUp: 0,
    unreadable: 0,
    more: planned.answer.more,
  }
  for (const job of planned.answer.jobs) {
    const policy = lookup(plan.tables, job.table.name, 'table').maintenance.compact
    if (policy === undefined) continue
    try {
      const { answer, failed: damaged } = await workStep(setting, job, policy, hasTime)
      files = added(files, answer)
      failed.push(...damaged)
      if (answer.more) break
    } catch (thrown) {
      const error = withoutValues(thrown)
      ports.telemetry.error(error, { table: job.table.name })
      failed.push(error)
    }
  }
  const { answer, metrics } = compacted(files)
  return { answer, metrics: { ...planned.metrics, ...metrics }, failed }
}

/** Says whether another group may be begun: what is left has to be twice what the longest took so far, and the reserve. */
export function timeKeeper(context: Context): () => boolean {
  let before = context.getRemainingTimeInMillis()
  let longestMs = 0
  return () => {
    const left = context.getRemainingTimeInMillis()
    longestMs = Math.max(longestMs, before - left)
    before = left
    return left >= RESERVE_MS + 2 * longestMs
  }
}

function compacted(answer: CompactedFiles): Step<CompactedFiles> {
  const { filesBefore, bytesBefore, gaveUp } = answer
  const metrics = { compactedFiles: filesBefore, compactedBytes: bytesBefore, compactionsGivenUp: gaveUp }
  return { answer, metrics, failed: [] }
}

function added(one: CompactedFiles, other: CompactedFiles): CompactedFiles {
  return {
    filesBefore: one.filesBefore + other.filesBefore,
    filesAfter: one.filesAfter + other.filesAfter,
    bytesBefore: one.bytesBefore + other.bytesBefore,
    bytesAfter: one.bytesAfter + other.bytesAfter,
    gaveUp: one.gaveUp + other.gaveUp,
    unreadable: one.unreadable + other.unreadable,
    more: one.more || other.more,
  }
}
