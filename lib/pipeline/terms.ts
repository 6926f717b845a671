import { type Expression, type ExpressionType, typeOf } from '../columns/expression.ts'
import { type ColumnType, type Fields, indexOfField } from '../columns/schema.ts'
import { invalidPipeline, messageOf } from '../errors.ts'
import { deepFreeze, shown } from './check.ts'
import { callNoting, noteTerm, refuseLost } from './lost-terms.ts'
import type { Column, JavaScriptTypes, NumberType, Schema } from './schema-types.ts'

/**
 * An expression together with what the type checker knows of its value. `Accepted` differs from `C` for a conversion to a
 * time: in a source's `computed` a record whose time is out of range becomes a dead letter, so the rows left all have one;
 * elsewhere it is null.
 */
export interface Typed<C extends Column = Column, Accepted extends Column = Column> {
  readonly expression: Expression
  readonly column: C
  readonly accepted: Accepted
  /** The columns it was built over. */
  readonly fields: Fields
}

/** A literal that a value of type `T` can be compared or computed with. Never null: that is what `isNull()` is for. */
type Literal<T extends ColumnType> = T extends NumberType
  ? number | bigint
  : T extends 'string' | 'boolean'
    ? JavaScriptTypes[T]
    : never

/** What may stand on the other side of an operator. */
export type Operand<T extends ColumnType> = Literal<T> | Typed<Column<T extends NumberType ? NumberType : T>>

/** Required when both sides are: with a null comes a null. */
type Both<R extends boolean, O> = O extends Typed<Column<ColumnType, infer Other>> ? (R extends true ? Other : false) : R

interface AnyTerm<T extends ColumnType, R extends boolean, A extends boolean = R> extends Typed<Column<T, R>, Column<T, A>> {
  /** True for null, false for a value; never null itself. `isNull().not()` is the opposite. */
  isNull(): BooleanTerm<true>
}

/** Null when either side is null, as in SQL: a filter keeps only rows for which its predicate is true. */
interface EqualTerm<T extends ColumnType, R extends boolean, A extends boolean = R> extends AnyTerm<T, R, A> {
  eq<O extends Operand<T>>(other: O): BooleanTerm<Both<R, O>>
  ne<O extends Operand<T>>(other: O): BooleanTerm<Both<R, O>>
}

/** Numbers compare by value whatever their types, strings by their UTF-8 bytes. */
interface OrderedTerm<T extends ColumnType, R extends boolean, A extends boolean = R> extends EqualTerm<T, R, A> {
  lt<O extends Operand<T>>(other: O): BooleanTerm<Both<R, O>>
  le<O extends Operand<T>>(other: O): BooleanTerm<Both<R, O>>
  gt<O extends Operand<T>>(other: O): BooleanTerm<Both<R, O>>
  ge<O extends Operand<T>>(other: O): BooleanTerm<Both<R, O>>
}

/** Arithmetic is that of doubles; a division by zero and an overflow are null. */
interface NumberTerm<T extends ColumnType, R extends boolean> extends OrderedTerm<T, R> {
  add(other: Operand<T>): NumberTerm<'double', false>
  subtract(other: Operand<T>): NumberTerm<'double', false>
  multiply(other: Operand<T>): NumberTerm<'double', false>
  divide(other: Operand<T>): NumberTerm<'double', false>
}

interface BooleanTerm<R extends boolean> extends EqualTerm<'boolean', R> {
  and<O extends Operand<'boolean'>>(other: O): BooleanTerm<Both<R, O>>
  or<O extends Operand<'boolean'>>(other: O): BooleanTerm<Both<R, O>>
  not(): BooleanTerm<R>
}

/** A time converted from a number: required among accepted records when the number is, nullable elsewhere. */
export type TimestampTerm<A extends boolean> = OrderedTerm<'timestamptz', false, A>

/** A value that can be compared and computed with, by the methods its type has. */
export type Term<T extends ColumnType, R extends boolean> = T extends NumberType
  ? NumberTerm<T, R>
  : T extends 'boolean'
    ? BooleanTerm<R>
    : T extends 'string' | 'timestamptz'
      ? OrderedTerm<T, R>
      : AnyTerm<T, R>

/** The columns of a row, as `filter`, `compute` and `computed` hand them to their callbacks. */
export type Columns<S extends Schema> = { readonly [K in keyof S]: Term<S[K]['type'], S[K]['required']> }

/**
 * Milliseconds since the epoch as a time.
 * @example computed: { event_time: (c) => timestampMillis(c.ts) }
 */
export function timestampMillis<O extends WholeNumber>(of: O): TimestampTerm<Both<true, O>> {
  return timestamp('timestampMillis', of) as unknown as TimestampTerm<Both<true, O>>
}

/**
 * Seconds since the epoch as a time.
 * @example computed: { event_time: (c) => timestampSeconds(c.ts) }
 */
export function timestampSeconds<O extends WholeNumber>(of: O): TimestampTerm<Both<true, O>> {
  return timestamp('timestampSeconds', of) as unknown as TimestampTerm<Both<true, O>>
}

type WholeNumber = number | bigint | Typed<Column<'int' | 'long'>>

function timestamp(op: 'timestampMillis' | 'timestampSeconds', value: unknown) {
  const what = `use ${op}`
  const of = operandOf(what, value, 'long')
  return term(what, { op, of: of.expression }, of.fields)
}

