import { constants, crc32, gzipSync, zstdCompressSync } from 'node:zlib'
import type { ColumnType } from '../columns/schema.ts'
import { refused } from '../errors.ts'
import { type Bounds, covering } from './bounds.ts'
import { encodeHybrid, hybridBound } from './hybrid.ts'
import { snappyCompress } from './snappy.ts'
import { thriftStruct } from './thrift.ts'

/** Encodings by their number in parquet.thrift. */
export const PLAIN = 0
export const RLE = 3
export const RLE_DICTIONARY = 8
export type PageEncoding = typeof PLAIN | typeof RLE_DICTIONARY

export const DATA_PAGE = 0
export const DICTIONARY_PAGE = 2

/** The compressed pages of one column in one row group, and what the footer tells of them. */
export interface Chunk {
  /** In file order: the dictionary page, if any, comes first. */
  readonly parts: readonly Uint8Array[]
  readonly compressedBytes: number
  readonly uncompressedBytes: number
  /** Bytes of the dictionary page with its header; 0 when there is none. */
  readonly dictionaryPageBytes: number
  readonly plainPages: number
  readonly dictionaryCodedPages: number
  /** Nulls included. */
  readonly values: number
  readonly nulls: number
  readonly nans: number
  readonly bounds: Bounds | undefined
}

/** Turns a page body into what is stored; the result may share memory with the body. */
export type Compress = (body: Uint8Array) => Uint8Array

export type Codec = 'zstd' | 'gzip' | 'snappy' | 'none'

export interface CompressionLevels {
  readonly zstdLevel: number
  readonly gzipLevel: number
}

/** A chunk's codec holds for all its pages, so a body that does not shrink is stored compressed all the same. */
export function compressor(codec: Codec, { zstdLevel, gzipLevel }: CompressionLevels): Compress {
  switch (codec) {
    case 'none':
      return (body) => body
    case 'snappy':
      return snappyCompress
    case 'gzip':
      return (body) => gzipSync(body, { level: gzipLevel })
    case 'zstd': {
      // Its own checksum: most readers check no page's CRC, all of them let zstd look.
      const params = { [constants.ZSTD_c_compressionLevel]: zstdLevel, [constants.ZSTD_c_checksumFlag]: 1 }
      const options = { params }
      return (body) => zstdCompressSync(body, options)
    }
  }
}

/** Gives the same memory again and again: contents last until the next call. One writer's columns share one. */
export type Scratch = (sizeBytes: number) => Uint8Array

export function scratchMemory(): Scratch {
  let memory = new Uint8Array(0)
  return (sizeBytes) => {
    if (memory.length < sizeBytes) memory = new Uint8Array(Math.max(sizeBytes, Math.min(memory.length * 2, 1 << 24)))
    return memory
  }
}

/** What a column found in the values of one page. */
export interface PageFacts {
  readonly rows: number
  readonly nulls: number
  readonly nans: number
  readonly bounds: Bounds | undefined
}

/** Collects the pages of one column chunk after another. */
export interface ChunkBuilder {
  /** Pages so far, the dictionary not counted. */
  pages(): number
  compressedBytes(): number
  uncompressedBytes(): number
  /** What compression leaves of a byte, by the pages of this chunk or else of the last one; 1 before the first. */
  ratio(): number
  /** `levels[0 .. rows)` is 1 for a value and 0 for a null, undefined in a required column; `values` holds no nulls. */
  dataPage(encoding: PageEncoding, levels: Uint8Array | undefined, values: Uint8Array, facts: PageFacts): void
  /** Ends the chunk and starts the next. The dictionary is known only now, though it comes first in the file. */
  finish(dictionary: { readonly entries: number; readonly plain: Uint8Array } | undefined, bounds: Bounds | undefined): Chunk
}

export function chunkBuilder(type: ColumnType, compress: Compress, scratch: Scratch): ChunkBuilder {
  let parts: Uint8Array[] = []
  let compressedBytes = 0
  let uncompressedBytes = 0
  let ratio = 1
  let plainPages = 0
  let dictionaryCodedPages = 0
  let values = 0
  let nulls = 0
  let nans = 0
  let bounds: Bounds | undefined

  function page(pageType: number, encoding: number, count: number, body: Uint8Array): Uint8Array {
    if (body.length > 0x7fffffff)
      throw refused(`Cannot write Parquet page: expected at most ${0x7fffffff} bytes, found ${body.length}. Use shorter values.`)
    const stored = compress(body)
    const header = pageHeader(pageType, encoding, count, body.length, stored)
    // A copy of its own: zlib hands out slices of larger buffers, and bodies are memory that is used again.
    const part = new Uint8Array(header.length + stored.length)
    part.set(header)
    part.set(stored, header.length)
    compressedBytes += part.length
    uncompressedBytes += header.length + body.length
    ratio = compressedBytes / uncompressedBytes
    return part
  }

  return {
    pages: () => plainPages + dictionaryCodedPages,
    compressedBytes: () => compressedBytes,
    uncompressedBytes: () => uncompressedBytes,
    ratio: () => ratio,
    dataPage: (encoding, levels, encoded, facts) => {
      const body = levels === undefined ? encoded : withLevels(levels, facts, encoded, scratch)
      parts.push(page(DATA_PAGE, encoding, facts.rows, body))
      if (encoding === PLAIN) plainPages++
      else dictionaryCodedPages++
      values += facts.rows
      nulls += facts.nulls
      nans += facts.nans
      bounds = covering(type, bounds, facts.bounds)
    },
    finish: (dictionary, dictionaryBounds) => {
      const first = dictionary && page(DICTIONARY_PAGE, PLAIN, dictionary.entries, dictionary.plain)
      const chunk: Chunk = {
        parts: first === undefined ? parts : [first, ...parts],
        compressedBytes,
        uncompressedBytes,
        dictionaryPageBytes: first?.length ?? 0,
        plainPages,
        dictionaryCodedPages,
        values,
        nulls,
        nans,
        bounds: covering(type, bounds, dictionaryBounds),
      }
      parts = []
      compressedBytes = 0
      uncompressedBytes = 0
      plainPages = 0
      dictionaryCodedPages = 0
      values = 0
      nulls = 0
      nans = 0
      bounds = undefined
      return chunk
    },
  }
}

/** Data page V1 (every reader has it): definition levels behind their length, then the values. */
function withLevels(levels: Uint8Array, facts: PageFacts, values: Uint8Array, scratch: Scratch): Uint8Array {
  const body = scratch(4 + hybridBound(facts.rows, 1) + values.length)
  const end = encodeHybrid(levels, facts.rows, 1, body, 4)
  new DataView(body.buffer).setInt32(0, end - 4, true)
  body.set(values, end)
  return body.subarray(0, end + values.length)
}

/** PageHeader of parquet.thrift. */
function pageHeader(type: number, encoding: number, values: number, uncompressedBytes: number, stored: Uint8Array): Uint8Array {
  return thriftStruct((page) => {
    page.i32(1, type)
    page.i32(2, uncompressedBytes)
    page.i32(3, stored.length)
    // Signed, as Thrift has no other: the CRC of what is stored.
    page.i32(4, crc32(stored) | 0)
    if (type === DATA_PAGE)
      page.struct(5, () => {
        page.i32(1, values)
        page.i32(2, encoding)
        page.i32(3, RLE)
        page.i32(4, RLE)
      })
    else
      page.struct(7, () => {
        page.i32(1, values)
        page.i32(2, encoding)
      })
  })
}
