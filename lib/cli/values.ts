import {
  DuckDBArrayValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampTZValue,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBValue,
} from '@duckdb/node-api'
import { shownMicros } from './format.ts'
import type { Cell } from './table.ts'

/** A value as text: numbers in full, timestamptz as ISO 8601 in UTC, all else as DuckDB writes it. */
export function textOf(value: DuckDBValue): Cell {
  if (value === null) return null
  if (value instanceof DuckDBTimestampTZValue) return instant(value)
  return String(value)
}

/**
 * A value as JSON. A number that a double cannot hold exactly (a long beyond ±2^53, a long decimal) is a string of its digits;
 * so are NaN and the infinities, which JSON has no words for.
 */
export function jsonOf(value: DuckDBValue): unknown {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (value instanceof DuckDBTimestampTZValue) return instant(value)
  if (value instanceof DuckDBDecimalValue) return decimal(value)
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) return value.items.map(jsonOf)
  if (value instanceof DuckDBStructValue)
    return Object.fromEntries(Object.entries(value.entries).map(([name, entry]) => [name, jsonOf(entry)]))
  if (value instanceof DuckDBMapValue)
    return value.entries.map(({ key, value: entry }) => ({ key: jsonOf(key), value: jsonOf(entry) }))
  return String(value)
}

/** Decimal digits that every double holds exactly. */
const EXACT_DIGITS = 15

function decimal(value: DuckDBDecimalValue): number | string {
  const digits = String(value.value).replace('-', '').length
  return digits <= EXACT_DIGITS ? Number(String(value)) : String(value)
}

const INFINITIES: Readonly<Record<string, string>> = {
  [String(DuckDBTimestampTZValue.PosInf.micros)]: 'infinity',
  [String(DuckDBTimestampTZValue.NegInf.micros)]: '-infinity',
}

const instant = ({ micros }: DuckDBTimestampTZValue) => INFINITIES[String(micros)] ?? shownMicros(micros)

const NUMBERS: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.TINYINT,
  DuckDBTypeId.SMALLINT,
  DuckDBTypeId.INTEGER,
  DuckDBTypeId.BIGINT,
  DuckDBTypeId.HUGEINT,
  DuckDBTypeId.UTINYINT,
  DuckDBTypeId.USMALLINT,
  DuckDBTypeId.UINTEGER,
  DuckDBTypeId.UBIGINT,
  DuckDBTypeId.UHUGEINT,
  DuckDBTypeId.FLOAT,
  DuckDBTypeId.DOUBLE,
  DuckDBTypeId.DECIMAL,
])

export const isNumeric = (type: DuckDBType): boolean => NUMBERS.has(type.typeId)

/** A row of CSV (RFC 4180 with a line feed): NULL is empty, an empty text is `""`. */
export function csvRow(cells: readonly Cell[]): string {
  return `${cells.map((cell) => (cell === null ? '' : cell === '' || /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(',')}\n`
}
