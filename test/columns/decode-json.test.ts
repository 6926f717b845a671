import { describe, expect, test } from 'vitest'
import { type Decoded, jsonDecoder } from '../../lib/columns/decode-json.ts'
import { recordsFromValues } from '../../lib/columns/event.ts'
import { rowsOf } from '../../lib/columns/operations.ts'
import { type ColumnType, type Fields, numbered } from '../../lib/columns/schema.ts'

const trades = numbered([
  { name: 'symbol', type: 'string', required: true },
  { name: 'ts', type: 'long', required: true },
  { name: 'price', type: 'double', required: true },
  { name: 'side', type: 'string', required: false },
])

function decode(fields: Fields, values: readonly (string | Uint8Array | null)[], decoder = jsonDecoder(fields)): Decoded {
  const bytes = values.map((value) => (typeof value === 'string' ? new TextEncoder().encode(value) : value))
  return decoder.decode(recordsFromValues({ topic: 't', partition: 0, values: bytes }), 0, values.length)
}

/** The value of one column `x`, or the reason and detail of the rejection. */
function one(type: ColumnType, text: string | Uint8Array, required = true) {
  const { batch, rejected } = decode(numbered([{ name: 'x', type, required }]), [text])
  return batch.rows === 1 ? rowsOf(batch)[0].x : rejected[0]
}
const x = (json: string) => `{"x":${json}}`
const rejection = (reason: string, detail?: string) =>
  expect.objectContaining(detail === undefined ? { reason } : { reason, detail })

describe('objects', () => {
  test('become rows, with the index of each row and of each rejected record', () => {
    const decoded = decode(trades, [
      '{"symbol":"BTCUSDT","ts":1700000000000,"price":42150.5,"side":"BUY"}',
      'nonsense',
      '{"symbol":"ETHUSDT","ts":1700000000001,"price":2250}',
      null,
      '{"price":1e-3,"ts":-5,"side":null,"symbol":""}',
    ])
    expect(rowsOf(decoded.batch)).toEqual([
      { symbol: 'BTCUSDT', ts: 1700000000000n, price: 42150.5, side: 'BUY' },
      { symbol: 'ETHUSDT', ts: 1700000000001n, price: 2250, side: null },
      { symbol: '', ts: -5n, price: 0.001, side: null },
    ])
    expect([...decoded.indexes.subarray(0, decoded.batch.rows)]).toEqual([0, 2, 4])
    expect(decoded.rejected.map(({ index, reason }) => [index, reason])).toEqual([
      [1, 'invalid_json'],
      [3, 'tombstone'],
    ])
  })

  test('decode only the records asked for', () => {
    const values = [1, 2, 3, 4].map((n) => new TextEncoder().encode(x(String(n))))
    const decoder = jsonDecoder(numbered([{ name: 'x', type: 'int', required: true }]))
    const decoded = decoder.decode(recordsFromValues({ topic: 't', partition: 0, values }), 1, 3)
    expect(rowsOf(decoded.batch)).toEqual([{ x: 2 }, { x: 3 }])
    expect([...decoded.indexes.subarray(0, 2)]).toEqual([1, 2])
  })

  test('may have white space wherever JSON allows it', () => {
    const text = '\r\n\t { "symbol" : "A" ,\n"ts"\t:\r1 , "price": 2 }\n \t\r'
    expect(rowsOf(decode(trades, [text]).batch)).toEqual([{ symbol: 'A', ts: 1n, price: 2, side: null }])
  })

  test.each(['\v{}', '{}\u00a0', '{\f}', '\0{}', '{}\0'])('have no other white space: %j', (text) => {
    expect(decode([], [text]).rejected).toEqual([rejection('invalid_json')])
  })

  test('take the last of duplicate keys, whatever the earlier ones were', () => {
    expect(one('long', '{"x":"no","x":1.5,"x":99999999999999999999,"x":7}')).toBe(7n)
    expect(one('long', '{"x":7,"x":"no"}')).toEqual(rejection('wrong_type'))
    expect(one('long', '{"x":7,"x":null}', false)).toBeNull()
    expect(one('string', '{"x":"a","x":"b"}')).toBe('b')
  })

  test('may hold unknown keys of any kind, __proto__ and constructor among them', () => {
    const text =
      '{"__proto__":{"x":1},"constructor":[[],{},[{"a":[1,"}"]}]],"toString":null,"":0,"a\\"b\\u0041":"\\ud83d\\ude00","x":3,"hasOwnProperty":1}'
    expect(one('int', text)).toBe(3)
  })

  test('may write known keys with escapes', () => {
    expect(rowsOf(decode(trades, ['{"\\u0073ymbol":"A","t\\u0073":1,"price":1}']).batch)).toHaveLength(1)
  })

  test('may change the order, the set and the spelling of keys from record to record', () => {
    const fields = numbered(
      ['a', 'ab', 'abc', 'abcd', 'abcde', 'abcdefgh', ''].map((name) => ({ name, type: 'int', required: false })),
    )
    const names = fields.map((field) => field.name)
    const rows: Record<string, number>[] = []
    for (let i = 0; i < 200; i++) {
      const keys = names.filter((_, k) => (i * 7 + k * k) % 3 !== 0).sort(() => ((i * 31) % 5) - 2)
      rows.push(Object.fromEntries(keys.map((key, k) => [key, i * 10 + k])))
    }
    const decoded = decode(
      fields,
      rows.map((row) => JSON.stringify(row)),
    )
    expect(rowsOf(decoded.batch)).toEqual(rows.map((row) => Object.fromEntries(names.map((name) => [name, row[name] ?? null]))))
  })

  test('may have more members and longer keys than are predicted', () => {
    const names = Array.from({ length: 150 }, (_, k) => `${'k'.repeat(k)}-${k}`)
    const fields = numbered(names.map((name) => ({ name, type: 'int', required: true })))
    const row = Object.fromEntries(names.map((name, k) => [name, k]))
    const noise = Object.fromEntries(Array.from({ length: 400 }, (_, k) => [`n${k}`, k]))
    const texts = [JSON.stringify(row), JSON.stringify({ ...noise, ...row }), JSON.stringify({ ...row, ...noise })]
    expect(rowsOf(decode(fields, texts).batch)).toEqual([row, row, row])
  })

  test('are decoded by an empty schema too', () => {
    expect(decode([], ['{}', '{"a":1}', '[]']).batch.rows).toBe(2)
  })
})

