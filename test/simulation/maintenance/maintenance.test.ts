import { describe, expect, it } from 'vitest'
import { runMaintenanceSeed } from '../run.ts'
import { simulateMaintenance } from './simulate.ts'

/** CI runs 1,000 more by `run.ts --maintenance`. */
const SEEDS = 60
const PER_TEST = 20

describe('tables that are kept while a pipeline and other engines write to them', () => {
  for (let from = 1; from <= SEEDS; from += PER_TEST)
    it(`lose no row, double none and need nothing that was deleted, seeds ${from} to ${from + PER_TEST - 1}`, async () => {
      for (let seed = from; seed < from + PER_TEST; seed++) {
        const failure = await runMaintenanceSeed(seed)
        expect(failure, `replay: npx node test/simulation/run.ts --maintenance --seed ${seed}`).toBeUndefined()
      }
    })

  it('are changed by everyone who may, and replay step by step', async () => {
    const swaps: Record<string, number> = {}
    for (let seed = 1; seed <= 8; seed++) {
      const [one, two] = [await simulateMaintenance(seed), await simulateMaintenance(seed)]
      expect(two.traceHash).toBe(one.traceHash)
      expect(two.swaps).toEqual(one.swaps)
      for (const [doer, count] of Object.entries(one.swaps)) swaps[doer] = (swaps[doer] ?? 0) + count
    }
    for (const doer of ['pipeline', 'compact', 'manifests', 'expire', 'retain', 'sweep', 'foreign'])
      expect(swaps[doer], doer).toBeGreaterThan(0)
  })
})
