import type { BytesVector } from '../columns/batch.ts'
import { corrupt } from '../errors.ts'
import { componentsOf, HUGE, roundedUnits, SCALE, SCALE_BITS, unitsOf } from './big-sum.ts'
import { grow, MAX_NORMAL_COMPONENTS, normalise, rounded } from './expansion.ts'

/**
 * Exact sums of doubles, one per group: they merge in any order and are rounded once, at the end (rule E4). Long sums
 * use them too: a long is one double or two, and a sum of integers is an integer.
 */
export interface ExactSums {
  readonly groups: number
  /** Room for components of a group; the group's begin at `group * stride`. */
  stride: number
  parts: Float64Array
  /** Components in use, by group. */
  readonly counts: Uint8Array
  /** Groups that met a value of 2^900 or more, or no finite one. */
  readonly huge: Map<number, HugePart>
}

/** What is kept apart so that no intermediate sum overflows: values of 2^900 and more, times 2^-128. */
interface HugePart {
  readonly parts: Float64Array
  count: number
  /** Sum of the values that are not finite (0: none): an infinity, or NaN when they disagree. */
  special: number
}

/** Money in a batch needs two or three components. */
const FIRST_STRIDE = 4
const MAX_STRIDE = 64

/** Sums of nothing, for `groups` groups. */
export function exactSums(groups: number): ExactSums {
  return {
    groups,
    stride: FIRST_STRIDE,
    parts: new Float64Array(groups * FIRST_STRIDE),
    counts: new Uint8Array(groups),
    huge: new Map(),
  }
}

/** Adds `x` to a group's sum. */
export function add(sums: ExactSums, group: number, x: number): void {
  if (!(Math.abs(x) < HUGE)) {
    addHuge(sums, group, x)
    return
  }
  if (sums.counts[group] === sums.stride) makeRoom(sums, group)
  sums.counts[group] = grow(sums.parts, group * sums.stride, sums.counts[group], x)
}

/**
 * Adds `values[i]` to group `groupOf[i]` for each row that has a group (>= 0) and a value. The hot loop: the first two
 * components are handled in place.
 */
export function addColumn(
  sums: ExactSums,
  groupOf: Int32Array,
  values: Float64Array | Int32Array,
  validity: Uint8Array | undefined,
  rows: number,
): void {
  const { counts } = sums
  for (let i = 0; i < rows; i++) {
    const group = groupOf[i]
    if (group < 0 || (validity !== undefined && validity[i] === 0)) continue
    const x = values[i]
    const count = counts[group]
    const base = group * sums.stride
    const p = sums.parts
    if (!(Math.abs(x) < HUGE) || count > 2) add(sums, group, x)
    else if (count === 0) {
      if (x !== 0) {
        p[base] = x
        counts[group] = 1
      }
    } else {
      const y = p[base]
      const high = x + y
      const virtual = high - x
      const low = x - (high - virtual) + (y - virtual)
      if (count === 1) {
        if (low !== 0) {
          p[base] = low
          p[base + 1] = high
          counts[group] = 2
        } else {
          p[base] = high
          counts[group] = high !== 0 ? 1 : 0
        }
      } else {
        const y2 = p[base + 1]
        const high2 = high + y2
        const virtual2 = high2 - high
        const low2 = high - (high2 - virtual2) + (y2 - virtual2)
        let n = base
        if (low !== 0) p[n++] = low
        if (low2 !== 0) p[n++] = low2
        if (high2 !== 0) p[n++] = high2
        counts[group] = n - base
      }
    }
  }
}

/** Makes room for one more component: by the shortest form of the number, or by a wider array for all. */
function makeRoom(sums: ExactSums, group: number): void {
  const { groups, stride, parts, counts } = sums
  counts[group] = normalise(parts, group * stride, counts[group])
  if (counts[group] < stride) return
  const wider = Math.min(stride * 2, MAX_STRIDE)
  const moved = new Float64Array(groups * wider)
  for (let g = 0; g < groups; g++) for (let i = 0; i < counts[g]; i++) moved[g * wider + i] = parts[g * stride + i]
  sums.stride = wider
  sums.parts = moved
}

function hugePart(sums: ExactSums, group: number): HugePart {
  let part = sums.huge.get(group)
  if (part === undefined) {
    part = { parts: new Float64Array(MAX_STRIDE), count: 0, special: 0 }
    sums.huge.set(group, part)
  }
  return part
}

function addHuge(sums: ExactSums, group: number, x: number): void {
  if (Number.isFinite(x)) addScaled(hugePart(sums, group), x * SCALE)
  else hugePart(sums, group).special += x
}

function addScaled(part: HugePart, x: number): void {
  if (part.count === MAX_STRIDE) part.count = normalise(part.parts, 0, part.count)
  part.count = grow(part.parts, 0, part.count, x)
}

/** True when components of 2^900 and more are, or may have to be, in play. */
function isHuge(sums: ExactSums, group: number): boolean {
  const count = sums.counts[group]
  return sums.huge.has(group) || (count > 0 && Math.abs(sums.parts[group * sums.stride + count - 1]) >= HUGE)
}

