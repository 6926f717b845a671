import fc from 'fast-check'
import { expect, test } from 'vitest'
import { jsonDecoder } from '../../lib/columns/decode-json.ts'
import { recordsFromValues } from '../../lib/columns/event.ts'
import { rowsOf } from '../../lib/columns/operations.ts'
import { type Fields, numbered } from '../../lib/columns/schema.ts'
import { referenceDecode, type Verdict } from './reference.ts'

const fields = numbered([
  { name: 'symbol', type: 'string', required: true },
  { name: 'ts', type: 'long', required: true },
  { name: 'price', type: 'double', required: true },
  { name: 'n', type: 'int', required: false },
  { name: 'is_maker', type: 'boolean', required: false },
  { name: 'sidé', type: 'string', required: false },
])

/** Our verdicts on values that lie end to end in one buffer, so that whoever reads past an end meets the next value. */
function verdicts(schema: Fields, values: readonly Uint8Array[], decoder = jsonDecoder(schema)): Verdict[] {
  const { batch, indexes, rejected } = decoder.decode(recordsFromValues({ topic: 't', partition: 0, values }), 0, values.length)
  const result: Verdict[] = Array(values.length)
  for (const [i, row] of rowsOf(batch).entries()) result[indexes[i]] = { row }
  for (const { index, reason, detail } of rejected) {
    expect(detail).toMatch(/^Cannot decode .*: expected .*, found .*\.$/s)
    expect(result[index]).toBeUndefined()
    result[index] = { reason: reason === 'invalid_json' || reason === 'invalid_utf8' ? 'invalid' : reason } as Verdict
  }
  return result
}

function expectAgreement(values: readonly Uint8Array[], decoder = jsonDecoder(fields)): void {
  const ours = verdicts(fields, values, decoder)
  for (const [i, value] of values.entries())
    expect({ value: Buffer.from(value).toString('latin1'), ...ours[i] }).toEqual({
      value: Buffer.from(value).toString('latin1'),
      ...referenceDecode(fields, value),
    })
}

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, 'utf8'))

/** JSON text with white space, escapes and odd but valid spellings. */
const space = fc.constantFrom('', '', '', ' ', '\n', '\t \r')
const number = fc.oneof(
  fc.integer().map(String),
  fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }).map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc
    .tuple(
      fc.constantFrom('', '-'),
      fc.nat(),
      fc.stringMatching(/^[0-9]{0,25}$/),
      fc.constantFrom('', 'e', 'E', 'e-', 'E+'),
      fc.nat(400),
    )
    .map(([sign, whole, fraction, e, exponent]) => `${sign}${whole}${fraction && `.${fraction}`}${e && e + exponent}`),
  fc.constantFrom(
    '-0',
    '0',
    '-0.0',
    '9223372036854775807',
    '-9223372036854775808',
    '9223372036854775808',
    '2147483648',
    '1e309',
    '0e5',
  ),
)
const string = fc.oneof(
  fc.string({ unit: 'grapheme' }).map((text) => JSON.stringify(text)),
  fc
    .string({ unit: 'binary', maxLength: 6 })
    .map((text) =>
      [...text].length === 0
        ? '""'
        : `"${Array.from({ length: text.length }, (_, i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`,
    ),
  fc.constantFrom('"BUY"', '"SELL"', '"B\\u0055Y"', '"\\/"', '"\\ud800"', '"\\ud83d\\ude00"'),
)
const { value: anyValue } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', maxDepth: 4 },
    string,
    number,
    fc.constantFrom('null', 'true', 'false', '{}', '[]', '[ ]'),
    fc.tuple(space, fc.array(tie('value'), { maxLength: 3 })).map(([w, items]) => `[${w}${items.join(`${w},`)}${w}]`),
    fc
      .tuple(space, fc.array(fc.tuple(string, tie('value')), { maxLength: 3 }))
      .map(([w, members]) => `{${w}${members.map(([key, value]) => `${key}${w}:${value}`).join(`,${w}`)}${w}}`),
  ),
}))
const key = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...fields.map((field) => JSON.stringify(field.name))) },
  { weight: 1, arbitrary: fc.constantFrom('"\\u0073ymbol"', '"t\\u0073"', '"__proto__"', '"constructor"', '""', '"symbol "') },
  { weight: 1, arbitrary: string },
)
const goodMembers = fc
  .record({
    symbol: string,
    ts: fc.maxSafeInteger().map(String),
    price: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
    n: fc.constantFrom('1', 'null', '-2147483648'),
    is_maker: fc.constantFrom('true', 'false', 'null'),
    sidé: string,
  })
  .map((members) => Object.entries(members).map(([name, value]) => [JSON.stringify(name), value] as [string, string]))
const record = fc
  .tuple(
    space,
    goodMembers,
    fc.array(fc.tuple(key, anyValue), { maxLength: 3 }),
    fc.array(fc.nat(5), { maxLength: 3 }),
    fc.boolean(),
  )
  .map(([w, good, extra, dropped, extraFirst]) => {
    const kept = good.filter((_, k) => !dropped.includes(k) || k < 3)
    const members = extraFirst ? [...extra, ...kept] : [...kept, ...extra]
    return `${w}{${w}${members.map(([name, value]) => `${name}${w}:${w}${value}${w}`).join(`,${w}`)}}${w}`
  })

