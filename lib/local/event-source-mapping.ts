import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf, refused, unavailable } from '../errors.ts'
import { connectKafka } from './kafka.ts'
import { emptyEventBytes, eventStart, mapRecords, PAYLOAD_LIMIT_BYTES, partitionName, type ReadMessage } from './mapping-event.ts'
import { checkMapping, groupOffsets, type StartingPosition, startOffsets } from './mapping-group.ts'
import { createGate, createRunner, type FunctionOptions, type MappingTime } from './mapping-run.ts'
import { createSchedule, type TopicPartition } from './mapping-schedule.ts'
import { systemRandom } from './system.ts'

export interface MappingOptions extends FunctionOptions {
  readonly topics: readonly string[]
  /** A group that has committed goes on from there. @default a new one, as AWS makes for each mapping */
  readonly consumerGroup?: string
  /** Where partitions start for which the group has committed nothing. @default TRIM_HORIZON */
  readonly startingPosition?: StartingPosition
  /** 1 to 10,000 records. @default 100 */
  readonly batchSize?: number
  /** 0 to 300,000 ms. @default 500 */
  readonly batchingWindowMs?: number
  /** Invocations at once; never two of one partition. @default 4 */
  readonly maxConcurrency?: number
  /** Stops the mapping. */
  readonly signal?: AbortSignal
  /** @default the machine's */
  readonly time?: MappingTime
}

export interface Mapping {
  /**
   * Resolves when all up to the broker's end at the time of the call is done and committed, of the partitions that the group
   * gave this mapping. Rejects when the mapping stops or fails before.
   */
  caughtUp(): Promise<void>
  /** Ends after the invocations under way, and commits what they did. Rejects with what the mapping failed of, if it did. */
  stop(): Promise<void>
}

/** Bytes asked of one partition at once, as the broker holds them: compressed. */
const FETCH_BYTES = 1024 * 1024
const FETCH_WAIT_MS = 100
/** Serialised records that wait, all partitions together. */
const BUFFER_BYTES = 64 * 1024 * 1024
const SESSION_TIMEOUT_MS = 10_000
const HEARTBEAT_MS = 2000
const DEFAULTS = { batchSize: 100, batchingWindowMs: 500, maxConcurrency: 4 }

const byTopic = ({ topic, partition }: TopicPartition) => ({ topic, partitions: [partition] })

const machineTime: MappingTime = {
  now: () => Date.now(),
  wait: (ms, signal) => delay(ms, undefined, { signal }),
}

/**
 * Polls Kafka and calls a function as AWS documents it for its Kafka event source mappings (Amazon MSK and self-managed): at
 * least once, each partition in offset order and by one invocation at a time, several partitions in one payload. Offsets are
 * committed to the consumer group behind what is done. Memory is bounded: `BUFFER_BYTES`, a fetch, and the payloads under way.
 * A record that no payload can hold goes to the destination; without one the mapping fails rather than lose it.
 */
