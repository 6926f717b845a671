import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseBrokers, parseCount, parseDuration, shownSize } from '../../lib/cli/arguments.ts'
import { counted, shownBytes, shownDuration, shownMicros } from '../../lib/cli/format.ts'
import { progressLine } from '../../lib/cli/progress.ts'
import { sqlTokens, statementCount } from '../../lib/cli/sql-tokens.ts'
import { renderTable } from '../../lib/cli/table.ts'
import { findTravels, replaceTravels } from '../../lib/cli/time-travel.ts'

describe('SQL tokens', () => {
  const kinds = (sql: string) => sqlTokens(sql).map(({ kind, value }) => `${kind} ${value}`)

  test('strings, quoted names, comments and numbers are told apart', () => {
    expect(
      kinds(
        `SELECT 'it''s -- no comment', "a ""b""", E'\\'x', $tag$ FOR $$ $tag$ -- FOR VERSION\n /* a /* b */ c */ 1_000.5e-3, x.y`,
      ),
    ).toEqual([
      'word SELECT',
      "string it's -- no comment",
      'symbol ,',
      'quoted a "b"',
      'symbol ,',
      "string \\'x",
      'symbol ,',
      'string  FOR $$ ',
      'number 1_000.5e-3',
      'symbol ,',
      'word x',
      'symbol .',
      'word y',
    ])
  })

  test('tokens never overlap and leave out only space and comments, whatever the text', () => {
    const piece = fc.constantFrom("'", '"', '--', '/*', '*/', '$$', '$a$', '\n', ' ', 'FOR', 'E', '.', '1', 'é', '𝄞', '\\')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        const sql = pieces.join('')
        let at = 0
        for (const token of sqlTokens(sql)) {
          expect(sql.slice(at, token.start)).toMatch(/^(\s|--[^\n]*(\n|$)|\/\*[\s\S]*\*\/)*$/)
          expect(sql.slice(token.start, token.end)).toBe(token.text)
          expect(token.end).toBeGreaterThan(token.start)
          at = token.end
        }
      }),
    )
  })
})

describe('statements', () => {
  test.each([
    ['', 0],
    [' ;; -- no\n/* SELECT 1; */', 0],
    ['SELECT 1', 1],
    [';SELECT 1;; -- SELECT 2\n', 1],
    ["SELECT ';', \";\", $$;$$, E'\\';' /* ; */", 1],
    ['SELECT 1; SELECT 2', 2],
    ['SELECT 1;-- a\n;SELECT 2;SELECT 3', 3],
  ])('%s: %d', (sql, count) => {
    expect(statementCount(sql)).toBe(count)
  })
})

describe('time travel', () => {
  test('is found after a table name, and replaced as a whole', () => {
    const sql = `SELECT a.x FROM n . "T" FOR VERSION AS OF 42 a, b for timestamp as of '2026-11-21 08:30' -- FOR VERSION AS OF 1`
    const travels = findTravels(sql)
    expect(travels.map(({ name, at }) => [name, at])).toEqual([
      [['n', 'T'], { kind: 'version', id: 42n }],
      [['b'], { kind: 'timestamp', ms: Date.UTC(2026, 10, 21, 8, 30), text: '2026-11-21 08:30' }],
    ])
    expect(replaceTravels(sql, travels, ['v1', 'v2'])).toBe('SELECT a.x FROM v1 a, v2 -- FOR VERSION AS OF 1')
  })

  test('is not found in strings, comments or where no phrase is complete', () => {
    for (const sql of [
      "SELECT 't FOR VERSION AS OF 1'",
      '/* t FOR VERSION AS OF 1 */ SELECT 1',
      'SELECT [x for version in y]',
      '(SELECT 1) FOR VERSION AS OF 1',
    ])
      expect(findTravels(sql)).toEqual([])
  })

  test.each([
    ['2026-11-21', Date.UTC(2026, 10, 21)],
    ['2026-11-21T08:30:15.250Z', Date.UTC(2026, 10, 21, 8, 30, 15, 250)],
    ['2026-11-21 08:30:15.123456+01', Date.UTC(2026, 10, 21, 7, 30, 15, 123)],
    ['2026-11-21 08:30:00 -0530', Date.UTC(2026, 10, 21, 14, 0)],
  ])('a time is UTC unless it says otherwise: %s', (text, ms) => {
    expect(findTravels(`t FOR TIMESTAMP AS OF '${text}'`)[0].at).toEqual({ kind: 'timestamp', ms, text })
  })

  test.each(["'2026-13-01'", "'now'", "'2026-11-21 25:00'", '42', 'x'])('%s is no time', (literal) => {
    expect(() => findTravels(`t FOR TIMESTAMP AS OF ${literal}`)).toThrow(/expected a time such as/)
  })
})

