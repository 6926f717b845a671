import { describe, expect, it } from 'vitest'
import { unavailable } from '../../lib/errors.ts'
import { memoryObjects } from '../../lib/ports/memory/objects.ts'
import type { ObjectInfo, Objects } from '../../lib/ports/objects.ts'
import { bodyName, checkpointLogKey, segmentName, stagingLogKey, stateName } from '../../lib/protocol/names.ts'
import { segmentParts } from '../../lib/protocol/segment.ts'
import { advanceToEnd, commitAll } from '../../lib/runtime/advance.ts'
import { checkpointAccess, lastCheckpoint } from '../../lib/runtime/checkpoints.ts'
import { cleanStaging } from '../../lib/runtime/clean-staging.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { openPartitions } from '../../lib/runtime/open-partitions.ts'
import { provision } from '../../lib/runtime/provision.ts'
import type { Runtime } from '../../lib/runtime/runtime.ts'
import { foreseeTrim, trim } from '../../lib/runtime/trim.ts'
import { batch, trade, type World, world } from './world.ts'

const STAGING = 'memory://staging/'
const DAY_MS = 86_400_000
const NOW_MS = 1000 * DAY_MS
const EVERYTHING = { nowMs: NOW_MS, olderThanMs: 0, apply: true }
const uuid = (n: number) => `99999999-0000-4000-8000-${String(n).padStart(12, '0')}`

/** Objects of a pipeline whose every delivery writes a segment, and whose clock may be set. */
function pipeline(): { w: World; runtime: Runtime; objects: Objects; at(ms: number): void } {
  let now = 0
  const objects = memoryObjects({ now: () => now })
  const w = world()
  const runtime = w.again({ limits: { inlineBytes: 0 }, ports: { objects } })
  return { w, runtime, objects, at: (ms) => (now = ms) }
}

/** A trade a minute in each of two partitions. */
const deliver = (runtime: Runtime, minute: number) =>
  ingest(
    runtime,
    [0, 1].map((p) => batch(p, minute, [trade('A', minute * 60 + 1, minute)])),
  )

/** Three checkpoints, each with a segment of its own; windows of the last minute are open. */
async function threeCommits(runtime: Runtime): Promise<void> {
  await provision(runtime, { trades: [0, 1] })
  for (const minute of [0, 1, 2]) {
    await deliver(runtime, minute)
    await commitAll(runtime)
  }
}

async function listed(objects: Objects, prefix = STAGING): Promise<ObjectInfo[]> {
  const all: ObjectInfo[] = []
  for await (const object of objects.list(prefix)) all.push(object)
  return all
}
const namesIn = async (objects: Objects, kind: string) =>
  (await listed(objects)).map(({ location }) => location.slice(STAGING.length)).filter((name) => name.includes(`/${kind}/`))

const nextSlot = async ({ ports, plan, incarnation }: Runtime, partition: number) => {
  const log = stagingLogKey(plan.name, 'trades', incarnation, 'trades', partition)
  return { log, slot: ((await ports.log.tail(log))?.slot ?? 0) + 1 }
}

