import { Duration, Token } from 'aws-cdk-lib'
import { usage } from '../../lib/errors.ts'
import type { StreamingPipelineProps } from './props.ts'

/** Properties that may say `'never'`. */
export const SCHEDULES = ['compactEvery', 'expireEvery', 'orphansEvery', 'trimEvery'] as const

/**
 * Throws `Usage` for values that have to be known while the stack is synthesized, and are known only when it is deployed
 * (parameters, attributes of resources): they are checked, counted with, or part of names.
 */
export function assertKnown(what: string, props: StreamingPipelineProps): void {
  const { batchSize, ingestMemoryMb, commitMemoryMb, commitConcurrency, prefix, database } = props
  const { batchWindow, ingestTimeout, commitTimeout, commitEvery, compactMemoryMb, compactConcurrency } = props
  const { watermarkLag, ...thresholds } = props.alarmThresholds ?? {}
  const values = {
    ...{ batchSize, ingestMemoryMb, commitMemoryMb, commitConcurrency, prefix, database },
    ...{ compactMemoryMb, compactConcurrency },
    ...named('pollers', { minimum: props.pollers?.minimum, maximum: props.pollers?.maximum }),
    ...named('partitions', props.partitions ?? {}),
    ...named('alarmThresholds', thresholds),
  }
  const durations = {
    ...{ batchWindow, ingestTimeout, commitTimeout, commitEvery },
    ...Object.fromEntries(SCHEDULES.map((name) => [name, props[name] === 'never' ? undefined : props[name]])),
    ...named('alarmThresholds', { watermarkLag }),
  }
  for (const [name, value] of Object.entries(durations))
    if (value !== undefined && !(value instanceof Duration))
      throw usage(
        `${what}: expected ${name} as a Duration, found ${shown(value)}. Write Duration.minutes(…)${SCHEDULES.some((one) => one === name) ? ", or 'never'" : ''}.`,
      )
  const open = [
    ...Object.entries(values).filter(([, value]) => Token.isUnresolved(value)),
    ...Object.entries(durations).filter(([, value]) => value?.isUnresolved()),
  ]
  for (const [name] of open)
    throw usage(
      `${what}: expected ${name} to be known when the stack is synthesized, found a value that is known only when the stack is deployed. Write it here.`,
    )
}

/** What was found, in a sentence: texts in quotes, as a text that holds a number looks like one. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? `'${value}', a string` : String(value)
}

function named<T>(prefix: string, values: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}.${name}`, value]))
}
