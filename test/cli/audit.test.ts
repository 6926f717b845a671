import { appendFileSync, copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { AuditReport } from '../../lib/cli/audit-pipeline.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import type { Finding } from '../../lib/runtime/audit-findings.ts'
import { append, appendRows, drop, edit, onLogs, rewrite, stepBack } from './audit-faults.ts'
import { frazil, runTrades, TRADES, tempDir, tradesFile } from './frazil.ts'

const dir = tempDir()
const LINES = 600
const input = tradesFile(dir, LINES)
let warehouses = 0

/** Trades, closed to the end, in a warehouse of the test's own. */
async function made(): Promise<string> {
  const warehouse = join(dir, `warehouse-${warehouses++}`)
  await runTrades(input, warehouse)
  return warehouse
}

async function audit(warehouse: string): Promise<AuditReport & { readonly code: number | null }> {
  const { code, stdout, stderr } = await frazil('audit', TRADES, '--warehouse', warehouse, '--json')
  expect(stderr).toBe('')
  return { ...(JSON.parse(stdout) as AuditReport), code }
}

const kinds = ({ findings }: AuditReport) => [...new Set(findings.map(({ kind }) => kind))].sort()
const of = ({ findings }: AuditReport, kind: Finding['kind']) => findings.filter((finding) => finding.kind === kind)

/** Trims staging logs to their tails, as far as a trim may. */
const trimLogs = (warehouse: string) =>
  onLogs(
    warehouse,
    `INSERT INTO floors SELECT key, max(slot) - 1 FROM log WHERE key LIKE 'staging/%' GROUP BY key;
     DELETE FROM log WHERE EXISTS (SELECT * FROM floors WHERE floors.key = log.key AND slot <= floor)`,
  )

const START = 1_767_225_600_000

/** Lambda events of partition 0, a run of offsets each. */
function eventsFile(
  name: string,
  runs: readonly (readonly [first: number, next: number])[],
  tsOf = (offset: number) => START + offset * 1000,
): string {
  const file = join(dir, name)
  const lines = runs.map(([first, next]) => {
    const records = Array.from({ length: next - first }, (_, i) => {
      const value = JSON.stringify({ symbol: 'A', ts: tsOf(first + i), price: 1, qty: 1 })
      return { topic: 'trades', partition: 0, offset: first + i, timestamp: START, value: Buffer.from(value).toString('base64') }
    })
    return JSON.stringify({ eventSource: 'aws:kafka', records: { 'trades-0': records } })
  })
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}

async function runEvents(file: string, warehouse: string): Promise<void> {
  const { code, stderr } = await frazil('run', TRADES, '--events', file, '--warehouse', warehouse, '--until-end', '--json')
  if (code !== 0) throw new Error(stderr)
}

describe('a warehouse as a run left it', () => {
  test('is proved: every offset of every partition landed once', async () => {
    const report = await audit(await made())
    expect(report).toMatchObject({ pipeline: 'trades', code: 0, findings: [], notes: [], waiting: 0 })
    const raw = report.tables.find(({ table }) => table === 'trades.raw_trades')
    expect(raw).toMatchObject({ role: 'all records', verdict: 'proved' })
    expect(raw?.partitions.reduce((sum, { rows, deadLetters }) => sum + rows + deadLetters, 0)).toBe(LINES)
    expect(raw?.partitions.map(({ gaps, missing }) => [gaps, missing])).toEqual(Array(4).fill([0, 0]))
    expect(report.tables.map(({ role, verdict }) => [role, verdict])).toEqual([
      ['all records', 'proved'],
      ['windows', 'proved'],
      ['late rows', 'proved'],
      ['dead letters', 'proved'],
    ])
  })

  test('is told to people by table and partition', async () => {
    const { code, stdout, stderr } = await frazil('audit', TRADES, '--warehouse', await made())
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^Pipeline trades: checkpoint \d+, watermark \d{4}-/)
    expect(stdout).toMatch(/trades\.raw_trades +all records +trades-0 +\[0, \d+\) +\d+ +\d+ +0 +0 +proved\n/)
    expect(stdout).toMatch(/\nNo findings\.\n$/)
    expect(code).toBe(0)
  })

  test('may have gaps, as long as they are recorded', async () => {
    const warehouse = join(dir, 'gaps')
    await runEvents(
      eventsFile('gaps.ndjson', [
        [100, 120],
        [125, 150],
        [151, 152],
      ]),
      warehouse,
    )
    const report = await audit(warehouse)
    expect(report).toMatchObject({ code: 0, findings: [] })
    expect(report.tables[0].partitions).toEqual([
      { partition: 'trades-0', first: 100, next: 152, rows: 46, deadLetters: 0, missing: 6, gaps: 6, verdict: 'proved' },
    ])
  })

  test('may have a checkpoint that is not applied to a table yet: what it is to add counts as there', async () => {
    const warehouse = await made()
    await stepBack(warehouse, 'agg_1m')
    const report = await audit(warehouse)
    expect(report).toMatchObject({ code: 0, findings: [] })
    expect(report.notes.join()).toMatch(
      /^trades\.agg_1m: checkpoint \d+ is not applied to it yet; its \d+ files count as there\.$/,
    )
    expect(report.tables.find(({ role }) => role === 'windows')?.rows).toBeGreaterThan(0)
  })

  test('may have lost rows to retention, which says how many', async () => {
    const warehouse = await made()
    const { tables } = await audit(warehouse)
    const retained = (rows: number) => drop(warehouse, 'raw_trades', { 'frazil.dropped-rows': String(rows) })
    await retained(tables[0].rows)
    const report = await audit(warehouse)
    expect(report).toMatchObject({ code: 0, findings: [] })
    expect(report.notes).toEqual([
      `trades.raw_trades: ${tables[0].rows} offsets missing, retention dropped ${tables[0].rows} rows.`,
    ])
    const claim = (rows: number) =>
      edit(warehouse, 'raw_trades', (metadata) => ({
        ...metadata,
        properties: { ...metadata.properties, 'frazil.dropped-rows': String(rows) },
      }))
    await claim(tables[0].rows - 1)
    const less = await audit(warehouse)
    expect(kinds(less)).toEqual(['foreign', 'missing'])
    expect(less.code).toBe(1)

    await claim(tables[0].rows)
    trimLogs(warehouse)
    const trimmed = await audit(warehouse)
    expect(trimmed).toMatchObject({ code: 0, findings: [] })
    expect(trimmed.tables[0].verdict).toBe('proved')
  })
})

