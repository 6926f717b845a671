import { trade } from '../runtime/world.ts'

/** A text that no line of a function may hold. */
export const SECRET = 'sEcReTsEcReT'

/** In base64 a text looks different by where it begins. */
const base64After = (before: number) =>
  Buffer.from('x'.repeat(before) + SECRET)
    .toString('base64')
    .slice(4, 12)
/** How it would look in a line. */
export const FORMS = [SECRET, SECRET.toLowerCase(), Buffer.from(SECRET).toString('hex'), ...[0, 1, 2].map(base64After)]

const POISON = [
  SECRET,
  `"${SECRET}"`,
  `{"symbol":"${SECRET}`,
  `{"symbol":"${SECRET}","ts":"${SECRET}","price":1,"qty":1}`,
  `{"symbol":{"${SECRET}":1},"ts":1,"price":"${SECRET}","qty":1}`,
  `{"symbol":"A","ts":1e300,"price":1,"qty":1,"${SECRET}":"${SECRET}"}`,
]

export interface KafkaEvent {
  readonly eventSource: string
  readonly records: Readonly<Record<string, readonly { readonly value: string | null }[]>>
}

export interface Batch {
  readonly offset?: number
  readonly values: readonly (string | null)[]
  readonly timestamp?: number
  readonly key?: string
}

/** An event of topic trades as Lambda delivers it, batches by partition. */
export function eventOf(partitions: Record<number, Batch>): KafkaEvent {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const records = Object.entries(partitions).map(([p, { offset = 0, values, timestamp, key }]) => [
    `trades-${p}`,
    values.map((value, i) => ({
      topic: 'trades',
      partition: Number(p),
      offset: offset + i,
      ...(timestamp !== undefined && { timestamp, timestampType: 'CREATE_TIME' }),
      ...(key !== undefined && { key: base64(key) }),
      value: value === null ? null : base64(value),
      headers: [{ h: [...Buffer.from(key ?? '')] }],
    })),
  ])
  return { eventSource: 'aws:kafka', records: Object.fromEntries(records) }
}

/** Of two partitions: the secret in good records, late ones and six kinds of poison, as value, key, field and header. */
export function secretEvent(): KafkaEvent {
  const values = [trade(SECRET, 10, 1), trade(SECRET, 900, 1), trade(SECRET, 11, 1), ...POISON]
  return eventOf({ 0: { values, key: SECRET }, 1: { values, key: SECRET } })
}

/** Events that are none, each for something in its only record: poison with the secret in it. */
export function misshapenEvents(): KafkaEvent[] {
  const { eventSource, records } = secretEvent()
  const poisoned = records['trades-0']?.at(-1)
  const changes = [{ value: `!${SECRET}!` }, { value: { [SECRET]: 1 } }, { key: { [SECRET]: 1 } }, { offset: -1 }]
  return changes.map(
    (change) => ({ eventSource, records: { 'trades-0': [{ ...poisoned, ...change }] } }) as unknown as KafkaEvent,
  )
}
