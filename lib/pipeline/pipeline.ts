import { invalidPipeline } from '../errors.ts'
import { checkName, checkOptions, shown } from './check.ts'
import type { AppendNode } from './nodes.ts'
import { planOf } from './plan-of.ts'
import { isSink, type Sink } from './stream.ts'

/**
 * A user's definition: a frozen value, made to be taken by the command line and tests as well as by functions and
 * infrastructure.
 */
export interface Pipeline {
  readonly kind: 'pipeline'
  readonly name: string
  readonly namespace: string
  readonly sinks: readonly AppendNode[]
}

export interface PipelineOptions {
  /** What is kept, and where. */
  readonly sinks: readonly [Sink, ...Sink[]]
  /** Iceberg namespace of all tables. @default the pipeline's name */
  readonly namespace?: string
}

/**
 * Streams and the tables they go to, as one value. A definition that cannot work throws `InvalidPipeline` here, before
 * anything runs.
 *
 * @param name names logs and markers: `[a-z][a-z0-9_]*`
 * @example
 * export default pipeline('trades', {
 *   sinks: [trades.appendTo('raw_trades', { partitionBy: ['day(event_time)'] }), candles.appendTo('agg_1m')],
 * })
 */
export function pipeline(name: string, options: PipelineOptions): Pipeline {
  const checkedName = checkName('define a pipeline', name)
  const what = `define pipeline ${checkedName}`
  checkOptions(what, options, ['sinks', 'namespace'])
  const sinks: unknown = options.sinks
  if (!Array.isArray(sinks) || sinks.length === 0)
    throw invalidPipeline(`Cannot ${what}: expected at least one sink, such as trades.appendTo('raw_trades'), found none.`)
  const made: Pipeline = Object.freeze({
    kind: 'pipeline',
    name: checkedName,
    namespace: namespaceName(what, options.namespace ?? checkedName),
    sinks: Object.freeze(sinks.map((sink: unknown) => sinkNode(what, sink))),
  })
  planOf(made)
  return made
}

/** Schemas that SQL engines keep for themselves: tables there could be written but not asked for. */
const ENGINES_OWN = ['information_schema', 'memory', 'pg_catalog', 'system', 'temp']

function namespaceName(what: string, name: unknown): string {
  const checked = checkName(`${what} in a namespace`, name)
  if (ENGINES_OWN.includes(checked))
    throw invalidPipeline(
      `Cannot ${what}: SQL engines keep the namespace ${checked} for themselves. Choose another name, or set namespace.`,
    )
  return checked
}

function sinkNode(what: string, sink: unknown): AppendNode {
  if (isSink(sink)) return sink.node
  const isStream = typeof sink === 'object' && sink !== null && 'node' in sink
  throw invalidPipeline(
    isStream
      ? `Cannot ${what}: expected sinks, found a stream that goes to no table. End it in .appendTo('a_table').`
      : `Cannot ${what}: expected sinks such as trades.appendTo('raw_trades'), found ${shown(sink)}.`,
  )
}
