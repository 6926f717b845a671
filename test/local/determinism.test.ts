import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { lambdaEvents } from '../../bench/lambda-events.ts'
import { generateTrades } from '../../bench/trades.ts'
import { loadTable, planFiles } from '../../lib/iceberg/scan.ts'
import { planOf } from '../../lib/index.ts'
import { type RunSource, run } from '../../lib/local/run.ts'
import { openWarehouse } from '../../lib/local/warehouse.ts'
import trades from '../../pipelines/trades.ts'

const TRADES = { count: 30_000, seed: 7, spanMs: 900_000, lateShare: 0.01, poisonShare: 0.005, oddShare: 0.005 }
const TABLES = ['raw_trades', 'agg_1m', 'agg_1m_late', 'dead_letters']

let dir = ''
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'frazil-determinism-'))
})
afterAll(() => rmSync(dir, { recursive: true }))

/** The bits of a value, so that -0 and 0, or two doubles a hair apart, differ. */
function bits(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'number') return Buffer.from(Float64Array.of(value).buffer).toString('hex')
  return value
}

/** Every row of a table as text, sorted; how rows lie in files may differ from run to run. */
async function tableDigest(warehouse: string, name: string): Promise<{ rows: number; sha256: string }> {
  const { ports, close } = await openWarehouse({ kind: 'directory', dir: warehouse })
  try {
    const table = await loadTable(ports.catalog, ports.objects, { namespace: 'trades', name })
    if (table === undefined) throw new Error(`no table ${name}`)
    const rows: string[] = []
    for (const { file } of await planFiles(ports.objects, table.metadata)) {
      const bytes = readFileSync(file.filePath.replace('file://', ''))
      const objects = await parquetReadObjects({ file: new Uint8Array(bytes).buffer, compressors, utf8: false })
      for (const row of objects) rows.push(JSON.stringify(row, bits))
    }
    return { rows: rows.length, sha256: createHash('sha256').update(rows.sort().join('\n')).digest('hex') }
  } finally {
    close()
  }
}

async function tablesAfter(name: string, source: RunSource, commitIntervalMs: number, interruptAt: readonly number[] = []) {
  const warehouse = join(dir, name)
  const once = async (stopAfter: number) => {
    const abort = new AbortController()
    const onProgress = ({ records }: { records: number }) => records >= stopAfter && abort.abort()
    const at = { kind: 'directory', dir: warehouse } as const
    await run({ plan: planOf(trades), warehouse: at, source, untilEnd: true, commitIntervalMs, signal: abort.signal, onProgress })
  }
  for (const records of interruptAt) await once(records)
  await once(Number.POSITIVE_INFINITY)
  return Object.fromEntries(await Promise.all(TABLES.map(async (table) => [table, await tableDigest(warehouse, table)] as const)))
}

describe('the same topic gives the same rows in every table, bit for bit', () => {
  it('whatever the batches, the interleaving of partitions, redeliveries, commits and interruptions', {
    timeout: 120_000,
  }, async () => {
    const events = (name: string, options: Parameters<typeof lambdaEvents>[1]) => {
      const file = join(dir, name)
      writeFileSync(file, [...lambdaEvents(generateTrades(TRADES), options)].join('\n'))
      return { kind: 'events', file } as const
    }
    const input = join(dir, 'trades.ndjson')
    writeFileSync(input, Buffer.concat([...generateTrades(TRADES)]))
    const expected = await tablesAfter('input', { kind: 'input', file: input, partitions: 4 }, 1000)
    expect(expected.raw_trades.rows + expected.dead_letters.rows).toBe(TRADES.count)
    expect(expected.agg_1m.rows).toBeGreaterThan(100)
    expect(expected.agg_1m_late.rows).toBeGreaterThan(10)
    expect(expected.dead_letters.rows).toBeGreaterThan(10)

    expect(await tablesAfter('interrupted', { kind: 'input', file: input, partitions: 4 }, 1, [5000, 7000, 1])).toEqual(expected)
    const small = events('small.ndjson', { partitions: 4, batchRecords: 300, seed: 2, duplicateShare: 0.3 })
    expect(await tablesAfter('small', small, 20)).toEqual(expected)
    const large = events('large.ndjson', { partitions: 4, batchRecords: 10_000, seed: 3, duplicateShare: 0.1 })
    expect(await tablesAfter('large', large, 60_000)).toEqual(expected)
  })
})
