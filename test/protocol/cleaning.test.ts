import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Checkpoint,
  type CheckpointEntry,
  consume,
  type PartitionProgress,
  resolveCheckpoint,
} from '../../lib/protocol/checkpoint.ts'
import { decideDataFile, decideNumbered, decideSegment, needsOf } from '../../lib/protocol/cleaning.ts'
import {
  bodyName,
  compactFileName,
  dataFileName,
  parseCompactFileName,
  parseDataFileName,
  parseStagingName,
  segmentName,
  stagingLogKey,
  stateName,
} from '../../lib/protocol/names.ts'
import { segmentFooterBytes, segmentPairs, segmentParts } from '../../lib/protocol/segment.ts'
import type { StagingEntry } from '../../lib/protocol/staging.ts'

const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const logOf = (partition: number, incarnation = 'i1') => stagingLogKey('p', 'src', incarnation, 'topic', partition)
const BODY = bodyName('p', 'i1', 7, uuid(7))
const STATE = stateName('p', 'i1', 5, uuid(5))

/** Checkpoint 9: `open` entries took slots 8 and 9, and carry body 7 forward. */
function checkpoint(): Checkpoint<unknown> {
  const entry: CheckpointEntry = {
    v: 1,
    kind: 'open',
    writer: 'w',
    body: { name: BODY, digest: '', n: 7 },
    opened: [{ source: 'src', topic: 'topic', partitions: [[2, 2]], floor: null }],
  }
  const at = (slot: number): PartitionProgress => ({ slot, next: slot * 10, watermark: null })
  const ref = { object: STATE, offset: 0, length: 1, rows: 1, fingerprint: 'f', minEnd: 0, maxEnd: 0 }
  return resolveCheckpoint(9, entry, {
    v: 1,
    pipeline: 'p',
    incarnation: 'i1',
    n: 7,
    watermark: null,
    topics: { src: 'topic' },
    sources: { src: { 0: at(4), 1: at(10) } },
    state: { agg: [ref] },
    tables: {},
    intents: {},
  })
}

const needs = needsOf(checkpoint(), 'p', 'i1')
const segment = segmentName('p', 'i1', 'topic', 0, 4, uuid(1))

describe('a segment (rules 6, 7)', () => {
  const pair = (partition: number, slot: number) => ({ log: logOf(partition), slot })

  it('is dead when every slot it was written for is consumed, whoever won them', () => {
    expect(decideSegment(segment, [pair(0, 4)], needs)).toEqual({ verdict: 'Dead' })
    expect(decideSegment(segment, [pair(0, 1), pair(1, 10)], needs)).toEqual({ verdict: 'Dead' })
  })

  it('stays while one of its slots may still be read, or taken', () => {
    expect(decideSegment(segment, [pair(0, 5)], needs)).toEqual({ verdict: 'Keep', why: 'needed' })
    expect(decideSegment(segment, [pair(0, 4), pair(1, 11)], needs)).toEqual({ verdict: 'Keep', why: 'needed' })
    expect(decideSegment(segment, [pair(2, 1)], needs)).toEqual({ verdict: 'Keep', why: 'needed' })
  })

  it('stays when it names a log that the checkpoint does not know, of another incarnation too, or none at all', () => {
    const unknown = { verdict: 'Keep', why: 'unknown' }
    expect(decideSegment(segment, [pair(0, 1), pair(3, 1)], needs)).toEqual(unknown)
    expect(decideSegment(segment, [pair(0, 1), { log: logOf(0, 'i2'), slot: 1 }], needs)).toEqual(unknown)
    expect(decideSegment(segment, [], needs)).toEqual(unknown)
  })

  it('stays while open state refers to it', () => {
    const live = new Set([segment])
    expect(decideSegment(segment, [pair(0, 1)], { ...needs, live })).toEqual({ verdict: 'Keep', why: 'needed' })
  })

  it('tells its footer from its end alone, and how much of the end that takes', () => {
    const pairs = Array.from({ length: 100 }, (_, p) => pair(p, p + 1))
    const bytes = Buffer.concat(segmentParts([Buffer.alloc(10_000)], pairs))
    const footerBytes = segmentFooterBytes(bytes.subarray(-8))
    expect(bytes.length - footerBytes).toBe(10_000)
    expect(segmentPairs(bytes.subarray(-footerBytes))).toEqual(pairs)
    expect(() => segmentPairs(bytes.subarray(-footerBytes + 1))).toThrow(/longer than the segment/)
    const damaged = Buffer.from(bytes)
    damaged[10_000] = 0
    expect(() => segmentPairs(damaged)).toThrow(/expected its footer to be JSON/)
  })
})

describe('a body or a state object (rule 13)', () => {
  it('is dead once its slot is taken and the last checkpoint does not refer to it', () => {
    for (const n of [1, 7, 8, 9]) {
      expect(decideNumbered(n, bodyName('p', 'i1', n, uuid(100)), needs)).toEqual({ verdict: 'Dead' })
      expect(decideNumbered(n, stateName('p', 'i1', n, uuid(100)), needs)).toEqual({ verdict: 'Dead' })
    }
  })

  it('stays while the last body is or names it, also behind entries that opened partitions', () => {
    expect(decideNumbered(7, BODY, needs)).toEqual({ verdict: 'Keep', why: 'needed' })
    expect(decideNumbered(5, STATE, needs)).toEqual({ verdict: 'Keep', why: 'needed' })
  })

  it('stays when a commit may yet append the checkpoint that it was written for', () => {
    expect(decideNumbered(10, bodyName('p', 'i1', 10, uuid(100)), needs)).toEqual({ verdict: 'Keep', why: 'needed' })
  })
})