describe('values that are no objects', () => {
  test.each([
    ['', 'empty_value', 'Cannot decode JSON: expected an object, found an empty value.'],
    ['   ', 'invalid_json', 'Cannot decode JSON: expected a value, found the end of the value at byte 3.'],
    ['[1,{"a":2}]', 'not_an_object', 'Cannot decode JSON: expected an object, found an array at byte 0.'],
    [' "text"', 'not_an_object', 'Cannot decode JSON: expected an object, found a string at byte 1.'],
    ['-12.5e3', 'not_an_object', 'Cannot decode JSON: expected an object, found a number at byte 0.'],
    ['null', 'not_an_object', 'Cannot decode JSON: expected an object, found null at byte 0.'],
    ['true', 'not_an_object', 'Cannot decode JSON: expected an object, found true at byte 0.'],
    ['\ufeff{}', 'invalid_json', 'Cannot decode JSON: expected a value, found byte 0xef at byte 0.'],
    ['{} {}', 'invalid_json', 'Cannot decode JSON: expected nothing but white space after the value, found { at byte 3.'],
    ['{}}', 'invalid_json', undefined],
    ['{', 'invalid_json', undefined],
    ['}', 'invalid_json', undefined],
    ['{"a"}', 'invalid_json', 'Cannot decode JSON: expected a colon after the key, found } at byte 4.'],
    ['{"a":}', 'invalid_json', 'Cannot decode JSON: expected a value, found } at byte 5.'],
    ['{"a":1,}', 'invalid_json', 'Cannot decode JSON: expected a key in quotes, found } at byte 7.'],
    ['{,"a":1}', 'invalid_json', undefined],
    ['{"a":1 "b":2}', 'invalid_json', 'Cannot decode JSON: expected a comma or the end of the object, found " at byte 7.'],
    ['{a:1}', 'invalid_json', undefined],
    ["{'a':1}", 'invalid_json', undefined],
    ['{"a":[1,]}', 'invalid_json', undefined],
    ['{"a":[1 2]}', 'invalid_json', 'Cannot decode JSON: expected a comma or the end of the array, found 2 at byte 8.'],
    ['{"a":[}', 'invalid_json', undefined],
    [
      '{"a":{"b":1}',
      'invalid_json',
      'Cannot decode JSON: expected a comma or the end of the object, found the end of the value at byte 12.',
    ],
    ['{"a":{"b":1]}', 'invalid_json', undefined],
    ['{"a":tru}', 'invalid_json', undefined],
    ['{"a":True}', 'invalid_json', undefined],
    ['{"a":nulll}', 'invalid_json', undefined],
    ['{"a":NaN}', 'invalid_json', undefined],
    ['{"a":Infinity}', 'invalid_json', undefined],
    ['{"a":undefined}', 'invalid_json', undefined],
    ['{"a":1}//comment', 'invalid_json', undefined],
    [
      '{"a":"unterminated}',
      'invalid_json',
      'Cannot decode JSON: expected the end of the string, found the end of the value at byte 19.',
    ],
    ['{"unterminated}', 'invalid_json', undefined],
    [
      '{"a":"line\nbreak"}',
      'invalid_json',
      'Cannot decode JSON: expected no control character in a string, found byte 0x0a at byte 10.',
    ],
    ['{"a":"\\x41"}', 'invalid_json', undefined],
    ['{"a":"\\u12g4"}', 'invalid_json', 'Cannot decode JSON: expected an escape that JSON knows, found \\ at byte 6.'],
    ['{"a":"\\u12"}', 'invalid_json', undefined],
    ['{"a":"\\', 'invalid_json', undefined],
  ])('are dead letters: %j', (text, reason, detail) => {
    expect(decode([], [text, '{}'])).toMatchObject({
      batch: { rows: 1 },
      rejected: [{ index: 0, reason, ...(detail && { detail }) }],
    })
  })
})

