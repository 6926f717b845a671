import { parseArgs } from 'node:util'
import { recordsFromValues } from '../lib/columns/event.ts'
import { currentSnapshot } from '../lib/iceberg/metadata.ts'
import { reachableFiles, reachableMetadata } from '../lib/iceberg/reachable.ts'
import { type LoadedTable, loadTable, planFiles } from '../lib/iceberg/scan.ts'
import { manifestsOf } from '../lib/iceberg/snapshot.ts'
import { planOf } from '../lib/index.ts'
import { compactJob } from '../lib/maintenance/compact.ts'
import { limitsOf } from '../lib/maintenance/limits.ts'
import { DEFAULT_MAINTENANCE, type MaintenancePlan } from '../lib/pipeline/maintenance.ts'
import { memoryCatalog } from '../lib/ports/memory/catalog.ts'
import { memoryLog } from '../lib/ports/memory/log.ts'
import { memoryObjects } from '../lib/ports/memory/objects.ts'
import { checkpointAccess } from '../lib/runtime/checkpoints.ts'
import { cleanStaging } from '../lib/runtime/clean-staging.ts'
import { commit } from '../lib/runtime/commit.ts'
import { ingest } from '../lib/runtime/ingest.ts'
import { expireTable, planCompactions, sweepTable, tablesOf } from '../lib/runtime/maintain.ts'
import { provision } from '../lib/runtime/provision.ts'
import { createRuntime, tableId } from '../lib/runtime/runtime.ts'
import { trim } from '../lib/runtime/trim.ts'
import trades from '../pipelines/trades.ts'

// A pipeline fed a commit a minute for a month, on a virtual clock, with the maintenance that a deployment schedules: how large
// do metadata, manifests and storage get, and how long does planning a scan take? Prints one JSON line.
const { values } = parseArgs({
  options: {
    days: { type: 'string', default: '30' },
    rows: { type: 'string', default: '100' },
    keep: { type: 'string', default: '7d' },
    quiet: { type: 'boolean', default: false },
  },
})
const MINUTE_MS = 60_000
const DAY_MS = 1440 * MINUTE_MS
const START_MS = Date.UTC(2026, 0, 1)
const SYMBOLS = Array.from({ length: 20 }, (_, i) => `SYM${String(i).padStart(2, '0')}`)
const days = Number(values.days)
const rowsPerMinute = Number(values.rows)
const keepMs = Number.parseFloat(values.keep) * (values.keep.endsWith('h') ? 60 * MINUTE_MS : DAY_MS)

let nowMs = START_MS
let names = 0
const clock = { now: () => nowMs, sleep: async () => {} }
const random = { uuid: () => `00000000-0000-4000-8000-${(++names).toString(16).padStart(12, '0')}` }
const objects = memoryObjects(clock)
const ports = { log: memoryLog(), objects, catalog: memoryCatalog(), clock, random, broker: undefined }
const defaults = DEFAULT_MAINTENANCE as MaintenancePlan & { expire: NonNullable<MaintenancePlan['expire']> }
const policy: MaintenancePlan = { ...defaults, expire: { ...defaults.expire, keepMs } }
const definition = planOf(trades)
const tables = Object.fromEntries(
  Object.entries(definition.tables).map(([name, table]) => [name, { ...table, maintenance: policy }]),
)
const plan = { ...definition, tables }
const runtime = createRuntime({
  plan,
  ports,
  staging: 'memory://staging/',
  warehouse: 'memory://warehouse/',
  incarnation: 'i1',
})
const limits = limitsOf(2048)
await provision(runtime, { trades: [0] })

let commits = 0
const worst = { metadataBytes: 0, snapshots: 0, manifests: 0, planningMs: 0 }
const startedMs = performance.now()
for (let minute = 0; minute < days * 1440; minute++) {
  nowMs = START_MS + minute * MINUTE_MS
  await ingest(runtime, [tradesOf(minute)])
  const { n, metadataBytes } = await commit(runtime)
  commits = n
  worst.metadataBytes = Math.max(worst.metadataBytes, metadataBytes ?? 0)
  if (minute % 60 === 59) await everyHour(minute)
}
const raw = await loaded('raw_trades')
const planning = await medianPlanningMs(raw)
console.log(
  JSON.stringify({
    name: 'month',
    days,
    commits,
    rows_a_commit: rowsPerMinute,
    snapshots_kept_days: keepMs / DAY_MS,
    worst_metadata_bytes: worst.metadataBytes,
    worst_snapshots: worst.snapshots,
    worst_manifests: worst.manifests,
    worst_planning_ms: Number(worst.planningMs.toFixed(1)),
    planning_ms: Number(planning.toFixed(1)),
    tables: await Promise.all(['raw_trades', 'agg_1m'].map(async (name) => ({ name, ...(await sizesOf(await loaded(name))) }))),
    staging_bytes: await bytesBelow('memory://staging/'),
    seconds: Number(((performance.now() - startedMs) / 1000).toFixed(1)),
  }),
)

