import fc from 'fast-check'
import { compressors } from 'hyparquet-compressors'
import { describe, expect, test } from 'vitest'
import { snappyCompress } from '../../lib/parquet/snappy.ts'

/** hysnappy: C, compiled to WebAssembly. */
function decompressed(compressed: Uint8Array, sizeBytes: number): Uint8Array {
  return compressors.SNAPPY!(Uint8Array.from(compressed), sizeBytes)
}

/** What the format says, and nothing more: each tag must be one of its kinds, each copy stay within what is there. */
function strictlyDecompressed(compressed: Uint8Array): {
  bytes: Uint8Array
  copies: number
  overlapping: number
  literals: number
} {
  let at = 0
  const next = () => {
    if (at >= compressed.length) throw new Error('the input ends too early')
    return compressed[at++]!
  }
  let size = 0
  for (let shift = 0, more = true; more; shift += 7) {
    const byte = next()
    size += (byte & 0x7f) * 2 ** shift
    more = byte > 0x7f
  }
  const bytes = new Uint8Array(size)
  const counts = { copies: 0, overlapping: 0, literals: 0 }
  let end = 0
  while (at < compressed.length) {
    const tag = next()
    if ((tag & 3) === 0) {
      counts.literals++
      let length = tag >> 2
      if (length >= 60) {
        const width = length - 59
        length = 0
        for (let i = 0; i < width; i++) length += next() * 256 ** i
      }
      for (let i = 0; i <= length; i++) bytes[end++] = next()
      continue
    }
    if ((tag & 3) === 3) throw new Error('copies of four-byte offsets are not written')
    const short = (tag & 3) === 1
    const length = short ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1
    const offset = short ? ((tag >> 5) << 8) | next() : next() | (next() << 8)
    if (offset === 0 || offset > end) throw new Error(`copy from ${offset} back at ${end}`)
    counts.copies++
    if (offset < length) counts.overlapping++
    for (let i = 0; i < length; i++, end++) bytes[end] = bytes[end - offset]!
  }
  if (end !== size) throw new Error(`expected ${size} bytes, found ${end}`)
  return { bytes, ...counts }
}

function expectRoundTrip(input: Uint8Array): ReturnType<typeof strictlyDecompressed> & { compressed: Uint8Array } {
  const compressed = snappyCompress(input)
  expect(compressed.length).toBeLessThanOrEqual(32 + input.length + Math.floor(input.length / 6))
  const strict = strictlyDecompressed(compressed)
  // Buffer.compare: deep equality of large arrays is slow.
  expect(Buffer.compare(strict.bytes, input)).toBe(0)
  if (input.length > 0) expect(Buffer.compare(decompressed(compressed, input.length), input)).toBe(0)
  return { ...strict, compressed }
}

/** Bytes without any pattern (xorshift). */
function noise(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed
  for (let i = 0; i < length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state
  }
  return bytes
}

const BLOCK = 65_536

/** Literals, runs, and repeats of what came before from any distance, until far beyond one block. */
type Piece =
  | { readonly kind: 'noise'; readonly length: number; readonly seed: number }
  | { readonly kind: 'run'; readonly length: number; readonly byte: number }
  | { readonly kind: 'again'; readonly length: number; readonly distance: number }
const length = fc.oneof(fc.integer({ min: 1, max: 80 }), fc.constantFrom(59, 60, 61, 64, 67, 68, 255, 256, 257, 40_000, BLOCK))
const piece: fc.Arbitrary<Piece> = fc.oneof(
  fc.record({ kind: fc.constant('noise' as const), length, seed: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ kind: fc.constant('run' as const), length, byte: fc.integer({ min: 0, max: 255 }) }),
  fc.record({
    kind: fc.constant('again' as const),
    length,
    distance: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(2047, 2048, 65_535, 65_536), fc.nat(100_000)),
  }),
)
function built(pieces: readonly Piece[]): Uint8Array {
  const bytes: number[] = []
  for (const one of pieces) {
    if (one.kind === 'noise') bytes.push(...noise(one.length, one.seed))
    else if (one.kind === 'run') for (let i = 0; i < one.length; i++) bytes.push(one.byte)
    else for (let i = 0; i < one.length; i++) bytes.push(bytes[bytes.length - one.distance] ?? i & 255)
  }
  return Uint8Array.from(bytes)
}

describe('snappy', () => {
  test('any bytes come back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400, size: 'max' }), (bytes) => {
        expectRoundTrip(bytes)
      }),
      { numRuns: 500 },
    )
  })

  test('literals, long runs and repeats from any distance come back, across blocks', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12, size: 'max' }), (pieces) => {
        expectRoundTrip(built(pieces))
      }),
      { numRuns: 300 },
    )
  })

  test('nothing is one byte: its length', () => {
    expect([...snappyCompress(new Uint8Array(0))]).toEqual([0])
  })

  test.each([1, 4, 14, 15, 16, 17, 59, 60, 61, 255, 256, 257, 65_535, 65_536, 65_537, 131_072, 200_003])(
    '%i bytes without a pattern are stored, with a few bytes on top, and come back',
    (size) => {
      const { compressed, literals } = expectRoundTrip(noise(size))
      expect(compressed.length).toBeLessThanOrEqual(size + 4 + 3 * Math.ceil(size / BLOCK))
      expect(literals).toBeLessThanOrEqual(Math.ceil(size / BLOCK))
    },
  )

  test.each([16, 19, 64, 65, 68, 128, 132, 1000, 65_536, 65_540, 300_000])(
    'a run of %i bytes becomes copies that overlap themselves',
    (size) => {
      const { compressed, overlapping, copies } = expectRoundTrip(new Uint8Array(size).fill(7))
      expect(overlapping).toBe(copies)
      expect(copies).toBeGreaterThan(0)
      // 64 bytes of a run take three.
      expect(compressed.length).toBeLessThan(20 + size / 20)
    },
  )

  test('what repeats within a block is found, at the greatest distance too', () => {
    const once = noise(1000)
    for (const between of [0, 500, 2000, 60_000, BLOCK - 2100]) {
      const input = Buffer.concat([once, noise(between, 3), once, noise(50, 4)])
      const { compressed, copies } = expectRoundTrip(input)
      expect(copies).toBeGreaterThan(0)
      expect(compressed.length).toBeLessThan(input.length - 900)
    }
  })

  test.each([4, 5, 11, 12, 13])('a copy of %i bytes takes the form that its distance fits', (size) => {
    const pattern = noise(size, 9)
    for (const distance of [16, 255, 256, 2047, 2048, 2049, 65_000]) {
      // A run, found as one match, brings the search to the very start of the pattern.
      const run = new Uint8Array(distance - size).fill(pattern[0]! ^ 1)
      const { compressed } = expectRoundTrip(Buffer.concat([noise(20), pattern, run, pattern, noise(30, 3)]))
      expect(compressed.length).toBeLessThan(20 + size + 30 + 40 + run.length / 20)
    }
  })

  test('what one call saw is nothing to the next', () => {
    const first = snappyCompress(noise(5000))
    expectRoundTrip(noise(70_000, 2))
    expect(snappyCompress(noise(5000))).toEqual(first)
  })

  test('a piece of a larger buffer is read from where it starts', () => {
    const buffer = Buffer.concat([noise(13), new Uint8Array(5000).fill(1), noise(99, 2)])
    expectRoundTrip(buffer.subarray(13, 5013))
    expectRoundTrip(new Uint8Array(buffer.buffer, buffer.byteOffset + 7, 3001))
  })
})
