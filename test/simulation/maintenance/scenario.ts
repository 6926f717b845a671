import type { CompactionLimits } from '../../../lib/maintenance/plan-compaction.ts'
import type { CompactPolicy, ExpirePolicy, OrphanPolicy, RetentionPolicy } from '../../../lib/pipeline/maintenance.ts'
import { DEFAULT_LIMITS } from '../../../lib/runtime/runtime.ts'
import { createRng, type FaultRates } from '../kernel.ts'
import type { Scenario } from '../scenario.ts'
import { DEEDS, type Deed } from './foreign.ts'

/** One thing that a keeper of tables does. */
export const CHORES = ['compact', 'manifests', 'expire', 'retain', 'sweep', 'trim', 'clean'] as const
export type Chore = (typeof CHORES)[number]

/** What a seed's run is made of: the pipeline's part, and the keeping of its tables. */
export interface MaintenanceScenario {
  readonly pipeline: Scenario
  /** Tables that are kept; the others are only committed to. */
  readonly tables: readonly string[]
  readonly chores: readonly Chore[]
  /** Keepers at work side by side, each with so many chores. */
  readonly keepers: number
  readonly choresEach: number
  /** How long a keeper waits for a chore; then it goes on, and so does the chore. */
  readonly patienceMs: number
  /** Workers of compactions fall asleep between writing and committing, and wake when orphans are swept. */
  readonly drowsy: boolean
  readonly compact: CompactPolicy
  readonly limits: CompactionLimits
  readonly expire: ExpirePolicy
  readonly orphans: OrphanPolicy
  readonly retention: RetentionPolicy | undefined
  /** What "now" is to retention. */
  readonly retentionNowMs: number
  readonly deeds: readonly Deed[]
  readonly foreign: number
  /** Slow appends of others, whose files wait at most so long before they are committed; the sweep spares what is younger. */
  readonly slowMs: number | undefined
}

const HOUR_MS = 3_600_000

export function maintenanceScenario(seed: number, startMs: number): MaintenanceScenario {
  const rng = createRng(seed, 5000)
  const level = rng.next()
  const heavy = level > 0.5
  const rate = (most: number) => (rng.chance(0.35) ? 0 : rng.next() * most * (heavy ? 1 : 0.3))
  const faults: FaultRates | undefined =
    level < 0.1
      ? undefined
      : {
          crash: rate(0.02),
          freeze: rate(0.05),
          freezeAppend: 0,
          before: rate(0.02),
          after: rate(0.08),
          late: rate(0.08),
          freezeMs: rng.pick([60, 400, 3000]),
        }
  const partitions = rng.between(1, 2)
  const retains = rng.chance(0.25)
  const slowMs = rng.chance(0.15) ? rng.pick([50, 500]) : undefined
  const pipeline: Scenario = {
    workload: 0,
    shape: { partitions, records: rng.between(6, 16), withTimestamps: true, gaps: 0 },
    poison: 0,
    stickiness: rng.pick([0, 0.5, 0.85]),
    priorities: rng.chance(0.3),
    faults,
    faultyEnd: rng.chance(0.7),
    timeoutMs: rng.pick([100, 400, 3000]),
    pollers: 1,
    provisioners: 1,
    committers: rng.chance(0.5) ? 2 : 1,
    commitEveryMs: rng.pick([40, 200]),
    batchMax: rng.pick([2, 4]),
    duplicates: 0,
    slowProducer: rng.chance(0.7),
    trims: false,
    advances: 0,
    foreign: 0,
    joiner: undefined,
    anew: false,
    cleans: false,
    vanishes: false,
    replaced: undefined,
    limits: {
      inlineBytes: rng.pick([0, 1536]),
      maxCheckpointBytes: DEFAULT_LIMITS.maxCheckpointBytes,
      maxCheckpointEntries: rng.pick([1, 2, 4096]),
      maxStateSlices: rng.pick([1, 8]),
      maxStateRows: rng.pick([3, DEFAULT_LIMITS.maxStateRows]),
    },
  }
  const drowsy = faults !== undefined && rng.chance(0.3)
  // Two chores alone meet each other more often than all at once do.
  const wanted = CHORES.filter((chore) => chore !== 'retain' || retains)
  const other = drowsy ? rng.pick(['sweep', 'expire'] as const) : rng.pick(wanted)
  const two: readonly Chore[] = ['compact', other]
  const chores = drowsy || rng.chance(0.3) ? two : wanted
  const keepMs = rng.pick([0, 30, 200])
  return {
    pipeline,
    tables: rng.chance(0.75) ? ['raw_trades'] : ['raw_trades', 'agg_1m'],
    chores,
    keepers: rng.pick([1, 2, 2]),
    choresEach: rng.between(4, 9),
    patienceMs: rng.pick([20, 200, 2000]),
    drowsy,
    compact: {
      strategy: rng.pick(['auto', 'binpack', 'sort']),
      targetFileBytes: undefined,
      minInputFiles: 2,
      coldAfterMs: 0,
      hot: true,
    },
    limits: { maxGroupBytes: 1 << 20, maxGroupValues: rng.pick([48, 96, 1000]) },
    expire: { keepMs, retainLast: rng.between(1, 3), thinAfterMs: rng.chance(0.3) ? 0 : undefined },
    orphans: { olderThanMs: slowMs ?? 0, quarantineMs: drowsy ? 0 : rng.pick([0, 0, 20, 100]) },
    retention: retains ? { keepMs: HOUR_MS, column: 'event_time' } : undefined,
    // The hour that the topic begins in is over; what comes late to it goes again and again.
    retentionNowMs: Math.ceil(startMs / HOUR_MS) * HOUR_MS + HOUR_MS,
    deeds: rng.chance(0.7) ? DEEDS : DEEDS.filter((deed) => deed !== 'positions'),
    foreign: drowsy || rng.chance(0.7) ? rng.between(2, 8) : 0,
    slowMs,
  }
}
