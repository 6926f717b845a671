import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type LambdaEventOptions, lambdaEvents, linesOf } from '../../bench/lambda-events.ts'
import { xoshiro128 } from '../../bench/random.ts'
import { generateTrades, type TradesOptions } from '../../bench/trades.ts'

const bytesOf = (options: TradesOptions) => Buffer.concat([...generateTrades(options)])
const linesText = (options: TradesOptions) => [...linesOf(generateTrades(options))].map((line) => line.toString('utf8'))
const MIXED = { count: 20_000, poisonShare: 0.01, oddShare: 0.01, aheadShare: 0.001 }

interface DeliveredRecord {
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: string
  readonly timestamp?: number
}
const eventsOf = (options: LambdaEventOptions, trades: TradesOptions = MIXED): DeliveredRecord[][] =>
  [...lambdaEvents(generateTrades(trades), options)].map((text) =>
    Object.values(JSON.parse(text).records as Record<string, DeliveredRecord[]>).flat(),
  )

/** The records of each partition, redelivered ones left out. */
function firstDeliveries(events: readonly DeliveredRecord[][]): Map<number, DeliveredRecord[]> {
  const logs = new Map<number, DeliveredRecord[]>()
  for (const record of events.flat()) {
    const log = logs.get(record.partition) ?? []
    logs.set(record.partition, log)
    expect(record.offset).toBeLessThanOrEqual(log.length)
    if (record.offset === log.length) log.push(record)
    else expect(record).toEqual(log[record.offset])
  }
  return logs
}

describe('generated trades', () => {
  test('are the same bytes for the same seed and others for another', () => {
    expect(bytesOf({ ...MIXED, seed: 5 }).equals(bytesOf({ ...MIXED, seed: 5 }))).toBe(true)
    expect(bytesOf({ ...MIXED, seed: 5 }).equals(bytesOf({ ...MIXED, seed: 6 }))).toBe(false)
  })

  test('are JSON objects of about 108 bytes', () => {
    const lines = linesText({ count: 10_000 })
    const bytes = lines.reduce((sum, line) => sum + line.length, 0)
    expect(lines).toHaveLength(10_000)
    expect(bytes / lines.length).toBeGreaterThan(105)
    expect(bytes / lines.length).toBeLessThan(111)
    for (const line of lines)
      expect(JSON.parse(line)).toEqual({
        symbol: expect.stringMatching(/^[A-Z]+USDT$/),
        ts: expect.any(Number),
        price: expect.any(Number),
        qty: expect.any(Number),
        side: expect.stringMatching(/^(BUY|SELL)$/),
        trade_id: expect.any(Number),
      })
  })

  test('write every number as it would be printed', () => {
    for (const line of linesText({ count: 10_000, spanMs: 86_400_000 })) {
      const [, ts, price, qty] = /"ts":(\d+),"price":([\d.]+),"qty":([\d.]+),/.exec(line) ?? []
      expect(ts).toMatch(/^\d{13}$/)
      for (const text of [price, qty]) {
        const decimals = text!.length - text!.indexOf('.') - 1
        expect(Number(text).toFixed(decimals)).toBe(text)
        expect(Number(text)).toBeGreaterThan(0)
      }
    }
  })

  test('come within the delay except for the late share', () => {
    const lines = linesText({ count: 50_000, lateShare: 0.01 })
    let greatest = 0
    let late = 0
    for (const line of lines) {
      const { ts } = JSON.parse(line) as { ts: number }
      if (ts <= greatest - 5000) late++
      greatest = Math.max(greatest, ts)
    }
    expect(late / lines.length).toBeGreaterThan(0.007)
    expect(late / lines.length).toBeLessThan(0.013)
  })

  test('refuse options that cannot be', () => {
    expect(() => bytesOf({ count: -1 })).toThrow('expected a count of lines')
    expect(() => bytesOf({ count: 1, startMs: 5 })).toThrow('expected times of 13 digits')
    expect(() => bytesOf({ count: 1, symbols: 0 })).toThrow('expected 1 to')
  })
})

describe('Lambda events of trades', () => {
  test('deliver every value once in the order of its partition, whatever the batches and redeliveries', () => {
    const sorted = (values: string[]) => values.sort()
    const values = [...linesOf(generateTrades(MIXED))].map((line) => line.toString('base64'))
    const calm = firstDeliveries(eventsOf({ timestamps: true }))
    const wild = firstDeliveries(eventsOf({ timestamps: true, seed: 9, batchRecords: 700, duplicateShare: 0.5 }))
    expect(sorted([...calm.values()].flat().map((record) => record.value))).toEqual(sorted(values))
    expect(wild.size).toBe(4)
    for (const [partition, log] of calm) expect(wild.get(partition)).toEqual(log)
  })

  test('hold at most as many records as asked and come again only when asked', () => {
    const count = (events: DeliveredRecord[][]) => events.reduce((sum, event) => sum + event.length, 0)
    const wild = eventsOf({ batchRecords: 700, duplicateShare: 0.5 })
    expect(Math.max(...wild.map((event) => event.length))).toBeLessThanOrEqual(700)
    expect(count(wild)).toBeGreaterThan(MIXED.count)
    expect(count(eventsOf({}))).toBe(MIXED.count)
  })

  test('bear Kafka timestamps near their event times only when asked', () => {
    expect(eventsOf({}, { count: 100 }).flat()[0]).not.toHaveProperty('timestamp')
    for (const record of eventsOf({ timestamps: true }, { count: 5000, lateShare: 0 }).flat()) {
      const { ts } = JSON.parse(Buffer.from(record.value, 'base64').toString()) as { ts: number }
      expect(Math.abs((record.timestamp ?? 0) - ts)).toBeLessThan(5000)
    }
  })

  test('spread by key, a value without a readable symbol by its line number', () => {
    const trades = { count: 5000, poisonShare: 0.2 }
    const keyless = new Map<string, Set<number>>()
    for (const record of firstDeliveries(eventsOf({}, trades)).values()) {
      for (const { key, partition } of record) {
        const text = key === null ? 'none' : Buffer.from(key, 'base64').toString()
        keyless.set(text, (keyless.get(text) ?? new Set()).add(partition))
      }
    }
    expect(keyless.get('none')?.size).toBe(4)
    for (const [key, partitions] of keyless) if (key !== 'none') expect(partitions.size).toBe(1)
  })
})

test('the random numbers are spread over 32 bits', () => {
  const random = xoshiro128(1)
  const counts = new Array<number>(16).fill(0)
  for (let i = 0; i < 160_000; i++) counts[random() >>> 28]!++
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500)
})

describe('the command', () => {
  const command = (...args: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(import.meta.dirname, '../../bench/trades.ts'), ...args],
      {
        encoding: 'utf8',
      },
    )
    return { status, stdout, stderr }
  }

  test('prints its options and exits 0', () => {
    const { status, stdout, stderr } = command('--help')
    expect(stdout).toMatch(/^node bench\/trades\.ts --count N --out FILE\n/)
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })

  test.each([
    [[], /^error: Cannot make trades: expected --count N and --out FILE/],
    [['--count', 'x', '--out', 'y'], /^error: Cannot read --count: expected a number, found 'x'/],
    [['--nope'], /^error: Unknown option '--nope'/],
    [['--count', '1', '--out', '/'], /^error: EISDIR/],
  ])('says in one line what is wrong with %j and exits 2', (args, message) => {
    const { status, stdout, stderr } = command(...args)
    expect(stderr).toMatch(message)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(stdout).toBe('')
    expect(status).toBe(2)
  })
})