describe('cleaning staging', () => {
  it('leaves the last body and what open windows refer to, and nothing else that is consumed', async () => {
    const { runtime, objects } = pipeline()
    await threeCommits(runtime)
    const last = await lastCheckpoint(runtime)
    const before = await listed(objects)
    const report = await cleanStaging(checkpointAccess(runtime), EVERYTHING)
    expect(report).toMatchObject({ checkpoint: last?.n, dead: { segments: { objects: 3 }, bodies: { objects: 2 } }, failed: 0 })
    expect(report.kept).toMatchObject({ young: { objects: 0 }, unknown: { objects: 0 } })
    expect(await namesIn(objects, 'segments')).toEqual([])
    expect(await namesIn(objects, 'checkpoints')).toEqual([last?.entry.body?.name])
    const refs = Object.values(last?.body?.state ?? {}).flatMap((of) => of.map(({ object }) => object))
    expect(refs.length).toBeGreaterThan(0)
    expect(await namesIn(objects, 'state')).toEqual(refs)
    const counted = [...Object.values(report.dead), ...Object.values(report.kept)]
    expect(counted.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(before.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))

    // And the pipeline goes on from what is left.
    await deliver(runtime, 3)
    expect(await advanceToEnd(runtime)).toBe(true)
    expect(await cleanStaging(checkpointAccess(runtime), EVERYTHING)).toMatchObject({ kept: { needed: { objects: 1 } } })
  })

  it('closes every window over what is left as it would have over all of it', async () => {
    const rowsOf = async (clean: boolean) => {
      const { w, runtime, objects } = pipeline()
      await provision(runtime, { trades: [0, 1] })
      for (let minute = 0; minute < 5; minute++) {
        await deliver(runtime, minute)
        if (minute !== 3) await commitAll(runtime)
        if (clean) await cleanStaging(checkpointAccess(runtime), EVERYTHING)
        if (clean) await trim(runtime)
      }
      await advanceToEnd(runtime)
      const files = (await listed(objects, 'memory://warehouse/')).filter(({ location }) => location.includes('agg_1m'))
      // Reads by the world's own objects: copied over.
      for (const { location } of await listed(objects, 'memory://warehouse/'))
        await w.ports.objects.put(location, [(await objects.get(location)) ?? new Uint8Array()])
      expect(files.length).toBeGreaterThan(0)
      return w.rows('agg_1m')
    }
    const rows = await rowsOf(false)
    expect(rows.length).toBe(5)
    expect(await rowsOf(true)).toEqual(rows)
  })

  it('deletes nothing for its age alone: staged and not consumed, in preparation, referred to, of others', async () => {
    const { runtime, objects } = pipeline()
    await threeCommits(runtime)
    await cleanStaging(checkpointAccess(runtime), EVERYTHING)
    await deliver(runtime, 3)
    const { n } = (await lastCheckpoint(runtime)) ?? { n: 0 }
    const put = (name: string, parts: readonly Uint8Array[] = []) => objects.put(STAGING + name, parts)
    await put(bodyName('trades', 'i1', n + 1, uuid(1)))
    await put(stateName('trades', 'i1', n + 1, uuid(2)))
    await put(bodyName('trades', 'another', 1, uuid(3)))
    // A segment whose put is on its way: for the next slot, beside one that is consumed.
    const next = await nextSlot(runtime, 0)
    const consumed = { log: next.log, slot: 1 }
    await put(segmentName('trades', 'i1', 'trades', 0, next.slot, uuid(4)), segmentParts([], [next]))
    await put(segmentName('trades', 'i1', 'trades', 0, 1, uuid(5)), segmentParts([], [consumed, next]))
    // None that anybody can decide: a log that no checkpoint knows, no footer, no name of ours.
    const foreign = { log: stagingLogKey('trades', 'trades', 'another', 'trades', 0), slot: 1 }
    await put(segmentName('trades', 'i1', 'trades', 0, 1, uuid(6)), segmentParts([], [consumed, foreign]))
    await put(segmentName('trades', 'i1', 'trades', 0, 1, uuid(7)), segmentParts([], []))
    await put(segmentName('trades', 'i1', 'trades', 0, 1, uuid(8)), [Buffer.from('not a segment')])
    await put('trades/i1/notes.txt', [Buffer.from('mine')])
    const before = await listed(objects)

    const report = await cleanStaging(checkpointAccess(runtime), { nowMs: NOW_MS, olderThanMs: DAY_MS, apply: true })
    expect(await listed(objects)).toEqual(before)
    expect(report.dead).toEqual({
      segments: { objects: 0, bytes: 0 },
      bodies: { objects: 0, bytes: 0 },
      state: { objects: 0, bytes: 0 },
    })
    expect(report.kept.unknown.objects).toBe(4)
    expect(report.kept.young.objects).toBe(0)
    // All but the four, and the other incarnation's, which is not looked at.
    expect(report.kept.needed.objects).toBe(before.length - 5)
  })

  it('goes by the footer of a segment, not by its name: the first batch of a call may have found room in its entry', async () => {
    const { runtime, objects } = pipeline()
    const mixed = { ...runtime, limits: { ...runtime.limits, inlineBytes: 1536 } }
    await provision(mixed, { trades: [0, 1] })
    const many = Array.from({ length: 200 }, (_, i) => trade(`S${i}`, 1, i / 7))
    // The segment is written for slot 1 of partition 1; its name says slot 2 of partition 0, which nobody has consumed yet.
    await ingest(mixed, [batch(0, 0, [trade('A', 1, 1)])])
    await commitAll(mixed)
    const crash = { ...mixed.ports.log, put: async () => Promise.reject(unavailable('Cannot write: expected an answer.')) }
    const both = [batch(0, 1, [trade('A', 1, 1)]), batch(1, 0, many)]
    const lost = { ...mixed, ports: { ...mixed.ports, log: crash } }
    await expect(ingest(lost, both)).rejects.toMatchObject({ kind: 'Unavailable' })
    await ingest(mixed, [batch(1, 0, many)])
    await commitAll(mixed)
    const segments = await namesIn(objects, 'segments')
    expect(segments.filter((name) => name.includes('/trades-0/2-'))).not.toEqual([])
    await cleanStaging(checkpointAccess(mixed), EVERYTHING)
    expect(await namesIn(objects, 'segments')).toEqual([])
  })

  it('leaves dead objects alone while they are young', async () => {
    const { runtime, objects, at } = pipeline()
    at(NOW_MS - 3 * DAY_MS)
    await provision(runtime, { trades: [0, 1] })
    await deliver(runtime, 0)
    at(NOW_MS - 3 * DAY_MS + 1)
    await deliver(runtime, 1)
    await commitAll(runtime)
    const report = await cleanStaging(checkpointAccess(runtime), { nowMs: NOW_MS, olderThanMs: 3 * DAY_MS, apply: true })
    expect(report).toMatchObject({ dead: { segments: { objects: 1 } }, kept: { needed: { objects: 0 } } })
    expect(await namesIn(objects, 'segments')).toHaveLength(1)
  })

  it('keeps the body that is in force behind entries that opened partitions', async () => {
    const { runtime, objects } = pipeline()
    await threeCommits(runtime)
    const body = (await lastCheckpoint(runtime))?.entry.body?.name
    await openPartitions(runtime, { trades: [0, 1, 2] })
    await openPartitions(runtime, { trades: [0, 1, 2, 3] })
    await cleanStaging(checkpointAccess(runtime), EVERYTHING)
    expect(await namesIn(objects, 'checkpoints')).toEqual([body])
    expect((await lastCheckpoint(runtime))?.sources.trades[3]).toBeDefined()
  })

  it('says what it would delete without --apply, and then deletes just that', async () => {
    const { runtime, objects } = pipeline()
    await threeCommits(runtime)
    const before = await listed(objects)
    const foreseen = await cleanStaging(checkpointAccess(runtime), { ...EVERYTHING, apply: false })
    expect(await listed(objects)).toEqual(before)
    expect(foreseen.dead.segments.objects).toBe(3)
    expect(await cleanStaging(checkpointAccess(runtime), EVERYTHING)).toEqual(foreseen)
  })

  it('reads a footer that is longer than the first guess', async () => {
    const { runtime, objects } = pipeline()
    const partitions = Array.from({ length: 120 }, (_, p) => p)
    await provision(runtime, { trades: partitions })
    await ingest(
      runtime,
      partitions.map((p) => batch(p, 0, [trade('A', 1, p)])),
    )
    await commitAll(runtime)
    expect(await namesIn(objects, 'segments')).toHaveLength(1)
    const report = await cleanStaging(checkpointAccess(runtime), EVERYTHING)
    expect(report.dead.segments.objects).toBe(1)
    expect(await namesIn(objects, 'segments')).toEqual([])
  })

  it('leaves what the store does not answer for to the next call', async () => {
    const { runtime, objects } = pipeline()
    await threeCommits(runtime)
    let calls = 0
    const flaky: Objects = {
      ...objects,
      async delete(location) {
        if (++calls % 2 === 1) throw unavailable('Cannot delete: expected an answer, found none.')
        return objects.delete(location)
      },
    }
    const access = checkpointAccess(runtime)
    const dead = (await cleanStaging(access, { ...EVERYTHING, apply: false })).dead
    const all = Object.values(dead).reduce((sum, count) => sum + count.objects, 0)
    const first = await cleanStaging({ ...access, objects: flaky }, EVERYTHING)
    expect(first.failed).toBe(Math.ceil(all / 2))
    const second = await cleanStaging(access, EVERYTHING)
    expect(Object.values(second.dead).reduce((sum, count) => sum + count.objects, 0)).toBe(first.failed)
  })

  it('stops when the time is up and goes on in the next call', async () => {
    const { runtime, objects } = pipeline()
    await threeCommits(runtime)
    let asked = 0
    const remainingMs = () => (++asked > 2 ? 1000 : 60_000)
    const access = checkpointAccess(runtime)
    const before = await listed(objects)
    expect(await cleanStaging(access, { ...EVERYTHING, remainingMs })).toMatchObject({ more: true })
    expect((await listed(objects)).length).toBeGreaterThanOrEqual(before.length - 2)
    expect(await cleanStaging(access, EVERYTHING)).toMatchObject({ more: false })
    expect(await namesIn(objects, 'segments')).toEqual([])
  })

  it('deletes nothing where no checkpoint is, or the last one cannot be read', async () => {
    const { runtime, objects } = pipeline()
    await objects.put(STAGING + bodyName('trades', 'i1', 1, uuid(1)), [])
    expect(await cleanStaging(checkpointAccess(runtime), EVERYTHING)).toMatchObject({ checkpoint: 0, more: false })
    await threeCommits(runtime)
    await objects.delete(STAGING + ((await lastCheckpoint(runtime))?.entry.body?.name ?? ''))
    const before = await listed(objects)
    await expect(cleanStaging(checkpointAccess(runtime), EVERYTHING)).rejects.toMatchObject({ kind: 'Corrupt' })
    expect(await listed(objects)).toEqual(before)
  })

  it('halts a committer that was asleep over what is gone only until it looks at the log (rule 20)', async () => {
    const { runtime, objects } = pipeline()
    await provision(runtime, { trades: [0, 1] })
    await deliver(runtime, 0)
    // Sleeps with its first read of a segment, while others commit and clean.
    let asleep = true
    const sleepy: Objects = {
      ...objects,
      async get(location, range) {
        if (asleep && location.includes('/segments/')) {
          asleep = false
          await commitAll(runtime)
          await cleanStaging(checkpointAccess(runtime), EVERYTHING)
          await trim(runtime)
        }
        return objects.get(location, range)
      },
    }
    const zombie = { ...runtime, ports: { ...runtime.ports, objects: sleepy } }
    await commitAll(zombie)
    expect(asleep).toBe(false)
    expect((await lastCheckpoint(runtime))?.sources.trades[0]).toMatchObject({ slot: 1, next: 1 })
  })
})

