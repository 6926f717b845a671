/**
 * Names of logs and objects. They say for which slot or checkpoint a thing was written, so that its fate can be decided
 * later from the logs alone (protocol rules 6, 13).
 */

/** One staging log per pipeline, source, incarnation, topic and partition. None of the parts may hold a slash. */
export function stagingLogKey(pipeline: string, source: string, incarnation: string, topic: string, partition: number): string {
  return `staging/${pipeline}/${source}/${incarnation}/${topic}/${partition}`
}

/** One checkpoint log per pipeline and incarnation. */
export function checkpointLogKey(pipeline: string, incarnation: string): string {
  return `checkpoint/${pipeline}/${incarnation}`
}

/** The log whose highest entry names the incarnation in force; a deliberate restart appends the next. */
export function incarnationLogKey(pipeline: string): string {
  return `incarnation/${pipeline}`
}

/** A topic-partition as Lambda events, offsets properties and people write it: `trades-0`. */
export function partitionLabel(topic: string, partition: number): string {
  return `${topic}-${partition}`
}

/** A segment, named for the first (log, slot) pair of its call; its footer names those it was written for. */
export function segmentName(
  pipeline: string,
  incarnation: string,
  topic: string,
  partition: number,
  slot: number,
  uuid: string,
): string {
  return `${pipeline}/${incarnation}/segments/${partitionLabel(topic, partition)}/${slot}-${uuid}`
}

export function bodyName(pipeline: string, incarnation: string, n: number, uuid: string): string {
  return `${pipeline}/${incarnation}/checkpoints/${n}-${uuid}.json`
}

export function stateName(pipeline: string, incarnation: string, n: number, uuid: string): string {
  return `${pipeline}/${incarnation}/state/${n}-${uuid}`
}

/** A data file below its partition's folder; `n` is the checkpoint it was written for. */
export function dataFileName(n: number, uuid: string): string {
  return `${String(n).padStart(8, '0')}-${uuid}.parquet`
}

/** A data file that a compaction writes; `fence` is the table's as the compaction found it (protocol rule 29). */
export function compactFileName(fence: number, uuid: string): string {
  return `compact-${String(fence).padStart(8, '0')}-${uuid}.parquet`
}

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const DATA_FILE = new RegExp(`^(\\d{8,16})-(${UUID})\\.parquet$`)
const COMPACT_FILE = new RegExp(`^compact-(\\d{8,19})-(${UUID})\\.parquet$`)
const SEGMENT = new RegExp(`^segments/[^/]+/\\d{1,16}-${UUID}$`)
const BODY = new RegExp(`^checkpoints/(\\d{1,16})-${UUID}\\.json$`)
const STATE = new RegExp(`^state/(\\d{1,16})-${UUID}$`)

/** The part of a name or location behind its last slash. */
const fileOf = (location: string): string => location.slice(location.lastIndexOf('/') + 1)

/**
 * The checkpoint that a data file, by name or location, was written for; undefined for a name that `dataFileName` does not
 * give.
 */
export function parseDataFileName(location: string): { readonly n: number } | undefined {
  const file = fileOf(location)
  const [, digits, uuid] = DATA_FILE.exec(file) ?? []
  const n = Number(digits)
  return uuid !== undefined && dataFileName(n, uuid) === file ? { n } : undefined
}

/** The fence in a compaction's name or location; undefined for a name that `compactFileName` does not give. */
export function parseCompactFileName(location: string): { readonly fence: number } | undefined {
  const file = fileOf(location)
  const [, digits, uuid] = COMPACT_FILE.exec(file) ?? []
  const fence = Number(digits)
  return uuid !== undefined && compactFileName(fence, uuid) === file ? { fence } : undefined
}

/** Where all of a pipeline's incarnation lies, below the staging location. */
export function stagingPrefix(pipeline: string, incarnation: string): string {
  return `${pipeline}/${incarnation}/`
}

/** What a name below `stagingPrefix` says. */
export type StagingName =
  /** Its footer tells what it was written for: the pair in its name may have found room in its entry. */
  | { readonly kind: 'segments' }
  /** The checkpoint that a body or a state object was written for. */
  | { readonly kind: 'bodies' | 'state'; readonly n: number }

/** Reads a name below the staging location; undefined for one that is none of this incarnation's, or none of ours. */
export function parseStagingName(pipeline: string, incarnation: string, name: string): StagingName | undefined {
  const prefix = stagingPrefix(pipeline, incarnation)
  if (!name.startsWith(prefix)) return undefined
  const rest = name.slice(prefix.length)
  if (SEGMENT.test(rest)) return { kind: 'segments' }
  const body = BODY.exec(rest)?.[1]
  if (body !== undefined) return { kind: 'bodies', n: Number(body) }
  const state = STATE.exec(rest)?.[1]
  return state === undefined ? undefined : { kind: 'state', n: Number(state) }
}
