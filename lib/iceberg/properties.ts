import { refused } from '../errors.ts'
import { MAX_DICTIONARY_BYTES, MAX_PAGE_BYTES, type ParquetOptions } from '../parquet/writer.ts'
import { readWriteProperties } from '../pipeline/table-properties.ts'
import type { TableId } from '../ports/catalog.ts'

/**
 * What every table of ours starts with; a table's own properties win. A commit a minute would leave 1,440 metadata files a day,
 * each with all snapshots in it.
 */
export const DEFAULT_PROPERTIES: Readonly<Record<string, string>> = {
  'write.parquet.compression-codec': 'zstd',
  'write.metadata.delete-after-commit.enabled': 'true',
  'write.metadata.previous-versions-max': '20',
}

/** Iceberg's default of `write.target-file-size-bytes`. */
const DEFAULT_TARGET_FILE_BYTES = 512 << 20

/**
 * How a table's data files are to be written, as its current properties say; the writer's own defaults where they are silent.
 * Sizes are upper bounds, so that those beyond what the writer can do are met by its own. Throws `Refused`, naming table,
 * property and way out, for a value that cannot be.
 */
export function parquetOptionsOf(id: TableId, properties: Readonly<Record<string, string>>): Partial<ParquetOptions> {
  const read = readWriteProperties(properties)
  if (read.verdict === 'Wrong')
    throw refused(
      `Cannot write files of table ${id.namespace}.${id.name}: ${read.why}. Set it right, or unset it, with the engine that set it; nothing is lost, what is staged waits for the next commit.`,
    )
  const { codec, level, rowGroupBytes, pageBytes, pageRows, dictionaryBytes, targetFileBytes } = read.properties
  return {
    codec,
    ...(level !== undefined && codec === 'zstd' && { zstdLevel: level }),
    ...(level !== undefined && codec === 'gzip' && { gzipLevel: level }),
    ...(rowGroupBytes !== undefined && { rowGroupBytes }),
    ...(pageBytes !== undefined && { pageBytes: Math.min(pageBytes, MAX_PAGE_BYTES) }),
    ...(pageRows !== undefined && { pageRows }),
    ...(dictionaryBytes !== undefined && { maxDictionaryBytes: Math.min(dictionaryBytes, MAX_DICTIONARY_BYTES) }),
    targetFileBytes: targetFileBytes ?? DEFAULT_TARGET_FILE_BYTES,
  }
}
