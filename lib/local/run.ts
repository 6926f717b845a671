import { loadTable } from '../iceberg/scan.ts'
import type { Plan } from '../pipeline/plan.ts'
import type { Log } from '../ports/log.ts'
import { stagingLogKey } from '../protocol/names.ts'
import { stagingTail } from '../protocol/staging.ts'
import { advanceIdle, advanceToEnd } from '../runtime/advance.ts'
import type { CommitReport } from '../runtime/commit.ts'
import { ingest } from '../runtime/ingest.ts'
import { addReasons, type Reasons } from '../runtime/process.ts'
import { provision } from '../runtime/provision.ts'
import { createRuntime, nameIncarnation, type Ports, type Runtime, tableId } from '../runtime/runtime.ts'
import { type Committer, startCommitter } from './committer.ts'
import { openEventsFile } from './events-file.ts'
import { openInputFile } from './input-file.ts'
import type { KafkaSecurity } from './kafka-config.ts'
import { openKafkaSource } from './kafka-source.ts'
import type { Source } from './source.ts'
import { openPin } from './source-pin.ts'
import { openStagingLog, openWarehouse, takeWarehouse, type WarehouseAt } from './warehouse.ts'

export type RunSource =
  | { readonly kind: 'input'; readonly file: string; readonly partitions: number | undefined }
  | { readonly kind: 'events'; readonly file: string }
  | { readonly kind: 'brokers'; readonly brokers: readonly string[]; readonly security: KafkaSecurity }

export interface RunOptions {
  readonly plan: Plan
  readonly warehouse: WarehouseAt
  readonly source: RunSource
  /** Stop when all is read, closing every window. Otherwise the run follows its source until `signal`. */
  readonly untilEnd: boolean
  readonly commitIntervalMs: number
  readonly signal: AbortSignal
  readonly onProgress: (progress: RunProgress) => void
}

export interface RunProgress {
  readonly phase: 'starting' | 'reading' | 'waiting' | 'closing' | 'done'
  /** Staged by this run; records that were in the logs before are not counted. */
  readonly records: number
  readonly deadLetters: number
  /** Dead letters by reason. */
  readonly reasons: Reasons
  readonly late: number
  /** Offsets no record had: gaps. */
  readonly missing: number
  readonly bytesRead: number
  readonly totalBytes: number | undefined
  /** Last checkpoint. */
  readonly checkpoint: number
  /** Data files written by this run. */
  readonly files: number
  readonly fileBytes: number
  readonly watermarkMs: number | null
  readonly startupMs: number
  readonly elapsedMs: number
}

export interface RunSummary extends RunProgress {
  /** Rows in each table, by name. */
  readonly tables: Readonly<Record<string, number>>
}

/** Staged bytes that call for a commit before the interval is over. */
const COMMIT_AT_BYTES = 64 * 1024 * 1024
/** How long a followed source that said "nothing for now" is left alone. */
const FOLLOW_PAUSE_MS = 200

/** The whole pipeline in this process: source → ingest here, commit in a worker thread. */
export async function run(options: RunOptions): Promise<RunSummary> {
  const startedMs = performance.now()
  const taken = await takeWarehouse(options.warehouse)
  try {
    return await runTaken(options, startedMs)
  } finally {
    taken.release()
  }
}

async function runTaken(options: RunOptions, startedMs: number): Promise<RunSummary> {
  const { plan, signal } = options
  const warehouse = await openWarehouse(options.warehouse)
  const stagingLog = await openStagingLog(options.warehouse)
  const progress = progressOf(options, startedMs)
  progress.tell('starting')
  let source: Source | undefined
  let committer: Committer | undefined
  try {
    const incarnation = await nameIncarnation(warehouse.ports.log, warehouse.ports.random, plan.name)
    source = await openSource(options, stagingLog, incarnation)
    const runtimeOn = (ports: Ports) =>
      createRuntime({ plan, ports, staging: warehouse.staging, warehouse: warehouse.tables, incarnation })
    await provision(runtimeOn(warehouse.ports), await source.partitionsBySource())
    const runtime = runtimeOn({ ...warehouse.ports, log: stagingLog, broker: source })
    committer = startCommitter({ plan, warehouse: options.warehouse, incarnation, onReport: progress.committed })
    progress.started()
    await loop(options, runtime, source, committer, progress)
    // Interrupted, what is staged is committed all the same: nothing waits for the next run but open windows.
    if (signal.aborted) await committer.commitAll()
    progress.tell('done')
    return { ...progress.now(), tables: await rowCounts(runtime) }
  } finally {
    await source?.close()
    await committer?.close()
    stagingLog.close()
    warehouse.close()
  }
}

