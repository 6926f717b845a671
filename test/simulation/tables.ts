import { inflateRawSync } from 'node:zlib'
import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { type Canonical, canonical } from './oracle.ts'

/**
 * Reads Iceberg tables without the library: metadata by JSON.parse, manifests by a small interpreting Avro reader (Avro
 * 1.11 specification, object container files), Parquet by hyparquet.
 */
export interface TableState {
  readonly uuid: string
  readonly properties: Readonly<Record<string, string>>
  readonly files: readonly string[]
  /** Metadata, manifest lists and manifests that this state needs. */
  readonly needs: readonly string[]
  readonly snapshots: readonly {
    readonly id: string
    readonly parent: string | undefined
    readonly summary: Readonly<Record<string, string>>
  }[]
}

export interface TableReader {
  state(location: string): TableState
  rows(file: string): Promise<readonly Canonical[]>
}

interface Entry {
  readonly path: string
  readonly rows: number
  readonly bytes: number
  readonly live: boolean
}

type AvroType =
  | string
  | {
      type: AvroType
      name?: string
      fields?: { name: string; type: AvroType }[]
      items?: AvroType
      values?: AvroType
      symbols?: string[]
      size?: number
    }
  | AvroType[]

/** Schemas repeat, file after file. */
const schemas = new Map<string, AvroType>()

export function readAvro(bytes: Uint8Array): Record<string, unknown>[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.toString('latin1', 0, 4) !== 'Obj\u0001') throw new Error('not an Avro file')
  let data = buffer
  let at = 4
  const long = (): bigint => {
    let result = 0n
    let shift = 0n
    for (;;) {
      const byte = data[at++]
      result |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return (result >> 1n) ^ -(result & 1n)
      shift += 7n
    }
  }
  const chunk = (length: number) => data.subarray(at, (at += length))
  const blocks = (each: () => void) => {
    for (let count = Number(long()); count !== 0; count = Number(long())) {
      if (count < 0) {
        count = -count
        long()
      }
      for (let i = 0; i < count; i++) each()
    }
  }
  const read = (type: AvroType): unknown => {
    if (Array.isArray(type)) return read(type[Number(long())])
    if (typeof type === 'object') {
      if (type.type === 'record') return Object.fromEntries((type.fields ?? []).map((field) => [field.name, read(field.type)]))
      if (type.type === 'array') {
        const list: unknown[] = []
        blocks(() => list.push(read(type.items ?? 'null')))
        return list
      }
      if (type.type === 'map') {
        const map: Record<string, unknown> = {}
        blocks(() => {
          const key = chunk(Number(long())).toString()
          map[key] = read(type.values ?? 'null')
        })
        return map
      }
      if (type.type === 'fixed') return chunk(type.size ?? 0)
      if (type.type === 'enum') return type.symbols?.[Number(long())]
      return read(type.type)
    }
    switch (type) {
      case 'null':
        return null
      case 'boolean':
        return data[at++] === 1
      case 'int':
        return Number(long())
      case 'long':
        return long()
      case 'float':
        return data.readFloatLE((at += 4) - 4)
      case 'double':
        return data.readDoubleLE((at += 8) - 8)
      case 'string':
        return chunk(Number(long())).toString()
      case 'bytes':
        return chunk(Number(long()))
      default:
        throw new Error(`unknown Avro type ${type}`)
    }
  }
  const header: Record<string, string> = {}
  blocks(() => {
    const key = chunk(Number(long())).toString()
    header[key] = chunk(Number(long())).toString()
  })
  at += 16
  const text = header['avro.schema']
  let schema = schemas.get(text)
  if (schema === undefined) schemas.set(text, (schema = JSON.parse(text) as AvroType))
  const rows: Record<string, unknown>[] = []
  while (at < buffer.length) {
    const count = Number(long())
    const block = chunk(Number(long()))
    const after = at + 16
    if (header['avro.codec'] === 'deflate') {
      data = inflateRawSync(block)
      at = 0
    } else at -= block.length
    for (let i = 0; i < count; i++) rows.push(read(schema) as Record<string, unknown>)
    data = buffer
    at = after
  }
  return rows
}

