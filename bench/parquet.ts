import { parseArgs } from 'node:util'
import { constants, zstdCompressSync } from 'node:zlib'
import { ByteWriter, parquetWrite } from 'hyparquet-writer'
import type { Batch, Value } from '../lib/columns/batch.ts'
import { batchOf } from '../lib/columns/values.ts'
import { type ParquetFile, parquetWriter } from '../lib/parquet/writer.ts'
import { TRADE_FIELDS, type Trade } from './trade-fields.ts'
import { generateTrades } from './trades.ts'

/**
 * Rows per second of one core (CPU time: a busy machine disturbs it less) of the Parquet writer beside those of
 * hyparquet-writer, on the rows of `raw_trades`: both zstd level 3, each fed what it likes best (typed columns in batches of
 * 10,000; whole columns as arrays), prepared outside the measured region. Rounds take turns; medians are printed as one JSON
 * line.
 */
const BATCH_ROWS = 10_000
const ROUNDS = 5
const ZSTD_LEVEL = 3

function* tradeRows(count: number): Generator<Readonly<Record<string, Value>>> {
  let offset = 0
  for (const chunk of generateTrades({ count }))
    for (const line of chunk.toString('latin1').split('\n')) {
      if (line === '') continue
      const { symbol, ts, price, qty, side } = JSON.parse(line) as Trade
      yield { symbol, ts, price, qty, side, event_time: BigInt(ts) * 1000n, kafka_partition: 0, kafka_offset: offset++ }
    }
}

function tradeBatches(count: number): Batch[] {
  const batches: Batch[] = []
  let rows: Readonly<Record<string, Value>>[] = []
  for (const row of tradeRows(count)) {
    rows.push(row)
    if (rows.length < BATCH_ROWS) continue
    batches.push(batchOf(TRADE_FIELDS, rows))
    rows = []
  }
  if (rows.length > 0) batches.push(batchOf(TRADE_FIELDS, rows))
  return batches
}

function ours(batches: readonly Batch[]): ParquetFile {
  const writer = parquetWriter(TRADE_FIELDS, { zstdLevel: ZSTD_LEVEL })
  for (const batch of batches) writer.append(batch)
  return writer.finish()
}

function peerColumns(batches: readonly Batch[], count: number) {
  const strings = (k: number) => {
    const all: string[] = []
    for (const batch of batches) {
      const vector = batch.vectors[k]
      if (vector?.type !== 'string' || vector.codes === undefined) continue
      const { codes, offsets, bytes } = vector
      const texts = Array.from({ length: vector.entries }, (_, e) =>
        Buffer.from(bytes.subarray(offsets[e], offsets[e + 1])).toString(),
      )
      for (let i = 0; i < batch.rows; i++) all.push(texts[codes[i] ?? 0] ?? '')
    }
    return all
  }
  const fill = <T extends BigInt64Array | Float64Array | Int32Array>(k: number, to: T): T => {
    let at = 0
    for (const batch of batches) {
      const vector = batch.vectors[k]
      if (vector !== undefined && 'values' in vector) to.set(vector.values as never, at)
      at += batch.rows
    }
    return to
  }
  return [
    { name: 'symbol', data: strings(0) },
    { name: 'ts', data: fill(1, new BigInt64Array(count)) },
    { name: 'price', data: fill(2, new Float64Array(count)) },
    { name: 'qty', data: fill(3, new Float64Array(count)) },
    { name: 'side', data: strings(4) },
    { name: 'event_time', data: fill(5, new BigInt64Array(count)) },
    { name: 'kafka_partition', data: fill(6, new Int32Array(count)) },
    { name: 'kafka_offset', data: fill(7, new BigInt64Array(count)) },
  ]
}

function peer(columnData: ReturnType<typeof peerColumns>): number {
  const writer = new ByteWriter()
  const params = { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL }
  parquetWrite({
    writer,
    columnData,
    schema: [
      { name: 'table', num_children: 8 },
      { name: 'symbol', type: 'BYTE_ARRAY', repetition_type: 'REQUIRED', converted_type: 'UTF8' },
      { name: 'ts', type: 'INT64', repetition_type: 'REQUIRED' },
      { name: 'price', type: 'DOUBLE', repetition_type: 'REQUIRED' },
      { name: 'qty', type: 'DOUBLE', repetition_type: 'REQUIRED' },
      { name: 'side', type: 'BYTE_ARRAY', repetition_type: 'OPTIONAL', converted_type: 'UTF8' },
      { name: 'event_time', type: 'INT64', repetition_type: 'REQUIRED' },
      { name: 'kafka_partition', type: 'INT32', repetition_type: 'REQUIRED' },
      { name: 'kafka_offset', type: 'INT64', repetition_type: 'REQUIRED' },
    ],
    codec: 'ZSTD',
    compressors: { ZSTD: (body: Uint8Array) => zstdCompressSync(body, { params }) },
    rowGroupSize: 700_000,
  })
  return writer.getBytes().length
}

/** CPU seconds of one call (collecting its garbage included), and what it returned. */
function timed<T>(work: () => T): { readonly seconds: number; readonly result: T } {
  const start = process.cpuUsage()
  const result = work()
  const { user, system } = process.cpuUsage(start)
  return { seconds: (user + system) / 1e6, result }
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const { values } = parseArgs({ options: { rows: { type: 'string', default: '1000000' } } })
const count = Number(values.rows)
const batches = tradeBatches(count)
const columns = peerColumns(batches, count)
const seconds: number[] = []
const peerSeconds: number[] = []
let bytes = 0
let peerBytes = 0
for (let round = 0; round <= ROUNDS; round++) {
  const own = timed(() => ours(batches).sizeBytes)
  const other = timed(() => peer(columns))
  bytes = own.result
  peerBytes = other.result
  // The first round warms up.
  if (round === 0) continue
  seconds.push(own.seconds)
  peerSeconds.push(other.seconds)
}
console.log(
  JSON.stringify({
    name: 'parquet',
    rows: count,
    rows_per_cpu_second: Math.round(count / median(seconds)),
    bytes,
    hyparquet_writer_rows_per_cpu_second: Math.round(count / median(peerSeconds)),
    hyparquet_writer_bytes: peerBytes,
    ratio: Number((median(peerSeconds) / median(seconds)).toFixed(2)),
    peak_rss_mb: Math.round(process.resourceUsage().maxRSS / 1024),
  }),
)
