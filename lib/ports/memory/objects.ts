import { Buffer } from 'node:buffer'
import type { Objects } from '../objects.ts'
import type { Clock } from '../time.ts'

/** Objects in memory, for tests and simulations; any location will do. Without a clock they are all of time 0. */
export function memoryObjects(clock: Pick<Clock, 'now'> = { now: () => 0 }): Objects {
  const objects = new Map<string, { readonly bytes: Uint8Array; readonly modifiedMs: number }>()
  return {
    async put(location, parts) {
      objects.set(location, { bytes: new Uint8Array(Buffer.concat(parts)), modifiedMs: clock.now() })
    },
    async get(location, range) {
      const bytes = objects.get(location)?.bytes
      if (bytes === undefined || range === undefined) return bytes?.slice()
      return bytes.slice(range.offset, range.offset + range.length)
    },
    async size(location) {
      return objects.get(location)?.bytes.length
    },
    async delete(location) {
      objects.delete(location)
    },
    async *list(prefix) {
      for (const [location, { bytes, modifiedMs }] of [...objects])
        if (location.startsWith(prefix)) yield { location, sizeBytes: bytes.length, modifiedMs }
    },
  }
}
