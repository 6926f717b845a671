import { type MappedRecord, type Run, runFrameBytes } from './mapping-event.ts'

/** What one partition holds for the next invocation. */
export interface Waiting {
  readonly name: string
  readonly topic: string
  readonly partition: number
  /** In offset order. */
  readonly records: readonly MappedRecord[]
  /** Sum of the records' `jsonBytes`. */
  readonly jsonBytes: number
  /** When the window of these records began, in milliseconds. */
  readonly sinceMs: number
}

export interface BatchBounds {
  readonly batchSize: number
  readonly windowMs: number
  readonly payloadBytes: number
  /** Of an event without records. */
  readonly emptyBytes: number
}

export type NextBatch =
  /** Nothing to hand over. */
  | { readonly kind: 'none' }
  /** There is less than a full batch, and its window is open until then. */
  | { readonly kind: 'wait'; readonly untilMs: number }
  | { readonly kind: 'invoke'; readonly runs: readonly Run[] }
  /** A record that no payload can hold, alone in its run. */
  | { readonly kind: 'tooLarge'; readonly runs: readonly Run[] }

/**
 * The next batch from what partitions hold, in the order given: it ends at the batch size, at the first record that the payload
 * cannot hold any more, or when the window that began with its first record is over ("Batching behavior" in Lambda's guide).
 */
export function nextBatch(partitions: readonly Waiting[], bounds: BatchBounds, nowMs: number): NextBatch {
  const { batchSize, payloadBytes, windowMs } = bounds
  const runs: Run[] = []
  let count = 0
  let bytes = bounds.emptyBytes
  let sinceMs = Number.POSITIVE_INFINITY
  let isFull = false
  for (const { name, topic, partition, records, jsonBytes, sinceMs: since } of partitions) {
    if (records.length === 0) continue
    const room = { records: batchSize - count, bytes: payloadBytes - bytes - runFrameBytes(name) - (runs.length > 0 ? 1 : 0) }
    const taken = fitting(records, jsonBytes, room)
    if (taken.count > 0) {
      runs.push({ name, topic, partition, records: taken.count < records.length ? records.slice(0, taken.count) : records })
      count += taken.count
      bytes = payloadBytes - room.bytes + taken.bytes
      sinceMs = Math.min(sinceMs, since)
    } else if (runs.length === 0) return { kind: 'tooLarge', runs: [{ name, topic, partition, records: records.slice(0, 1) }] }
    isFull = taken.count < records.length || count === batchSize
    if (isFull) break
  }
  if (runs.length === 0) return { kind: 'none' }
  const untilMs = sinceMs + windowMs
  return isFull || untilMs <= nowMs ? { kind: 'invoke', runs } : { kind: 'wait', untilMs }
}

/** How many of the records have room, and their bytes with the commas between them. */
function fitting(
  records: readonly MappedRecord[],
  jsonBytes: number,
  room: { readonly records: number; readonly bytes: number },
): { readonly count: number; readonly bytes: number } {
  const allBytes = jsonBytes + records.length - 1
  if (records.length <= room.records && allBytes <= room.bytes) return { count: records.length, bytes: allBytes }
  let bytes = 0
  let count = 0
  while (count < records.length && count < room.records) {
    const withNext = bytes + records[count].jsonBytes + (count > 0 ? 1 : 0)
    if (withNext > room.bytes) break
    bytes = withNext
    count++
  }
  return { count, bytes }
}
