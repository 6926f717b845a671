import { corrupt, refused } from '../errors.ts'
import type { Log } from '../ports/log.ts'

/** What a pipeline has read from, so that another file is never taken for the one whose offsets its logs know. */
export type SourcePin = InputPin | { readonly kind: 'kafka' }

export interface InputPin {
  readonly kind: 'input'
  /** File name, without its directory: a warehouse may move with its input. */
  readonly file: string
  readonly partitions: number
  /** Bytes from the start of the file that have been read, and their digest. */
  readonly bytes: number
  readonly sha256: string
  /** The column that lines are spread by: another one would give them other partitions and offsets. */
  readonly key: string | null
  /** The last of these bytes ended no line, but were taken for one: the line must not have grown since. */
  readonly torn: boolean
}

/** A pipeline's pin in its warehouse. Kept in a log of its own, whose highest entry is in force. */
export interface Pin {
  /** As it was found, or last set. */
  readonly value: SourcePin | undefined
  /** Throws `Refused` when another run has set it since: two runs must not read one file. */
  set(value: SourcePin): Promise<void>
}

/** Older entries are deleted whenever this many have come: nobody reads them. */
const TRIM_EVERY = 256

export async function openPin(log: Log, pipeline: string): Promise<Pin> {
  const key = `pin/${pipeline}`
  const tail = await log.tail(key)
  let slot = tail?.slot ?? 0
  let value = tail === undefined ? undefined : parse(key, tail.value)
  return {
    get value() {
      return value
    },
    async set(next) {
      const text = JSON.stringify(next)
      const put = await log.put(key, slot + 1, text)
      if (!put.won && put.existing !== text)
        throw refused(`Cannot run ${pipeline}: another run reads the same source into this warehouse. Stop one of them.`)
      slot++
      value = next
      if (slot % TRIM_EVERY === 0) await log.trim(key, slot - 1)
    },
  }
}

function parse(key: string, text: string): SourcePin {
  try {
    return JSON.parse(text) as SourcePin
  } catch (cause) {
    throw corrupt(`Cannot read log ${key}: expected JSON. Use a new --warehouse.`, { cause })
  }
}
