import { corrupt } from '../errors.ts'

/**
 * A segment: the slices of one handler call back to back, then a footer that names every (log, slot) pair it was written
 * for, so that each pair's fate can be decided alone when segments are cleaned (protocol rule 6). Layout: slices, footer
 * JSON (UTF-8), its length (uint32 little endian), `FZG1`.
 */
export interface SegmentPair {
  readonly log: string
  readonly slot: number
}

const MAGIC = 0x31475a46

export function segmentParts(slices: readonly Uint8Array[], pairs: readonly SegmentPair[]): Uint8Array[] {
  const footer = Buffer.from(JSON.stringify({ v: 1, pairs }))
  const end = Buffer.alloc(8)
  end.writeUInt32LE(footer.length, 0)
  end.writeUInt32LE(MAGIC, 4)
  return [...slices, footer, end]
}

/** Bytes from where a segment's footer begins to the segment's end, read from at least its last 8. */
export function segmentFooterBytes(end: Uint8Array): number {
  const view = Buffer.from(end.buffer, end.byteOffset, end.byteLength)
  const footerEnd = view.length - 8
  if (footerEnd < 0 || view.readUInt32LE(footerEnd + 4) !== MAGIC)
    throw corrupt('Cannot read a segment: expected its footer, found other bytes.')
  return view.readUInt32LE(footerEnd) + 8
}

/** The pairs a segment was written for, from all of it or from as much of its end as holds the footer. */
export function segmentPairs(bytes: Uint8Array): readonly SegmentPair[] {
  const start = bytes.length - segmentFooterBytes(bytes)
  if (start < 0) throw corrupt('Cannot read a segment: its footer is longer than the segment.')
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  try {
    return (JSON.parse(view.toString('utf8', start, view.length - 8)) as { pairs: SegmentPair[] }).pairs
  } catch (cause) {
    throw corrupt('Cannot read a segment: expected its footer to be JSON, found other text.', { cause })
  }
}
