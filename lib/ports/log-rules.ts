import { Buffer } from 'node:buffer'
import { corrupt, refused } from '../errors.ts'
import { MAX_LOG_VALUE_BYTES } from './log.ts'

/**
 * What every Log adapter checks before a put: slots count from 1, and a value fits its bound (protocol rule 27). Both are
 * defects of the caller, found before anything is written. Throws `Refused`.
 */
export function checkPut(key: string, slot: number, value: string): void {
  if (!Number.isSafeInteger(slot) || slot < 1)
    throw refused(`Cannot append to log ${key}: expected a slot of 1 or more, found ${slot}.`)
  const bytes = Buffer.byteLength(value)
  if (bytes > MAX_LOG_VALUE_BYTES)
    throw refused(
      `Cannot append to log ${key}: expected a value of at most ${MAX_LOG_VALUE_BYTES} bytes, found ${bytes}. Spill it to an object.`,
    )
}

/** What every Log adapter checks before a trim: a floor is a slot, or 0. Throws `Refused`. */
export function checkTrim(key: string, floor: number): void {
  if (!Number.isSafeInteger(floor) || floor < 0)
    throw refused(`Cannot trim log ${key}: expected a floor of 0 or more, found ${floor}.`)
}

/**
 * What every Log adapter says of a log without an item: it is new, or something took the tail, which a trim never does. Throws
 * `Corrupt`.
 */
export function checkNeverTrimmed(key: string, floor: number): void {
  if (floor > 0)
    throw corrupt(`Cannot read log ${key}: expected its tail to survive a trim to slot ${floor}, found no item. Restore the log.`)
}
