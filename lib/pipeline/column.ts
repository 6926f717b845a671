import type { Column, InputType } from './schema-types.ts'

/** A column that every record must hold, unless it is made `optional()`. */
export interface InputColumn<T extends InputType> extends Column<T, true> {
  /** The same column, which may be absent or null. */
  optional(): Column<T, false>
}

function input<T extends InputType>(type: T): InputColumn<T> {
  return Object.freeze({ type, required: true, optional: () => Object.freeze({ type, required: false as const }) })
}

/**
 * Columns of a source's schema: what its JSON values are decoded into.
 *
 * @example
 * schema: { symbol: column.string(), ts: column.long(), price: column.double(), side: column.string().optional() }
 */
export const column = Object.freeze({
  /** `true` or `false`. */
  boolean: () => input('boolean'),
  /** An integer literal of 32 bits. */
  int: () => input('int'),
  /** An integer literal of 64 bits, kept exactly. */
  long: () => input('long'),
  /** Any number, correctly rounded. */
  double: () => input('double'),
  /** Text; the empty string is a value. */
  string: () => input('string'),
})
