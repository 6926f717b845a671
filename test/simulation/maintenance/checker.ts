import { Violation } from '../kernel.ts'
import type { Event } from '../ports.ts'
import { type FullReader, fullReader, type TableState } from './reader.ts'

/**
 * Looks at every change of a table, and at every object that is deleted, at the moment it takes effect. Nothing here calls the library.
 */
export interface Checker {
  look(event: Event): Promise<void>
  readonly reader: FullReader
  readonly tables: ReadonlyMap<string, TableState>
  /** What others did to a table's rows: those that came (positive) and went, by canonical text. */
  othersIn(table: string): ReadonlyMap<string, number>
  readonly swaps: Readonly<Record<Doer, number>>
  /** Objects that were deleted, and rightly so. */
  readonly deleted: ReadonlySet<string>
}

/** Who changed a table. All but `pipeline`, `retain` and `foreign` must leave its rows as they are. */
export type Doer = 'pipeline' | 'compact' | 'manifests' | 'expire' | 'retain' | 'sweep' | 'foreign'

export interface CheckerOptions {
  readonly archive: ReadonlyMap<string, Uint8Array>
  readonly pipeline: string
  readonly staging: string
  /** Rows of a partition may be dropped when all of it is before this; microseconds. */
  readonly retention: { readonly table: string; readonly column: string; readonly before: bigint } | undefined
}

interface Body {
  readonly n: number
  readonly tables: Readonly<Record<string, { readonly need: number }>>
  readonly intents: Readonly<Record<string, readonly { readonly files: readonly { readonly path: string }[] }[]>>
}

type Balance = Map<string, number>

const DOERS: readonly Doer[] = ['compact', 'manifests', 'expire', 'retain', 'sweep', 'foreign']
const FENCE = 'frazil.fence'

/** Actors are called after what they do: `compact#12`. */
const doerOf = (by: string): Doer => DOERS.find((doer) => by.startsWith(doer)) ?? 'pipeline'

const fail = (what: string, message: string): never => {
  throw new Violation(what, message)
}

/** What must be added to `before` to have `after`; negative: taken away. */
export function difference(before: readonly string[], after: readonly string[]): Balance {
  const balance: Balance = new Map()
  for (const line of after) balance.set(line, (balance.get(line) ?? 0) + 1)
  for (const line of before) balance.set(line, (balance.get(line) ?? 0) - 1)
  for (const [line, n] of balance) if (n === 0) balance.delete(line)
  return balance
}

const shown = (balance: Balance): string =>
  [...balance]
    .slice(0, 4)
    .map(([line, n]) => `\n  ${n > 0 ? '+' : ''}${n}: ${line}`)
    .join('')

