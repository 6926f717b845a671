import type { Batch } from '../columns/batch.ts'
import type { ParquetSummary } from '../parquet/reader.ts'

/** A value in memory: a number, or a string's place. */
const VALUE_BYTES = 8

/**
 * About what the rows of a file take decoded, of all of it: what is encoded in fewer bytes than values have places takes these.
 */
export const decodedBytes = ({ rows, uncompressedBytes }: ParquetSummary, columns: number): number =>
  Math.max(uncompressedBytes, rows * columns * VALUE_BYTES)

/**
 * Knows what strings take beyond that once one batch spells them out: all of their column are then spelled out
 * (`batchBuilder`).
 */
export interface SpelledOut {
  add(batch: Batch): void
  readonly bytes: number
}

export function spelledOut(): SpelledOut {
  /** By column. */
  const codedBytes: number[] = []
  const isSpelled: boolean[] = []
  return {
    add({ vectors, rows }) {
      for (const [k, vector] of vectors.entries()) {
        if (vector.type !== 'string' && vector.type !== 'binary') continue
        const { codes, offsets } = vector
        if (codes === undefined) isSpelled[k] = true
        else {
          let bytes = 0
          for (let i = 0; i < rows; i++) bytes += offsets[codes[i] + 1] - offsets[codes[i]]
          codedBytes[k] = (codedBytes[k] ?? 0) + bytes
        }
      }
    },
    get bytes() {
      return codedBytes.reduce((sum, bytes, k) => (isSpelled[k] ? sum + bytes : sum), 0)
    },
  }
}
