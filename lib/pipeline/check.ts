import { invalidPipeline } from '../errors.ts'
import { KAFKA_COLUMNS } from './plan.ts'

/** Columns that Frazil itself adds to rows, results and late rows. */
const RESERVED: readonly string[] = [...KAFKA_COLUMNS, 'window_start', 'window_end', 'watermark']

const MAX_NAME_LENGTH = 128

/** Names of pipelines, namespaces, tables, operators and columns. Throws `InvalidPipeline`; `what` ends "Cannot ". */
export function checkName(what: string, name: unknown): string {
  if (typeof name !== 'string' || !/^[a-z][a-z0-9_]*$/.test(name))
    throw invalidPipeline(
      `Cannot ${what}: expected a name of lower-case letters, digits and underscores that begins with a letter, found ${shown(name)}.`,
    )
  if (name.length > MAX_NAME_LENGTH)
    throw invalidPipeline(`Cannot ${what}: expected a name of at most ${MAX_NAME_LENGTH} characters, found ${name.length}.`)
  return name
}

/** A name for a column that the definition adds: a plain name, and none of Frazil's own. */
export function checkColumnName(what: string, name: unknown): string {
  const checked = checkName(what, name)
  if (RESERVED.includes(checked) || checked.startsWith('kafka_'))
    throw invalidPipeline(
      `Cannot ${what}: the name ${checked} is reserved (${RESERVED.join(', ')}, and all that begin with kafka_). Choose another.`,
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
