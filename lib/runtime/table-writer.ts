import type { Batch } from '../columns/batch.ts'
import { concat, select } from '../columns/operations.ts'
import { sortedRows } from '../columns/sort.ts'
import { type DataFileJson, dataFile, dataFileToJson } from '../iceberg/data-file.ts'
import { partitionPath, type Route, routeByPartition } from '../iceberg/partition.ts'
import { dataDir } from '../iceberg/paths.ts'
import { parquetOptionsOf } from '../iceberg/properties.ts'
import type { TableMetadata } from '../iceberg/types.ts'
import { type ParquetFiles, parquetFiles } from '../parquet/files.ts'
import type { TablePlan } from '../pipeline/plan.ts'
import { dataFileName } from '../protocol/names.ts'
import { type Runtime, tableId } from './runtime.ts'

/** Tables are made with one partition spec and one sort order (`newTable`); neither evolves yet. */
const SPEC_ID = 0
const SORT_ORDER_ID = 1

/** Collects a checkpoint's rows of one table into one Parquet file per table partition, or several where one would grow too large. */
export interface TableWriter {
  append(batch: Batch): void
  /** Writes the files; nothing when no row came. */
  finish(): Promise<readonly DataFileJson[]>
}

/**
 * Rows of an unsorted table stream into their partition's file as they come (memory: compressed pages). Rows of a sorted
 * table are held until the end (memory: the checkpoint's rows, bounded by `maxCheckpointBytes`).
 *
 * @param metadata the table's, as it is now: its properties say where files lie and how they are written
 */
export function tableWriter(runtime: Runtime, plan: TablePlan, n: number, metadata: TableMetadata): TableWriter {
  const options = parquetOptionsOf(tableId(runtime, plan.name), metadata.properties)
  const dir = dataDir(metadata)
  const partitions = new Map<string, { route: Route; files: ParquetFiles }>()
  const held: Batch[] = []

  const write = (batch: Batch): void => {
    for (const route of routeByPartition(plan.partitionBy, batch)) {
      let partition = partitions.get(route.key)
      if (partition === undefined) {
        partition = { route, files: parquetFiles(plan.fields, options) }
        partitions.set(route.key, partition)
      }
      if (route.rows.length === batch.rows) partition.files.append(batch)
      else partition.files.append(batch, route.rows)
    }
  }

  const writeSorted = (): void => {
    const all = concat(held)
    const order = sortedRows(all, plan.sortBy)
    for (const route of routeByPartition(plan.partitionBy, all)) {
      const files = parquetFiles(plan.fields, options)
      const mine = new Uint8Array(all.rows)
      for (const row of route.rows) mine[row] = 1
      files.append(
        all,
        order.filter((row) => mine[row] === 1),
      )
      partitions.set(route.key, { route, files })
    }
  }

  return {
    append(batch) {
      // By name: a slice written under an older schema id carries its own fields.
      const rows = select(batch, plan.fields)
      if (plan.sortBy.length > 0) held.push(rows)
      else write(rows)
    },
    async finish() {
      if (held.length > 0) writeSorted()
      const written: DataFileJson[] = []
      const sortOrderId = plan.sortBy.length > 0 ? SORT_ORDER_ID : undefined
      for (const key of [...partitions.keys()].sort()) {
        const { route, files } = partitions.get(key) as { route: Route; files: ParquetFiles }
        partitions.delete(key)
        const folder = partitionPath(plan, route.values)
        for (const file of files.finish()) {
          const path = `${dir}/${folder === '' ? '' : `${folder}/`}${dataFileName(n, runtime.ports.random.uuid())}`
          await runtime.ports.objects.put(path, file.parts)
          written.push(dataFileToJson(dataFile(file, { location: path, specId: SPEC_ID, partition: route.values, sortOrderId })))
        }
      }
      return written
    },
  }
}
