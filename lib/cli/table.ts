import { styleText } from 'node:util'

export interface TableColumn {
  readonly name: string
  /** Numbers stand right, and are never cut: part of a number is another number. */
  readonly right: boolean
  /** A text that is never cut either: a name to copy. */
  readonly whole?: boolean
}

/** A null cell shows as NULL; a text that reads so is quoted. */
export type Cell = string | null

const GAP = '  '
const LEAST_WIDTH = 8

/**
 * Rows as text under a header. Columns are as wide as their widest cell, or with `width` (a terminal's) cut so that a row
 * fits where it can; control characters are escaped, so that no value can move the cursor. Width is counted in code points.
 */
export function renderTable(columns: readonly TableColumn[], rows: readonly (readonly Cell[])[], width?: number): string {
  const cells = rows.map((row) => row.map(shownCell))
  const names = columns.map((column) => printable(column.name))
  const widths = names.map((name, i) => cells.reduce((most, row) => Math.max(most, length(row[i])), length(name)))
  if (width !== undefined) narrow(columns, widths, width)
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => padded(cut(cell, widths[i]), widths[i], columns[i].right))
      .join(GAP)
      .trimEnd()
  const rule = widths.map((w) => '─'.repeat(w)).join(GAP)
  return `${[line(names), rule, ...cells.map(line)].join('\n')}\n`
}

/** Makes header and rules of a table dim where the stream shows colours. */
export function styled(table: string, stream: NodeJS.WriteStream): string {
  const [header, rule, ...rows] = table.split('\n')
  return [styleText('bold', header, { stream }), styleText('dim', rule ?? '', { stream }), ...rows].join('\n')
}

function shownCell(cell: Cell): string {
  if (cell === null) return 'NULL'
  return cell === 'NULL' ? "'NULL'" : printable(cell)
}

const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** Without control characters: no value can move the cursor. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    (c) => ESCAPES[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

const length = (text: string) => [...text].length

function cut(text: string, width: number): string {
  return length(text) <= width ? text : `${[...text].slice(0, width - 1).join('')}…`
}

function padded(text: string, width: number, right: boolean): string {
  const space = ' '.repeat(width - length(text))
  return right ? space + text : text + space
}

/** Takes from the widest columns that may be cut, down to `LEAST_WIDTH`; the line is longer when that is not enough. */
function narrow(columns: readonly TableColumn[], widths: number[], width: number): void {
  const cuttable = columns.flatMap((column, i) => (column.right || column.whole === true ? [] : [i]))
  let over = widths.reduce((sum, w) => sum + w, GAP.length * (widths.length - 1)) - width
  for (; over > 0; over--) {
    const widest = cuttable.reduce((best, i) => (widths[i] > widths[best] ? i : best), cuttable[0] ?? 0)
    if (cuttable.length === 0 || widths[widest] <= LEAST_WIDTH) return
    widths[widest]--
  }
}
