import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isPast, judge } from '../../lib/stream/watermark.ts'
import { assignWindows, windowEnd, windowStart } from '../../lib/stream/windows.ts'

const NONE = Number.NEGATIVE_INFINITY
const eventTime = fc.oneof(
  fc.integer({ min: -100, max: 100 }),
  fc.integer({ min: -8_640_000_000_000_000, max: 8_640_000_000_000_000 }),
)

describe('the watermark of a partition', () => {
  test('before a row is the greatest earlier event time minus the delay; a row never sees itself', () => {
    const out = new Float64Array(5)
    const after = judge(Float64Array.of(100, 90, 200, 150, 210), 5, NONE, 5, out)
    expect([...out]).toEqual([NONE, 95, 95, 195, 195])
    expect(after).toBe(205)
  })

  test('never falls below what it was before the batch', () => {
    const out = new Float64Array(2)
    expect(judge(Float64Array.of(10, 30), 2, 50, 0, out)).toBe(50)
    expect([...out]).toEqual([50, 50])
  })

  test('of no rows is what it was', () => {
    expect(judge(new Float64Array(0), 0, NONE, 5, new Float64Array(0))).toBe(NONE)
  })

  test('does not depend on where batches begin', () => {
    fc.assert(
      fc.property(fc.array(eventTime, { maxLength: 30 }), fc.nat(30), fc.nat(1000), (times, cut, delay) => {
        const whole = new Float64Array(times.length)
        const after = judge(Float64Array.from(times), times.length, NONE, delay, whole)
        const at = Math.min(cut, times.length)
        const [left, right] = [new Float64Array(at), new Float64Array(times.length - at)]
        const middle = judge(Float64Array.from(times.slice(0, at)), at, NONE, delay, left)
        expect(judge(Float64Array.from(times.slice(at)), right.length, middle, delay, right)).toBe(after)
        expect([...left, ...right]).toEqual([...whole])
      }),
    )
  })
})

describe('a tumbling window', () => {
  test('holds its start, not its end, before 1970 too', () => {
    expect([-60_001, -60_000, -1, 0, 59_999, 60_000].map((t) => windowStart(t, 60_000))).toEqual([
      -120_000, -60_000, -60_000, 0, 0, 60_000,
    ])
    expect(Object.is(windowStart(-0, 60_000), 0)).toBe(true)
  })

  test('agrees with integer arithmetic over the whole range of event time', () => {
    fc.assert(
      fc.property(eventTime, fc.integer({ min: 1, max: 86_400_000 * 400 }), (time, size) => {
        const [t, w] = [BigInt(time), BigInt(size)]
        const start = (t >= 0n ? t / w : -((-t + w - 1n) / w)) * w
        expect(BigInt(windowStart(time, size))).toBe(start)
        expect(BigInt(windowEnd(windowStart(time, size), size))).toBe(start + w)
      }),
      { numRuns: 5000 },
    )
  })

  test('takes no row once its end plus the allowed lateness is at or below the watermark', () => {
    expect(isPast(60_000, 0, 59_999)).toBe(false)
    expect(isPast(60_000, 0, 60_000)).toBe(true)
    expect(isPast(60_000, 10, 60_009)).toBe(false)
    expect(isPast(60_000, 10, 60_010)).toBe(true)
    expect(isPast(60_000, 0, NONE)).toBe(false)
  })

  test('is given to each on-time row, and late rows are named with the window they missed', () => {
    const times = Float64Array.of(5, 15, 5, 25, 7)
    const watermarks = Float64Array.of(NONE, 9, 10, 10, 11)
    const { windowOf, startsMs, late, lateStartsMs } = assignWindows(times, watermarks, 5, 10, 0)
    expect([...windowOf]).toEqual([0, 1, -1, 2, -1])
    expect(startsMs).toEqual([0, 10, 20])
    expect([...late]).toEqual([2, 4])
    expect([...lateStartsMs]).toEqual([0, 0])
    expect([...assignWindows(times, watermarks, 5, 10, 1).late]).toEqual([4])
  })
})
