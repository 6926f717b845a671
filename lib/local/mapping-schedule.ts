import { type BatchBounds, type NextBatch, nextBatch } from './mapping-batch.ts'
import { type MappedRecord, partitionName, type Run } from './mapping-event.ts'
import type { Batch } from './mapping-retry.ts'

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** Partitions that one batch occupies until all their records in it are done. */
export interface Task {
  readonly runs: readonly Run[]
  /** By partition name: under which assignment it was taken. A partition leaves when it is free again. */
  readonly held: Map<string, number>
}

export type Next =
  | Exclude<NextBatch, { kind: 'invoke' | 'tooLarge' }>
  | { readonly kind: 'invoke' | 'tooLarge'; readonly task: Task }

export interface Schedule {
  /** What the consumer group gave us now. A partition that stays keeps what it holds; one that went is forgotten. */
  assign(partitions: readonly TopicPartition[]): void
  /** A partition that nothing was read of starts here: all before counts as done. */
  startAt(name: string, offset: number): void
  /**
   * Takes what was read, up to `nextOffset` (control records leave no record). `rewound`: offsets went back without a new
   * assignment, so the topic was created again.
   */
  arrived(from: TopicPartition, records: readonly MappedRecord[], nextOffset: number, nowMs: number): 'taken' | 'rewound'
  /** The next batch of partitions that are free; it occupies them. */
  next(nowMs: number): Next
  /** Notes what of the task is left to do, without partitions that are no longer ours, and returns that. */
  advance(task: Task, todo: readonly Batch[]): readonly Batch[]
  /** By partition name: all below this offset is done. */
  progress(): ReadonlyMap<string, TopicPartition & { readonly offset: number }>
  /** Partitions that hold enough: not to be read further for now. */
  full(): readonly TopicPartition[]
}

/** Serialised bytes, beyond which reading pauses; one fetch a partition may come on top. */
export interface BufferBounds {
  /** Waiting records of one partition: enough for any payload. */
  readonly partitionBytes: number
  /** Waiting records and those in tasks, all partitions together. A partition that has neither may still be read. */
  readonly totalBytes: number
}

interface Partition extends TopicPartition {
  readonly name: string
  /** Counts assignments; a task of an earlier one no longer speaks for the partition. */
  assignment: number
  isAssigned: boolean
  isBusy: boolean
  records: MappedRecord[]
  jsonBytes: number
  /** Of the records that its task carries. */
  heldBytes: number
  sinceMs: number
  /** Read up to here; undefined before the first record. */
  position: number | undefined
  /** After a join the group's last commit is where reading starts again: what comes below `position` is known. */
  mayRepeat: boolean
  doneTo: number | undefined
}

