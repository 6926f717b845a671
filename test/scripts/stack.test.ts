import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { claim, placesOf } from '../../scripts/stack-services.ts'

const repo = join(import.meta.dirname, '../..')
const root = mkdtempSync(join(tmpdir(), 'frazil-stack-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** A directory with what the stack would make in it: by its names, but somebody's. */
function directoryOf(name: string): string {
  const dir = join(root, name)
  mkdirSync(join(dir, 'kafka/data'), { recursive: true })
  for (const file of ['trades.ndjson', 'state.json', 'poller.pid', 'poller.log', 'kafka/data/log'])
    writeFileSync(join(dir, file), '')
  return dir
}
const filesIn = (dir: string) => readdirSync(dir, { recursive: true }).sort()

/** Runs the command on ports that nobody has. */
function stack(verb: string, dir: string) {
  const env = { ...process.env, FRAZIL_STACK_DIR: dir, FRAZIL_MINISTACK_PORT: '1', FRAZIL_KAFKA_PORT: '2' }
  const { status, stderr } = spawnSync(process.execPath, ['scripts/stack.ts', verb], { cwd: repo, env, encoding: 'utf8' })
  return { status, stderr }
}

test.each(['start', 'stop'])('%s refuses a directory that it did not make, and deletes nothing there', (verb) => {
  const dir = directoryOf(verb)
  const before = filesIn(dir)
  expect(stack(verb, dir)).toEqual({
    status: 2,
    stderr: `Cannot use ${dir} for the stack: expected an empty directory, or one that npm run stack made, found other files in it. Set FRAZIL_STACK_DIR to another, or delete it.\n`,
  })
  expect(filesIn(dir)).toEqual(before)
})

test('stop deletes what the stack made in a directory of its own, leaves what else is there, and may come again', () => {
  const dir = join(root, 'ours')
  claim(placesOf({ FRAZIL_STACK_DIR: dir }))
  directoryOf('ours')
  claim(placesOf({ FRAZIL_STACK_DIR: dir }))
  expect(stack('stop', dir)).toMatchObject({ status: 0 })
  expect(filesIn(dir)).toEqual([])

  claim(placesOf({ FRAZIL_STACK_DIR: dir }))
  writeFileSync(join(dir, 'notes.txt'), 'mine')
  expect(stack('stop', dir)).toMatchObject({ status: 0 })
  expect(filesIn(dir)).toEqual(['notes.txt'])
})

test('stop where nothing was started makes nothing', () => {
  const dir = join(root, 'nowhere')
  expect(stack('stop', dir)).toMatchObject({ status: 0, stderr: expect.stringContaining('Nothing to stop') })
  expect(existsSync(dir)).toBe(false)
})