describe('trimming the logs', () => {
  it('foresees how many entries go, tells the floors, and has nothing to do the second time', async () => {
    const { runtime } = pipeline()
    expect(await foreseeTrim(runtime)).toEqual({ checkpoint: 0, logs: [] })
    await threeCommits(runtime)
    const n = (await lastCheckpoint(runtime))?.n ?? 0
    const checkpoints = checkpointLogKey('trades', 'i1')
    const staging = [0, 1].map((p) => stagingLogKey('trades', 'trades', 'i1', 'trades', p))
    const floors = [...staging.map((key) => ({ key, floor: 2 })), { key: checkpoints, floor: n - 1 }]
    const entries = (of: readonly number[]) => ({
      checkpoint: n,
      logs: floors.map((log, i) => ({ ...log, entries: of[i] })),
    })
    expect(await foreseeTrim(runtime)).toEqual(entries([2, 2, n - 1]))
    expect(await runtime.ports.log.floors(floors.map(({ key }) => key))).toEqual([0, 0, 0])
    expect(await trim(runtime)).toEqual({ checkpoint: n, logs: floors, more: false })
    expect(await runtime.ports.log.read(checkpoints, 0, 100)).toHaveLength(1)
    expect(await foreseeTrim(runtime)).toEqual(entries([0, 0, 0]))
  })

  it('begins no log when the time is up', async () => {
    const { runtime } = pipeline()
    await threeCommits(runtime)
    expect(await trim(runtime, () => 1000)).toMatchObject({ logs: [], more: true })
    expect(await trim(runtime, () => 60_000)).toMatchObject({ more: false })
  })

  it('loses no gap: the checkpoint tells of offsets that no record had when the entries are gone (rule 9)', async () => {
    const { runtime } = pipeline()
    await provision(runtime, { trades: [0] })
    for (const offset of [40, 45, 46, 50]) {
      await ingest(runtime, [batch(0, offset, [trade('A', offset, 1)])])
      await commitAll(runtime)
      await trim(runtime)
    }
    const progress = (await lastCheckpoint(runtime))?.sources.trades[0]
    expect(progress).toMatchObject({ first: 40, next: 51, missing: 7 })
  })
})
