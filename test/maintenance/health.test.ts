import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { appendFiles } from '../../lib/iceberg/append.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { parseMetadata } from '../../lib/iceberg/metadata.ts'
import { newManifest, newSnapshot, prepareSnapshot } from '../../lib/iceberg/prepare.ts'
import { manifestsOf } from '../../lib/iceberg/snapshot.ts'
import type { TableMetadata } from '../../lib/iceberg/types.ts'
import {
  adviceOf,
  CHECKPOINT_WAIT_MS,
  EXPIRY_GRACE_MS,
  METADATA_CRITICAL_BYTES,
  METADATA_WARNING_BYTES,
  SMALL_FILES_CRITICAL,
  SMALL_FILES_WARNING,
  SMALL_MANIFESTS_WARNING,
} from '../../lib/maintenance/advice.ts'
import { type HealthOptions, healthOf, type LastCheckpoint } from '../../lib/maintenance/health.ts'
import { DEFAULT_MAINTENANCE, type MaintenancePlan } from '../../lib/pipeline/maintenance.ts'
import type { TablePlan } from '../../lib/pipeline/plan.ts'
import { memoryObjects } from '../../lib/ports/memory/objects.ts'
import { fileOf, NOW, seededRandom, tradesMetadata, tradesPlan } from '../iceberg/fixtures.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const MB = 1 << 20
const TABLE = 'trades.raw_trades'
/** 2026-01-01 */
const DAY = 20454

/** A table in memory that is committed to at times of the test's own. */
function house(plan: TablePlan = tradesPlan, properties: Record<string, string> = {}) {
  const objects = memoryObjects()
  const random = seededRandom()
  let metadata: TableMetadata = tradesMetadata(plan, properties)
  let names = 0
  const options = (nowMs: number, summary: Record<string, string> = {}, set: Record<string, string> = {}) => ({
    metadata,
    metadataLocation: 'memory://w/trades/raw_trades/metadata/00000-x.metadata.json',
    objects,
    random,
    nowMs,
    summary,
    properties: set,
  })
  return {
    metadata: () => metadata,
    change(next: (metadata: TableMetadata) => TableMetadata) {
      metadata = next(metadata)
    },
    async append(
      nowMs: number,
      files: readonly DataFile[],
      summary: Record<string, string> = {},
      set: Record<string, string> = {},
    ) {
      metadata = (await appendFiles({ ...options(nowMs, summary, set), files })).metadata
    },
    /** As another engine does, which deletes rows by position. */
    async deleteByPosition(nowMs: number, file: DataFile) {
      const snapshot = newSnapshot(options(nowMs))
      const entry = { status: 1, snapshotId: snapshot.snapshotId, sequenceNumber: null, fileSequenceNumber: null, file }
      const none = { files: 0, rows: 0, bytes: 0 }
      metadata = (
        await prepareSnapshot(snapshot, options(nowMs), {
          operation: 'overwrite',
          written: [newManifest(snapshot, [entry], 0)],
          carried: snapshot.parent === undefined ? [] : await manifestsOf(objects, snapshot.parent),
          delta: {
            added: none,
            removed: none,
            removedDeletes: { files: 0, positions: 0, equalities: 0, bytes: 0 },
            changedPartitions: 1,
          },
        })
      ).metadata
    },
    files: (count: number, day: number | null, sizeBytes: number, overrides: Partial<DataFile> = {}) =>
      Array.from({ length: count }, () => fileOf(`f${names++}`, day, 10, { sizeBytes, ...overrides })),
    health: (nowMs: number, more: Partial<HealthOptions> = {}) =>
      healthOf(objects, metadata, { metadataBytes: 1000, policy: DEFAULT_MAINTENANCE, nowMs, ...more }),
  }
}

const codes = (findings: ReturnType<typeof adviceOf>) => findings.map(({ code, severity }) => `${severity} ${code}`)

