import { messageOf } from '../errors.ts'
import { column } from '../pipeline/column.ts'
import { minutes } from '../pipeline/durations.ts'
import { kafka } from '../pipeline/source.ts'
import { tumbling } from '../pipeline/stream.ts'
import { timestampMillis } from '../pipeline/terms.ts'
import { nearest } from './nearest.ts'

/**
 * What Node's own error means while a pipeline file loads, where that is a word of the pipeline language that does not exist:
 * what was found and what to do. Undefined when nothing better is known than the error itself.
 *
 * @param exported what there is to import from 'frazil'
 */
export function loadHint(cause: unknown, exported: readonly string[]): string | undefined {
  const message = messageOf(cause)
  const [, from, name] = /^The requested module '(.+)' does not provide an export named '(.+)'/.exec(message) ?? []
  if (from !== undefined) return missingExport(from, name, from === 'frazil' ? exported : [])
  const [, owner, method] = /^(.*)\.(\w+) is not a function$/s.exec(message) ?? []
  return method === undefined ? undefined : missingMethod(owner, method)
}

function missingExport(from: string, name: string, names: readonly string[]): string {
  const near = nearest(name, names)
  const isType = ` If it is a type, write import type { ${name} }.`
  const others = names.length > 0 ? ` There are ${names.join(', ')}.${isType}` : isType
  return `expected ${from} to export ${name}, found no such value.${near === undefined ? others : ` Did you mean ${near}?`}`
}

interface Kind {
  readonly what: string
  /** The source text of such a value, as Node's message quotes it, ends so. */
  readonly text: RegExp
  readonly methods: readonly string[]
}

/** What has methods in the pipeline language; their names come from the values themselves. */
function kinds(): readonly Kind[] {
  const stream = kafka('topic', {
    schema: { ms: column.long() },
    computed: { time: (c) => timestampMillis(c.ms) },
    eventTime: 'time',
    watermark: { delay: minutes(1) },
  })
  const keyed = stream.keyBy('ms')
  const windowed = keyed.window(tumbling(minutes(1)))
  let aggregates: object = {}
  const result = windowed.aggregate((a) => {
    aggregates = a
    return { n: a.count() }
  })
  const kind = (what: string, text: RegExp, value: object): Kind => ({
    what,
    text,
    methods: Object.entries(value).flatMap(([name, part]) => (typeof part === 'function' ? [name] : [])),
  })
  return [
    kind('column', /(^|\.)column$/, column),
    kind('a stream', /(\.(filter|compute|select)|\bkafka)\(\.\.\.\)$/, stream),
    kind('a stream with keys', /\.keyBy\(\.\.\.\)$/, keyed),
    kind('a stream cut into windows', /\.window\(\.\.\.\)$/, windowed),
    kind('a result of aggregate', /\.aggregate\(\.\.\.\)$/, result),
    kind('the argument of aggregate', /^$/, aggregates),
    kind('an expression', /\.(eq|ne|lt|le|gt|ge|add|subtract|multiply|divide|and|or|not|isNull)\(\.\.\.\)$/, timestampMillis(0)),
  ]
}

/** `owner` is the source text before the method, calls written as `keyBy(...)`. */
function missingMethod(owner: string, method: string): string | undefined {
  if (owner.split('.')[0] in globalThis) return undefined
  const all = kinds()
  const list = (names: readonly string[]) => names.map((name) => `.${name}()`).join(', ')
  const owners = all.filter((kind) => kind.methods.includes(method)).map((kind) => kind.what)
  const belongs = owners.length > 0 ? ` Call .${method}() on ${owners.join(' or ')}.` : ''
  const known = all.find((kind) => kind.text.test(owner))
  const near = nearest(method, known?.methods ?? all.flatMap((kind) => kind.methods))
  const meant = near === undefined || near === method ? '' : ` Did you mean .${near}()?`
  if (known !== undefined) return `${known.what} has ${list(known.methods)}, found .${method}().${belongs || meant}`
  // A name alone is a stream or what a callback was handed; c.price is an expression.
  const likely = owner.includes('.') ? ['an expression'] : ['a stream', 'the argument of aggregate']
  const has = all.filter((kind) => likely.includes(kind.what))
  const lists = has.map((kind) => `${kind.what} has ${list(kind.methods)}`).join('; ')
  return `found "${owner}.${method} is not a function".${belongs || meant || ` In frazil ${lists}.`}`
}
