/**
 * Event time in milliseconds since the epoch (microseconds are floored), within ±8.64e15. A watermark of -Infinity: there
 * is none yet. Rules E1 to E3.
 */

/**
 * The watermark before each row of one partition, in offset order: the greatest event time of earlier rows minus the
 * delay, at least `before`. A row never sees itself. O(rows), no allocation.
 *
 * @param before watermark before the first row
 * @param out takes the watermark before row i at i
 * @returns the watermark after the last row
 */
export function judge(eventTimeMs: Float64Array, rows: number, before: number, delayMs: number, out: Float64Array): number {
  let watermark = before
  for (let i = 0; i < rows; i++) {
    out[i] = watermark
    const next = eventTimeMs[i] - delayMs
    if (next > watermark) watermark = next
  }
  return watermark
}

/**
 * True when a window can take no more rows, for a row that meets this watermark as for the pipeline as a whole (rule E2, 3.3).
 */
export function isPast(windowEndMs: number, allowedLatenessMs: number, watermarkMs: number): boolean {
  return windowEndMs + allowedLatenessMs <= watermarkMs
}
