import { createHash, type Hash } from 'node:crypto'
import { expectType } from '../columns/batch.ts'
import { type JsonDecoder, jsonDecoder } from '../columns/decode-json.ts'
import type { Records } from '../columns/records.ts'
import { invalidPipeline, refused } from '../errors.ts'
import type { Plan, SourcePlan } from '../pipeline/plan.ts'
import { type LineChunk, openLines } from './lines.ts'
import { partitionOfKey } from './murmur2.ts'
import { MAX_BATCH_RECORDS, type Source } from './source.ts'
import type { InputPin, Pin } from './source-pin.ts'

/** Partitions when neither the command nor the definition says how many. */
const DEFAULT_PARTITIONS = 4

export interface InputFileOptions {
  readonly plan: Plan
  readonly file: string
  readonly partitions: number | undefined
  readonly pin: Pin
  /** A last line without a line feed is a record (a bounded read), or may still be growing (a followed one). */
  readonly bounded: boolean
}

/**
 * `--input`: a file of JSON values, one a line, as a topic of N partitions. The partition is Kafka's default one for the key
 * column's UTF-8 bytes; a line whose key cannot be decoded has a null key and goes to partition (line number - 1) mod N.
 * The offset is the index in the partition. The warehouse pins file name, N and the digest of what was consumed.
 */
export async function openInputFile(options: InputFileOptions): Promise<Source> {
  const source = onlySource(options.plan)
  const found = await pinned(options, source)
  const { partitions } = found
  const lines = await openLines(options.file, MAX_BATCH_RECORDS)
  const keyOf = keyReader(source)
  const hash = createHash('sha256')
  const next = new Float64Array(partitions)
  let lineNumber = 0
  let position = 0
  let ended = false

  const consume = async (chunk: LineChunk, torn: boolean): Promise<readonly Records[]> => {
    hash.update(chunk.bytes)
    position = chunk.position
    // Pinned before anything of it is staged: after a crash the pin covers at least what the logs hold.
    if (position > found.bytes) await options.pin.set({ ...found, bytes: position, sha256: hash.copy().digest('hex'), torn })
    const batches = spread(source.topic, chunk, keyOf(chunk), partitions, next, lineNumber)
    lineNumber += chunk.count
    return batches
  }

  return {
    async partitionsBySource() {
      return { [source.id]: Array.from({ length: partitions }, (_, p) => p) }
    },
    async next() {
      const whole = await lines.next()
      const chunk = whole ?? (options.bounded ? lines.rest() : undefined)
      ended = chunk === undefined
      return chunk === undefined ? undefined : consume(chunk, whole === undefined)
    },
    progress: () => ({ bytesRead: position, totalBytes: lines.sizeBytes }),
    async partitions() {
      return Array.from({ length: partitions }, (_, p) => p)
    },
    async nothingUnread(_topic, partition, offset) {
      return ended && offset >= next[partition]
    },
    idle: () => [],
    close: () => lines.close(),
  }
}

function onlySource(plan: Plan): SourcePlan {
  const sources = Object.values(plan.sources)
  if (sources.length !== 1)
    throw invalidPipeline(
      `Cannot run ${plan.name} on --input: expected a pipeline with one source, found ${sources.length}. Use --events or --brokers.`,
    )
  return sources[0]
}

/** The pin in force: a new one, or the earlier run's after checking that this is its file and N. */
async function pinned(options: InputFileOptions, source: SourcePlan): Promise<InputPin> {
  const name = options.file.slice(options.file.lastIndexOf('/') + 1)
  const before = options.pin.value
  // The JSON key: it is what lines are spread by.
  const field = source.input.find(({ name }) => name === source.key)
  const key = field?.jsonKey ?? field?.name ?? null
  if (before === undefined) {
    const partitions = options.partitions ?? source.partitions ?? DEFAULT_PARTITIONS
    const sha256 = createHash('sha256').digest('hex')
    const pin: InputPin = { kind: 'input', file: name, partitions, bytes: 0, sha256, key, torn: false }
    await options.pin.set(pin)
    return pin
  }
  const other = (expected: string, found: string) =>
    refused(
      `Cannot run on ${options.file}: expected ${expected}, found ${found}. This warehouse has read part of it; use a new --warehouse for other input.`,
    )
  if (before.kind !== 'input') throw other('a Kafka topic or events, as in the run before', 'an input file')
  if (before.file !== name) throw other(`the file ${before.file}`, name)
  if (options.partitions !== undefined && before.partitions !== options.partitions)
    throw other(`--partitions ${before.partitions}`, `--partitions ${options.partitions}`)
  if (before.key !== key)
    throw other(`a source with ${before.key === null ? 'no key' : `key ${before.key}`}, as in the run before`, key ?? 'no key')
  const digest = await prefixDigest(options.file, before.bytes)
  if (digest !== before.sha256) throw other(`a file that begins with the ${before.bytes} bytes already read`, 'other bytes')
  if (before.torn && !(await endsLineAt(options.file, before.bytes)))
    throw other(`the line that ended at byte ${before.bytes} without a line feed to end there`, 'more of it')
  return before
}

