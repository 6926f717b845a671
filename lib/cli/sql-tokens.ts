/** A piece of SQL that means something: comments and white space are left out. */
export interface SqlToken {
  readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'symbol'
  /** As written. */
  readonly text: string
  /** A word's or identifier's name, a string's content; else as written. */
  readonly value: string
  readonly start: number
  readonly end: number
}

const SPACE = /\s+/y
const LINE_COMMENT = /--[^\n]*/y
const BLOCK_EDGE = /\/\*|\*\//g
const ESCAPED_STRING = /[eE]'(?:[^'\\]|\\[\s\S]|'')*'?/y
const STRING = /'(?:[^']|'')*'?/y
const DOLLAR_STRING = /\$([\p{L}_][\p{L}\p{N}_]*)?\$/uy
const QUOTED = /"(?:[^"]|"")*"?/y
const WORD = /[\p{L}_][\p{L}\p{N}_$]*/uy
const NUMBER = /\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?/y

/**
 * Splits SQL as DuckDB's lexer (PostgreSQL's) does: nested block comments, doubled quotes, `E'…'` and `$tag$ … $tag$` strings.
 * Never throws: what is broken is DuckDB's to say.
 */
export function sqlTokens(sql: string): readonly SqlToken[] {
  const tokens: SqlToken[] = []
  let at = 0
  const match = (pattern: RegExp) => {
    pattern.lastIndex = at
    return pattern.exec(sql)?.[0]
  }
  while (at < sql.length) {
    const skipped = match(SPACE) ?? match(LINE_COMMENT)
    if (skipped !== undefined) {
      at += skipped.length
      continue
    }
    if (sql.startsWith('/*', at)) {
      at = endOfComment(sql, at)
      continue
    }
    const token = tokenAt(sql, at, match)
    tokens.push(token)
    at = token.end
  }
  return tokens
}

/** How many statements there are: what semicolons separate and is not empty. */
export function statementCount(sql: string): number {
  const ends = sqlTokens(sql).map((token) => token.text === ';')
  return ends.filter((isEnd, i) => !isEnd && (i === 0 || ends[i - 1])).length
}

function tokenAt(sql: string, start: number, match: (pattern: RegExp) => string | undefined): SqlToken {
  const make = (kind: SqlToken['kind'], text: string, value = text): SqlToken => ({
    kind,
    text,
    value,
    start,
    end: start + text.length,
  })
  const escaped = match(ESCAPED_STRING)
  if (escaped !== undefined) return make('string', escaped, escaped.slice(2, -1))
  const string = match(STRING)
  if (string !== undefined) return make('string', string, string.slice(1, -1).replaceAll("''", "'"))
  const tag = match(DOLLAR_STRING)
  if (tag !== undefined) {
    const close = sql.indexOf(tag, start + tag.length)
    const end = close < 0 ? sql.length : close + tag.length
    return make('string', sql.slice(start, end), sql.slice(start + tag.length, close < 0 ? end : close))
  }
  const quoted = match(QUOTED)
  if (quoted !== undefined) return make('quoted', quoted, quoted.slice(1, -1).replaceAll('""', '"'))
  const word = match(WORD)
  if (word !== undefined) return make('word', word)
  const number = match(NUMBER)
  if (number !== undefined) return make('number', number)
  return make('symbol', String.fromCodePoint(sql.codePointAt(start) ?? 0))
}

function endOfComment(sql: string, start: number): number {
  let depth = 0
  BLOCK_EDGE.lastIndex = start
  for (let edge = BLOCK_EDGE.exec(sql); edge !== null; edge = BLOCK_EDGE.exec(sql)) {
    depth += edge[0] === '/*' ? 1 : -1
    if (depth === 0) return BLOCK_EDGE.lastIndex
  }
  return sql.length
}
