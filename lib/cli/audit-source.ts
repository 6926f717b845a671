import { partitionLabel } from '../protocol/names.ts'
import {
  type Asked,
  askedOf,
  type Coverage,
  coverageOf,
  offsetsOf,
  type PartitionCount,
  type Verdict,
} from '../runtime/audit-coverage.ts'
import { type Finding, type OffsetRun, runsText, SHOWN_RUNS } from '../runtime/audit-findings.ts'
import type { PartitionLog } from '../runtime/audit-logs.ts'
import { type Explained, explainedBy } from '../runtime/audit-retention.ts'
import type { AuditSql, Ends, Limits, Member, Range } from './audit-sql.ts'
import { counted, shownCount } from './format.ts'

/** A table at hand for questions, with what its own marker says. */
export interface AuditedTable {
  /** As the plan names it. */
  readonly plan: string
  /** `namespace.table` */
  readonly name: string
  readonly view: string
  /** Next offset of each partition by label, null before its first; undefined when nothing tells. */
  readonly next: ReadonlyMap<string, number | null> | undefined
  readonly droppedRows: number
  /** It holds more than the checkpoint that was read. */
  readonly ahead: boolean
  /** Rows that its snapshot, and files still to be applied, count; undefined when they do not, or files are gone. */
  readonly countedRows: number | undefined
}

/** A partition in the report. */
export interface PartitionReport {
  readonly partition: string
  /** Offsets [first, next) are asked for; null: none yet. */
  readonly first: number | null
  readonly next: number | null
  readonly rows: number
  readonly deadLetters: number
  readonly missing: number
  /** Recorded gaps; null: nothing tells. */
  readonly gaps: number | null
  readonly verdict: Verdict
}

export interface SourceAudit {
  readonly partitions: readonly PartitionReport[]
  readonly findings: readonly Finding[]
  /** What cannot be told, and what retention explains. */
  readonly notes: readonly string[]
}

interface Judged {
  readonly log: PartitionLog | undefined
  readonly count: PartitionCount
  readonly asked: Asked | undefined
  readonly coverage: Coverage | undefined
}

/**
 * Proves that a table which takes all records of a topic holds, with the topic's dead letters, each offset once. Counts come
 * first; only where they disagree are the offsets looked for.
 *
 * @param sharesDead the dead letters are those of other sources, too
 */
