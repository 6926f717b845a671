import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { frazil, TRADES } from '../cli/frazil.ts'

const cost = (...args: readonly string[]) => frazil('cost', TRADES, ...args)
const LOAD = ['--rate', '1000', '--size', '108'] as const

/** What is wrong, the arguments, and what the message must say. */
const WRONG: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['no rate', ['--size', '108'], /expected --rate RECORDS_PER_SECOND, found none/],
  ['no size', ['--rate', '1000'], /expected --size BYTES, found none/],
  ['no records at all', ['--rate', '0', '--size', '108'], /expected records a second, above 0 .* found '0'/],
  ['a rate with a unit', ['--rate', '10k', '--size', '108'], /found '10k'/],
  ['half a byte', ['--rate', '1', '--size', '0.5'], /Cannot read --size: expected a whole number/],
  ['values that no event holds', ['--rate', '1', '--size', '7000000'], /a Lambda event of 6 MB holds, found 7000000 bytes/],
  ['no partitions', [...LOAD, '--partitions', '0'], /Cannot read --partitions/],
  ['a batch window longer than Lambda has', [...LOAD, '--batch-window', '6m'], /expected at most 5m/],
  ['a commit interval without a unit', [...LOAD, '--commit-interval', '60'], /expected a duration/],
  ['a schedule shorter than any', [...LOAD, '--commit-interval', '10s'], /--commit-interval: expected whole minutes, .*'10s'/],
  ['a schedule between minutes', [...LOAD, '--commit-interval', '90s'], /expected whole minutes, .* found '90s'/],
  ['more pollers than there are', [...LOAD, '--pollers', '201'], /from 1 to 200/],
  ['no keys', [...LOAD, '--keys', 'many'], /Cannot read --keys/],
]

describe('frazil cost', () => {
  test.each(WRONG)('exits 2 for %s, and says so', async (_, args, message) => {
    const { code, stdout, stderr } = await cost(...args)
    expect(stderr).toMatch(message)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })

  test('exits 2 for a pipeline that is not there', async () => {
    const { code, stderr } = await frazil('cost', join(import.meta.dirname, 'nowhere.ts'), ...LOAD)
    expect(stderr).toMatch(/expected a file at .*nowhere\.ts/)
    expect(code).toBe(2)
  })

  test('writes as JSON what it shows, with sources and date of the prices', async () => {
    const [{ stdout: json }, { stdout: text }] = await Promise.all([cost(...LOAD, '--json'), cost(...LOAD)])
    const said = JSON.parse(json)
    expect(said).toMatchObject({
      region: 'us-east-1',
      pricesAsOf: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
      load: { recordsPerSecond: 1000, valueBytes: 108, keys: 1000, batchWindowMs: 5000, commitIntervalMs: 60_000 },
      records: 2_592_000_000,
      batches: [{ topic: 'trades', partitions: 4, batchesPerSecond: 0.2, closedBy: 'window' }],
    })
    const shown = new Map([...text.matchAll(/^(\S.*?) {2,}.* ([\d,.]+) +[\d,.]+$/gm)].map(([, name, dollars]) => [name, dollars]))
    for (const { name, dollars, price } of said.lines) {
      expect(shown.get(name), name).toBe(dollars.toFixed(2))
      expect(price.source).toMatch(/^https:/)
    }
    expect(text).toMatch(new RegExp(`^total +${said.dollars.toFixed(2)} `, 'm'))
    for (const { name } of said.peers) expect(text).toContain(`  ${name}: `)
    for (const item of said.notIncluded) expect(text).toContain(item)
  })

  test('takes a schedule of minutes, however they are written', async () => {
    const { code, stdout } = await cost(...LOAD, '--commit-interval', '120s', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout).load.commitIntervalMs).toBe(120_000)
  })

  test.each([
    ['0.001', '1'],
    ['1000000', '1000000'],
  ])('prices %s records a second of %s bytes', async (rate, size) => {
    const { code, stdout } = await cost('--rate', rate, '--size', size, '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout).dollars).toBeGreaterThan(0)
  })
})
