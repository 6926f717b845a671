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

/** A segment, named for the first (log, slot) pair it was written for; its footer names all. */
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