export async function auditCoverage(
  sql: AuditSql,
  topic: string,
  logs: readonly PartitionLog[],
  rows: AuditedTable,
  dead: AuditedTable,
  sharesDead: boolean,
): Promise<SourceAudit> {
  const members = [memberOf(rows), memberOf(dead, topic)]
  const ends = await sql.ends(members)
  const numbers = new Set([
    ...logs.map(({ partition }) => partition),
    ...ends.map(({ partition }) => partition),
    ...partitionsOf(rows, topic),
  ])
  const label = (partition: number) => partitionLabel(topic, partition)
  const asked = [...numbers]
    .sort((a, b) => a - b)
    .map((partition) => {
      const log = logs.find((one) => one.partition === partition)
      const count = countOf(ends, partition, rows.name)
      const known = log !== undefined || logs.length === 0
      return {
        partition,
        log,
        count,
        asked: known ? askedOf(partition, log, count, rows.next?.get(label(partition)) ?? null) : undefined,
      }
    })
  const found = await sql.distinct(
    members,
    asked.flatMap((one) => one.asked ?? []),
  )
  const judged = new Map<number, Judged>()
  for (const { partition, ...one } of asked) {
    const offsets = found.find((each) => each.partition === partition) ?? { offsets: 0, headOffsets: 0 }
    judged.set(partition, { ...one, coverage: one.asked && coverageOf(rows.plan, one.log, one.asked, offsets) })
  }

  // As many offsets as rows: none is there twice, and nobody need look for it.
  const isOnce = ends.reduce((sum, one) => sum + one.rows, 0) === found.reduce((sum, { offsets }) => sum + offsets, 0)
  const droppedRows = rows.droppedRows + dead.droppedRows
  const coverages = [...judged.values()].flatMap(({ coverage }) => coverage ?? [])
  const isComplete =
    !rows.ahead &&
    !dead.ahead &&
    [...judged.values()].every(({ coverage, log }) => coverage === undefined || (coverage.gaps !== null && log?.first != null))
  const dropped = { least: droppedRows - (sharesDead ? dead.droppedRows : 0), most: droppedRows }
  const explained = explainedBy(coverages, dropped, isComplete)
  const notes = [
    ...notesOf(judged, rows, label, droppedRows > 0 && explained.verdict !== 'lost'),
    ...retentionNotes(rows, droppedRows, explained),
  ]
  const findings = [
    ...(await missingOffsets(sql, members, judged, rows, dead, explained, droppedRows, label)),
    ...cameBack(rows, droppedRows, explained),
    ...(isOnce ? [] : await overlaps(sql, members, label)),
    ...(await outsideLogs(sql, members, topic, logs, [rows, dead])),
  ]
  const inFindings = new Set(findings.map(({ partition }) => partition))
  const partitions = [...judged].map(([partition, { count, asked: range, coverage }]): PartitionReport => {
    const verdict = coverage === undefined ? 'proved' : verdictOf(coverage, explained)
    return {
      partition: label(partition),
      first: range?.from ?? null,
      next: range?.next ?? null,
      rows: count.rows,
      deadLetters: count.deadLetters,
      missing: coverage?.missing ?? 0,
      gaps: coverage === undefined ? 0 : coverage.gaps,
      verdict: inFindings.has(label(partition)) ? 'finding' : verdict,
    }
  })
  return { partitions, findings, notes }
}

/** Of tables that need not hold every offset: each at most once, and none beyond the logs. */
export async function auditUnique(
  sql: AuditSql,
  topic: string,
  logs: readonly PartitionLog[],
  table: AuditedTable,
  shared: boolean,
): Promise<readonly Finding[]> {
  const members = [memberOf(table, shared ? topic : undefined)]
  const label = (partition: number) => partitionLabel(topic, partition)
  return [...(await overlaps(sql, members, label)), ...(await outsideLogs(sql, members, topic, logs, [table]))]
}

export const memberOf = ({ view, name }: AuditedTable, topic?: string): Member => ({
  view,
  table: name,
  ...(topic !== undefined && { topic }),
})

function partitionsOf({ next }: AuditedTable, topic: string): number[] {
  return [...(next?.keys() ?? [])].flatMap((label) => {
    const partition = Number(label.slice(label.lastIndexOf('-') + 1))
    return label === partitionLabel(topic, partition) ? [partition] : []
  })
}

function countOf(ends: readonly Ends[], partition: number, rowsTable: string): PartitionCount {
  const mine = ends.filter((one) => one.partition === partition)
  const rows = mine.find(({ table }) => table === rowsTable)
  return {
    rows: rows?.rows ?? 0,
    deadLetters: mine.reduce((sum, one) => sum + (one === rows ? 0 : one.rows), 0),
    leastRow: rows?.least ?? null,
    least: mine.length === 0 ? null : Math.min(...mine.map(({ least }) => least)),
    greatest: mine.length === 0 ? null : Math.max(...mine.map(({ greatest }) => greatest)),
  }
}

function notesOf(
  judged: ReadonlyMap<number, Judged>,
  rows: AuditedTable,
  label: (partition: number) => string,
  isExplained: boolean,
): string[] {
  const notes: string[] = []
  for (const [partition, { coverage, asked, log }] of judged) {
    if (coverage === undefined || asked === undefined) continue
    if ((log?.first ?? null) === null)
      notes.push(
        `${rows.name}, ${label(partition)}: whether there were offsets below its first, ${asked.from}, cannot be told: neither log nor checkpoint has its beginning.`,
      )
    if (coverage.gaps === null && coverage.missing > 0)
      notes.push(
        `${rows.name}, ${label(partition)}: ${counted(coverage.missing, 'offset')} missing. Whether they are gaps of the topic cannot be told: neither log nor checkpoint counts them.`,
      )
    // With dropped rows it is the sum of all partitions that tells.
    if (coverage.before > 0 && !isExplained)
      notes.push(
        `${rows.name}, ${label(partition)}: ${counted(coverage.before, 'offset')} missing below its first row, ${asked.head}. Whether the table was there then cannot be told: the log was trimmed.`,
      )
  }
  return notes
}