/** The whole sum in units of 2^-1074. */
function unitsOfSum(sums: ExactSums, group: number): bigint {
  let units = 0n
  const base = group * sums.stride
  for (let i = 0; i < sums.counts[group]; i++) units += unitsOf(sums.parts[base + i])
  const part = sums.huge.get(group)
  if (part !== undefined) for (let i = 0; i < part.count; i++) units += unitsOf(part.parts[i]) << BigInt(SCALE_BITS)
  return units
}

/** The group's sum, rounded once to nearest, ties to even: infinite where the exact sum is beyond all doubles; never -0. */
export function roundedSum(sums: ExactSums, group: number): number {
  if (!isHuge(sums, group)) return rounded(sums.parts, group * sums.stride, sums.counts[group])
  const special = sums.huge.get(group)?.special ?? 0
  return special !== 0 ? special : roundedUnits(unitsOfSum(sums, group))
}

/** The exact sum of integers. Throws `Corrupt` when it is none. */
export function integerSum(sums: ExactSums, group: number): bigint {
  let sum = 0n
  for (let i = 0; i < sums.counts[group]; i++) {
    const part = sums.parts[group * sums.stride + i]
    if (!Number.isInteger(part)) throw corrupt(`Cannot read a sum of integers: expected integer components, found another.`)
    sum += BigInt(part)
  }
  if (sums.huge.has(group)) throw corrupt('Cannot read a sum of integers: it holds components beyond 2^900.')
  return sum
}

/**
 * The sums as state: per group a list of doubles (little-endian), least first, in the one form that its number has, so
 * that equal sums have equal bytes. Where some are of the scaled kind they stand last, and one more byte counts them: a
 * length of 8k, or 8k + 1. A sum of 0 is the empty list; groups that `validity` marks 0 are null.
 */
export function encodeSums(sums: ExactSums, validity: Uint8Array | undefined): BytesVector {
  const { groups, counts } = sums
  const cold = new Map<number, { normal: readonly number[]; scaled: readonly number[] }>()
  const offsets = new Int32Array(groups + 1)
  for (let g = 0; g < groups; g++) {
    let length = 0
    if (validity === undefined || validity[g] === 1) {
      if (isHuge(sums, g)) {
        const special = sums.huge.get(g)?.special ?? 0
        const parts = special !== 0 ? { normal: [], scaled: [special] } : componentsOf(unitsOfSum(sums, g))
        cold.set(g, parts)
        length = 8 * (parts.normal.length + parts.scaled.length) + (parts.scaled.length > 0 ? 1 : 0)
      } else {
        counts[g] = normalise(sums.parts, g * sums.stride, counts[g])
        length = 8 * counts[g]
      }
    }
    offsets[g + 1] = offsets[g] + length
  }
  const bytes = new Uint8Array(offsets[groups])
  const view = new DataView(bytes.buffer)
  for (let g = 0; g < groups; g++) {
    if (offsets[g] === offsets[g + 1]) continue
    let at = offsets[g]
    const parts = cold.get(g)
    if (parts === undefined) {
      const base = g * sums.stride
      for (let i = 0; i < counts[g]; i++, at += 8) view.setFloat64(at, sums.parts[base + i], true)
    } else {
      for (const component of parts.normal) {
        view.setFloat64(at, component, true)
        at += 8
      }
      for (const component of parts.scaled) {
        view.setFloat64(at, component, true)
        at += 8
      }
      if (parts.scaled.length > 0) bytes[at] = parts.scaled.length
    }
  }
  return { type: 'binary', codes: undefined, entries: groups, offsets, bytes, validity }
}

/**
 * Adds encoded sums: row i to group `groupOf[i]` where it has one. Throws `Corrupt` for bytes that `encodeSums` does not
 * write.
 */
export function addEncoded(sums: ExactSums, groupOf: Int32Array, vector: BytesVector, rows: number): void {
  const { codes, offsets, bytes, validity } = vector
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let i = 0; i < rows; i++) {
    const group = groupOf[i]
    if (group < 0 || (validity !== undefined && validity[i] === 0)) continue
    const entry = codes === undefined ? i : codes[i]
    const start = offsets[entry]
    const count = (offsets[entry + 1] - start) >>> 3
    const rest = offsets[entry + 1] - start - 8 * count
    const scaled = rest === 1 ? bytes[start + 8 * count] : 0
    if (rest > 1 || scaled > count || count > MAX_NORMAL_COMPONENTS + 1)
      throw corrupt(`Cannot read an exact sum: expected a list of doubles, found ${offsets[entry + 1] - start} bytes.`)
    for (let k = 0; k < count - scaled; k++) add(sums, group, view.getFloat64(start + 8 * k, true))
    for (let k = count - scaled; k < count; k++) {
      const component = view.getFloat64(start + 8 * k, true)
      const part = hugePart(sums, group)
      if (Number.isFinite(component)) addScaled(part, component)
      else part.special += component
    }
  }
}
