import { describe, expect, it } from 'vitest'
import { systemClock, systemRandom } from '../../lib/local/system.ts'

describe('the system’s clock and randomness', () => {
  it('the clock tells milliseconds since the epoch and does not wait for a sleep of nothing', async () => {
    const before = Date.now()
    await systemClock.sleep(0)
    await systemClock.sleep(-5)
    expect(systemClock.now()).toBeGreaterThanOrEqual(before)
    expect(systemClock.now()).toBeLessThan(before + 60_000)
  })

  it('uuids are of version 4, lower case, and differ', () => {
    const uuids = Array.from({ length: 100 }, () => systemRandom.uuid())
    for (const uuid of uuids) expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(new Set(uuids).size).toBe(100)
  })
})