describe('tables as text', () => {
  const columns = [
    { name: 'name', right: false },
    { name: 'n', right: true },
  ]

  test('columns are as wide as their widest cell', () => {
    expect(
      renderTable(columns, [
        ['a', '1'],
        ['long name', '1,000'],
      ]),
    ).toBe('name           n\n─────────  ─────\na              1\nlong name  1,000\n')
  })

  test('every line fits the terminal once columns can give way', () => {
    const texts = [
      { name: 'a', right: false },
      { name: 'b', right: false },
    ]
    const cell = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.constant(null))
    fc.assert(
      fc.property(fc.array(fc.tuple(cell, cell), { maxLength: 8 }), fc.integer({ min: 18, max: 100 }), (rows, width) => {
        const lines = renderTable(texts, rows, width).split('\n')
        expect(lines.length).toBe(rows.length + 3)
        for (const line of lines) expect([...line].length).toBeLessThanOrEqual(width)
      }),
    )
  })

  test('numbers and names to copy are never cut', () => {
    const mixed = [
      { name: 'table', right: false, whole: true },
      { name: 'rows', right: true },
      { name: 'note', right: false },
    ]
    const [, , row] = renderTable(mixed, [['trades.raw_trades', '1,000,000', 'something long']], 20).split('\n')
    expect(row).toBe('trades.raw_trades  1,000,000  somethi…')
  })
})

describe('figures', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [49_500_000, '50 MB'],
    [999_999_999, '1.0 GB'],
  ])('%d bytes', (bytes, text) => {
    expect(shownBytes(bytes)).toBe(text)
  })

  test.each([
    [420, '0.4 s'],
    [59_940, '59.9 s'],
    [59_990, '1 min 00 s'],
    [7_620_000, '2 h 07 min'],
  ])('%d ms', (ms, text) => {
    expect(shownDuration(ms)).toBe(text)
  })

  test('instants keep their microseconds, before 1970 and after 9999 too', () => {
    expect(shownMicros(0n)).toBe('1970-01-01T00:00:00Z')
    expect(shownMicros(-1n)).toBe('1969-12-31T23:59:59.999999Z')
    expect(shownMicros(1_500n)).toBe('1970-01-01T00:00:00.0015Z')
    expect(shownMicros(884_541_340_800_000_000n)).toBe('+030000-01-01T00:00:00Z')
    fc.assert(
      fc.property(fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n }), (micros) => {
        const [, seconds, fraction = ''] = /^(.*?)(?:\.(\d+))?Z$/.exec(shownMicros(micros)) as RegExpExecArray
        expect(BigInt(Date.parse(`${seconds}Z`)) * 1000n + BigInt(fraction.padEnd(6, '0'))).toBe(micros)
      }),
    )
  })

  test('one is no plural', () => {
    expect([0, 1, 2, 1000].map((n) => counted(n, 'late row'))).toEqual([
      '0 late rows',
      '1 late row',
      '2 late rows',
      '1,000 late rows',
    ])
  })

  test('progress tells counts, rate, share of the file and watermark', () => {
    const line = progressLine({
      phase: 'reading',
      records: 500_000,
      deadLetters: 2,
      reasons: { invalid_json: 2 },
      late: 3,
      missing: 1,
      bytesRead: 50_000_000,
      totalBytes: 100_000_000,
      checkpoint: 4,
      files: 12,
      fileBytes: 9,
      watermarkMs: Date.UTC(2024, 0, 19, 5, 20),
      startupMs: 500,
      elapsedMs: 1500,
    })
    expect(line).toBe(
      'reading: 500,000 records · 500,000/s · 50 % of 100 MB, 1.0 s left · 3 late · 2 dead letters · 1 missing · checkpoint 4 · watermark 2024-01-19T05:20:00Z',
    )
  })
})

describe('arguments', () => {
  test('durations carry their unit', () => {
    expect(['500ms', '1s', '1.5s', '2m', '1h'].map((text) => parseDuration('--commit-interval', text))).toEqual([
      500, 1000, 1500, 120_000, 3_600_000,
    ])
    for (const text of ['', '5', '0s', '-1s', '1 s', '1w', '9999d'])
      expect(() => parseDuration('--x', text)).toThrow(/Cannot read --x/)
  })

  test('counts are whole and bounded', () => {
    expect(parseCount('--partitions', '12', 100)).toBe(12)
    for (const text of ['0', '101', '1.5', '1e1', '', '-1'])
      expect(() => parseCount('--partitions', text, 100)).toThrow(/from 1 to 100/)
  })

  test('sizes that are set show as they may be given', () => {
    expect([512 * 2 ** 20, 128_000_000, 2 ** 30 + 2 ** 19].map(shownSize)).toEqual(['512 MiB', '128 MB', '1,024.5 MiB'])
  })

  test('brokers are host:port, IPv6 in brackets', () => {
    expect(parseBrokers('a:1, b.example:9092,[::1]:9092')).toEqual(['a:1', 'b.example:9092', '[::1]:9092'])
    for (const text of ['', 'a', 'a:', 'a:0', 'a:65536', 'http://a:1', 'a:1,'])
      expect(() => parseBrokers(text)).toThrow(/expected host:port/)
  })
})
