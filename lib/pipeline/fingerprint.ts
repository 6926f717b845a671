import { createHash } from 'node:crypto'
import type { Expression } from '../columns/expression.ts'
import { type AggregateNode, fieldOf, type RowNode, sourceOf } from './nodes.ts'

/**
 * What the state of an operator means, as 16 hex digits: two definitions with one fingerprint can go on with each other's
 * open windows (protocol rule 19). It covers keys, window, lateness, aggregates, filters, the event time, and how each
 * column these use comes about, from its JSON key on. It leaves out ids, tables, columns that are not used, the watermark's
 * delay, and all source text of callbacks: bundlers change it.
 */
export function fingerprintOf(node: AggregateNode): string {
  const { windowMs, allowedLatenessMs, input: keyed } = node.input
  const { eventTime } = sourceOf(node)
  const filters = filtersOf(keyed.input)
  const used = new Set<string>([...keyed.keys, eventTime])
  for (const { of } of node.aggregates) if (of !== undefined) used.add(of)
  for (const predicate of filters) addColumns(predicate, used)
  const meaning = {
    keys: keyed.keys,
    windowMs,
    allowedLatenessMs,
    aggregates: node.aggregates.map(({ name, fn, of }) => ({ name, fn, of: of ?? null })),
    filters,
    eventTime,
    columns: columnMeanings(keyed.input, used),
  }
  return createHash('sha256').update(canonicalJson(meaning)).digest('hex').slice(0, 16)
}

/** JSON with keys in order and nothing undefined: one text per value. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, part]) => `${JSON.stringify(key)}:${canonicalJson(part)}`).join(',')}}`
}

function filtersOf(node: RowNode): readonly Expression[] {
  if (node.kind === 'kafka') return []
  const before = filtersOf(node.input)
  return node.kind === 'filter' ? [...before, node.predicate] : before
}

/** Of each used column, and what it is computed from in turn: its type as input, or its expression. */
function columnMeanings(node: RowNode, used: ReadonlySet<string>): Readonly<Record<string, unknown>> {
  const source = sourceOf(node)
  const expressions = new Map(source.computed.map(({ name, expression }) => [name, expression]))
  for (let at = node; at.kind !== 'kafka'; at = at.input) if (at.kind === 'compute') expressions.set(at.name, at.expression)
  const meanings: Record<string, unknown> = {}
  const open = [...used]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (Object.hasOwn(meanings, name)) continue
    const expression = expressions.get(name)
    if (expression === undefined) {
      const field = fieldOf(source.row, name)
      const input = source.input.find((candidate) => candidate.name === name)
      meanings[name] = {
        type: field?.type ?? null,
        required: field?.required ?? null,
        input: input !== undefined,
        ...(input?.jsonKey === undefined ? {} : { jsonKey: input.jsonKey }),
      }
      continue
    }
    meanings[name] = { expression }
    const inputs = new Set<string>()
    addColumns(expression, inputs)
    open.push(...inputs)
  }
  return meanings
}

function addColumns(expression: Expression, into: Set<string>): void {
  switch (expression.op) {
    case 'column':
      into.add(expression.name)
      return
    case 'literal':
      return
    case 'and':
    case 'or':
      for (const of of expression.of) addColumns(of, into)
      return
    case 'not':
    case 'isNull':
    case 'timestampMillis':
    case 'timestampSeconds':
      addColumns(expression.of, into)
      return
    default:
      addColumns(expression.left, into)
      addColumns(expression.right, into)
  }
}
