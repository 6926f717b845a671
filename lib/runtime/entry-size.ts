import { invalidPipeline } from '../errors.ts'
import { lookup } from '../lookup.ts'
import type { Plan, SourcePlan } from '../pipeline/plan.ts'
import { MAX_LOG_VALUE_BYTES } from '../ports/log.ts'
import { segmentName } from '../protocol/names.ts'
import type { SliceRef, StagingEntry } from '../protocol/staging.ts'

const FINGERPRINT = '0123456789abcdef'
const UUID = '00000000-0000-4000-8000-000000000000'
/** Greatest numbers that an entry may hold: offsets and slots, milliseconds, rows of a batch, bytes of an event. */
const OFFSET = Number.MAX_SAFE_INTEGER
const MILLIS = -8_640_000_000_000_000
const ROWS = 100_000
const BYTES = 100_000_000

/**
 * A staging entry names a slice for each table and operator that a batch has rows for, and must fit its bound whatever the batch
 * holds (protocol rule 27). Throws `InvalidPipeline` for a definition of so many that it would not: before a record is read.
 */
export function assertEntriesFit(plan: Plan): void {
  for (const source of Object.values(plan.sources)) {
    const targets = targetsOf(plan, source)
    const bytes = Buffer.byteLength(JSON.stringify(largestEntry(plan, source, targets)))
    if (bytes > MAX_LOG_VALUE_BYTES)
      throw invalidPipeline(
        `Cannot run pipeline ${plan.name}: topic ${source.topic} feeds ${targets.length} tables and operators, whose names need ${bytes} bytes in a log entry of at most ${MAX_LOG_VALUE_BYTES}. Give it fewer, or shorter names, or make two pipelines of it.`,
      )
  }
}

function targetsOf(plan: Plan, source: SourcePlan): readonly string[] {
  const targets = source.outputs.flatMap((output) => {
    if (output.kind === 'rows') return [`table:${output.table}`]
    return [`state:${output.operator}`, `table:${lookup(plan.operators, output.operator, 'operator').lateTable}`]
  })
  return [...new Set([...targets, `table:${source.deadLetters}`])]
}

function largestEntry(plan: Plan, source: SourcePlan, targets: readonly string[]): StagingEntry {
  const slices: SliceRef[] = targets.map((target) => ({
    target,
    rows: ROWS,
    ...(target.startsWith('state:') && { fingerprint: FINGERPRINT }),
    offset: BYTES,
    length: BYTES,
  }))
  return {
    v: 1,
    kind: 'records',
    writer: `${UUID}-9999`,
    from: OFFSET,
    next: OFFSET,
    watermark: MILLIS,
    records: ROWS,
    deadLetters: ROWS,
    late: ROWS,
    missing: OFFSET,
    last: { offset: OFFSET, timestamp: MILLIS },
    maxTimestamp: MILLIS,
    segment: segmentName(plan.name, UUID.slice(0, 8), source.topic, 99_999, OFFSET, UUID),
    inline: null,
    slices,
  }
}
