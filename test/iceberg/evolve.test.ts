import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Field, Fields } from '../../lib/columns/schema.ts'
import { addColumns, decideFit, writtenFields } from '../../lib/iceberg/evolve.ts'
import { currentSchema, parseMetadata, serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { fieldsOf } from '../../lib/iceberg/schema.ts'
import type { SchemaField, TableMetadata } from '../../lib/iceberg/types.ts'
import type { TablePlan } from '../../lib/pipeline/plan.ts'
import { NOW, tradeFields, tradesMetadata, tradesPlan } from './fixtures.ts'

const table = tradesMetadata()
const optional = (name: string, type: Field['type'] = 'string', id = 6): Field => ({ id, name, type, required: false })
const renumbered = (fields: Fields): Fields => fields.map((field, i) => ({ ...field, id: i + 1 }))
const fitting = (change: Partial<TablePlan>, metadata = table) => decideFit(metadata, { ...tradesPlan, ...change })
const refusal = (change: Partial<TablePlan>, metadata = table) => {
  const fits = fitting(change, metadata)
  return fits.verdict === 'Refuse' ? fits.why : fits
}
const added = (columns: Fields, base = table, nowMs = NOW + 1000) =>
  addColumns({ base, baseLocation: 'memory://w/00000-a.metadata.json', columns, nowMs })
/** The table as another engine has changed it. */
const changedTo = (fields: readonly SchemaField[]): TableMetadata => ({
  ...table,
  schemas: [{ ...currentSchema(table), fields }],
})

describe('a table that exists', () => {
  it('fits the plan it was made from, and any order of its columns', () => {
    expect(fitting({})).toEqual({ verdict: 'Same' })
    expect(fitting({ fields: renumbered(tradeFields.toReversed()) })).toEqual({ verdict: 'Same' })
  })

  it('gets optional columns that are new, wherever they stand in the plan', () => {
    const [symbol, ...others] = tradeFields
    const fields = renumbered([symbol, optional('venue'), ...others, optional('fee', 'double')])
    expect(fitting({ fields })).toEqual({ verdict: 'Add', columns: [fields[1], fields[6]] })
  })

  it('refuses a required column that it lacks: rows that are there would have no value', () => {
    expect(refusal({ fields: [...tradeFields, { ...optional('side'), required: true }] })).toBe(
      'expected column side string, found none: the rows that are there would have no value for it',
    )
  })

  it('keeps an optional column that the plan lacks, and refuses to write rows without a required one', () => {
    const without = (name: string) => ({ fields: renumbered(tradeFields.filter((field) => field.name !== name)) })
    expect(fitting(without('note'))).toEqual({ verdict: 'Same' })
    expect(refusal(without('price'))).toMatch(/^expected no column price double, found it, and required/)
  })

  it('refuses another type and another nullability, each column by name', () => {
    const changed = tradeFields.map((field): Field => {
      if (field.name === 'price') return { ...field, type: 'long' }
      return field.name === 'note' ? { ...field, required: true } : field
    })
    expect(refusal({ fields: changed })).toBe(
      'expected column price long, found price double; expected column note binary, found note binary?',
    )
  })

  it('refuses a column that differs from one of its own only in case', () => {
    const foreign = changedTo([...currentSchema(table).fields, { id: 6, name: 'Venue', type: 'string', required: false }])
    expect(refusal({ fields: [...tradeFields, optional('venue')] }, foreign)).toMatch(/^expected column venue, found Venue/)
  })

  it('refuses other partitions and another order, told by the names of columns', () => {
    expect(refusal({ partitionBy: [] })).toBe('expected partitions none, found day(event_time)')
    const swapped = tradesPlan.sortBy.toReversed()
    expect(refusal({ sortBy: swapped })).toBe(
      'expected sort order identity(event_time) desc nulls-last, identity(symbol) asc nulls-first, found identity(symbol) asc nulls-first, identity(event_time) desc nulls-last',
    )
    const bucketed = [{ column: 'symbol', transform: { kind: 'bucket', buckets: 4 } }] as const
    expect(refusal({ partitionBy: bucketed })).toMatch(/^expected partitions bucket\[4\]\(symbol\), found day\(event_time\)$/)
  })

  it('refuses to be partitioned by a column that it gets', () => {
    const fields = [...tradeFields, optional('venue')]
    const partitionBy = [...tradesPlan.partitionBy, { column: 'venue', transform: { kind: 'identity' } }] as const
    expect(refusal({ fields, partitionBy })).toMatch(/^expected partitions day\(event_time\), identity\(venue\), found day/)
  })
})

describe('columns added', () => {
  it('stand behind the others, in a schema of their own, under ids that no column ever had', () => {
    // Another engine added a column as id 6 and dropped it again.
    const next = added([optional('venue'), optional('fee', 'double')], { ...table, 'last-column-id': 6 })
    expect(next.schemas).toHaveLength(2)
    expect(next.schemas[0]).toEqual(table.schemas[0])
    expect(next['current-schema-id']).toBe(1)
    expect(next['last-column-id']).toBe(8)
    expect(fieldsOf(currentSchema(next))).toEqual([
      ...tradeFields,
      { id: 7, name: 'venue', type: 'string', required: false },
      { id: 8, name: 'fee', type: 'double', required: false },
    ])
  })

  it('leave snapshots, partitions, order and properties alone, and note where the metadata was before', () => {
    const next = added([optional('venue')])
    const {
      schemas,
      'current-schema-id': _,
      'last-column-id': __,
      'last-updated-ms': updated,
      'metadata-log': log,
      ...rest
    } = next
    expect(table).toMatchObject(rest)
    expect(updated).toBe(NOW + 1000)
    expect(log).toEqual([{ 'timestamp-ms': NOW, 'metadata-file': 'memory://w/00000-a.metadata.json' }])
    expect(added([optional('venue')], table, NOW - 1000)['last-updated-ms']).toBe(NOW)
  })

  it('keep what other engines wrote into the schema, and survive the way through a file', () => {
    const fields = currentSchema(table).fields.map((field) => (field.name === 'price' ? { ...field, doc: 'in euros' } : field))
    const base = { ...table, schemas: [{ ...currentSchema(table), 'identifier-field-ids': [5], fields }] }
    const next = added([optional('venue')], base)
    expect(currentSchema(next)).toMatchObject({ 'identifier-field-ids': [5], fields: expect.arrayContaining(fields) })
    expect(parseMetadata(serializeMetadata(next))).toEqual(next)
  })

  it('make a table fit, whatever it lacks of the optional columns of a plan and whatever order it was made in', () => {
    const columns = fc.uniqueArray(
      fc.record({
        name: fc.stringMatching(/^[a-z][a-z0-9_]{0,3}$/),
        type: fc.constantFrom<Field['type']>('boolean', 'int', 'long', 'double', 'string', 'binary', 'timestamptz'),
      }),
      { selector: ({ name }) => name, maxLength: 8 },
    )
    fc.assert(
      fc.property(columns, fc.integer({ min: 0, max: 8 }), (extra, had) => {
        const all = renumbered([...extra.map(({ name, type }) => optional(`x_${name}`, type)), ...tradeFields])
        const before = { ...tradesPlan, fields: renumbered([...tradeFields, ...all.slice(0, Math.min(had, extra.length))]) }
        const base = tradesMetadata(before)
        const verdict = decideFit(base, { ...tradesPlan, fields: all })
        const after = verdict.verdict === 'Add' ? added(verdict.columns, base) : base
        expect(decideFit(after, { ...tradesPlan, fields: all })).toEqual({ verdict: 'Same' })
        // The definition of before goes on beside it, and may come back.
        expect(decideFit(after, before)).toEqual({ verdict: 'Same' })
        const ids = currentSchema(after).fields.map(({ id }) => id)
        expect(new Set(ids).size).toBe(ids.length)
        expect(Math.max(...ids)).toBe(after['last-column-id'])
      }),
    )
  })
})

describe('files are written with', () => {
  it('all columns that the table has, under its ids', () => {
    expect(writtenFields(added([optional('venue', 'string', 1)]))).toEqual([...tradeFields, optional('venue')])
  })

  it('none of a type that is not known, if it may be null; a required one is refused', () => {
    const decimal = (required: boolean) =>
      changedTo([...currentSchema(table).fields, { id: 6, name: 'fee', type: 'decimal(9, 2)', required }])
    expect(writtenFields(decimal(false))).toEqual(tradeFields)
    expect(() => writtenFields(decimal(true))).toThrow(expect.objectContaining({ kind: 'Refused' }))
  })
})
