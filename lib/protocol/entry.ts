import { corrupt, refused } from '../errors.ts'
import { MAX_LOG_VALUE_BYTES } from '../ports/log.ts'

/** The entries of both logs are JSON with a version, 4 KB at most: every tail read pays for them (protocol rule 27). */
export interface Versioned {
  readonly v: 1
}

/** `what` as in "a checkpoint entry". Throws `Corrupt` when it is too large, before anything is written. */
export function encodeEntry(what: string, entry: Versioned): string {
  const text = JSON.stringify(entry)
  const bytes = Buffer.byteLength(text)
  if (bytes > MAX_LOG_VALUE_BYTES)
    throw corrupt(`Cannot append ${what}: expected at most ${MAX_LOG_VALUE_BYTES} bytes, found ${bytes}.`)
  return text
}

/** Throws `Refused` for the entry of another version of frazil, `Corrupt` for what is no entry. */
export function decodeEntry<T extends Versioned>(what: string, text: string): T {
  let entry: Partial<T> | null
  try {
    entry = JSON.parse(text) as Partial<T> | null
  } catch (cause) {
    throw corrupt(`Cannot read ${what}: expected JSON, found other text. Restore the log.`, { cause })
  }
  if (entry?.v !== 1)
    throw refused(`Cannot read ${what}: expected version 1, found ${entry?.v}. Run the version of frazil that wrote it.`)
  return entry as T
}