describe('grammar of numbers', () => {
  const bad = [
    '01',
    '-01',
    '1.',
    '.5',
    '-',
    '+1',
    '1e',
    '1e+',
    '1E-',
    '1.e3',
    '0x10',
    '1_000',
    '--1',
    '00',
    '-a',
    '1.2.3',
    '1e5.5',
    'Infinity',
  ]
  test.each(bad.flatMap((text) => (['double', 'long', 'int', 'string'] as const).map((type) => [text, type] as const)))(
    '%s is no number, in a column of type %s or elsewhere',
    (text, type) => {
      expect(one(type, x(text))).toEqual(rejection('invalid_json'))
      expect(one(type, `{"x":1,"y":[${text}]}`)).toEqual(rejection('invalid_json'))
      expect(one(type, `{"y":${text},"x":1}`)).toEqual(rejection('invalid_json'))
    },
  )
})

describe('longs', () => {
  test.each([
    ['0', 0n],
    ['-0', 0n],
    ['-1', -1n],
    ['1700000000000', 1700000000000n],
    ['9007199254740991', 9007199254740991n],
    ['9007199254740992', 9007199254740992n],
    ['9007199254740993', 9007199254740993n],
    ['-9007199254740993', -9007199254740993n],
    ['4294967295', 4294967295n],
    ['-4294967296', -4294967296n],
    ['9223372036854775807', 9223372036854775807n],
    ['-9223372036854775808', -9223372036854775808n],
  ])('%s is kept exactly', (text, value) => {
    expect(one('long', x(text))).toBe(value)
  })

  test.each(['9223372036854775808', '-9223372036854775809', '10000000000000000000', '9'.repeat(400)])(
    '%s is out of range',
    (text) => {
      expect(one('long', x(text))).toEqual(rejection('out_of_range'))
    },
  )

  test('out of range are named, shortened', () => {
    const between = 'an integer between -9223372036854775808 and 9223372036854775807'
    expect(one('long', x('9'.repeat(400)))).toEqual(
      rejection('out_of_range', `Cannot decode column x: expected ${between}, found ${'9'.repeat(40)}… at byte 5.`),
    )
  })

  test.each(['1.0', '1e3', '1E3', '0.0', '-0.0', '0e0', '1.5'])('%s has a fraction or an exponent', (text) => {
    const detail = 'Cannot decode column x: expected an integer, found a number with a fraction or an exponent at byte 5.'
    expect(one('long', x(text))).toEqual(rejection('wrong_type', detail))
    expect(one('int', x(text))).toEqual(rejection('wrong_type', detail))
  })
})

