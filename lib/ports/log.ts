/**
 * An append-only log whose slots are written once. Both protocol logs (staging, checkpoint) stand on this one
 * compare-and-set: slot n+1 may be written only while it does not exist.
 */

export interface LogItem {
  readonly slot: number
  readonly value: string
}

/** `won: false` tells what holds the slot, so that a writer can recognise its own earlier put (protocol rule 4). */
export type PutResult = { readonly won: true } | { readonly won: false; readonly existing: string }

/** Values are at most this many bytes of UTF-8 (protocol rule 27): every tail read pays for them. */
export const MAX_LOG_VALUE_BYTES = 4096

/**
 * Every read is consistent. Every method may throw `Unavailable`; after a throw a write may or may not have happened.
 */
export interface Log {
  /** The item of the highest slot; undefined for a log never written. Throws `Corrupt` for one trimmed that has no item left. */
  tail(key: string): Promise<LogItem | undefined>
  /** Writes `slot` if and only if it does not exist. Says nothing about trimming: read the floor afterwards. */
  put(key: string, slot: number, value: string): Promise<PutResult>
  /**
   * Items with `after < slot`, ascending, at most `maxItems`; fewer only when there are no more. A trimmed slot is simply
   * absent: check contiguity.
   */
  read(key: string, after: number, maxItems: number): Promise<readonly LogItem[]>
  /** Trim floors, in the order of `keys`: slots <= floor may be gone. One batch read. */
  floors(keys: readonly string[]): Promise<readonly number[]>
  /** Raises the floor (never lowers it) and only then deletes the slots at or below it (protocol rule 2). */
  trim(key: string, floor: number): Promise<void>
}
