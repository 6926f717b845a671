import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { takeRunLock } from '../../lib/local/run-lock.ts'

describe('one run per warehouse', () => {
  let dir: string
  const children: ChildProcess[] = []
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'frazil-lock-'))
  })
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    await rm(dir, { recursive: true })
  })

  const holder = async () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'hold-lock.ts'), dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    children.push(child)
    await once(child.stdout, 'data')
    return child
  }

  it('a second run is told which process has the warehouse', async () => {
    const child = await holder()
    const attempt = () => takeRunLock(dir)
    expect(attempt).toThrowError(expect.objectContaining({ kind: 'Usage' }))
    expect(attempt).toThrow(`Cannot run: warehouse ${dir} is in use by another run (pid ${child.pid}).`)
  })

  it('the lock of a killed process is free at once', async () => {
    const child = await holder()
    child.kill('SIGKILL')
    await once(child, 'exit')
    takeRunLock(dir).release()
  })

  it('a second run in the same process is refused too, and does not free the first one’s lock', async () => {
    const lock = takeRunLock(dir)
    expect(() => takeRunLock(dir)).toThrow(`pid ${process.pid}`)
    expect(() => takeRunLock(dir)).toThrow(`pid ${process.pid}`)
    lock.release()
    takeRunLock(dir).release()
  })

  it('a lock released twice does not free the next holder’s', () => {
    const first = takeRunLock(dir)
    first.release()
    const second = takeRunLock(dir)
    first.release()
    expect(() => takeRunLock(dir)).toThrow('in use')
    second.release()
  })

  it('two warehouses can be run side by side', () => {
    const locks = [takeRunLock(join(dir, 'a')), takeRunLock(join(dir, 'b'))]
    for (const lock of locks) lock.release()
  })

  it('nothing but .frazil is touched, and no journal is left', async () => {
    await writeFile(join(dir, 'catalog.db'), 'not ours')
    const lock = takeRunLock(dir)
    expect((await readdir(dir)).sort()).toEqual(['.frazil', 'catalog.db'])
    lock.release()
    expect(await readdir(join(dir, '.frazil'))).toEqual(['run.lock'])
    expect(existsSync(join(dir, 'catalog.db-journal'))).toBe(false)
  })

  it('a warehouse that cannot be a directory is a usage error', async () => {
    await writeFile(join(dir, 'file'), '')
    expect(() => takeRunLock(join(dir, 'file'))).toThrowError(expect.objectContaining({ kind: 'Usage' }))
    expect(() => takeRunLock(join(dir, 'file'))).toThrow('Choose another --warehouse')
  })
})