describe('ints', () => {
  test.each([
    ['2147483647', 2147483647],
    ['-2147483648', -2147483648],
    ['-0', 0],
  ])('%s fits', (text, value) => {
    expect(one('int', x(text))).toBe(value)
  })
  test.each(['2147483648', '-2147483649', '4294967296', '9'.repeat(400)])('%s is out of range', (text) => {
    expect(one('int', x(text))).toEqual(rejection('out_of_range'))
  })
})

describe('doubles', () => {
  test.each([
    '0',
    '1',
    '42150.5',
    '42150.50000000',
    '0.1',
    '0.30000000000000004',
    '1e22',
    '1e23',
    '123456789012345678',
    '9007199254740993',
    '9007199254740991e22',
    '5e-324',
    '2.2250738585072014e-308',
    '2.2250738585072011e-308',
    '1.7976931348623157e308',
    '1E+2',
    '1e-400',
    '0e999999999999',
    '0.0000000000000000000000000000000000001',
    '8.5e-22',
    '1e0000000000000000000000001',
    '12345678.12345678',
    '1234567812345678.1234567812345678',
    '179769313486231580793728971405301199625',
    '0.500000000000000166533453693773481063544750213623046875',
  ])('%s is correctly rounded, either sign', (text) => {
    expect(one('double', x(text))).toBe(Number(text))
    expect(one('double', x(`-${text}`))).toBe(-Number(text))
  })

  test('a 400-digit number is out of range, a 400-digit fraction is not', () => {
    expect(one('double', x('1'.repeat(400)))).toEqual(
      rejection(
        'out_of_range',
        `Cannot decode column x: expected a number that a 64-bit float can hold, found ${'1'.repeat(40)}… at byte 5.`,
      ),
    )
    expect(one('double', x(`0.${'1'.repeat(400)}`))).toBe(0.1111111111111111)
    expect(one('double', x(`1${'0'.repeat(400)}e-400`))).toBe(1)
  })

  test.each(['1e309', '-1e309', '1.7976931348623159e308', '1e99999999999999999999'])('%s overflows', (text) => {
    expect(one('double', x(text))).toEqual(rejection('out_of_range'))
  })

  test('-0 stays -0', () => {
    expect(one('double', x('-0'))).toBe(-0)
    expect(one('double', x('-0.000e5'))).toBe(-0)
  })
})