export function createChecker({ archive, pipeline, staging, retention }: CheckerOptions): Checker {
  const reader = fullReader(archive)
  const tables = new Map<string, TableState>()
  const present = new Set<string>()
  const bodies = new Map<number, Body>()
  const others = new Map<string, Balance>()
  const swaps: Record<Doer, number> = { pipeline: 0, compact: 0, manifests: 0, expire: 0, retain: 0, sweep: 0, foreign: 0 }
  const marker = `frazil.${pipeline}.marker`
  let checkpoints = 0
  const deleted = new Set<string>()

  const markerOf = (state: TableState): number => Number((state.properties[marker] ?? ':0').split(':')[1])
  const filesOf = (body: Body | undefined, table: string): string[] =>
    (body?.intents[table] ?? []).flatMap((intent) => intent.files.map((file) => file.path))
  const currentOf = (state: TableState) => (state.current === undefined ? undefined : state.snapshots.get(state.current))
  const rowsOf = async (state: TableState): Promise<readonly string[]> => {
    const current = currentOf(state)
    return current === undefined ? [] : reader.rows(current)
  }
  const dataOf = (state: TableState | undefined) => {
    const current = state === undefined ? undefined : currentOf(state)
    return current === undefined ? new Map<string, never>() : reader.contents(current).data
  }
  const newestMarked = (state: TableState): string | undefined =>
    [...state.snapshots.values()].findLast(({ summary }) => summary[marker] === state.properties[marker])?.id

  /** Every retained snapshot can be read. */
  const assertReadable = (name: string, before: TableState | undefined, state: TableState) => {
    const must = (what: string, location: string) => {
      if (!present.has(location)) fail('Readable', `table ${name} names ${what} ${location}, which does not exist`)
    }
    must('metadata', state.location)
    for (const location of state.metadataLog) must('earlier metadata', location)
    for (const [id, snapshot] of state.snapshots) {
      // What the table before it named is seen to when objects are deleted.
      if (before?.snapshots.has(id)) continue
      must('a manifest list', snapshot.list)
      for (const location of reader.contents(snapshot).reached) must(`in snapshot ${id}`, location)
    }
    for (const [ref, id] of state.refs)
      if (!state.snapshots.has(id)) fail('Refs', `table ${name} lost snapshot ${id} that ${ref} names`)
    if (state.current !== undefined && !state.snapshots.has(state.current))
      fail('Refs', `table ${name} lost its current snapshot ${state.current}`)
  }

  /** What no swap but a foreign one may touch. */
  const assertKept = (name: string, doer: Doer, before: TableState, state: TableState) => {
    if (state.uuid !== before.uuid) fail('Uuid', `table ${name} changed its uuid`)
    if (state.metadataLog.at(-1) !== before.location)
      fail('VeryBase', `${doer} replaced ${before.location} of ${name} by what was made from ${state.metadataLog.at(-1)}`)
    for (const [ref, id] of before.refs) {
      if (ref === 'main' || state.refs.get(ref) === id) continue
      fail('Refs', `${doer} took ref ${ref} from ${name}`)
    }
    for (const [key, value] of Object.entries(before.properties)) {
      const free = key === FENCE || (key.startsWith('frazil.') && (doer === 'pipeline' || doer === 'retain'))
      if (!free && state.properties[key] !== value) fail('Properties', `${doer} changed ${key} of ${name}`)
    }
    const fence = (of: TableState) => Number(of.properties[FENCE] ?? 0)
    if (doer === 'sweep' ? fence(state) <= fence(before) : fence(state) !== fence(before))
      fail('Fence', `${doer} brought the fence of ${name} from ${fence(before)} to ${fence(state)}`)
    const moves = doer === 'pipeline' || doer === 'compact' || doer === 'manifests' || doer === 'retain'
    const current = currentOf(state)
    if (!moves && state.current !== before.current) fail('Current', `${doer} changed the current snapshot of ${name}`)
    if (moves && state.current !== before.current && current?.parent !== before.current)
      fail('Current', `${doer} put a snapshot on top of ${current?.parent} of ${name}, which stood at ${before.current}`)
    if (doer !== 'expire') {
      for (const id of before.snapshots.keys())
        if (!state.snapshots.has(id)) fail('Snapshots', `${doer} dropped snapshot ${id} of ${name}`)
    } else {
      const newest = newestMarked(before)
      if (newest !== undefined && !state.snapshots.has(newest))
        fail('MarkerStays', `expiry took snapshot ${newest} of ${name}, the newest with a marker`)
    }
  }

  const onSwap = async (name: string, location: string, by: string) => {
    const before = tables.get(name)
    const state = reader.state(location)
    const doer = doerOf(by)
    swaps[doer]++
    assertReadable(name, before, state)
    if (before === undefined) {
      tables.set(name, state)
      return
    }
    if (doer !== 'foreign') assertKept(name, doer, before, state)
    const change = difference(await rowsOf(before), await rowsOf(state))
    const [from, to] = [markerOf(before), markerOf(state)]
    if (doer === 'pipeline' && to !== from) {
      const body = bodies.get(to)
      if (to < from || body === undefined || body.tables[name]?.need !== to)
        fail('Marker', `table ${name} goes from marker ${from} to ${to}`)
      const due: string[] = []
      for (const path of filesOf(body, name)) due.push(...(await reader.rowsIn(path)))
      const wrong = difference([...due], [])
      for (const [line, n] of change) wrong.set(line, (wrong.get(line) ?? 0) + n)
      for (const [line, n] of wrong) if (n === 0) wrong.delete(line)
      if (wrong.size > 0) fail('Rows', `${by} at marker ${to} of ${name} changed other rows than its own:${shown(wrong)}`)
      const had = dataOf(before)
      for (const path of filesOf(body, name)) if (had.has(path)) fail('Rows', `${by} added ${path} to ${name} a second time`)
    } else if (doer === 'retain') {
      assertRetired(name, before, state, change)
      addTo(name, change)
    } else if (doer === 'foreign') addTo(name, change)
    else if (change.size > 0) fail('Rows', `${by} changed rows of ${name}:${shown(change)}`)
    tables.set(name, state)
  }

  const addTo = (name: string, change: Balance) => {
    const sum: Balance = others.get(name) ?? new Map<string, number>()
    others.set(name, sum)
    for (const [line, n] of change) sum.set(line, (sum.get(line) ?? 0) + n)
  }

  /** Whole partitions, none of whose rows is young. */
  const assertRetired = (name: string, before: TableState, state: TableState, change: Balance) => {
    const [had, has] = [dataOf(before), dataOf(state)]
    const left = new Set([...has.values()].map(({ partition }) => partition))
    for (const { path, partition } of had.values())
      if (!has.has(path) && left.has(partition)) fail('Retention', `${name} lost ${path}, and other files of its partition stay`)
    for (const [line, n] of change) {
      const time = BigInt(new RegExp(`(?:^| )${retention?.column}=(-?\\d+)(?: |$)`).exec(line)?.[1] ?? '0')
      if (n > 0 || retention?.table !== name || time >= retention.before) fail('Retention', `${name}: ${n} of ${line}`)
    }
  }

  const onDelete = (location: string) => {
    for (const [name, state] of tables) {
      const why = (what: string) => fail('DeletedInUse', `${location} was deleted while ${what} of table ${name} needs it`)
      if (location === state.location) why('the metadata pointer')
      if (state.metadataLog.includes(location)) why('the metadata log')
      for (const snapshot of state.snapshots.values())
        if (reader.contents(snapshot).reached.has(location)) why(`snapshot ${snapshot.id}`)
      const body = bodies.get(checkpoints)
      if ((body?.tables[name]?.need ?? 0) > markerOf(state) && filesOf(body, name).includes(location))
        why(`checkpoint ${checkpoints}, not applied yet,`)
    }
    present.delete(location)
    deleted.add(location)
  }

  const onCheckpoint = (slot: number, value: string) => {
    const { kind, body } = JSON.parse(value) as { kind: string; body: { name: string } | null }
    if (slot <= checkpoints || body === null || kind !== 'commit') return
    const full = JSON.parse(Buffer.from(archive.get(staging + body.name) ?? []).toString()) as Body
    for (const table of Object.keys(full.intents))
      for (const path of filesOf(full, table))
        if (!present.has(path)) fail('Readable', `checkpoint ${slot} names ${path}, which does not exist`)
    bodies.set(slot, full)
    checkpoints = slot
  }

  return {
    reader,
    tables,
    swaps,
    othersIn: (table) => others.get(table) ?? new Map<string, number>(),
    deleted,
    async look(event) {
      switch (event.at) {
        case 'object':
          present.add(event.location)
          return
        case 'delete':
          onDelete(event.location)
          return
        case 'create':
        case 'swap':
          return onSwap(event.table, event.location, event.by)
        case 'put':
          if (event.key.startsWith('checkpoint/')) onCheckpoint(event.slot, event.value)
      }
    },
  }
}
