import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, opendir, rename, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { type FrazilError, messageOf, unavailable, usage } from '../errors.ts'
import type { ObjectInfo, Objects } from '../ports/objects.ts'

const SCHEME = 'file://'
/** Ends the names of files being written. They are no objects: neither listed nor readable. */
const UNFINISHED = '.frazil-unfinished'
/** Buffers in one writev; Linux takes 1,024. */
const MAX_BUFFERS_IN_WRITE = 512

/** `file:///dir/x` for an absolute path, literally. */
export function fileLocation(path: string): string {
  return SCHEME + resolve(path)
}

/** The absolute path of a `file:///dir/x` location, literally: no percent-decoding. Throws `Usage` for any other scheme. */
export function filePath(location: string): string {
  if (!location.startsWith(`${SCHEME}/`))
    throw usage(`Cannot use location ${location}: expected one that begins with file:///, followed by an absolute path.`)
  return location.slice(SCHEME.length)
}

/**
 * Objects as files under one directory, `root`; locations elsewhere, or not in their plain form (`..`, `//`), throw `Usage`.
 * A put is durable: temporary file, fsync, rename, fsync of the directory. It leaves directories behind when objects are
 * deleted. A disk that fails or is full throws `Unavailable`.
 */
export function fileObjects(root: string): Objects {
  const rootDir = resolve(root)

  function pathOf(location: string): string {
    const path = filePath(location)
    if (!path.startsWith(join(rootDir, '/')) || path.includes('\0'))
      throw usage(`Cannot use location ${location}: expected one inside ${fileLocation(rootDir)}/.`)
    const segments = path.split('/').slice(1)
    const odd = segments.some((name, i) => name === '.' || name === '..' || (name === '' && i < segments.length - 1))
    if (odd) throw usage(`Cannot use location ${location}: expected a plain path, without "..", "." or "//".`)
    return path
  }

  function objectPathOf(location: string): string {
    const path = pathOf(location)
    if (path.endsWith('/')) throw usage(`Cannot use location ${location}: expected an object's, found a directory's.`)
    if (path.endsWith(UNFINISHED)) throw usage(`Cannot use location ${location}: names in ${UNFINISHED} are taken.`)
    return path
  }

  // One at a time, so that no put resolves while another still syncs a parent directory that both need.
  let making: Promise<void> = Promise.resolve()
  const makeDirectoryInTurn = (dir: string): Promise<void> => {
    const mine = making.then(() => makeDirectory(dir))
    making = mine.catch(() => {})
    return mine
  }

  return {
    async put(location, parts) {
      const path = objectPathOf(location)
      const dir = dirname(path)
      // The name does not build on the object's: that may be as long as the file system allows.
      const unfinished = join(dir, `${randomUUID()}${UNFINISHED}`)
      try {
        await makeDirectoryInTurn(dir)
        try {
          await writeFile(unfinished, parts)
          await rename(unfinished, path)
        } catch (error) {
          await rm(unfinished, { force: true })
          throw error
        }
        await syncDirectory(dir)
      } catch (error) {
        throw failed('write', location, error)
      }
    },

    async get(location, range) {
      const path = objectPathOf(location)
      const handle = await found(location, () => open(path, 'r'))
      if (handle === undefined) return undefined
      try {
        const info = await handle.stat()
        if (!info.isFile()) return undefined
        const offset = Math.min(range?.offset ?? 0, info.size)
        const length = Math.min(range?.length ?? info.size, info.size - offset)
        return await readRange(handle, offset, length)
      } catch (error) {
        throw failed('read', location, error)
      } finally {
        await handle.close()
      }
    },

    async size(location) {
      const path = objectPathOf(location)
      const info = await found(location, () => stat(path))
      return info?.isFile() ? info.size : undefined
    },

    async delete(location) {
      const path = objectPathOf(location)
      await found(location, () => unlink(path))
    },

    async *list(prefix) {
      const path = pathOf(prefix)
      yield* walk(path.slice(0, path.lastIndexOf('/')), path)
    },
  }
}

/** Files below `dir` whose path starts with `prefix`; directories that cannot hold such a file are not opened. */
async function* walk(dir: string, prefix: string): AsyncIterable<ObjectInfo> {
  const directory = await found(SCHEME + dir, () => opendir(dir))
  if (directory === undefined) return
  for await (const entry of directory) {
    const path = `${dir}/${entry.name}`
    if (entry.isDirectory()) {
      if (path.startsWith(prefix) || prefix.startsWith(`${path}/`)) yield* walk(path, prefix)
    } else if (entry.isFile() && path.startsWith(prefix) && !path.endsWith(UNFINISHED)) {
      const location = SCHEME + path
      const info = await found(location, () => stat(path))
      if (info !== undefined) yield { location, sizeBytes: info.size, modifiedMs: Math.floor(info.mtimeMs) }
    }
  }
}

async function writeFile(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const handle = await open(path, 'wx')
  try {
    let at = 0
    let skip = 0
    while (at < parts.length) {
      const buffers = parts.slice(at, at + MAX_BUFFERS_IN_WRITE)
      if (skip > 0 && buffers[0] !== undefined) buffers[0] = buffers[0].subarray(skip)
      // A write may end anywhere, so we go on where it stopped.
      let { bytesWritten } = await handle.writev(buffers)
      for (const buffer of buffers) {
        if (bytesWritten < buffer.length) {
          skip = (buffer === buffers[0] ? skip : 0) + bytesWritten
          break
        }
        bytesWritten -= buffer.length
        skip = 0
        at++
      }
    }
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function readRange(handle: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; ) {
    const { bytesRead } = await handle.read(bytes, at, length - at, offset + at)
    if (bytesRead === 0) throw new Error(`the file ended ${length - at} bytes early`)
    at += bytesRead
  }
  return bytes
}

/** Makes `dir` and syncs the parents of all that was made: a new directory is durable only once its parent is. */
async function makeDirectory(dir: string): Promise<void> {
  const first = await mkdir(dir, { recursive: true })
  if (first === undefined) return
  for (let made = dir; ; made = dirname(made)) {
    await syncDirectory(dirname(made))
    if (made === first) return
  }
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** What `action` gives, or undefined when there is no such file. */
async function found<T>(location: string, action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR' || code === 'ENAMETOOLONG') return undefined
    throw failed('reach', location, error)
  }
}

function failed(verb: string, location: string, error: unknown): FrazilError {
  return unavailable(`Cannot ${verb} ${location}: ${messageOf(error)}. Check the disk, its space and its permissions.`, {
    cause: error,
  })
}
