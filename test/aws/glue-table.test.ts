import type { Table, TableInput } from '@aws-sdk/client-glue'
import { describe, expect, it } from 'vitest'
import { hiveType, isIceberg, updatedTableInput } from '../../lib/aws/glue-table.ts'

describe('an update of a table in Glue', () => {
  it('gives back all that an update may hold, and nothing that Glue makes itself', () => {
    const mine: TableInput = {
      Name: 't',
      Description: 'words',
      Owner: 'them',
      LastAccessTime: new Date(1),
      LastAnalyzedTime: new Date(2),
      Retention: 7,
      StorageDescriptor: { Location: 's3://theirs', AdditionalLocations: ['s3://more'], Parameters: { a: 'b' } },
      PartitionKeys: [{ Name: 'p' }],
      ViewOriginalText: 'text',
      ViewExpandedText: 'more text',
      TableType: 'EXTERNAL_TABLE',
      TargetTable: { Name: 'linked' },
      Parameters: { table_type: 'ICEBERG', metadata_location: 'new', previous_metadata_location: 'old', theirs: 'stays' },
    }
    const found: Table = {
      ...(mine as Table),
      Parameters: { table_type: 'iceberg', metadata_location: 'old', previous_metadata_location: 'older', theirs: 'stays' },
      DatabaseName: 'd',
      CreateTime: new Date(0),
      UpdateTime: new Date(3),
      CreatedBy: 'somebody',
      CatalogId: '1',
      VersionId: '4',
      IsRegisteredWithLakeFormation: true,
    }
    expect(updatedTableInput(found, 'new')).toEqual(mine)
  })

  it('has the columns of a description, those of before that it lacks marked as not current, and people’s comments', () => {
    const column = (Name: string, id: string, current: string, more = {}) => ({
      Name,
      Type: 'string',
      Parameters: { 'iceberg.field.id': id, 'iceberg.field.optional': 'true', 'iceberg.field.current': current },
      ...more,
    })
    const found: Table = {
      Name: 't',
      StorageDescriptor: {
        Location: 's3://w/t',
        Columns: [column('gone', '1', 'true'), column('kept', '2', 'true', { Comment: 'words' }), { Name: 'bare', Type: 'int' }],
        Parameters: { a: 'b' },
      },
    }
    const described = (id: number, name: string) => ({ id, name, type: 'string', required: false })
    const columns = [described(2, 'kept'), described(3, 'new')]
    expect(updatedTableInput(found, 'new', { location: 's3://w/t', columns }).StorageDescriptor).toEqual({
      Location: 's3://w/t',
      Columns: [
        column('kept', '2', 'true', { Comment: 'words' }),
        column('new', '3', 'true'),
        column('gone', '1', 'false'),
        { Name: 'bare', Type: 'int', Parameters: { 'iceberg.field.current': 'false' } },
      ],
      Parameters: { a: 'b' },
    })
  })

  it('leaves out empty texts, which Glue gives but does not take', () => {
    const input = updatedTableInput({ Name: 't', Owner: '', Description: '', ViewOriginalText: '', TableType: '' }, 'new')
    expect(Object.entries(input).filter(([, value]) => value === '')).toEqual([])
    expect(input.TableType).toBe('EXTERNAL_TABLE')
    expect(input.Parameters).toEqual({ table_type: 'ICEBERG', metadata_location: 'new' })
  })

  it('knows Iceberg tables in capitals and not, and takes nothing else for one', () => {
    expect(isIceberg({ Name: 't', Parameters: { table_type: 'iceberg' } })).toBe(true)
    expect(isIceberg({ Name: 't', Parameters: { table_type: 'DELTA' } })).toBe(false)
    expect(isIceberg({ Name: 't' })).toBe(false)
  })
})

describe('Hive types', () => {
  it('of all primitives of the Iceberg spec', () => {
    const types = {
      boolean: 'boolean',
      int: 'int',
      long: 'bigint',
      float: 'float',
      double: 'double',
      'decimal(38, 10)': 'decimal(38,10)',
      date: 'date',
      time: 'string',
      timestamp: 'timestamp',
      timestamptz: 'timestamp',
      timestamp_ns: 'timestamp',
      timestamptz_ns: 'timestamp',
      string: 'string',
      uuid: 'string',
      'fixed[16]': 'binary',
      binary: 'binary',
    }
    for (const [iceberg, hive] of Object.entries(types)) expect(hiveType(iceberg), iceberg).toBe(hive)
  })

  it('of nested types, given as a value or as JSON', () => {
    const type = {
      type: 'struct',
      fields: [
        { id: 1, name: 'a', type: 'long', required: true },
        { id: 2, name: 'b', type: { type: 'list', element: { type: 'map', key: 'string', value: 'timestamptz' } } },
      ],
    }
    expect(hiveType(type)).toBe('struct<a:bigint,b:array<map<string,timestamp>>>')
    expect(hiveType(JSON.stringify(type))).toBe(hiveType(type))
  })
})
