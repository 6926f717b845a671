/*
 * Time of the functions. CPU times are those of docs/reference/costs.md, of trades of 108 bytes, taken to grow with the bytes of
 * values; a core there is taken to be as fast as a vCPU of Lambda. Waiting for AWS is a guess, and stands here to be one guess.
 */

/** MB of memory that functions have unless a deployment says otherwise. */
export const INGEST_MEMORY_MB = 512
export const COMMIT_MEMORY_MB = 1024
/** Memory at which a function has one vCPU, https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html */
const VCPU_MEMORY_MB = 1769

const MEASURED_VALUE_BYTES = 108
const INGEST_CALL_CPU_MS = 6
const INGEST_RECORD_CPU_MS = 0.0019
const INGEST_WAIT_MS = 100
const COMMIT_CALL_CPU_MS = 13
const COMMIT_RECORD_CPU_MS = 0.0014
const COMMIT_SEGMENT_CPU_MS = 0.5
const COMMIT_WAIT_MS = 1000

/** Seconds that a call takes, waiting included. */
export function ingestSeconds(records: number, valueBytes: number): number {
  return seconds(INGEST_CALL_CPU_MS + INGEST_RECORD_CPU_MS * records * relative(valueBytes), INGEST_WAIT_MS, INGEST_MEMORY_MB)
}

/** As `ingestSeconds`, for a round of commit. */
export function commitSeconds(records: number, valueBytes: number, segments: number): number {
  const cpuMs = COMMIT_CALL_CPU_MS + COMMIT_RECORD_CPU_MS * records * relative(valueBytes) + COMMIT_SEGMENT_CPU_MS * segments
  return seconds(cpuMs, COMMIT_WAIT_MS, COMMIT_MEMORY_MB)
}

/** As Lambda bills it: time by memory. */
export const gbSeconds = (time: number, memoryMb: number): number => (time * memoryMb) / 1024

const relative = (valueBytes: number) => valueBytes / MEASURED_VALUE_BYTES
const seconds = (cpuMs: number, waitMs: number, memoryMb: number) => ((cpuMs * VCPU_MEMORY_MB) / memoryMb + waitMs) / 1000
