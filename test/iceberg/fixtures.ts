import { createHash } from 'node:crypto'
import type { Fields } from '../../lib/columns/schema.ts'
import { numbered } from '../../lib/columns/schema.ts'
import { createTable, newTable } from '../../lib/iceberg/create.ts'
import { type DataFile, dataFile } from '../../lib/iceberg/data-file.ts'
import { loadTable } from '../../lib/iceberg/scan.ts'
import type { TableMetadata } from '../../lib/iceberg/types.ts'
import { DEFAULT_MAINTENANCE } from '../../lib/pipeline/maintenance.ts'
import type { TablePlan } from '../../lib/pipeline/plan.ts'
import { memoryCatalog } from '../../lib/ports/memory/catalog.ts'
import { memoryObjects } from '../../lib/ports/memory/objects.ts'
import type { Random } from '../../lib/ports/time.ts'

/** UUIDs that look random and are the same each run. */
export function seededRandom(seed = 1): Random {
  let n = 0
  return {
    uuid() {
      const hex = createHash('sha256').update(`${seed}/${n++}`).digest('hex')
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
    },
  }
}

export const tradeFields: Fields = numbered([
  { name: 'symbol', type: 'string', required: true },
  { name: 'event_time', type: 'timestamptz', required: true },
  { name: 'price', type: 'double', required: true },
  { name: 'note', type: 'binary', required: false },
  { name: 'kafka_offset', type: 'long', required: true },
])

export const tradesPlan: TablePlan = {
  name: 'raw_trades',
  fields: tradeFields,
  partitionBy: [{ column: 'event_time', transform: { kind: 'day' } }],
  sortBy: [
    { column: 'symbol', direction: 'asc' },
    { column: 'event_time', direction: 'desc' },
  ],
  properties: {},
  maintenance: DEFAULT_MAINTENANCE,
}

export const tradesId = { namespace: 'trades', name: 'raw_trades' }
export const UUID = '4c3c5017-d85a-475a-ad4f-0683c7b86abc'
export const NOW = 1_795_244_252_251

export function tradesMetadata(plan: TablePlan = tradesPlan, properties: Record<string, string> = {}): TableMetadata {
  return newTable({ uuid: UUID, location: 'memory://w/trades/raw_trades', plan, properties, nowMs: NOW })
}

/** A table in memory, created. */
export async function tradesTable(plan: TablePlan = tradesPlan) {
  const catalog = memoryCatalog()
  const objects = memoryObjects()
  const random = seededRandom()
  await createTable({ catalog, objects, random, id: tradesId, metadata: tradesMetadata(plan) })
  const load = async () => {
    const table = await loadTable(catalog, objects, tradesId)
    if (table === undefined) throw new Error('the table is gone')
    return table
  }
  return { catalog, objects, random, load }
}

/** A file of `rows` rows in a day's partition. */
export function fileOf(name: string, day: number | null, rows = 10, overrides: Partial<DataFile> = {}): DataFile {
  const bytes = (...of: number[]) => Uint8Array.from(of)
  const file = dataFile(
    {
      sizeBytes: rows * 100,
      rows,
      splitOffsets: [4],
      columns: [
        { fieldId: 1, sizeBytes: 40, values: rows, nulls: 0, nans: undefined, lower: bytes(65), upper: bytes(90, 255) },
        {
          fieldId: 3,
          sizeBytes: 80,
          values: rows,
          nulls: 0,
          nans: 2,
          lower: new Uint8Array(8),
          upper: new Uint8Array(8).fill(7),
        },
        { fieldId: 4, sizeBytes: 9, values: rows, nulls: rows, nans: undefined, lower: undefined, upper: undefined },
      ],
    },
    { location: `memory://w/trades/raw_trades/data/${name}.parquet`, specId: 0, partition: [day], sortOrderId: 1 },
  )
  return { ...file, ...overrides }
}
