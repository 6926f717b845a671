import type { MarkerHealth, TableHealth } from './health.ts'

const MB = 1_000_000
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Files that a compaction would rewrite. A day of commits a minute leaves 1,440 in a partition, until one runs. */
export const SMALL_FILES_WARNING = 100
/** A scan of the table spends more on opening files than on reading them, whatever its engine. */
export const SMALL_FILES_CRITICAL = 10_000
/** Small manifests in the current snapshot: eight read at a time from S3, some 20 ms each, are half a second of planning. */
export const SMALL_MANIFESTS_WARNING = 200
/** Of those, ten seconds of planning. */
export const SMALL_MANIFESTS_CRITICAL = 4_000
/** Every commit writes the metadata file, every query reads it. */
export const METADATA_WARNING_BYTES = 10 * MB
/** Glue takes none beyond 20 MB: commits stop there. */
export const METADATA_CRITICAL_BYTES = 18 * MB
/** How long past its time a snapshot may stay before it seems that nobody expires any. */
export const EXPIRY_GRACE_MS = 2 * DAY_MS
/** How long a checkpoint may wait to be in a table; a commit that is well takes seconds. */
export const CHECKPOINT_WAIT_MS = 15 * MINUTE_MS

export type FindingCode =
  /** Files that a compaction would rewrite. */
  | 'small-files'
  /** Another engine's deletes: a compaction leaves their partitions alone, and `frazil query` refuses the table. */
  | 'delete-files'
  | 'small-manifests'
  | 'metadata-size'
  /** Snapshots long past their time. */
  | 'old-snapshots'
  /** A checkpoint with work for the table is not in it. */
  | 'marker-behind'
  /** The marker does not fit the logs: the next commit refuses the table (protocol rule 15). */
  | 'marker-foreign'

/** `warning`: it wants maintenance. `critical`: writing or reading the table fails, or soon will. */
export type Severity = 'warning' | 'critical'

export interface Finding {
  readonly code: FindingCode
  readonly severity: Severity
  /** What was found, for people: a sentence without a full stop. */
  readonly what: string
  /** Files, bytes, milliseconds or a checkpoint's number, as `code` has it, and what it was measured against. */
  readonly value: number
  readonly threshold: number
  /** The words after `frazil` that mend it; undefined where no command of ours does. */
  readonly run: string | undefined
  /** What to do where a command is not all. */
  readonly hint: string | undefined
}

/** What is wrong with a table, and what to do, the critical first. `table` is `namespace.table`. Pure. */
export function adviceOf(health: TableHealth, table: string): readonly Finding[] {
  const found = [
    ...health.markers.flatMap((marker) => markerFindings(marker, health.atMs)),
    ...metadataSize(health, table),
    ...smallFiles(health, table),
    ...smallManifests(health, table),
    ...oldSnapshots(health, table),
    ...deleteFiles(health),
  ]
  return found.sort((a, b) => Number(b.severity === 'critical') - Number(a.severity === 'critical'))
}

function smallFiles({ compactable, partitions }: TableHealth, table: string): Finding[] {
  const [worst] = partitions
  return above('small-files', compactable.files, SMALL_FILES_WARNING, SMALL_FILES_CRITICAL, () => {
    const more = partitions.filter((partition) => partition.compactable.files > 0).length - 1
    const where = worst.partition === '' ? '' : ` in ${worst.partition}`
    const others = more > 0 ? `, ${whole(compactable.files)} files with ${many(more, 'other partition')}` : ''
    return {
      what: `${whole(worst.compactable.files)} files of ${size(worst.compactable.bytes / worst.compactable.files)}${where}${others}`,
      run: `compact ${table} --apply`,
      hint: undefined,
    }
  })
}

function smallManifests({ manifests: { small } }: TableHealth, table: string): Finding[] {
  return above('small-manifests', small.count, SMALL_MANIFESTS_WARNING, SMALL_MANIFESTS_CRITICAL, () => ({
    what: `${whole(small.count)} manifests of ${size(small.bytes / small.count)}, which every query reads`,
    run: `compact ${table} --apply`,
    hint: undefined,
  }))
}