describe('beside retention, with trimmed logs,', () => {
  /** 300 offsets; retention dropped the first hundred. */
  async function retained(name: string): Promise<string> {
    const warehouse = join(dir, name)
    const file = eventsFile(`${name}.ndjson`, [[0, 300]], (offset) => offset * 1000 + (offset < 100 ? 0 : START))
    await runEvents(file, warehouse)
    const expire = ['expire', 'trades.raw_trades', '--warehouse', warehouse, '--rows-older-than', '18250d', '--apply'] as const
    const { code, stderr } = await frazil(...expire)
    if (code !== 0) throw new Error(stderr)
    trimLogs(warehouse)
    return warehouse
  }
  const LOSSY = 'SELECT * FROM file WHERE kafka_offset NOT BETWEEN 150 AND 179'
  const tellsRest =
    'trades.raw_trades: 130 offsets missing, retention dropped 100 rows. Whether the other 30 are from before the table was made cannot be told: the log was trimmed.'

  test('rows that a rewrite lost and claims to have are missing: what retention dropped explains no offset twice', async () => {
    const warehouse = await retained('lying')
    expect(await audit(warehouse)).toMatchObject({
      code: 0,
      findings: [],
      notes: expect.arrayContaining(['trades.raw_trades: 100 offsets missing, retention dropped 100 rows.']),
      tables: [{ verdict: 'proved' }, {}, {}, {}],
    })
    await rewrite(warehouse, 'raw_trades', LOSSY)
    const report = await audit(warehouse)
    expect(report.findings.map(({ kind, message }) => [kind, message])).toEqual([
      ['missing', 'trades.raw_trades: its files have 170 rows, its snapshot counts 200 (total-records).'],
    ])
    expect(report).toMatchObject({ code: 1, notes: expect.arrayContaining([tellsRest]) })
    expect(report.tables[0]).toMatchObject({ verdict: 'finding', partitions: [{ missing: 130, verdict: 'unproved' }] })
  })

  test('rows that a rewrite lost and counts are named by its snapshot, and unproved once that has expired', async () => {
    const warehouse = await retained('counting')
    await rewrite(warehouse, 'raw_trades', LOSSY)
    const leave = (snapshots: number, summary: Record<string, string>) =>
      edit(warehouse, 'raw_trades', (metadata) => ({
        ...metadata,
        snapshots: metadata.snapshots
          .slice(-snapshots)
          .map((one, i, all) => (i < all.length - 1 ? one : { ...one, summary: { operation: 'replace', ...summary } })),
        'snapshot-log': metadata['snapshot-log'].slice(-snapshots),
      }))
    await leave(9, { 'deleted-records': '200', 'added-records': '170', 'total-records': '170' })
    const report = await audit(warehouse)
    expect(report.findings.map(({ kind }) => kind)).toEqual(['foreign'])
    expect(report.findings[0].message).toMatch(/\(replace\), which is not of this pipeline, removed 30 rows\./)
    // As after another rewrite and expiry.
    await leave(1, { 'deleted-records': '170', 'added-records': '170', 'total-records': '170' })
    const expired = await audit(warehouse)
    expect(expired).toMatchObject({ code: 0, findings: [], notes: expect.arrayContaining([tellsRest]) })
    expect(expired.tables[0].verdict).toBe('unproved')
  })

  test('dropped rows that came back are a surplus', async () => {
    const warehouse = await retained('back')
    await edit(warehouse, 'raw_trades', (metadata) => ({
      ...metadata,
      properties: { ...metadata.properties, 'frazil.dropped-rows': '101' },
    }))
    const report = await audit(warehouse)
    expect(kinds(report)).toEqual(['foreign', 'surplus'])
    expect(of(report, 'surplus')[0].message).toContain('100 offsets missing, retention dropped 101 rows')
  })
})

