import { refused } from '../errors.ts'
import { type AvroField, type AvroRecord, type AvroSchema, avroName, optional } from './avro-schema.ts'
import { partitionType } from './schema.ts'
import type { IcebergSchema, PartitionSpec } from './types.ts'

/**
 * The Avro schemas of manifests and manifest lists, format version 2 (spec, "Manifests" and "Manifest Lists"). Field names
 * and ids are the spec's; record names are those that Iceberg's Java library writes.
 */

const field = (id: number, name: string, type: AvroSchema): AvroField => ({ name, type, 'field-id': id })
const nullable = (id: number, name: string, type: AvroSchema): AvroField => ({
  name,
  type: optional(type),
  default: null,
  'field-id': id,
})

/** A map with int keys: an array of key and value records (spec, appendix A, Avro). */
const intMap = (keyId: number, valueId: number, value: AvroSchema): AvroSchema => ({
  type: 'array',
  logicalType: 'map',
  items: { type: 'record', name: `k${keyId}_v${valueId}`, fields: [field(keyId, 'key', 'int'), field(valueId, 'value', value)] },
})

const list = (elementId: number, items: AvroSchema): AvroSchema => ({ type: 'array', items, 'element-id': elementId })

/** `manifest_entry` for one partition spec: the tuple's types follow from it. */
export function manifestEntrySchema(spec: PartitionSpec, schema: IcebergSchema): AvroRecord {
  const dataFile: AvroRecord = {
    type: 'record',
    name: 'r2',
    fields: [
      field(134, 'content', 'int'),
      field(100, 'file_path', 'string'),
      field(101, 'file_format', 'string'),
      field(102, 'partition', { type: 'record', name: 'r102', fields: partitionFields(spec, schema) }),
      field(103, 'record_count', 'long'),
      field(104, 'file_size_in_bytes', 'long'),
      nullable(108, 'column_sizes', intMap(117, 118, 'long')),
      nullable(109, 'value_counts', intMap(119, 120, 'long')),
      nullable(110, 'null_value_counts', intMap(121, 122, 'long')),
      nullable(137, 'nan_value_counts', intMap(138, 139, 'long')),
      nullable(125, 'lower_bounds', intMap(126, 127, 'bytes')),
      nullable(128, 'upper_bounds', intMap(129, 130, 'bytes')),
      nullable(131, 'key_metadata', 'bytes'),
      nullable(132, 'split_offsets', list(133, 'long')),
      nullable(135, 'equality_ids', list(136, 'int')),
      nullable(140, 'sort_order_id', 'int'),
      nullable(143, 'referenced_data_file', 'string'),
    ],
  }
  return {
    type: 'record',
    name: 'manifest_entry',
    fields: [
      field(0, 'status', 'int'),
      nullable(1, 'snapshot_id', 'long'),
      nullable(3, 'sequence_number', 'long'),
      nullable(4, 'file_sequence_number', 'long'),
      field(2, 'data_file', dataFile),
    ],
  }
}

function partitionFields(spec: PartitionSpec, schema: IcebergSchema): readonly AvroField[] {
  return spec.fields.map(({ name, transform, 'source-id': sourceId, 'field-id': id }) => {
    const written = nullable(id, avroName(name), avroTypeOf(partitionType(schema, sourceId, transform), name))
    return written.name === name ? written : { ...written, 'iceberg-field-name': name }
  })
}

/** Spec, appendix A, Avro data type mappings, for the types that partition values can have here. */
function avroTypeOf(type: string, name: string): AvroSchema {
  switch (type) {
    case 'boolean':
    case 'int':
    case 'long':
    case 'double':
    case 'string':
      return type
    case 'binary':
      return 'bytes'
    case 'date':
      return { type: 'int', logicalType: 'date' }
    case 'timestamptz':
      return { type: 'long', logicalType: 'timestamp-micros', 'adjust-to-utc': true }
    default:
      throw refused(
        `Cannot write partition field ${name}: expected a type that frazil writes, found ${type}. Use a version that knows it.`,
      )
  }
}

/** `manifest_file`: a row of a manifest list. */
export const MANIFEST_FILE_SCHEMA: AvroRecord = {
  type: 'record',
  name: 'manifest_file',
  fields: [
    field(500, 'manifest_path', 'string'),
    field(501, 'manifest_length', 'long'),
    field(502, 'partition_spec_id', 'int'),
    field(517, 'content', 'int'),
    field(515, 'sequence_number', 'long'),
    field(516, 'min_sequence_number', 'long'),
    field(503, 'added_snapshot_id', 'long'),
    field(504, 'added_files_count', 'int'),
    field(505, 'existing_files_count', 'int'),
    field(506, 'deleted_files_count', 'int'),
    field(512, 'added_rows_count', 'long'),
    field(513, 'existing_rows_count', 'long'),
    field(514, 'deleted_rows_count', 'long'),
    nullable(
      507,
      'partitions',
      list(508, {
        type: 'record',
        name: 'r508',
        fields: [
          field(509, 'contains_null', 'boolean'),
          nullable(518, 'contains_nan', 'boolean'),
          nullable(510, 'lower_bound', 'bytes'),
          nullable(511, 'upper_bound', 'bytes'),
        ],
      }),
    ),
    nullable(519, 'key_metadata', 'bytes'),
  ],
}

/**
 * Names by field id for reading files of any writer: some have called fields otherwise (`added_data_files_count`), ids never
 * change. Partition fields come out under `partitionKey(id)`, whatever Avro made of their names.
 */
export const MANIFEST_LIST_NAMES: ReadonlyMap<number, string> = namesById(MANIFEST_FILE_SCHEMA)

export function manifestNames(spec: PartitionSpec): ReadonlyMap<number, string> {
  const names = new Map(ENTRY_NAMES)
  for (const { 'field-id': id } of spec.fields) names.set(id, partitionKey(id))
  return names
}

export function partitionKey(fieldId: number): string {
  return `partition ${fieldId}`
}

const ENTRY_NAMES = namesById(manifestEntrySchema({ 'spec-id': 0, fields: [] }, { type: 'struct', 'schema-id': 0, fields: [] }))

function namesById(record: AvroRecord): Map<number, string> {
  const names = new Map<number, string>()
  const visit = (schema: AvroSchema): void => {
    if (Array.isArray(schema)) for (const branch of schema as readonly AvroSchema[]) visit(branch)
    else if (typeof schema === 'object' && 'fields' in schema)
      for (const { name, type, 'field-id': id } of schema.fields) {
        if (id !== undefined) names.set(id, name)
        visit(type)
      }
    else if (typeof schema === 'object' && 'items' in schema) visit(schema.items)
  }
  visit(record)
  return names
}
