import { copyFileSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import type { Value } from '../lib/columns/batch.ts'
import { batchOf } from '../lib/columns/values.ts'
import { appendFiles } from '../lib/iceberg/append.ts'
import { changeTable } from '../lib/iceberg/change.ts'
import { createTable, newTable } from '../lib/iceberg/create.ts'
import { type DataFile, dataFile } from '../lib/iceberg/data-file.ts'
import { fileLocation } from '../lib/local/files.ts'
import { openWarehouse } from '../lib/local/warehouse.ts'
import { parquetFiles } from '../lib/parquet/files.ts'
import { linesOf } from './lambda-events.ts'
import { TRADE_FIELDS, type Trade } from './trade-fields.ts'
import { generateTrades } from './trades.ts'

export const TABLE = { namespace: 'bench', name: 'trades' }
const ROWS_PER_FILE = 5000
/** Files in one commit: how they came does not matter to a compaction. */
const FILES_PER_COMMIT = 100
const DAY_MS = 86_400_000
const DONE = 'input.json'

/**
 * A warehouse with one table of so many files of 5,000 trades, all of one day, ordered by (symbol, ts) as its sort order says but
 * written as they came. Made once for each count, below the temporary directory.
 */
export async function compactionInput(files: number): Promise<string> {
  const dir = join(tmpdir(), `frazil-compact-${files}`)
  if (existsSync(join(dir, DONE))) return dir
  rmSync(dir, { recursive: true, force: true })
  const warehouse = await openWarehouse({ kind: 'directory', dir })
  try {
    await makeTable(warehouse.ports, dir, files)
  } finally {
    warehouse.close()
  }
  copyFileSync(join(dir, 'catalog.db'), join(dir, 'catalog.db.input'))
  writeFileSync(join(dir, `${DONE}.new`), JSON.stringify(filesBelow(dir)))
  renameSync(join(dir, `${DONE}.new`), join(dir, DONE))
  return dir
}

/** Puts the catalog back to what it named at first, and deletes what was written since. */
export function resetInput(dir: string): void {
  copyFileSync(join(dir, 'catalog.db.input'), join(dir, 'catalog.db'))
  const kept = new Set(JSON.parse(readFileSync(join(dir, DONE), 'utf8')) as string[])
  for (const file of filesBelow(dir)) if (!kept.has(file)) rmSync(join(dir, file))
}

const filesBelow = (dir: string): readonly string[] =>
  readdirSync(join(dir, TABLE.namespace), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))

async function makeTable(ports: Awaited<ReturnType<typeof openWarehouse>>['ports'], dir: string, files: number): Promise<void> {
  const { catalog, objects, random, clock } = ports
  const location = fileLocation(join(dir, TABLE.namespace, TABLE.name))
  const plan = {
    fields: TRADE_FIELDS,
    partitionBy: [{ column: 'event_time', transform: { kind: 'day' } }],
    sortBy: [
      { column: 'symbol', direction: 'asc' },
      { column: 'ts', direction: 'asc' },
    ],
  } as const
  const nowMs = clock.now()
  await createTable({
    catalog,
    objects,
    random,
    id: TABLE,
    metadata: newTable({ uuid: random.uuid(), location, plan, properties: {}, nowMs }),
  })
  let added: DataFile[] = []
  const commit = async () => {
    const some = added
    added = []
    await changeTable(ports, TABLE, 'append to', async ({ metadata, pointer: { metadataLocation } }) => {
      const options = { metadata, metadataLocation, objects, random, nowMs: clock.now(), summary: {}, properties: {} }
      return { verdict: 'Swap', to: await appendFiles({ ...options, files: some }), result: undefined }
    })
  }
  let n = 0
  for (const rows of chunks(files)) {
    const writer = parquetFiles(TRADE_FIELDS)
    writer.append(batchOf(TRADE_FIELDS, rows))
    const day = Math.floor(Number(rows[0]?.ts) / DAY_MS)
    for (const file of writer.finish()) {
      const at = `${location}/data/event_time_day=${new Date(day * DAY_MS).toISOString().slice(0, 10)}/${String(n++).padStart(8, '0')}-${random.uuid()}.parquet`
      await objects.put(at, file.parts)
      added.push(dataFile(file, { location: at, specId: 0, partition: [day] }))
    }
    if (added.length === FILES_PER_COMMIT) await commit()
  }
  if (added.length > 0) await commit()
}

function* chunks(files: number): Generator<Record<string, Value>[]> {
  let rows: Record<string, Value>[] = []
  let offset = 0
  for (const line of linesOf(generateTrades({ count: files * ROWS_PER_FILE }))) {
    const { symbol, ts, price, qty, side } = JSON.parse(line.toString()) as Trade
    const origin = { kafka_partition: offset % 4, kafka_offset: offset++ }
    rows.push({ symbol, ts, price, qty, side, event_time: BigInt(ts) * 1000n, ...origin })
    if (rows.length < ROWS_PER_FILE) continue
    yield rows
    rows = []
  }
}
