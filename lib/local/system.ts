import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Clock, Random } from '../ports/time.ts'

/** Node's timers fire at once beyond this many milliseconds (a signed 32 bit number). */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** The machine's time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(ms) {
    for (let left = ms; left > 0; left -= LONGEST_TIMER_MS) await delay(Math.min(left, LONGEST_TIMER_MS))
  },
}

/** The machine's randomness. */
export const systemRandom: Random = { uuid: () => randomUUID() }