describe('types', () => {
  const samples = { string: '"1"', number: '1.5', true: 'true', false: 'false', object: '{"x":1}', array: '[1]' }
  const takes: Record<string, readonly string[]> = {
    string: ['string'],
    double: ['number'],
    long: [],
    int: [],
    boolean: ['true', 'false'],
  }
  for (const [type, fitting] of Object.entries(takes))
    for (const [name, text] of Object.entries(samples))
      if (!fitting.includes(name))
        test(`a column of type ${type} takes no ${name}, required or not`, () => {
          expect(one(type as ColumnType, x(text))).toEqual(rejection('wrong_type'))
          expect(one(type as ColumnType, x(text), false)).toEqual(rejection('wrong_type'))
        })

  test('a number in quotes is not a number, and the message says where it is', () => {
    const text = '{"symbol":"A","ts":1,"price":"42.5"}'
    expect(decode(trades, [text]).rejected).toEqual([
      { index: 0, reason: 'wrong_type', detail: 'Cannot decode column price: expected a number, found a string at byte 29.' },
    ])
  })

  test.each(['string', 'double', 'long', 'int', 'boolean'] as const)('an optional %s may be null or absent', (type) => {
    expect(one(type, x('null'), false)).toBeNull()
    expect(one(type, '{}', false)).toBeNull()
  })

  test.each(['string', 'double', 'long', 'int', 'boolean'] as const)('a required %s may be neither', (type) => {
    expect(one(type, x('null'))).toMatchObject({
      reason: 'wrong_type',
      detail: expect.stringMatching(/, found null at byte 5\.$/),
    })
    expect(one(type, '{}')).toMatchObject({ reason: 'missing_field', detail: expect.stringMatching(/, found no such key\.$/) })
  })

  test('booleans are true and false', () => {
    expect(one('boolean', x('true'))).toBe(true)
    expect(one('boolean', x(' false '))).toBe(false)
  })

  test('null slots hold the value of nothing, also after a rejected record wrote there', () => {
    const fields = numbered(
      (['string', 'double', 'long', 'int', 'boolean'] as const).map((type) => ({ name: type, type, required: false })),
    )
    const full = '{"string":"text","double":1.5,"long":9223372036854775807,"int":3,"boolean":true'
    const { batch } = decode(fields, [`${full},"double":"no"}`, '{}', `${full}}`])
    expect(rowsOf({ ...batch, vectors: batch.vectors.map((vector) => ({ ...vector, validity: undefined })) })).toEqual([
      { string: '', double: 0, long: 0n, int: 0, boolean: false },
      { string: 'text', double: 1.5, long: 9223372036854775807n, int: 3, boolean: true },
    ])
  })

  test('a null of a rejected record leaves no trace in the next row', () => {
    const fields = numbered([
      { name: 'a', type: 'int', required: false },
      { name: 'b', type: 'int', required: true },
    ])
    expect(rowsOf(decode(fields, ['{"a":null}', '{"a":1,"b":2}', '{"b":3}']).batch)).toEqual([
      { a: 1, b: 2 },
      { a: null, b: 3 },
    ])
  })

  test.each(['timestamptz', 'binary'] as const)('%s has no form in JSON: the decoder is refused', (type) => {
    expect(() => jsonDecoder(numbered([{ name: 'x', type, required: true }]))).toThrow(
      /^Cannot decode column x from JSON: expected boolean/,
    )
  })

  test('a column named twice is refused', () => {
    const twice = { name: 'x', type: 'int', required: true } as const
    expect(() => jsonDecoder(numbered([twice, twice]))).toThrow('found x twice')
  })
})

