import type { Value } from '../../lib/columns/batch.ts'
import type { Field, Fields } from '../../lib/columns/schema.ts'

/** A slow JSON decoder by docs/reference/json-decoding.md, written apart from ours: TextDecoder, JSON.parse and its source texts. */

export type Verdict =
  | { readonly row: Record<string, Value> }
  /** `invalid`: not UTF-8 or not JSON; which of the two comes first is not the reference's business. */
  | { readonly reason: 'empty_value' | 'invalid' | 'not_an_object' | 'missing_field' | 'wrong_type' | 'out_of_range' }

export function referenceDecode(fields: Fields, bytes: Uint8Array): Verdict {
  if (bytes.length === 0) return { reason: 'empty_value' }
  let text: string
  const sources = new Map<unknown, Map<string, string>>()
  let root: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    root = JSON.parse(text, function (this: unknown, key: string, value: unknown, context?: { source?: string }) {
      if (context?.source !== undefined) {
        const own = sources.get(this) ?? new Map<string, string>()
        sources.set(this, own.set(key, context.source))
      }
      return value
    } as (this: unknown, key: string, value: unknown) => unknown)
  } catch {
    return { reason: 'invalid' }
  }
  for (const [string] of text.matchAll(/"(?:[^"\\]|\\.)*"/gs))
    if (!(JSON.parse(string) as string).isWellFormed()) return { reason: 'invalid' }
  if (typeof root !== 'object' || root === null || Array.isArray(root)) return { reason: 'not_an_object' }
  const row: Record<string, Value> = {}
  for (const field of fields) {
    if (!Object.hasOwn(root, field.name)) {
      if (field.required) return { reason: 'missing_field' }
      row[field.name] = null
      continue
    }
    const value = columnValue(field, (root as Record<string, unknown>)[field.name], sources.get(root)?.get(field.name) ?? '')
    if (value === 'wrong_type' || value === 'out_of_range') return { reason: value }
    row[field.name] = typeof value === 'object' && value !== null ? value.text : value
  }
  return { row }
}

function columnValue(
  field: Field,
  value: unknown,
  source: string,
): boolean | number | bigint | { text: string } | null | 'wrong_type' | 'out_of_range' {
  if (value === null) return field.required ? 'wrong_type' : null
  switch (field.type) {
    case 'boolean':
      return typeof value === 'boolean' ? value : 'wrong_type'
    case 'string':
      return typeof value === 'string' ? { text: value } : 'wrong_type'
    case 'double':
      if (typeof value !== 'number') return 'wrong_type'
      return Number.isFinite(value) ? value : 'out_of_range'
    case 'int':
    case 'long': {
      if (typeof value !== 'number' || /[.eE]/.test(source)) return 'wrong_type'
      const exact = BigInt(source)
      if (BigInt.asIntN(field.type === 'int' ? 32 : 64, exact) !== exact) return 'out_of_range'
      return field.type === 'int' ? Number(exact) : exact
    }
    default:
      throw new Error(`no JSON form: ${field.type}`)
  }
}
