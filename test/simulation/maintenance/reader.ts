import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { canonical, lineOf } from '../oracle.ts'
import { parseMetadata, readAvro } from '../tables.ts'

/** Reads whole tables, every snapshot of them, without the library. */
export interface SnapshotState {
  readonly id: string
  readonly parent: string | undefined
  readonly list: string
  readonly summary: Readonly<Record<string, string>>
}

export interface TableState {
  /** Of its metadata file. */
  readonly location: string
  readonly uuid: string
  readonly properties: Readonly<Record<string, string>>
  readonly current: string | undefined
  readonly refs: ReadonlyMap<string, string>
  readonly snapshots: ReadonlyMap<string, SnapshotState>
  readonly metadataLog: readonly string[]
}

/** A live file of a snapshot. */
export interface LiveFile {
  readonly path: string
  readonly sequence: bigint
  readonly partition: string
  readonly records: number
}

/** What one snapshot holds, by its manifest list. */
export interface Contents {
  readonly data: ReadonlyMap<string, LiveFile>
  readonly deletes: readonly LiveFile[]
  /** Manifest list, manifests, live files. */
  readonly reached: ReadonlySet<string>
}

export interface FullReader {
  state(location: string): TableState
  contents(snapshot: Pick<SnapshotState, 'list'>): Contents
  /** The rows of a snapshot, in canonical text, position deletes applied; in no order. */
  rows(snapshot: Pick<SnapshotState, 'list'>): Promise<readonly string[]>
  /** The rows of one data file as they lie in it. */
  rowsIn(path: string): Promise<readonly string[]>
}

interface RawSnapshot {
  readonly 'snapshot-id': number | string
  readonly 'parent-snapshot-id'?: number | string
  readonly 'manifest-list': string
  readonly summary: Record<string, string>
}

interface Entry extends Omit<LiveFile, 'sequence'> {
  readonly status: number
  readonly sequence: bigint | null
}

const ADDED = 1
const DELETED = 2
const text = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part))

/** Objects are immutable, so what was decoded once is kept. */
export function fullReader(archive: ReadonlyMap<string, Uint8Array>): FullReader {
  const bytesOf = (location: string): Uint8Array => {
    const bytes = archive.get(location)
    if (bytes === undefined) throw new Error(`${location} was never written`)
    return bytes
  }
  const states = new Map<string, TableState>()
  const lists = new Map<string, Contents>()
  const manifests = new Map<string, readonly Entry[]>()
  const decoded = new Map<string, Promise<readonly Readonly<Record<string, unknown>>[]>>()
  const lines = new Map<string, Promise<readonly string[]>>()

  const manifestOf = (path: string): readonly Entry[] => {
    let entries = manifests.get(path)
    if (entries === undefined) {
      entries = readAvro(bytesOf(path)).map((entry) => {
        const file = entry.data_file as Record<string, unknown>
        return {
          status: Number(entry.status),
          sequence: entry.sequence_number as bigint | null,
          path: String(file.file_path),
          partition: text(file.partition),
          records: Number(file.record_count),
        }
      })
      manifests.set(path, entries)
    }
    return entries
  }

  const contents: FullReader['contents'] = ({ list }) => {
    const known = lists.get(list)
    if (known !== undefined) return known
    const data = new Map<string, LiveFile>()
    const deletes: LiveFile[] = []
    const reached = new Set([list])
    for (const manifest of readAvro(bytesOf(list))) {
      const path = String(manifest.manifest_path)
      reached.add(path)
      for (const entry of manifestOf(path)) {
        if (entry.status === DELETED) continue
        const inherited = entry.status === ADDED ? (manifest.sequence_number as bigint) : undefined
        const file = { ...entry, sequence: entry.sequence ?? inherited ?? 0n }
        reached.add(entry.path)
        if (Number(manifest.content) === 1) deletes.push(file)
        else if (data.has(entry.path)) throw new Error(`${list} holds ${entry.path} twice`)
        else data.set(entry.path, file)
      }
    }
    const result = { data, deletes, reached }
    lists.set(list, result)
    return result
  }

  const decode = (path: string) => {
    let rows = decoded.get(path)
    if (rows === undefined) {
      const buffer = Uint8Array.from(bytesOf(path)).buffer
      rows = parquetReadObjects({
        file: { byteLength: buffer.byteLength, slice: (start, end) => buffer.slice(start, end) },
        utf8: false,
        parsers: { timestampFromMicroseconds: (value: bigint) => value },
        compressors,
      })
      decoded.set(path, rows)
    }
    return rows
  }

  const rowsIn = (path: string): Promise<readonly string[]> => {
    let found = lines.get(path)
    if (found === undefined) {
      found = decode(path).then((rows) => {
        const columns = rows.length === 0 ? [] : Object.keys(rows[0]).sort()
        return rows.map((row) =>
          lineOf(Object.fromEntries(Object.entries(row).map(([name, value]) => [name, canonical(value)])), columns),
        )
      })
      lines.set(path, found)
    }
    return found
  }

  return {
    state(location) {
      const known = states.get(location)
      if (known !== undefined) return known
      const metadata = parseMetadata(bytesOf(location))
      const current = metadata['current-snapshot-id'] as number | string | null | undefined
      const snapshots = ((metadata.snapshots ?? []) as RawSnapshot[]).map((snapshot): [string, SnapshotState] => {
        const parent = snapshot['parent-snapshot-id']
        const id = String(snapshot['snapshot-id'])
        return [
          id,
          {
            id,
            parent: parent === undefined ? undefined : String(parent),
            list: snapshot['manifest-list'],
            summary: snapshot.summary,
          },
        ]
      })
      const refs = Object.entries((metadata.refs ?? {}) as Record<string, { 'snapshot-id': number | string }>)
      const state: TableState = {
        location,
        uuid: String(metadata['table-uuid']),
        properties: (metadata.properties ?? {}) as Record<string, string>,
        current: current === undefined || current === null || current === -1 ? undefined : String(current),
        refs: new Map(refs.map(([name, ref]) => [name, String(ref['snapshot-id'])])),
        snapshots: new Map(snapshots),
        metadataLog: ((metadata['metadata-log'] ?? []) as { 'metadata-file': string }[]).map((entry) => entry['metadata-file']),
      }
      states.set(location, state)
      return state
    },
    contents,
    rowsIn,
    async rows(snapshot) {
      const { data, deletes } = contents(snapshot)
      const gone = new Set<string>()
      for (const { path, sequence } of deletes)
        for (const { file_path, pos } of await decode(path)) {
          const target = data.get(String(file_path))
          if (target !== undefined && target.sequence <= sequence) gone.add(`${file_path} ${pos}`)
        }
      const rows: string[] = []
      for (const { path, records } of data.values()) {
        const all = await rowsIn(path)
        if (all.length !== records) throw new Error(`${path} is declared with ${records} rows, found ${all.length}`)
        for (const [i, line] of all.entries()) if (!gone.has(`${path} ${i}`)) rows.push(line)
      }
      return rows
    },
  }
}
