import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fileLocation, fileObjects, filePath } from '../../lib/local/files.ts'
import type { Objects } from '../../lib/ports/objects.ts'

describe('objects as files', () => {
  let dir: string
  let objects: Objects
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'frazil-files-'))
    await mkdir(join(dir, 'root'))
    await writeFile(join(dir, 'secret'), 'outside')
    objects = fileObjects(join(dir, 'root'))
  })
  afterEach(() => rm(dir, { recursive: true }))

  it('locations outside the root, and those not in plain form, are refused as a usage error by every method', async () => {
    const root = fileLocation(join(dir, 'root'))
    const outside = [
      fileLocation(join(dir, 'secret')),
      `${root}/../secret`,
      `${root}x/a`,
      `${root}/a/../b`,
      `${root}/./a`,
      `${root}//a`,
      `${root}/a\0`,
      root,
      join(dir, 'root', 'a'),
      'file:/tmp/a',
      's3://bucket/a',
      '',
    ]
    for (const location of outside) {
      const calls = [
        () => objects.put(location, [new Uint8Array(1)]),
        () => objects.get(location),
        () => objects.size(location),
        () => objects.delete(location),
        async () => {
          for await (const info of objects.list(location)) throw new Error(`listed ${info.location}`)
        },
      ]
      for (const call of calls) await expect(call(), location).rejects.toMatchObject({ kind: 'Usage' })
    }
    expect(await readdir(join(dir, 'root'))).toEqual([])
    expect(await readdir(dir)).toEqual(['root', 'secret'])
  })

  it('a put that fails leaves no file behind and says so as unavailable', async () => {
    const root = fileLocation(join(dir, 'root'))
    await objects.put(`${root}/a`, [new Uint8Array(3)])
    await expect(objects.put(`${root}/a/b`, [new Uint8Array(1)])).rejects.toMatchObject({ kind: 'Unavailable' })
    await mkdir(join(dir, 'root', 'd'))
    await expect(objects.put(`${root}/d`, [new Uint8Array(1)])).rejects.toMatchObject({ kind: 'Unavailable' })
    expect((await readdir(join(dir, 'root'))).sort()).toEqual(['a', 'd'])
    await objects.put(`${root}/e`, [new Uint8Array(1)])
    expect(await objects.size(`${root}/e`)).toBe(1)
  })

  it('what a killed writer left half written is neither listed nor an object', async () => {
    await writeFile(join(dir, 'root', '3f.frazil-unfinished'), 'half')
    const found = []
    for await (const info of objects.list(`${fileLocation(join(dir, 'root'))}/`)) found.push(info)
    expect(found).toEqual([])
    await expect(objects.get(`${fileLocation(join(dir, 'root'))}/3f.frazil-unfinished`)).rejects.toMatchObject({ kind: 'Usage' })
  })

  it('a path becomes a location and back without any coding', () => {
    expect(fileLocation('/a b/100%')).toBe('file:///a b/100%')
    expect(filePath('file:///a%20b')).toBe('/a%20b')
    expect(() => filePath('file://host/a')).toThrow(/file:\/\/\//)
  })
})
