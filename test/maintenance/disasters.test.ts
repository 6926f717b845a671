import { describe, expect, it } from 'vitest'
import { commitUnknown } from '../../lib/errors.ts'
import type { TablePorts } from '../../lib/iceberg/change.ts'
import { currentSnapshot } from '../../lib/iceberg/metadata.ts'
import { loadTable } from '../../lib/iceberg/scan.ts'
import { compactJob, mergeManifests, previewCompaction } from '../../lib/maintenance/compact.ts'
import { expireSnapshots } from '../../lib/maintenance/expire.ts'
import { sweepOrphans } from '../../lib/maintenance/orphans.ts'
import { DEFAULT_MAINTENANCE } from '../../lib/pipeline/maintenance.ts'
import type { TableId } from '../../lib/ports/catalog.ts'
import { commitAll } from '../../lib/runtime/advance.ts'
import { commit } from '../../lib/runtime/commit.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { logsAt } from '../../lib/runtime/maintain.ts'
import { provision } from '../../lib/runtime/provision.ts'
import { trim } from '../../lib/runtime/trim.ts'
import { batch, trade, type World, world } from '../runtime/world.ts'
import { DAY, EAGER, NO_LIMITS, rowsOf, START, tableWorld } from './world.ts'

const RAW: TableId = { namespace: 'trades', name: 'raw_trades' }
const NOTHING_KEPT = { keepMs: 0, retainLast: 1, thinAfterMs: undefined }
const LATER = 30 * DAY

/** Compaction of everything in raw_trades. */
async function compactAll(ports: TablePorts, id = RAW) {
  const { jobs } = await previewCompaction(ports, id, EAGER, NO_LIMITS, LATER)
  return Promise.all(jobs.map((job) => compactJob(ports, job, EAGER, NO_LIMITS)))
}

const offsetsOf = async (w: World) => (await w.rows('raw_trades')).map((row) => Number(row.kafka_offset))

/** Runs `meanwhile` at the first call of a method that `when` picks, before it is made. */
function racing<P extends object, K extends keyof P>(
  port: P,
  method: K,
  when: (...args: never[]) => boolean,
  meanwhile: () => Promise<void>,
): P {
  let done = false
  const original = port[method] as (...args: never[]) => Promise<unknown>
  const call = async (...args: never[]) => {
    if (!done && when(...args)) {
      done = true
      await meanwhile()
    }
    return original(...args)
  }
  return { ...port, [method]: call }
}

