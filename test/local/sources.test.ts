import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { planOf } from '../../lib/index.ts'
import { openEventsFile } from '../../lib/local/events-file.ts'
import { openInputFile } from '../../lib/local/input-file.ts'
import { openLines } from '../../lib/local/lines.ts'
import { murmur2, partitionOfKey } from '../../lib/local/murmur2.ts'
import type { Source } from '../../lib/local/source.ts'
import { openPin } from '../../lib/local/source-pin.ts'
import type { Log } from '../../lib/ports/log.ts'
import { memoryLog } from '../../lib/ports/memory/log.ts'
import trades from '../../pipelines/trades.ts'

let dir = ''
let log: Log
beforeEach(() => {
  log = memoryLog()
  dir = mkdtempSync(join(tmpdir(), 'frazil-sources-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

const file = (name: string, text: string | Buffer): string => {
  const path = join(dir, name)
  writeFileSync(path, text)
  return path
}

const linesOf = async (path: string, maxLines: number, chunkBytes: number): Promise<string[]> => {
  const reader = await openLines(path, maxLines, chunkBytes)
  const lines: string[] = []
  for (let chunk = await reader.next(); chunk !== undefined; chunk = await reader.next())
    for (let i = 0; i < chunk.count; i++) lines.push(Buffer.from(chunk.bytes.subarray(chunk.start[i], chunk.end[i])).toString())
  const rest = reader.rest()
  if (rest !== undefined) lines.push(`rest ${Buffer.from(rest.bytes).toString()}`)
  await reader.close()
  return lines
}

describe('murmur2', () => {
  it('gives the values of Kafka’s own tests', () => {
    const vectors: [string, number][] = [
      ['21', -973932308],
      ['foobar', -790332482],
      ['a-little-bit-long-string', -985981536],
      ['a-little-bit-longer-string', -1486304829],
      ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
      ['abc', 479470107],
    ]
    for (const [text, hash] of vectors) expect(murmur2(Buffer.from(text))).toBe(hash)
    expect(partitionOfKey(Buffer.from('abc'), 7)).toBe(479470107 % 7)
  })
})

describe('lines of a file', () => {
  it('are whole whatever the size of a chunk, empty ones too', async () => {
    const path = file('x', 'one\n\nthree is longer\nlast')
    for (const chunkBytes of [1, 2, 3, 7, 100])
      expect(await linesOf(path, 2, chunkBytes)).toEqual(['one', '', 'three is longer', 'rest last'])
  })

  it('go on when the file grows', async () => {
    const path = file('x', 'a\nb')
    const reader = await openLines(path, 10)
    expect((await reader.next())?.count).toBe(1)
    expect(await reader.next()).toBeUndefined()
    appendFileSync(path, 'c\n')
    const chunk = await reader.next()
    expect(Buffer.from(chunk?.bytes ?? []).toString()).toBe('bc\n')
    await reader.close()
  })

  it('of a file that is not there, or of a directory, are a clear error', async () => {
    await expect(openLines(join(dir, 'none'), 1)).rejects.toThrow(/Cannot read .*none: no such file/)
    await expect(openLines(dir, 1)).rejects.toThrow(/Cannot read/)
  })
})

const trade = (symbol: string, ts: number) => `{"symbol":"${symbol}","ts":${ts},"price":1,"qty":1}`

const all = async (source: Source): Promise<{ partition: number; offset: number; key: string | null; value: string }[]> => {
  const rows = []
  for (let batches = await source.next(); batches !== undefined; batches = await source.next())
    for (const { partition, count, offsets, valueStart, valueEnd, bytes, key } of batches)
      for (let i = 0; i < count; i++) {
        const keyBytes = key(i)
        rows.push({
          partition,
          offset: offsets[i],
          key: keyBytes === null ? null : Buffer.from(keyBytes).toString(),
          value: Buffer.from(bytes.subarray(valueStart[i], valueEnd[i])).toString(),
        })
      }
  await source.close()
  return rows
}

const pin = () => openPin(log, 'trades')
const openInput = async (path: string, partitions?: number) =>
  openInputFile({ plan: planOf(trades), file: path, partitions, pin: await pin(), bounded: true })
const openEvents = async (path: string) => openEventsFile({ plan: planOf(trades), file: path, pin: await pin(), bounded: true })

describe('--input', () => {
  it('spreads records as the default partitioner would; a line without a readable key goes to its line number', async () => {
    const path = file('in.ndjson', `${trade('abc', 1)}\n{broken\n${trade('abc', 2)}\n{"symbol":"foobar"}\n`)
    const rows = await all(await openInput(path, 3))
    const abc = partitionOfKey(Buffer.from('abc'), 3)
    const foobar = partitionOfKey(Buffer.from('foobar'), 3)
    expect(rows.filter((row) => row.key === 'abc').map((row) => row.partition)).toEqual([abc, abc])
    expect(rows.find((row) => row.value === '{broken')).toMatchObject({ partition: 1, key: null })
    expect(rows.find((row) => row.key === 'foobar')).toMatchObject({ partition: foobar, value: '{"symbol":"foobar"}' })
    for (const p of [0, 1, 2]) {
      const offsets = rows.filter((row) => row.partition === p).map((row) => row.offset)
      expect(offsets).toEqual(offsets.map((_, i) => i))
    }
  })

  it('pins the file, N and the bytes read: the same file goes on, grown too', async () => {
    const path = file('in.ndjson', `${trade('a', 1)}\n`)
    await all(await openInput(path, 2))
    appendFileSync(path, `${trade('b', 2)}\n`)
    expect(await all(await openInput(path))).toHaveLength(2)
    expect(await all(await openInput(path, 2))).toHaveLength(2)
  })

  it('refuses another file, another N, other bytes, and events', async () => {
    const path = file('in.ndjson', `${trade('a', 1)}\n`)
    await all(await openInput(path, 2))
    const other = file('other.ndjson', `${trade('a', 1)}\n`)
    await expect(openInput(other, 2)).rejects.toThrow(/expected the file in.ndjson, found other.ndjson/)
    await expect(openInput(path, 3)).rejects.toThrow(/expected --partitions 2, found --partitions 3/)
    await expect(openEvents(path)).rejects.toThrow(/reads the input file/)
    file('in.ndjson', `${trade('b', 1)}\n`)
    await expect(openInput(path, 2)).rejects.toThrow(/expected a file that begins with the .* bytes already read/)
  })

  it('refuses a last line that was read without its line feed and has grown since; a line feed after it is fine', async () => {
    const line = trade('a', 1)
    const path = file('in.ndjson', `${line}\n${line.slice(0, 8)}`)
    expect(await all(await openInput(path, 4))).toHaveLength(2)
    expect(await all(await openInput(path))).toHaveLength(2)
    appendFileSync(path, `${line.slice(8)}\n`)
    await expect(openInput(path)).rejects.toThrow(/expected the line that ended at byte .* to end there, found more of it/)
    file('in.ndjson', `${line}\n${line.slice(0, 8)}\r\n${line}\n`)
    expect(await all(await openInput(path))).toHaveLength(3)
    appendFileSync(path, `${line}\n`)
    expect(await all(await openInput(path))).toHaveLength(4)
  })

  it('refuses another key column: lines would go to other partitions', async () => {
    const path = file('in.ndjson', `${trade('a', 1)}\n`)
    await all(await openInput(path, 2))
    const plan = planOf(trades)
    const keyless = { ...plan, sources: { trades: { ...plan.sources.trades, key: undefined } } }
    await expect(openInputFile({ plan: keyless, file: path, partitions: 2, pin: await pin(), bounded: true })).rejects.toThrow(
      /expected a source with key symbol, as in the run before, found no key/,
    )
  })

  it('refuses a file that became shorter while it is followed', async () => {
    const path = file('in.ndjson', `${trade('a', 1)}\n${trade('b', 2)}\n`)
    const source = await openInputFile({ plan: planOf(trades), file: path, partitions: 2, pin: await pin(), bounded: false })
    await source.next()
    file('in.ndjson', `${trade('c', 1)}\n`)
    await expect(source.next()).rejects.toThrow(/expected it to grow only/)
    await source.close()
  })

  it('refuses to go on when another run reads the same file into the same warehouse', async () => {
    const path = file('in.ndjson', `${trade('a', 1)}\n`)
    const [one, two] = [await openInput(path, 2), await openInput(path)]
    appendFileSync(path, `${trade('b', 2)}\n`)
    expect(await all(one)).toHaveLength(2)
    appendFileSync(path, `${trade('c', 3)}\n`)
    await expect(all(two)).rejects.toThrow(/another run reads the same source/)
  })
})

describe('--events', () => {
  const event = (records: object[]) => JSON.stringify({ eventSource: 'aws:kafka', records: { 'trades-0': records } })
  const record = (partition: number, offset: number, value: string) => ({
    topic: 'trades',
    partition,
    offset,
    timestamp: 1000,
    timestampType: 'CREATE_TIME',
    value: Buffer.from(value).toString('base64'),
  })

  it('knows its partitions before the first record, and delivers in order, redeliveries and all', async () => {
    const first = event([record(0, 5, trade('a', 1))])
    const path = file('ev.ndjson', `${first}\n${first}\n${event([record(3, 0, trade('b', 2))])}\n`)
    const source = await openEvents(path)
    expect(await source.partitionsBySource()).toEqual({ trades: [0, 3] })
    expect(await source.nothingUnread('trades', 0, 6)).toBe(false)
    const rows = await all(source)
    expect(rows.map((row) => [row.partition, row.offset])).toEqual([
      [0, 5],
      [0, 5],
      [3, 0],
    ])
    expect(await source.nothingUnread('trades', 0, 6)).toBe(true)
    expect(await source.nothingUnread('trades', 0, 5)).toBe(false)
  })

  it('names the line that is no event', async () => {
    const path = file('ev.ndjson', `${event([record(0, 0, trade('a', 1))])}\n{"records": 7}\n`)
    await expect(openEvents(path)).rejects.toThrow(/ev.ndjson, line 2/)
    const broken = file('broken.ndjson', '{')
    await expect(openEvents(broken)).rejects.toThrow(/line 1/)
  })

  it('refuses a topic the pipeline does not read', async () => {
    const path = file('ev.ndjson', `${event([{ ...record(0, 0, 'x'), topic: 'other' }])}\n`)
    await expect(openEvents(path)).rejects.toThrow(/holds topic other, the pipeline reads trades/)
  })
})
