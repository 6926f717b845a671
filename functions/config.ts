import { s3Prefix } from '../lib/aws/s3-location.ts'
import { FrazilError, invalidPipeline, usage } from '../lib/errors.ts'
import type { Plan, SourcePlan } from '../lib/pipeline/plan.ts'
import { MAX_PARTITIONS } from '../lib/pipeline/source.ts'

/** What functions are told that look into the logs. Region, credentials and endpoints are the SDK's own variables. */
export interface LogsConfig {
  /** FRAZIL_LOG_TABLE: the DynamoDB table of the logs. */
  readonly logTable: string
  /** FRAZIL_STAGING: location prefix of segments, checkpoint bodies and state: `s3://bucket/prefix/`. */
  readonly staging: string
}

/** What functions are told that write them. */
export interface StagingConfig extends LogsConfig {
  /**
   * FRAZIL_PARTITIONS=`trades=4,orders=8`: how many partitions topics have, where the definition does not say or says
   * otherwise.
   */
  readonly partitions: Readonly<Record<string, number>>
}

export interface IngestConfig extends StagingConfig {
  /**
   * FRAZIL_PARTIAL_RESPONSES=1: what is not staged is told as `batchItemFailures`. Only where the event source mapping is
   * provisioned and set to ReportBatchItemFailures: any other takes every answer for success, and would lose records.
   */
  readonly partialResponses: boolean
}

export interface ProvisionConfig extends StagingConfig {
  /** FRAZIL_WAREHOUSE: location prefix of the tables: `s3://bucket/prefix/`. */
  readonly warehouse: string
}

export interface CommitConfig extends ProvisionConfig {
  /** FRAZIL_MAX_CHECKPOINT_BYTES: staged bytes one checkpoint takes at most, which bounds the function's memory. */
  readonly maxCheckpointBytes: number
}

export interface CompactConfig {
  /** AWS_LAMBDA_FUNCTION_MEMORY_SIZE, which Lambda sets: how much is rewritten at a time follows from it. */
  readonly memoryMb: number
}

const LOGS = ['FRAZIL_LOG_TABLE', 'FRAZIL_STAGING'] as const
const STAGING = [...LOGS, 'FRAZIL_PARTITIONS'] as const
const MEMORY = 'AWS_LAMBDA_FUNCTION_MEMORY_SIZE'

/** The variables of a process, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Staged bytes of one checkpoint in a function: 1.6 million trades of 20 keys, which take 240 MB of memory at their peak. Of
 * 10,000 keys, with almost a window a row, they take 470 MB: a function of 1,024 MB has twice the memory of that.
 */
export const DEFAULT_MAX_CHECKPOINT_BYTES = 32 * 1024 * 1024

/** Throws `Usage`, one line that names the variable, for one that is missing, unknown or cannot be. */
export function ingestConfig(env: Environment): IngestConfig {
  const read = reader('ingest', env, [...STAGING, 'FRAZIL_PARTIAL_RESPONSES'])
  const partial = read.optional('FRAZIL_PARTIAL_RESPONSES')
  if (partial !== undefined && partial !== '1') throw read.wrong('FRAZIL_PARTIAL_RESPONSES', '1, or no such variable', partial)
  return { ...stagingConfig(read), partialResponses: partial === '1' }
}

/** As `ingestConfig`. */
export function commitConfig(env: Environment): CommitConfig {
  const read = reader('commit', env, [...STAGING, 'FRAZIL_WAREHOUSE', 'FRAZIL_MAX_CHECKPOINT_BYTES'])
  return {
    ...stagingConfig(read),
    warehouse: read.prefix('FRAZIL_WAREHOUSE'),
    maxCheckpointBytes: read.bytes('FRAZIL_MAX_CHECKPOINT_BYTES') ?? DEFAULT_MAX_CHECKPOINT_BYTES,
  }
}

/** As `ingestConfig`. */
export function provisionConfig(env: Environment): ProvisionConfig {
  const read = reader('provision', env, [...STAGING, 'FRAZIL_WAREHOUSE'])
  return { ...stagingConfig(read), warehouse: read.prefix('FRAZIL_WAREHOUSE') }
}

/** As `ingestConfig`. Has no variable of Frazil's: tables are in the catalog. */
export function compactConfig(env: Environment): CompactConfig {
  const read = reader('compact', env, [])
  const text = read.required(MEMORY)
  const memoryMb = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (memoryMb < 1) throw read.wrong(MEMORY, 'a number of megabytes, as Lambda sets it', text)
  return { memoryMb }
}

