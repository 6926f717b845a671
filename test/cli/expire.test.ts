import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { frazil, rowsOf, tempDir } from './frazil.ts'
import { change, type FileTold, listing, RUNS_MS, told, tradesInParts } from './many-commits.ts'

const dir = tempDir()
const warehouse = join(dir, 'warehouse')
const trades = tradesInParts(dir, warehouse)
const DAY_MS = 86_400_000

const expire = (table: string, ...flags: readonly string[]) => frazil('expire', table, '--warehouse', warehouse, ...flags)

interface Told {
  readonly policy: { readonly olderThanMs: number; readonly retainLast: number; readonly thinAfterMs: number | null }
  readonly rows: { readonly partitions: readonly string[]; readonly rows: number } | null
  readonly snapshots: readonly { readonly id: string }[]
  readonly expired: number
  readonly kept: number
  readonly oldestKept: { readonly id: string } | null
  readonly refs: readonly string[]
  readonly files: number
}
const expireTold = (table: string, ...flags: readonly string[]) => told<Told>('expire', table, '--warehouse', warehouse, ...flags)

interface Snapshot {
  readonly id: string
}
const snapshots = (table: string) => told<Snapshot[]>('snapshots', table, '--warehouse', warehouse)
const files = (table: string) => told<FileTold[]>('files', table, '--warehouse', warehouse)
const at = (id: string) => `SELECT count(*) AS n FROM trades.raw_trades FOR VERSION AS OF ${id}`

/** All but the newest `young` snapshots of a table become so much older, and nothing else about it changes. */
const age = (table: string, ms: number, young = 1) =>
  change(warehouse, table, (metadata) => {
    const old = new Set(metadata.snapshots.slice(0, -young).map((snapshot) => snapshot['snapshot-id']))
    const older = <T extends { readonly 'snapshot-id': bigint; readonly 'timestamp-ms': number }>(entry: T): T =>
      old.has(entry['snapshot-id']) ? { ...entry, 'timestamp-ms': entry['timestamp-ms'] - ms } : entry
    return { snapshots: metadata.snapshots.map(older), 'snapshot-log': metadata['snapshot-log'].map(older) }
  })

beforeAll(async () => {
  for (let part = 0; part < 5; part++) await trades.next(300)
  await frazil('compact', 'raw_trades', '--warehouse', warehouse, '--hot', '--apply')
  await age('raw_trades', 30 * DAY_MS, 2)
}, RUNS_MS)

