import { exactSum } from './exact.ts'
import type { Row, SimRecord } from './kafka.ts'

/**
 * What must be in the tables, computed record by record with plain objects, apart from the library's code. Values are in
 * canonical text: one text per bit pattern.
 */
export type Canonical = Readonly<Record<string, string>>

type Fn = 'count' | 'sum' | 'avg' | 'min' | 'max' | 'first' | 'last'

export interface AggregateOracle {
  readonly table: string
  readonly lateTable: string
  readonly windowMs: number
  readonly allowedLatenessMs: number
  readonly keys: readonly string[]
  readonly keep: (row: Row) => boolean
  readonly aggregates: readonly { readonly name: string; readonly fn: Fn; readonly of?: string }[]
}

export interface Oracle {
  readonly pipeline: string
  readonly source: string
  readonly topic: string
  readonly delayMs: number
  readonly deadLetters: string
  /** Tables of plain rows: which rows, and which Kafka columns beside the row's own. */
  readonly rows: readonly { readonly table: string; readonly keep: (row: Row) => boolean }[]
  readonly aggregates: readonly AggregateOracle[]
}

/** What the logs say beside the records: floors of partitions that joined, and advances. */
export interface Recorded {
  /** By partition; absent: none. */
  readonly floors: ReadonlyMap<number, number>
  /** By partition: the watermark was raised before the first record at or above `next`. */
  readonly advances: ReadonlyMap<number, readonly { readonly next: number; readonly watermark: number }[]>
}

export const NO_RECORDED: Recorded = { floors: new Map(), advances: new Map() }

export interface Expected {
  /** By table. */
  readonly tables: ReadonlyMap<string, readonly Canonical[]>
  /** The watermark of a partition once its records below an offset are in, without later advances. */
  watermarkAt(partition: number, next: number): number
  /** Rows too late for a window, over [from, next) of a partition. */
  lateBetween(partition: number, from: number, next: number): number
}

/** A bit pattern's one text: -0 is told from 0, binary is hex, null is a word no string can be. */
export function canonical(value: unknown): string {
  if (value === null || value === undefined) return '∅'
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
  if (value instanceof Uint8Array) return `x${Buffer.from(value).toString('hex')}`
  if (typeof value === 'string') return `"${value}"`
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  throw new Error(`no canonical text for ${typeof value}: ${String(value)}`)
}

/** Names in order, one line: rows compare as text. */
export function lineOf(row: Canonical, columns: readonly string[]): string {
  return columns.map((column) => `${column}=${row[column] ?? '(absent)'}`).join(' ')
}

const micros = (ms: number): bigint => BigInt(ms) * 1000n

function canonicalRow(row: Readonly<Record<string, unknown>>): Canonical {
  const result: Record<string, string> = {}
  for (const [name, value] of Object.entries(row)) result[name] = canonical(value)
  return result
}

interface Accepted {
  readonly record: SimRecord
  readonly row: Row
  readonly time: number
}