/** As `ingestConfig`. Has no variable of Frazil's: tables are in the catalog. */
export function expireConfig(env: Environment): void {
  reader('expire', env, [])
}

/** As `ingestConfig`, of the functions that look into the logs and need to know nothing else. */
export function logsConfig(name: 'orphans' | 'trim', env: Environment): LogsConfig {
  return logsOf(reader(name, env, LOGS))
}

/**
 * The plan, every topic with its number of partitions. A function has no broker to ask how many there are, and no window may
 * close before a partition that has yet to speak (protocol rule 22): so the definition or the environment must say. Throws
 * `InvalidPipeline` where neither does, `Usage` for a topic that the pipeline does not read.
 */
export function planForFunctions(plan: Plan, { partitions }: Pick<StagingConfig, 'partitions'>): Plan {
  const sources: Record<string, SourcePlan> = {}
  const topics = Object.values(plan.sources).map(({ topic }) => topic)
  for (const topic of Object.keys(partitions))
    if (!topics.includes(topic))
      throw usage(
        `Cannot run pipeline ${plan.name} in functions: expected FRAZIL_PARTITIONS to name ${topics.join(', ')}, found ${topic}. Set it right.`,
      )
  for (const source of Object.values(plan.sources)) {
    const count = partitions[source.topic] ?? source.partitions
    if (count === undefined)
      throw invalidPipeline(
        `Cannot run pipeline ${plan.name} in functions: expected topic ${source.topic} to say how many partitions it has, found nothing. Write partitions: N in kafka('${source.topic}', { … }), or set FRAZIL_PARTITIONS=${source.topic}=N.`,
      )
    sources[source.id] = { ...source, partitions: count }
  }
  return { ...plan, sources }
}

function stagingConfig(read: Reader): StagingConfig {
  return { ...logsOf(read), partitions: read.counts('FRAZIL_PARTITIONS') }
}

function logsOf(read: Reader): LogsConfig {
  return { logTable: read.required('FRAZIL_LOG_TABLE'), staging: read.prefix('FRAZIL_STAGING') }
}

interface Reader {
  required(name: string): string
  optional(name: string): string | undefined
  /** `s3://bucket/` or `s3://bucket/prefix/`. */
  prefix(name: string): string
  bytes(name: string): number | undefined
  /** `trades=4,orders=8`; nothing when there is no such variable. */
  counts(name: string): Readonly<Record<string, number>>
  wrong(name: string, expected: string, found: string): FrazilError
}

function reader(what: string, env: Environment, known: readonly string[]): Reader {
  const wrong = (name: string, expected: string, found: string): FrazilError =>
    usage(`Cannot start ${what}: expected ${name} to be ${expected}, found '${found}'. Set it right.`)
  // A misspelt name would go unnoticed otherwise, and what it was to change with it.
  for (const name of Object.keys(env))
    if (name.startsWith('FRAZIL_') && !known.includes(name))
      throw usage(
        `Cannot start ${what}: expected of Frazil's variables ${known.length === 0 ? 'none' : `only ${known.join(', ')}`}, found ${name}. Remove it.`,
      )

  const optional = (name: string): string | undefined => env[name]
  const required = (name: string): string => {
    const value = optional(name)
    if (value === undefined || value === '') throw usage(`Cannot start ${what}: expected variable ${name}, found none. Set it.`)
    return value
  }
  return {
    required,
    optional,
    prefix(name) {
      const value = required(name)
      try {
        s3Prefix(value)
      } catch (error) {
        if (!(error instanceof FrazilError)) throw error
        throw wrong(name, 'a location such as s3://bucket/prefix/', value)
      }
      if (!value.endsWith('/')) throw wrong(name, 'a location that ends in a slash', value)
      return value
    },
    bytes(name) {
      const value = optional(name)
      if (value === undefined) return undefined
      const bytes = /^\d+$/.test(value) ? Number(value) : 0
      if (bytes < 1 || !Number.isSafeInteger(bytes)) throw wrong(name, 'a whole number of bytes, 1 or more', value)
      return bytes
    },
    counts(name) {
      const value = optional(name)
      if (value === undefined) return {}
      const counts: Record<string, number> = {}
      for (const part of value.split(',')) {
        const [, topic, digits] = /^\s*([\w.-]+)=(\d+)\s*$/.exec(part) ?? []
        const count = Number(digits)
        if (topic === undefined || count < 1 || count > MAX_PARTITIONS || Object.hasOwn(counts, topic))
          throw wrong(name, `topics and their numbers of partitions, such as trades=4,orders=8`, value)
        counts[topic] = count
      }
      return counts
    },
    wrong,
  }
}
