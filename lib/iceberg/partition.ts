import { type Batch, vectorOf } from '../columns/batch.ts'
import { type ColumnType, indexOfField } from '../columns/schema.ts'
import type { PartitionField, TablePlan } from '../pipeline/plan.ts'
import { civilFromDays } from './civil.ts'
import { type PartitionValue, partitionKeyOf } from './partition-value.ts'
import { partitionName } from './schema.ts'
import { type CodedValues, transformColumn } from './transforms.ts'

/** The rows of a batch that belong to one partition. */
export interface Route {
  /** Equal for equal tuples, also from other batches. */
  readonly key: string
  /** The partition tuple, in the order of the spec's fields. */
  readonly values: readonly PartitionValue[]
  /** Row numbers in the batch, ascending. */
  readonly rows: Int32Array
}

/** Codes of two fields are combined into one number; up to this many combinations an array renumbers them, beyond it a map. */
const MAX_COMBINED = 1 << 20
/** File systems take names of 255 bytes; a folder's name is ASCII here and need not be unique. */
const MAX_FOLDER_NAME = 200
const MICROS_PER_DAY = 86_400_000_000n

/**
 * Sends each row to its partition. Routes come in the order of their first rows, each row is in exactly one. The columns that
 * `partitionBy` names must be in the batch. A batch that lies in one partition costs one pass over the column.
 */
export function routeByPartition(partitionBy: readonly PartitionField[], batch: Batch): readonly Route[] {
  const { rows } = batch
  if (rows === 0) return []
  const fields = partitionBy.map(({ column, transform }) => transformColumn(transform, vectorOf(batch, column), rows))
  const { codes, count } = combined(fields, rows)
  const tuple = (row: number) => fields.map((field) => field.values[field.codes[row]])
  if (codes === undefined) {
    const values = tuple(0)
    const all = new Int32Array(rows)
    for (let i = 0; i < rows; i++) all[i] = i
    return [{ key: partitionKeyOf(values), values, rows: all }]
  }
  const ends = new Int32Array(count)
  for (let i = 0; i < rows; i++) ends[codes[i]]++
  const lists = Array.from(ends, (length) => new Int32Array(length))
  ends.fill(0)
  for (let i = 0; i < rows; i++) lists[codes[i]][ends[codes[i]]++] = i
  return lists.map((list) => {
    const values = tuple(list[0])
    return { key: partitionKeyOf(values), values, rows: list }
  })
}

/** One code per row over all fields, 0, 1, 2 … in the order of first rows; none where all rows share it. */
function combined(fields: readonly CodedValues[], rows: number): { codes: Int32Array | undefined; count: number } {
  let codes: Int32Array | undefined
  let count = 1
  for (const field of fields) {
    const width = field.values.length
    if (width === 1) continue
    if (codes === undefined) {
      codes = field.codes
      count = width
    } else {
      const mixed = count * width <= MAX_COMBINED ? new Int32Array(rows) : new Float64Array(rows)
      for (let i = 0; i < rows; i++) mixed[i] = codes[i] * width + field.codes[i]
      const dense = renumbered(mixed, rows, count * width)
      codes = dense.codes
      count = dense.count
    }
  }
  return { codes, count }
}

function renumbered(mixed: Int32Array | Float64Array, rows: number, bound: number): { codes: Int32Array; count: number } {
  const codes = new Int32Array(rows)
  let count = 0
  if (bound <= MAX_COMBINED) {
    const known = new Int32Array(bound).fill(-1)
    for (let i = 0; i < rows; i++) {
      const code = mixed[i]
      if (known[code] < 0) known[code] = count++
      codes[i] = known[code]
    }
  } else {
    const known = new Map<number, number>()
    for (let i = 0; i < rows; i++) {
      let code = known.get(mixed[i])
      if (code === undefined) known.set(mixed[i], (code = count++))
      codes[i] = code
    }
  }
  return { codes, count }
}

/**
 * The folder of a partition below `data/`, as Iceberg's libraries name it: `event_time_day=2024-01-15/symbol_bucket=3`.
 * Empty for an unpartitioned table. For people and file listings only: readers take the tuple from the manifest.
 */
export function partitionPath(table: Pick<TablePlan, 'fields' | 'partitionBy'>, values: readonly PartitionValue[]): string {
  const typeOf = (column: string) => table.fields[indexOfField(table.fields, column)]?.type
  return table.partitionBy
    .map((field, i) =>
      `${urlEncoded(partitionName(field))}=${urlEncoded(humanValue(field, typeOf(field.column), values[i]))}`.slice(
        0,
        MAX_FOLDER_NAME,
      ),
    )
    .join('/')
}

function humanValue({ transform }: PartitionField, type: ColumnType | undefined, value: PartitionValue): string {
  if (value === null) return 'null'
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (typeof value === 'bigint' && type === 'timestamptz') return humanTime(value)
  if (typeof value === 'number')
    switch (transform.kind) {
      case 'year':
        return padded(1970 + value, 4)
      case 'month':
        return `${padded(1970 + Math.floor(value / 12), 4)}-${padded(value - Math.floor(value / 12) * 12 + 1, 2)}`
      case 'day':
        return humanDay(value)
      case 'hour':
        return `${humanDay(Math.floor(value / 24))}-${padded(value - Math.floor(value / 24) * 24, 2)}`
    }
  return String(value)
}

function humanDay(days: number): string {
  const { year, month, day } = civilFromDays(days)
  return `${padded(year, 4)}-${padded(month, 2)}-${padded(day, 2)}`
}

function humanTime(micros: bigint): string {
  const ofDay = ((micros % MICROS_PER_DAY) + MICROS_PER_DAY) % MICROS_PER_DAY
  const seconds = Number(ofDay / 1_000_000n)
  const clock = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map((n) => padded(n, 2)).join(':')
  const fraction = ofDay % 1_000_000n === 0n ? '' : `.${padded(Number(ofDay % 1_000_000n), 6)}`
  return `${humanDay(Number((micros - ofDay) / MICROS_PER_DAY))}T${clock}${fraction}+00:00`
}

/** Java's `%04d`: the sign counts. */
function padded(n: number, width: number): string {
  return n < 0 ? `-${String(-n).padStart(width - 1, '0')}` : String(n).padStart(width, '0')
}

/** Java's URLEncoder: letters, digits and `.-*_` stay, a space is a plus. */
function urlEncoded(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+')
}
