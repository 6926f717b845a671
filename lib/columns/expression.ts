import type { ColumnType } from './schema.ts'

/**
 * Filters, computed columns and literals are data, not closures: they can be compared, fingerprinted and run column by
 * column. Null semantics are SQL's (three-valued logic; a filter keeps a row only when the predicate is true).
 */
export type Expression =
  | { readonly op: 'column'; readonly name: string }
  | { readonly op: 'literal'; readonly type: ColumnType; readonly value: boolean | number | string }
  /** long milliseconds or seconds since the epoch to timestamptz */
  | { readonly op: 'timestampMillis' | 'timestampSeconds'; readonly of: Expression }
  | { readonly op: 'add' | 'subtract' | 'multiply' | 'divide'; readonly left: Expression; readonly right: Expression }
  | { readonly op: 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge'; readonly left: Expression; readonly right: Expression }
  | { readonly op: 'and' | 'or'; readonly of: readonly Expression[] }
  | { readonly op: 'not' | 'isNull'; readonly of: Expression }
