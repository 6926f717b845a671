import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { type FunctionOptions, type LambdaFunction, lambdaFunction } from './host.ts'

const dir = mkdtempSync(join(tmpdir(), 'frazil-host-'))
const started: LambdaFunction[] = []
let functions = 0
afterEach(() => {
  for (const one of started.splice(0)) one.reset()
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** A function made of the text of its module. */
function functionOf(text: string, options: Partial<FunctionOptions> = {}): LambdaFunction {
  const home = join(dir, String(functions++))
  mkdirSync(home)
  writeFileSync(join(home, 'index.mjs'), text)
  const made = lambdaFunction({ file: join(home, 'index.mjs'), ...options })
  started.push(made)
  return made
}

const COUNTER = 'let calls = 0; export const handler = async (event) => ({ event, calls: ++calls, pid: process.pid })'

const SLOW =
  'export const handler = async () => { console.log("begun"); await new Promise((r) => setTimeout(r, 200)); console.log("done"); return 1 }'

describe('the host', () => {
  test('runs calls one after another on one process, which starts once', async () => {
    const counter = functionOf(COUNTER)
    const first = await counter.invoke('{"a":1}')
    expect(JSON.parse(first.payload)).toMatchObject({ event: { a: 1 }, calls: 1 })
    expect(first).toMatchObject({ coldStart: true, initMs: expect.any(Number) })
    const second = await counter.invoke('2')
    expect(JSON.parse(second.payload)).toMatchObject({ calls: 2 })
    expect(second).toMatchObject({ coldStart: false })
    expect(second.initMs).toBeUndefined()
  })

  test('runs calls at once on a process each, up to its concurrency', async () => {
    const counter = functionOf(COUNTER, { concurrency: 2 })
    const calls = [counter.invoke('1'), counter.invoke('2')]
    const pids = (await Promise.all(calls)).map(({ payload }) => JSON.parse(payload).pid)
    expect(new Set(pids).size).toBe(2)
    const [one, two] = [await counter.begin('1'), await counter.begin('2')]
    await expect(counter.invoke('3')).rejects.toThrow('TooManyRequestsException')
    await Promise.all([one.answer, two.answer])
  })

  test('a handler that throws is an error with its type and message, and the process goes on', async () => {
    const failing = functionOf(
      'let calls = 0; export const handler = async () => { if (calls++ === 0) throw new RangeError("too far"); return calls }',
    )
    const { functionError, payload } = await failing.invoke('1')
    expect(functionError).toBe('Unhandled')
    expect(JSON.parse(payload)).toMatchObject({ errorType: 'RangeError', errorMessage: 'too far' })
    expect((await failing.invoke('1')).payload).toBe('2')
  })

  test('a module that throws is an error of the call, and the next call starts anew', async () => {
    const broken = functionOf('throw new TypeError("no table")')
    for (let i = 0; i < 2; i++) {
      const { functionError, payload, coldStart } = await broken.invoke('1')
      expect([functionError, JSON.parse(payload).errorMessage, coldStart]).toEqual(['Unhandled', 'no table', true])
    }
  })

  test('a handler that returns nothing answers null', async () => {
    expect((await functionOf('export const handler = async () => {}').invoke('1')).payload).toBe('null')
  })

  test('a call beyond its time is killed, and the next one gets a fresh process', async () => {
    const slow = functionOf(
      'let calls = 0; export const handler = (ms) => new Promise((resolve) => setTimeout(() => resolve(++calls), ms))',
      { timeoutMs: 1000 },
    )
    expect((await slow.invoke('0')).payload).toBe('1')
    const { functionError, payload } = await slow.invoke('60000')
    expect(functionError).toBe('Unhandled')
    expect(JSON.parse(payload)).toMatchObject({
      errorType: 'Sandbox.Timedout',
      errorMessage: expect.stringContaining('timed out after 1.00 seconds'),
    })
    expect(await slow.invoke('0')).toMatchObject({ payload: '1', coldStart: true })
  })

  test.skipIf(!existsSync('/proc/self/status'))('a process above its memory is killed', async () => {
    const hungry = functionOf(
      'export const handler = async () => { const all = []; for (;;) all.push(Buffer.alloc(1e6, 1)), await 0 }',
      {
        memoryMb: 128,
      },
    )
    const { functionError, payload, peakRssMb } = await hungry.invoke('1')
    expect(functionError).toBe('Unhandled')
    expect(JSON.parse(payload).errorType).toBe('Runtime.ExitError')
    expect(peakRssMb).toBeGreaterThanOrEqual(128)
  })

  test('the handler knows its deadline, its request and its memory', async () => {
    const telling = functionOf(
      'export const handler = async (_, c) => [c.getRemainingTimeInMillis(), c.awsRequestId, c.memoryLimitInMB, Object.keys(process.env).filter((name) => name.startsWith("MY_"))]',
      { timeoutMs: 30_000, memoryMb: 256, environment: { MY_TABLE: 'a' } },
    )
    const [left, requestId, memory, mine] = JSON.parse((await telling.invoke('1')).payload)
    expect(left).toBeGreaterThan(10_000)
    expect(left).toBeLessThanOrEqual(30_000)
    expect([requestId, memory, mine]).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/), '256', ['MY_TABLE']])
  })

  test('payloads are limited to six megabytes, in and out', async () => {
    const echo = functionOf('export const handler = async (n) => "x".repeat(n)')
    await expect(echo.invoke(`"${'x'.repeat(6 * 1024 * 1024)}"`)).rejects.toThrow('RequestTooLargeException')
    expect((await echo.invoke('6000000')).payload.length).toBe(6_000_002)
    const { functionError, payload } = await echo.invoke('6300000')
    expect([functionError, JSON.parse(payload).errorType]).toEqual(['Unhandled', 'Function.ResponseSizeTooLarge'])
  })

  test('between calls a process is frozen: no timer of it runs', async () => {
    const ticking = functionOf(
      'let ticks = 0; let longest = 0; let last = Date.now(); setInterval(() => { const now = Date.now(); longest = Math.max(longest, now - last); last = now }, 5); export const handler = async () => { await new Promise((r) => setTimeout(r, 30)); const was = longest; longest = 0; return was }',
    )
    await ticking.invoke('1')
    // Another function's cold start takes some 50 ms, in which this one stands still.
    await functionOf(COUNTER).invoke('1')
    expect(Number((await ticking.invoke('1')).payload)).toBeGreaterThan(25)
  })

  test('a frozen call stands still until it is woken, and a killed one never answers', async () => {
    const told: string[] = []
    const slow = functionOf(SLOW)
    const begun = async () => {
      const before = slow.log.length
      const call = await slow.begin('1')
      while (slow.log.length === before) await new Promise((resolve) => setImmediate(resolve))
      return call
    }
    const call = await begun()
    call.freeze()
    void call.answer.then(() => told.push('answered'))
    // One that takes as long and began later is done before it.
    await functionOf(SLOW).invoke('1')
    expect(told).toEqual([])
    call.wake()
    expect((await call.answer).payload).toBe('1')
    const lost = await begun()
    lost.kill()
    expect(JSON.parse((await lost.answer).payload)).toMatchObject({ errorType: 'Runtime.ExitError' })
    expect(slow.log.filter((line) => line === 'done').length).toBe(1)
  })
})
