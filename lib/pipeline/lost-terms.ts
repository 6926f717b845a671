import type { Expression } from '../columns/expression.ts'
import { invalidPipeline } from '../errors.ts'

/**
 * JavaScript's `&&`, `||`, `!` and `?:` see objects, which are all true: they pick one term and drop the other without a
 * word. What a callback makes must therefore be part of what it gives.
 */

interface Made {
  readonly expression: Expression
  /** False for a column among all that `{ ...c }` reads. */
  readonly wanted: boolean
}

let making: Made[] | undefined

/** Takes note of a term made while a callback runs; one made outside any is a value to share, used or not. */
export function noteTerm(expression: Expression, wanted: boolean): void {
  making?.push({ expression, wanted })
}

/** Runs a callback of the definition; `made` is what it made itself, not what callbacks inside it did. */
export function callNoting(callback: () => unknown): { readonly value: unknown; readonly made: readonly Made[] } {
  const outer = making
  const made: Made[] = []
  making = made
  try {
    return { value: callback(), made }
  } finally {
    making = outer
  }
}

/** Throws `InvalidPipeline` when something that `callback` made, or says after `||`, is not part of its `result`. */
export function refuseLost(what: string, callback: unknown, made: readonly Made[], result: Expression): void {
  const used = new Set<Expression>()
  const names = new Set<string>()
  visit(result, (part) => {
    used.add(part)
    if (part.op === 'column') names.add(part.name)
  })
  // A column that is read twice is lost only when no reading is used.
  const isLost = ({ expression, wanted }: Made) =>
    wanted && !used.has(expression) && !(expression.op === 'column' && names.has(expression.name))
  // The last one made is the whole of those that were lost with it.
  const lost = made.findLast(isLost)
  const found = lost === undefined ? skippedText(String(callback), made) : textOf(lost.expression)
  if (found !== undefined)
    throw invalidPipeline(
      `Cannot ${what}: expected all that the callback says to be part of its result, found ${found} left out. Use .and() / .or() / .not() instead of && || !, and take out what is not needed.`,
    )
}

/**
 * The right side of `||` never runs, so its text is all there is to see: a column behind `||` that was read less often than it
 * is written. Text that a tool has rewritten beyond recognition is let pass.
 */
function skippedText(source: string, made: readonly Made[]): string | undefined {
  const text = source.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '')
  const row = /^\s*(?:function\s*\w*\s*)?\(?\s*([\w$]+)/.exec(text)?.[1]
  if (row === undefined) return undefined
  const column = `\\b${row.replaceAll('$', '\\$')}\\.(\\w+)`
  for (const [, name] of text.matchAll(new RegExp(`\\|\\|[\\s(!]*${column}`, 'g'))) {
    const written = [...text.matchAll(new RegExp(column, 'g'))].filter((match) => match[1] === name).length
    const read = made.filter(({ expression }) => expression.op === 'column' && expression.name === name).length
    if (read < written) return `${row}.${name} after ||`
  }
  return undefined
}

function visit(expression: Expression, see: (part: Expression) => void): void {
  see(expression)
  for (const operand of operandsOf(expression)) visit(operand, see)
}

function operandsOf(expression: Expression): readonly Expression[] {
  switch (expression.op) {
    case 'column':
    case 'literal':
      return []
    case 'and':
    case 'or':
      return expression.of
    case 'not':
    case 'isNull':
    case 'timestampMillis':
    case 'timestampSeconds':
      return [expression.of]
    default:
      return [expression.left, expression.right]
  }
}

/** An expression as its author wrote it, nearly. */
function textOf(expression: Expression): string {
  switch (expression.op) {
    case 'column':
      return `c.${expression.name}`
    case 'literal':
      return typeof expression.value === 'string' && expression.type !== 'string'
        ? expression.value
        : JSON.stringify(expression.value)
    case 'timestampMillis':
    case 'timestampSeconds':
      return `${expression.op}(${textOf(expression.of)})`
    default: {
      const [first, ...others] = operandsOf(expression).map(textOf)
      return `${first}.${expression.op}(${others.join(', ')})`
    }
  }
}