function verdictOf(coverage: Coverage, { verdict }: Explained): Verdict {
  if (coverage.before === 0 && coverage.excess <= 0) return coverage.verdict
  if (verdict === 'dropped') return 'proved'
  return verdict === 'lost' ? coverage.verdict : 'unproved'
}

function retentionNotes({ name }: AuditedTable, droppedRows: number, { missing, verdict }: Explained): readonly string[] {
  const told = `${name}: ${counted(missing, 'offset')} missing, retention dropped ${counted(droppedRows, 'row')}`
  if (droppedRows === 0) return []
  if (verdict === 'dropped') return [`${told}.`]
  if (verdict !== 'unclear' || missing === 0) return []
  const why =
    missing > droppedRows
      ? `Whether the other ${shownCount(missing - droppedRows)} are from before the table was made cannot be told: the log was trimmed.`
      : 'Whether they are the same cannot be told: nothing tells of all partitions as far as the tables go.'
  return [`${told}. ${why}`]
}

/** Dropped rows that are there all the same. */
function cameBack({ name }: AuditedTable, droppedRows: number, { missing, verdict }: Explained): readonly Finding[] {
  if (verdict !== 'back') return []
  const message = `${name}: ${counted(missing, 'offset')} missing, retention dropped ${counted(droppedRows, 'row')}: some came back, or were there more than once.`
  return [{ kind: 'surplus', table: name, partition: null, message }]
}

async function missingOffsets(
  sql: AuditSql,
  members: readonly Member[],
  judged: ReadonlyMap<number, Judged>,
  rows: AuditedTable,
  dead: AuditedTable,
  explained: Explained,
  droppedRows: number,
  label: (partition: number) => string,
): Promise<readonly Finding[]> {
  // Equal counts may hide a loss behind a gap that was filled: entry by entry they cannot.
  const suspects = [...judged].filter(([, { coverage, log }]) => {
    if (coverage === undefined || coverage.gaps === null) return false
    if (coverage.excess > 0 && explained.verdict !== 'lost') return false
    return coverage.excess !== 0 || (coverage.missing > 0 && (log?.entries.length ?? 0) > 0 && coverage.before === 0)
  })
  if (suspects.length === 0) return []
  const expected = suspects.flatMap(([partition, { log }]) =>
    (log?.entries ?? []).map((entry) => ({
      partition,
      from: entry.from,
      next: entry.next,
      offsets: offsetsOf(entry, rows.plan),
    })),
  )
  const wrong = expected.length === 0 ? [] : await sql.deficient(members, expected)
  const short = wrong.filter((range) => range.found < range.expected)
  const ranges = suspects.flatMap(([partition, { asked, coverage }]): readonly Range[] => {
    const located = short.filter((range) => range.partition === partition)
    if (located.length > 0 || asked === undefined || (coverage?.excess ?? 0) <= 0) return located
    return [asked]
  })
  const holes = ranges.length === 0 ? [] : await sql.missing(members, ranges)

  const findings: Finding[] = []
  for (const [partition, { asked, coverage }] of suspects) {
    if (asked === undefined || coverage === undefined) continue
    const found = holes.find((one) => one.partition === partition)
    const lost = short.filter((range) => range.partition === partition).reduce((sum, one) => sum + one.expected - one.found, 0)
    const count = Math.max(coverage.excess, lost)
    const at = { table: rows.name, partition: label(partition) }
    if (count > 0 && found !== undefined) {
      const among = coverage.missing > count ? ` (recorded gaps among them)` : ''
      const dropped =
        droppedRows > 0
          ? ` In all partitions ${shownCount(explained.missing)} are missing, retention dropped ${counted(droppedRows, 'row')}.`
          : ''
      findings.push({
        kind: 'missing',
        ...at,
        message: `${at.partition}: ${counted(count, 'offset')} of [${asked.from}, ${asked.next}) ${count === 1 ? 'is' : 'are'} neither in ${rows.name} nor in ${dead.name} and no recorded ${count === 1 ? 'gap' : 'gaps'}: ${runsText(found.runs, found.more)}${among}.${dropped}`,
        offsets: found.runs,
        moreRuns: found.more,
      })
    }
    const over = wrong.filter((range) => range.partition === partition && range.found > range.expected)
    if (over.length > 0 || coverage.excess < 0) {
      const runs = over.slice(0, SHOWN_RUNS).map(({ from, next }): OffsetRun => [from, next])
      const more = over.reduce((sum, range) => sum + range.found - range.expected, 0)
      const many = Math.max(more, -coverage.excess)
      findings.push({
        kind: 'surplus',
        ...at,
        message: `${at.partition}: ${counted(many, 'offset')} more than ${many === 1 ? 'was' : 'were'} staged${runs.length === 0 ? '' : `, within ${runsText(runs, over.length - runs.length)}`}: recorded gaps that have rows.`,
        offsets: runs,
        moreRuns: over.length - runs.length,
      })
    }
  }
  return findings
}

