import { crc32 } from 'node:zlib'
import type { Batch, Value } from '../../lib/columns/batch.ts'
import { concat } from '../../lib/columns/concat.ts'
import { sortedRows } from '../../lib/columns/sort.ts'
import { valueAt } from '../../lib/columns/values.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { writtenFields } from '../../lib/iceberg/evolve.ts'
import { currentSchema, defaultSortOrder } from '../../lib/iceberg/metadata.ts'
import { objectLocation } from '../../lib/iceberg/paths.ts'
import { reachableFiles, reachableMetadata } from '../../lib/iceberg/reachable.ts'
import { type LoadedTable, loadTable } from '../../lib/iceberg/scan.ts'
import { sortByOf } from '../../lib/iceberg/schema.ts'
import { hasLiveFiles, readSnapshot } from '../../lib/iceberg/snapshot.ts'
import { lookAtWarehouse } from '../../lib/local/warehouse.ts'
import { readParquet } from '../../lib/parquet/reader.ts'
import type { Objects } from '../../lib/ports/objects.ts'

// Every table of a warehouse at every snapshot, by Frazil's own reader: node snapshots.ts WAREHOUSE. Prints one JSON object: rows and sum of each
// snapshot as test/services/snapshots.py defines them, and how large tables are. Fails for a file that is not in the order it declares.
// Snapshots with delete files have no figures: Frazil does not read those.

const UNIT = 2 ** 20

function textOf(value: Value, type: string): string {
  if (value === null) return '-'
  if (type === 'double') return String(BigInt(Math.floor(Number(value) * UNIT)))
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : String(value)
}

function sumOf({ fields, rows, vectors }: Batch): bigint {
  let sum = 0
  for (let row = 0; row < rows; row++)
    sum += crc32(vectors.map((vector, i) => textOf(valueAt(vector, row), fields[i].type)).join('\t'))
  return BigInt(sum)
}

/** Rows and sum of a file, and whether it is in the order that it declares. */
async function fileFigures(objects: Objects, { metadata }: LoadedTable, file: DataFile): Promise<readonly [number, bigint]> {
  const bytes = await objects.get(file.filePath)
  if (bytes === undefined) throw new Error(`${file.filePath} is gone`)
  const batch = concat([...readParquet(bytes, writtenFields(metadata), file.filePath)])
  if ((file.sortOrderId ?? 0) !== 0) {
    const order = sortedRows(batch, sortByOf(defaultSortOrder(metadata), currentSchema(metadata)))
    if (order.some((row, i) => row !== i)) throw new Error(`${file.filePath} is not in its order ${file.sortOrderId}`)
  }
  return [batch.rows, sumOf(batch)]
}

async function tableFigures(objects: Objects, table: LoadedTable) {
  const { metadata, pointer } = table
  const known = new Map<string, readonly [number, bigint]>()
  const figures: Record<string, readonly [number, string]> = {}
  for (const { 'snapshot-id': id } of metadata.snapshots) {
    const { data, deletes } = await readSnapshot(objects, metadata, id)
    if (deletes.length > 0) continue
    let rows = 0
    let sum = 0n
    for (const { file } of data) {
      const one = known.get(file.filePath) ?? (await fileFigures(objects, table, file))
      known.set(file.filePath, one)
      rows += one[0]
      sum += one[1]
    }
    figures[String(id)] = [rows, String(sum)]
  }
  const began = performance.now()
  const { data, deletes, manifests } = await readSnapshot(objects, metadata)
  const planMs = performance.now() - began
  const needed = new Set(await reachableFiles(objects, metadata))
  for (const location of reachableMetadata(metadata, pointer.metadataLocation)) needed.add(location)
  const stored: Record<string, number> = {}
  for await (const { location, sizeBytes } of objects.list(`${objectLocation(metadata.location)}/`)) stored[location] = sizeBytes
  const missing = [...needed].filter((location) => stored[location] === undefined)
  if (missing.length > 0) throw new Error(`missing files: ${missing.join(', ')}`)
  return {
    snapshots: figures,
    current: metadata['current-snapshot-id'] === undefined ? null : String(metadata['current-snapshot-id']),
    garbage: Object.keys(stored).filter((location) => !needed.has(location)),
    size: {
      snapshots: metadata.snapshots.length,
      files: data.length,
      deleteFiles: deletes.length,
      sortedFiles: data.filter(({ file }) => (file.sortOrderId ?? 0) !== 0).length,
      bytes: data.reduce((sum, { file }) => sum + file.sizeBytes, 0),
      manifests: manifests.filter(hasLiveFiles).length,
      planMs: Number(planMs.toFixed(1)),
      metadataBytes: (await objects.size(objectLocation(pointer.metadataLocation))) ?? 0,
      storedBytes: Object.values(stored).reduce((sum, bytes) => sum + bytes, 0),
    },
  }
}

const warehouse = await lookAtWarehouse({ kind: 'directory', dir: process.argv[2] ?? '' })
const { catalog, objects } = warehouse.ports
const tables: Record<string, Awaited<ReturnType<typeof tableFigures>>> = {}
for (const id of await catalog.list()) {
  const table = await loadTable(catalog, objects, id)
  if (table !== undefined) tables[id.name] = await tableFigures(objects, table)
}
warehouse.close()
console.log(JSON.stringify(tables))
