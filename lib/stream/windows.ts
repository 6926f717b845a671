/**
 * Tumbling windows, aligned to the epoch: [k * size, (k + 1) * size) for every integer k, negative ones too. Milliseconds.
 */

/** Start of the window that holds an event time. Exact for all event times: the quotient of two integers below 2^53 never
 * rounds up to the next integer. Never -0. */
export function windowStart(eventTimeMs: number, windowMs: number): number {
  return Math.floor(eventTimeMs / windowMs) * windowMs + 0
}

/** End of a window, not in it. */
export function windowEnd(windowStartMs: number, windowMs: number): number {
  return windowStartMs + windowMs
}

/** Which window each on-time row belongs to, and the rows that are too late for theirs. */
export interface Assignment {
  /** Window number by row, -1 for a late one. */
  readonly windowOf: Int32Array
  /** Start of window k. */
  readonly startsMs: readonly number[]
  /** Rows that are late, ascending; with the start of the window each was late for. */
  readonly late: Int32Array
  readonly lateStartsMs: Float64Array
}

/**
 * Assigns rows to windows. A row is late iff its window's end + allowed lateness <= the watermark before it (rule E2).
 * Rows near each other mostly share a window: the last one is tried first.
 */
export function assignWindows(
  eventTimeMs: Float64Array,
  watermarkBefore: Float64Array,
  rows: number,
  windowMs: number,
  allowedLatenessMs: number,
): Assignment {
  const windowOf = new Int32Array(rows)
  const startsMs: number[] = []
  const numbers = new Map<number, number>()
  const late: number[] = []
  const lateStarts: number[] = []
  let start = 0
  let end = 0
  let last = Number.NEGATIVE_INFINITY
  let window = -1
  for (let i = 0; i < rows; i++) {
    const time = eventTimeMs[i]
    if (!(time >= start && time < end)) {
      start = windowStart(time, windowMs)
      end = windowEnd(start, windowMs)
      last = end + allowedLatenessMs
      window = -1
    }
    if (last <= watermarkBefore[i]) {
      windowOf[i] = -1
      late.push(i)
      lateStarts.push(start)
      continue
    }
    if (window < 0) {
      const known = numbers.get(start)
      window = known ?? startsMs.length
      if (known === undefined) {
        numbers.set(start, window)
        startsMs.push(start)
      }
    }
    windowOf[i] = window
  }
  return { windowOf, startsMs, late: Int32Array.from(late), lateStartsMs: Float64Array.from(lateStarts) }
}
