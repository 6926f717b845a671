import type { BytesVector } from './batch.ts'
import { equalBytes, viewOf } from './dictionary.ts'
import { radixSort } from './radix.ts'

/** Fewer entries than this are compared. */
const FEW = 64
const WORD_BYTES = 4

/** The place of each entry in bytewise order; equal entries have equal ranks. */
export function entryRanks(vector: BytesVector): Int32Array {
  const { entries, offsets, bytes } = vector
  const order = sortedEntries(vector)
  const view = viewOf(bytes)
  const ranks = new Int32Array(entries)
  for (let i = 1; i < entries; i++) {
    const [entry, before] = [order[i], order[i - 1]]
    const length = offsets[entry + 1] - offsets[entry]
    const isEqual =
      length === offsets[before + 1] - offsets[before] && equalBytes(view, offsets[entry], view, offsets[before], length)
    ranks[entry] = isEqual ? ranks[before] : i
  }
  return ranks
}

/** A run of entries whose first `depth` bytes are equal, still to be sorted by the rest. */
interface Run {
  readonly from: number
  readonly to: number
  readonly depth: number
}

/** Entries in bytewise order: four bytes after four bytes by radix, few by comparison. */
function sortedEntries({ entries, offsets, bytes }: BytesVector): Int32Array {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const order = new Int32Array(entries)
  for (let i = 0; i < entries; i++) order[i] = i
  const runs: Run[] = [{ from: 0, to: entries, depth: 0 }]
  for (let run = runs.pop(); run !== undefined; run = runs.pop()) {
    const { from, to, depth } = run
    const part = order.subarray(from, to)
    if (part.length < FEW) {
      part.sort((a, b) => buffer.compare(buffer, offsets[b] + depth, offsets[b + 1], offsets[a] + depth, offsets[a + 1]))
      continue
    }
    const word = new Uint32Array(part.length)
    // What ends within the word sorts before what goes on: a missing byte is less than a zero.
    const rest = new Uint32Array(part.length)
    for (let i = 0; i < part.length; i++) {
      const start = offsets[part[i]] + depth
      const length = Math.min(WORD_BYTES + 1, offsets[part[i] + 1] - start)
      rest[i] = length
      let value = 0
      for (let k = 0; k < WORD_BYTES; k++) value = (value << 8) | (k < length ? bytes[start + k] : 0)
      word[i] = value
    }
    const sorted = sortedBy(word, rest)
    const before = part.slice()
    for (let i = 0; i < sorted.length; i++) part[i] = before[sorted[i]]
    for (let i = 0; i < sorted.length; ) {
      const first = sorted[i]
      let end = i + 1
      while (end < sorted.length && word[sorted[end]] === word[first] && rest[sorted[end]] === rest[first]) end++
      if (end - i > 1 && rest[first] > WORD_BYTES) runs.push({ from: from + i, to: from + end, depth: depth + WORD_BYTES })
      i = end
    }
  }
  return order
}

/** Positions in the order of `major`, then `minor`. */
function sortedBy(major: Uint32Array, minor: Uint32Array): Int32Array {
  const rows = new Int32Array(major.length)
  for (let i = 0; i < rows.length; i++) rows[i] = i
  const spare = new Int32Array(rows.length)
  const byMinor = radixSort(minor, rows, spare)
  return radixSort(major, byMinor, byMinor === rows ? spare : rows)
}
