import { type JsonDecoder, jsonDecoder } from '../columns/decode-json.ts'
import { refused } from '../errors.ts'
import { type MetadataCache, metadataCache } from '../iceberg/scan.ts'
import type { Plan } from '../pipeline/plan.ts'
import type { Broker } from '../ports/broker.ts'
import type { Catalog, TableId } from '../ports/catalog.ts'
import type { Log } from '../ports/log.ts'
import type { Objects } from '../ports/objects.ts'
import type { Clock, Random } from '../ports/time.ts'
import { incarnationLogKey } from '../protocol/names.ts'
import { assertEntriesFit } from './entry-size.ts'

/** Everything outside, each behind its port. Without a broker nothing can be proved idle, so nothing is advanced. */
export interface Ports {
  readonly log: Log
  readonly objects: Objects
  readonly catalog: Catalog
  readonly clock: Clock
  readonly random: Random
  readonly broker: Broker | undefined
}

/** Every size that grows has a bound, and the bound has a name (protocol rule 27). */
export interface Limits {
  /** Slices up to this many bytes in all go into the log entry instead of a segment. */
  readonly inlineBytes: number
  /** Staged bytes one checkpoint takes at most (at least one entry is taken). */
  readonly maxCheckpointBytes: number
  /** Log entries one checkpoint takes at most. */
  readonly maxCheckpointEntries: number
  /** State slices an operator may have before neighbours are merged, as far as `maxStateRows` lets them. */
  readonly maxStateSlices: number
  /**
   * Rows of open state (one per key and window) in a slice, and loaded by one checkpoint to close windows (at least one
   * window).
   */
  readonly maxStateRows: number
  /** How often a lost race is run again within one call. */
  readonly maxAttempts: number
}

export const DEFAULT_LIMITS: Limits = {
  inlineBytes: 1536,
  maxCheckpointBytes: 64 * 1024 * 1024,
  maxCheckpointEntries: 4096,
  maxStateSlices: 8,
  maxStateRows: 300_000,
  maxAttempts: 25,
}

/** What staging takes: an ingest function has no catalog, and no clock decides anything in it. */
export type StagingPorts = Pick<Ports, 'log' | 'objects' | 'random'>

/** A plan wired to the ports of staging: what ingest runs on. */
export interface StagingRuntime {
  readonly plan: Plan
  readonly ports: StagingPorts
  /** Location prefix of segments, checkpoint bodies and state, ending in a slash. */
  readonly staging: string
  /** Which life of the pipeline's logs this is. A deliberate restart is a new one. */
  readonly incarnation: string
  readonly limits: Limits
  /** By source id. */
  readonly decoders: ReadonlyMap<string, JsonDecoder>
}

/** A plan wired to all its ports: what commit and the rest run on. */
export interface Runtime extends StagingRuntime {
  readonly ports: Ports
  /** Location prefix of tables, ending in a slash. */
  readonly warehouse: string
  /** Metadata files are immutable, so what was parsed once is kept; the pointer is asked for every time. */
  readonly metadata: MetadataCache
}

export interface StagingRuntimeOptions {
  readonly plan: Plan
  readonly ports: StagingPorts
  readonly staging: string
  readonly incarnation: string
  readonly limits?: Partial<Limits>
}

export interface RuntimeOptions extends StagingRuntimeOptions {
  readonly ports: Ports
  readonly warehouse: string
}

export function createStagingRuntime(options: StagingRuntimeOptions): StagingRuntime {
  assertEntriesFit(options.plan)
  const decoders = new Map<string, JsonDecoder>()
  for (const source of Object.values(options.plan.sources)) decoders.set(source.id, jsonDecoder(source.input))
  return { ...options, limits: { ...DEFAULT_LIMITS, ...options.limits }, decoders }
}

export function createRuntime(options: RuntimeOptions): Runtime {
  const { ports, warehouse } = options
  return { ...createStagingRuntime(options), ports, warehouse, metadata: metadataCache() }
}

/**
 * The incarnation in force, named by whoever comes first. One conditional put decides, so that concurrent first runs agree.
 */
export async function nameIncarnation(log: Log, random: Random, pipeline: string): Promise<string> {
  const key = incarnationLogKey(pipeline)
  const tail = await log.tail(key)
  if (tail !== undefined) return tail.value
  const name = random.uuid().slice(0, 8)
  const put = await log.put(key, 1, name)
  return put.won ? name : put.existing
}

export function tableId(runtime: Runtime, name: string): TableId {
  return { namespace: runtime.plan.namespace, name }
}

export function tableLocation(runtime: Runtime, name: string): string {
  return `${runtime.warehouse}${runtime.plan.namespace}/${name}`
}

/** A refusal that says who must act and how. */
export function refuseTable(runtime: Runtime, table: string, why: string) {
  return refused(
    `Cannot commit to table ${runtime.plan.namespace}.${table}: ${why}. Nothing was written; restore the table as it was, or start the pipeline on a new warehouse or under a new name.`,
  )
}
