import { totalmem } from 'node:os'
import { usage } from '../errors.ts'
import { defaultSortOrder } from '../iceberg/metadata.ts'
import {
  type CompactionPreview,
  type CompactJob,
  type CompactReport,
  compactJob,
  type GivenUp,
  mergeManifests,
  previewCompaction,
} from '../maintenance/compact.ts'
import { limitsOf } from '../maintenance/limits.ts'
import { type CompactPolicy, DEFAULT_MAINTENANCE } from '../pipeline/maintenance.ts'
import { parseCount, parseSize, shownAge, shownSize, shownWarehouse, warehouseOf } from './arguments.ts'
import { compactedText, previewText } from './compact-text.ts'
import { counted, shownBytes, shownDuration } from './format.ts'
import { interruption } from './interruption.ts'
import { type MaintenanceFlags, NOTHING_WRITTEN, shownName, withMaintained } from './maintained-table.ts'
import { EXIT, type Output } from './output.ts'
import { printable } from './table.ts'
import type { OpenTable } from './table-argument.ts'

export interface CompactFlags extends MaintenanceFlags {
  readonly strategy?: 'binpack' | 'sort'
  readonly targetFileSize?: string
  readonly minInputFiles?: string
  readonly hot: boolean
  readonly manifests: boolean
}

/** What a compaction found and, with `--apply`, did. */
export interface Compaction {
  readonly table: string
  readonly preview: CompactionPreview
  /** Files that are not cold yet, and would be rewritten by `--hot`. */
  readonly collecting: number
  /** Undefined: nothing was written. */
  readonly applied: AppliedCompaction | undefined
}

export interface AppliedCompaction extends Omit<CompactReport, 'manifests' | 'more'> {
  readonly manifestsAfter: number
  /** A signal came: what was rewritten until then is in the table. */
  readonly interrupted: boolean
}

const MB = 2 ** 20
/** What a compaction takes of this machine's memory: half, and no more than a call of it needs. */
const MEMORY_SHARE = 0.5
const MAX_MEMORY_MB = 4096
/** As a definition's `targetFileSize`. */
const LEAST_TARGET_BYTES = MB
/** Iceberg reads counts as Java's int. */
const MAX_INT = 2 ** 31 - 1
/** One file alone would be written anew each time. */
const LEAST_INPUT_FILES = 2

/** `frazil compact`: what rewriting a table's small files would do, and with `--apply` does it. */
export async function compactCommand(name: string, flags: CompactFlags, output: Output): Promise<number> {
  const at = warehouseOf(flags)
  const policy = policyOf(flags)
  const done = await withMaintained(at, name, flags.apply, (open) => compaction(open, policy, flags, output))
  if (output.json) await output.data(`${JSON.stringify({ warehouse: shownWarehouse(at), ...compactionJson(done) })}\n`)
  else {
    await output.data(done.applied === undefined ? previewText(done.preview) : compactedText(done.preview, done.applied))
    for (const note of notesOf(done, flags)) output.note(note)
  }
  if (done.applied?.interrupted) return EXIT.interrupted
  return done.applied?.gaveUp.some(({ unreadable }) => unreadable) ? EXIT.finding : EXIT.fine
}

function policyOf({ strategy, targetFileSize, minInputFiles, hot }: CompactFlags): CompactPolicy {
  const defaults = DEFAULT_MAINTENANCE.compact
  return {
    strategy: strategy ?? defaults.strategy,
    targetFileBytes:
      targetFileSize === undefined ? undefined : parseSize('--target-file-size', targetFileSize, LEAST_TARGET_BYTES),
    minInputFiles:
      minInputFiles === undefined
        ? defaults.minInputFiles
        : parseCount('--min-input-files', minInputFiles, MAX_INT, LEAST_INPUT_FILES),
    coldAfterMs: defaults.coldAfterMs,
    hot,
  }
}

async function compaction(open: OpenTable, policy: CompactPolicy, flags: CompactFlags, output: Output): Promise<Compaction> {
  const { table, warehouse } = open
  const { ports } = warehouse
  const name = shownName(open)
  if (policy.strategy === 'sort' && (defaultSortOrder(table.metadata)?.fields.length ?? 0) === 0)
    throw usage(
      `Cannot sort table ${name}: expected it to have a sort order, found none. Give it one, or leave --strategy sort out.`,
    )
  const limits = limitsOf(Math.min(MAX_MEMORY_MB, Math.floor((totalmem() * MEMORY_SHARE) / MB)))
  const nowMs = ports.clock.now()
  const planned = (one: CompactPolicy) => previewCompaction(ports, table.id, one, limits, nowMs)
  const preview = await planned(policy)
  const collecting = policy.hot ? 0 : filesOf(await planned({ ...policy, hot: true })) - filesOf(preview)
  const report = { table: name, preview, collecting: Math.max(0, collecting) }
  if (!flags.apply) return { ...report, applied: undefined }

  const interrupt = interruption(() => output.note('Interrupted: ends after the group at hand; Ctrl-C again ends now.'))
  const work = (job: CompactJob) => compactJob(ports, job, policy, limits, () => !interrupt.asked())
  try {
    const { manifests, ...done } = await allJobs(preview, work, output)
    const merged = interrupt.asked() ? manifests : await mergeManifests(ports, table.id, flags.manifests)
    const manifestsAfter = merged?.after ?? preview.manifests
    return { ...report, applied: { ...done, manifestsAfter, interrupted: interrupt.asked() } }
  } finally {
    interrupt.end()
  }
}

