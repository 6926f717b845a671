import { crc32 } from 'node:zlib'
import { corrupt, refused } from '../errors.ts'
import { decompressor } from './decompress.ts'
import { decodeHybrid } from './hybrid-read.ts'
import { DATA_PAGE, DICTIONARY_PAGE, RLE } from './pages.ts'
import type { FileChunk } from './reader-footer.ts'
import { countIn, needCount, needStruct, readThrift } from './thrift-read.ts'

const INDEX_PAGE = 1
const DATA_PAGE_V2 = 3

/** A data page as it lies in the file. */
export interface DataPage {
  /** Nulls included. */
  readonly rows: number
  readonly encoding: number
  /** Decompresses it. */
  open(): PageBody
}

export interface PageBody {
  /** Definition levels in the RLE hybrid; undefined where the column is required. */
  readonly levels: Uint8Array | undefined
  /** Encoded, nulls left out. */
  readonly values: Uint8Array
}

export interface ChunkPages {
  readonly dictionary: { readonly entries: number; readonly plain: Uint8Array } | undefined
  readonly pages: readonly DataPage[]
}

/**
 * The pages of a chunk of `rows` rows. All headers are read first, so that no memory is asked for on the word of a damaged one.
 * Throws `Corrupt`, for a wrong checksum too, and `Refused` for what it does not know.
 */
export function chunkPages(bytes: Uint8Array, chunk: FileChunk, rows: number, optional: boolean): ChunkPages {
  const decompress = decompressor(chunk.codec)
  const within = bytes.subarray(0, chunk.offset + chunk.compressedBytes)
  const pages: DataPage[] = []
  let dictionary: ChunkPages['dictionary']
  let at = chunk.offset
  let found = 0
  while (found < rows) {
    const { struct: header, end } = readThrift(within, at)
    const type = needCount(header, 1, 'a page type')
    const sizeBytes = needCount(header, 2, "a page's size")
    const storedBytes = needCount(header, 3, "a page's size")
    if (storedBytes > within.length - end) throw corrupt(`expected a page of ${storedBytes} bytes, found ${within.length - end}`)
    if (sizeBytes > chunk.uncompressedBytes)
      throw corrupt(`expected pages of at most ${chunk.uncompressedBytes} bytes, found one of ${sizeBytes}`)
    const stored = within.subarray(end, end + storedBytes)
    at = end + storedBytes
    const checksum = header.get(4)
    if (typeof checksum === 'number' && (crc32(stored) | 0) !== (checksum | 0))
      throw corrupt(`expected a page of checksum ${checksum >>> 0}, found ${crc32(stored)}`)
    if (type === DICTIONARY_PAGE) {
      const facts = needStruct(header, 7, "a dictionary page's header")
      const encoding = needCount(facts, 2, 'an encoding')
      if (encoding !== 0 && encoding !== 2) throw refused(`expected a dictionary in PLAIN encoding, found encoding ${encoding}`)
      if (dictionary !== undefined) throw corrupt('expected one dictionary, found two')
      dictionary = { entries: needCount(facts, 1, "a dictionary's size"), plain: decompress(stored, sizeBytes) }
    } else if (type === DATA_PAGE) {
      const facts = needStruct(header, 5, "a data page's header")
      const levelEncoding = needCount(facts, 3, 'an encoding of levels')
      if (optional && levelEncoding !== RLE) throw refused(`expected definition levels in RLE, found encoding ${levelEncoding}`)
      const page = { rows: needCount(facts, 1, "a page's rows"), encoding: needCount(facts, 2, 'an encoding') }
      pages.push({ ...page, open: () => splitLevels(decompress(stored, sizeBytes), optional) })
      found += page.rows
    } else if (type === DATA_PAGE_V2) {
      const facts = needStruct(header, 8, "a data page's header")
      const levelBytes = needCount(facts, 5, 'a size of levels')
      const skipped = needCount(facts, 6, 'a size of levels')
      const levelsEnd = levelBytes + skipped
      if (levelsEnd > Math.min(storedBytes, sizeBytes)) throw corrupt(`expected levels within a page, found ${levelsEnd} bytes`)
      const rest = stored.subarray(levelsEnd)
      const isStored = facts.get(7) === false
      if (isStored && storedBytes !== sizeBytes) throw corrupt(`expected a page of ${sizeBytes} bytes, found ${storedBytes}`)
      pages.push({
        rows: needCount(facts, 1, "a page's rows"),
        encoding: needCount(facts, 4, 'an encoding'),
        open: () => ({
          levels: optional ? stored.subarray(skipped, levelsEnd) : undefined,
          values: isStored ? rest : decompress(rest, sizeBytes - levelsEnd),
        }),
      })
      found += countIn(facts, 1, "a page's rows") ?? 0
    } else if (type !== INDEX_PAGE) throw refused(`expected a page of data or a dictionary, found type ${type}`)
  }
  if (found !== rows) throw corrupt(`expected pages of ${rows} rows, found ${found}`)
  return { dictionary, pages }
}

/** Data page V1: definition levels behind their length, then the values. */
function splitLevels(body: Uint8Array, optional: boolean): PageBody {
  if (!optional) return { levels: undefined, values: body }
  const length = lengthAt(body, 0)
  return { levels: body.subarray(4, 4 + length), values: body.subarray(4 + length) }
}

/** Four bytes of length at `at`, which as many bytes follow. Throws `Corrupt`. */
export function lengthAt(body: Uint8Array, at: number): number {
  const length = (body[at] | (body[at + 1] << 8) | (body[at + 2] << 16) | (body[at + 3] << 24)) >>> 0
  if (at + 4 + length > body.length) throw corrupt(`expected ${length} bytes within a page, found ${body.length - at - 4}`)
  return length
}

/** Which rows of a column hold a value, as its pages come. */
export interface Validity {
  /** Takes the levels of the rows from `row` on; returns how many of them hold a value. */
  append(levels: Uint8Array | undefined, row: number, count: number): number
  /** 1 for a value, 0 for a null; undefined while no null has come. */
  bytes(): Uint8Array | undefined
}

export function validityOf(rows: number): Validity {
  let bytes: Uint8Array | undefined
  const oneRun = Uint8Array.of(0, 0, 0, 0, 0, 1)

  /** Whether levels are a single run of ones: the usual case, told without decoding. */
  function isAllOnes(levels: Uint8Array, count: number): boolean {
    let end = 0
    for (let header = count * 2; header > 0; header = Math.floor(header / 128))
      oneRun[end++] = (header & 0x7f) | (header > 0x7f ? 0x80 : 0)
    for (let i = 0; i < end; i++) if (levels[i] !== oneRun[i]) return false
    return levels[end] === 1
  }

  return {
    append(levels, row, count) {
      if (levels === undefined || isAllOnes(levels, count)) {
        bytes?.fill(1, row, row + count)
        return count
      }
      const levelBytes = bytes ?? new Uint8Array(rows).fill(1, 0, row)
      decodeHybrid(levels, 0, levels.length, 1, levelBytes, row, count)
      let values = 0
      for (let i = row; i < row + count; i++) {
        if (levelBytes[i] > 1) throw corrupt(`expected definition levels 0 and 1, found ${levelBytes[i]}`)
        values += levelBytes[i]
      }
      if (bytes !== undefined || values < count) bytes = levelBytes
      return values
    },
    bytes: () => bytes,
  }
}
