import { describe, expect, it } from 'vitest'
import type { Objects } from '../../lib/ports/objects.ts'
import { lastCheckpoint } from '../../lib/runtime/checkpoints.ts'
import { type CommitReport, commit } from '../../lib/runtime/commit.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import type { Limits, Runtime } from '../../lib/runtime/runtime.ts'
import { decodeSlice } from '../../lib/stream/slice.ts'
import { batch, trade, type World, world } from './world.ts'

const KEYS = 20
const MINUTES = 30
/** After the last record of each partition. */
const CLOSED = MINUTES * KEYS

/** Trades of `minute`: one a key. */
const minuteOf = (minute: number, price = minute) =>
  Array.from({ length: KEYS }, (_, k) => trade(`K${String(k).padStart(2, '0')}`, minute * 60 + 30, price))

/** A committer that counts the rows of state it reads. */
function counting(w: World, limits: Partial<Limits>): { runtime: Runtime; read: () => number } {
  let rows = 0
  const objects: Objects = {
    ...w.ports.objects,
    async get(location, range) {
      const bytes = await w.ports.objects.get(location, range)
      if (location.includes('/state/') && bytes !== undefined) rows += decodeSlice(bytes).batch.rows
      return bytes
    },
  }
  const runtime = w.again({ limits, ports: { objects } })
  return {
    runtime,
    read: () => {
      const read = rows
      rows = 0
      return read
    },
  }
}

const refsOf = async (runtime: Runtime) => (await lastCheckpoint(runtime))?.body?.state.agg_1m ?? []

/** Commits until nothing is left; what each round did and how many rows of state it read. */
async function drain({ runtime, read }: ReturnType<typeof counting>): Promise<(CommitReport & { read: number })[]> {
  const rounds: (CommitReport & { read: number })[] = []
  for (;;) {
    const report = await commit(runtime)
    rounds.push({ ...report, read: read() })
    for (const ref of await refsOf(runtime)) expect(ref.rows).toBeLessThanOrEqual(runtime.limits.maxStateRows)
    if (!report.more) return rounds
  }
}

describe('open windows of a pipeline that waits for a silent partition', () => {
  it('are held in slices of bounded rows, and closed in order over several checkpoints', async () => {
    const limits = { maxStateRows: 100, maxStateSlices: 3 }
    const w = world()
    const committer = counting(w, limits)
    await provision(w.runtime, { trades: [0, 1] })
    for (let minute = 0; minute < MINUTES; minute++) {
      await ingest(w.runtime, [batch(0, minute * KEYS, minuteOf(minute))])
      for (const { read } of await drain(committer)) expect(read).toBeLessThanOrEqual(limits.maxStateRows)
    }
    const open = await refsOf(w.runtime)
    expect(open.reduce((sum, { rows }) => sum + rows, 0)).toBe(CLOSED)
    // Two neighbours hold more than a slice may: no more than twice the fewest possible, and what is new.
    expect(open.length).toBeLessThanOrEqual((2 * CLOSED) / limits.maxStateRows + 1)
    for (const [i, ref] of open.entries()) if (i > 0) expect(ref.minEnd).toBeGreaterThan(open[i - 1].maxEnd)
    expect(await w.rows('agg_1m')).toEqual([])

    const speaks = [...minuteOf(0, 1000), trade('Z', MINUTES * 60 + 5, 1), trade('Z', MINUTES * 60 + 70, 1)]
    await ingest(w.runtime, [
      batch(0, CLOSED, [trade('Z', MINUTES * 60 + 5, 1), trade('Z', MINUTES * 60 + 70, 1)]),
      batch(1, 0, speaks),
    ])
    const rounds = await drain(committer)
    expect(rounds.length).toBeGreaterThan(CLOSED / limits.maxStateRows - 1)
    for (const { read } of rounds) expect(read).toBeLessThanOrEqual(limits.maxStateRows)
    const watermarks = rounds.map(({ watermark }) => watermark ?? Number.NaN)
    for (const [i, watermark] of watermarks.entries()) if (i > 0) expect(watermark).toBeGreaterThan(watermarks[i - 1])
    expect(rounds.slice(1).map(({ entries }) => entries)).toEqual(rounds.slice(1).map(() => 0))

    const found = (await w.rows('agg_1m')).filter(({ symbol }) => symbol !== 'Z')
    expect(found).toHaveLength(CLOSED)
    for (const { window_start, trade_count, open: first, close, high } of found) {
      const minute = (window_start as Date).getTime() / 60_000
      if (minute === 0) expect([trade_count, first, close, high]).toEqual([2n, 0, 1000, 1000])
      else expect([trade_count, first, close, high]).toEqual([1n, minute, minute, minute])
    }
    const { n } = await commit(w.runtime)
    expect((await commit(w.runtime)).n).toBe(n)
  })

  it('close although more slices share a window than may be loaded at once', async () => {
    const limits = { maxStateRows: 60, maxStateSlices: 2 }
    const w = world()
    const committer = counting(w, limits)
    const silent = 8
    await provision(w.runtime, { trades: Array.from({ length: silent + 1 }, (_, p) => p) })
    // Each partition, and so each checkpoint, holds a part of the same three windows.
    const values = [0, 1, 2].flatMap((minute) => minuteOf(minute))
    for (let p = 0; p < silent; p++) {
      await ingest(w.runtime, [batch(p, 0, values)])
      await drain(committer)
    }
    for (let p = 0; p <= silent; p++) await ingest(w.runtime, [batch(p, p === silent ? 0 : values.length, [trade('Z', 600, 1)])])
    const rounds = await drain(committer)
    expect(rounds.length).toBeGreaterThan(1)
    const found = (await w.rows('agg_1m')).filter(({ symbol }) => symbol !== 'Z')
    expect(found.map(({ trade_count }) => trade_count)).toEqual(Array.from({ length: 3 * KEYS }, () => BigInt(silent)))
  })

  it('leave an idle commit as cheap as it was: nothing is read of them', async () => {
    const w = world()
    const committer = counting(w, {})
    await provision(w.runtime, { trades: [0, 1] })
    await ingest(w.runtime, [batch(0, 0, minuteOf(0))])
    const [{ n }] = await drain(committer)
    expect(await drain(committer)).toMatchObject([{ n, entries: 0, files: 0, more: false, read: 0 }])
  })
})
