import { corrupt } from '../errors.ts'
import { type Batch, type BooleanVector, type BytesVector, expectType, type LongVector, type Vector, vectorOf } from './batch.ts'
import { compareVectors } from './compare.ts'
import { type Expression, parseLong } from './expression.ts'
import { getLong, setProduct, words } from './numbers.ts'

/** JavaScript's range of instants, in milliseconds: every instant and window bound in it is an exact double. */
export const MAX_INSTANT_MS = 8.64e15

/** A computed column. */
export interface Computed {
  readonly vector: Vector
  /**
   * Rows, ascending, whose operand was no instant within ±`MAX_INSTANT_MS`: null in `vector`, and a dead letter where
   * the column is computed on the way in. Undefined when there is none.
   */
  readonly outOfRange: Int32Array | undefined
}

/**
 * The value of `expression` in every row of `batch`, by SQL's three-valued logic. The expression must have passed
 * `typeOf` over the batch's fields. Doubles never overflow: a division by zero and a result that is not finite are null.
 */
export function evaluate(expression: Expression, batch: Batch): Vector {
  return evaluateComputed(expression, batch).vector
}

/** Like `evaluate`, and tells the rows whose timestamp conversion (the outermost operation) was out of range. */
export function evaluateComputed(expression: Expression, batch: Batch): Computed {
  switch (expression.op) {
    case 'timestampMillis':
      return toTimestamps(evaluate(expression.of, batch), batch.rows, 1000)
    case 'timestampSeconds':
      return toTimestamps(evaluate(expression.of, batch), batch.rows, 1_000_000)
    default:
      return { vector: evaluateVector(expression, batch), outOfRange: undefined }
  }
}

/** The rows for which `predicate` is true, ascending; undefined when all of them are. */
export function filterRows(predicate: Expression, batch: Batch): Int32Array | undefined {
  const { values, validity } = expectType(evaluate(predicate, batch), 'boolean')
  const rows = new Int32Array(batch.rows)
  let kept = 0
  for (let i = 0; i < batch.rows; i++) if (values[i] === 1 && (validity === undefined || validity[i] === 1)) rows[kept++] = i
  return kept === batch.rows ? undefined : rows.slice(0, kept)
}

function evaluateVector(expression: Exclude<Expression, { op: 'timestampMillis' | 'timestampSeconds' }>, batch: Batch): Vector {
  const { rows } = batch
  switch (expression.op) {
    case 'column':
      return vectorOf(batch, expression.name)
    case 'literal':
      return constant(expression, rows)
    case 'add':
    case 'subtract':
    case 'multiply':
    case 'divide':
      return arithmetic(expression.op, evaluate(expression.left, batch), evaluate(expression.right, batch), rows)
    case 'eq':
    case 'ne':
    case 'lt':
    case 'le':
    case 'gt':
    case 'ge': {
      const left = evaluate(expression.left, batch)
      const right = evaluate(expression.right, batch)
      const values = new Uint8Array(rows)
      const holds = HOLDS[expression.op]
      const orders = compareVectors(left, right, rows)
      for (let i = 0; i < rows; i++) values[i] = holds[orders[i] + 1]
      return { type: 'boolean', values, validity: bothValid(left.validity, right.validity, rows) }
    }
    case 'and':
    case 'or':
      return expression.of
        .map((operand) => expectType(evaluate(operand, batch), 'boolean'))
        .reduce((left, right) => connect(expression.op === 'or' ? 1 : 0, left, right, rows))
    case 'not': {
      const of = expectType(evaluate(expression.of, batch), 'boolean')
      const values = new Uint8Array(rows)
      for (let i = 0; i < rows; i++) values[i] = 1 - of.values[i]
      return { type: 'boolean', values, validity: of.validity }
    }
    case 'isNull': {
      const { validity } = evaluate(expression.of, batch)
      const values = new Uint8Array(rows)
      if (validity !== undefined) for (let i = 0; i < rows; i++) values[i] = 1 - validity[i]
      return { type: 'boolean', values, validity: undefined }
    }
  }
}

/** Whether a comparison holds, by order + 1: less, equal, greater, unordered (a NaN). */
const HOLDS: Readonly<Record<'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge', readonly number[]>> = {
  eq: [0, 1, 0, 0],
  ne: [1, 0, 1, 1],
  lt: [1, 0, 0, 0],
  le: [1, 1, 0, 0],
  gt: [0, 0, 1, 0],
  ge: [0, 1, 1, 0],
}

/** 1 where both are valid; undefined when every row is. */
function bothValid(left: Uint8Array | undefined, right: Uint8Array | undefined, rows: number): Uint8Array | undefined {
  if (left === undefined || right === undefined) return left ?? right
  const validity = new Uint8Array(rows)
  for (let i = 0; i < rows; i++) validity[i] = left[i] & right[i]
  return validity
}

/**
 * `and` (decisive 0) and `or` (decisive 1): a decisive operand decides even beside a null, else a null makes the result
 * null.
 */
