import { invalidPipeline } from '../errors.ts'
import { shown } from './check.ts'
import type { Column, InputType } from './schema-types.ts'

/** A column that every record must hold, unless it is made `optional()`. */
export interface InputColumn<T extends InputType> extends Column<T, true> {
  /** The same column, which may be absent or null. */
  optional(): OptionalColumn<T>
  /**
   * The same column, read from another JSON key than its name: any text. A key goes to one column.
   * @example schema: { user_id: column.string().from('userId') }
   */
  from(jsonKey: string): RenamedColumn<T>
}

/** A column that may be absent or null. */
export interface OptionalColumn<T extends InputType> extends Column<T, false> {
  /** The same column, read from another JSON key than its name. */
  from(jsonKey: string): Column<T, false>
}

/** A column that is read from another JSON key than its name. */
export interface RenamedColumn<T extends InputType> extends Column<T, true> {
  /** The same column, which may be absent or null. */
  optional(): Column<T, false>
}

function input<T extends InputType>(type: T): InputColumn<T> {
  const made = <R extends boolean>(required: R, jsonKey: string | undefined) =>
    Object.freeze({
      type,
      required,
      jsonKey,
      optional: () => made(false as const, jsonKey),
      from: (key: string) => made(required, checkedKey(key)),
    })
  return made(true as const, undefined)
}

function checkedKey(key: unknown): string {
  if (typeof key !== 'string' || !key.isWellFormed())
    throw invalidPipeline(`Cannot read a column from a JSON key: expected a text such as 'userId', found ${shown(key)}.`)
  return key
}

/**
 * Columns of a source's schema: what its JSON values are decoded into.
 *
 * @example
 * schema: { symbol: column.string(), ts: column.long(), side: column.string().optional(), user_id: column.long().from('userId') }
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
