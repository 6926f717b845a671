import { invalidPipeline } from '../errors.ts'
import { KAFKA_COLUMNS } from './plan.ts'

/** Columns that Frazil itself adds to rows, results and late rows. */
const RESERVED: readonly string[] = [...KAFKA_COLUMNS, 'window_start', 'window_end', 'watermark']

const MAX_NAME_LENGTH = 128

/** Names of pipelines, namespaces, tables, operators and columns. Throws `InvalidPipeline`; `what` ends "Cannot ". */
export function checkName(what: string, name: unknown, advice = nameAdvice): string {
  if (typeof name !== 'string' || !/^[a-z][a-z0-9_]*$/.test(name))
    throw invalidPipeline(
      `Cannot ${what}: expected a name of lower-case letters, digits and underscores that begins with a letter, found ${shown(name)}.${advice(name)}`,
    )
  if (name.length > MAX_NAME_LENGTH)
    throw invalidPipeline(`Cannot ${what}: expected a name of at most ${MAX_NAME_LENGTH} characters, found ${name.length}.`)
  return name
}

/** The name that somebody who wrote `userId` or `my-trades` may have instead: `user_id`, `my_trades`; undefined for none. */
export function plainName(name: unknown): string | undefined {
  if (typeof name !== 'string') return undefined
  const words = name.replace(/([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])/g, '$1$3_$2').split(/[^A-Za-z0-9]+/)
  const plain = words
    .join('_')
    .toLowerCase()
    .replace(/^[_0-9]+|_+$/g, '')
  return plain === '' || plain.length > MAX_NAME_LENGTH || isReserved(plain) ? undefined : plain
}

function nameAdvice(name: unknown): string {
  const plain = plainName(name)
  return plain === undefined ? '' : ` Name it ${plain}.`
}

const isReserved = (name: string) => RESERVED.includes(name) || name.startsWith('kafka_')

/**
 * A name for a column that the definition adds: a plain name, and none of Frazil's own. `advice` on a name that is not begins
 * with a space.
 */
export function checkColumnName(what: string, name: unknown, advice?: (name: unknown) => string): string {
  const checked = checkName(what, name, advice)
  if (isReserved(checked))
    throw invalidPipeline(
      `Cannot ${what}: the name ${checked} is reserved (${RESERVED.join(', ')}, and all that begin with kafka_).${advice === undefined ? ' Choose another.' : advice(name)}`,
    )
  return checked
}

/**
 * Refuses options that do not exist: one that is silently ignored would lose its meaning, not just its effect.
 * Throws `InvalidPipeline`.
 */
export function checkOptions(what: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw invalidPipeline(`Cannot ${what}: expected an object of options, found ${shown(options)}.`)
  for (const [name, value] of Object.entries(options))
    if (!known.includes(name) && value !== undefined)
      throw invalidPipeline(`Cannot ${what}: there is no option ${name}. Expected ${known.join(', ') || 'none'}.`)
}

/** A value as an error message shows it: short, and never throwing itself. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
    case 'bigint':
      return `${value}n`
    case 'function':
      return 'a function'
    case 'object':
      return value === null ? 'null' : Array.isArray(value) ? 'an array' : 'an object'
    default:
      return String(value)
  }
}

/** Freezes plain data (a tree, no cycles) to its last leaf, and returns it. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const part of Object.values(value)) deepFreeze(part)
  return Object.freeze(value)
}