/** "Expiry that removes files a tag still needs" and "orphan cleanup with a different URI scheme" are with the tests of expiry and orphans. */
describe('known disasters', () => {
  describe('cleanup racing a slow commit', () => {
    const sweepAll = async (w: World) => {
      const options = {
        olderThanMs: 0,
        quarantineMs: 0,
        nowMs: LATER,
        apply: true,
        logsOf: logsAt(w.ports, 'memory://staging/'),
        others: [],
      }
      await sweepOrphans(w.ports, RAW, options)
      await sweepOrphans(w.ports, RAW, options)
    }
    const prepared = async () => {
      const w = world()
      await provision(w.runtime, { trades: [0] })
      await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5)])])
      await commitAll(w.runtime)
      // Litter, so that the sweep has something to delete.
      await w.ports.objects.put('memory://warehouse/trades/raw_trades/data/litter.parquet', [new Uint8Array(1)])
      await ingest(w.runtime, [batch(0, 1, [trade('A', 20, 6)])])
      return w
    }
    const litter = (w: World) => w.ports.objects.size('memory://warehouse/trades/raw_trades/data/litter.parquet')

    it('files that were written before their checkpoint was appended are not swept', async () => {
      const w = await prepared()
      const log = racing(
        w.ports.log,
        'put',
        (key: string) => key.startsWith('checkpoint/'),
        () => sweepAll(w),
      )
      await commit(w.again({ ports: { log } }))
      expect(await litter(w)).toBeUndefined()
      expect(await offsetsOf(w)).toEqual([0, 1])
    })

    it('nor when they wait for the swap, which is lost to the sweep and made again', async () => {
      const w = await prepared()
      const catalog = racing(
        w.ports.catalog,
        'swap',
        ({ name }: TableId) => name === 'raw_trades',
        () => sweepAll(w),
      )
      const report = await commit(w.again({ ports: { catalog } }))
      expect(report.conflicts).toBe(1)
      expect(await litter(w)).toBeUndefined()
      expect(await offsetsOf(w)).toEqual([0, 1])
    })
  })

  it('compaction racing a commit whose files it just replaced: the commit adds them once', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 5)])])
    await commitAll(w.runtime)
    await ingest(w.runtime, [batch(0, 1, [trade('A', 20, 6)])])
    const { catalog } = w.ports
    let swaps = 0
    const unsure = {
      ...catalog,
      swap: async (...swap: Parameters<typeof catalog.swap>) => {
        const swapped = await catalog.swap(...swap)
        if (swap[0].name !== 'raw_trades' || swaps++ > 0) return swapped
        const [compacted] = await compactAll(w.ports)
        expect(compacted).toMatchObject({ filesBefore: 2, filesAfter: 1 })
        await expireSnapshots(w.ports, RAW, NOTHING_KEPT, LATER, true)
        throw commitUnknown('Cannot swap: expected an answer, found none.')
      },
    }
    await commit(w.again({ ports: { catalog: unsure } }))
    expect(swaps).toBe(1)
    expect(await w.files('raw_trades')).toEqual([expect.stringContaining('/compact-')])
    expect(await offsetsOf(w)).toEqual([0, 1])
    await commitAll(w.runtime)
    expect(await offsetsOf(w)).toEqual([0, 1])
  })

  it('metadata.json growth: files and bytes stay few however many commits come', async () => {
    const t = await tableWorld()
    const minute = 60_000
    const measure = async () => {
      const { pointer } = await t.load()
      const files = (await t.locations()).filter((location) => location.endsWith('.metadata.json'))
      return { bytes: (await t.ports.objects.size(pointer.metadataLocation)) ?? 0, files: files.length }
    }
    const file = await t.write(rowsOf(0, 1))
    const sizes: { bytes: number; files: number }[] = []
    for (let i = 1; i <= 360; i++) {
      t.at(START + i * minute)
      await t.append(i === 1 ? [file] : [], { 'frazil.trades.marker': `i1:${i}` }, { 'frazil.trades.marker': `i1:${i}` })
      if (i % 60 !== 0) continue
      const policy = { ...DEFAULT_MAINTENANCE.expire, keepMs: 60 * minute }
      await expireSnapshots(t.ports, t.id, policy, t.now(), true)
      sizes.push(await measure())
    }
    const [, second] = sizes
    for (const { bytes, files } of sizes.slice(2)) {
      expect(bytes).toBeLessThan(second.bytes * 1.1)
      expect(files).toBe(second.files)
    }
    // The current one, and as many earlier ones as the table's property asks for.
    expect(second.files).toBe(21)
  })

  it('a zombie after a trim: what it put into a trimmed slot is not acknowledged on its strength', async () => {
    const w = world()
    await provision(w.runtime, { trades: [0] })
    const [first, second, third] = [trade('A', 10, 5), trade('A', 20, 6), trade('A', 30, 7)]
    const log = racing(
      w.ports.log,
      'put',
      (key: string) => key.startsWith('staging/'),
      async () => {
        await ingest(w.runtime, [batch(0, 0, [first])])
        await ingest(w.runtime, [batch(0, 1, [second])])
        await commitAll(w.runtime)
        expect((await trim(w.runtime)).logs[0].floor).toBe(1)
      },
    )
    const report = await ingest(w.again({ ports: { log } }), [batch(0, 0, [first, second, third])])
    expect(report.records).toBe(1)
    await commitAll(w.runtime)
    expect(await offsetsOf(w)).toEqual([0, 1, 2])
  })

  it('a compaction that slept through a sweep: it gives up, and the next one does its work', async () => {
    const t = await tableWorld()
    await t.commits(rowsOf(0, 4), rowsOf(4, 4))
    const rows = await t.offsets()
    const catalog = racing(
      t.ports.catalog,
      'swap',
      () => true,
      async () => {
        const options = {
          olderThanMs: 0,
          quarantineMs: 0,
          nowMs: t.now(),
          apply: true,
          logsOf: async () => undefined,
          others: [],
        }
        const { deleted } = await sweepOrphans(t.ports, t.id, options)
        expect(deleted.filter(({ location }) => location.includes('/compact-'))).toHaveLength(1)
      },
    )
    const [slept] = await compactAll({ ...t.ports, catalog }, t.id)
    expect(slept).toMatchObject({ filesBefore: 0, gaveUp: [{ why: 'orphans were swept meanwhile' }] })
    expect(await t.offsets()).toEqual(rows)
    const [again] = await compactAll(t.ports, t.id)
    expect(again).toMatchObject({ filesBefore: 2, filesAfter: 1, gaveUp: [] })
    expect((await t.offsets()).sort()).toEqual(rows.sort())
  })

  it('a merge of manifests that slept through an expiry: it reads the table again', async () => {
    const t = await tableWorld()
    const [, last] = await t.commits(rowsOf(0, 2), rowsOf(2, 2))
    const list = (await t.load()).metadata.snapshots.find((snapshot) => snapshot['snapshot-id'] === last)?.['manifest-list']
    const objects = racing(
      t.ports.objects,
      'get',
      (location: string) => location === list,
      async () => {
        await t.commits(rowsOf(4, 2))
        t.at(START + DAY)
        await expireSnapshots(t.ports, t.id, NOTHING_KEPT, t.now(), true)
        expect(await t.ports.objects.size(list ?? '')).toBeUndefined()
      },
    )
    expect(await mergeManifests({ ...t.ports, objects }, t.id, true)).toMatchObject({ after: 1 })
    expect((await t.offsets()).sort()).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('a reader that slept while metadata files were let go: it reads those there are', async () => {
    const t = await tableWorld({ properties: { 'write.metadata.previous-versions-max': '1' } })
    await t.commits(rowsOf(0, 2))
    const { pointer } = await t.load()
    const objects = racing(
      t.ports.objects,
      'get',
      (location: string) => location === pointer.metadataLocation,
      async () => {
        await t.commits(rowsOf(2, 2), rowsOf(4, 2))
        expect(await t.ports.objects.size(pointer.metadataLocation)).toBeUndefined()
      },
    )
    const table = await loadTable(t.ports.catalog, objects, t.id)
    expect(table?.metadata.snapshots).toHaveLength(3)
    expect(currentSnapshot(table?.metadata ?? (await t.load()).metadata)?.summary['total-records']).toBe('6')
  })

  it('a table whose metadata is lost is told from one that was changed', async () => {
    const t = await tableWorld()
    const { pointer } = await t.load()
    await t.ports.objects.delete(pointer.metadataLocation)
    await expect(loadTable(t.ports.catalog, t.ports.objects, t.id)).rejects.toThrow(/expected its metadata at/)
  })
})
