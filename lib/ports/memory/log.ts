import type { Log, LogItem } from '../log.ts'
import { checkNeverTrimmed, checkPut, checkTrim } from '../log-rules.ts'

interface Entry {
  /** Ascending by slot. Almost every put is at the end. */
  readonly items: LogItem[]
  floor: number
}

/**
 * A log in memory, for tests and simulations. Each method does its work before it first yields, so calls are atomic in the
 * order they are made.
 */
export function memoryLog(): Log {
  const entries = new Map<string, Entry>()
  const entryOf = (key: string): Entry => {
    let entry = entries.get(key)
    if (entry === undefined) entries.set(key, (entry = { items: [], floor: 0 }))
    return entry
  }
  return {
    async tail(key) {
      const entry = entries.get(key)
      const last = entry?.items.at(-1)
      if (last === undefined) checkNeverTrimmed(key, entry?.floor ?? 0)
      return last
    },
    async put(key, slot, value) {
      checkPut(key, slot, value)
      const { items } = entryOf(key)
      const at = firstAfter(items, slot - 1)
      const there = items[at]
      if (there?.slot === slot) return { won: false, existing: there.value }
      items.splice(at, 0, Object.freeze({ slot, value }))
      return { won: true }
    },
    async read(key, after, maxItems) {
      const items = entries.get(key)?.items ?? []
      const at = firstAfter(items, after)
      return items.slice(at, at + Math.max(0, maxItems))
    },
    async floors(keys) {
      return keys.map((key) => entries.get(key)?.floor ?? 0)
    },
    async trim(key, floor) {
      checkTrim(key, floor)
      const entry = entryOf(key)
      entry.floor = Math.max(entry.floor, floor)
      const { items } = entry
      // The tail stays whatever the floor: it holds the next offset and the watermark (protocol rule 3).
      items.splice(0, Math.min(firstAfter(items, entry.floor), items.length - 1))
    },
  }
}

/** Position of the first item whose slot is greater than `slot`. */
function firstAfter(items: readonly LogItem[], slot: number): number {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const item = items[middle]
    if (item !== undefined && item.slot <= slot) low = middle + 1
    else high = middle
  }
  return low
}
