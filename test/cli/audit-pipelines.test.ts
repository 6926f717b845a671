import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { AuditReport } from '../../lib/cli/audit-pipeline.ts'
import { drop, onLogs, rewrite } from './audit-faults.ts'
import { frazil, tempDir } from './frazil.ts'

const dir = tempDir()

/** A pipeline over topic trades with these sinks. */
function pipelineFile(name: string, ...sinks: readonly string[]): string {
  const file = join(dir, `${name}.ts`)
  writeFileSync(
    file,
    `import { column, kafka, minutes, pipeline, seconds, timestampMillis, tumbling } from 'frazil'
const trades = kafka('trades', {
  schema: { symbol: column.string(), ts: column.long(), price: column.double(), qty: column.double() },
  computed: { event_time: (c) => timestampMillis(c.ts) },
  eventTime: 'event_time',
  watermark: { delay: seconds(5) },
})
export default pipeline('trades', { sinks: [${sinks.join(', ')}] })
`,
  )
  return file
}

const ALL = "trades.appendTo('raw_trades')"
const DEAR = "trades.filter((c) => c.price.gt(1)).appendTo('dear')"
const BARE = "trades.select('symbol', 'event_time').appendTo('bare')"

/** Lambda events, one for each partition: `count` records from `first` on; every fifth is no JSON. */
function eventsFile(name: string, partitions: number, first: number, count: number): string {
  const file = join(dir, name)
  const lines = Array.from({ length: partitions }, (_, partition) => {
    const records = Array.from({ length: count }, (_, i) => {
      const offset = first + i
      const text = i % 5 === 4 ? 'no JSON' : JSON.stringify({ symbol: 'A', ts: offset * 1000, price: (i % 2) * 2, qty: 1 })
      return { topic: 'trades', partition, offset, timestamp: offset * 1000, value: Buffer.from(text).toString('base64') }
    })
    return JSON.stringify({ eventSource: 'aws:kafka', records: { [`trades-${partition}`]: records } })
  })
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}

async function run(pipeline: string, events: string, warehouse: string): Promise<void> {
  const { code, stderr } = await frazil('run', pipeline, '--events', events, '--warehouse', warehouse, '--until-end', '--json')
  if (code !== 0) throw new Error(stderr)
}

async function audit(pipeline: string, warehouse: string): Promise<AuditReport> {
  const { stdout, stderr } = await frazil('audit', pipeline, '--warehouse', warehouse, '--json')
  expect(stderr).toBe('')
  return JSON.parse(stdout) as AuditReport
}

const rolesOf = ({ tables }: AuditReport) => Object.fromEntries(tables.map(({ table, role }) => [table, role]))

test('a table that filters is held to what was staged for it, and so is one without offsets', async () => {
  const pipeline = pipelineFile('filters', DEAR, BARE)
  const warehouse = join(dir, 'filters')
  await run(pipeline, eventsFile('filters.ndjson', 2, 10, 50), warehouse)
  const report = await audit(pipeline, warehouse)
  expect(report.findings).toEqual([])
  expect(rolesOf(report)).toEqual({
    'trades.dear': 'some records',
    'trades.bare': 'rows without offsets',
    'trades.dead_letters': 'dead letters',
  })
  await rewrite(warehouse, 'dear', 'SELECT * FROM file ORDER BY kafka_offset LIMIT 7')
  await rewrite(warehouse, 'bare', 'SELECT * FROM file UNION ALL SELECT * FROM (FROM file LIMIT 2)')
  const broken = await audit(pipeline, warehouse)
  expect(broken.findings.map(({ kind, message }) => [kind, message])).toEqual([
    ['missing', 'trades.dear has 7 rows, 40 were staged for it.'],
    ['missing', 'trades.dear: its files have 7 rows, its snapshot counts 40 (total-records).'],
    ['surplus', 'trades.bare has 82 rows, 80 were staged for it.'],
    ['surplus', 'trades.bare: its files have 82 rows, its snapshot counts 80 (total-records).'],
  ])
})

test('a table that joined a pipeline later has no part in what was staged before', async () => {
  const before = pipelineFile('before', ALL)
  const after = pipelineFile('after', ALL, "trades.appendTo('second')")
  const warehouse = join(dir, 'joined')
  await run(before, eventsFile('before.ndjson', 2, 0, 30), warehouse)
  await run(after, eventsFile('after.ndjson', 2, 30, 20), warehouse)
  const report = await audit(after, warehouse)
  expect(report).toMatchObject({ findings: [], notes: [] })
  const second = report.tables.find(({ table }) => table === 'trades.second')
  expect(second?.partitions.map(({ rows, missing, verdict }) => [rows, missing, verdict])).toEqual(
    Array(2).fill([16, 24, 'proved']),
  )
  await drop(warehouse, 'second', { 'frazil.dropped-rows': '0' })
  const broken = (await audit(after, warehouse)).findings.filter(({ kind }) => kind === 'missing')
  expect(broken.map(({ offsets }) => offsets?.length)).toEqual([4, 4])
  for (const { offsets } of broken) for (const [first] of offsets ?? []) expect(first).toBeGreaterThanOrEqual(30)
})

test('partitions may be so many that a marker names the checkpoint that tells their offsets', async () => {
  const pipeline = pipelineFile('many', ALL)
  const warehouse = join(dir, 'many')
  await run(pipeline, eventsFile('many.ndjson', 201, 3, 5), warehouse)
  const report = await audit(pipeline, warehouse)
  expect(report).toMatchObject({ findings: [], notes: [] })
  expect(report.tables[0].partitions).toHaveLength(201)
  expect(report.tables[0].partitions[200]).toMatchObject({ first: 3, next: 8, rows: 4, deadLetters: 1, verdict: 'proved' })
})

test('an entry of the log that lost its place shows even when the rows are there', async () => {
  const pipeline = pipelineFile('entries', ALL)
  const warehouse = join(dir, 'entries')
  await run(pipeline, eventsFile('one.ndjson', 1, 0, 10), warehouse)
  await run(pipeline, eventsFile('two.ndjson', 1, 10, 10), warehouse)
  onLogs(warehouse, `UPDATE log SET value = replace(value, '"from":10,', '"from":12,') WHERE key LIKE 'staging/%'`)
  const report = await audit(pipeline, warehouse)
  expect(report.findings[0]).toMatchObject({ kind: 'logs', partition: 'trades-0' })
  expect(report.findings[0].message).toContain('expected an entry from offset 10, found one from 12')
})
