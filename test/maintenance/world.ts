import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import type { Batch } from '../../lib/columns/batch.ts'
import { appendFiles } from '../../lib/iceberg/append.ts'
import { changeTable, type TablePorts } from '../../lib/iceberg/change.ts'
import { NO_DELETES, NONE } from '../../lib/iceberg/commit.ts'
import { createTable, newTable } from '../../lib/iceberg/create.ts'
import { CONTENT_POSITION_DELETES, type DataFile, dataFile } from '../../lib/iceberg/data-file.ts'
import { writtenFields } from '../../lib/iceberg/evolve.ts'
import { ADDED } from '../../lib/iceberg/manifest.ts'
import { currentSnapshot } from '../../lib/iceberg/metadata.ts'
import { newManifest, newSnapshot, prepareSnapshot } from '../../lib/iceberg/prepare.ts'
import { type LoadedTable, loadTable } from '../../lib/iceberg/scan.ts'
import { manifestsOf, readSnapshot } from '../../lib/iceberg/snapshot.ts'
import type { CompactionLimits } from '../../lib/maintenance/plan-compaction.ts'
import { parquetFiles } from '../../lib/parquet/files.ts'
import type { CompactPolicy } from '../../lib/pipeline/maintenance.ts'
import type { TablePlan } from '../../lib/pipeline/plan.ts'
import { memoryCatalog } from '../../lib/ports/memory/catalog.ts'
import { memoryObjects } from '../../lib/ports/memory/objects.ts'
import { seededRandom, tradesId, tradesPlan } from '../iceberg/fixtures.ts'

export const HOUR = 3_600_000
export const DAY = 24 * HOUR
/** Noon of a day. */
export const START = 20_500 * DAY + 12 * HOUR
export const NO_LIMITS: CompactionLimits = { maxGroupBytes: 2 ** 40, maxGroupValues: 2 ** 40 }
export const EAGER: CompactPolicy = {
  strategy: 'auto',
  targetFileBytes: undefined,
  minInputFiles: 2,
  coldAfterMs: 0,
  hot: true,
}

/** One row: symbol, event time, and an offset that names it. */
export interface Row {
  readonly symbol: string
  readonly timeMs: number
  readonly offset: number
}