describe('rows', () => {
  test('that were appended a second time are an overlap, with the files that hold them', async () => {
    const warehouse = await made()
    let copy = ''
    await append(warehouse, 'raw_trades', async (files) =>
      files.map((file): DataFile => {
        copy = file.filePath.replace('.parquet', '-copy.parquet')
        copyFileSync(file.filePath.slice(7), copy.slice(7))
        return { ...file, filePath: copy }
      }),
    )
    const report = await audit(warehouse)
    expect(kinds(report)).toEqual(['foreign', 'overlap'])
    expect(of(report, 'overlap').map(({ partition, table }) => [partition, table])).toEqual(
      [0, 1, 2, 3].map((p) => [`trades-${p}`, 'trades.raw_trades']),
    )
    const [{ files, message }] = of(report, 'overlap')
    expect(files).toHaveLength(2)
    expect(files).toContain(copy)
    expect(message).toContain('more than once in trades.raw_trades: [0, ')
    expect(of(report, 'foreign')[0].message).toMatch(/which is not of this pipeline, added \d+ rows/)
    expect(report.code).toBe(1)
  })

  test('of a file that the metadata names twice are an overlap', async () => {
    const warehouse = await made()
    await append(warehouse, 'raw_trades', async (files) => files)
    expect(kinds(await audit(warehouse))).toEqual(['foreign', 'overlap'])
  })

  test('whose file was taken out of the table are missing', async () => {
    const warehouse = await made()
    await drop(warehouse, 'raw_trades')
    const report = await audit(warehouse)
    expect(kinds(report)).toEqual(['foreign', 'missing'])
    expect(of(report, 'missing').filter(({ table }) => table === 'trades.raw_trades')).toHaveLength(4)
    // Late rows are to be among all rows.
    expect(of(report, 'missing').some(({ table }) => table === 'trades.agg_1m_late')).toBe(true)
  })

  test('whose file is gone from the disk are missing, and the file is named', async () => {
    const warehouse = await made()
    let gone = ''
    await append(warehouse, 'raw_trades', async ([file]) => {
      gone = file.filePath
      return []
    })
    rmSync(gone.slice(7))
    const report = await audit(warehouse)
    expect(kinds(report)).toEqual(['missing', 'unreadable'])
    expect(of(report, 'unreadable')[0].files).toEqual([gone])
  })

  test('that a rewrite lost are named by their offsets', async () => {
    const warehouse = await made()
    await rewrite(warehouse, 'raw_trades', 'SELECT * FROM file WHERE NOT (kafka_partition = 1 AND kafka_offset IN (7, 8, 11))')
    const report = await audit(warehouse)
    // Some of the three may be dead letters, and those are still there.
    const [finding] = of(report, 'missing')
    expect(finding).toMatchObject({ partition: 'trades-1', table: 'trades.raw_trades' })
    for (const [first, next] of finding.offsets ?? []) expect(first >= 7 && next <= 12).toBe(true)
    expect(report.tables[0].partitions.map(({ verdict }) => verdict)).toEqual(['proved', 'finding', 'proved', 'proved'])
    expect(report.code).toBe(1)
  })

  test('lost beside recorded gaps are told apart from them', async () => {
    const warehouse = join(dir, 'beside')
    await runEvents(
      eventsFile('beside.ndjson', [
        [100, 120],
        [125, 150],
      ]),
      warehouse,
    )
    await rewrite(warehouse, 'raw_trades', 'SELECT * FROM file WHERE kafka_offset <> 110')
    const report = await audit(warehouse)
    expect(kinds(report)).toEqual(['missing'])
    expect(report.findings[0]).toMatchObject({ offsets: [[110, 111]], moreRuns: 0 })
    expect(report.findings[0].message).toContain('1 offset of [100, 150) is neither in trades.raw_trades nor')
    expect(report.tables[0].partitions[0]).toMatchObject({ missing: 6, gaps: 5 })
  })

  test('that fill a recorded gap while others are lost do not balance', async () => {
    const warehouse = join(dir, 'balance')
    await runEvents(
      eventsFile('balance.ndjson', [
        [100, 120],
        [125, 150],
      ]),
      warehouse,
    )
    await rewrite(
      warehouse,
      'raw_trades',
      'SELECT * REPLACE (CASE kafka_offset WHEN 110 THEN 122 ELSE kafka_offset END AS kafka_offset) FROM file',
    )
    const report = await audit(warehouse)
    expect(kinds(report)).toEqual(['missing', 'surplus'])
    expect(of(report, 'missing')[0].offsets).toEqual([[110, 111]])
    expect(of(report, 'surplus')[0].offsets).toEqual([[120, 150]])
  })

  test('that are among the dead letters too are an overlap of both tables', async () => {
    const warehouse = await made()
    await appendRows(
      warehouse,
      'dead_letters',
      `SELECT 'trades' AS kafka_topic, kafka_partition, kafka_offset, NULL::TIMESTAMPTZ AS kafka_timestamp, NULL::BLOB AS key,
        NULL::BLOB AS value, 'wrong_type' AS reason, '' AS detail FROM file WHERE kafka_partition = 2 ORDER BY kafka_offset LIMIT 1`,
      'raw_trades',
    )
    const report = await audit(warehouse)
    expect(kinds(report)).toEqual(['foreign', 'overlap'])
    const [{ message, partition }] = of(report, 'overlap')
    expect(partition).toBe('trades-2')
    expect(message).toContain('1 offset is more than once in trades.dead_letters and trades.raw_trades together')
  })

  test('beyond what the marker says, and of partitions that no log knows, are named', async () => {
    const warehouse = await made()
    await appendRows(
      warehouse,
      'raw_trades',
      'SELECT * REPLACE (9 AS kafka_partition) FROM file WHERE kafka_partition = 0 AND kafka_offset < 5 UNION ALL SELECT * REPLACE (1000000 AS kafka_offset) FROM (FROM file WHERE kafka_partition = 3 LIMIT 1)',
    )
    const report = await audit(warehouse)
    expect(kinds(report)).toEqual(['beyond', 'foreign'])
    const [three, nine] = of(report, 'beyond')
    expect(three).toMatchObject({ partition: 'trades-3', offsets: [[1_000_000, 1_000_001]] })
    expect(nine.message).toContain('a partition that no log knows')
  })
})