/** @param staged the records of each partition that are in the logs, ascending by offset */
export function expect(oracle: Oracle, staged: readonly (readonly SimRecord[])[], recorded: Recorded): Expected {
  const tables = new Map<string, Canonical[]>()
  for (const { table } of oracle.rows) tables.set(table, [])
  for (const { table, lateTable } of oracle.aggregates) {
    tables.set(table, [])
    tables.set(lateTable, [])
  }
  tables.set(oracle.deadLetters, [])
  const into = (table: string, row: Readonly<Record<string, unknown>>) => tables.get(table)?.push(canonicalRow(row))
  const windows = oracle.aggregates.map(() => new Map<string, Accepted[]>())
  /** By partition: after each record, the watermark and how many late rows it made. */
  const steps: { offset: number; watermark: number; late: number }[][] = []

  for (const [partition, records] of staged.entries()) {
    const advances = [...(recorded.advances.get(partition) ?? [])]
    let watermark = recorded.floors.get(partition) ?? Number.NEGATIVE_INFINITY
    const trail: { offset: number; watermark: number; late: number }[] = [{ offset: -1, watermark, late: 0 }]
    for (const record of records) {
      while (advances.length > 0 && advances[0].next <= record.offset)
        watermark = Math.max(watermark, advances.shift()?.watermark ?? watermark)
      const kafka = {
        kafka_topic: oracle.topic,
        kafka_partition: record.partition,
        kafka_offset: BigInt(record.offset),
        kafka_timestamp: Number.isNaN(record.timestamp) ? null : micros(record.timestamp),
      }
      const { row } = record
      if (row === undefined) {
        into(oracle.deadLetters, { ...kafka, key: record.key, value: record.value })
        trail.push({ offset: record.offset, watermark, late: 0 })
        continue
      }
      for (const { table, keep } of oracle.rows) if (keep(row)) into(table, { ...row, ...kafka })
      let late = 0
      for (const [i, aggregate] of oracle.aggregates.entries()) {
        if (!aggregate.keep(row)) continue
        const start = Math.floor(record.eventTimeMs / aggregate.windowMs) * aggregate.windowMs
        const end = start + aggregate.windowMs
        if (end + aggregate.allowedLatenessMs <= watermark) {
          into(aggregate.lateTable, {
            ...row,
            ...kafka,
            window_start: micros(start),
            window_end: micros(end),
            watermark: micros(watermark),
          })
          late++
          continue
        }
        const key = JSON.stringify([...aggregate.keys.map((name) => canonical(row[name])), start])
        const list = windows[i].get(key)
        const accepted = { record, row, time: record.eventTimeMs }
        if (list === undefined) windows[i].set(key, [accepted])
        else list.push(accepted)
      }
      watermark = Math.max(watermark, record.eventTimeMs - oracle.delayMs)
      trail.push({ offset: record.offset, watermark, late })
    }
    steps.push(trail)
  }

  for (const [i, aggregate] of oracle.aggregates.entries())
    for (const rows of windows[i].values()) into(aggregate.table, finalRow(aggregate, rows))

  return {
    tables,
    watermarkAt(partition, next) {
      let watermark = Number.NEGATIVE_INFINITY
      for (const step of steps[partition] ?? []) if (step.offset < next) watermark = step.watermark
      return watermark
    },
    lateBetween: (partition, from, next) =>
      (steps[partition] ?? []).reduce((sum, step) => sum + (step.offset >= from && step.offset < next ? step.late : 0), 0),
  }
}

function finalRow(aggregate: AggregateOracle, rows: readonly Accepted[]): Record<string, unknown> {
  const ordered = [...rows].sort(
    (a, b) => a.time - b.time || a.record.partition - b.record.partition || a.record.offset - b.record.offset,
  )
  const [first] = ordered
  const start = Math.floor(first.time / aggregate.windowMs) * aggregate.windowMs
  const result: Record<string, unknown> = { window_start: micros(start), window_end: micros(start + aggregate.windowMs) }
  for (const key of aggregate.keys) result[key] = first.row[key]
  for (const { name, fn, of } of aggregate.aggregates) {
    const values = of === undefined ? [] : ordered.map(({ row }) => row[of])
    result[name] = aggregateOf(fn, values, rows.length)
  }
  return result
}

function aggregateOf(fn: Fn, values: readonly Row[string][], count: number): unknown {
  const present = values.filter((value) => value !== null && value !== undefined)
  if (fn === 'count') return BigInt(count)
  if (present.length === 0) return null
  const whole = typeof present[0] === 'bigint' ? (present as bigint[]).reduce((a, b) => a + b, 0n) : undefined
  switch (fn) {
    case 'sum':
      if (whole === undefined) return exactSum(present as number[])
      // A sum of longs that does not fit one is null.
      return BigInt.asIntN(64, whole) === whole ? whole : null
    case 'avg':
      // Number() of a big integer rounds once, to nearest, ties to even.
      return (whole === undefined ? exactSum(present as number[]) : Number(whole)) / present.length
    case 'min':
      return present.reduce((a, b) => (below(b, a) ? b : a))
    case 'max':
      return present.reduce((a, b) => (below(a, b) ? b : a))
    case 'first':
      return present[0]
    case 'last':
      return present[present.length - 1]
  }
}

/** Total order in which -0 is below 0. */
function below(a: Row[string], b: Row[string]): boolean {
  if (a === 0 && b === 0) return Object.is(a, -0) && Object.is(b, 0)
  return (a as number) < (b as number)
}
