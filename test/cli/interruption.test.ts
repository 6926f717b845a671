import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setInterval as ticks } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { REPO } from './frazil.ts'

const PROGRAM = `
  const { interruption } = await import(${JSON.stringify(join(REPO, 'lib/cli/interruption.ts'))})
  interruption(() => console.log('asked'))
  setInterval(() => {}, 1000)
  console.log('ready')
`

test('the first signal asks, once however often it is passed on, and a later one ends the process with 130', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', PROGRAM])
  const ready = once(child.stdout, 'data')
  const stdout = text(child.stdout)
  const closed = once(child, 'close')
  await ready
  for await (const _ of ticks(50)) if (!child.kill('SIGINT') || child.exitCode !== null) break
  expect(await closed).toEqual([130, null])
  expect(await stdout).toBe('ready\nasked\n')
})
