/**
 * Avro schemas as JSON (Avro 1.12 specification), with the attributes that Iceberg adds to tie Avro fields to field ids
 * (Iceberg spec, appendix A "Avro"). Libraries drop those attributes, which is why the codec here is our own.
 */
export type AvroSchema = AvroPrimitive | AvroUnion | AvroRecord | AvroArray | AvroMap | AvroFixed | AvroEnum | AvroAnnotated

export type AvroPrimitive = 'null' | 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' | 'string'

export type AvroUnion = readonly AvroSchema[]

/** A primitive with a logical type, which the codec leaves to its user: `{ type: 'int', logicalType: 'date' }`. */
export interface AvroAnnotated {
  readonly type: AvroPrimitive
  readonly logicalType?: string
  readonly 'adjust-to-utc'?: boolean
}

export interface AvroRecord {
  readonly type: 'record'
  readonly name: string
  readonly fields: readonly AvroField[]
}

export interface AvroField {
  readonly name: string
  readonly type: AvroSchema
  readonly default?: unknown
  readonly doc?: string
  readonly 'field-id'?: number
  /** The Iceberg name, where Avro's rules for names made us write another. */
  readonly 'iceberg-field-name'?: string
}

export interface AvroArray {
  readonly type: 'array'
  readonly items: AvroSchema
  readonly 'element-id'?: number
  /** `map`: Iceberg's maps whose keys are not strings are arrays of key and value records. */
  readonly logicalType?: string
}

export interface AvroMap {
  readonly type: 'map'
  readonly values: AvroSchema
  readonly 'key-id'?: number
  readonly 'value-id'?: number
}

export interface AvroFixed {
  readonly type: 'fixed'
  readonly name: string
  readonly size: number
  readonly logicalType?: string
}

export interface AvroEnum {
  readonly type: 'enum'
  readonly name: string
  readonly symbols: readonly string[]
}

/** What Avro values are here: long is bigint, bytes and fixed are Uint8Array, enum is its symbol, record and map are objects. */
export type AvroValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly AvroValue[]
  | { readonly [name: string]: AvroValue }

export type AvroRow = Readonly<Record<string, AvroValue>>

/** `["null", type]` with a null default: how Iceberg writes an optional field. */
export function optional(type: AvroSchema): AvroUnion {
  return ['null', type]
}

/** `name` itself if Avro takes it, else with every other character as `_x<hex>`, as Iceberg's Java library writes it. */
export function avroName(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name
  let result = ''
  for (let i = 0; i < name.length; i++) {
    const character = name[i]
    if (/[A-Za-z_]/.test(character) || (i > 0 && /[0-9]/.test(character))) result += character
    else if (/[0-9]/.test(character)) result += `_${character}`
    else result += `_x${character.charCodeAt(0).toString(16).toUpperCase()}`
  }
  return result
}
