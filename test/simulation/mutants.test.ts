import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { MUTANTS } from './mutants.ts'
import { hunt, misplaced, runNamed } from './run-mutants.ts'

/** Seeds tried when none of a mutant's own notices it. */
const HUNT = 800

/** Each runs in a process of its own; a few at once. */
describe.concurrent('without one rule of the protocol the simulation fails', () => {
  for (const mutant of MUTANTS)
    it(`rule ${mutant.rule}: ${mutant.without} (${mutant.name}, seeds ${mutant.seeds.join(', ')})`, async () => {
      expect(misplaced(mutant)).toEqual([])
      const named = await runNamed(mutant)
      if (named.seed !== undefined) return
      // Other port calls in the library make other interleavings of every seed: the name is stale, the rule may be held yet.
      const found = await hunt(mutant, 1, HUNT)
      expect(found.seed, `it lived on ${HUNT} seeds`).toBeDefined()
      console.warn(`${mutant.name}: name seed ${found.seed}, since ${mutant.seeds.join(', ')} do not notice it any more`)
    })
})

it('at least twelve rules have a mutant, and every mutant has a seed', () => {
  const rules = new Set(MUTANTS.map(({ rule }) => rule))
  expect(rules.size).toBeGreaterThanOrEqual(12)
  for (const { name, seeds } of MUTANTS) expect(seeds.length, name).toBeGreaterThan(0)
})

it('the documentation names every mutant with its seeds', () => {
  const page = readFileSync(new URL('../../docs/reference/protocol-rules.md', import.meta.url), 'utf8')
  for (const { rule, without, name, seeds } of MUTANTS)
    expect(page).toContain(`| ${rule} | ${without} | \`${name}\` | ${seeds.join(', ')} |`)
})