/** What EventBridge calls: each hour compaction and trimming, each six expiry, each day the sweep of orphans. */
async function everyHour(minute: number): Promise<void> {
  const hour = (minute + 1) / 60
  const { jobs } = await planCompactions(ports, plan, limits, nowMs)
  for (const job of jobs) await compactJob(ports, job, policy.compact ?? defaults.compact ?? never(), limits)
  await trim(runtime)
  await cleanStaging(checkpointAccess(runtime), { nowMs, olderThanMs: 3 * DAY_MS, apply: true })
  for (const { id, policy: each } of tablesOf(plan)) {
    if (hour % 6 === 0) await expireTable(ports, id, each, nowMs, true)
    if (hour % 24 === 0) await sweepTable(ports, runtime.staging, id, each, nowMs, true, [])
  }
  if (hour % 6 !== 5) return
  const table = await loaded('raw_trades')
  const snapshot = currentSnapshot(table.metadata)
  worst.snapshots = Math.max(worst.snapshots, table.metadata.snapshots.length)
  worst.manifests = Math.max(worst.manifests, snapshot === undefined ? 0 : (await manifestsOf(objects, snapshot)).length)
  worst.planningMs = Math.max(worst.planningMs, await medianPlanningMs(table))
  if (!values.quiet && hour % 24 === 23)
    console.error(`day ${Math.ceil(hour / 24)}: ${JSON.stringify({ ...worst, ...(await sizesOf(table)) })}`)
}

/** One minute of trades of every symbol, in order. */
function tradesOf(minute: number) {
  const lines = Array.from({ length: rowsPerMinute }, (_, i) => {
    const n = minute * rowsPerMinute + i
    const ts = nowMs + Math.floor((i * MINUTE_MS) / rowsPerMinute)
    const price = 100 + ((n * 7919) % 10_007) / 100
    return Buffer.from(JSON.stringify({ symbol: SYMBOLS[n % SYMBOLS.length], ts, price, qty: 1 + (n % 9) / 4 }))
  })
  return recordsFromValues({ topic: 'trades', partition: 0, firstOffset: minute * rowsPerMinute, values: lines })
}

async function loaded(name: string): Promise<LoadedTable> {
  return (await loadTable(ports.catalog, objects, tableId(runtime, name))) ?? never()
}

/** From the pointer to the list of files, metadata read anew: what a query pays before its first byte of data. */
async function medianPlanningMs({ id }: LoadedTable): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < 3; i++) {
    const start = performance.now()
    const table = (await loadTable(ports.catalog, objects, id)) ?? never()
    await planFiles(objects, table.metadata)
    times.push(performance.now() - start)
  }
  return times.sort((a, b) => a - b)[1]
}

async function sizesOf({ metadata, pointer }: LoadedTable) {
  const files = await planFiles(objects, metadata)
  const data = files.reduce((sum, { file }) => sum + file.sizeBytes, 0)
  const storage = await bytesBelow(`${metadata.location}/`)
  const reached = [...(await reachableFiles(objects, metadata)), ...reachableMetadata(metadata, pointer.metadataLocation)]
  let live = 0
  for (const location of reached) live += (await objects.size(location)) ?? never()
  return {
    files: files.length,
    rows: files.reduce((sum, { file }) => sum + file.recordCount, 0),
    data_bytes: data,
    reachable_bytes: live,
    storage_bytes: storage,
    storage_by_reachable: Number((storage / live).toFixed(2)),
    storage_by_data: Number((storage / data).toFixed(2)),
  }
}

async function bytesBelow(prefix: string): Promise<number> {
  let bytes = 0
  for await (const { sizeBytes } of objects.list(prefix)) bytes += sizeBytes
  return bytes
}

function never(): never {
  throw new Error('expected something there')
}
