import { isDeepStrictEqual } from 'node:util'
import type { Fields } from '../columns/schema.ts'
import { invalidPipeline } from '../errors.ts'
import { deepFreeze, shown } from './check.ts'
import { fingerprintOf } from './fingerprint.ts'
import {
  type AggregateNode,
  type AppendNode,
  DEAD_LETTER_FIELDS,
  lateRow,
  type RowNode,
  rowOf,
  type SourceNode,
  sourceOf,
  wholeRow,
} from './nodes.ts'
import type { Pipeline } from './pipeline.ts'
import type { AggregatePlan, Output, Plan, SourcePlan, Step, TablePlan } from './plan.ts'
import type { TableLayout } from './transforms.ts'

/**
 * Resolves a pipeline into the plan that every part of the runtime interprets: the same definition gives the same plan,
 * frozen to its leaves. Throws `InvalidPipeline` for what only shows in the whole: tables, sources and operators that share
 * a name, a result that is kept twice.
 */
export function planOf(pipeline: Pipeline): Plan {
  if ((pipeline as Partial<Pipeline> | null | undefined)?.kind !== 'pipeline')
    throw invalidPipeline(`Cannot plan: expected a pipeline made by pipeline(), found ${shown(pipeline)}. Export one by default.`)
  const what = `define pipeline ${pipeline.name}`
  const sources = new Map<SourceNode, Output[]>()
  const operators = new Map<string, AggregatePlan>()
  const tables = new Map<string, TablePlan>()
  const kept = new Map<AggregateNode, string>()

  const addTable = (name: string, fields: Fields, layout: TableLayout) => {
    if (tables.has(name))
      throw invalidPipeline(`Cannot ${what}: two streams go to table ${name}. Give one of them another table.`)
    tables.set(name, tablePlan(name, fields, layout))
  }

  for (const sink of pipeline.sinks) {
    const source = sourceOf(sink.input)
    const outputs = sources.get(source) ?? []
    sources.set(source, outputs)
    addTable(sink.table, rowOf(sink.input), sink)
    if (sink.input.kind !== 'aggregate') {
      outputs.push({ kind: 'rows', table: sink.table, steps: stepsOf(sink.input) })
      continue
    }
    const earlier = kept.get(sink.input)
    if (earlier !== undefined)
      throw invalidPipeline(
        `Cannot ${what}: one result goes to both ${earlier} and ${sink.table}, expected one table. Aggregate twice, or read the one table.`,
      )
    kept.set(sink.input, sink.table)
    const operator = operatorOf(sink, sink.input, source)
    if (operators.has(operator.id))
      throw invalidPipeline(`Cannot ${what}: two aggregates have the id ${operator.id}. Give one of them another.`)
    operators.set(operator.id, operator)
    if (sink.late !== undefined) addTable(operator.lateTable, lateRow(sink.input), sink.late)
    outputs.push({ kind: 'aggregate', operator: operator.id, steps: stepsOf(sink.input.input.input.input) })
  }

  addDeadLetters(what, [...sources.keys()], tables)
  return deepFreeze({
    name: pipeline.name,
    namespace: pipeline.namespace,
    sources: sourcePlans(what, sources),
    operators: Object.fromEntries(operators),
    tables: Object.fromEntries(tables),
  })
}

function tablePlan(name: string, fields: Fields, { partitionBy, sortBy, properties, maintenance }: TableLayout): TablePlan {
  return { name, fields, partitionBy, sortBy, properties, maintenance }
}

function stepsOf(node: RowNode): readonly Step[] {
  switch (node.kind) {
    case 'kafka':
      return []
    case 'filter':
      return [...stepsOf(node.input), { kind: 'filter', predicate: node.predicate }]
    case 'compute': {
      const { name, expression, required } = node
      return [...stepsOf(node.input), { kind: 'compute', name, expression, required }]
    }
    case 'select':
      return stepsOf(node.input)
  }
}

function operatorOf(sink: AppendNode, node: AggregateNode, source: SourceNode): AggregatePlan {
  const { windowMs, allowedLatenessMs, input: keyed } = node.input
  return {
    id: node.id ?? sink.table,
    source: source.id,
    input: wholeRow(keyed.input),
    keys: keyed.keys,
    windowMs,
    allowedLatenessMs,
    aggregates: node.aggregates,
    fingerprint: fingerprintOf(node),
    table: sink.table,
    lateTable: sink.late?.table ?? `${sink.table}_late`,
  }
}

/** Sources may share a dead-letter table, but with nothing else, and of one layout. */
function addDeadLetters(what: string, sources: readonly SourceNode[], tables: Map<string, TablePlan>): void {
  const shared = new Map<string, TablePlan>()
  for (const { deadLetters } of sources) {
    const { table } = deadLetters
    const plan = tablePlan(table, DEAD_LETTER_FIELDS, deadLetters)
    const earlier = shared.get(table)
    if (earlier !== undefined && !isDeepStrictEqual(earlier, plan))
      throw invalidPipeline(`Cannot ${what}: two sources share the dead-letter table ${table} but lay it out differently.`)
    if (earlier === undefined && tables.has(table))
      throw invalidPipeline(
        `Cannot ${what}: table ${table} takes both a stream and dead letters. Name another by deadLetters: { table }.`,
      )
    shared.set(table, plan)
    tables.set(table, plan)
  }
}

function sourcePlans(what: string, sources: ReadonlyMap<SourceNode, readonly Output[]>): Readonly<Record<string, SourcePlan>> {
  const plans = new Map<string, SourcePlan>()
  const topics = new Set<string>()
  for (const [node, outputs] of sources) {
    const { kind, deadLetters, ...rest } = node
    if (plans.has(node.id))
      throw invalidPipeline(
        `Cannot ${what}: two sources have the id ${node.id}. Use one kafka() value for both streams, or give one an id.`,
      )
    if (topics.has(node.topic))
      throw invalidPipeline(`Cannot ${what}: two sources read topic ${node.topic}. Use one kafka() value for both streams.`)
    topics.add(node.topic)
    plans.set(node.id, { ...rest, deadLetters: deadLetters.table, outputs })
  }
  return Object.fromEntries(plans)
}
