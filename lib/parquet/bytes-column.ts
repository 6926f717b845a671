import { type BytesVector, expectType } from '../columns/batch.ts'
import type { Field } from '../columns/schema.ts'
import { chunkDictionary } from './chunk-dictionary.ts'
import { type ColumnWriter, levelsOf, type PageLimits, rowsOfPage } from './column.ts'
import { bitWidthOf, encodeHybrid, hybridBound } from './hybrid.ts'
import { type ChunkBuilder, PLAIN, RLE_DICTIONARY, type Scratch } from './pages.ts'
import { type BytesEntries, LENGTH_BYTES, plainBytesPage } from './plain-bytes.ts'

export interface BytesColumnOptions extends PageLimits {
  /** PLAIN size of a chunk's dictionary; at most 2^26, so that a code has at most 24 bits. 0: no dictionaries. */
  readonly maxDictionaryBytes: number
  readonly scratch: Scratch
}

/**
 * A column of strings or binary. A chunk starts with a dictionary. When its first page shows that the dictionary saves
 * nothing, that page is written PLAIN after all, and so is the rest of the chunk; when the dictionary grows too large later,
 * the pages that follow are PLAIN (as parquet-mr and Arrow do). The next chunk tries again.
 */
export function bytesColumn(
  field: Field,
  type: 'string' | 'binary',
  pages: ChunkBuilder,
  options: BytesColumnOptions,
): ColumnWriter {
  const { pageBytes, maxDictionaryBytes, scratch } = options
  const pageRows = rowsOfPage(options, LENGTH_BYTES)
  const levels = levelsOf(field)
  const dictionary = chunkDictionary(maxDictionaryBytes)
  const plain = plainBytesPage(pageBytes)
  /** Whether the open page holds codes (else PLAIN values), and how many coded pages the chunk has. */
  let coding = maxDictionaryBytes > 0
  let codedPages = 0
  /** The open page's codes, nulls left out. */
  let codes = new Int32Array(1024)
  let count = 0
  /** By entry of the vector being appended, its code in the dictionary; -1 = not asked yet. */
  let remap = new Int32Array(256)

  /** Returns the first row not taken: the one whose value the dictionary has no room for, else `to`. */
  function appendCodes(vector: BytesVector, rows: Int32Array | undefined, from: number, to: number): number {
    if (count + to - from > codes.length) codes = copyOf(codes, Math.max(count + to - from, codes.length * 2))
    const { codes: source, validity } = vector
    // Worth its filling only when rows outnumber entries.
    const remapped = source !== undefined && vector.entries <= to - from
    if (remapped) {
      if (vector.entries > remap.length) remap = new Int32Array(vector.entries)
      remap.fill(-1, 0, vector.entries)
    }
    let end = count
    let i = from
    for (; i < to; i++) {
      const row = rows === undefined ? i : rows[i]
      if (validity !== undefined && validity[row] === 0) continue
      const entry = source === undefined ? row : source[row]
      let code = remapped ? remap[entry] : -1
      if (code < 0) {
        code = dictionary.code(vector, entry)
        if (code < 0) break
        if (remapped) remap[entry] = code
      }
      codes[end++] = code
    }
    count = end
    return i
  }

  /** Whether codes and dictionary together are smaller than the open page's values in PLAIN encoding. */
  function codingSaves({ offsets }: BytesEntries): boolean {
    let plainSize = 0
    for (let i = 0; i < count; i++) plainSize += LENGTH_BYTES + offsets[codes[i] + 1] - offsets[codes[i]]
    return dictionary.sizeBytes + (count * bitWidthOf(dictionary.entries)) / 8 < plainSize
  }

  /** Turns the open page of codes, the chunk's first, into PLAIN pages, of which the last stays open. */
  function recode(entries: BytesEntries & { readonly entries: number }): void {
    const { rows } = levels
    const validity = levels.bytes()?.slice(0, rows)
    const rowCodes = new Int32Array(rows)
    for (let row = 0, i = 0; row < rows; row++) if (validity === undefined || validity[row] === 1) rowCodes[row] = codes[i++]
    levels.clear()
    count = 0
    dictionary.clear()
    coding = false
    appendAll({ type, ...entries, codes: rowCodes, validity }, undefined, 0, rows)
  }

  function flush(): void {
    if (coding && codedPages === 0 && count > 0) {
      const entries = dictionary.snapshot()
      if (!codingSaves(entries)) recode(entries)
    }
    const { rows, nulls } = levels
    if (rows === 0) return
    if (count > 0) {
      const width = bitWidthOf(dictionary.entries)
      const body = scratch(1 + hybridBound(count, width))
      body[0] = width
      const end = encodeHybrid(codes, count, width, body, 1)
      // Bounds come from the dictionary, when the chunk ends.
      pages.dataPage(RLE_DICTIONARY, levels.bytes(), body.subarray(0, end), { rows, nulls, nans: 0, bounds: undefined })
      codedPages++
    } else {
      // Without values (all null) a page needs no dictionary, which the chunk may never get.
      pages.dataPage(PLAIN, levels.bytes(), plain.bytes(), { rows, nulls, nans: 0, bounds: plain.bounds() })
    }
    levels.clear()
    count = 0
    plain.clear()
  }

  function appendAll(vector: BytesVector, rows: Int32Array | undefined, from: number, to: number): void {
    let at = from
    while (at < to) {
      const end = Math.min(to, at + pageRows - levels.rows)
      const taken = coding ? appendCodes(vector, rows, at, end) : plain.append(vector, rows, at, end)
      levels.append(vector.validity, rows, at, taken)
      at = taken
      if (taken < end || levels.rows === pageRows) flush()
      if (taken < end) coding = false
    }
  }

  const openBytes = () => (count * bitWidthOf(dictionary.entries)) / 8 + plain.sizeBytes + dictionary.sizeBytes

  return {
    append: (vector, rows, from, to) => appendAll(expectType(vector, type), rows, from, to),
    uncompressedBytes: () => pages.uncompressedBytes() + openBytes(),
    heldBytes: () => pages.compressedBytes() + count * 4 + plain.sizeBytes + dictionary.sizeBytes,
    estimatedBytes: () => pages.compressedBytes() + openBytes() * pages.ratio(),
    finish: () => {
      flush()
      const page = codedPages > 0 ? dictionary.page() : undefined
      const chunk = pages.finish(page, page?.bounds)
      dictionary.clear()
      codedPages = 0
      coding = maxDictionaryBytes > 0
      return chunk
    },
  }
}

function copyOf(from: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(length)
  to.set(from)
  return to
}