test('the decoder agrees with JSON.parse and its source texts on generated records', () => {
  const decoder = jsonDecoder(fields)
  fc.assert(
    fc.property(fc.array(fc.oneof(record, record, anyValue), { minLength: 1, maxLength: 5 }), (texts) => {
      expectAgreement(texts.map(bytesOf), decoder)
    }),
    { numRuns: 3000 },
  )
})

test('the decoder agrees with JSON.parse on any JSON of fast-check, as a value and as an unknown member', () => {
  fc.assert(
    fc.property(fc.json({ stringUnit: 'binary' }), (text) => {
      expectAgreement([bytesOf(text), bytesOf(`{"symbol":"A","ts":1,"price":2,"other":${text}}`), bytesOf(`{"symbol":${text}}`)])
    }),
    { numRuns: 1000 },
  )
})

test('the decoder agrees with the reference on records with flipped, inserted, deleted and repeated bytes', () => {
  const decoder = jsonDecoder(fields)
  const byte = fc.oneof(
    fc.constantFrom(...Buffer.from('{}[]":,\\ue0123456789.+-Etfn \n\0')),
    fc.constantFrom(0x80, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xa0, 0xf0, 0xf4, 0x90, 0xff, 0xef, 0xbb),
    fc.nat(255),
  )
  const mutation = fc.record({
    kind: fc.constantFrom('flip', 'insert', 'delete', 'cut', 'repeat'),
    at: fc.nat(),
    length: fc.nat(8),
    byte,
  })
  fc.assert(
    fc.property(fc.array(fc.tuple(record, fc.array(mutation, { maxLength: 3 })), { minLength: 1, maxLength: 6 }), (cases) => {
      const values = cases.map(([text, mutations]) => {
        let bytes = [...bytesOf(text)]
        for (const { kind, at, length, byte: b } of mutations) {
          const i = bytes.length === 0 ? 0 : at % bytes.length
          if (kind === 'flip') bytes[i] = b
          else if (kind === 'insert') bytes.splice(i, 0, b)
          else if (kind === 'delete') bytes.splice(i, length)
          else if (kind === 'cut') bytes = bytes.slice(0, i)
          else bytes.splice(i, 0, ...bytes.slice(i, i + length))
        }
        return Uint8Array.from(bytes)
      })
      expectAgreement(values, decoder)
    }),
    { numRuns: 10_000 },
  )
})

test('a record cut anywhere is refused as the reference refuses it', () => {
  const whole = bytesOf('{"symbol":"B\\u0054C","ts":1700000000000,"x":[1,{"y":"z"}],"price":42150.5,"is_maker":true,"sidé":"é"} ')
  expectAgreement(Array.from({ length: whole.length + 1 }, (_, length) => whole.slice(0, length)))
})

test('every single byte in every place of a record is judged as the reference judges it', () => {
  const whole = bytesOf('{"symbol":"Bé","ts":12,"price":4.5e1,"a":[1,null]}')
  const decoder = jsonDecoder(fields)
  for (let at = 0; at < whole.length; at++)
    expectAgreement(
      Array.from({ length: 256 }, (_, byte) => whole.map((old, i) => (i === at ? byte : old))),
      decoder,
    )
})

test('doubles of random digits are those of Number', () => {
  const schema = numbered([{ name: 'x', type: 'double', required: true }])
  const digits = (max: number) => fc.array(fc.nat(9), { minLength: 1, maxLength: max }).map((list) => list.join(''))
  const text = fc
    .tuple(
      fc.constantFrom('', '-'),
      digits(30),
      fc.option(digits(30), { nil: '' }),
      fc.option(fc.integer({ min: -345, max: 320 }), { nil: undefined }),
    )
    .map(
      ([sign, whole, fraction, e]) =>
        `${sign}${whole.replace(/^0+(?=.)/, '')}${fraction && `.${fraction}`}${e === undefined ? '' : `e${e}`}`,
    )
  const decoder = jsonDecoder(schema)
  fc.assert(
    fc.property(fc.array(text, { minLength: 1, maxLength: 20 }), (texts) => {
      const ours = verdicts(
        schema,
        texts.map((number) => bytesOf(`{"x":${number}}`)),
        decoder,
      )
      expect(ours).toEqual(
        texts.map((number) => (Number.isFinite(Number(number)) ? { row: { x: Number(number) } } : { reason: 'out_of_range' })),
      )
    }),
    { numRuns: 3000 },
  )
})

test('doubles beside the halfway point between two neighbours are rounded as Number rounds them', () => {
  const schema = numbered([{ name: 'x', type: 'double', required: true }])
  fc.assert(
    fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 60n }), fc.integer({ min: -2, max: 2 }), (n, step) => {
      const text = String(((n >> 8n) << 8n) + 128n + BigInt(step))
      expect(verdicts(schema, [bytesOf(`{"x":${text}}`)])).toEqual([{ row: { x: Number(text) } }])
    }),
    { numRuns: 1000 },
  )
})