/** Who holds which records, which partitions are occupied, and how far each is done. No I/O, no clock of its own. */
export function createSchedule(bounds: BatchBounds, buffers: BufferBounds): Schedule {
  const partitions = new Map<string, Partition>()
  let totalBytes = 0

  const empty = (state: Partition) => {
    totalBytes -= state.jsonBytes
    state.records = []
    state.jsonBytes = 0
  }

  const take = (run: Run, nowMs: number) => {
    const state = partitions.get(run.name)
    if (state === undefined) return
    const takenBytes = run.records.reduce((sum, { jsonBytes }) => sum + jsonBytes, 0)
    state.isBusy = true
    state.records = state.records.slice(run.records.length)
    state.jsonBytes -= takenBytes
    state.heldBytes = takenBytes
    state.sinceMs = nowMs
  }

  /** With nothing left to hand over, control records behind the last record are done too. */
  const settle = (state: Partition) => {
    if (!state.isBusy && state.records.length === 0 && state.position !== undefined) state.doneTo = state.position
  }

  return {
    assign(assigned) {
      const names = new Set(assigned.map(({ topic, partition }) => partitionName(topic, partition)))
      for (const state of partitions.values()) {
        state.mayRepeat = true
        if (!state.isAssigned || names.has(state.name)) continue
        empty(state)
        state.isAssigned = false
        state.position = undefined
        state.doneTo = undefined
        state.assignment++
      }
      for (const { topic, partition } of assigned) {
        const name = partitionName(topic, partition)
        const known = partitions.get(name)
        if (known !== undefined) known.isAssigned = true
        else partitions.set(name, newPartition(name, topic, partition))
      }
    },
    startAt(name, offset) {
      const state = partitions.get(name)
      if (state === undefined) return
      state.position = offset
      state.doneTo = offset
      state.mayRepeat = true
    },
    arrived({ topic, partition }, records, nextOffset, nowMs) {
      const state = partitions.get(partitionName(topic, partition))
      if (state === undefined || !state.isAssigned) return 'taken'
      const position = state.position ?? -1
      if (records.length > 0 && records[0].offset < position && !state.mayRepeat) return 'rewound'
      if (state.records.length === 0) state.sinceMs = nowMs
      for (const record of records) {
        if (record.offset < position) continue
        state.records.push(record)
        state.jsonBytes += record.jsonBytes
        totalBytes += record.jsonBytes
      }
      if (nextOffset >= position) {
        state.position = nextOffset
        state.mayRepeat = false
      }
      settle(state)
      return 'taken'
    },
    next(nowMs) {
      const free = [...partitions.values()].filter(({ isBusy, records }) => !isBusy && records.length > 0)
      const next = nextBatch(
        free.sort((a, b) => a.sinceMs - b.sinceMs),
        bounds,
        nowMs,
      )
      if (next.kind === 'none' || next.kind === 'wait') return next
      for (const run of next.runs) take(run, nowMs)
      const held = new Map(next.runs.map(({ name }) => [name, partitions.get(name)?.assignment ?? 0]))
      return { kind: next.kind, task: { runs: next.runs, held } }
    },
    advance(task, todo) {
      const isOurs = ({ name }: Run) => task.held.get(name) === partitions.get(name)?.assignment
      const left = todo.flatMap((batch) => {
        const runs = batch.runs.filter(isOurs)
        return runs.length === 0 ? [] : [runs.length === batch.runs.length ? batch : { ...batch, runs }]
      })
      const firstLeft = new Map<string, number>()
      for (const { runs } of left)
        for (const { name, records } of runs) if (!firstLeft.has(name)) firstLeft.set(name, records[0].offset)
      for (const run of task.runs) {
        const state = partitions.get(run.name)
        if (state === undefined || !task.held.has(run.name)) continue
        const first = firstLeft.get(run.name)
        if (isOurs(run)) state.doneTo = first ?? run.records[run.records.length - 1].offset + 1
        if (first !== undefined) continue
        task.held.delete(run.name)
        totalBytes -= state.heldBytes
        state.heldBytes = 0
        state.isBusy = false
        settle(state)
      }
      return left
    },
    progress() {
      return new Map(
        [...partitions.values()].flatMap(({ name, topic, partition, isAssigned, doneTo }) =>
          isAssigned && doneTo !== undefined ? [[name, { topic, partition, offset: doneTo }]] : [],
        ),
      )
    },
    full() {
      return [...partitions.values()].filter(
        ({ isAssigned, isBusy, jsonBytes }) =>
          isAssigned && (jsonBytes >= buffers.partitionBytes || (totalBytes >= buffers.totalBytes && (isBusy || jsonBytes > 0))),
      )
    },
  }
}

function newPartition(name: string, topic: string, partition: number): Partition {
  return {
    name,
    topic,
    partition,
    assignment: 0,
    isAssigned: true,
    isBusy: false,
    records: [],
    jsonBytes: 0,
    heldBytes: 0,
    sinceMs: 0,
    position: undefined,
    mayRepeat: false,
    doneTo: undefined,
  }
}