/** A history of one table: each checkpoint has work for it, opens partitions, or neither; each one is applied before the next commit. */
const history = fc.array(fc.constantFrom('work', 'idle', 'open'), { minLength: 1, maxLength: 8 })

describe('a data file that no snapshot names (rule 13)', () => {
  const dead = (n: number, marker: number, last: number, need: number) =>
    decideDataFile(n, { marker, logs: { last, need } }).verdict === 'Dead'

  it('is dead once the table has passed its checkpoint, even when the logs are not at hand', () => {
    expect(decideDataFile(6, { marker: 6, logs: undefined })).toEqual({ verdict: 'Dead' })
    expect(decideDataFile(7, { marker: 6, logs: undefined })).toEqual({ verdict: 'Keep', why: 'unknown' })
  })

  it('is dead when its checkpoint exists and the table needs nothing more', () => {
    expect(dead(8, 3, 9, 3)).toBe(true)
    expect(dead(8, 0, 9, 0)).toBe(true)
  })

  it('stays while a commit may yet append its checkpoint, or apply it', () => {
    expect(dead(10, 3, 9, 3)).toBe(false)
    expect(dead(9, 3, 9, 9)).toBe(false)
  })

  it('stays below the floor of the checkpoint log while an open entry carries its body forward unapplied', () => {
    // Body 7 is not applied; `open` entries took 8 and 9, and the log may be trimmed up to 8.
    expect(dead(7, 3, 9, 7)).toBe(false)
  })

  it('is never one that is added later, whichever of logs and metadata was read first', () => {
    fc.assert(
      fc.property(history, fc.nat(), fc.nat(), fc.nat(), (steps, a, b, c) => {
        // What the logs said, and what the table's marker was, after each thing that happened.
        const logs = [{ last: 0, need: 0 }]
        const markers = [0]
        let need = 0
        for (const [i, step] of steps.entries()) {
          if (step !== 'open') markers.push(need)
          if (step === 'work') need = i + 1
          logs.push({ last: i + 1, need })
        }
        markers.push(need)
        const n = 1 + (a % (steps.length + 1))
        const stand = { marker: markers[b % markers.length], logs: logs[c % logs.length] }
        // The winner's file is live to the end: it may be called dead only by metadata that has it already.
        const won = steps[n - 1] === 'work'
        if (won && stand.marker < n) expect(decideDataFile(n, stand).verdict).toBe('Keep')
      }),
    )
  })
})

describe('names', () => {
  it('of data files tell the checkpoint, by location too, and only names of ours do', () => {
    expect(parseDataFileName(`s3://b/t/data/day=1/${dataFileName(7, uuid(1))}`)).toEqual({ n: 7 })
    expect(parseDataFileName(dataFileName(123_456_789, uuid(1)))).toEqual({ n: 123_456_789 })
    const others = [`00000-0-${uuid(1)}.parquet`, `7-${uuid(1)}.parquet`, `000000007-${uuid(1)}.parquet`, '00000007.parquet', '']
    for (const other of others) expect(parseDataFileName(other)).toBeUndefined()
    expect(parseDataFileName(compactFileName(7, uuid(1)))).toBeUndefined()
  })

  it('of compacted files tell the fence', () => {
    for (const fence of [0, 7, 123_456_789])
      expect(parseCompactFileName(`file:///d/${compactFileName(fence, uuid(1))}`)).toEqual({ fence })
    expect(compactFileName(7, uuid(1))).toBe(`compact-00000007-${uuid(1)}.parquet`)
    expect(parseCompactFileName(dataFileName(7, uuid(1)))).toBeUndefined()
    expect(parseCompactFileName(`compact-7-${uuid(1)}.parquet`)).toBeUndefined()
  })

  it('below staging tell what they were written for, and those of other incarnations nothing', () => {
    const read = (name: string) => parseStagingName('p', 'i1', name)
    expect(read(segmentName('p', 'i1', 'a-b.c', 12, 34, uuid(1)))).toEqual({ kind: 'segments' })
    expect(read(BODY)).toEqual({ kind: 'bodies', n: 7 })
    expect(read(STATE)).toEqual({ kind: 'state', n: 5 })
    for (const other of [bodyName('p', 'i2', 7, uuid(7)), 'p/i1/notes.txt', 'p/i1/state/5', `p/i1/state/5-${uuid(5)}/x`])
      expect(read(other)).toBeUndefined()
  })
})

describe('progress of a partition (rule 9)', () => {
  const entry = (from: number | null, next: number | null, missing: number): StagingEntry => ({
    v: 1,
    kind: next === null ? 'advance' : 'records',
    writer: 'w',
    from,
    next,
    watermark: null,
    records: 1,
    deadLetters: 0,
    late: 0,
    missing,
    last: null,
    maxTimestamp: null,
    segment: null,
    inline: null,
    slices: [],
  })

  it('keeps the first offset and all gaps when the entries are gone', () => {
    let progress: PartitionProgress = { slot: 0, next: null, watermark: null }
    progress = consume(progress, 1, entry(null, null, 0))
    expect(progress).toEqual({ slot: 1, next: null, watermark: null, missing: 0 })
    progress = consume(progress, 2, entry(40, 50, 0))
    progress = consume(progress, 3, entry(50, 60, 4))
    progress = consume(progress, 4, entry(60, 60, 0))
    progress = consume(progress, 5, entry(60, 70, 3))
    expect(progress).toEqual({ slot: 5, next: 70, watermark: null, missing: 7, first: 40 })
  })

  it('does not guess what a version that did not count has consumed', () => {
    expect(consume({ slot: 3, next: 50, watermark: null }, 4, entry(50, 60, 2))).toEqual({ slot: 4, next: 60, watermark: null })
  })
})
