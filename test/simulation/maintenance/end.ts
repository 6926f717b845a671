import type { SimTopic } from '../kafka.ts'
import { Violation } from '../kernel.ts'
import { expect, lineOf } from '../oracle.ts'
import type { Event } from '../ports.ts'
import { STAGING } from '../world.ts'
import type { Kept } from './actors.ts'
import { type Checker, difference } from './checker.ts'
import type { TableState } from './reader.ts'

const fail = (what: string, message: string): never => {
  throw new Violation(what, message)
}

/**
 * Holds tables and storage, when all is done, against the oracle and against what is needed. Returns the number of rows.
 */
export async function checkEnd({ world, setup }: Kept, checker: Checker, topic: SimTopic): Promise<number> {
  const { stores, workload } = world
  const expected = expect(workload.oracle, topic.partitions, { floors: new Map(), advances: advancesIn(stores.events) })
  let rows = 0
  for (const [name, wanted] of expected.tables) {
    const state = checker.tables.get(name) ?? fail('Tables', `table ${name} does not exist`)
    const current = state.current === undefined ? undefined : state.snapshots.get(state.current)
    const found = current === undefined ? [] : await checker.reader.rows(current)
    rows += found.length
    const columns = workload.plan.tables[name].fields.map((field) => field.name).sort()
    const lines = wanted.map((row) => lineOf(row, columns))
    const wrong = difference(lines, found)
    for (const [line, n] of checker.othersIn(name)) wrong.set(line, (wrong.get(line) ?? 0) - n)
    for (const [line, n] of wrong)
      if (n !== 0)
        fail('Rows', `${name} holds ${found.length} rows, expected ${wanted.length} and what others did; ${n}: ${line}`)
  }
  const n = lastCheckpoint(stores.events)
  for (const name of setup.tables) {
    const state = checker.tables.get(name)
    if (state !== undefined) await assertNoGarbage(checker, state, stores.objects.list(`${rootOf(state)}/`), n)
  }
  await assertStagingEmpty(stores.objects.list(STAGING), stores.events, n)
  return rows
}

const rootOf = ({ location }: TableState): string => location.slice(0, location.lastIndexOf('/metadata/'))

async function assertNoGarbage(
  checker: Checker,
  state: TableState,
  listed: AsyncIterable<{ location: string }>,
  n: number,
): Promise<void> {
  const needed = new Set([state.location, ...state.metadataLog])
  for (const snapshot of state.snapshots.values())
    for (const location of checker.reader.contents(snapshot).reached) needed.add(location)
  for await (const { location } of listed) {
    // A commit in preparation may have written it, and the log does not tell yet.
    const ofCommit = /\/(\d{8,16})-[^/]*\.parquet$/.exec(location)
    if (!needed.has(location) && !(ofCommit !== null && Number(ofCommit[1]) > n)) fail('Garbage', `nothing needs ${location}`)
  }
}

interface Names {
  readonly body: { readonly name: string } | null
}

async function assertStagingEmpty(
  listed: AsyncIterable<{ location: string }>,
  events: readonly Event[],
  n: number,
): Promise<void> {
  const last = events.findLast((event) => event.at === 'put' && event.key.startsWith('checkpoint/') && event.slot === n)
  const body = last?.at === 'put' ? (JSON.parse(last.value) as Names).body?.name : undefined
  const slots = new Map<string, number>()
  for (const event of events) if (event.at === 'put') slots.set(event.key, Math.max(event.slot, slots.get(event.key) ?? 0))
  for await (const { location } of listed) {
    const name = location.slice(STAGING.length)
    const [, partition, slot] = /\/segments\/.*-(\d+)\/(\d+)-[^/]*$/.exec(name) ?? []
    const tail = [...slots].find(([key]) => key.startsWith('staging/') && key.endsWith(`/${partition}`))?.[1] ?? 0
    const number = /\/(?:checkpoints|state)\/(\d+)-[^/]*$/.exec(name)?.[1]
    const ahead = slot === undefined ? Number(number) > n : Number(slot) > tail
    if (name !== body && !ahead) fail('Garbage', `nothing needs ${location}`)
  }
}

const lastCheckpoint = (events: readonly Event[]): number =>
  events.reduce((n, event) => (event.at === 'put' && event.key.startsWith('checkpoint/') ? Math.max(n, event.slot) : n), 0)

/** Watermarks that were raised without records, as the logs tell. */
function advancesIn(events: readonly Event[]): Map<number, { next: number; watermark: number }[]> {
  const advances = new Map<number, { next: number; watermark: number }[]>()
  for (const event of events) {
    if (event.at !== 'put' || !event.key.startsWith('staging/')) continue
    const entry = JSON.parse(event.value) as { kind: string; next: number | null; watermark: number | null }
    if (entry.kind !== 'advance') continue
    const partition = Number(event.key.slice(event.key.lastIndexOf('/') + 1))
    const list = advances.get(partition) ?? []
    list.push({ next: entry.next ?? 0, watermark: entry.watermark ?? Number.NEGATIVE_INFINITY })
    advances.set(partition, list)
  }
  return advances
}
