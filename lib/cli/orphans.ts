import { readLists } from '../maintenance/lists.ts'
import { type LogsOf, type OrphanFile, type OrphanReport, sweepOrphans } from '../maintenance/orphans.ts'
import type { OrphanPolicy } from '../pipeline/maintenance.ts'
import { logsAt } from '../runtime/maintain.ts'
import { parseAge, shownAge, shownWarehouse, warehouseOf } from './arguments.ts'
import { counted, shownBytes, shownCount, shownMillis } from './format.ts'
import { type MaintenanceFlags, NOTHING_WRITTEN, shownName, withMaintained } from './maintained-table.ts'
import { EXIT, type Output, tableWidth } from './output.ts'
import { type Cell, renderTable, styled } from './table.ts'
import type { OpenTable } from './table-argument.ts'

export interface OrphansFlags extends MaintenanceFlags {
  readonly olderThan: string
  readonly quarantine: string
}

interface Sweep {
  readonly table: string
  readonly location: string
  readonly listed: number
  readonly needed: number
  readonly own: number
  readonly young: number
  readonly quarantined: readonly OrphanFile[]
  readonly deleted: readonly OrphanFile[]
  readonly waiting: number
  /** When the first of those that wait may go, milliseconds. */
  readonly waitsUntilMs: number | undefined
  readonly left: number
  readonly undecided: number
}

const HOUR_MS = 3_600_000
/** Younger files may belong to a commit under way, and no age below this is asked for. */
const LEAST_AGE_MS = HOUR_MS
/** Other engines write files for hours before they commit. */
const SAFE_AGE_MS = 24 * HOUR_MS
/** `--json` has all. */
const MAX_SHOWN = 20

/** `frazil orphans`: files below a table's location that nothing names; with `--apply` they are quarantined, then deleted. */
export async function orphansCommand(name: string, flags: OrphansFlags, output: Output): Promise<number> {
  const at = warehouseOf(flags)
  const policy = {
    olderThanMs: parseAge('--older-than', flags.olderThan, LEAST_AGE_MS),
    quarantineMs: parseAge('--quarantine', flags.quarantine, 0),
  }
  if (policy.olderThanMs < SAFE_AGE_MS)
    output.note(
      `warning: files younger than ${shownAge(SAFE_AGE_MS)} may belong to a commit of another engine that is under way. Go on only where none is.`,
    )
  const logsAtHand = at.kind === 'directory' || (flags.logTable ?? process.env.FRAZIL_LOG_TABLE) !== undefined
  const sweep = await withMaintained(at, name, flags.apply, (open) => swept(open, policy, flags.apply, logsAtHand))
  if (output.json)
    await output.data(`${JSON.stringify({ warehouse: shownWarehouse(at), applied: flags.apply, ...sweepJson(sweep) })}\n`)
  else {
    await output.data(sweepText(sweep, flags.apply))
    for (const note of notesOf(sweep, flags, logsAtHand)) output.note(note)
  }
  return EXIT.fine
}

async function swept(open: OpenTable, policy: OrphanPolicy, apply: boolean, logsAtHand: boolean): Promise<Sweep> {
  const { table, warehouse } = open
  const { ports, staging } = warehouse
  const logsOf: LogsOf = logsAtHand ? logsAt(ports, staging) : async () => undefined
  const nowMs = ports.clock.now()
  const report = await sweepOrphans(ports, table.id, { ...policy, nowMs, apply, logsOf, others: await ports.catalog.list() })
  const lists = await readLists(ports.objects, table.metadata, 'quarantine')
  const until = lists.map(({ atMs }) => atMs + policy.quarantineMs).filter((atMs) => atMs > nowMs)
  const { listed, needed, own, young, waiting, left, undecided } = report
  return {
    table: shownName(open),
    location: table.metadata.location,
    listed,
    needed,
    own,
    young,
    ...fatesOf(report, policy, apply),
    waiting,
    waitsUntilMs: until.length === 0 ? undefined : Math.min(...until),
    left,
    undecided,
  }
}

