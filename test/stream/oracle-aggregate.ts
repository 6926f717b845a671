import type { Value } from '../../lib/columns/batch.ts'
import type { AggregatePlan } from '../../lib/pipeline/plan.ts'
import { toDouble, units } from './oracle-sum.ts'

/** Windowed aggregates the slow way: objects, maps, BigInts and sorting. Shares nothing with lib/stream. */
export type Row = Record<string, Value>

export interface Timed {
  readonly row: Row
  readonly timeMs: number
  readonly watermark: number
}

const floorTo = (time: bigint, size: bigint) => (time >= 0n ? time / size : (time - size + 1n) / size) * size

export function isLate(op: AggregatePlan, { timeMs, watermark }: Timed): boolean {
  const end = Number(floorTo(BigInt(timeMs), BigInt(op.windowMs))) + op.windowMs
  return end + op.allowedLatenessMs <= watermark
}

export function startOf(op: AggregatePlan, timeMs: number): bigint {
  return floorTo(BigInt(timeMs), BigInt(op.windowMs)) * 1000n
}

const show = (value: Value) =>
  value === null
    ? 'null'
    : value instanceof Uint8Array
      ? `x${Buffer.from(value).toString('hex')}`
      : `${typeof value}:${String(value)}`

function compareValues(a: Value, b: Value): number {
  if (a === null || b === null) return (a === null ? 0 : 1) - (b === null ? 0 : 1)
  if (typeof a === 'string' && typeof b === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b))
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b)
  if (typeof a === 'number' && typeof b === 'number' && a === 0 && b === 0)
    return (Object.is(a, -0) ? -1 : 0) - (Object.is(b, -0) ? -1 : 0)
  return a < b ? -1 : a > b ? 1 : 0
}

/** Results of the rows that are not late, sorted by window_start, then keys. */
export function expectedResults(op: AggregatePlan, rows: readonly Timed[]): Row[] {
  const groups = new Map<string, { keys: Row; start: bigint; rows: Timed[] }>()
  for (const timed of rows) {
    if (isLate(op, timed)) continue
    const start = startOf(op, timed.timeMs)
    const keys: Row = {}
    for (const key of op.keys) {
      const value = timed.row[key]
      keys[key] = value === 0 ? 0 : value
    }
    const id = [start, ...op.keys.map((key) => show(keys[key]))].join('|')
    const group = groups.get(id) ?? { keys, start, rows: [] }
    group.rows.push(timed)
    groups.set(id, group)
  }
  const results = [...groups.values()].map(({ keys, start, rows: members }) => {
    const result: Row = { ...keys, window_start: start, window_end: start + BigInt(op.windowMs) * 1000n }
    for (const aggregate of op.aggregates) result[aggregate.name] = expectedValue(op, aggregate, members)
    return result
  })
  return results.sort((a, b) => {
    for (const column of ['window_start', ...op.keys]) {
      const order = compareValues(a[column], b[column])
      if (order !== 0) return order
    }
    return 0
  })
}

function expectedValue(op: AggregatePlan, { fn, of }: AggregatePlan['aggregates'][number], members: readonly Timed[]): Value {
  const taken = of === undefined ? members : members.filter(({ row }) => row[of] !== null)
  if (fn === 'count') return BigInt(taken.length)
  if (taken.length === 0 || of === undefined) return null
  const type = op.input.find((field) => field.name === of)?.type
  const values = taken.map(({ row }) => row[of])
  switch (fn) {
    case 'sum':
    case 'avg': {
      const sum = values.reduce((total: bigint, x) => total + (typeof x === 'bigint' ? x << 1074n : units(x as number)), 0n)
      if (fn === 'avg') return (toDouble(sum) + 0) / values.length
      if (type === 'double') return toDouble(sum) + 0
      const whole = sum >> 1074n
      return whole >= -(2n ** 63n) && whole < 2n ** 63n ? whole : null
    }
    case 'min':
      return [...values].sort(compareValues)[0]
    case 'max':
      return [...values].sort(compareValues)[values.length - 1]
    default: {
      const ordered = [...taken].sort(
        (a, b) =>
          a.timeMs - b.timeMs ||
          Number(a.row.kafka_partition) - Number(b.row.kafka_partition) ||
          Number(a.row.kafka_offset) - Number(b.row.kafka_offset),
      )
      return ordered[fn === 'first' ? 0 : ordered.length - 1].row[of]
    }
  }
}
