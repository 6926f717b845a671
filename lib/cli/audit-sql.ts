import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Fields } from '../columns/schema.ts'
import { corrupt, messageOf, unavailable } from '../errors.ts'
import { type OffsetRun, SHOWN_RUNS } from '../runtime/audit-findings.ts'
import { connect } from './query.ts'
import type { ReadWarehouse } from './read-warehouse.ts'
import { quoted, SQL_TYPES, text } from './views.ts'

/** What DuckDB may hold in memory; beyond it sorts and groups go to a temporary directory. */
const MEMORY_LIMIT = '1GB'
/** Rows of an INSERT. */
const INSERT_ROWS = 1000
/** Data files that a finding names. */
const SHOWN_FILES = 5

/** Some of a source's records in a table: those of `topic`, or all. */
export interface Member {
  /** Made by `addTable`. */
  readonly view: string
  /** How findings name it. */
  readonly table: string
  readonly topic?: string
}

export interface Ends {
  readonly partition: number
  readonly table: string
  readonly rows: number
  readonly least: number
  readonly greatest: number
}

/** A run of offsets that have more than one row. */
export interface Doubled {
  readonly partition: number
  readonly run: OffsetRun
  readonly tables: readonly string[]
  readonly files: readonly string[]
  /** Of the partition, in all; only the first `SHOWN_RUNS` are returned. */
  readonly runs: number
  /** Offsets of the partition that have more than one row. */
  readonly offsets: number
}

export interface Range {
  readonly partition: number
  readonly from: number
  readonly next: number
}

export interface Runs {
  readonly partition: number
  readonly runs: readonly OffsetRun[]
  readonly more: number
}

export interface Outside {
  readonly partition: number
  readonly table: string
  readonly rows: number
  readonly least: number
  readonly greatest: number
  readonly files: readonly string[]
}

/** What one member may hold of one partition. */
export interface Limits {
  readonly table: string
  readonly partition: number
  /** Null: not known. */
  readonly first: number | null
  readonly next: number | null
}

export type AuditSql = Awaited<ReturnType<typeof openAuditSql>>

