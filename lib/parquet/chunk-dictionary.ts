import { bytesDictionary } from '../columns/dictionary.ts'
import type { Bounds } from './bounds.ts'
import { type BytesEntries, entryBounds, LENGTH_BYTES, plainBytes } from './plain-bytes.ts'

/** The dictionary of one column chunk, bounded in size. */
export interface ChunkDictionary {
  readonly entries: number
  /** PLAIN size. */
  readonly sizeBytes: number
  /** The code of the vector's entry `entry`, or -1 when there is no room to add it. */
  code(vector: BytesEntries, entry: number): number
  /** A copy of the entries. */
  snapshot(): BytesEntries & { readonly entries: number }
  /** The dictionary page: all entries in PLAIN encoding, and their bounds. At least one entry. */
  page(): { readonly entries: number; readonly plain: Uint8Array; readonly bounds: Bounds | undefined }
  clear(): void
}

export function chunkDictionary(maxBytes: number): ChunkDictionary {
  const dictionary = bytesDictionary()
  let entries = 0
  let sizeBytes = 0

  function code(vector: BytesEntries, entry: number): number {
    const start = vector.offsets[entry]
    const end = vector.offsets[entry + 1]
    const grownBytes = sizeBytes + LENGTH_BYTES + end - start
    // Asked before the look-up, which adds what it does not find: near the bound a known value may be refused too.
    if (grownBytes > maxBytes) return -1
    const found = dictionary.code(vector.bytes, start, end)
    if (found === entries) {
      entries++
      sizeBytes = grownBytes
    }
    return found
  }

  return {
    get entries() {
      return entries
    },
    get sizeBytes() {
      return sizeBytes
    },
    code,
    snapshot: () => dictionary.entries(),
    page: () => {
      const all = dictionary.entries()
      return { entries, plain: plainBytes(all, entries), bounds: entryBounds(all, entries) }
    },
    clear: () => {
      dictionary.clear()
      entries = 0
      sizeBytes = 0
    },
  }
}
