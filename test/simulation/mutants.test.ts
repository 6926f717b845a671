import { describe, expect, it } from 'vitest'
import { MUTANTS } from './mutants.ts'
import { misplaced, runNamed } from './run-mutants.ts'

/** Each runs in a process of its own; a few at once. */
describe.concurrent('without one rule of the protocol the simulation fails', () => {
  for (const mutant of MUTANTS)
    it(`rule ${mutant.rule}: ${mutant.without} (${mutant.name}, seeds ${mutant.seeds.join(', ')})`, async () => {
      expect(misplaced(mutant)).toEqual([])
      const { seed } = await runNamed(mutant)
      expect(
        seed,
        `it lived: hunt for new seeds with npx node test/simulation/run-mutants.ts --hunt 3000 --only ${mutant.name}`,
      ).toBeDefined()
    })
})

it('at least twelve rules have a mutant, and every mutant has a seed', () => {
  const rules = new Set(MUTANTS.map(({ rule }) => rule))
  expect(rules.size).toBeGreaterThanOrEqual(12)
  for (const { name, seeds } of MUTANTS) expect(seeds.length, name).toBeGreaterThan(0)
})
