import { DEFAULT_LIMITS, type Limits } from '../../lib/runtime/runtime.ts'
import type { TopicShape } from './kafka.ts'
import { createRng, type FaultRates } from './kernel.ts'
import { WORKLOADS } from './workloads.ts'

/** Dropped and created again, restored from another life, stripped of its properties, rolled back (protocol rule 15). */
export type Replacement = 'uuid' | 'incarnation' | 'marker' | 'rollback'

/** What a seed's run is made of. The topic's part depends on the seed alone, all else also on the variant. */
export interface Scenario {
  readonly workload: number
  readonly shape: Omit<TopicShape, 'startMs'>
  /** Chance that a record is poison. */
  readonly poison: number
  readonly stickiness: number
  readonly priorities: boolean
  readonly faults: FaultRates | undefined
  /** Faults go on after the last record was read. */
  readonly faultyEnd: boolean
  readonly timeoutMs: number
  readonly pollers: number
  readonly provisioners: number
  readonly committers: number
  readonly commitEveryMs: number
  readonly batchMax: number
  readonly duplicates: number
  readonly slowProducer: boolean
  readonly trims: boolean
  readonly advances: number
  readonly foreign: number
  /** The partition that is added later. */
  readonly joiner: number | undefined
  readonly anew: boolean
  /** Somebody cleans staging of what the logs prove to be dead. */
  readonly cleans: boolean
  /** A staged object that is still needed is destroyed: commit must halt. */
  readonly vanishes: boolean
  /** A table is replaced under us: commit must halt. */
  readonly replaced: Replacement | undefined
  readonly limits: Partial<Limits>
}

export function scenarioOf(seed: number, variant: number): Scenario {
  const topic = createRng(seed, 3)
  const partitions = topic.between(1, 3)
  const workload = topic.chance(0.7) ? 0 : topic.int(WORKLOADS.length)
  const withTimestamps = topic.chance(0.85)
  const shape = {
    partitions,
    records: topic.between(6, topic.chance(0.1) ? 60 : 22),
    withTimestamps,
    gaps: topic.chance(0.3) ? 0.15 : 0,
  }
  const poison = topic.chance(0.6) ? 0.12 : 0
  const joins = partitions > 1 && topic.chance(0.15)
  const advances = topic.chance(joins ? 0.5 : 0.15) ? topic.between(1, 6) : 0

  // Disasters from which nothing recovers: the run ends halted, so these seeds have no complete tables to compare.
  const disaster = topic.next()
  const vanishes = disaster < 0.05
  const replaced = disaster > 0.92 ? topic.pick(['uuid', 'incarnation', 'marker', 'rollback'] as const) : undefined

  const rng = createRng(seed, 2000 + variant)
  const level = rng.next()
  const heavy = level > 0.55
  const rate = (most: number) => (rng.chance(0.4) ? 0 : rng.next() * most * (heavy ? 1 : 0.3))
  const zombies = rng.chance(0.12)
  const faults: FaultRates | undefined =
    level < 0.12
      ? undefined
      : {
          crash: rate(0.05),
          freeze: rate(0.05),
          freezeAppend: zombies ? 0.3 : 0,
          before: rate(0.06),
          after: rate(0.1),
          late: rate(0.1),
          freezeMs: zombies ? 1500 : rng.pick([60, 400, 3000]),
        }
  return {
    workload,
    shape,
    poison,
    stickiness: rng.pick([0, 0.5, 0.85]),
    priorities: rng.chance(0.3),
    faults,
    faultyEnd: rng.chance(0.5),
    timeoutMs: rng.pick([100, 400, 3000]),
    pollers: rng.between(1, partitions),
    provisioners: rng.chance(0.3) ? 2 : 1,
    committers: rng.chance(0.5) ? 2 : 1,
    commitEveryMs: zombies ? 40 : rng.pick([40, 200, 600]),
    batchMax: zombies ? 2 : rng.pick([2, 5, 12]),
    duplicates: zombies || rng.chance(0.6) ? rng.next() * 0.4 : 0,
    slowProducer: rng.chance(0.5),
    trims: zombies || rng.chance(0.4),
    advances,
    foreign: replaced === undefined && rng.chance(0.25) ? rng.between(1, 6) : 0,
    joiner: joins ? partitions - 1 : undefined,
    anew: withTimestamps && rng.chance(0.1),
    cleans: rng.chance(0.25),
    vanishes,
    replaced,
    limits: {
      inlineBytes: vanishes ? 0 : rng.pick([0, 400, 1536]),
      maxCheckpointBytes: rng.chance(0.15) ? 1 : rng.pick([4000, 64 * 1024 * 1024]),
      maxCheckpointEntries: rng.chance(0.15) ? 1 : rng.pick([3, 4096, 4096]),
      maxStateSlices: rng.pick([1, 2, 8]),
      maxStateRows: rng.pick([1, 3, DEFAULT_LIMITS.maxStateRows]),
    },
  }
}
