import { describe, expect, it } from 'vitest'
import { numbered } from '../../lib/columns/schema.ts'
import {
  fieldsOf,
  lastPartitionId,
  parseTransform,
  partitionByOf,
  schemaOf,
  sortOrderOf,
  specOf,
  transformText,
} from '../../lib/iceberg/schema.ts'
import type { PartitionField } from '../../lib/pipeline/plan.ts'

const all = numbered([
  { name: 'flag', type: 'boolean', required: true },
  { name: 'small', type: 'int', required: false },
  { name: 'large', type: 'long', required: true },
  { name: 'real', type: 'double', required: true },
  { name: 'text', type: 'string', required: true },
  { name: 'raw', type: 'binary', required: false },
  { name: 'time', type: 'timestamptz', required: true },
])
const by = (column: string, kind: 'identity' | 'year' | 'month' | 'day' | 'hour' = 'identity'): PartitionField => ({
  column,
  transform: { kind },
})
const bucketed = (column: string, buckets: number): PartitionField => ({ column, transform: { kind: 'bucket', buckets } })

describe('schemas, partition specs and sort orders', () => {
  it('columns of every type survive the way to a schema and back', () => {
    expect(fieldsOf(schemaOf(all))).toEqual(all)
  })

  it('a column type that is not read yet is refused by its name', () => {
    const schema = (type: string | { type: string }) => ({
      type: 'struct' as const,
      'schema-id': 0,
      fields: [{ id: 1, name: 'amount', required: true, type }],
    })
    expect(() => fieldsOf(schema('decimal(10,2)'))).toThrow(
      expect.objectContaining({ kind: 'Refused', message: expect.stringMatching(/amount.*decimal\(10,2\)/) }),
    )
    expect(() => fieldsOf(schema({ type: 'list' }))).toThrow(
      expect.objectContaining({ kind: 'Refused', message: expect.stringMatching(/amount.*list/) }),
    )
  })

  it('partition fields are named as Iceberg names them and numbered from 1000', () => {
    const spec = specOf(all, [by('time', 'day'), bucketed('text', 16), by('flag')])
    expect(spec.fields).toEqual([
      { 'source-id': 7, 'field-id': 1000, name: 'time_day', transform: 'day' },
      { 'source-id': 5, 'field-id': 1001, name: 'text_bucket', transform: 'bucket[16]' },
      { 'source-id': 1, 'field-id': 1002, name: 'flag', transform: 'identity' },
    ])
    expect(lastPartitionId(spec)).toBe(1002)
    expect(partitionByOf(spec, schemaOf(all))).toEqual([by('time', 'day'), bucketed('text', 16), by('flag')])
  })

  it('a table without partitions has the empty spec and last partition id 999', () => {
    const spec = specOf(all, [])
    expect([spec, lastPartitionId(spec)]).toEqual([{ 'spec-id': 0, fields: [] }, 999])
  })

  it('transforms are read as they are written; others are refused', () => {
    for (const transform of [by('x').transform, by('x', 'hour').transform, bucketed('x', 7).transform])
      expect(parseTransform(transformText(transform))).toEqual(transform)
    for (const text of ['truncate[2]', 'void', 'bucket[x]', ''])
      expect(() => parseTransform(text)).toThrow(expect.objectContaining({ kind: 'Refused' }))
  })

  it('partitions that cannot work are an invalid pipeline', () => {
    const wrong: [PartitionField[], RegExp][] = [
      [[by('nothing')], /nothing.*one of flag/],
      [[by('large', 'day')], /day\(large\).*timestamptz, found long/],
      [[bucketed('real', 4)], /bucket\(real\).*found double/],
      [[bucketed('text', 0)], /positive number of buckets, found 0/],
      [[bucketed('text', 4), bucketed('text', 8)], /text_bucket/],
    ]
    for (const [partitionBy, message] of wrong)
      expect(() => specOf(all, partitionBy)).toThrow(
        expect.objectContaining({ kind: 'InvalidPipeline', message: expect.stringMatching(message) }),
      )
    const clash = numbered([
      { name: 'time', type: 'timestamptz', required: true },
      { name: 'time_day', type: 'int', required: true },
    ])
    expect(() => specOf(clash, [by('time', 'day')])).toThrow(
      expect.objectContaining({ kind: 'InvalidPipeline', message: expect.stringMatching(/time_day/) }),
    )
  })

  it('no order is order 0, an order is 1 with nulls where Iceberg puts them', () => {
    expect(sortOrderOf(all, [])).toEqual({ 'order-id': 0, fields: [] })
    expect(sortOrderOf(all, [{ column: 'text', direction: 'desc' }])).toEqual({
      'order-id': 1,
      fields: [{ transform: 'identity', 'source-id': 5, direction: 'desc', 'null-order': 'nulls-last' }],
    })
    expect(() => sortOrderOf(all, [{ column: 'x', direction: 'asc' }])).toThrow(
      expect.objectContaining({ kind: 'InvalidPipeline' }),
    )
  })
})
