/**
 * Kafka records of one partition as they arrived: values lie in one buffer, so that decoding makes no object per record.
 * Offsets ascend. The buffer may hold other things between the values; `key` is asked only for dead letters.
 */
export interface Records {
  readonly topic: string
  readonly partition: number
  readonly count: number
  /** Kafka offsets; at most 2^53 - 1. */
  readonly offsets: Float64Array
  /** Kafka timestamps in milliseconds since the epoch; NaN where there is none. */
  readonly timestamps: Float64Array
  readonly bytes: Uint8Array
  /** Value i is `bytes[valueStart[i] .. valueEnd[i])`; a start of -1 is a null value (tombstone). */
  readonly valueStart: Int32Array
  readonly valueEnd: Int32Array
  key(i: number): Uint8Array | null
}
