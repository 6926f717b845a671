import type { Records } from '../../lib/columns/records.ts'
import type { Broker } from '../../lib/ports/broker.ts'
import type { Rng } from './kernel.ts'

/** A decoded input, by column name, in plain JavaScript values: longs are bigint, doubles are numbers. */
export type Row = Readonly<Record<string, string | number | bigint | boolean | null>>

/** A record as it was produced, with what it stands for: `row` is undefined where it must become a dead letter. */
export interface SimRecord {
  readonly partition: number
  readonly offset: number
  /** NaN: none. */
  readonly timestamp: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly row: Row | undefined
  readonly eventTimeMs: number
}

export interface SimTopic {
  readonly name: string
  /** All records there will ever be, by partition, ascending by offset. */
  readonly partitions: readonly (readonly SimRecord[])[]
}

/** The broker: which of a topic's records are there yet. */
export interface SimBroker extends Broker {
  readonly topic: SimTopic
  /** Records there are, by partition. */
  readonly produced: number[]
  /** Offset after the last record there is (0: none). */
  end(partition: number): number
  produce(partition: number): void
  /** The records of a partition with `from <= offset`, at most `max`. */
  fetch(partition: number, from: number, max: number): readonly SimRecord[]
}

export function createBroker(topic: SimTopic): SimBroker {
  const produced = topic.partitions.map(() => 0)
  const end = (partition: number) =>
    produced[partition] === 0 ? 0 : topic.partitions[partition][produced[partition] - 1].offset + 1
  return {
    topic,
    produced,
    end,
    produce(partition) {
      produced[partition]++
    },
    fetch: (partition, from, max) =>
      topic.partitions[partition]
        .slice(0, produced[partition])
        .filter((record) => record.offset >= from)
        .slice(0, max),
    partitions: async () => topic.partitions.map((_, partition) => partition),
    nothingUnread: async (_, partition, offset) => end(partition) <= offset,
  }
}

/** An event as a poller hands it to a function: the values of all its partitions lie in one buffer. */
export function deliveriesOf(topic: string, lists: readonly (readonly SimRecord[])[]): Records[] {
  const values = lists.flat().map((record) => record.value ?? new Uint8Array())
  const bytes = Uint8Array.from(Buffer.concat(values))
  let at = 0
  return lists
    .filter((list) => list.length > 0)
    .map((list) => {
      const valueStart = new Int32Array(list.length)
      const valueEnd = new Int32Array(list.length)
      for (const [i, record] of list.entries()) {
        valueStart[i] = record.value === null ? -1 : at
        at += record.value?.length ?? 0
        valueEnd[i] = record.value === null ? -1 : at
      }
      return {
        topic,
        partition: list[0].partition,
        count: list.length,
        offsets: Float64Array.from(list, (record) => record.offset),
        timestamps: Float64Array.from(list, (record) => record.timestamp),
        bytes,
        valueStart,
        valueEnd,
        key: (i) => list[i].key,
      }
    })
}

/** What one record says, made by a workload. */
export interface Content {
  readonly value: string | Uint8Array | null
  readonly key: string | null
  readonly row: Row | undefined
  readonly eventTimeMs: number
}

export interface TopicShape {
  readonly partitions: number
  readonly records: number
  readonly withTimestamps: boolean
  readonly startMs: number
  /** Chance that offsets skip, as behind transaction markers and compaction. */
  readonly gaps: number
}

/** Lays out a topic: offsets with gaps, event times that jump around the windows, Kafka timestamps that wander a little. */
export function layOut(
  rng: Rng,
  name: string,
  shape: TopicShape,
  content: (rng: Rng, eventTimeMs: number, kafkaMs: number) => Content,
): SimTopic {
  const utf8 = new TextEncoder()
  const partitions: SimRecord[][] = Array.from({ length: shape.partitions }, () => [])
  const offsets = partitions.map(() => (rng.chance(0.3) ? rng.int(1000) : 0))
  const times = partitions.map(() => shape.startMs + rng.between(-90_000, 90_000))
  const weights = partitions.map(() => (rng.chance(0.15) ? 0.05 : 0.2 + rng.next()))
  const heavy = Math.max(...weights)
  const seen: number[] = []
  for (let i = 0; i < shape.records; i++) {
    let partition = rng.int(shape.partitions)
    while (rng.next() * heavy > weights[partition]) partition = rng.int(shape.partitions)
    times[partition] += rng.chance(0.1) ? rng.between(30_000, 200_000) : rng.between(0, 25_000)
    const jitter = rng.chance(0.12) ? -rng.between(20_000, 260_000) : rng.chance(0.5) ? rng.between(-9_000, 9_000) : 0
    // Now and then exactly on a window's edge, where off-by-one lives.
    const raw = times[partition] + jitter
    const edged = rng.chance(0.15) ? Math.round(raw / 5000) * 5000 : raw
    // Now and then at the same moment as another record, where the order of partitions and offsets decides.
    const eventTimeMs = seen.length > 0 && rng.chance(0.12) ? rng.pick(seen) : edged
    seen.push(eventTimeMs)
    const kafkaMs = times[partition] + rng.between(-2_000, 2_000)
    const made = content(rng, eventTimeMs, shape.withTimestamps ? kafkaMs : Number.NaN)
    if (rng.chance(shape.gaps)) offsets[partition] += rng.between(1, 3)
    partitions[partition].push({
      partition,
      offset: offsets[partition]++,
      timestamp: shape.withTimestamps ? kafkaMs : Number.NaN,
      key: made.key === null ? null : utf8.encode(made.key),
      value: made.value === null ? null : typeof made.value === 'string' ? utf8.encode(made.value) : made.value,
      row: made.row,
      eventTimeMs: made.eventTimeMs,
    })
  }
  return { name, partitions }
}