describe('files', () => {
  test('are counted by partition, size and sort order', async () => {
    const table = house()
    await table.append(NOW, [
      ...table.files(2, DAY, 5 * MB),
      ...table.files(1, DAY + 1, 400 * MB, { sortOrderId: undefined }),
      ...table.files(1, DAY + 1, 600 * MB),
    ])
    const health = await table.health(NOW)
    expect(health).toMatchObject({
      data: { files: 4, rows: 40, bytes: 1010 * MB },
      targetFileBytes: 512 * MB,
      small: { files: 2, bytes: 10 * MB },
      sorted: { files: 3, bytes: 610 * MB },
      deletes: { files: 0, bytes: 0 },
      manifests: { count: 1, small: { count: 1 } },
    })
    expect(health.histogram.map(({ files }) => files)).toEqual([2, 0, 0, 1, 1])
    expect(health.partitions.map(({ partition, data }) => [partition, data.files, data.rows])).toEqual([
      ['event_time_day=2026-01-01', 2, 20],
      ['event_time_day=2026-01-02', 2, 20],
    ])
  })

  test('of an empty table are none, and nothing is wrong with it', async () => {
    const health = await house().health(NOW)
    expect(health).toMatchObject({ data: { files: 0, rows: 0 }, partitions: [], snapshots: { count: 0, oldestMs: null, due: 0 } })
    expect(adviceOf(health, TABLE)).toEqual([])
  })

  test("are small below three quarters of the table's own target", async () => {
    const table = house(tradesPlan, { 'write.target-file-size-bytes': '1000' })
    await table.append(NOW, [...table.files(1, DAY, 749), ...table.files(1, DAY, 750)])
    expect(await table.health(NOW)).toMatchObject({ targetFileBytes: 1000, small: { files: 1, bytes: 749 } })
  })

  test('of a table that has no sort order are in none', async () => {
    const table = house({ ...tradesPlan, sortBy: [] })
    await table.append(NOW, table.files(1, DAY, MB, { sortOrderId: undefined }))
    expect((await table.health(NOW)).sorted).toBeUndefined()
  })
})

describe('small files', () => {
  test('are a finding once their partition got nothing for an hour, with the command that compacts them', async () => {
    const table = house()
    await table.append(NOW, table.files(1440, DAY, 96_000))
    expect(adviceOf(await table.health(NOW + HOUR_MS - 1), TABLE)).toEqual([])
    const health = await table.health(NOW + HOUR_MS)
    expect(health.compactable).toEqual({ files: 1440, rows: 14_400, bytes: 1440 * 96_000 })
    expect(adviceOf(health, TABLE)).toEqual([
      {
        code: 'small-files',
        severity: 'warning',
        what: '1,440 files of 96 kB in event_time_day=2026-01-01',
        value: 1440,
        threshold: SMALL_FILES_WARNING,
        run: 'compact trades.raw_trades --apply',
        hint: undefined,
      },
    ])
  })

  test('of a partition that still collects are none of it, though the oldest are a day old', async () => {
    const table = house()
    await table.append(NOW, table.files(SMALL_FILES_WARNING, DAY, 96_000))
    await table.append(NOW + DAY_MS, table.files(1, DAY, 96_000))
    expect((await table.health(NOW + DAY_MS)).compactable.files).toBe(0)
    expect(adviceOf(await table.health(NOW + DAY_MS), TABLE)).toEqual([])
  })

  test('count one by one in a table that is not partitioned by time', async () => {
    const table = house({ ...tradesPlan, partitionBy: [{ column: 'symbol', transform: { kind: 'identity' } }] })
    const of = { partition: ['BTC'] }
    await table.append(NOW, table.files(SMALL_FILES_WARNING, 0, 96_000, of))
    await table.append(NOW + HOUR_MS, table.files(7, 0, 96_000, of))
    const health = await table.health(NOW + HOUR_MS)
    expect(health.compactable.files).toBe(SMALL_FILES_WARNING)
    expect(adviceOf(health, TABLE)[0].what).toBe('100 files of 96 kB in symbol=BTC')
  })

  test('fewer than a compaction takes in one partition are none of it, however many partitions there are', async () => {
    const table = house()
    const days = Array.from({ length: 100 }, (_, i) => table.files(4, DAY + i, 96_000))
    await table.append(NOW, days.flat())
    expect((await table.health(NOW + DAY_MS)).compactable.files).toBe(0)
  })

  test('do not count one that is larger than all others together', async () => {
    const table = house()
    await table.append(NOW, [...table.files(1, DAY, 100 * MB), ...table.files(6, DAY, MB)])
    expect((await table.health(NOW + DAY_MS)).compactable).toEqual({ files: 6, rows: 60, bytes: 6 * MB })
  })

  test('that fill a file are compacted, however few', async () => {
    const table = house()
    await table.append(NOW, table.files(3, DAY, 200 * MB))
    const limits = { maxGroupBytes: 2 ** 40, maxGroupValues: 2 ** 40 }
    expect((await table.health(NOW + DAY_MS, { limits })).compactable.files).toBe(3)
  })

  test('are compactable only as far as the memory of a compaction goes', async () => {
    const table = house()
    await table.append(NOW, table.files(100, DAY, 80 * MB))
    expect((await table.health(NOW + DAY_MS)).compactable.files).toBe(96)
    const limits = { maxGroupBytes: 100 * MB, maxGroupValues: 2 ** 40 }
    const health = await table.health(NOW + DAY_MS, { limits })
    expect(health.compactable.files).toBe(0)
    expect(adviceOf(health, TABLE)).toEqual([])
  })

  test('in the ten thousands are critical', async () => {
    const table = house()
    await table.append(NOW, table.files(SMALL_FILES_CRITICAL, DAY, 1000))
    expect(codes(adviceOf(await table.health(NOW + DAY_MS), TABLE))).toEqual(['critical small-files'])
  })

  test('are not judged where the policy never compacts', async () => {
    const table = house()
    await table.append(NOW, table.files(SMALL_FILES_WARNING, DAY, 1000))
    const policy: MaintenancePlan = { ...DEFAULT_MAINTENANCE, compact: undefined }
    expect(adviceOf(await table.health(NOW + DAY_MS, { policy }), TABLE)).toEqual([])
  })

  test('are as old as the next snapshot that is left, when their own has expired', async () => {
    const table = house()
    await table.append(NOW, table.files(SMALL_FILES_WARNING, DAY, 1000))
    await table.append(NOW + 2 * HOUR_MS, table.files(1, DAY + 1, 1000))
    table.change((metadata) => ({ ...metadata, snapshots: metadata.snapshots.slice(1) }))
    const [first] = (await table.health(NOW + 2 * HOUR_MS)).partitions
    expect(first).toMatchObject({
      data: { files: SMALL_FILES_WARNING },
      lastAddedMs: NOW + 2 * HOUR_MS,
      compactable: { files: 0 },
    })
  })
})

