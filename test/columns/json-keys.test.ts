import { describe, expect, test } from 'vitest'
import { jsonDecoder } from '../../lib/columns/decode-json.ts'
import { recordsFromValues } from '../../lib/columns/event.ts'
import { rowsOf } from '../../lib/columns/operations.ts'
import { type InputFields, numbered } from '../../lib/columns/schema.ts'

const fields: InputFields = numbered([
  { name: 'user_id', type: 'long', required: true, jsonKey: 'userId' },
  { name: 'note', type: 'string', required: false, jsonKey: 'note "é"' },
  { name: 'plain', type: 'int', required: false },
])

function decode(texts: readonly string[], of: InputFields = fields) {
  const values = texts.map((text) => new TextEncoder().encode(text))
  return jsonDecoder(of).decode(recordsFromValues({ topic: 't', partition: 0, values }), 0, values.length)
}

describe('a column with a JSON key of its own', () => {
  test('is read from that key, in every order and spelling of it, and has its own name', () => {
    const { batch, rejected } = decode([
      '{"userId":1,"note \\"é\\"":"a","plain":7}',
      '{"plain":8,"user\\u0049d":2}',
      '{"note \\u0022\\u00e9\\"":"b","userId":3}',
      '{"userId":4,"note \\"é\\"":null,"userId":5}',
    ])
    expect(rejected).toEqual([])
    expect(rowsOf(batch)).toEqual([
      { user_id: 1n, note: 'a', plain: 7 },
      { user_id: 2n, note: null, plain: 8 },
      { user_id: 3n, note: 'b', plain: null },
      { user_id: 5n, note: null, plain: null },
    ])
  })

  test('is not read from its name', () => {
    const { batch, rejected } = decode(['{"user_id":1}', '{"user_id":"any","userId":2,"note":5}'])
    expect(rowsOf(batch)).toEqual([{ user_id: 2n, note: null, plain: null }])
    expect(rejected).toEqual([
      {
        index: 0,
        reason: 'missing_field',
        detail: 'Cannot decode column user_id (key "userId"): expected an integer, found no such key.',
      },
    ])
  })

  test('may swap names with another, or have the empty key', () => {
    const swapped = numbered([
      { name: 'a', type: 'int', required: true, jsonKey: 'b' },
      { name: 'b', type: 'int', required: true, jsonKey: 'a' },
      { name: 'c', type: 'int', required: true, jsonKey: '' },
    ] as const)
    expect(rowsOf(decode(['{"a":1,"b":2,"":3}', '{"":6,"b":5,"a":4}'], swapped).batch)).toEqual([
      { a: 2, b: 1, c: 3 },
      { a: 5, b: 4, c: 6 },
    ])
  })

  test('leaves no trace in the columns of the batch', () => {
    expect(decode(['{"userId":1}']).batch.fields).toEqual([
      { id: 1, name: 'user_id', type: 'long', required: true },
      { id: 2, name: 'note', type: 'string', required: false },
      { id: 3, name: 'plain', type: 'int', required: false },
    ])
  })
})

test('a JSON key goes to one column', () => {
  const twice = numbered([
    { name: 'a', type: 'int', required: true },
    { name: 'b', type: 'int', required: true, jsonKey: 'a' },
  ] as const)
  expect(() => jsonDecoder(twice)).toThrow(/expected each key once, found "a" read into both a and b/)
})
