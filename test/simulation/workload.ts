import type { Plan } from '../../lib/pipeline/plan.ts'
import type { Content } from './kafka.ts'
import type { Rng } from './kernel.ts'
import type { Oracle } from './oracle.ts'

/** A pipeline with a producer for its topic and an oracle for its tables. */
export interface Workload {
  readonly plan: Plan
  readonly oracle: Oracle
  content(rng: Rng, eventTimeMs: number, kafkaMs: number, poison: number): Content
}

/** JSON texts of doubles whose sums only come out right when they are exact. */
export const NUMBERS = [
  '0.1',
  '0.2',
  '0.3',
  '100.1',
  '3',
  '1e16',
  '-1e16',
  '1E-7',
  '9007199254740993',
  '-0.0',
  '0',
  '5e-324',
  '1e308',
  '-1e308',
  '123456.789',
  '-7.25',
]

const garbage = (rng: Rng, good: string): string | Uint8Array | null =>
  rng.pick([
    null,
    '',
    '{',
    '[1]',
    'null',
    '"text"',
    good.slice(0, -1),
    good.replace('{', '{,'),
    good.replace(/"(ts|at)":/, '"$1":"'),
    good.replace(/"(ts|at)":/, '"other":'),
    good.replace(/"(ts|at)":-?\d+/, '"$1":"5"'),
    good.replace(/"(ts|at)":(-?\d+)/, '"$1":$2.5'),
    good.replace(/"(ts|at)":(-?\d+)/, '"$1":$2000000000000000'),
    `\ufeff${good}`,
    `${good} x`,
    new Uint8Array([...new TextEncoder().encode(good.slice(0, -1)), 0x2c, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d]),
  ])

/** A record that must become a dead letter: another text, or none, in place of a good one. */
export const dead = (rng: Rng, key: string | null, good: string): Content => ({
  key,
  value: garbage(rng, good),
  row: undefined,
  eventTimeMs: 0,
})

/** Other texts of the same row. `repeated` holds keys that come again with their right values: the last wins. */
export function dress(rng: Rng, good: string, repeated: string): string {
  if (rng.chance(0.8)) return good
  return rng.pick([
    ` \t\n${good}\r\n `,
    good.replace('{', '{ "__proto__" : {"ts":1}, "extra":[1,{"a":null}],'),
    good.replace('{', `{${repeated}`),
    good.replaceAll(':', ' : ').replaceAll(',"', ' , "'),
  ])
}
