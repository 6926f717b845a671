import { readFileSync } from 'node:fs'
import type { Bill } from '../../lib/cost/calls.ts'
import type { Load } from '../../lib/cost/load.ts'
import { planOf } from '../../lib/index.ts'
import trades from '../../pipelines/trades.ts'

export const PLAN = planOf(trades)

/** Trades of 108 bytes and 20 symbols, as docs/reference/costs.md has them. */
export const TRADES: Load = {
  recordsPerSecond: 1000,
  valueBytes: 108,
  partitions: undefined,
  keys: 20,
  batchWindowMs: 1000,
  commitIntervalMs: 60_000,
  pollers: undefined,
}

const textOf = (page: string) => readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8')

/** Rows of the first table below a heading, as cells, header and rule left out. */
export function rowsBelow(heading: string, page = 'reference/costs.md'): readonly (readonly string[])[] {
  const section =
    textOf(page)
      .split(/^## /m)
      .find((part) => part.startsWith(`${heading}\n`)) ?? ''
  const [table = ''] = /(?:^\|.*\n)+/m.exec(section) ?? []
  return table
    .trimEnd()
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
}

/** A measured row of the table of calls as a bill. */
export function billOf([, s3, dynamo, readUnits, writeUnits, glue]: readonly string[]): Bill {
  const named = (service: string, cell: string) =>
    cell === 'none'
      ? []
      : cell.split(', ').map((part) => {
          const [count, call] = part.split(' ')
          return [`${service}.${call}`, Number(count)] as const
        })
  return {
    calls: Object.fromEntries([...named('S3', s3), ...named('DynamoDB', dynamo), ...named('Glue', glue)]),
    readUnits: Number(readUnits),
    writeUnits: Number(writeUnits),
  }
}
