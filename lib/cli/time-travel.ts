import { usage } from '../errors.ts'
import { type SqlToken, sqlTokens } from './sql-tokens.ts'

/** A table as it once was, named in SQL: `trades.agg_1m FOR VERSION AS OF 42`. */
export interface Travel {
  /** `[table]` or `[namespace, table]`, as written. */
  readonly name: readonly string[]
  readonly at:
    | { readonly kind: 'version'; readonly id: bigint }
    | { readonly kind: 'timestamp'; readonly ms: number; readonly text: string }
  /** Where the whole phrase stands in the SQL. */
  readonly start: number
  readonly end: number
}

/**
 * Every `TABLE FOR VERSION AS OF id` and `TABLE FOR TIMESTAMP AS OF 'time'`, in order. Throws `Usage` for an id or time that is
 * none.
 */
export function findTravels(sql: string): readonly Travel[] {
  const tokens = sqlTokens(sql)
  const travels: Travel[] = []
  for (let i = 1; i + 4 < tokens.length; i++) {
    const kind = isWord(tokens[i + 1], 'version') ? 'version' : isWord(tokens[i + 1], 'timestamp') ? 'timestamp' : undefined
    if (kind === undefined || !isWord(tokens[i], 'for') || !isWord(tokens[i + 2], 'as') || !isWord(tokens[i + 3], 'of')) continue
    const name = nameBefore(tokens, i)
    if (name.parts.length === 0) continue
    // Trino writes TIMESTAMP AS OF TIMESTAMP '…'.
    const typed = kind === 'timestamp' && isWord(tokens[i + 4], 'timestamp') && tokens[i + 5]?.kind === 'string'
    const literal = tokens[typed ? i + 5 : i + 4]
    travels.push({
      name: name.parts,
      at: kind === 'version' ? version(literal) : timestamp(literal),
      start: name.start,
      end: literal.end,
    })
  }
  return travels
}

/** The SQL with each travel's phrase replaced by what stands for it. */
export function replaceTravels(sql: string, travels: readonly Travel[], replacements: readonly string[]): string {
  let result = ''
  let at = 0
  for (const [i, { start, end }] of travels.entries()) {
    result += sql.slice(at, start) + replacements[i]
    at = end
  }
  return result + sql.slice(at)
}

const isWord = (token: SqlToken | undefined, word: string) => token?.kind === 'word' && token.value.toLowerCase() === word

function nameBefore(tokens: readonly SqlToken[], end: number): { readonly parts: readonly string[]; readonly start: number } {
  const parts: string[] = []
  let i = end - 1
  while (i >= 0 && (tokens[i].kind === 'word' || tokens[i].kind === 'quoted')) {
    parts.unshift(tokens[i].value)
    if (tokens[i - 1]?.text !== '.') break
    i -= 2
  }
  return { parts, start: tokens[Math.max(i, 0)]?.start ?? 0 }
}

function version(literal: SqlToken): Travel['at'] {
  if (!/^\d{1,19}$/.test(literal.value))
    throw usage(`Cannot travel FOR VERSION AS OF ${literal.text}: expected a snapshot id, a whole number.`)
  return { kind: 'version', id: BigInt(literal.value) }
}

const TIME = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)\s*(Z|[+-]\d\d(?::?\d\d)?)?)?$/i

function timestamp(literal: SqlToken): Travel['at'] {
  const found = literal.kind === 'string' ? TIME.exec(literal.value.trim()) : null
  const ms = found === null ? Number.NaN : Date.parse(`${found[1]}T${withSeconds(found[2] ?? '00:00')}${zone(found[3])}`)
  if (Number.isNaN(ms))
    throw usage(
      `Cannot travel FOR TIMESTAMP AS OF ${literal.text}: expected a time such as '2026-11-21 08:30:00' (UTC) or '2026-11-21T08:30:00+01:00'.`,
    )
  return { kind: 'timestamp', ms, text: literal.value }
}

/** Milliseconds: what snapshots are stamped with. */
const withSeconds = (time: string) => (time.length === 5 ? `${time}:00` : time.slice(0, 12))

function zone(text: string | undefined): string {
  if (text === undefined || text.toUpperCase() === 'Z') return 'Z'
  const digits = text.slice(1).replace(':', '').padEnd(4, '0')
  return `${text[0]}${digits.slice(0, 2)}:${digits.slice(2)}`
}