describe('frazil expire', () => {
  test('keeps ten snapshots where nobody says otherwise, and says so', async () => {
    const { code, stdout, stderr } = await expire('raw_trades')
    expect(stdout).toMatch(/^snapshots +0 +-$/m)
    expect(stderr).toMatch(
      /^Kept: the last 10, and those younger than 7d, of those older than 1d one an hour: 6 snapshots, the oldest of \d{4}-\S+Z\.\n$/,
    )
    expect(code).toBe(0)
  })

  test('says which snapshots and how many files would go and writes nothing, without --apply', async () => {
    const before = listing(warehouse)
    const { stdout, stderr } = await expire('raw_trades', '--retain-last', '1')
    expect(stdout).toMatch(/^would go +count +which$/m)
    expect(stdout).toMatch(/^snapshots +4 +\S+Z to \S+Z$/m)
    expect(stdout).toMatch(/^files +[1-9]\d* +-$/m)
    expect(stderr).toMatch(/2 snapshots, the oldest of .*\nNothing was written\. --apply does it\.\n$/)
    expect(listing(warehouse)).toEqual(before)
  })

  test('asks the table itself before the defaults, and flags before the table', async () => {
    const properties = { 'history.expire.max-snapshot-age-ms': '60000', 'history.expire.min-snapshots-to-keep': '3' }
    await change(warehouse, 'agg_1m', (metadata) => ({ properties: { ...metadata.properties, ...properties } }))
    const { policy } = await expireTold('agg_1m')
    expect(policy).toEqual({ olderThanMs: 60_000, retainLast: 3, thinAfterMs: null })
    const given = await expireTold('agg_1m', '--older-than', '90d', '--retain-last', '2', '--thin-after', '12h')
    expect(given.policy).toEqual({ olderThanMs: 90 * DAY_MS, retainLast: 2, thinAfterMs: DAY_MS / 2 })
    expect((await expireTold('raw_trades', '--no-thin')).policy.thinAfterMs).toBe(null)
  })

  test('keeps the newest snapshot of the marker and what a tag names, however old', async () => {
    await age('agg_1m_late', 30 * DAY_MS)
    const [first] = await snapshots('agg_1m_late')
    await change(warehouse, 'agg_1m_late', ({ refs, properties }) => ({
      refs: { ...refs, audited: { 'snapshot-id': BigInt(first.id), type: 'tag' as const } },
      properties,
    }))
    const { oldestKept, snapshots: going } = await expireTold('agg_1m_late', '--retain-last', '1')
    expect(oldestKept?.id).toBe(first.id)
    expect(going.length).toBeGreaterThan(0)
    const marked = await snapshots('raw_trades')
    const raw = await expireTold('raw_trades', '--older-than', '1ms', '--retain-last', '1')
    // The last is a compaction's, and brought no marker.
    expect([raw.kept, raw.oldestKept?.id]).toEqual([2, marked.at(-2)?.id])
    const { stderr } = await expire('raw_trades', '--older-than', '1ms', '--retain-last', '1')
    expect(stderr).toContain(
      "Kept: the last 1, and those younger than 1ms, and the newest with a pipeline's marker: 2 snapshots, the oldest of ",
    )
  })

  test('lets go of snapshots with their files: they cannot be read any more, the kept ones and the table can', async () => {
    const all = await snapshots('raw_trades')
    const [oldest, kept] = [all[0], all.at(-2)!]
    const [{ n }] = await rowsOf<{ n: number }>('SELECT count(*) AS n FROM trades.raw_trades', warehouse)
    const live = await files('raw_trades')
    const [{ n: then }] = await rowsOf<{ n: number }>(at(oldest.id), warehouse)
    expect(then).toBeLessThan(n)
    const foreseen = await expireTold('raw_trades', '--retain-last', '1')
    const before = listing(warehouse).length
    const { code, stdout, stderr } = await expire('raw_trades', '--retain-last', '1', '--apply')
    expect(stdout).toMatch(/^gone +count +which$/m)
    expect(stderr).not.toContain('Nothing was written')
    expect(code).toBe(0)
    const left = await snapshots('raw_trades')
    expect(left.map(({ id }) => id)).toEqual([kept.id, all.at(-1)!.id])
    expect(left[0].id).toBe(foreseen.oldestKept?.id)
    // One metadata file more.
    expect(listing(warehouse)).toHaveLength(before - foreseen.files + 1)

    const gone = await frazil('query', at(oldest.id), '--warehouse', warehouse)
    expect(gone.stderr).toContain(oldest.id)
    expect(gone.code).toBe(2)
    for (const sql of [at(kept.id), 'SELECT count(*) AS n FROM trades.raw_trades'])
      expect(await rowsOf(sql, warehouse)).toEqual([{ n }])
    expect(live.every(({ path }) => existsSync(fileURLToPath(path)))).toBe(true)
  })

  test('lets the pipeline go on', async () => {
    const { tables } = await trades.next(300)
    const [{ n }] = await rowsOf<{ n: number }>('SELECT count(*) AS n FROM trades.raw_trades', warehouse)
    expect(tables['trades.raw_trades']).toBe(n)
  })

  test('drops rows only when told, whole partitions of them, and not before --apply', async () => {
    const [{ n }] = await rowsOf<{ n: number }>('SELECT count(*) AS n FROM trades.raw_trades', warehouse)
    const foreseen = await expireTold('raw_trades', '--rows-older-than', '30d')
    expect(foreseen.rows).toMatchObject({ partitions: ['event_time_day=2024-01-19'], rows: n })
    expect((await expireTold('raw_trades', '--rows-older-than', '36500d')).rows).toMatchObject({ rows: 0 })
    expect(await rowsOf('SELECT count(*) AS n FROM trades.raw_trades', warehouse)).toEqual([{ n }])
    const { stdout, stderr } = await expire('raw_trades', '--rows-older-than', '30d', '--apply')
    expect(stdout).toMatch(/^rows +[\d,]+ +event_time_day=2024-01-19: 1 partition, \d files?, \d+ kB$/m)
    expect(stderr).toContain('The files of dropped rows go when the last snapshot with them does.\n')
    expect(await rowsOf('SELECT count(*) AS n FROM trades.raw_trades', warehouse)).toEqual([{ n: 0 }])
  })

  test('refuses a table whose files are not its own: exit 1', async () => {
    await change(warehouse, 'agg_1m', ({ properties }) => ({ properties: { ...properties, 'gc.enabled': 'false' } }))
    for (const command of ['expire', 'orphans']) {
      const { code, stderr } = await frazil(command, 'agg_1m', '--warehouse', warehouse)
      expect(stderr).toContain('found its property gc.enabled to be false')
      expect(code).toBe(1)
    }
  })

  test('refuses a retention of the table that it cannot read, rather than delete by another: exit 1', async () => {
    const wrong = { 'history.expire.max-snapshot-age-ms': 'a week' }
    await change(warehouse, 'dead_letters', ({ properties }) => ({ properties: { ...properties, ...wrong } }))
    const { code, stderr } = await expire('dead_letters')
    expect(stderr).toContain("to be a whole number from 1, found 'a week'. Set it right, or give --older-than.")
    expect(code).toBe(1)
    expect((await expire('dead_letters', '--older-than', '7d')).code).toBe(0)
  })

  test('takes no ages and counts that cannot be: exit 2', async () => {
    for (const [args, message] of [
      [['raw_trades', '--older-than', '7'], /expected an age such as 30m, 12h or 7d, found '7'/],
      [['raw_trades', '--retain-last', '0'], /expected a whole number from 1/],
      [['raw_trades', '--no-thin', '--thin-after', '1d'], /expected one of --thin-after and --no-thin, found both/],
      [['raw_trades', '--rows-older-than', '1m'], /expected at least 1h, found '1m'/],
      [['agg_1m_late', '--rows-older-than', '30d'], /expected partitions by year, month, day or hour of one column, found none/],
    ] as const) {
      const [table, ...flags] = args
      const { code, stdout, stderr } = await expire(table, ...flags)
      expect(stderr).toMatch(message)
      expect(stdout).toBe('')
      expect(code).toBe(2)
    }
  })
})
