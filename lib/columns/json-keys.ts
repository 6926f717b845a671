import { equalBytes, hashBytes, viewOf } from './dictionary.ts'
import { COLON, EXPECT, fail, plainEnd, QUOTE, type Scratch, scanString, skipSpace } from './json-scan.ts'

/** Keys are predicted for this many members of an object, up to this many bytes long with quotes and colon. */
const PREDICTED_KEYS = 64
const PREDICTED_BYTES = 64

/** A prediction is its column, its length, its last four bytes and its bytes, all as 32-bit words. */
const COLUMN = 0
const LENGTH = 1
const TAIL = 2
const TEXT = 3
const STRIDE = TEXT + PREDICTED_BYTES / 4

export interface KeyReader {
  /** Column of the key that was read last, -1 when no column is read from it. */
  column: number
  /** Reads the key at `p` and its colon. `position` counts the members of the object from 0. */
  read(view: DataView, p: number, end: number, position: number): number
}

/**
 * Reads object keys and tells their columns. The n-th key of an object is most likely the n-th key of the object before:
 * it is compared with that one, four bytes at a time, and looked up only when it differs.
 */
export function keyReader(keys: readonly string[], scratch: Scratch): KeyReader {
  const find = columnFinder(keys)
  const predictable = Math.max(PREDICTED_KEYS, 2 * keys.length)
  const predictions = new Int32Array(predictable * STRIDE)
  const text = new DataView(new ArrayBuffer(PREDICTED_BYTES))

  /** Expects the key with the bytes `start .. end - 1` at `position` from now on. */
  function predict(position: number, column: number, view: DataView, start: number, end: number): void {
    const length = end - start + 3
    // Below four bytes, the empty key, there is no last word.
    if (position >= predictable || length < 4 || length > PREDICTED_BYTES) return
    text.setUint8(0, QUOTE)
    for (let i = start; i < end; i++) text.setUint8(i - start + 1, view.getUint8(i))
    text.setUint8(length - 2, QUOTE)
    text.setUint8(length - 1, COLON)
    const at = position * STRIDE
    predictions[at + COLUMN] = column
    predictions[at + LENGTH] = length
    predictions[at + TAIL] = text.getInt32(length - 4, true)
    for (let i = 0; i < length; i += 4) predictions[at + TEXT + (i >> 2)] = text.getInt32(i, true)
  }

  function readUnpredicted(view: DataView, p: number, end: number, position: number): number {
    const stop = plainEnd(view, p + 1, end)
    if (stop < end && view.getUint8(stop) === QUOTE) {
      reader.column = find(view, p + 1, stop)
      predict(position, reader.column, view, p + 1, stop)
      p = stop + 1
    } else {
      p = scanString(view, p, end, scratch)
      if (p < 0) return p
      reader.column = find(viewOf(scratch.text), 0, scratch.textLength)
    }
    p = skipSpace(view, p, end)
    return p < end && view.getUint8(p) === COLON ? p + 1 : fail(p, EXPECT.AFTER_KEY)
  }

  const reader: KeyReader = {
    column: -1,
    read(view, p, end, position) {
      if (position < predictable) {
        const at = position * STRIDE
        const length = predictions[at + LENGTH]
        if (length > 0 && p + length <= end && view.getInt32(p + length - 4, true) === predictions[at + TAIL]) {
          let i = 0
          while (i < length - 4 && view.getInt32(p + i, true) === predictions[at + TEXT + (i >> 2)]) i += 4
          if (i >= length - 4) {
            reader.column = predictions[at + COLUMN]
            return p + length
          }
        }
      }
      return readUnpredicted(view, p, end, position)
    },
  }
  return reader
}

/** Finds a column by the bytes of its key; -1 when there is none. */
function columnFinder(keys: readonly string[]): (view: DataView, start: number, end: number) => number {
  const views = keys.map((key) => viewOf(new TextEncoder().encode(key)))
  const byHash = new Map<number, number[]>()
  for (const [column, view] of views.entries()) {
    const hash = hashBytes(view, 0, view.byteLength)
    byHash.set(hash, [...(byHash.get(hash) ?? []), column])
  }
  return (view, start, end) => {
    const candidates = byHash.get(hashBytes(view, start, end))
    if (candidates !== undefined)
      for (const column of candidates) {
        const key = views[column]
        if (key.byteLength === end - start && equalBytes(key, 0, view, start, end - start)) return column
      }
    return -1
  }
}
