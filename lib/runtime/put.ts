import { isKind } from '../errors.ts'
import type { Log, PutResult } from '../ports/log.ts'

/** Puts whose answer was lost are asked again this often before the failure is passed on. */
const MAX_PUT_ATTEMPTS = 3

/**
 * A put that may have timed out is put again: the condition then tells what became of the first (protocol rule 4).
 * Values hold a writer id, so ours is recognised by equality.
 */
export async function put(log: Log, key: string, slot: number, value: string): Promise<PutResult> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await log.put(key, slot, value)
    } catch (error) {
      if (!isKind(error, 'Unavailable') || attempt === MAX_PUT_ATTEMPTS) throw error
    }
  }
}
