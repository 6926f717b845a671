import type { Batch } from '../columns/batch.ts'
import type { Fields } from '../columns/schema.ts'
import { type ParquetFile, type ParquetOptions, type ParquetWriter, parquetWriter } from './writer.ts'

/** Rows of one table partition as one file, or several where one would grow beyond `targetFileBytes`. */
export interface ParquetFiles {
  /** Adds the batch's rows, or those that `rows` names, in that order; the batch may be reused afterwards. */
  append(batch: Batch, rows?: Int32Array): void
  /** Ends the last file. None when no row came. */
  finish(): ParquetFile[]
}

export function parquetFiles(fields: Fields, options: Partial<ParquetOptions> = {}): ParquetFiles {
  const files: ParquetFile[] = []
  let open: ParquetWriter | undefined

  function close(): void {
    if (open !== undefined) files.push(open.finish())
    open = undefined
  }

  return {
    append(batch, rows) {
      const count = rows === undefined ? batch.rows : rows.length
      let at = 0
      while (at < count) {
        open ??= parquetWriter(fields, options)
        at = open.append(batch, rows, at)
        if (open.full) close()
      }
    },
    finish() {
      close()
      return files
    },
  }
}
