import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Objects } from '../../lib/ports/objects.ts'

export interface ObjectStore {
  readonly objects: Objects
  /** Where the store may write; ends with a slash. */
  readonly base: string
  close(): Promise<void>
}

const text = (value: string) => new TextEncoder().encode(value)

/** What every Objects adapter must do. */
export function describeObjects(name: string, open: () => Promise<ObjectStore>): void {
  describe(`objects conformance: ${name}`, () => {
    let store: ObjectStore
    let objects: Objects
    let base: string
    beforeEach(async () => {
      store = await open()
      objects = store.objects
      base = store.base
    })
    afterEach(() => store.close())

    const read = async (location: string, range?: { offset: number; length: number }) => {
      const bytes = await objects.get(location, range)
      return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
    }
    const listed = async (prefix: string) => {
      const locations = []
      for await (const { location } of objects.list(prefix)) locations.push(location)
      return locations.sort()
    }

    it('an object is read as it was put, its parts joined', async () => {
      await objects.put(`${base}a`, [text('one '), text(''), text('two')])
      expect(await read(`${base}a`)).toBe('one two')
      expect(await objects.size(`${base}a`)).toBe(7)
    })

    it('an object may be empty, from no parts or from empty ones', async () => {
      await objects.put(`${base}none`, [])
      await objects.put(`${base}empty`, [text(''), text('')])
      for (const location of [`${base}none`, `${base}empty`]) {
        expect(await read(location)).toBe('')
        expect(await objects.size(location)).toBe(0)
      }
    })

    it('thousands of parts, and megabytes, come back whole and in order', async () => {
      const parts = Array.from({ length: 5000 }, (_, i) => new Uint8Array(i % 1000).fill(i % 251))
      await objects.put(`${base}big`, parts)
      const bytes = await objects.get(`${base}big`)
      expect(Buffer.compare(Buffer.from(bytes!), Buffer.concat(parts))).toBe(0)
    })

    it('what the writer does to its buffers afterwards, or a reader to its bytes, does not change the object', async () => {
      const part = text('stays')
      await objects.put(`${base}a`, [part])
      part.fill(0)
      const bytes = await objects.get(`${base}a`)
      bytes!.fill(1)
      expect(await read(`${base}a`)).toBe('stays')
    })

    it('what is not there reads as undefined, has no size, and may be deleted', async () => {
      await objects.put(`${base}dir/a`, [text('x')])
      for (const location of [`${base}none`, `${base}dir`, `${base}dir/none`, `${base}no/such/dir`, `${base}dir/a/b`]) {
        expect(await objects.get(location)).toBeUndefined()
        expect(await objects.get(location, { offset: 0, length: 1 })).toBeUndefined()
        expect(await objects.size(location)).toBeUndefined()
        if (location !== `${base}dir`) await objects.delete(location)
      }
      expect(await read(`${base}dir/a`)).toBe('x')
    })

    it('a range gives those bytes, cut at the object’s end', async () => {
      await objects.put(`${base}a`, [text('0123456789')])
      expect(await read(`${base}a`, { offset: 0, length: 4 })).toBe('0123')
      expect(await read(`${base}a`, { offset: 3, length: 4 })).toBe('3456')
      expect(await read(`${base}a`, { offset: 8, length: 100 })).toBe('89')
      expect(await read(`${base}a`, { offset: 10, length: 1 })).toBe('')
      expect(await read(`${base}a`, { offset: 99, length: 1 })).toBe('')
      expect(await read(`${base}a`, { offset: 5, length: 0 })).toBe('')
    })

    it('an object is never seen in part: readers beside a writer find nothing or the whole', async () => {
      const parts = Array.from({ length: 64 }, () => new Uint8Array(32 * 1024).fill(7))
      const whole = 64 * 32 * 1024
      let done = false
      const writing = objects.put(`${base}a`, parts).then(() => (done = true))
      const seen = new Set<number | undefined>()
      do {
        seen.add(await objects.size(`${base}a`))
        seen.add((await objects.get(`${base}a`))?.length)
        for await (const info of objects.list(base)) seen.add(info.sizeBytes)
      } while (!done)
      await writing
      seen.delete(undefined)
      expect([...seen].filter((size) => size !== whole)).toEqual([])
      expect(await objects.size(`${base}a`)).toBe(whole)
    })

    it('many puts at once, into one new directory or several, all arrive', async () => {
      const locations = Array.from({ length: 60 }, (_, i) => `${base}deep/${i % 3}/new/${i}`)
      await Promise.all(locations.map((location, i) => objects.put(location, [text(`object ${i}`)])))
      expect(await listed(`${base}deep/`)).toEqual([...locations].sort())
      expect(await read(`${base}deep/1/new/40`)).toBe('object 40')
    })

    it('a deleted object is gone, and its neighbours stay', async () => {
      for (const name of ['a', 'ab', 'b']) await objects.put(base + name, [text(name)])
      await objects.delete(`${base}a`)
      expect(await read(`${base}a`)).toBeUndefined()
      expect(await listed(base)).toEqual([`${base}ab`, `${base}b`])
    })

    it('a list gives everything that starts with the prefix, also within a name, and nothing else', async () => {
      const names = ['x/1-a', 'x/1-b', 'x/10-c', 'x/2-d', 'x/1/deep/e', 'xy/1-f', 'y']
      for (const name of names) await objects.put(base + name, [text(name)])
      expect(await listed(`${base}x/1-`)).toEqual([`${base}x/1-a`, `${base}x/1-b`])
      expect(await listed(`${base}x/1`)).toEqual(['x/1-a', 'x/1-b', 'x/1/deep/e', 'x/10-c'].map((n) => base + n))
      expect(await listed(`${base}x`)).toHaveLength(6)
      expect(await listed(base)).toEqual(names.map((n) => base + n).sort())
      expect(await listed(`${base}none/`)).toEqual([])
    })

    it('a list tells sizes', async () => {
      await objects.put(`${base}a`, [text('12345')])
      for await (const info of objects.list(base)) {
        expect(info.sizeBytes).toBe(5)
        expect(Number.isInteger(info.modifiedMs)).toBe(true)
      }
    })

    it('names are literal: spaces, percent signs, plus, question marks, dots and other scripts', async () => {
      const names = [
        'a b',
        'a%20b',
        'a%2Fb',
        '%',
        '100%/x',
        'a+b',
        'q?x=1',
        'h#1',
        '..hidden',
        '.frazil/x',
        'é',
        '日本',
        "it's",
        '"q"',
      ]
      for (const name of names) await objects.put(base + name, [text(name)])
      for (const name of names) expect(await read(base + name)).toBe(name)
      expect(await listed(base)).toEqual(names.map((name) => base + name).sort())
      await objects.delete(`${base}a%20b`)
      expect(await read(`${base}a b`)).toBe('a b')
      expect(await read(`${base}a%20b`)).toBeUndefined()
    })

    it('names as long as 255 bytes are fine', async () => {
      const name = 'n'.repeat(255)
      await objects.put(base + name, [text('long')])
      expect(await read(base + name)).toBe('long')
    })
  })
}
