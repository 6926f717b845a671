import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { exactSum } from './exact.ts'
import { createKernel, createRng } from './kernel.ts'
import { runSeed } from './run.ts'
import { simulate } from './simulate.ts'

/** CI runs 2,000 more by `run.ts`. */
const SEEDS = 200
const PER_TEST = 20

describe('the whole pipeline under simulated faults', () => {
  for (let from = 1; from <= SEEDS; from += PER_TEST)
    it(`keeps every invariant and the oracle's rows, seeds ${from} to ${from + PER_TEST - 1}`, async () => {
      for (let seed = from; seed < from + PER_TEST; seed++) {
        const failure = await runSeed(seed)
        expect(failure, `replay: npx node test/simulation/run.ts --seed ${seed}`).toBeUndefined()
      }
    })

  it('replays a seed step by step', async () => {
    for (const seed of [3, 14, 159]) {
      const [one, two] = [await simulate(seed), await simulate(seed)]
      expect(two.traceHash).toBe(one.traceHash)
      expect(two.steps).toBe(one.steps)
      expect(two.checked).toEqual(one.checked)
    }
  })

  it('runs the same topic in another way under another variant', async () => {
    const [one, two] = [await simulate(8, 0), await simulate(8, 1)]
    expect(two.traceHash).not.toBe(one.traceHash)
    expect(two.checked?.digest).toBe(one.checked?.digest)
  })
})

describe('the kernel', () => {
  const kernelOf = (seed: number) => createKernel({ rng: createRng(seed), startMs: 0, stickiness: 0, priorities: false })

  it('reaches every interleaving of two actors', async () => {
    const orders = new Set<string>()
    for (let seed = 1; seed <= 200; seed++) {
      const kernel = kernelOf(seed)
      let order = ''
      for (const name of ['a', 'b'])
        kernel.spawn(name, async (actor) => {
          for (let i = 0; i < 2; i++) {
            await kernel.gate(actor, 'step')
            order += name
          }
        })
      expect(await kernel.run(() => false, 1000)).toBe('idle')
      orders.add(order)
    }
    expect([...orders].sort()).toEqual(['aabb', 'abab', 'abba', 'baab', 'baba', 'bbaa'])
  })

  it('never lets a crashed actor go on', async () => {
    const kernel = kernelOf(1)
    let steps = 0
    const victim = kernel.spawn('victim', async (actor) => {
      for (;;) {
        await kernel.gate(actor, 'step')
        if (++steps === 3) kernel.crash(actor)
      }
    })
    expect(await kernel.run(() => false, 1000)).toBe('idle')
    expect(steps).toBe(3)
    expect(await victim.outcome).toEqual({ kind: 'crashed' })
  })

  it('moves time on only when nobody can act, and to the next moment that somebody waits for', async () => {
    const kernel = kernelOf(1)
    const woke: number[] = []
    for (const ms of [500, 100])
      kernel.spawn(`sleeper${ms}`, async (actor) => {
        await kernel.sleep(actor, ms)
        woke.push(ms)
      })
    await kernel.run(() => false, 1000)
    expect(woke).toEqual([100, 500])
    expect(kernel.now()).toBeLessThan(510)
  })
})

describe('the oracle', () => {
  it('sums integers as integers', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 }), { maxLength: 50 }), (values) => {
        expect(exactSum(values)).toBe(values.reduce((a, b) => a + b, 0))
      }),
    )
  })

  it('rounds once: what cancels leaves no trace', () => {
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        (a, b) => {
          expect(exactSum([a, b, -a])).toBe(b === 0 ? 0 : b)
          expect(exactSum([a, b])).toBe(a + b === 0 ? 0 : a + b)
        },
      ),
    )
    expect(exactSum([0.1, 0.2, 0.3])).toBe(0.6)
    expect(exactSum([1, 2 ** -53, 2 ** -53])).toBe(1 + 2 ** -52)
    expect(exactSum([1, 2 ** -53])).toBe(1)
  })
})
