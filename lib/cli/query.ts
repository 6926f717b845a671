import type { DuckDBConnection, DuckDBResult, DuckDBValue } from '@duckdb/node-api'
import { corrupt, FrazilError, messageOf, unavailable, usage } from '../errors.ts'
import { type WarehouseFlags, warehouseOf } from './arguments.ts'
import { counted, shownCount } from './format.ts'
import { EXIT, type Output, tableWidth } from './output.ts'
import { type ReadWarehouse, readWarehouse, tableName } from './read-warehouse.ts'
import { sqlTokens, statementCount } from './sql-tokens.ts'
import { type Cell, renderTable, styled } from './table.ts'

export interface QueryFlags extends WarehouseFlags {
  readonly format?: 'table' | 'json' | 'csv'
}

/** How statements begin that only read; COPY writes where the user says. */
const QUERIES: ReadonlySet<string> = new Set(
  'SELECT FROM WITH VALUES TABLE DESCRIBE DESC SHOW SUMMARIZE EXPLAIN PIVOT UNPIVOT COPY'.split(' '),
)

/** A table must know all its rows before it can be drawn; json and csv stream any number. */
const MAX_TABLE_ROWS = 10_000

/** `frazil query`: DuckDB in memory over the files that a scan of each Iceberg table plans. */
export async function queryCommand(sql: string, flags: QueryFlags, output: Output): Promise<number> {
  const statements = statementCount(sql)
  if (statements !== 1)
    throw usage(
      statements === 0
        ? 'Cannot run the query: expected an SQL statement, found none.'
        : `Cannot run the query: expected one SQL statement, found ${statements}. Run them one by one.`,
    )
  const [first] = sqlTokens(sql).filter((token) => token.text !== ';' && token.text !== '(')
  if (!QUERIES.has(first.text.toUpperCase()))
    throw usage(
      `Cannot run the query: expected SELECT, COPY … TO or another statement that reads, found ${first.text.toUpperCase()}. A query changes nothing.`,
    )
  const warehouse = await readWarehouse(warehouseOf(flags))
  try {
    const { createViews } = await import('./views.ts')
    const connection = await connect()
    const resolved = await asOurs(warehouse, () => createViews(connection, warehouse, sql))
    const result = await asOurs(warehouse, () => connection.stream(resolved))
    await asOurs(warehouse, () => write(result, output.json ? 'json' : (flags.format ?? 'table'), output))
    return EXIT.fine
  } finally {
    await warehouse.close()
  }
}

export async function connect(): Promise<DuckDBConnection> {
  const { DuckDBInstance, DuckDBTimestampTZValue } = await import('@duckdb/node-api').catch((cause: unknown) => {
    throw unavailable(
      `Cannot query: DuckDB for this platform is not installed (${messageOf(cause)}). Install @duckdb/node-api.`,
      { cause },
    )
  })
  // Extensions would come from the network; those a query needs are built in.
  const instance = await DuckDBInstance.create(':memory:', {
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  })
  const connection = await instance.connect()
  await connection.run("SET TimeZone = 'UTC'")
  // Of instants inside lists and structs, which DuckDB's client writes by the machine's zone.
  DuckDBTimestampTZValue.timezoneOffsetInMinutes = 0
  return connection
}

async function write(result: DuckDBResult, format: 'table' | 'json' | 'csv', output: Output): Promise<void> {
  const names = result.deduplicatedColumnNames()
  const { csvRow, isNumeric, jsonOf, textOf } = await import('./values.ts')
  if (format === 'json') {
    let before = '['
    for await (const rows of result.yieldRows())
      for (const row of rows) {
        await output.data(`${before}${JSON.stringify(Object.fromEntries(row.map((value, i) => [names[i], jsonOf(value)])))}`)
        before = ',\n'
      }
    await output.data(before === '[' ? '[]\n' : ']\n')
    return
  }
  if (format === 'csv') {
    await output.data(csvRow(names))
    for await (const rows of result.yieldRows()) await output.data(rows.map((row) => csvRow(row.map(textOf))).join(''))
    return
  }
  const columns = result.columnTypes().map((type, i) => ({ name: names[i], right: isNumeric(type) }))
  const { rows, count } = await firstRows(result, textOf)
  await output.data(styled(renderTable(columns, rows, tableWidth()), process.stdout))
  output.note(counted(count, 'row'))
  if (count > rows.length)
    output.note(`Only the first ${shownCount(rows.length)} are shown. Add a LIMIT, or use --format json or csv.`)
}

async function firstRows(result: DuckDBResult, textOf: (value: DuckDBValue) => Cell) {
  const shown: Cell[][] = []
  let count = 0
  for await (const rows of result.yieldRows()) {
    count += rows.length
    for (const row of rows) if (shown.length < MAX_TABLE_ROWS) shown.push(row.map(textOf))
  }
  return { rows: shown, count }
}

/** What DuckDB throws, in our kinds: a file that is gone or damaged is the warehouse's fault, the rest the query's. */
async function asOurs<T>(warehouse: ReadWarehouse, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (cause) {
    if (cause instanceof FrazilError) throw cause
    const message = messageOf(cause).trim()
    if (/^(IO|Invalid Input) Error/.test(message) && message.includes(`${warehouse.name}/`))
      throw corrupt(`Cannot read the warehouse: ${message}. Restore the file.`, { cause })
    // DuckDB's own guess looks in its catalog, too, and names tables that no user knows.
    const known = /Table with name .* does not exist/.test(message)
      ? `\nThe warehouse has: ${warehouse.tables.map(tableName).join(', ') || 'no tables'}.`
      : ''
    const shown = known === '' ? message : message.replace(/\nDid you mean "[^"]*"\?/, '')
    throw usage(`Cannot run the query: ${shown}${known}`, { cause })
  }
}
