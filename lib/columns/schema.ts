/** Types of columns in batches, slices and tables. More of Iceberg's types join here when an issue asks for them. */
export type ColumnType = 'boolean' | 'int' | 'long' | 'double' | 'string' | 'binary' | 'timestamptz'

/**
 * One column. `id` is the Iceberg field id: unique in its schema, never reused. A column that is not `required` may
 * hold null. `timestamptz` holds microseconds since the epoch, UTC.
 */
export interface Field {
  readonly id: number
  readonly name: string
  readonly type: ColumnType
  readonly required: boolean
}

export type Fields = readonly Field[]

/** A column that is decoded from JSON. */
export interface InputField extends Field {
  /** The JSON key it is read from; the column's name when absent. */
  readonly jsonKey?: string
}

export type InputFields = readonly InputField[]

/** Fields numbered 1, 2, 3 … in the order given. */
export function numbered<F extends Omit<Field, 'id'>>(fields: readonly F[]): readonly (F & Pick<Field, 'id'>)[] {
  return fields.map((field, i) => ({ id: i + 1, ...field }))
}

/** Position of a column by name, or -1. */
export function indexOfField(fields: Fields, name: string): number {
  return fields.findIndex((field) => field.name === name)
}
