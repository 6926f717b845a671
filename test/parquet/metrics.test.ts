import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Value } from '../../lib/columns/batch.ts'
import type { ColumnType } from '../../lib/columns/schema.ts'
import { cases, cut, TYPES } from './arbitraries.ts'
import { bytesOf, fieldsOf, metadataOf, utf8, write, writeRows } from './support.ts'

describe('metrics', () => {
  test('equal a slow recomputation from the rows', () => {
    fc.assert(
      fc.property(cases, fc.integer({ min: 1, max: 130 }), ({ fields, rows, options }, batchRows) => {
        const file = write(fields, cut(fields, rows, batchRows), options)
        const { row_groups } = metadataOf(file)
        for (const [i, one] of fields.entries()) {
          const values = rows.map((row) => row[one.name] ?? null)
          const found = values.filter((value) => value !== null && !Number.isNaN(value))
          const sizes = row_groups.map((group) => Number(group.columns[i]!.meta_data!.total_compressed_size))
          expect(file.columns[i]).toEqual({
            fieldId: one.id,
            sizeBytes: sizes.reduce((a, b) => a + b, 0),
            values: values.length,
            nulls: values.filter((value) => value === null).length,
            nans: one.type === 'double' ? values.filter((value) => Number.isNaN(value)).length : undefined,
            lower: bound(one.type, found, 'lower'),
            upper: bound(one.type, found, 'upper'),
          })
        }
      }),
      { numRuns: 300 },
    )
  })

  test('a zero is the bound -0 from below and +0 from above', () => {
    const fields = fieldsOf(['double'])
    const bytes = (value: number) => new Uint8Array(Float64Array.of(value).buffer)
    for (const zero of [0, -0])
      expect(writeRows(fields, [{ double_0: zero }, { double_0: Number.NaN }]).columns[0]).toMatchObject({
        nans: 1,
        lower: bytes(-0),
        upper: bytes(0),
      })
  })

  test('column sizes and the magic, footer and its length add up to the file', () => {
    const fields = fieldsOf(TYPES)
    const file = writeRows(fields, [{ string_4: 'a' }, { double_3: 1 }])
    const columns = file.columns.reduce((bytes, column) => bytes + column.sizeBytes, 0)
    expect(4 + columns + metadataOf(file).metadata_length + 8).toBe(file.sizeBytes)
    expect(Buffer.from(bytesOf(file).slice(-4)).toString()).toBe('PAR1')
  })
})

/** Bounds by sorting all values, as slow and plain as can be. */
function bound(type: ColumnType, values: readonly Value[], side: 'lower' | 'upper'): Uint8Array | undefined {
  const serialized = values.map((value) => serialize(type, value))
  const order = (a: number, b: number) => {
    const [x, y] = [values[a]!, values[b]!]
    if (typeof x === 'string' || x instanceof Uint8Array) return Buffer.compare(serialized[a]!, serialized[b]!)
    return x < y ? -1 : x > y ? 1 : 0
  }
  const sorted = values.map((_, i) => i).sort(order)
  const at = side === 'lower' ? sorted[0] : sorted.at(-1)
  if (at === undefined) return undefined
  const value = values[at]!
  if (value === 0) return serialize('double', side === 'lower' ? -0 : 0).slice(0, serialized[at]!.length)
  if (typeof value === 'string') {
    const points = Array.from(value)
    if (points.length <= 16) return serialized[at]
    const prefix = points.slice(0, 16)
    if (side === 'lower') return utf8.encode(prefix.join(''))
    while (prefix.at(-1) === '\u{10ffff}') prefix.pop()
    const last = prefix.pop()?.codePointAt(0)
    return last === undefined
      ? undefined
      : utf8.encode(prefix.join('') + String.fromCodePoint(last === 0xd7ff ? 0xe000 : last + 1))
  }
  if (value instanceof Uint8Array && value.length > 16) {
    const prefix = [...value.subarray(0, 16)]
    if (side === 'lower') return Uint8Array.from(prefix)
    while (prefix.at(-1) === 255) prefix.pop()
    const last = prefix.pop()
    return last === undefined ? undefined : Uint8Array.from([...prefix, last + 1])
  }
  return serialized[at]
}

function serialize(type: ColumnType, value: Value): Uint8Array {
  const view = new DataView(new ArrayBuffer(8))
  if (typeof value === 'boolean') return Uint8Array.of(value ? 1 : 0)
  if (typeof value === 'string') return utf8.encode(value)
  if (typeof value === 'bigint') view.setBigInt64(0, value, true)
  else if (typeof value === 'number' && type === 'double') view.setFloat64(0, value, true)
  else if (typeof value === 'number') {
    view.setInt32(0, value, true)
    return new Uint8Array(view.buffer, 0, 4)
  } else return value as Uint8Array
  return new Uint8Array(view.buffer)
}