const filesOf = ({ groups, leftAlone }: CompactionPreview): number =>
  [...groups, ...leftAlone].reduce((sum, { files }) => sum + files, 0)

async function allJobs(
  { jobs, groups }: CompactionPreview,
  work: (job: CompactJob) => Promise<CompactReport>,
  output: Output,
): Promise<Omit<CompactReport, 'more'>> {
  const tally = { filesBefore: 0, filesAfter: 0, bytesBefore: 0, bytesAfter: 0 }
  const gaveUp: GivenUp[] = []
  let manifests: CompactReport['manifests']
  for (const [i, job] of jobs.entries()) {
    const mine = groups.slice(job.from, job.to)
    const files = mine.reduce((sum, group) => sum + group.files, 0)
    const bytes = mine.reduce((sum, group) => sum + group.bytes, 0)
    output.note(`job ${i + 1} of ${jobs.length}: ${counted(files, 'file')}, ${shownBytes(bytes)}`)
    const startedMs = performance.now()
    const done = await work(job)
    tally.filesBefore += done.filesBefore
    tally.filesAfter += done.filesAfter
    tally.bytesBefore += done.bytesBefore
    tally.bytesAfter += done.bytesAfter
    gaveUp.push(...done.gaveUp)
    manifests = done.manifests ?? manifests
    output.note(
      `job ${i + 1} of ${jobs.length}: ${counted(done.filesBefore, 'file')} became ${done.filesAfter} in ${shownDuration(performance.now() - startedMs)}`,
    )
    if (done.more) break
  }
  return { ...tally, gaveUp, manifests }
}

function compactionJson({ table, preview, collecting, applied }: Compaction) {
  const { jobs, groups, leftAlone, targetFileBytes, manifests, manyManifests } = preview
  return {
    table,
    applied: applied !== undefined,
    targetFileBytes,
    jobs: jobs.length,
    groups,
    leftAlone,
    collecting,
    manifests: { count: manifests, many: manyManifests },
    result: applied ?? null,
  }
}

function notesOf({ table, preview, collecting, applied }: Compaction, flags: CompactFlags): readonly string[] {
  const { groups, jobs, manifests, manyManifests, targetFileBytes } = preview
  const rewrites = groups.length > 0
  const merges = manyManifests || (flags.manifests && manifests > 1)
  const notes: string[] = []
  if (!rewrites) notes.push(`No files of ${table} to rewrite${targetFileBytes === 0 ? ': nothing was committed to it' : ''}.`)
  if (collecting > 0) {
    const [they, them] = collecting === 1 ? ['it is', 'it'] : ['they are', 'them']
    const age = shownAge(DEFAULT_MAINTENANCE.compact.coldAfterMs)
    notes.push(
      `Left for later: ${counted(collecting, 'file')}, since ${they} younger than ${age} or share a partition by time with one that is. --hot takes ${them} too.`,
    )
  }
  if (applied === undefined) {
    if (rewrites)
      notes.push(
        `Target: files of ${shownSize(targetFileBytes)}; ${counted(groups.length, 'group')} in ${counted(jobs.length, 'job')}.`,
      )
    if (merges) notes.push(`${counted(manifests, 'manifest')} would be merged.`)
    if (rewrites || merges) notes.push(NOTHING_WRITTEN)
    return notes
  }
  notes.push(...unreadableNotes(applied.gaveUp))
  if (applied.gaveUp.some(({ unreadable }) => !unreadable))
    notes.push('What others were first at stays as it is; the next compaction plans it anew.')
  if (applied.interrupted) notes.push('Interrupted: what was rewritten until then is in the table.')
  return notes
}

/** What is wrong with files, too long for a table. */
function unreadableNotes(gaveUp: readonly GivenUp[]): readonly string[] {
  const unreadable = gaveUp.filter((one) => one.unreadable)
  const damaged = unreadable.filter((one) => one.damaged).length
  const [files, theirs] = damaged === 1 ? ['file', 'its partition is'] : ['files', 'their partitions are']
  return [
    ...unreadable.map(({ partition, why }) => printable(partition === '' ? why : `${partition}: ${why}`)),
    ...(damaged > 0 ? [`Restore the ${files}; until then ${theirs} not compacted.`] : []),
  ]
}
