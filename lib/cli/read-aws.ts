import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openGlueCatalog } from '../aws/glue-catalog.ts'
import { openS3Objects } from '../aws/s3-objects.ts'
import { corrupt } from '../errors.ts'
import type { WarehouseAt } from '../local/warehouse.ts'
import type { Objects } from '../ports/objects.ts'
import { shownWarehouse } from './arguments.ts'
import { loadTables, type ReadWarehouse } from './read-warehouse.ts'

/** Files fetched at once, and bytes of a file at a time: what bounds the memory of a query. */
const PARALLEL = 4
const PIECE_BYTES = 8 * 1024 * 1024

/**
 * A warehouse on S3, its tables in Glue: those of them that lie below its location. DuckDB as npm has it reads local files only,
 * so the files a scan plans are fetched into a directory that goes with the command.
 */
export async function readAws(at: Extract<WarehouseAt, { kind: 'aws' }>): Promise<ReadWarehouse> {
  const catalog = openGlueCatalog({})
  const objects = openS3Objects({})
  const fetched = new Map<string, Promise<string>>()
  let dir: Promise<string> | undefined
  try {
    const tables = await loadTables(catalog, objects, (_, location) => location.startsWith(at.location))
    return {
      name: shownWarehouse(at),
      objects,
      tables,
      async localFiles(locations) {
        dir ??= mkdtemp(join(tmpdir(), 'frazil-query-'))
        const root = await dir
        const paths: string[] = []
        for (let i = 0; i < locations.length; i += PARALLEL) {
          const some = locations.slice(i, i + PARALLEL).map((location) => {
            const path = fetched.get(location) ?? fetchFile(objects, location, join(root, `${fetched.size}.parquet`))
            fetched.set(location, path)
            return path
          })
          paths.push(...(await Promise.all(some)))
        }
        return paths
      },
      async close() {
        objects.close()
        if (dir !== undefined) await rm(await dir, { recursive: true, force: true })
      },
    }
  } finally {
    catalog.close()
  }
}

async function fetchFile(objects: Objects, location: string, path: string): Promise<string> {
  const sizeBytes = await objects.size(location)
  const file = await open(path, 'wx')
  try {
    for (let offset = 0; sizeBytes !== undefined && offset < sizeBytes; offset += PIECE_BYTES) {
      const piece = await objects.get(location, { offset, length: Math.min(PIECE_BYTES, sizeBytes - offset) })
      if (piece === undefined) break
      await file.write(piece)
    }
    if ((await file.stat()).size !== sizeBytes)
      throw corrupt(`Cannot read data file ${location}: expected ${sizeBytes ?? 'it to be there'}, found less. Restore the file.`)
  } finally {
    await file.close()
  }
  return path
}