async function loop(
  options: RunOptions,
  runtime: Runtime,
  source: Source,
  committer: Committer,
  progress: Progress,
): Promise<void> {
  const { signal } = options
  let stagedBytes = 0
  let committedAtMs = performance.now()
  let failure: unknown
  const commitIfDue = () => {
    if (failure !== undefined) throw failure
    const due = performance.now() - committedAtMs >= options.commitIntervalMs || stagedBytes >= COMMIT_AT_BYTES
    if (!due || committer.busy) return
    stagedBytes = 0
    committedAtMs = performance.now()
    committer.commit().catch((error) => {
      failure = error
    })
  }
  let upcoming = source.next()
  for (;;) {
    const batch = await upcoming
    if (signal.aborted) return
    if (batch === undefined) {
      if (options.untilEnd) {
        progress.tell('closing')
        if (await advanceToEnd(runtime, () => committer.commitAll())) return
      } else {
        progress.tell('waiting')
        await advanceIdle(runtime, source.idle())
        commitIfDue()
        await runtime.ports.clock.sleep(FOLLOW_PAUSE_MS)
      }
      upcoming = source.next()
      continue
    }
    // The next batch is read while this one waits for the disk.
    upcoming = source.next()
    upcoming.catch(() => {})
    const report = await ingest(runtime, batch)
    stagedBytes += report.bytes
    progress.staged(report, source)
    commitIfDue()
  }
}

async function openSource(options: RunOptions, log: Log, incarnation: string): Promise<Source> {
  const { plan, source, untilEnd } = options
  const common = { plan, pin: await openPin(log, plan.name), bounded: untilEnd }
  switch (source.kind) {
    case 'input':
      return openInputFile({ ...common, file: source.file, partitions: source.partitions })
    case 'events':
      return openEventsFile({ ...common, file: source.file })
    case 'brokers':
      return openKafkaSource({
        ...common,
        brokers: source.brokers,
        security: source.security,
        positions: (topic, partitions) => positions(plan, log, incarnation, topic, partitions),
      })
  }
}

/** Where each partition's staging log ends. */
async function positions(
  plan: Plan,
  log: Log,
  incarnation: string,
  topic: string,
  partitions: readonly number[],
): Promise<ReadonlyMap<number, number>> {
  const result = new Map<number, number>()
  for (const source of Object.values(plan.sources).filter((candidate) => candidate.topic === topic))
    for (const partition of partitions) {
      const { entry } = stagingTail(await log.tail(stagingLogKey(plan.name, source.id, incarnation, topic, partition)))
      if (entry !== undefined && entry.next !== null) result.set(partition, entry.next)
    }
  return result
}

async function rowCounts(runtime: Runtime): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const name of Object.keys(runtime.plan.tables)) {
    const table = await loadTable(runtime.ports.catalog, runtime.ports.objects, tableId(runtime, name))
    const snapshot = table?.metadata.snapshots.find((s) => s['snapshot-id'] === table.metadata['current-snapshot-id'])
    counts[name] = Number(snapshot?.summary['total-records'] ?? 0)
  }
  return counts
}

interface Progress {
  tell(phase: RunProgress['phase']): void
  started(): void
  staged(report: Awaited<ReturnType<typeof ingest>>, source: Source): void
  committed(report: CommitReport): void
  now(): RunProgress
}

function progressOf(options: RunOptions, startedMs: number): Progress {
  let state: RunProgress = {
    phase: 'starting',
    records: 0,
    deadLetters: 0,
    reasons: {},
    late: 0,
    missing: 0,
    bytesRead: 0,
    totalBytes: undefined,
    checkpoint: 0,
    files: 0,
    fileBytes: 0,
    watermarkMs: null,
    startupMs: 0,
    elapsedMs: 0,
  }
  const update = (change: Partial<RunProgress>) => {
    state = { ...state, ...change, elapsedMs: performance.now() - startedMs }
    options.onProgress(state)
  }
  return {
    tell: (phase) => update({ phase }),
    started: () => update({ phase: 'reading', startupMs: performance.now() - startedMs }),
    staged: (report, source) =>
      update({
        phase: 'reading',
        records: state.records + report.records,
        deadLetters: state.deadLetters + report.deadLetters,
        reasons: addReasons(state.reasons, report.reasons),
        late: state.late + report.late,
        missing: state.missing + report.missing,
        ...source.progress(),
      }),
    committed: (report) =>
      update({
        checkpoint: report.n,
        files: state.files + report.files,
        fileBytes: state.fileBytes + report.fileBytes,
        watermarkMs: report.watermark,
      }),
    now: () => state,
  }
}
