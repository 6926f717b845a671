import { corrupt, refused } from '../errors.ts'
import { decodeDelta } from './delta-read.ts'
import { decodeHybrid } from './hybrid-read.ts'
import { PLAIN, RLE, RLE_DICTIONARY } from './pages.ts'
import { type ChunkPages, lengthAt, validityOf } from './reader-pages.ts'

export const PLAIN_DICTIONARY = 2
const DELTA_BINARY_PACKED = 5
const BYTE_STREAM_SPLIT = 9

/** Values of one column chunk as 32-bit words, one or two a value; those of nulls are 0. */
export interface FixedValues {
  readonly words: Int32Array<ArrayBuffer>
  readonly validity: Uint8Array | undefined
}

/** A column chunk of 32-bit (`width` 1) or 64-bit (`width` 2) values, whatever they stand for. */
export function readFixed(chunk: ChunkPages, rows: number, width: 1 | 2, isInteger: boolean): FixedValues {
  const words = new Int32Array(rows * width)
  const validity = validityOf(rows)
  const dictionary = chunk.dictionary && fixedDictionary(chunk.dictionary, width)
  let codes = new Int32Array(0)

  function decode(encoding: number, values: Uint8Array, count: number, from: number): void {
    switch (encoding) {
      case PLAIN:
        copyPlain(values, width, count, words, from)
        return
      case PLAIN_DICTIONARY:
      case RLE_DICTIONARY: {
        if (codes.length < count) codes = new Int32Array(count)
        if (dictionary === undefined) throw corrupt('expected a dictionary before the pages that use it, found none')
        decodeCodes(values, count, dictionary.length / width, codes, 0)
        if (width === 1) for (let i = 0; i < count; i++) words[from + i] = dictionary[codes[i]]
        else
          for (let i = 0; i < count; i++) {
            words[2 * (from + i)] = dictionary[2 * codes[i]]
            words[2 * (from + i) + 1] = dictionary[2 * codes[i] + 1]
          }
        return
      }
      case BYTE_STREAM_SPLIT:
        copySplit(values, width, count, words, from)
        return
      case DELTA_BINARY_PACKED:
        if (isInteger) {
          decodeDelta(values, 0, width, count, words, from)
          return
        }
    }
    throw unknownEncoding(encoding)
  }

  let row = 0
  for (const page of chunk.pages) {
    const { levels, values } = page.open()
    const count = validity.append(levels, row, page.rows)
    if (count > 0) decode(page.encoding, values, count, row)
    if (count < page.rows) spread(words, width, validity.bytes(), row, page.rows, count)
    row += page.rows
  }
  return { words, validity: validity.bytes() }
}

export const unknownEncoding = (encoding: number) =>
  refused(`expected an encoding that this type has, found encoding ${encoding}`)

/** The codes of a dictionary coded page: their width in a byte, then the hybrid. Each is held to be below `entries`. */
export function decodeCodes(values: Uint8Array, count: number, entries: number, codes: Int32Array, from: number): void {
  const bitWidth = values[0]
  if (!(bitWidth <= 32)) throw corrupt(`expected codes of at most 32 bits, found ${bitWidth}`)
  decodeHybrid(values, 1, values.length, bitWidth, codes, from, count)
  for (let i = from; i < from + count; i++)
    if (codes[i] >>> 0 >= entries) throw corrupt(`expected codes below ${entries}, found ${codes[i] >>> 0}`)
}

function fixedDictionary({ entries, plain }: { entries: number; plain: Uint8Array }, width: 1 | 2): Int32Array {
  if (entries * width * 4 > plain.length) throw corrupt(`expected a dictionary of ${entries} values, found ${plain.length} bytes`)
  const words = new Int32Array(entries * width)
  copyPlain(plain, width, entries, words, 0)
  return words
}

function copyPlain(values: Uint8Array, width: number, count: number, words: Int32Array, from: number): void {
  const sizeBytes = count * width * 4
  if (values.length < sizeBytes) throw corrupt(`expected ${count} values in ${sizeBytes} bytes, found ${values.length} bytes`)
  const target = new Uint8Array(words.buffer, words.byteOffset + from * width * 4, sizeBytes)
  target.set(values.length === sizeBytes ? values : values.subarray(0, sizeBytes))
}

/** All first bytes, then all second bytes, and so on. */
function copySplit(values: Uint8Array, width: number, count: number, words: Int32Array, from: number): void {
  const size = width * 4
  if (values.length !== count * size)
    throw corrupt(`expected ${count} values in ${count * size} bytes, found ${values.length} bytes`)
  const target = new Uint8Array(words.buffer, words.byteOffset + from * size, count * size)
  for (let k = 0; k < size; k++) for (let i = 0; i < count; i++) target[i * size + k] = values[k * count + i]
}

/** Moves `count` values that lie one behind the other from row `row` on to the rows that have a value; nulls become 0. */
function spread(
  words: Int32Array | Uint8Array,
  width: number,
  validity: Uint8Array | undefined,
  row: number,
  rows: number,
  count: number,
): void {
  if (validity === undefined) return
  let from = row + count - 1
  for (let i = row + rows - 1; i >= row; i--) {
    const isValue = validity[i] === 1
    for (let k = 0; k < width; k++) words[width * i + k] = isValue ? words[width * from + k] : 0
    if (isValue) from--
  }
}

export interface BooleanValues {
  readonly values: Uint8Array
  readonly validity: Uint8Array | undefined
}

export function readBooleans(chunk: ChunkPages, rows: number): BooleanValues {
  const out = new Uint8Array(rows)
  const validity = validityOf(rows)
  let row = 0
  for (const page of chunk.pages) {
    const { levels, values } = page.open()
    const count = validity.append(levels, row, page.rows)
    if (page.encoding === PLAIN) {
      if (values.length * 8 < count) throw corrupt(`expected ${count} booleans, found ${values.length} bytes`)
      for (let i = 0; i < count; i++) out[row + i] = (values[i >>> 3] >>> (i & 7)) & 1
    } else if (page.encoding === RLE) {
      if (count > 0) decodeHybrid(values, 4, 4 + lengthAt(values, 0), 1, out, row, count)
      for (let i = row; i < row + count; i++) if (out[i] > 1) throw corrupt(`expected booleans, found ${out[i]}`)
    } else throw unknownEncoding(page.encoding)
    if (count < page.rows) spread(out, 1, validity.bytes(), row, page.rows, count)
    row += page.rows
  }
  return { values: out, validity: validity.bytes() }
}

/** One code a row, nulls spread as `readFixed` does; the code of a null is `nullCode`. */
export function spreadCodes(
  codes: Int32Array,
  validity: Uint8Array | undefined,
  row: number,
  rows: number,
  count: number,
  nullCode: number,
): void {
  if (validity === undefined) return
  spread(codes, 1, validity, row, rows, count)
  for (let i = row; i < row + rows; i++) if (validity[i] === 0) codes[i] = nullCode
}
