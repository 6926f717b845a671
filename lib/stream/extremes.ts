import type { BytesVector, Vector } from '../columns/batch.ts'
import { compareLongs, words } from '../columns/numbers.ts'
import { corrupt } from '../errors.ts'

/** Rows of groups: row i belongs to group `of[i]`, or to none (-1). Every group has a row. */
export interface Grouping {
  readonly rows: number
  readonly of: Int32Array
  readonly count: number
  /** First row of each group. */
  readonly first: Int32Array
}

/** Where rows stand in the topic: what first and last go by, never arrival (rule E4). */
export interface Positions {
  readonly timeMs: Float64Array
  readonly partition: Int32Array
  readonly offset: Float64Array
}

/**
 * The row of each group that holds its least (or greatest) value; a group that has none but nulls gives one of those.
 * -0 is below 0, strings order by their UTF-8 bytes, false is below true. Which of several equal ones is open: they are
 * the same value.
 */
export function extremeRows(vector: Vector, grouping: Grouping, greatest: boolean): Int32Array {
  switch (vector.type) {
    case 'double':
      return extremeDoubles(vector.values, vector.validity, grouping, greatest)
    case 'int':
    case 'boolean':
      return extremeInts(vector.values, vector.validity, grouping, greatest)
    case 'long':
    case 'timestamptz':
      return extremeLongs(vector.values, vector.validity, grouping, greatest)
    case 'string':
      return extremeStrings(vector, grouping, greatest)
    case 'binary':
      throw corrupt('Cannot order binary values: expected another type of column, found binary.')
  }
}

/** -1 everywhere, until a value is seen. */
const noRows = (grouping: Grouping) => new Int32Array(grouping.count).fill(-1)

/** Gives groups without a value their first row, which holds a null. */
function orNull(best: Int32Array, grouping: Grouping): Int32Array {
  for (let g = 0; g < best.length; g++) if (best[g] < 0) best[g] = grouping.first[g]
  return best
}

function extremeDoubles(
  values: Float64Array,
  validity: Uint8Array | undefined,
  grouping: Grouping,
  greatest: boolean,
): Int32Array {
  const { rows, of } = grouping
  const best = noRows(grouping)
  const bests = new Float64Array(grouping.count)
  for (let i = 0; i < rows; i++) {
    const g = of[i]
    if (g < 0 || (validity !== undefined && validity[i] === 0)) continue
    const value = values[i]
    const held = bests[g]
    const better =
      best[g] < 0 ||
      (greatest ? value > held : value < held) ||
      (value === 0 && held === 0 && (greatest ? Object.is(held, -0) : Object.is(value, -0)))
    if (better) {
      best[g] = i
      bests[g] = value
    }
  }
  return orNull(best, grouping)
}

function extremeInts(
  values: Int32Array | Uint8Array,
  validity: Uint8Array | undefined,
  grouping: Grouping,
  greatest: boolean,
): Int32Array {
  const { rows, of } = grouping
  const best = noRows(grouping)
  for (let i = 0; i < rows; i++) {
    const g = of[i]
    if (g < 0 || (validity !== undefined && validity[i] === 0)) continue
    const row = best[g]
    if (row < 0 || (greatest ? values[i] > values[row] : values[i] < values[row])) best[g] = i
  }
  return orNull(best, grouping)
}

function extremeLongs(
  values: BigInt64Array,
  validity: Uint8Array | undefined,
  grouping: Grouping,
  greatest: boolean,
): Int32Array {
  const { rows, of } = grouping
  const longs = words(values)
  const best = noRows(grouping)
  for (let i = 0; i < rows; i++) {
    const g = of[i]
    if (g < 0 || (validity !== undefined && validity[i] === 0)) continue
    const row = best[g]
    const order = row < 0 ? 0 : compareLongs(longs, i, longs, row)
    if (row < 0 || (greatest ? order > 0 : order < 0)) best[g] = i
  }
  return orNull(best, grouping)
}

function extremeStrings(vector: BytesVector, grouping: Grouping, greatest: boolean): Int32Array {
  const { codes, offsets, bytes, validity } = vector
  const { rows, of } = grouping
  const best = noRows(grouping)
  for (let i = 0; i < rows; i++) {
    const g = of[i]
    if (g < 0 || (validity !== undefined && validity[i] === 0)) continue
    const row = best[g]
    const entry = codes === undefined ? i : codes[i]
    const bestEntry = codes === undefined || row < 0 ? row : codes[row]
    if (entry === bestEntry) continue
    const order =
      row < 0 ? 0 : compareBytes(bytes, offsets[entry], offsets[entry + 1], offsets[bestEntry], offsets[bestEntry + 1])
    if (row < 0 || (greatest ? order > 0 : order < 0)) best[g] = i
  }
  return orNull(best, grouping)
}

function compareBytes(bytes: Uint8Array, a: number, aEnd: number, b: number, bEnd: number): number {
  while (a < aEnd && b < bEnd) {
    const order = bytes[a++] - bytes[b++]
    if (order !== 0) return order
  }
  return aEnd - a - (bEnd - b)
}

/**
 * The row of each group that stands first (or last) in the order of event time, partition, offset, among those that hold
 * a value; a group that has none but nulls gives one of those.
 */
export function outermostRows(
  validity: Uint8Array | undefined,
  positions: Positions,
  grouping: Grouping,
  last: boolean,
): Int32Array {
  const { rows, of } = grouping
  const { timeMs, partition, offset } = positions
  const best = noRows(grouping)
  const times = new Float64Array(grouping.count)
  for (let i = 0; i < rows; i++) {
    const g = of[i]
    if (g < 0 || (validity !== undefined && validity[i] === 0)) continue
    const row = best[g]
    const time = timeMs[i]
    let order = row < 0 ? (last ? 1 : -1) : time - times[g]
    if (order === 0) order = partition[i] - partition[row]
    if (order === 0) order = offset[i] - offset[row]
    if (last ? order > 0 : order < 0) {
      best[g] = i
      times[g] = time
    }
  }
  return orNull(best, grouping)
}
