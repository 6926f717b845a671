/**
 * What a topic of trades holds beside plain trades. Every text is latin1: a character is a byte, so that bytes that are no
 * UTF-8 can be said.
 */

/** The parts of a trade as JSON text. */
export interface TradeText {
  readonly symbol: string
  readonly ts: string
  readonly price: string
  readonly qty: string
  readonly side: string
}

type Write = (t: TradeText) => string

const BOM = '\xef\xbb\xbf'
const DIGITS_400 = '123456789 '.repeat(40).replaceAll(' ', '0')
const NOTE_BYTES = 5000

const trade = (t: TradeText, changed: Partial<TradeText>) => {
  const u = { ...t, ...changed }
  return `{"symbol":"${u.symbol}","ts":${u.ts},"price":${u.price},"qty":${u.qty},"side":${u.side}}`
}

/** Dead letters, one for each decoding rule of docs/reference/json-decoding.md. */
export const POISON: readonly Write[] = [
  (t) => trade(t, {}).slice(0, 40),
  (t) => `${trade(t, {})}}`,
  (t) => `${trade(t, {})} ${trade(t, {})}`,
  (t) => trade(t, { price: `"${t.price}"` }),
  (t) => trade(t, { ts: `"${t.ts}"` }),
  (t) => trade(t, { ts: `${t.ts}.0` }),
  (t) => trade(t, { ts: '1.7e12' }),
  (t) => trade(t, { ts: '9007199254740993000' }),
  (t) => trade(t, { ts: '9223372036854775808' }),
  (t) => trade(t, { ts: DIGITS_400 }),
  (t) => trade(t, { ts: '8640000000000001' }),
  (t) => trade(t, { ts: '-8640000000000001' }),
  (t) => trade(t, { price: DIGITS_400 }),
  (t) => trade(t, { qty: '1e400' }),
  (t) => trade(t, { qty: '-1e999' }),
  (t) => trade(t, { price: 'NaN' }),
  (t) => trade(t, { price: 'Infinity' }),
  (t) => trade(t, { price: '01.5' }),
  (t) => trade(t, { price: '1.' }),
  (t) => trade(t, { price: '.5' }),
  (t) => trade(t, { price: '+1' }),
  (t) => trade(t, { qty: 'null' }),
  (t) => trade(t, { qty: 'true' }),
  (t) => trade(t, { side: '1' }),
  (t) => trade(t, { side: '["BUY"]' }),
  (t) => trade(t, { side: "'BUY'" }),
  (t) => trade(t, { symbol: '\\ud800' }),
  (t) => trade(t, { side: '"\\udc00\\ud800"' }),
  (t) => trade(t, { symbol: `${t.symbol}\xff` }),
  (t) => trade(t, { symbol: '\xc0\xaf' }),
  (t) => trade(t, { symbol: '\xed\xa0\x80' }),
  (t) => trade(t, { symbol: 'A\tB' }),
  (t) => trade(t, { symbol: '\\x41' }),
  (t) => BOM + trade(t, {}),
  (t) => `{"symbol":"${t.symbol}","ts":${t.ts},"price":${t.price},"side":${t.side}}`,
  (t) => `{"symbol":"${t.symbol}","price":${t.price},"qty":${t.qty},"side":${t.side}}`,
  (t) => `{"ts":${t.ts},"price":${t.price},"qty":${t.qty},"side":${t.side}}`,
  (t) => `{"symbol":null,"ts":${t.ts},"price":${t.price},"qty":${t.qty}}`,
  (t) => `{"symbol":"${t.symbol}","ts":${t.ts},"price":${t.price},"qty":${t.qty},}`,
  (t) => `{"symbol":"${t.symbol}","ts":${t.ts},"price":${t.price},"qty":${t.qty},"qty":"last wins"}`,
  (t) => `[${trade(t, {})}]`,
  () => '{}',
  () => 'null',
  () => '[]',
  () => '""',
  () => '42',
  () => ' ',
  () => 'not json at all',
  () => '\x00\x01\x02',
]

/** Right rows in forms that a quick decoder may trip over. */
export const ODD: readonly Write[] = [
  (t) => `  ${trade(t, {})}\t\r`,
  (t) => trade(t, {}).replaceAll(':', ' : ').replaceAll(',"', ' ,\t"'),
  (t) => `{"side":${t.side},"qty":${t.qty},"price":${t.price},"ts":${t.ts},"symbol":"${t.symbol}"}`,
  (t) => trade(t, {}).replace('"symbol"', '"\\u0073ymbol"'),
  (t) => trade(t, { symbol: t.symbol.replace('U', '\\u0055') }),
  (t) => trade(t, { symbol: 'gr\xc3\xbcn \\ud83d\\ude00 \\"q\\"' }),
  (t) => trade(t, { symbol: '' }),
  (t) => `{"symbol":"${t.symbol}","ts":${t.ts},"price":${t.price},"qty":${t.qty}}`,
  (t) => trade(t, { side: 'null' }),
  (t) => trade(t, { side: '""' }),
  (t) => trade(t, { price: '42150' }),
  (t) => trade(t, { price: '4.215e+4' }),
  (t) => trade(t, { price: '0.1000000000000000055511151231257827021181583404541015625' }),
  (t) => trade(t, { price: '9007199254740993' }),
  (t) => trade(t, { price: '9'.repeat(300) }),
  (t) => trade(t, { price: '5e-324' }),
  (t) => trade(t, { price: '1e-400' }),
  (t) => trade(t, { price: '-0' }),
  (t) => trade(t, { qty: '-0.0' }),
  (t) => trade(t, { qty: '1e300' }),
  (t) => trade(t, { qty: '-1e300' }),
  (t) => trade(t, { qty: '0' }),
  (t) => trade(t, { ts: '-1' }),
  (t) => trade(t, { ts: '-0' }),
  (t) => trade(t, { ts: '0' }),
  (t) => `{"qty":"first loses",${trade(t, {}).slice(1)}`,
  (t) => `{"symbol":"${t.symbol}","symbol":"${t.symbol}",${trade(t, {}).slice(1)}`,
  (t) => `{"__proto__":{"qty":1},"constructor":null,"hasOwnProperty":1,${trade(t, {}).slice(1)}`,
  (t) => `{"nested":{"symbol":"X","a":[1,{"b":[]},"}"]},"big":${DIGITS_400},"huge":1e999,${trade(t, {}).slice(1)}`,
  (t) => `{"note":"${'x'.repeat(NOTE_BYTES)}",${trade(t, {}).slice(1)}`,
]

const MINUTE_MS = 60_000

/** Event times too far beyond their Kafka timestamp: dead letters where there is one, right rows where there is none. */
export const AHEAD: readonly Write[] = [
  (t) => trade(t, { ts: String(Number(t.ts) + 11 * MINUTE_MS) }),
  (t) => trade(t, { ts: '884541340800000' }),
  (t) => trade(t, { ts: '8640000000000000' }),
]