/** Questions that an audit asks of tables. Everything is counted in DuckDB; answers are short. */
export async function openAuditSql({ localFiles }: Pick<ReadWarehouse, 'localFiles'>) {
  const connection = await connect()
  const temporary = await mkdtemp(join(tmpdir(), 'frazil-audit-'))
  await connection.run(`SET memory_limit = '${MEMORY_LIMIT}'`)
  await connection.run(`SET temp_directory = ${text(temporary)}`)
  const locations = new Map<string, string>()
  let views = 0

  const ask = async <T>(sql: string): Promise<T[]> => {
    const rows = (await connection.runAndReadAll(sql).catch(asOurs)).getRowObjectsJS()
    return rows.map((row) => plain(row) as T)
  }
  const filesOf = (files: readonly string[]) => files.map((file) => locations.get(file) ?? file)
  const isPart = (one: Member) =>
    `SELECT kafka_partition AS p, kafka_offset AS o, ${text(one.table)} AS origin, filename AS file FROM ${one.view}${one.topic === undefined ? '' : ` WHERE kafka_topic = ${text(one.topic)}`}`
  const landed = (members: readonly Member[]) => `(${members.map(isPart).join(' UNION ALL ')})`

  /** A table of whole numbers, for one question. */
  const numbers = async (name: string, columns: readonly string[], rows: readonly (readonly (number | null)[])[]) => {
    await connection.run(
      `CREATE OR REPLACE TEMP TABLE ${name} (${columns.map((column) => `${quoted(column)} BIGINT`).join(', ')})`,
    )
    for (let at = 0; at < rows.length; at += INSERT_ROWS) {
      const values = rows.slice(at, at + INSERT_ROWS).map((row) => `(${row.map((value) => value ?? 'NULL').join(', ')})`)
      await connection.run(`INSERT INTO ${name} VALUES ${values.join(', ')}`)
    }
  }

  return {
    /** A view over data files, with the columns of `fields` and `filename`. Returns its name. */
    async addTable(fields: Fields, files: readonly string[]): Promise<string> {
      const view = `audited_${views++}`
      if (files.length === 0) {
        const columns = fields.map(({ name, type }) => `CAST(NULL AS ${SQL_TYPES[type]}) AS ${quoted(name)}`)
        await connection.run(`CREATE VIEW ${view} AS SELECT ${columns.join(', ')}, '' AS filename WHERE false`)
        return view
      }
      const paths = await localFiles(files)
      for (const [i, path] of paths.entries()) locations.set(path, files[i])
      // By field id, as the Iceberg spec wants it: what a file lacks is NULL.
      const columns = fields.map(
        ({ id, name, type }) => `${id}: {name: ${text(name)}, type: '${SQL_TYPES[type]}', default_value: NULL}`,
      )
      await connection.run(
        `CREATE VIEW ${view} AS SELECT * FROM read_parquet([${paths.map(text).join(', ')}], schema = MAP {${columns.join(', ')}}, hive_partitioning = false, filename = true)`,
      )
      return view
    },

    async rows(view: string): Promise<number> {
      const [{ n }] = await ask<{ n: number }>(`SELECT count(*) AS n FROM ${view}`)
      return n
    },

    /** By partition and table. */
    ends: (members: readonly Member[]): Promise<readonly Ends[]> =>
      ask<Ends>(
        `SELECT p AS partition, origin AS "table", count(*) AS "rows", min(o) AS least, max(o) AS greatest FROM ${landed(members)} GROUP BY ALL ORDER BY ALL`,
      ),

    /** Distinct offsets of each range, and those of them below `head`. Partitions without any are left out. */
    async distinct(members: readonly Member[], ranges: readonly (Range & { readonly head: number })[]) {
      await numbers(
        'bounds',
        ['p', 'a', 'b', 'head'],
        ranges.map((range) => [range.partition, range.from, range.next, range.head]),
      )
      return ask<{ readonly partition: number; readonly offsets: number; readonly headOffsets: number }>(
        `SELECT p AS partition, count(*) AS offsets, count(*) FILTER (o < head) AS headOffsets
         FROM (SELECT DISTINCT p, o, head FROM ${landed(members)} JOIN bounds USING (p) WHERE o >= a AND o < b) GROUP BY p`,
      )
    },

    /** Offsets with more than one row, in runs of the same files. */
    async doubled(members: readonly Member[], extraKey = ''): Promise<readonly Doubled[]> {
      const source =
        extraKey === ''
          ? landed(members)
          : `(SELECT kafka_partition AS p, kafka_offset AS o, ${quoted(extraKey)} AS extra, ${text(members[0].table)} AS origin, filename AS file FROM ${members[0].view})`
      const keys = extraKey === '' ? 'p, o' : 'p, o, extra'
      const found = await ask<{
        partition: number
        least: number
        next: number
        tables: string[]
        files: string[]
        runs: number
        offsets: number
      }>(
        `WITH twice AS MATERIALIZED (
           SELECT p, o, list_sort(list(DISTINCT origin)) AS tables, list_sort(list(DISTINCT file)) AS files
           FROM (SELECT * FROM ${source} SEMI JOIN (SELECT ${keys} FROM ${source} GROUP BY ${keys} HAVING count(*) > 1) AS many USING (${keys.replaceAll(' ', '')}))
           GROUP BY p, o),
         islands AS (
           SELECT p, o, tables, files, o - row_number() OVER (PARTITION BY p, tables, files ORDER BY o) AS island FROM twice),
         found AS (SELECT p, min(o) AS least, max(o) + 1 AS next, tables, files, count(*) AS n FROM islands GROUP BY p, tables, files, island)
         SELECT p AS partition, least, next, tables, files[1:${SHOWN_FILES}] AS files,
           count(*) OVER (PARTITION BY p) AS runs, CAST(sum(n) OVER (PARTITION BY p) AS BIGINT) AS offsets
         FROM found QUALIFY row_number() OVER (PARTITION BY p ORDER BY least) <= ${SHOWN_RUNS} ORDER BY p, least`,
      )
      return found.map(({ least, next, files, ...rest }) => ({ ...rest, run: [least, next], files: filesOf(files) }))
    },

    /** Those ranges, each with the number of offsets it must have, that have another number. */
    async deficient(
      members: readonly Member[],
      ranges: readonly (Range & { readonly offsets: number })[],
    ): Promise<readonly (Range & { readonly expected: number; readonly found: number })[]> {
      await numbers(
        'entries',
        ['p', 'a', 'b', 'expected'],
        ranges.map((range) => [range.partition, range.from, range.next, range.offsets]),
      )
      return ask(
        `WITH counted AS (
           SELECT l.p, e.a, count(*) AS n FROM (SELECT DISTINCT p, o FROM ${landed(members)}) AS l
           ASOF JOIN entries AS e ON l.p = e.p AND l.o >= e.a WHERE l.o < e.b GROUP BY ALL)
         SELECT e.p AS partition, e.a AS "from", e.b AS next, e.expected, coalesce(n, 0) AS "found"
         FROM entries AS e LEFT JOIN counted AS c ON c.p = e.p AND c.a = e.a WHERE coalesce(n, 0) <> e.expected ORDER BY ALL`,
      )
    },

    /** The offsets of `ranges` that have no row, in runs. */
    async missing(members: readonly Member[], ranges: readonly Range[]): Promise<readonly Runs[]> {
      await numbers(
        'ranges',
        ['p', 'a', 'b'],
        ranges.map((range) => [range.partition, range.from, range.next]),
      )
      const found = await ask<{ p: number; least: number; next: number; runs: number }>(
        `WITH points AS (
           SELECT r.p, r.a, r.b, l.o FROM ranges AS r JOIN (SELECT DISTINCT p, o FROM ${landed(members)}) AS l ON l.p = r.p AND l.o >= r.a AND l.o < r.b
           UNION ALL SELECT p, a, b, a - 1 FROM ranges),
         holes AS (SELECT p, o + 1 AS least, lead(o, 1, b) OVER (PARTITION BY p, a ORDER BY o) AS next FROM points)
         SELECT p, least, next, count(*) OVER (PARTITION BY p) AS runs FROM holes WHERE next > least
         QUALIFY row_number() OVER (PARTITION BY p ORDER BY least) <= ${SHOWN_RUNS} ORDER BY p, least`,
      )
      return [...Map.groupBy(found, ({ p }) => p)].map(([partition, rows]) => ({
        partition,
        runs: rows.map(({ least, next }) => [least, next] as const),
        more: rows[0].runs - rows.length,
      }))
    },

    /** Rows below `first` or from `next` on, and those of partitions that have no limits. */
    async outside(members: readonly Member[], limits: readonly Limits[]): Promise<readonly Outside[]> {
      const names = members.map(({ table }) => table)
      await numbers(
        'limits',
        ['t', 'p', 'a', 'b'],
        limits.map((limit) => [names.indexOf(limit.table), limit.partition, limit.first, limit.next]),
      )
      const found = await ask<Outside>(
        `SELECT l.p AS partition, origin AS "table", count(*) AS "rows", min(o) AS least, max(o) AS greatest, list_sort(list(DISTINCT file))[1:${SHOWN_FILES}] AS files
         FROM ${landed(members)} AS l LEFT JOIN limits AS m ON m.p = l.p AND m.t = list_position([${names.map(text).join(', ')}], origin) - 1
         WHERE m.p IS NULL OR o < a OR o >= b GROUP BY ALL ORDER BY ALL`,
      )
      return found.map((one) => ({ ...one, files: filesOf(one.files) }))
    },

    /** Results with the same keys and window start: how many, and some of them in words. */
    async sameWindows(view: string, keys: readonly string[]) {
      const all = [...keys, 'window_start'].map(quoted)
      const shown = all.map((column) => `coalesce(CAST(${column} AS VARCHAR), 'NULL')`).join(` || ', ' || `)
      const found = await ask<{ window: string; count: number; files: string[]; windows: number }>(
        `SELECT ${shown} AS "window", count(*) AS "count", list_sort(list(DISTINCT filename))[1:${SHOWN_FILES}] AS files, count(*) OVER () AS windows
         FROM ${view} GROUP BY ${all.join(', ')} HAVING count(*) > 1 ORDER BY 1 LIMIT ${SHOWN_RUNS}`,
      )
      return found.map((one) => ({ ...one, files: filesOf(one.files) }))
    },

    /** Results of windows that a watermark (milliseconds; null: none) has not closed. */
    async openWindows(view: string, watermarkMs: number | null, latenessMs: number) {
      const open = watermarkMs === null ? 'true' : `epoch_ms(window_end) + ${latenessMs} > ${watermarkMs}`
      const [found] = await ask<{ rows: number; least: number | null; files: string[] | null }>(
        `SELECT count(*) AS "rows", epoch_ms(min(window_end)) AS least, list_sort(list(DISTINCT filename))[1:${SHOWN_FILES}] AS files FROM ${view} WHERE ${open}`,
      )
      return { rows: found.rows, least: found.least, files: filesOf(found.files ?? []) }
    },

    /** Rows of `late` whose record, below `next` of its partition, is not in `members`; in runs of offsets. */
    async notIn(late: Member, members: readonly Member[], ranges: readonly Range[]) {
      await numbers(
        'ranges',
        ['p', 'a', 'b'],
        ranges.map((range) => [range.partition, range.from, range.next]),
      )
      return ask<{ partition: number; least: number; greatest: number; offsets: number }>(
        `SELECT p AS partition, min(o) AS least, max(o) AS greatest, count(DISTINCT o) AS offsets
         FROM (SELECT p, o FROM ${landed([late])} JOIN ranges USING (p) WHERE o < b) AS l ANTI JOIN ${landed(members)} AS m USING (p, o) GROUP BY p ORDER BY p`,
      )
    },

    async close(): Promise<void> {
      connection.closeSync()
      await rm(temporary, { recursive: true, force: true })
    },
  }
}

/** What DuckDB throws, in our kinds. */
function asOurs(cause: unknown): never {
  const message = messageOf(cause).trim()
  if (/^(IO|Invalid Input) Error/.test(message))
    throw corrupt(`Cannot read the warehouse: ${message}. Restore the file.`, { cause })
  if (message.startsWith('Out of Memory'))
    throw unavailable(`Cannot audit: ${message}. Give the temporary directory more space.`, { cause })
  throw cause
}

/** Counts and offsets of 64 bits as numbers: Kafka's offsets that we take are below 2^53. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]))
  return value
}