async function overlaps(sql: AuditSql, members: readonly Member[], label: (partition: number) => string) {
  const doubled = await sql.doubled(members)
  return [...Map.groupBy(doubled, ({ partition }) => partition)].map(([partition, runs]): Finding => {
    const tables = [...new Set(runs.flatMap((one) => one.tables))]
    const files = [...new Set(runs.flatMap((one) => one.files))]
    const [{ offsets, runs: all }] = runs
    const where = tables.length === 1 ? `more than once in ${tables[0]}` : `more than once in ${tables.join(' and ')} together`
    const shown = runs.map(({ run }) => run)
    return {
      kind: 'overlap',
      table: tables[0],
      partition: label(partition),
      message: `${label(partition)}: ${counted(offsets, 'offset')} ${offsets === 1 ? 'is' : 'are'} ${where}: ${runsText(shown, all - shown.length)}. In ${files.join(', ')}.`,
      offsets: shown,
      moreRuns: all - shown.length,
      files,
    }
  })
}

async function outsideLogs(
  sql: AuditSql,
  members: readonly Member[],
  topic: string,
  logs: readonly PartitionLog[],
  tables: readonly AuditedTable[],
): Promise<readonly Finding[]> {
  const limits: Limits[] = tables.flatMap((table) => {
    const known = new Set([...logs.map(({ partition }) => partition), ...partitionsOf(table, topic)])
    return [...known].map((partition) => {
      const log = logs.find((one) => one.partition === partition)
      const first = log?.first ?? null
      const next = table.next === undefined ? log?.next : table.next.get(partitionLabel(topic, partition))
      return { table: table.name, partition, first, next: next ?? 0 }
    })
  })
  if (limits.length === 0) return []
  return (await sql.outside(members, limits)).map(({ partition, table, rows, least, greatest, files }): Finding => {
    const limit = limits.find((one) => one.table === table && one.partition === partition)
    const label = partitionLabel(topic, partition)
    const expected =
      limit === undefined
        ? 'a partition that no log knows'
        : `outside [${limit.first ?? 0}, ${limit.next ?? 0}), where its marker stands`
    return {
      kind: 'beyond',
      table,
      partition: label,
      message: `${label}: ${counted(rows, 'row')} of ${table} with offsets from ${least} to ${greatest}, ${expected}. In ${files.join(', ')}.`,
      offsets: [[least, greatest + 1]],
      files,
    }
  })
}