function connect(decisive: 0 | 1, left: BooleanVector, right: BooleanVector, rows: number): BooleanVector {
  const values = new Uint8Array(rows)
  if (left.validity === undefined && right.validity === undefined) {
    if (decisive === 0) for (let i = 0; i < rows; i++) values[i] = left.values[i] & right.values[i]
    else for (let i = 0; i < rows; i++) values[i] = left.values[i] | right.values[i]
    return { type: 'boolean', values, validity: undefined }
  }
  const validity = new Uint8Array(rows)
  for (let i = 0; i < rows; i++) {
    const leftValid = left.validity === undefined || left.validity[i] === 1
    const rightValid = right.validity === undefined || right.validity[i] === 1
    const decided = (leftValid && left.values[i] === decisive) || (rightValid && right.values[i] === decisive)
    if (decided || (leftValid && rightValid)) {
      validity[i] = 1
      values[i] = decided ? decisive : 1 - decisive
    }
  }
  return { type: 'boolean', values, validity }
}

/** The numbers of a numeric vector as doubles; a long beyond 2^53 becomes the nearest one. */
function toDoubles(vector: Vector, rows: number): Float64Array | Int32Array {
  if (vector.type === 'double' || vector.type === 'int') return vector.values
  const longs = words(expectType(vector, 'long', 'timestamptz').values)
  const values = new Float64Array(rows)
  for (let i = 0; i < rows; i++) values[i] = getLong(longs, i)
  return values
}

function arithmetic(op: 'add' | 'subtract' | 'multiply' | 'divide', left: Vector, right: Vector, rows: number): Vector {
  const a = toDoubles(left, rows)
  const b = toDoubles(right, rows)
  const values = new Float64Array(rows)
  switch (op) {
    case 'add':
      for (let i = 0; i < rows; i++) values[i] = a[i] + b[i]
      break
    case 'subtract':
      for (let i = 0; i < rows; i++) values[i] = a[i] - b[i]
      break
    case 'multiply':
      for (let i = 0; i < rows; i++) values[i] = a[i] * b[i]
      break
    case 'divide':
      for (let i = 0; i < rows; i++) values[i] = a[i] / b[i]
      break
  }
  let validity = bothValid(left.validity, right.validity, rows)
  let isOwn = false
  for (let i = 0; i < rows; i++) {
    const isNull = validity !== undefined && validity[i] === 0
    if (!isNull && Number.isFinite(values[i])) continue
    if (!isOwn) {
      validity = validity === undefined ? new Uint8Array(rows).fill(1) : validity.slice(0, rows)
      isOwn = true
    }
    if (validity !== undefined) validity[i] = 0
    values[i] = 0
  }
  return { type: 'double', values, validity }
}

function toTimestamps(of: Vector, rows: number, micros: 1000 | 1_000_000): Computed {
  const limit = (MAX_INSTANT_MS * 1000) / micros
  const values = new BigInt64Array(rows)
  const to = words(values)
  const from = of.type === 'int' ? undefined : words(expectType(of, 'long', 'timestamptz').values)
  const ints = of.type === 'int' ? of.values : undefined
  const outOfRange: number[] = []
  for (let i = 0; i < rows; i++) {
    if (of.validity !== undefined && of.validity[i] === 0) continue
    const instant = from === undefined ? (ints?.[i] ?? 0) : getLong(from, i)
    if (instant >= -limit && instant <= limit) setProduct(to, i, instant, micros)
    else outOfRange.push(i)
  }
  if (outOfRange.length === 0) return { vector: { type: 'timestamptz', values, validity: of.validity }, outOfRange: undefined }
  const validity = of.validity === undefined ? new Uint8Array(rows).fill(1) : of.validity.slice(0, rows)
  for (const row of outOfRange) validity[row] = 0
  return { vector: { type: 'timestamptz', values, validity }, outOfRange: Int32Array.from(outOfRange) }
}

/** The same value in every row. */
function constant({ type, value }: Extract<Expression, { op: 'literal' }>, rows: number): Vector {
  const wrong = () => corrupt(`Cannot evaluate a literal: expected ${type}, found ${typeof value}.`)
  switch (type) {
    case 'boolean':
      return { type, values: new Uint8Array(rows).fill(value === true ? 1 : 0), validity: undefined }
    case 'int':
      return { type, values: new Int32Array(rows).fill(Number(value)), validity: undefined }
    case 'double':
      return { type, values: new Float64Array(rows).fill(Number(value)), validity: undefined }
    case 'long':
    case 'timestamptz': {
      const long = parseLong(String(value))
      if (long === undefined) throw wrong()
      return { type, values: new BigInt64Array(rows).fill(long), validity: undefined } satisfies LongVector
    }
    case 'string': {
      const bytes = new TextEncoder().encode(String(value))
      const offsets = Int32Array.of(0, bytes.length)
      return { type, codes: new Int32Array(rows), entries: 1, offsets, bytes, validity: undefined } satisfies BytesVector
    }
    case 'binary':
      throw wrong()
  }
}
