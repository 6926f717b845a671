import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cut, joined } from '../../lib/aws/s3-multipart.ts'

describe('parts of an upload', () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 30 })

  it('hold all bytes in order, each but the last of the given size, none of them empty', () => {
    fc.assert(
      fc.property(pieces, fc.integer({ min: 1, max: 50 }), (all, size) => {
        const parts = [...cut(all, size)]
        expect(Buffer.concat(parts.map(({ bytes }) => bytes))).toEqual(Buffer.concat(all))
        expect(parts.map(({ index }) => index)).toEqual(parts.map((_, i) => i))
        for (const [i, { bytes }] of parts.entries()) {
          if (i < parts.length - 1) expect(bytes.length).toBe(size)
          else expect(bytes.length).toBeGreaterThan(0)
        }
      }),
    )
  })

  it('are not copied when they lie in one piece', () => {
    const piece = new Uint8Array(100)
    for (const { bytes } of cut([piece], 30)) expect(bytes.buffer).toBe(piece.buffer)
    expect(joined([piece], 100)).toBe(piece)
  })
})
