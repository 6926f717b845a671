import type { Batch } from '../columns/batch.ts'
import { concat, project } from '../columns/operations.ts'
import type { Fields } from '../columns/schema.ts'
import { sortedRows } from '../columns/sort.ts'
import { refused } from '../errors.ts'
import { type DataFileJson, dataFile, dataFileToJson } from '../iceberg/data-file.ts'
import { writtenFields } from '../iceberg/evolve.ts'
import { partitionPath, type Route, routeByPartition } from '../iceberg/partition.ts'
import { dataDir } from '../iceberg/paths.ts'
import { parquetOptionsOf } from '../iceberg/properties.ts'
import type { TableMetadata } from '../iceberg/types.ts'
import { type ParquetFiles, parquetFiles } from '../parquet/files.ts'
import type { TablePlan } from '../pipeline/plan.ts'
import type { TableId } from '../ports/catalog.ts'
import { dataFileName } from '../protocol/names.ts'
import { type Runtime, tableId } from './runtime.ts'

/** Tables are made with one partition spec and one sort order (`newTable`); neither evolves. */
const SPEC_ID = 0
const SORT_ORDER_ID = 1

/**
 * Collects a checkpoint's rows of one table into one Parquet file per table partition, or several where one would grow too
 * large.
 */
export interface TableWriter {
  append(batch: Batch): void
  /** Writes the files; nothing when no row came. */
  finish(): Promise<readonly DataFileJson[]>
}

/**
 * Rows of an unsorted table stream into their partition's file as they come (memory: compressed pages). Rows of a sorted
 * table are held until the end (memory: the checkpoint's rows, bounded by `maxCheckpointBytes`).
 *
 * Files have all columns that the table has, also those that this definition lacks: during a roll-out a slice may have been
 * staged by a later one, which has made the column already, and nothing of it may be lost. What a slice lacks is null.
 *
 * @param metadata the table's, as it is now: it has columns and their ids, and its properties say where files lie and how they
 * are written
 */
export function tableWriter(runtime: Runtime, plan: TablePlan, n: number, metadata: TableMetadata): TableWriter {
  const fields = writtenFields(metadata)
  const id = tableId(runtime, plan.name)
  const options = parquetOptionsOf(id, metadata.properties)
  const dir = dataDir(metadata)
  const partitions = new Map<string, { route: Route; files: ParquetFiles }>()
  const held: Batch[] = []

  const write = (batch: Batch): void => {
    for (const route of routeByPartition(plan.partitionBy, batch)) {
      let partition = partitions.get(route.key)
      if (partition === undefined) {
        partition = { route, files: parquetFiles(fields, options) }
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
      const files = parquetFiles(fields, options)
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
      // By name: a slice carries the fields of the definition that staged it.
      assertTakesAll(id, fields, batch)
      const rows = project(batch, fields)
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

/** A column that the table does not take would be lost for good, and look like one that was always null. */
function assertTakesAll(id: TableId, fields: Fields, batch: Batch): void {
  for (const { name, type } of batch.fields) {
    const field = fields.find((candidate) => candidate.name === name)
    if (field?.type === type) continue
    throw refused(
      `Cannot commit to table ${id.namespace}.${id.name}: rows are staged with column ${name} ${type}, and the table has ${field === undefined ? 'none of this name' : `${name} ${field.type}`}. Give the table that column back, or run or deploy the definition that staged them: it adds optional columns.`,
    )
  }
}
