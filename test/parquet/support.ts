import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { type FileMetaData, parquetMetadata, parquetReadObjects } from 'hyparquet'
import { DEFAULT_PARSERS } from 'hyparquet/src/convert.js'
import { compressors } from 'hyparquet-compressors'
import type { Batch, BytesVector, Value, Vector } from '../../lib/columns/batch.ts'
import type { ColumnType, Fields } from '../../lib/columns/schema.ts'
import { batchOf } from '../../lib/columns/values.ts'
import { type ParquetFile, type ParquetOptions, parquetWriter } from '../../lib/parquet/writer.ts'

export type Row = Readonly<Record<string, Value>>

export const utf8 = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** Columns named after their type, ids 11, 12 …; optional ones unless `required`. */
export function fieldsOf(types: readonly ColumnType[], required = false): Fields {
  return types.map((type, i) => ({ id: 11 + i, name: `${type}_${i}`, type, required }))
}

export function write(fields: Fields, batches: readonly Batch[], options: Partial<ParquetOptions> = {}): ParquetFile {
  const writer = parquetWriter(fields, options)
  for (const batch of batches) writer.append(batch)
  return writer.finish()
}

export function writeRows(fields: Fields, rows: readonly Row[], options: Partial<ParquetOptions> = {}): ParquetFile {
  return write(fields, [batchOf(fields, rows)], options)
}

/** The same batch without dictionaries: row i is entry i. */
export function withoutCodes(batch: Batch): Batch {
  return { ...batch, vectors: batch.vectors.map((vector) => plainVector(vector, batch.rows)) }
}

function plainVector(vector: Vector, rows: number): Vector {
  if ((vector.type !== 'string' && vector.type !== 'binary') || vector.codes === undefined) return vector
  const { codes } = vector
  const values = Array.from({ length: rows }, (_, i) => {
    const isNull = vector.validity !== undefined && vector.validity[i] === 0
    return isNull ? new Uint8Array(0) : vector.bytes.subarray(vector.offsets[codes[i]!], vector.offsets[codes[i]! + 1])
  })
  return { ...bytesVector(vector.type, values), validity: vector.validity }
}

export function bytesVector(type: 'string' | 'binary', values: readonly Uint8Array[]): BytesVector {
  const offsets = new Int32Array(values.length + 1)
  for (const [i, value] of values.entries()) offsets[i + 1] = offsets[i]! + value.length
  return { type, codes: undefined, entries: values.length, offsets, bytes: Buffer.concat(values), validity: undefined }
}

export function bytesOf(file: ParquetFile): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(file.sizeBytes)
  let at = 0
  for (const part of file.parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

export function metadataOf(file: ParquetFile): FileMetaData {
  return parquetMetadata(bytesOf(file).buffer)
}

/** Values as they are stored, but strings. */
const PARSERS = {
  ...DEFAULT_PARSERS,
  timestampFromMicroseconds: (micros: bigint) => micros as never,
  stringFromBytes: (bytes: Uint8Array | undefined) => bytes && decoder.decode(bytes),
}

/** hyparquet's reading: values as our batches give them (micros as bigint, bytes as bytes). */
export async function readWithHyparquet(fields: Fields, file: ParquetFile): Promise<Row[]> {
  const rows = await parquetReadObjects({
    file: bytesOf(file).buffer,
    compressors,
    utf8: false,
    parsers: PARSERS,
  })
  return rows.map((row) =>
    Object.fromEntries(
      fields.map(({ name }) => [name, row[name] instanceof Uint8Array ? Uint8Array.from(row[name]) : (row[name] ?? null)]),
    ),
  )
}

/** Runs SQL over the file, which it names as $FILE; DuckDB's rows as JavaScript values. */
export async function queryWithDuckDb(file: ParquetFile, sql: string): Promise<Record<string, unknown>[]> {
  const folder = mkdtempSync(join(tmpdir(), 'frazil-parquet-'))
  try {
    const path = join(folder, 'file.parquet')
    writeFileSync(path, bytesOf(file))
    const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
    const connection = await instance.connect()
    try {
      const reader = await connection.runAndReadAll(sql.replaceAll('$FILE', `'${path}'`))
      return reader.getRowObjectsJS() as Record<string, unknown>[]
    } finally {
      connection.closeSync()
      instance.closeSync()
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
