import { type FrazilError, usage } from '../lib/errors.ts'
import type { CompactJob } from '../lib/maintenance/compact.ts'
import type { CompactPolicy } from '../lib/pipeline/maintenance.ts'
import type { Plan } from '../lib/pipeline/plan.ts'

/** What compact is called to do. */
export type CompactStep =
  | { readonly step: 'plan' }
  | { readonly step: 'work'; readonly job: CompactJob; readonly policy: CompactPolicy }
  | { readonly step: 'all' }

type Loose = Readonly<Record<string, unknown>>

/**
 * Reads the event of a call: `{ step: 'plan' }`, `{ step: 'work', job }` with a job that plan answered, or `{}`, or what a
 * schedule sends. Throws `Usage` for everything else, and for a job of a table that this definition does not have or does not
 * compact.
 */
export function parseCompactEvent(event: unknown, plan: Plan): CompactStep {
  if (!isObject(event)) throw wrong(plan, "an event { step: 'plan' }, { step: 'work', job } or {}", kindOf(event))
  const { step, job, ...rest } = event
  if (step === 'work') {
    assertNone(plan, 'step and job', rest)
    return { step, ...jobOf(plan, job) }
  }
  if (job !== undefined) throw wrong(plan, "a job with step 'work' only", 'one without it')
  if (step === 'plan') {
    assertNone(plan, 'step', rest)
    return { step }
  }
  if (step !== undefined) throw wrong(plan, "step 'plan' or 'work', or none", kindOf(step))
  // Both schedulers of EventBridge say who they are.
  if (rest.source !== 'aws.scheduler' && rest.source !== 'aws.events') assertNone(plan, "step, or a schedule's event", rest)
  return { step: 'all' }
}

function jobOf(plan: Plan, job: unknown): { readonly job: CompactJob; readonly policy: CompactPolicy } {
  if (!isObject(job)) throw wrong(plan, "a job, as step 'plan' answers it", kindOf(job))
  const { table, snapshot, nowMs, from, to, ...rest } = job
  assertNone(plan, 'table, snapshot, nowMs, from and to in a job', rest)
  const { namespace, name } = isObject(table) ? table : { namespace: undefined, name: undefined }
  if (namespace !== plan.namespace || typeof name !== 'string' || !Object.hasOwn(plan.tables, name))
    throw wrong(plan, `a job of a table of the pipeline (${Object.keys(plan.tables).join(', ')})`, 'another table')
  if (typeof snapshot !== 'string' || !/^\d{1,19}$/.test(snapshot))
    throw wrong(plan, 'a job with the id of a snapshot, in digits', kindOf(snapshot))
  if (!isCount(nowMs)) throw wrong(plan, 'a job with nowMs in milliseconds', kindOf(nowMs))
  if (!isCount(from) || !isCount(to) || to <= from)
    throw wrong(plan, 'a job with groups from one number up to a greater one', `${kindOf(from)} and ${kindOf(to)}`)
  const policy = plan.tables[name]?.maintenance.compact
  if (policy === undefined) throw wrong(plan, `a job of a table that the definition lets be compacted`, `one of ${name}`)
  return { job: { table: { namespace, name }, snapshot, nowMs, from, to }, policy }
}

function assertNone(plan: Plan, known: string, rest: Loose): void {
  const [name] = Object.keys(rest)
  if (name !== undefined) throw wrong(plan, `only ${known}`, name)
}

function wrong({ name }: Plan, expected: string, found: string): FrazilError {
  return usage(
    `Cannot compact the tables of pipeline ${name}: expected ${expected}, found ${found}. Call it with {} to plan and do all.`,
  )
}

const isObject = (value: unknown): value is Loose => typeof value === 'object' && value !== null && !Array.isArray(value)
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

/** Numbers as they are; of all else what it is, for events may hold anything. */
function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'number') return String(value)
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`
}