/** Without a quarantine what is found goes at once; a sweep that writes nothing does not say so of itself. */
function fatesOf({ found, deleted }: OrphanReport, { quarantineMs }: OrphanPolicy, apply: boolean) {
  if (quarantineMs > 0) return { quarantined: found, deleted }
  return { quarantined: [], deleted: apply ? deleted : [...deleted, ...found] }
}

function sweepJson({ location, waitsUntilMs, quarantined, deleted, ...counts }: Sweep) {
  const files = (orphans: readonly OrphanFile[]) =>
    orphans.map(({ location: path, sizeBytes, modifiedMs }) => ({
      path,
      bytes: sizeBytes,
      modified: shownMillis(modifiedMs),
    }))
  return {
    location,
    ...counts,
    waitsUntil: waitsUntilMs === undefined ? null : shownMillis(waitsUntilMs),
    quarantined: files(quarantined),
    deleted: files(deleted),
  }
}

function sweepText({ location, quarantined, deleted }: Sweep, apply: boolean): string {
  const fates: readonly (readonly [string, readonly OrphanFile[]])[] = [
    [apply ? 'quarantined' : 'would be quarantined', quarantined],
    [apply ? 'deleted' : 'would be deleted', deleted],
  ]
  const columns = [
    { name: 'orphans', right: false, whole: true },
    { name: 'files', right: true },
    { name: 'size', right: true },
    { name: 'oldest', right: false },
  ]
  const rows = fates.map(([fate, files]) => [fate, shownCount(files.length), shownBytes(bytesOf(files)), oldestOf(files)])
  const shown = fates.flatMap(([fate, files]) => files.map((file) => rowOf(location, file, fate)))
  const all = styled(renderTable(columns, rows, tableWidth()), process.stdout)
  if (shown.length === 0) return all
  const paths = [
    { name: 'file', right: false, whole: true },
    { name: 'size', right: true },
    { name: 'modified', right: false },
    { name: '', right: false },
  ]
  return `${all}\n${styled(renderTable(paths, shown.slice(0, MAX_SHOWN), tableWidth()), process.stdout)}`
}

const bytesOf = (files: readonly OrphanFile[]): number => files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)

function oldestOf(files: readonly OrphanFile[]): string {
  const oldestMs = files.reduce((least, { modifiedMs }) => Math.min(least, modifiedMs), Number.POSITIVE_INFINITY)
  return Number.isFinite(oldestMs) ? shownMillis(oldestMs) : '-'
}

/** Paths below the table's location are shown from there. */
function rowOf(location: string, { location: path, sizeBytes, modifiedMs }: OrphanFile, fate: string): Cell[] {
  return [
    path.startsWith(`${location}/`) ? path.slice(location.length + 1) : path,
    shownBytes(sizeBytes),
    shownMillis(modifiedMs),
    fate,
  ]
}

function notesOf(sweep: Sweep, { apply, olderThan }: OrphansFlags, logsAtHand: boolean): readonly string[] {
  const { listed, needed, own, young, quarantined, deleted, waiting, waitsUntilMs, left, undecided } = sweep
  const more = quarantined.length + deleted.length - MAX_SHOWN
  const until = waitsUntilMs === undefined ? '' : `; the first may go at ${shownMillis(waitsUntilMs)}`
  const logs = logsAtHand ? 'the logs do not tell' : 'only the logs tell, named by --log-table,'
  const ours = own === 0 ? '' : ` Not counted: ${shownCount(own)} of frazil's own lists and hidden files.`
  const nothing = quarantined.length + deleted.length === 0
  return [
    ...(more > 0 ? [`And ${counted(more, 'file')} more: --json has all.`] : []),
    `Of ${counted(listed - own, 'file')} the table needs ${shownCount(needed)}.${ours}`,
    ...(young > 0 ? [`Left alone: ${counted(young, 'file')} younger than ${olderThan}.`] : []),
    ...(waiting > 0 ? [`In quarantine: ${counted(waiting, 'file')}${until}.`] : []),
    ...(undecided > 0 ? [`Left: ${counted(undecided, 'data file')} of which ${logs} whether a commit still needs them.`] : []),
    ...(left > 0 ? [`${counted(left, 'file')} could not be deleted just now: run it again.`] : []),
    ...(apply || nothing ? [] : [NOTHING_WRITTEN]),
  ]
}
