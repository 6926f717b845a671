import { invalidPipeline } from '../errors.ts'
import type { ColumnType, Fields } from './schema.ts'

/**
 * Filters, computed columns and literals are data, not closures: they can be compared, fingerprinted and run column by
 * column. Null semantics are SQL's (three-valued logic; a filter keeps a row only when the predicate is true).
 */
export type Expression =
  | { readonly op: 'column'; readonly name: string }
  | { readonly op: 'literal'; readonly type: ColumnType; readonly value: boolean | number | string }
  /** Milliseconds or seconds since the epoch, an int (24 days of milliseconds, 68 years of seconds) or a long, to timestamptz. */
  | { readonly op: 'timestampMillis' | 'timestampSeconds'; readonly of: Expression }
  | { readonly op: 'add' | 'subtract' | 'multiply' | 'divide'; readonly left: Expression; readonly right: Expression }
  | { readonly op: 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge'; readonly left: Expression; readonly right: Expression }
  | { readonly op: 'and' | 'or'; readonly of: readonly Expression[] }
  | { readonly op: 'not' | 'isNull'; readonly of: Expression }

/** What an expression yields over rows of given fields. */
export interface ExpressionType {
  readonly type: ColumnType
  /** True when no row can be null. */
  readonly required: boolean
  /**
   * True when no row can be null once the rows are removed that `evaluateComputed` reports as out of range. It differs
   * from `required` only where the expression itself is a timestamp conversion of a required value.
   */
  readonly requiredInRange: boolean
}

/**
 * The type of `expression` over `fields`. Arithmetic is nullable always: a division by zero and an overflow are null.
 * Throws `InvalidPipeline` for an unknown column, a literal that is not of its type and operands that do not fit.
 */
export function typeOf(expression: Expression, fields: Fields): ExpressionType {
  const nullable = (type: ColumnType): ExpressionType => ({ type, required: false, requiredInRange: false })
  const boolean = (operands: readonly ExpressionType[]): ExpressionType => {
    const required = operands.every((operand) => operand.required)
    return { type: 'boolean', required, requiredInRange: required }
  }
  switch (expression.op) {
    case 'column': {
      const field = fields.find((candidate) => candidate.name === expression.name)
      if (field === undefined)
        throw cannot(expression, `a column among ${fields.map((f) => f.name).join(', ') || 'none'}`, `${expression.name}`)
      return { type: field.type, required: field.required, requiredInRange: field.required }
    }
    case 'literal':
      checkLiteral(expression)
      return { type: expression.type, required: true, requiredInRange: true }
    case 'timestampMillis':
    case 'timestampSeconds': {
      const of = typeOf(expression.of, fields)
      if (of.type !== 'long' && of.type !== 'int') throw cannot(expression, 'an int or a long', of.type)
      return { type: 'timestamptz', required: false, requiredInRange: of.required }
    }
    case 'add':
    case 'subtract':
    case 'multiply':
    case 'divide':
      for (const operand of [expression.left, expression.right]) {
        const { type } = typeOf(operand, fields)
        if (!isNumeric(type)) throw cannot(expression, 'numbers', type)
      }
      return nullable('double')
    case 'eq':
    case 'ne':
    case 'lt':
    case 'le':
    case 'gt':
    case 'ge': {
      const left = typeOf(expression.left, fields)
      const right = typeOf(expression.right, fields)
      const comparable = left.type === right.type ? left.type !== 'binary' : isNumeric(left.type) && isNumeric(right.type)
      if (!comparable) throw cannot(expression, 'two numbers, strings, booleans or timestamps', `${left.type} and ${right.type}`)
      return boolean([left, right])
    }
    case 'and':
    case 'or': {
      if (expression.of.length === 0) throw cannot(expression, 'at least one condition', 'none')
      const operands = expression.of.map((operand) => typeOf(operand, fields))
      for (const { type } of operands) if (type !== 'boolean') throw cannot(expression, 'booleans', type)
      return boolean(operands)
    }
    case 'not': {
      const of = typeOf(expression.of, fields)
      if (of.type !== 'boolean') throw cannot(expression, 'a boolean', of.type)
      return boolean([of])
    }
    case 'isNull':
      typeOf(expression.of, fields)
      return { type: 'boolean', required: true, requiredInRange: true }
  }
}

const isNumeric = (type: ColumnType) => type === 'int' || type === 'long' || type === 'double'

const cannot = (expression: Expression, expected: string, found: string) =>
  invalidPipeline(`Cannot use ${expression.op}: expected ${expected}, found ${found}.`)

/** The 64-bit integer that decimal text means, undefined when it means none. */
export function parseLong(text: string): bigint | undefined {
  if (!/^-?\d{1,19}$/.test(text)) return undefined
  const value = BigInt(text)
  return BigInt.asIntN(64, value) === value ? value : undefined
}

/** A literal's value fits its type: long and timestamptz (microseconds) are decimal text or a safe integer. */
function checkLiteral(literal: Extract<Expression, { op: 'literal' }>): void {
  const { type, value } = literal
  const fits = () => {
    switch (type) {
      case 'boolean':
        return typeof value === 'boolean'
      case 'int':
        return typeof value === 'number' && (value | 0) === value
      case 'long':
      case 'timestamptz':
        return typeof value === 'string' ? parseLong(value) !== undefined : Number.isSafeInteger(value)
      case 'double':
        return typeof value === 'number' && Number.isFinite(value)
      case 'string':
        return typeof value === 'string' && value.isWellFormed()
      case 'binary':
        return false
    }
  }
  if (!fits()) throw cannot(literal, `a value of type ${type}`, `${typeof value} ${JSON.stringify(value)}`)
}