describe('windows and late rows', () => {
  test('a window that is there twice is named by its key and start', async () => {
    const warehouse = await made()
    await appendRows(warehouse, 'agg_1m', 'SELECT * FROM file ORDER BY symbol, window_start LIMIT 1')
    const report = await audit(warehouse)
    expect(kinds(report)).toEqual(['foreign', 'windows'])
    expect(of(report, 'windows')[0].message).toMatch(
      /1 result \(symbol, window_start\) is there more than once: \([^,]+, \d{4}-.*\) 2 times\. In .*made-/,
    )
  })

  test('a window that ends after the closed watermark is a finding', async () => {
    const warehouse = await made()
    await appendRows(
      warehouse,
      'agg_1m',
      'SELECT * REPLACE (window_start + INTERVAL 1 DAY AS window_start, window_end + INTERVAL 1 DAY AS window_end) FROM file LIMIT 1',
    )
    expect(of(await audit(warehouse), 'windows')[0].message).toContain('1 result of windows that are still open')
  })

  test('a late row that is there twice is an overlap, and more than were staged', async () => {
    const warehouse = await made()
    await appendRows(warehouse, 'agg_1m_late', 'SELECT * FROM file LIMIT 1')
    const report = await audit(warehouse)
    expect(kinds(report)).toEqual(['foreign', 'overlap', 'surplus'])
  })
})

