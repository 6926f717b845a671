import { existsSync, globSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { frazil, rowsOf, runTrades, tempDir, tradesFile } from './frazil.ts'

const dir = tempDir()
// Characters that a glob, a URL or SQL would take for more than they are.
const warehouse = join(dir, "ware [1] %20 o'house")
const TRADE_LINES = 3000

beforeAll(async () => {
  await runTrades(tradesFile(dir, TRADE_LINES), warehouse)
})

const query = (sql: string, ...flags: readonly string[]) => frazil('query', sql, '--warehouse', warehouse, ...flags)

describe('tables as views', () => {
  test('a table has its namespace, and its bare name where that is unique', async () => {
    const [row] = await rowsOf(
      'SELECT (SELECT count(*) FROM trades.raw_trades) AS a, (SELECT count(*) FROM raw_trades) AS b',
      warehouse,
    )
    expect(row.a).toBe(row.b)
  })

  test('every line is in raw_trades or in dead_letters', async () => {
    const [row] = await rowsOf<{ n: number }>(
      'SELECT (SELECT count(*) FROM raw_trades) + (SELECT count(*) FROM dead_letters) AS n',
      warehouse,
    )
    expect(row.n).toBe(TRADE_LINES)
  })

  test('all columns of all four tables can be read', async () => {
    for (const table of ['raw_trades', 'agg_1m', 'agg_1m_late', 'dead_letters'])
      expect((await rowsOf(`SELECT count(COLUMNS(*)) FROM ${table}`, warehouse)).length).toBe(1)
  })

  test('a table without files is an empty view with the types of its schema', async () => {
    const fresh = join(dir, 'fresh')
    await runTrades(tradesFile(dir, 0, 'none.ndjson'), fresh)
    expect(await rowsOf('SELECT * FROM agg_1m', fresh)).toEqual([])
    const types = await rowsOf<{ column_name: string; column_type: string }>('DESCRIBE agg_1m', fresh)
    expect(types.map(({ column_name, column_type }) => `${column_name} ${column_type}`)).toEqual([
      'symbol VARCHAR',
      'window_start TIMESTAMP WITH TIME ZONE',
      'window_end TIMESTAMP WITH TIME ZONE',
      'open DOUBLE',
      'high DOUBLE',
      'low DOUBLE',
      'close DOUBLE',
      'volume DOUBLE',
      'trade_count BIGINT',
      'avg_price DOUBLE',
    ])
  })
})

describe('formats', () => {
  const ODD = `SELECT 9007199254740993 AS big, 42 AS small, 'a,"b"' AS quoted, '' AS empty, NULL AS nothing, 'NULL' AS word,
    TIMESTAMPTZ '2024-01-19 05:20:34.567891+09' AS at, 'nan'::DOUBLE AS nan, 1.50::DECIMAL(10,2) AS price,
    123456789012345678.5::DECIMAL(20,1) AS long_price, [TIMESTAMPTZ '1969-12-31 23:59:59.999999+00'] AS list, true AS yes, 'a' || chr(10) || 'b' AS lines`

  test('json keeps what numbers cannot hold as strings', async () => {
    const [row] = await rowsOf(ODD, warehouse)
    expect(row).toEqual({
      big: '9007199254740993',
      small: 42,
      quoted: 'a,"b"',
      empty: '',
      nothing: null,
      word: 'NULL',
      at: '2024-01-18T20:20:34.567891Z',
      nan: 'NaN',
      price: 1.5,
      long_price: '123456789012345678.5',
      list: ['1969-12-31T23:59:59.999999Z'],
      yes: true,
      lines: 'a\nb',
    })
  })

  test('json has one row a line', async () => {
    const { stdout } = await query('SELECT * FROM range(3) AS t(n)', '--format', 'json')
    expect(stdout).toBe('[{"n":0},\n{"n":1},\n{"n":2}]\n')
  })

  test('csv quotes what needs it and tells an empty text from NULL', async () => {
    const { stdout } = await query(ODD, '--format', 'csv')
    expect(stdout).toBe(
      'big,small,quoted,empty,nothing,word,at,nan,price,long_price,list,yes,lines\n' +
        '9007199254740993,42,"a,""b""","",,NULL,2024-01-18T20:20:34.567891Z,NaN,1.50,123456789012345678.5,' +
        '[1969-12-31 23:59:59.999999+00],true,"a\nb"\n',
    )
  })

  test('a table shows NULL apart from the text NULL, numbers to the right and no control character', async () => {
    const { stdout, stderr } = await query("SELECT NULL AS a, 'NULL' AS b, 'x' || chr(27) || '[2J' AS c, 7 AS number")
    expect(stdout).toBe("   a  b       c           number\n────  ──────  ──────────  ──────\nNULL  'NULL'  x\\u001b[2J       7\n")
    expect(stderr).toBe('1 row\n')
  })

  test('a statement may end in a semicolon and comments', async () => {
    expect(await rowsOf('/* ; */ SELECT 1 AS a; -- SELECT 2;\n;', warehouse)).toEqual([{ a: 1 }])
  })

  test('columns of one name keep their values in json', async () => {
    const [row] = await rowsOf('SELECT 1 AS a, 2 AS a', warehouse)
    expect(Object.values(row)).toEqual([1, 2])
  })
})

describe('time travel', () => {
  test('FOR VERSION and FOR TIMESTAMP read the table as it was', async () => {
    const grown = join(dir, 'grown')
    const first = tradesFile(dir, 400, 'grows.ndjson')
    const before = await runTrades(first, grown)
    const [{ lastCommit }] = JSON.parse((await frazil('tables', '--warehouse', grown, '--json')).stdout).filter(
      (table: { table: string }) => table.table === 'trades.raw_trades',
    )
    // Another spread of times, appended to the same file: what a producer does.
    const { appendFileSync, readFileSync } = await import('node:fs')
    appendFileSync(first, readFileSync(first))
    const after = await runTrades(first, grown)
    expect(after.tables['trades.raw_trades']).toBe(2 * before.tables['trades.raw_trades'])

    const travel = async (phrase: string) =>
      (await rowsOf<{ n: number }>(`SELECT count(raw_trades.symbol) AS n FROM ${phrase} WHERE raw_trades.price > 0`, grown))[0].n
    const n = before.tables['trades.raw_trades']
    expect(await travel(`raw_trades FOR TIMESTAMP AS OF '${lastCommit}'`)).toBe(n)
    expect(await travel(`trades.raw_trades /* then */ for Timestamp as of TIMESTAMP '${lastCommit}'`)).toBe(n)
    expect(await travel(`"trades"."raw_trades" FOR TIMESTAMP AS OF '2999-01-01'`)).toBe(2 * n)

    const unknown = await frazil('query', 'SELECT * FROM raw_trades FOR VERSION AS OF 1', '--warehouse', grown)
    expect(unknown.code).toBe(2)
    const id = /snapshots: (\d+) of/.exec(unknown.stderr)?.[1]
    expect(await travel(`raw_trades FOR VERSION AS OF ${id}`)).toBe(n)
    const [both] = await rowsOf<{ now: number; earlier: number }>(
      `SELECT (SELECT count(*) FROM raw_trades) AS now, (SELECT count(*) FROM raw_trades FOR VERSION AS OF ${id} AS r) AS earlier`,
      grown,
    )
    expect(both).toEqual({ now: 2 * n, earlier: n })

    const early = await frazil('query', "SELECT * FROM raw_trades FOR TIMESTAMP AS OF '1999-01-01'", '--warehouse', grown)
    expect(early.stderr).toContain('expected a time at or after its first snapshot')
    expect(early.code).toBe(2)
  })
})

describe('what a query cannot do', () => {
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ['no SQL', ' -- only a comment\n;', /expected an SQL statement/],
    ['two statements', 'SELECT 1; SELECT 2', /expected one SQL statement, found 2\. Run them one by one/],
    [
      'a statement that changes something',
      'INSTALL httpfs',
      /expected SELECT, COPY … TO or another statement that reads, found INSTALL/,
    ],
    ['a table made on the side', 'CREATE TABLE t AS SELECT 1', /found CREATE/],
    ['a syntax error', 'SELECT 1 FROM FROM', /Parser Error/],
    ['an unknown table', 'SELECT * FROM nowhere', /does not exist![\s\S]*trades\.raw_trades/],
    ['an unknown column', 'SELECT nothing FROM raw_trades', /"nothing" not found/],
    [
      'travel of an unknown table',
      'SELECT * FROM nowhere FOR VERSION AS OF 1',
      /Cannot find table nowhere: expected one of trades\.agg_1m/,
    ],
    ['travel to no time', "SELECT * FROM raw_trades FOR TIMESTAMP AS OF 'yesterday'", /expected a time such as/],
    ['travel to no id', "SELECT * FROM raw_trades FOR VERSION AS OF 'main'", /expected a snapshot id/],
  ]
  test.concurrent.each(wrong)('%s exits 2', async (_, sql, message) => {
    const { code, stdout, stderr } = await query(sql)
    expect(stderr).toMatch(/^error: Cannot /)
    expect(stderr).toMatch(message)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })

  test('a data file that is gone is a finding: exit 1', async () => {
    const broken = join(dir, 'broken')
    await runTrades(tradesFile(dir, 100, 'broken.ndjson'), broken)
    for (const file of globSync(join(broken, 'trades/raw_trades/data/**/*.parquet'))) rmSync(file)
    const { code, stderr } = await frazil('query', 'SELECT * FROM raw_trades', '--warehouse', broken, '--json')
    expect((JSON.parse(stderr) as { error: { kind: string } }).error.kind).toBe('Corrupt')
    expect(code).toBe(1)
    expect(existsSync(broken)).toBe(true)
  })
})
