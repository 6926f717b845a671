import type { Vector } from '../columns/batch.ts'
import type { Field } from '../columns/schema.ts'
import { corrupt } from '../errors.ts'
import type { Chunk } from './pages.ts'

/** Encodes one column, chunk after chunk. Pages are compressed as they fill; only the open one is held raw. */
export interface ColumnWriter {
  /** Takes rows `from` to `to` of `vector`, or the rows that `rows[from .. to)` names. */
  append(vector: Vector, rows: Int32Array | undefined, from: number, to: number): void
  /** Bytes of the open chunk as encoded, before compression. */
  uncompressedBytes(): number
  /** Bytes of the open chunk that are held in memory: compressed pages and what the open page has so far. */
  heldBytes(): number
  /** About what the open chunk takes in the file: what is open is taken to compress as the pages before it did. */
  estimatedBytes(): number
  /** Ends the chunk and starts the next. */
  finish(): Chunk
}

/** What bounds one page. */
export interface PageLimits {
  /** A page closes before it would exceed this many bytes, before compression; one larger value is a page of its own. */
  readonly pageBytes: number
  /** A page has at most this many rows, whatever its bytes: codes of a small dictionary take only a few bits a row. */
  readonly pageRows: number
}

/** Rows of one page, when each takes `rowBytes`. */
export function rowsOfPage({ pageBytes, pageRows }: PageLimits, rowBytes: number): number {
  return Math.max(1, Math.min(pageRows, Math.floor(pageBytes / rowBytes)))
}

/** Which rows of the open page hold a value. */
export interface Levels {
  readonly rows: number
  readonly nulls: number
  /** Throws `Corrupt` for a null in a required column. */
  append(validity: Uint8Array | undefined, rows: Int32Array | undefined, from: number, to: number): void
  /** 1 for a value, 0 for a null, one per row; undefined in a required column, which stores no levels. */
  bytes(): Uint8Array | undefined
  clear(): void
}

export function levelsOf(field: Field): Levels {
  let bytes = new Uint8Array(1024)
  let count = 0
  let nulls = 0

  function append(validity: Uint8Array | undefined, rows: Int32Array | undefined, from: number, to: number): void {
    const end = count + to - from
    if (end > bytes.length) {
      const larger = new Uint8Array(Math.max(end, bytes.length * 2))
      larger.set(bytes)
      bytes = larger
    }
    if (validity === undefined) bytes.fill(1, count, end)
    else {
      const shift = count - from
      let valid = 0
      for (let i = from; i < to; i++) {
        const level = validity[rows === undefined ? i : rows[i]] === 0 ? 0 : 1
        bytes[i + shift] = level
        valid += level
      }
      nulls += to - from - valid
      if (field.required && nulls > 0)
        throw corrupt(`Cannot write column ${field.name}: expected a value in every row of a required column, found null.`)
    }
    count = end
  }

  return {
    get rows() {
      return count
    },
    get nulls() {
      return nulls
    },
    append,
    bytes: () => (field.required ? undefined : bytes),
    clear: () => {
      count = 0
      nulls = 0
    },
  }
}
