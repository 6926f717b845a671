import { type FileHandle, open } from 'node:fs/promises'
import { refused, usage } from '../errors.ts'

/** Complete lines of a file, back to back in one buffer; ends exclude the line feed. */
export interface LineChunk {
  readonly bytes: Uint8Array
  readonly count: number
  readonly start: Int32Array
  readonly end: Int32Array
  /** Position in the file after the last of these lines. */
  readonly position: number
}

export interface LineReader {
  /**
   * The next lines, at most `maxLines`; undefined at the end of the file as it is now. May be asked again later. Throws
   * `Refused` when the file has become shorter than what was read of it.
   */
  next(): Promise<LineChunk | undefined>
  /** What is left after the last line feed, once `next` said undefined; undefined when there is nothing. */
  rest(): LineChunk | undefined
  /** The file's size when it was opened or last read to its end. */
  readonly sizeBytes: number
  close(): Promise<void>
}

/** A line longer than this is no record (Kafka's own default is 1 MB), nor an event (Lambda's limit is 6 MB). */
export const MAX_LINE_BYTES = 64 * 1024 * 1024

/** Reads a file line by line in chunks of about `chunkBytes`, without making a string or a view per line. */
export async function openLines(path: string, maxLines: number, chunkBytes = 2 * 1024 * 1024): Promise<LineReader> {
  const file = await openFile(path)
  let buffer = Buffer.alloc(0)
  let position = 0
  let lines = 0
  let { size } = await file.stat()

  /** Cuts up to `maxLines` lines off the front of the buffer. */
  const cut = (): LineChunk | undefined => {
    const start = new Int32Array(maxLines)
    const end = new Int32Array(maxLines)
    let count = 0
    let at = 0
    while (count < maxLines) {
      const feed = buffer.indexOf(10, at)
      if (feed < 0) break
      start[count] = at
      end[count++] = feed
      at = feed + 1
    }
    if (count === 0) return undefined
    const bytes = buffer.subarray(0, at)
    buffer = buffer.subarray(at)
    position += at
    lines += count
    return { bytes, count, start, end, position }
  }

  return {
    get sizeBytes() {
      return size
    },
    async next() {
      for (;;) {
        const chunk = cut()
        if (chunk !== undefined) return chunk
        if (buffer.length > MAX_LINE_BYTES)
          throw usage(`Cannot read ${path}: expected lines of at most ${MAX_LINE_BYTES} bytes, line ${lines + 1} is longer.`)
        const more = Buffer.allocUnsafe(buffer.length + chunkBytes)
        buffer.copy(more)
        const { bytesRead } = await file.read(more, buffer.length, chunkBytes, position + buffer.length)
        if (bytesRead === 0) {
          size = (await file.stat()).size
          if (size < position + buffer.length)
            throw refused(
              `Cannot go on reading ${path}: expected it to grow only, found ${size} bytes after ${position + buffer.length} were read. Restore it, or use a new --warehouse.`,
            )
          return undefined
        }
        buffer = more.subarray(0, buffer.length + bytesRead)
      }
    },
    rest() {
      if (buffer.length === 0) return undefined
      const bytes = buffer
      position += bytes.length
      buffer = Buffer.alloc(0)
      return { bytes, count: 1, start: Int32Array.of(0), end: Int32Array.of(bytes.length), position }
    },
    close: () => file.close(),
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    const file = await open(path, 'r')
    if ((await file.stat()).isFile()) return file
    await file.close()
  } catch (error) {
    throw usage(
      `Cannot read ${path}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (error as Error).message}.`,
    )
  }
  throw usage(`Cannot read ${path}: expected a file of JSON lines, found something else.`)
}