/** True when nothing or a line feed follows. */
async function endsLineAt(file: string, position: number): Promise<boolean> {
  const { createReadStream } = await import('node:fs')
  const next: Buffer[] = []
  for await (const chunk of createReadStream(file, { start: position, end: position + 1 })) next.push(chunk as Buffer)
  return /^(?:$|\n|\r\n)/.test(Buffer.concat(next).toString('latin1'))
}

async function prefixDigest(file: string, bytes: number): Promise<string> {
  const { createReadStream } = await import('node:fs')
  const hash: Hash = createHash('sha256')
  if (bytes > 0)
    for await (const chunk of createReadStream(file, { end: bytes - 1, highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

interface Keys {
  /** Key entry of each line; -1 for a null key. */
  readonly entry: Int32Array
  readonly keys: readonly Uint8Array[]
}

/** Reads the key column alone of every line, a dictionary entry a distinct key, so that each key is hashed once. */
function keyReader(source: SourcePlan): (chunk: LineChunk) => Keys {
  const field = source.input.find((candidate) => candidate.name === source.key)
  const decoder: JsonDecoder | undefined = field && jsonDecoder([{ ...field, id: 1, required: false }])
  return (chunk) => {
    const entry = new Int32Array(chunk.count).fill(-1)
    if (decoder === undefined) return { entry, keys: [] }
    const { batch, indexes } = decoder.decode(asRecords('', 0, chunk), 0, chunk.count)
    const { codes, entries, offsets, bytes, validity } = expectType(batch.vectors[0], 'string')
    for (let i = 0; i < batch.rows; i++)
      if (validity === undefined || validity[i] === 1) entry[indexes[i]] = codes === undefined ? i : codes[i]
    return { entry, keys: Array.from({ length: entries }, (_, k) => bytes.subarray(offsets[k], offsets[k + 1])) }
  }
}

/** A chunk's lines as the records of one partition. */
function asRecords(topic: string, partition: number, chunk: LineChunk): Records {
  return {
    topic,
    partition,
    count: chunk.count,
    offsets: new Float64Array(chunk.count),
    timestamps: new Float64Array(chunk.count).fill(Number.NaN),
    bytes: chunk.bytes,
    valueStart: chunk.start,
    valueEnd: chunk.end,
    key: () => null,
  }
}

/** Lines to partitions, each in file order; the values stay where they are. Moves `next` on. */
function spread(
  topic: string,
  chunk: LineChunk,
  { entry, keys }: Keys,
  partitions: number,
  next: Float64Array,
  firstLine: number,
): Records[] {
  const partitionOf = keys.map((key) => partitionOfKey(key, partitions))
  const target = new Int32Array(chunk.count)
  const counts = new Int32Array(partitions)
  for (let i = 0; i < chunk.count; i++) {
    target[i] = entry[i] < 0 ? (firstLine + i) % partitions : partitionOf[entry[i]]
    counts[target[i]]++
  }
  const batches: Records[] = []
  for (let partition = 0; partition < partitions; partition++) {
    const count = counts[partition]
    if (count === 0) continue
    const offsets = new Float64Array(count)
    const valueStart = new Int32Array(count)
    const valueEnd = new Int32Array(count)
    const lineOf = new Int32Array(count)
    let n = 0
    for (let i = 0; i < chunk.count; i++) {
      if (target[i] !== partition) continue
      offsets[n] = next[partition]++
      valueStart[n] = chunk.start[i]
      valueEnd[n] = chunk.end[i]
      lineOf[n++] = i
    }
    batches.push({
      topic,
      partition,
      count,
      offsets,
      timestamps: new Float64Array(count).fill(Number.NaN),
      bytes: chunk.bytes,
      valueStart,
      valueEnd,
      key: (i) => (entry[lineOf[i]] < 0 ? null : keys[entry[lineOf[i]]]),
    })
  }
  return batches
}