/** A table of trades in memory with real Parquet files, on a clock moved by hand. */
export async function tableWorld(change: Partial<TablePlan> & { readonly location?: string } = {}) {
  let nowMs = START
  const clock = { now: () => nowMs, sleep: async () => {} }
  const ports: TablePorts = { catalog: memoryCatalog(), objects: memoryObjects(clock), random: seededRandom(), clock }
  const { location = 'memory://w/trades/raw_trades', ...layout } = change
  const plan: TablePlan = { ...tradesPlan, ...layout }
  const metadata = newTable({ uuid: ports.random.uuid(), location, plan, properties: plan.properties, nowMs })
  await createTable({ ...ports, id: tradesId, metadata })

  const load = async (): Promise<LoadedTable> => {
    const table = await loadTable(ports.catalog, ports.objects, tradesId)
    if (table === undefined) throw new Error('the table is gone')
    return table
  }
  const write = async (rows: readonly Row[], name?: string): Promise<DataFile> => {
    const table = await load()
    const files = parquetFiles(writtenFields(table.metadata))
    files.append(batchOf(table, rows))
    const [file] = files.finish()
    const day = plan.partitionBy.length === 0 ? [] : [Math.floor(rows[0].timeMs / DAY)]
    const at = `${table.metadata.location}/data/${name ?? `00000-0-${ports.random.uuid()}-00001.parquet`}`
    await ports.objects.put(at, file.parts)
    return dataFile(file, { location: at, specId: 0, partition: day })
  }
  const append = (files: readonly DataFile[], properties = {}, summary = {}, on: TablePorts = ports) =>
    changeTable(on, tradesId, 'append to', async ({ metadata: base, pointer }) => {
      const options = { metadata: base, metadataLocation: pointer.metadataLocation, objects: on.objects, random: on.random }
      const to = await appendFiles({ ...options, nowMs: clock.now(), files, summary, properties })
      return { verdict: 'Swap', to, result: currentSnapshot(to.metadata)?.['snapshot-id'] ?? 0n }
    })
  /** A commit of another engine: delete files beside the data that is there. */
  const commitDeletes = (files: readonly DataFile[]) =>
    changeTable(ports, tradesId, 'delete from', async ({ metadata: base, pointer }) => {
      const options = {
        metadata: base,
        metadataLocation: pointer.metadataLocation,
        objects: ports.objects,
        random: ports.random,
        nowMs: clock.now(),
        summary: {},
        properties: {},
      }
      const snapshot = newSnapshot(options)
      const entries = files.map((file) => {
        return { status: ADDED, snapshotId: snapshot.snapshotId, sequenceNumber: null, fileSequenceNumber: null, file }
      })
      const to = await prepareSnapshot(snapshot, options, {
        operation: 'delete',
        written: [newManifest(snapshot, entries, 0)],
        carried: snapshot.parent === undefined ? [] : await manifestsOf(ports.objects, snapshot.parent),
        delta: { added: NONE, removed: NONE, removedDeletes: NO_DELETES, changedPartitions: 1 },
      })
      return { verdict: 'Swap', to, result: snapshot.snapshotId }
    })
  const dataFiles = async (snapshotId?: bigint) =>
    (await readSnapshot(ports.objects, (await load()).metadata, snapshotId)).data.map(({ file }) => file)
  return {
    ports,
    id: tradesId,
    load,
    write,
    append,
    commitDeletes,
    dataFiles,
    at: (ms: number) => {
      nowMs = ms
    },
    now: () => nowMs,
    /** Appends each list of rows as a file and commit of its own. */
    async commits(...lists: readonly (readonly Row[])[]): Promise<bigint[]> {
      const ids: bigint[] = []
      for (const rows of lists) ids.push(await append([await write(rows)]))
      return ids
    },
    /** Offsets of a snapshot's rows, file by file in their order. */
    async offsets(snapshotId?: bigint): Promise<number[]> {
      const rows: number[] = []
      for (const { filePath } of await dataFiles(snapshotId)) {
        const bytes = await ports.objects.get(filePath)
        if (bytes === undefined) throw new Error(`no file ${filePath}`)
        const file = new Uint8Array(bytes).buffer
        for (const row of await parquetReadObjects({ file, compressors })) rows.push(Number(row.kafka_offset))
      }
      return rows
    },
    async locations(prefix = `${location}/`): Promise<string[]> {
      const all: string[] = []
      for await (const info of ports.objects.list(prefix)) all.push(info.location)
      return all.sort()
    },
  }
}

export type TableWorld = Awaited<ReturnType<typeof tableWorld>>

/** Rows of one day: offsets from `first` on, symbols going round. */
export function rowsOf(first: number, count: number, timeMs = START): Row[] {
  return Array.from({ length: count }, (_, i) => ({
    symbol: `S${(first + i * 7) % 5}`,
    timeMs: timeMs + i,
    offset: first + i,
  }))
}

/** A position-delete file as another engine commits it: in the partition of a data file, its rows naming others. */
export function deletesFor(file: DataFile, location: string): DataFile {
  return { ...file, content: CONTENT_POSITION_DELETES, filePath: location, recordCount: 1, sortOrderId: undefined }
}

function batchOf({ metadata }: LoadedTable, rows: readonly Row[]): Batch {
  const fields = writtenFields(metadata)
  const texts = rows.map(({ symbol }) => new TextEncoder().encode(symbol))
  const offsets = Int32Array.from([
    0,
    ...texts.map(
      (
        (sum) =>
        ({ length }) =>
          (sum += length)
      )(0),
    ),
  ])
  const bytes = new Uint8Array(Buffer.concat(texts))
  const strings = { codes: undefined, entries: rows.length, offsets, bytes, validity: undefined }
  const none = { entries: rows.length, offsets: new Int32Array(rows.length + 1), bytes: new Uint8Array() }
  return {
    fields,
    rows: rows.length,
    vectors: [
      { type: 'string', ...strings },
      { type: 'timestamptz', values: BigInt64Array.from(rows, ({ timeMs }) => BigInt(timeMs) * 1000n), validity: undefined },
      { type: 'double', values: Float64Array.from(rows, ({ offset }) => offset / 2), validity: undefined },
      { type: 'binary', codes: undefined, ...none, validity: new Uint8Array(rows.length) },
      { type: 'long', values: BigInt64Array.from(rows, ({ offset }) => BigInt(offset)), validity: undefined },
    ],
  }
}