describe('strings', () => {
  test.each([
    '',
    'plain',
    'x'.repeat(3),
    'x'.repeat(4),
    'x'.repeat(5),
    'é',
    'aé',
    '日本語',
    '😀',
    'a😀b',
    '\u007f',
    '\u0080',
    '\u07ff',
    '\u0800',
    '\uffff',
    '\u{10000}',
    '\u{10ffff}',
  ])('%j comes through raw and escaped', (text) => {
    const escaped = Array.from({ length: text.length }, (_, i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`).join(
      '',
    )
    expect(one('string', x(`"${text}"`))).toBe(text)
    expect(one('string', x(`"${escaped}"`))).toBe(text)
    expect(one('string', x(`"${escaped.toUpperCase().replaceAll('\\U', '\\u')}"`))).toBe(text)
  })

  test('every escape of JSON is known', () => {
    expect(one('string', x('"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000"'))).toBe('"\\/\b\f\n\r\t\0')
  })

  test.each([
    '\\ud800',
    '\\udc00',
    '\\ud83d',
    '\\ud83dx',
    '\\ud83d\\n',
    '\\ud83d\\u0041',
    '\\ud83d\\ud83d',
    '\\ude00\\ud83d',
    '\\ud83d\\ude0',
  ])('half a surrogate pair is a dead letter anywhere: %s', (text) => {
    expect(one('string', x(`"${text}"`))).toEqual(rejection('invalid_json'))
    expect(one('string', `{"x":"a","y":["${text}"]}`)).toEqual(rejection('invalid_json'))
    expect(one('string', `{"${text}":1,"x":"a"}`)).toEqual(rejection('invalid_json'))
    expect(one('string', `{"y":{"${text}":1},"x":"a"}`)).toEqual(rejection('invalid_json'))
  })

  test.each([
    ['a lone continuation', [0x80]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['an overlong NUL of three bytes', [0xe0, 0x80, 0x80]],
    ['an overlong form of four bytes', [0xf0, 0x8f, 0xbf, 0xbf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['above U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
    ['a byte that UTF-8 never uses', [0xff]],
    ['0xf5', [0xf5, 0x80, 0x80, 0x80]],
    ['a truncated pair', [0xc3]],
    ['a truncated triple', [0xe2, 0x82]],
    ['a truncated quadruple', [0xf0, 0x9f, 0x98]],
  ])('invalid UTF-8 is a dead letter anywhere: %s', (_, bytes) => {
    const around = (before: string, after: string) => Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)])
    expect(one('string', around('{"x":"', '"}'))).toMatchObject({
      reason: 'invalid_utf8',
      detail: expect.stringMatching(/^Cannot decode JSON: expected valid UTF-8, found byte 0x[0-9a-f]{2} at byte 6\.$/),
    })
    for (const value of [
      around('{"x":"a","y":"', '"}'),
      around('{"', '":1,"x":"a"}'),
      around('{"y":[{"k', '":1}],"x":"a"}'),
      around('{"x":"a"', '}'),
      around('', '{"x":"a"}'),
      around('{"x":"a"}', ''),
    ])
      expect(one('string', value)).toEqual(rejection('invalid_utf8'))
  })

  test('without an end do not run into the next value', () => {
    const { batch, rejected } = decode(numbered([{ name: 'x', type: 'string', required: true }]), ['{"x":"open}', x('"a"')])
    expect(rejected).toEqual([
      {
        index: 0,
        reason: 'invalid_json',
        detail: 'Cannot decode JSON: expected the end of the string, found the end of the value at byte 11.',
      },
    ])
    expect(batch.vectors[0]).toMatchObject({ entries: 1 })
  })

  test('become a dictionary: equal texts have one code however they were written', () => {
    const { batch } = decode(numbered([{ name: 'x', type: 'string', required: true }]), [
      '{"x":"BUY"}',
      '{"x":"SELL"}',
      '{"x":"B\\u0055Y"}',
    ])
    expect(batch.vectors[0]).toMatchObject({ entries: 2, codes: Int32Array.of(0, 1, 0) })
  })
})

describe('size', () => {
  test('a value of 1 MB is taken', () => {
    const text = 'é"\\'.repeat(250_000)
    expect(one('string', JSON.stringify({ x: text }))).toBe(text)
    expect(one('int', JSON.stringify({ pad: 'p'.repeat(1_000_000), x: 1 }))).toBe(1)
  })

  test('nesting a million deep neither overflows the stack nor takes long', () => {
    const depth = 500_000
    expect(one('int', `{"y":${'['.repeat(depth)}${']'.repeat(depth)},"x":1}`)).toBe(1)
    expect(one('int', `{"y":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)},"x":1}`)).toBe(1)
    expect(one('int', `{"y":${'['.repeat(2 * depth)}`)).toEqual(rejection('invalid_json'))
    expect(one('int', `{"x":${'['.repeat(depth)}${']'.repeat(depth)}}`)).toEqual(rejection('wrong_type'))
  })

  test('memory of a returned batch is never written again', () => {
    const decoder = jsonDecoder(trades)
    const text = (n: number) => `{"symbol":"S\\u0041${n}","ts":${n},"price":${n}.5,"side":"x${n}"}`
    const first = decode(
      trades,
      Array.from({ length: 50 }, (_, n) => text(n)),
      decoder,
    ).batch
    const before = structuredClone(first)
    decode(
      trades,
      Array.from({ length: 500 }, (_, n) => text(1000 + n)),
      decoder,
    )
    expect(first).toEqual(before)
  })
})
