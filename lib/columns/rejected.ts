import { EXPECT, EXPECTATIONS, failureAt, failureOf, utf8Length } from './json-scan.ts'
import type { ColumnType } from './schema.ts'

/** Why a record cannot be decoded or accepted: the `reason` column of a dead-letter table. */
export type RejectReason =
  | 'tombstone'
  | 'empty_value'
  | 'invalid_utf8'
  | 'invalid_json'
  | 'not_an_object'
  | 'missing_field'
  /** Also null where a value is required, and a number in quotes. */
  | 'wrong_type'
  /** A number too great for its column's type, an instant outside the timestamp's range. */
  | 'out_of_range'
  | 'event_time_out_of_range'
  | 'event_time_ahead'

export interface Rejected {
  /** Of the record, in its `Records`. */
  readonly index: number
  readonly reason: RejectReason
  /** A sentence; positions count bytes of the value from 0. */
  readonly detail: string
}

/** Words for what a column takes. */
export const WANTED: Readonly<Record<ColumnType, string>> = {
  boolean: 'true or false',
  int: 'an integer',
  long: 'an integer',
  double: 'a number',
  string: 'a string',
  binary: 'bytes',
  timestamptz: 'an instant',
}

/** Words for the limits of a column's type. */
export const RANGES: Readonly<Record<ColumnType, string>> = {
  ...WANTED,
  int: 'an integer between -2147483648 and 2147483647',
  long: 'an integer between -9223372036854775808 and 9223372036854775807',
  double: 'a number that a 64-bit float can hold',
}

/** Words for the JSON value that starts with byte `c`. */
export function describeValue(c: number): string {
  switch (c) {
    case 0x22:
      return 'a string'
    case 0x7b:
      return 'an object'
    case 0x5b:
      return 'an array'
    case 0x74:
      return 'true'
    case 0x66:
      return 'false'
    case 0x6e:
      return 'null'
    default:
      return 'a number'
  }
}

/** The defect that the scanner found in the bytes `start .. end - 1`. */
export function describeFailure(
  view: DataView,
  start: number,
  end: number,
  failure: number,
): { readonly reason: RejectReason; readonly detail: string } {
  const at = failureAt(failure)
  const c = at < end ? view.getUint8(at) : -1
  const badUtf8 = failureOf(failure) === EXPECT.UTF8 || (c >= 0x80 && utf8Length(view, at, end) === 0)
  const expected = badUtf8 ? EXPECTATIONS[EXPECT.UTF8] : EXPECTATIONS[failureOf(failure)]
  const found = c < 0 ? 'the end of the value' : c > 0x20 && c < 0x7f ? String.fromCharCode(c) : `byte 0x${hex(c)}`
  return {
    reason: badUtf8 ? 'invalid_utf8' : 'invalid_json',
    detail: `Cannot decode JSON: expected ${expected}, found ${found} at byte ${at - start}.`,
  }
}

const hex = (c: number) => c.toString(16).padStart(2, '0')