describe('markers and logs', () => {
  test('a marker that was set back is a finding', async () => {
    const warehouse = await made()
    await edit(warehouse, 'raw_trades', (metadata) => {
      const [incarnation] = metadata.properties['frazil.trades.marker'].split(':')
      return { ...metadata, properties: { ...metadata.properties, 'frazil.trades.marker': `${incarnation}:1` } }
    })
    const report = await audit(warehouse)
    expect(of(report, 'marker')[0]).toMatchObject({ table: 'trades.raw_trades' })
    expect(report.code).toBe(1)
  })

  test('offsets that were set back are a regression in each partition', async () => {
    const warehouse = await made()
    await edit(warehouse, 'agg_1m', (metadata) => ({
      ...metadata,
      properties: { ...metadata.properties, 'frazil.trades.offsets': '{"trades-0":1,"trades-1":1,"trades-2":1,"trades-3":1}' },
    }))
    const report = await audit(warehouse)
    expect(kinds(report)).toEqual(['regression'])
    expect(report.findings).toHaveLength(4)
  })

  test('a table rolled back to an older snapshot is refused by its marker, and what it lost is missing', async () => {
    const file = tradesFile(dir, LINES, 'rollback.ndjson')
    const warehouse = join(dir, 'rollback')
    await runTrades(file, warehouse)
    const more = tradesFile(dir, LINES, 'more.ndjson')
    appendFileSync(file, readFileSync(more))
    await runTrades(file, warehouse)
    expect((await audit(warehouse)).findings).toEqual([])
    await edit(warehouse, 'raw_trades', (metadata) => {
      const [first] = metadata.snapshots
      const id = first['snapshot-id']
      return { ...metadata, 'current-snapshot-id': id, refs: { main: { 'snapshot-id': id, type: 'branch' } } }
    })
    const report = await audit(warehouse)
    expect(kinds(report)).toEqual(expect.arrayContaining(['marker', 'missing']))
    expect(of(report, 'marker')[0].message).toContain('it was rolled back')
  })

  test('a staging entry that is gone is a finding, though all rows are there', async () => {
    const warehouse = await made()
    onLogs(warehouse, "DELETE FROM log WHERE key LIKE 'staging/%/2' AND slot = 1")
    const report = await audit(warehouse)
    expect(report.findings).toHaveLength(1)
    expect(report.findings[0]).toMatchObject({ kind: 'logs', partition: 'trades-2' })
    expect(report.findings[0].message).toContain('Expected slot 1 in staging log trades-2, found slot 2')
    expect(report.code).toBe(1)
  })

  test('logs that were trimmed are no finding', async () => {
    const warehouse = await made()
    trimLogs(warehouse)
    const report = await audit(warehouse)
    expect(report).toMatchObject({ code: 0, findings: [] })
    expect(report.tables[0].verdict).toBe('proved')
  })

  test('logs that are lost are one finding, and the tables are looked at all the same', async () => {
    const warehouse = await made()
    rmSync(join(warehouse, '.frazil'), { recursive: true })
    const report = await audit(warehouse)
    expect(report.findings).toHaveLength(1)
    expect(report.findings[0].kind).toBe('logs')
    expect(report).toMatchObject({ code: 1, incarnation: null, checkpoint: null })
    expect(report.tables[0].partitions.map(({ missing, gaps, verdict }) => [missing, gaps, verdict])).toEqual(
      Array(4).fill([0, null, 'unproved']),
    )
    expect(report.notes).toHaveLength(4)
    expect(report.notes[0]).toContain('whether there were offsets below its first, 0, cannot be told')
  })

  test("a checkpoint's body that is gone is a finding", async () => {
    const warehouse = await made()
    rmSync(join(warehouse, '.frazil/staging/trades'), { recursive: true })
    expect(of(await audit(warehouse), 'logs')[0].message).toContain('expected its body')
  })
})

test('a data file that cannot be read ends the audit: exit 1', async () => {
  const warehouse = await made()
  await append(warehouse, 'raw_trades', async ([{ filePath, sizeBytes }]) => {
    writeFileSync(filePath.slice(7), Buffer.alloc(sizeBytes, 'x'))
    return []
  })
  const { code, stderr } = await frazil('audit', TRADES, '--warehouse', warehouse)
  expect(stderr).toMatch(/^error: Cannot read the warehouse: .*raw_trades.* Restore the file\.\n$/s)
  expect(code).toBe(1)
})

test('where there is nothing to audit it could not run', async () => {
  const nowhere = await frazil('audit', TRADES, '--warehouse', join(dir, 'nowhere'))
  expect(nowhere.stderr).toContain('found nothing')
  expect(nowhere.code).toBe(2)
})