/** The columns of `row` for a callback. A name that is not among them throws `InvalidPipeline` instead of being undefined. */
export function columnsOf<S extends Schema>(what: string, row: Fields): Columns<S> {
  let listed = false
  return new Proxy(Object.create(null) as Columns<S>, {
    get(_, name) {
      if (typeof name === 'symbol') return undefined
      if (indexOfField(row, name) < 0)
        throw invalidPipeline(
          `Cannot ${what}: there is no column ${name}. Expected one of ${row.map((field) => field.name).join(', ')}.`,
        )
      // Of a list of all columns, which `{ ...c }` reads, nobody need use each.
      return term(what, { op: 'column', name }, row, !listed)
    },
    has: (_, name) => typeof name === 'string' && indexOfField(row, name) >= 0,
    ownKeys() {
      listed = true
      return row.map((field) => field.name)
    },
    getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
  })
}

/**
 * Runs a callback of the definition, once, and checks what it gave against the row it is for. Throws `InvalidPipeline`
 * when that is no expression, does not type-check or leaves out some of what the callback made.
 */
export function expressionFrom(
  what: string,
  callback: unknown,
  row: Fields,
): ExpressionType & { readonly expression: Expression } {
  if (typeof callback !== 'function')
    throw invalidPipeline(`Cannot ${what}: expected a callback such as (c) => c.price.gt(0), found ${shown(callback)}.`)
  const { value, made } = callNoting(() => callback(columnsOf(what, row)))
  if (!isTyped(value))
    throw invalidPipeline(
      `Cannot ${what}: expected an expression over columns such as c.price.gt(0), which is data, found ${shown(value)}.${
        OPERATORS_GIVE.includes(typeof value) ? ' Use methods such as .eq(), .gt(), .not() and .add() instead of operators.' : ''
      }`,
    )
  refuseLost(what, callback, made, value.expression)
  // Over the row it is for, whatever row it was built from.
  return { expression: value.expression, ...typeOver(what, value.expression, row) }
}

/** What JavaScript's operators make of terms. */
const OPERATORS_GIVE = ['boolean', 'number', 'string', 'bigint']

function typeOver(what: string, expression: Expression, fields: Fields): ExpressionType {
  try {
    return typeOf(expression, fields)
  } catch (error) {
    const message = messageOf(error)
    throw invalidPipeline(message.startsWith(`Cannot ${what}:`) ? message : `Cannot ${what}. ${message}`, { cause: error })
  }
}

function isTyped(value: unknown): value is Typed {
  return typeof value === 'object' && value !== null && 'expression' in value && 'column' in value && 'fields' in value
}

type Binary = 'add' | 'subtract' | 'multiply' | 'divide' | 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge'

/** At run time every term has every method; `typeOf` refuses what makes no sense, in plain JavaScript too. */
function term(what: string, expression: Expression, fields: Fields, wanted = true) {
  const { type, required, requiredInRange } = typeOver(what, expression, fields)
  noteTerm(expression, wanted)
  const binary = (op: Binary) => (other: unknown) => {
    const right = operandOf(`${what}: ${op}`, other, type)
    return term(what, { op, left: expression, right: right.expression }, fields.length > 0 ? fields : right.fields)
  }
  const junction = (op: 'and' | 'or') => (other: unknown) => {
    const right = operandOf(`${what}: ${op}`, other, 'boolean')
    return term(what, { op, of: [expression, right.expression] }, fields.length > 0 ? fields : right.fields)
  }
  const unary = (op: 'not' | 'isNull') => () => term(what, { op, of: expression }, fields)
  return Object.freeze({
    expression: deepFreeze(expression),
    column: Object.freeze({ type, required }),
    accepted: Object.freeze({ type, required: requiredInRange }),
    fields,
    eq: binary('eq'),
    ne: binary('ne'),
    lt: binary('lt'),
    le: binary('le'),
    gt: binary('gt'),
    ge: binary('ge'),
    add: binary('add'),
    subtract: binary('subtract'),
    multiply: binary('multiply'),
    divide: binary('divide'),
    and: junction('and'),
    or: junction('or'),
    not: unary('not'),
    isNull: unary('isNull'),
  }) as Record<string, unknown> & Typed
}

/** A term as it is, or a JavaScript value as a literal of type `like`. */
function operandOf(what: string, value: unknown, like: ColumnType): { readonly expression: Expression; readonly fields: Fields } {
  if (isTyped(value)) return value
  if (value === null || value === undefined)
    throw invalidPipeline(
      `Cannot ${what}: nothing equals null, expected a value or a column, found ${shown(value)}. Use isNull().`,
    )
  return { expression: literal(what, value, like), fields: [] }
}

/** Of the type it stands beside where it fits that, else the number type it does fit: numbers compare by value anyway. */
function literal(what: string, value: unknown, type: ColumnType): Expression {
  const isNumber = type === 'int' || type === 'long' || type === 'double'
  if (typeof value === 'string' && type === 'string' && value.isWellFormed()) return { op: 'literal', type, value }
  if (typeof value === 'boolean' && type === 'boolean') return { op: 'literal', type, value }
  if (typeof value === 'bigint' && isNumber && BigInt.asIntN(64, value) === value)
    return { op: 'literal', type: 'long', value: String(value) }
  if (typeof value === 'number' && isNumber && Number.isFinite(value)) {
    if (type === 'int' && (value | 0) === value) return { op: 'literal', type, value: value | 0 }
    if (type !== 'double' && Number.isSafeInteger(value)) return { op: 'literal', type: 'long', value: String(value) }
    return { op: 'literal', type: 'double', value }
  }
  throw invalidPipeline(`Cannot ${what}: expected a value that fits ${type}, found ${shown(value)}.`)
}
