import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Log, MAX_LOG_VALUE_BYTES } from '../../lib/ports/log.ts'

/** A store under test. `second` is another handle on the same store; `reopened` one made after all others were closed. */
export interface LogStore {
  readonly log: Log
  second(): Promise<Log>
  reopened(): Promise<Log>
  close(): Promise<void>
}

/** What every Log adapter must do. */
export function describeLog(name: string, open: () => Promise<LogStore>): void {
  describe(`log conformance: ${name}`, () => {
    let store: LogStore
    let log: Log
    beforeEach(async () => {
      store = await open()
      log = store.log
    })
    afterEach(() => store.close())

    const fill = async (key: string, from: number, to: number) => {
      for (let slot = from; slot <= to; slot++) expect(await log.put(key, slot, `v${slot}`)).toEqual({ won: true })
    }
    const slots = async (key: string, after = 0, maxItems = 1000) =>
      (await log.read(key, after, maxItems)).map((item) => item.slot)

    it('a log that was never written has no tail, floor 0 and no items', async () => {
      expect(await log.tail('a')).toBeUndefined()
      expect(await log.read('a', 0, 10)).toEqual([])
      expect(await log.floors(['a'])).toEqual([0])
    })

    it('the tail is the highest slot and its value', async () => {
      await fill('a', 1, 12)
      expect(await log.tail('a')).toEqual({ slot: 12, value: 'v12' })
    })

    it('a second put into a slot loses and is told what the first wrote', async () => {
      await log.put('a', 1, 'mine')
      expect(await log.put('a', 1, 'theirs')).toEqual({ won: false, existing: 'mine' })
      expect(await log.read('a', 0, 10)).toEqual([{ slot: 1, value: 'mine' }])
    })

    it('a put of the very same value loses too: the writer recognises itself by the value', async () => {
      await log.put('a', 1, 'same')
      expect(await log.put('a', 1, 'same')).toEqual({ won: false, existing: 'same' })
    })

    it('of 50 puts racing for a slot one wins, and every loser is told the winner’s value', async () => {
      const handles = [log, await store.second()]
      for (let slot = 1; slot <= 20; slot++) {
        const results = await Promise.all(
          Array.from({ length: 50 }, (_, i) => (handles[i % 2] as Log).put('race', slot, `writer ${i}`)),
        )
        const winners = results.flatMap((result, i) => (result.won ? [`writer ${i}`] : []))
        expect(winners).toHaveLength(1)
        for (const result of results) if (!result.won) expect(result.existing).toBe(winners[0])
        expect(await log.tail('race')).toEqual({ slot, value: winners[0] })
      }
    })

    it('a read gives the slots after the one named, ascending and without holes', async () => {
      await fill('a', 1, 120)
      expect(await slots('a')).toEqual(Array.from({ length: 120 }, (_, i) => i + 1))
      expect(await slots('a', 117)).toEqual([118, 119, 120])
      expect(await slots('a', 120)).toEqual([])
    })

    it('a read gives no more items than were asked for, the lowest first', async () => {
      await fill('a', 1, 9)
      expect(await slots('a', 2, 3)).toEqual([3, 4, 5])
      expect(await slots('a', 2, 0)).toEqual([])
    })

    it('a read shows a slot that was skipped as absent, so that contiguity can be checked', async () => {
      await log.put('a', 1, 'x')
      await log.put('a', 3, 'z')
      expect(await slots('a')).toEqual([1, 3])
      await log.put('a', 2, 'y')
      expect(await slots('a')).toEqual([1, 2, 3])
      expect((await log.tail('a'))?.slot).toBe(3)
    })

    it('logs do not mix, also when one key is the beginning of another or differs in case', async () => {
      const keys = ['a', 'a/b', 'a/', 'a%', 'a_', 'A', 'ab', 'a b', 'é']
      for (const [i, key] of keys.entries()) {
        await log.put(key, i + 1, `of ${key}`)
        await log.trim(key, i)
      }
      for (const [i, key] of keys.entries()) {
        expect(await log.tail(key)).toEqual({ slot: i + 1, value: `of ${key}` })
        expect(await log.floors([key])).toEqual([i])
        expect(await log.read(key, 0, 10)).toEqual([{ slot: i + 1, value: `of ${key}` }])
      }
    })

    it('floors come in the order of the keys, also twice and also of unknown logs', async () => {
      await log.trim('b', 7)
      await log.trim('a', 3)
      expect(await log.floors(['a', 'none', 'b', 'a'])).toEqual([3, 0, 7, 3])
      expect(await log.floors([])).toEqual([])
    })

    it('a floor never falls', async () => {
      await log.trim('a', 5)
      await log.trim('a', 2)
      expect(await log.floors(['a'])).toEqual([5])
    })

    it('a trim removes what lies at or below the floor, and nothing above', async () => {
      await fill('a', 1, 6)
      await log.trim('a', 4)
      expect(await slots('a')).toEqual([5, 6])
      expect(await log.tail('a')).toEqual({ slot: 6, value: 'v6' })
    })

    it('a trim again, at the same floor or a lower one, removes nothing more', async () => {
      await fill('a', 1, 6)
      await log.trim('a', 4)
      await log.trim('a', 4)
      await log.trim('a', 1)
      expect(await slots('a')).toEqual([5, 6])
    })

    it('the tail survives a trim at its own slot and above, for it holds the next offset', async () => {
      await fill('a', 1, 3)
      await log.trim('a', 3)
      expect(await log.tail('a')).toEqual({ slot: 3, value: 'v3' })
      await log.trim('a', 10)
      expect(await log.tail('a')).toEqual({ slot: 3, value: 'v3' })
      expect(await log.put('a', 3, 'zombie')).toEqual({ won: false, existing: 'v3' })
    })

    it('a zombie that wins a trimmed slot finds a floor at or above it', async () => {
      await fill('a', 1, 3)
      await log.trim('a', 2)
      const result = await log.put('a', 1, 'zombie')
      const [floor] = await log.floors(['a'])
      expect(result.won && floor !== undefined && floor < 1).toBe(false)
      expect((await log.tail('a'))?.slot).toBe(3)
    })

    it('a trim of a log without items raises its floor', async () => {
      await log.trim('a', 4)
      expect(await log.floors(['a'])).toEqual([4])
    })

    it('a trimmed log without an item is damaged, never new: a trim leaves the tail', async () => {
      await log.trim('a', 4)
      await expect(log.tail('a')).rejects.toMatchObject({ kind: 'Corrupt' })
    })

    it('slots up to 2^53 - 1 keep their order', async () => {
      await log.put('a', 9, 'nine')
      await log.put('a', 10, 'ten')
      await log.put('a', Number.MAX_SAFE_INTEGER, 'last')
      expect(await slots('a')).toEqual([9, 10, Number.MAX_SAFE_INTEGER])
    })

    it('values of up to 4096 bytes come back as they were, whatever the characters', async () => {
      const values = [
        '',
        ' ',
        'x'.repeat(MAX_LOG_VALUE_BYTES),
        '€'.repeat(1365),
        '𝄞 "quotes" \\ \n \u0000 after a nul',
        '{"a":[1,2]}',
      ]
      for (const [i, value] of values.entries()) await log.put('a', i + 1, value)
      expect((await log.read('a', 0, 10)).map((item) => item.value)).toEqual(values)
      expect(await log.put('a', 3, 'other')).toEqual({ won: false, existing: values[2] })
    })

    it('a value of 4097 bytes is refused, counted in UTF-8, and nothing is written', async () => {
      await expect(log.put('a', 1, 'x'.repeat(MAX_LOG_VALUE_BYTES + 1))).rejects.toThrow(/at most 4096 bytes, found 4097/)
      await expect(log.put('a', 1, '€'.repeat(1366))).rejects.toMatchObject({ kind: 'Refused' })
      expect(await log.tail('a')).toBeUndefined()
    })

    it('a slot below 1 or a fraction of one is refused, and so is a floor below 0', async () => {
      for (const slot of [0, -1, 1.5, Number.NaN, 2 ** 53])
        await expect(log.put('a', slot, 'x')).rejects.toMatchObject({ kind: 'Refused' })
      await expect(log.trim('a', -1)).rejects.toMatchObject({ kind: 'Refused' })
      expect(await log.tail('a')).toBeUndefined()
    })

    it('what one handle writes another reads at once: every read is consistent', async () => {
      const second = await store.second()
      for (let slot = 1; slot <= 20; slot += 2) {
        await log.put('a', slot, 'first')
        expect((await second.tail('a'))?.slot).toBe(slot)
        await second.put('a', slot + 1, 'second')
        expect((await log.tail('a'))?.slot).toBe(slot + 1)
      }
      await second.trim('a', 19)
      expect(await log.floors(['a'])).toEqual([19])
      expect(await slots('a')).toEqual([20])
    })

    it('a store opened again holds what was put and goes on from there', async () => {
      await fill('a', 1, 3)
      await log.trim('a', 1)
      const again = await store.reopened()
      expect(await again.tail('a')).toEqual({ slot: 3, value: 'v3' })
      expect(await again.put('a', 3, 'late')).toEqual({ won: false, existing: 'v3' })
      expect(await again.put('a', 4, 'next')).toEqual({ won: true })
      expect((await again.read('a', 0, 10)).map((item) => item.slot)).toEqual([2, 3, 4])
    })
  })
}