export async function startMapping(options: MappingOptions): Promise<Mapping> {
  const { topics, provisioned, signal, time = machineTime } = options
  const { batchSize, batchingWindowMs, maxConcurrency } = { ...DEFAULTS, ...options }
  checkMapping({ topics, batchSize, batchingWindowMs, maxConcurrency, provisioned })
  const start = eventStart(options)
  const schedule = createSchedule(
    { batchSize, windowMs: batchingWindowMs, payloadBytes: PAYLOAD_LIMIT_BYTES, emptyBytes: emptyEventBytes(start) },
    { partitionBytes: PAYLOAD_LIMIT_BYTES, totalBytes: BUFFER_BYTES },
  )
  const ending = new AbortController()
  setMaxListeners(0, ending.signal)
  const tasks = new Set<Promise<void>>()
  const waiters = new Set<() => void>()
  const committed = new Map<string, number>()
  let assigned: readonly TopicPartition[] = []
  /** Offsets to start at after the first join. */
  let starts: ReadonlyMap<string, number> = new Map()
  let paused = new Map<string, TopicPartition>()
  /** False while kafkajs reconnects: it takes neither commits nor pauses then. */
  let isJoined = false
  let committing: Promise<void> | undefined
  let windowEndsMs: number | undefined
  let failure: unknown
  let ended: Promise<void> | undefined

  const groupId = options.consumerGroup ?? systemRandom.uuid()
  const connection = await connectKafka(options.brokers)
  const consumer = connection.kafka.consumer({
    groupId,
    allowAutoTopicCreation: false,
    maxBytesPerPartition: FETCH_BYTES,
    maxWaitTimeInMs: FETCH_WAIT_MS,
    sessionTimeout: SESSION_TIMEOUT_MS,
    heartbeatInterval: HEARTBEAT_MS,
    retry: { retries: 8 },
  })

  const fail = (error: unknown) => {
    if (ending.signal.aborted) return
    failure = error
    end().catch(() => {})
  }
  const wait = (ms: number) => time.wait(ms, ending.signal).catch(() => {})
  const gate = createGate(maxConcurrency)
  const run = createRunner({ ...options, start, schedule, time, gate, signal: ending.signal, onProgress: () => changed() })

  const changed = () => {
    pump()
    commit().catch(fail)
    for (const check of waiters) check()
  }

  /** One invocation after another, as long as there are batches and room. */
  const pump = () => {
    if (ending.signal.aborted) return
    while (gate.isOpen()) {
      const next = schedule.next(time.now())
      if (next.kind === 'none') break
      if (next.kind === 'wait') {
        wakeAt(next.untilMs)
        break
      }
      const task = run(next)
        .catch(fail)
        .finally(() => {
          tasks.delete(task)
          changed()
        })
      tasks.add(task)
    }
    pauseFull()
  }

  const wakeAt = (atMs: number) => {
    if (windowEndsMs !== undefined && windowEndsMs <= atMs) return
    windowEndsMs = atMs
    void wait(atMs - time.now()).then(() => {
      if (windowEndsMs === atMs) windowEndsMs = undefined
      pump()
    })
  }

  const pauseFull = () => {
    if (!isJoined) return
    const full = new Map(schedule.full().map((one) => [partitionName(one.topic, one.partition), one]))
    consumer.pause([...full].flatMap(([name, one]) => (paused.has(name) ? [] : [byTopic(one)])))
    consumer.resume([...paused].flatMap(([name, one]) => (full.has(name) ? [] : [byTopic(one)])))
    paused = full
  }

  const uncommitted = () => [...schedule.progress()].filter(([name, { offset }]) => committed.get(name) !== offset)

  /** One commit at a time, of whatever is done by then. What a rebalance refuses is committed after the next join. */
  const commit = (): Promise<void> => {
    committing ??= commitAll().finally(() => {
      committing = undefined
    })
    return committing
  }
  const commitAll = async (): Promise<void> => {
    for (let offsets = uncommitted(); isJoined && offsets.length > 0; offsets = uncommitted()) {
      const tried = offsets.map(([, { topic, partition, offset }]) => ({ topic, partition, offset: String(offset) }))
      try {
        await consumer.commitOffsets(tried)
      } catch (cause) {
        if (isRebalance(cause)) return
        throw unavailable(`Cannot commit offsets of group ${groupId}: ${messageOf(cause)}. Start again: nothing is lost.`, {
          cause,
        })
      }
      // kafkajs resolves without having committed while it reconnects; it joins again after that.
      if (offsets.some(([name, { offset }]) => committed.get(name) !== offset)) return
      for (const check of waiters) check()
    }
  }

  const arrived = (from: TopicPartition, messages: readonly ReadMessage[], lastOffset: string) => {
    const records = mapRecords(from.topic, from.partition, messages)
    if (schedule.arrived(from, records, Number(lastOffset) + 1, time.now()) === 'rewound')
      fail(
        refused(
          `Cannot read ${from.topic}-${from.partition}: expected offsets to go up, found offset ${records[0].offset} again. The topic was created again; start with a new consumer group.`,
        ),
      )
    changed()
  }

  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    assigned = Object.entries(payload.memberAssignment).flatMap(([topic, list]) =>
      list.map((partition) => ({ topic, partition })),
    )
    schedule.assign(assigned)
    isJoined = true
    for (const { topic, partition } of assigned) {
      const offset = starts.get(partitionName(topic, partition))
      if (offset === undefined) continue
      consumer.seek({ topic, partition, offset: String(offset) })
      schedule.startAt(partitionName(topic, partition), offset)
    }
    // Committed from here on, by us or by whoever has the other partitions.
    starts = new Map()
    // kafkajs forgets what is paused when it restarts after a crash.
    consumer.resume([...paused.values()].map(byTopic))
    paused.clear()
    changed()
  })
  consumer.on(consumer.events.STOP, () => {
    isJoined = false
  })
  consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }) => {
    for (const { topic, partitions } of payload.topics)
      for (const { partition, offset } of partitions) committed.set(partitionName(topic, partition), Number(offset))
  })
  // Batches of control records alone never reach eachBatch; this event tells that they were passed.
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => arrived(payload, [], payload.lastOffset))
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!payload.restart)
      fail(
        unavailable(`Cannot read from Kafka: ${messageOf(payload.error)}. Start again: nothing is lost.`, {
          cause: payload.error,
        }),
      )
  })

  const end = (): Promise<void> => {
    ended ??= (async () => {
      ending.abort()
      signal?.removeEventListener('abort', onSignal)
      for (const check of waiters) check()
      await Promise.allSettled(tasks)
      if (failure === undefined) await commit().catch((error: unknown) => (failure = error))
      await consumer.disconnect()
      await connection.close()
    })()
    return ended
  }
  const onSignal = () => void end().catch(() => {})

  try {
    starts = await startOffsets(connection, groupId, topics, options.startingPosition ?? 'TRIM_HORIZON')
    await consumer.connect()
    for (const topic of topics) await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => arrived(batch, batch.messages, batch.lastOffset()),
    })
    if (failure !== undefined) throw failure
  } catch (error) {
    await end()
    throw error
  }
  if (signal?.aborted) onSignal()
  else signal?.addEventListener('abort', onSignal, { once: true })

  const doneUpTo = (ends: ReadonlyMap<string, number>): boolean => {
    const progress = schedule.progress()
    const isDone = ({ topic, partition }: TopicPartition) => {
      const name = partitionName(topic, partition)
      const target = ends.get(name)
      return target === undefined || (progress.get(name)?.offset ?? 0) >= target
    }
    return assigned.every(isDone) && uncommitted().length === 0
  }

  /** By partition with anything to do, where the broker's end is. */
  const endsNow = async (): Promise<Map<string, number>> => {
    const ends = new Map<string, number>()
    const before = await groupOffsets(connection, groupId, topics)
    for (const topic of topics)
      for (const [partition, { low, high }] of await connection.bounds(topic)) {
        const name = partitionName(topic, partition)
        if (low < high && (before.get(name) ?? 0) < high) ends.set(name, high)
      }
    return ends
  }

  return {
    async caughtUp() {
      const ends = await endsNow().catch((error) => {
        // Whatever a connection says that closes because the mapping failed, the failure is what to tell.
        throw failure ?? error
      })
      await new Promise<void>((resolve, reject) => {
        const check = () => {
          if (ending.signal.aborted) reject(failure ?? new Error('The mapping was stopped before it caught up.'))
          else if (doneUpTo(ends)) resolve()
          else return
          waiters.delete(check)
        }
        waiters.add(check)
        check()
      })
    },
    async stop() {
      await end()
      if (failure !== undefined) throw failure
    },
  }
}

const REBALANCE_ERRORS = new Set([
  'REBALANCE_IN_PROGRESS',
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'NOT_COORDINATOR_FOR_GROUP',
])

function isRebalance(error: unknown): boolean {
  const { type, cause } = error as { readonly type?: unknown; readonly cause?: { readonly type?: unknown } }
  return [type, cause?.type].some((name) => typeof name === 'string' && REBALANCE_ERRORS.has(name))
}