describe('deletes of another engine', () => {
  const deletes = (table: ReturnType<typeof house>) => table.files(1, DAY, 500, { content: 1, sortOrderId: undefined })[0]

  test('are counted, reported, and keep their partition from being compacted', async () => {
    const table = house()
    await table.append(NOW, [...table.files(SMALL_FILES_WARNING, DAY, 1000), ...table.files(SMALL_FILES_WARNING, DAY + 1, 1000)])
    await table.deleteByPosition(NOW, deletes(table))
    const health = await table.health(NOW + DAY_MS)
    expect(health).toMatchObject({ data: { files: 2 * SMALL_FILES_WARNING }, deletes: { files: 1, bytes: 500 } })
    expect(health.compactable.files).toBe(SMALL_FILES_WARNING)
    expect(codes(adviceOf(health, TABLE))).toEqual(['warning small-files', 'warning delete-files'])
    expect(adviceOf(health, TABLE)[1]).toMatchObject({ run: undefined, what: '1 delete file of another engine, in 1 partition' })
  })

  test('in a table of Spark and PyIceberg, by transforms of theirs, are named as they are', async () => {
    const dir = join(import.meta.dirname, '../iceberg/foreign')
    const objects = memoryObjects()
    for (const name of readdirSync(dir))
      await objects.put(`file:///warehouse/ns/t/metadata/${name}`, [readFileSync(join(dir, name))])
    const metadata = parseMetadata(readFileSync(join(dir, 'table.metadata.json')))
    const health = await healthOf(objects, metadata, { metadataBytes: 9, policy: DEFAULT_MAINTENANCE, nowMs: NOW })
    expect(health.data.files).toBe(5)
    expect(health.partitions.map(({ partition }) => partition)).toContainEqual(expect.stringMatching(/_trunc\w*=BT\//))
    expect(health.partitions.map(({ partition }) => partition)).toContainEqual(
      expect.stringMatching(/^event_time_day=2024-01-15\//),
    )
  })
})

describe('metadata', () => {
  test('of 10 MB is a warning, just before Glue refuses it critical', async () => {
    const table = house()
    const found = async (metadataBytes: number) => adviceOf(await table.health(NOW, { metadataBytes }), TABLE)
    expect(await found(METADATA_WARNING_BYTES - 1)).toEqual([])
    expect(await found(METADATA_WARNING_BYTES)).toMatchObject([{ code: 'metadata-size', severity: 'warning' }])
    expect(await found(METADATA_CRITICAL_BYTES)).toMatchObject([
      {
        severity: 'critical',
        value: METADATA_CRITICAL_BYTES,
        threshold: METADATA_CRITICAL_BYTES,
        run: `expire ${TABLE} --apply`,
      },
    ])
  })

  test('has its log, statistics, refs and fence counted', async () => {
    const table = house()
    await table.append(NOW, table.files(1, DAY, MB), {}, { 'frazil.fence': '7' })
    table.change((metadata) => ({
      ...metadata,
      statistics: [{ 'snapshot-id': 1n, 'statistics-path': 's' }],
      refs: { ...metadata.refs, v1: { 'snapshot-id': metadata.snapshots[0]['snapshot-id'], type: 'tag' } },
    }))
    expect(await table.health(NOW)).toMatchObject({ metadataLog: 1, statisticsFiles: 1, refs: 2, fence: 7 })
  })

  test('of many small manifests is a warning', async () => {
    const table = house()
    for (let i = 0; i < SMALL_MANIFESTS_WARNING; i++) await table.append(NOW + i, table.files(1, DAY, MB))
    expect(codes(adviceOf(await table.health(NOW + SMALL_MANIFESTS_WARNING), TABLE))).toEqual(['warning small-manifests'])
  })
})

describe('snapshots', () => {
  const { keepMs, retainLast } = DEFAULT_MAINTENANCE.expire
  const late = NOW + keepMs + EXPIRY_GRACE_MS

  test('long past their time are a warning, with their number and age', async () => {
    const table = house()
    for (let i = 0; i <= retainLast; i++) await table.append(NOW + i, table.files(1, DAY, 600 * MB))
    const health = await table.health(late)
    expect(health.snapshots).toEqual({ count: retainLast + 1, oldestMs: NOW, due: 1, oldestDueMs: NOW })
    expect(adviceOf(health, TABLE)).toMatchObject([
      { code: 'old-snapshots', what: '1 snapshot older than 7 days, the oldest 9 days', run: `expire ${TABLE} --apply` },
    ])
    expect(adviceOf(await table.health(late - 1), TABLE)).toEqual([])
    const [hourly] = adviceOf({ ...health, keepSnapshotsMs: 2 * 3_600_000 }, TABLE)
    expect(hourly.what).toBe('1 snapshot older than 2 hours, the oldest 9 days')
  })

  test('that a tag, a marker or the number to retain hold are not due', async () => {
    const table = house()
    const marker = { 'frazil.trades.marker': 'i:1' }
    await table.append(NOW, table.files(1, DAY, 600 * MB))
    await table.append(NOW, table.files(1, DAY, 600 * MB), marker, marker)
    for (let i = 0; i < retainLast; i++) await table.append(NOW + i, table.files(1, DAY, 600 * MB))
    expect((await table.health(late)).snapshots.due).toBe(1)
    table.change((metadata) => ({
      ...metadata,
      refs: { ...metadata.refs, v1: { 'snapshot-id': metadata.snapshots[0]['snapshot-id'], type: 'tag' } },
    }))
    expect((await table.health(late)).snapshots.due).toBe(0)
  })
})

describe('markers', () => {
  const advice = async (marker: string, last: LastCheckpoint | undefined, waitedMs = 0) => {
    const table = house(tradesPlan, { 'frazil.trades.marker': marker })
    const lastCheckpoints = last === undefined ? {} : { trades: last }
    return adviceOf(await table.health(NOW + waitedMs, { lastCheckpoints }), TABLE)
  }

  test('fit where the table has all that the logs have for it, at earlier checkpoints too', async () => {
    expect(await advice('i:3', { incarnation: 'i', n: 9, need: 3, atMs: NOW }, DAY_MS)).toEqual([])
    expect(await advice('i:3', undefined, DAY_MS)).toEqual([])
  })

  test('behind a checkpoint for a while are a warning, a moment after it none', async () => {
    const last = { incarnation: 'i', n: 4, need: 4, atMs: NOW }
    expect(await advice('i:3', last, CHECKPOINT_WAIT_MS - 1)).toEqual([])
    expect(await advice('i:3', last, CHECKPOINT_WAIT_MS)).toMatchObject([
      {
        code: 'marker-behind',
        severity: 'warning',
        what: 'checkpoint 4 of trades has waited 15 minutes to be in the table, which has 3',
      },
    ])
  })

  test('ahead of the logs, or of other logs, are critical', async () => {
    expect(await advice('i:5', { incarnation: 'i', n: 4, need: 4, atMs: NOW })).toMatchObject([
      { code: 'marker-foreign', severity: 'critical', value: 5, threshold: 4 },
    ])
    expect(codes(await advice('j:1', { incarnation: 'i', n: 4, need: 4, atMs: NOW }))).toEqual(['critical marker-foreign'])
  })

  test('come first among the findings when they are critical', async () => {
    const table = house(tradesPlan, { 'frazil.trades.marker': 'i:5' })
    await table.append(NOW, table.files(SMALL_FILES_WARNING, DAY, 1000))
    const lastCheckpoints = { trades: { incarnation: 'i', n: 4, need: 4, atMs: NOW } }
    expect(codes(adviceOf(await table.health(NOW + DAY_MS, { lastCheckpoints }), TABLE))).toEqual([
      'critical marker-foreign',
      'warning small-files',
    ])
  })
})
