import { expect, test } from 'vitest'
import { unavailable } from '../../lib/errors.ts'
import type { Log } from '../../lib/ports/log.ts'
import { stagingLogKey } from '../../lib/protocol/names.ts'
import { stagingTail } from '../../lib/protocol/staging.ts'
import { ingest, ingestByPartition } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import { batch, trade, type World, world } from '../runtime/world.ts'

const keyOf = (partition: number) => stagingLogKey('trades', 'trades', 'i1', 'trades', partition)
const A = batch(0, 0, [trade('A', 10, 1), trade('A', 11, 2)])
const B = batch(1, 0, [trade('B', 10, 3)])

/** A world with partitions 0 and 1 open, and a runtime on it whose log is changed. */
async function worldWith(change: (log: Log) => Partial<Log>) {
  const w = world()
  await provision(w.runtime, { trades: [0, 1] })
  return { w, runtime: w.again({ ports: { log: { ...w.ports.log, ...change(w.ports.log) } }, limits: { maxAttempts: 3 } }) }
}

const nextOf = async (w: World, partition: number) => stagingTail(await w.ports.log.tail(keyOf(partition))).entry?.next ?? null
const outage = () => unavailable('Cannot reach the log: outage.')

test('a partition whose log cannot be read does not keep the others out', async () => {
  const { w, runtime } = await worldWith((log) => ({
    tail: async (key) => (key === keyOf(0) ? Promise.reject(outage()) : log.tail(key)),
  }))
  const report = await ingestByPartition(runtime, [A, B])
  expect(report).toMatchObject({ records: 1, unstaged: [{ records: A, error: { kind: 'Unavailable' } }] })
  expect([await nextOf(w, 0), await nextOf(w, 1)]).toEqual([null, 1])
  await expect(ingest(runtime, [A, B])).rejects.toMatchObject({ kind: 'Unavailable' })
})

test('what is staged beside a put that fails is counted once', async () => {
  const { w, runtime } = await worldWith((log) => ({
    put: async (key, slot, value) => (key === keyOf(0) ? Promise.reject(outage()) : log.put(key, slot, value)),
  }))
  const report = await ingestByPartition(runtime, [A, B])
  expect(report).toMatchObject({ records: 1, unstaged: [{ records: A }] })
  expect([await nextOf(w, 0), await nextOf(w, 1)]).toEqual([null, 1])
})

test('an append whose floor could not be read is found in, not made again', async () => {
  let reads = 0
  const { w, runtime } = await worldWith((log) => ({
    floors: async (keys) => {
      if (keys.includes(keyOf(0)) && reads++ === 0) throw outage()
      return log.floors(keys)
    },
  }))
  expect((await ingestByPartition(runtime, [A, B])).unstaged).toEqual([])
  for (const partition of [0, 1]) expect((await w.ports.log.tail(keyOf(partition)))?.slot).toBe(1)
})

test('behind a batch that failed nothing of its partition is staged, or the log would take it for a gap', async () => {
  let failures = 0
  const { w, runtime } = await worldWith((log) => ({
    // The wave's put and its repetitions fail, then those of the batch alone; the next one would be let through.
    put: async (key, slot, value) => {
      if (key === keyOf(0) && failures++ < 6) throw outage()
      return log.put(key, slot, value)
    },
  }))
  const behind = batch(0, 2, [trade('A', 12, 4)])
  const report = await ingestByPartition(runtime, [A, B, behind])
  expect(report.unstaged.map(({ records }) => records)).toEqual([A, behind])
  expect(report).toMatchObject({ records: 1, missing: 0 })
  expect(failures).toBe(6)
  expect([await nextOf(w, 0), await nextOf(w, 1)]).toEqual([null, 1])
  expect(await ingestByPartition(runtime, [A, B, behind])).toMatchObject({ records: 3, missing: 0, unstaged: [] })
})

test('a partition that always loses the race for its slot is told after the last attempt', async () => {
  const { w, runtime } = await worldWith((log) => ({
    put: async (key, slot, value) => (key === keyOf(0) ? { won: false, existing: 'another' } : log.put(key, slot, value)),
  }))
  const report = await ingestByPartition(runtime, [A, B])
  expect(report.unstaged).toMatchObject([
    { records: A, error: { kind: 'Unavailable', message: expect.stringContaining('3 times') } },
  ])
  expect(await nextOf(w, 1)).toBe(1)
})

test('a topic that is none of the pipeline is refused before anything is staged', async () => {
  const { w, runtime } = await worldWith(() => ({}))
  const foreign = { ...A, topic: 'ads' }
  await expect(ingestByPartition(runtime, [B, foreign])).rejects.toMatchObject({ kind: 'Refused' })
  expect(await nextOf(w, 1)).toBeNull()
})
