import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { corrupt, messageOf, refused } from '../errors.ts'
import { snappyDecompress } from './snappy-read.ts'

/** Undoes a page's compression: a body of exactly `sizeBytes`. It may be a view of `stored`. Throws `Corrupt`. */
export type Decompress = (stored: Uint8Array, sizeBytes: number) => Uint8Array

/** Codecs by their number in parquet.thrift. Throws `Refused` for one that is not known. */
export function decompressor(codec: number): Decompress {
  switch (codec) {
    case 0:
      return exact('stored', (stored) => stored)
    case 1:
      return exact('snappy', snappyDecompress)
    case 2:
      return exact('gzip', (stored, sizeBytes) => gunzipSync(stored, bounds(sizeBytes)))
    case 6:
      return exact('zstd', (stored, sizeBytes) => zstdDecompressSync(stored, bounds(sizeBytes)))
    default:
      throw refused(`expected the codec uncompressed, snappy, gzip or zstd, found ${NAMES[codec] ?? `number ${codec}`}`)
  }
}

const NAMES: Readonly<Record<number, string>> = { 3: 'LZO', 4: 'BROTLI', 5: 'LZ4', 7: 'LZ4_RAW' }

/** One chunk of output takes it all; zlib wants chunks of 64 bytes at least. */
const bounds = (sizeBytes: number) => ({ chunkSize: Math.max(64, sizeBytes), maxOutputLength: Math.max(1, sizeBytes) })

function exact(name: string, decompress: Decompress): Decompress {
  return (stored, sizeBytes) => {
    // An empty page may be stored as nothing at all.
    if (sizeBytes === 0) return stored.subarray(0, 0)
    let body: Uint8Array
    try {
      body = decompress(stored, sizeBytes)
    } catch (error) {
      throw corrupt(`expected a ${name} page of ${sizeBytes} bytes, found what ${name} cannot read (${messageOf(error)})`)
    }
    if (body.length !== sizeBytes) throw corrupt(`expected a ${name} page of ${sizeBytes} bytes, found ${body.length}`)
    return body
  }
}