/** Parses JSON whose 63-bit ids must not be rounded: they become text. */
export function parseMetadata(bytes: Uint8Array): Record<string, unknown> {
  return JSON.parse(
    Buffer.from(bytes)
      .toString()
      .replace(/([:[]\s*)(-?\d{16,})(?=\s*[,}\]])/g, '$1"$2"'),
  ) as Record<string, unknown>
}

interface Snapshot {
  readonly 'snapshot-id': number | string
  readonly 'parent-snapshot-id'?: number | string
  readonly 'manifest-list': string
  readonly summary: Record<string, string>
}

export function tableReader(archive: ReadonlyMap<string, Uint8Array>): TableReader {
  const bytesOf = (location: string): Uint8Array => {
    const bytes = archive.get(location)
    if (bytes === undefined) throw new Error(`${location} was never written`)
    return bytes
  }
  const states = new Map<string, TableState>()
  const manifests = new Map<string, readonly Entry[]>()
  const rows = new Map<string, readonly Canonical[]>()
  const declared = new Map<string, Entry>()

  const manifestOf = (path: string): readonly Entry[] => {
    let entries = manifests.get(path)
    if (entries === undefined) {
      entries = readAvro(bytesOf(path)).map((entry) => {
        const file = entry.data_file as Record<string, unknown>
        return {
          path: String(file.file_path),
          rows: Number(file.record_count),
          bytes: Number(file.file_size_in_bytes),
          live: entry.status !== 2,
        }
      })
      for (const entry of entries) declared.set(entry.path, entry)
      manifests.set(path, entries)
    }
    return entries
  }

  return {
    state(location) {
      const known = states.get(location)
      if (known !== undefined) return known
      const metadata = parseMetadata(bytesOf(location))
      const snapshots = (metadata.snapshots ?? []) as Snapshot[]
      const current = snapshots.find((snapshot) => snapshot['snapshot-id'] === metadata['current-snapshot-id'])
      const needs = [location]
      const files: string[] = []
      if (current !== undefined) {
        needs.push(current['manifest-list'])
        for (const manifest of readAvro(bytesOf(current['manifest-list']))) {
          const path = String(manifest.manifest_path)
          needs.push(path)
          for (const entry of manifestOf(path)) if (entry.live) files.push(entry.path)
        }
      }
      const state: TableState = {
        uuid: String(metadata['table-uuid']),
        properties: (metadata.properties ?? {}) as Record<string, string>,
        files,
        needs,
        snapshots: snapshots.map((snapshot) => ({
          id: String(snapshot['snapshot-id']),
          parent: snapshot['parent-snapshot-id'] === undefined ? undefined : String(snapshot['parent-snapshot-id']),
          summary: snapshot.summary,
        })),
      }
      states.set(location, state)
      return state
    },

    async rows(file) {
      const known = rows.get(file)
      if (known !== undefined) return known
      const bytes = bytesOf(file)
      const buffer = Uint8Array.from(bytes).buffer
      const read = await parquetReadObjects({
        file: { byteLength: buffer.byteLength, slice: (start, end) => buffer.slice(start, end) },
        utf8: false,
        parsers: { timestampFromMicroseconds: (value: bigint) => value },
        compressors,
      })
      const entry = declared.get(file)
      if (entry !== undefined && (entry.rows !== read.length || entry.bytes !== bytes.length))
        throw new Error(
          `${file} is declared with ${entry.rows} rows and ${entry.bytes} bytes, found ${read.length} and ${bytes.length}`,
        )
      const result = read.map((row) => {
        const out: Record<string, string> = {}
        for (const [name, value] of Object.entries(row)) out[name] = canonical(value)
        return out
      })
      rows.set(file, result)
      return result
    },
  }
}
