import { describe, expect, it } from 'vitest'
import { commitLoop } from '../../lib/runtime/commit-until.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import { batch, trade, world } from './world.ts'

const CALL_MS = 60_000

/** A store where reading a staged segment takes `getMs`: what a commit of `entries` entries is made to wait for. */
async function slowWorld(entries: number) {
  const w = world({ limits: { inlineBytes: 0 } })
  await provision(w.runtime, { trades: [0] })
  for (let i = 0; i < entries; i++) await ingest(w.runtime, [batch(0, i, [trade('A', 10, i)])])
  const time = { nowMs: 0, getMs: 100 }
  const taken: number[] = []
  let reads = 0
  const runtime = w.again({
    limits: { inlineBytes: 0 },
    ports: {
      clock: { ...w.ports.clock, now: () => time.nowMs },
      objects: {
        ...w.ports.objects,
        async get(location, range) {
          if (location.includes('/segments/')) {
            time.nowMs += time.getMs
            reads++
          }
          return w.ports.objects.get(location, range)
        },
        async put(location, parts) {
          if (location.includes('/checkpoints/')) taken.push(reads)
          if (location.includes('/checkpoints/')) reads = 0
          return w.ports.objects.put(location, parts)
        },
      },
    },
  })
  const call = (loop: ReturnType<typeof commitLoop>) => {
    const deadlineMs = time.nowMs + CALL_MS
    return loop(() => deadlineMs - time.nowMs)
  }
  return { runtime, time, taken, call }
}

describe('a loop of commits', () => {
  it('begins with few entries, and takes no more at once than fit half of the time left', async () => {
    const { runtime, time, taken, call } = await slowWorld(900)
    const loop = commitLoop(runtime)
    const first = await call(loop)
    // 256 entries take 25.6 s, and then 34.4 s are left: less than twice that and the margin.
    expect([first.rounds, first.entries, first.more]).toEqual([1, 256, true])
    expect(time.nowMs).toBe(25_600)
    const second = await call(loop)
    // Half of 60 s at 100 ms an entry; with 30 s left no further round.
    expect([second.rounds, second.entries]).toEqual([1, 300])
    time.getMs = 1
    // The slow rounds are forgotten by and by.
    const third = await call(loop)
    expect([third.entries, third.more]).toEqual([344, false])
    expect(taken).toEqual([256, 300, 300, 44])
  })

  it('takes few entries again in a new process', async () => {
    const { runtime, taken, call } = await slowWorld(600)
    await call(commitLoop(runtime))
    await call(commitLoop(runtime))
    expect(taken).toEqual([256, 256])
  })

  it('takes the least of its bounds, and does not take a short round for a slow store', async () => {
    const { runtime, taken, call, time } = await slowWorld(20)
    const loop = commitLoop({ ...runtime, limits: { ...runtime.limits, maxCheckpointEntries: 8 } })
    time.getMs = 0
    expect(await call(loop)).toMatchObject({ rounds: 3, entries: 20, more: false })
    expect(taken).toEqual([8, 8, 4])
  })
})
