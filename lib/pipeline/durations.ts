import { invalidPipeline } from '../errors.ts'
import { shown } from './check.ts'

/** A span of time that carries its unit: made by `seconds(5)` and the like, never a bare number. */
export interface Duration {
  readonly kind: 'duration'
  readonly ms: number
}

const duration = (ms: number): Duration => Object.freeze({ kind: 'duration', ms })

/** @example tumbling(milliseconds(250)) */
export const milliseconds = (n: number): Duration => duration(n)
/** @example { delay: seconds(5) } */
export const seconds = (n: number): Duration => duration(n * 1000)
/** @example tumbling(minutes(1)) */
export const minutes = (n: number): Duration => duration(n * 60_000)
/** @example { allowedLateness: hours(2) } */
export const hours = (n: number): Duration => duration(n * 3_600_000)
/** Days of 24 hours. @example tumbling(days(1)) */
export const days = (n: number): Duration => duration(n * 86_400_000)

/** Times are microseconds in 64 bits; durations stay far inside them, and exact as numbers. */
const MAX_DURATION_MS = 100_000 * 86_400_000

/** Whole milliseconds of a duration, at least `leastMs`. Throws `InvalidPipeline`; `what` ends "Cannot ". */
export function durationMs(what: string, value: unknown, leastMs: number): number {
  const given = value as Partial<Duration> | null | undefined
  if (given?.kind !== 'duration' || typeof given.ms !== 'number')
    throw invalidPipeline(`Cannot ${what}: expected a duration such as seconds(5), found ${shown(value)}.`)
  const { ms } = given
  if (!Number.isInteger(ms) || ms < leastMs || ms > MAX_DURATION_MS)
    throw invalidPipeline(
      `Cannot ${what}: expected whole milliseconds, at least ${leastMs} and at most 100,000 days, found ${ms} ms.`,
    )
  return ms
}