function metadataSize({ metadataBytes, snapshots }: TableHealth, table: string): Finding[] {
  return above('metadata-size', metadataBytes, METADATA_WARNING_BYTES, METADATA_CRITICAL_BYTES, () => ({
    what: `a metadata file of ${size(metadataBytes)} with ${many(snapshots.count, 'snapshot')}; Glue takes none beyond 20 MB`,
    run: `expire ${table} --apply`,
    hint: undefined,
  }))
}

function oldSnapshots({ snapshots, keepSnapshotsMs, atMs }: TableHealth, table: string): Finding[] {
  if (keepSnapshotsMs === undefined || snapshots.oldestDueMs === null) return []
  const ageMs = atMs - snapshots.oldestDueMs
  return above('old-snapshots', ageMs, keepSnapshotsMs + EXPIRY_GRACE_MS, Number.POSITIVE_INFINITY, () => ({
    what: `${many(snapshots.due, 'snapshot')} older than ${age(keepSnapshotsMs)}, the oldest ${age(ageMs)}`,
    run: `expire ${table} --apply`,
    hint: undefined,
  }))
}

function deleteFiles({ deletes, partitions }: TableHealth): Finding[] {
  const touched = partitions.filter((partition) => partition.deletes.files > 0).length
  return above('delete-files', deletes.files, 1, Number.POSITIVE_INFINITY, () => ({
    what: `${many(deletes.files, 'delete file')} of another engine, in ${many(touched, 'partition')}`,
    run: undefined,
    hint: 'Rewrite the table with the engine that wrote them: until then its partitions are not compacted, and frazil query refuses it',
  }))
}

function markerFindings({ pipeline, incarnation, n, last }: MarkerHealth, atMs: number): Finding[] {
  if (last === undefined) return []
  const foreign = (what: string): Finding => ({
    code: 'marker-foreign',
    severity: 'critical',
    what,
    value: n,
    threshold: last.n,
    run: undefined,
    hint: 'Put logs and tables of one time together: a commit refuses them as they are',
  })
  if (incarnation !== last.incarnation)
    return [foreign(`a marker of incarnation ${incarnation}, while the logs of ${pipeline} are of ${last.incarnation}`)]
  if (n > last.n) return [foreign(`marker ${n}, ahead of ${last.n}, the last checkpoint of ${pipeline}`)]
  const waitsMs = last.need !== undefined && last.atMs !== undefined && n < last.need ? atMs - last.atMs : 0
  return above('marker-behind', waitsMs, CHECKPOINT_WAIT_MS, Number.POSITIVE_INFINITY, () => ({
    what: `checkpoint ${last.need} of ${pipeline} has waited ${whole(waitsMs / MINUTE_MS)} minutes to be in the table, which has ${n}`,
    run: undefined,
    hint: 'Look at the commit function, or run the pipeline again: it goes on from there',
  }))
}

function above(
  code: FindingCode,
  value: number,
  warning: number,
  critical: number,
  say: () => Pick<Finding, 'what' | 'run' | 'hint'>,
): Finding[] {
  if (value < warning) return []
  const severity = value >= critical ? 'critical' : 'warning'
  return [{ code, severity, value, threshold: severity === 'critical' ? critical : warning, ...say() }]
}

const number = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
const whole = (n: number): string => number.format(n)
const many = (n: number, one: string): string => `${whole(n)} ${one}${n === 1 ? '' : 's'}`

/** Of 1,000 bytes each, as all our sizes are shown. */
function size(bytes: number): string {
  if (bytes < 1000) return `${whole(bytes)} bytes`
  return bytes < MB ? `${whole(bytes / 1000)} kB` : `${whole(bytes / MB)} MB`
}

const AGES = [
  ['day', DAY_MS],
  ['hour', HOUR_MS],
  ['minute', MINUTE_MS],
] as const

/** In the largest unit that there are two of: 2 days, 47 hours. */
function age(ms: number): string {
  const [unit, unitMs] = AGES.find(([, each]) => ms >= 2 * each) ?? ['second', 1000]
  return many(Math.floor(ms / unitMs), unit)
}
