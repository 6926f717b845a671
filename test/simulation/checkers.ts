import { createHash } from 'node:crypto'
import type { SimTopic } from './kafka.ts'
import { Violation } from './kernel.ts'
import { type Canonical, expect, lineOf, type Oracle, type Recorded } from './oracle.ts'
import type { Event } from './ports.ts'
import { type TableState, tableReader } from './tables.ts'

/**
 * Replays what took effect in the stores, in order, and holds it against the invariants of the protocol model
 * (NoLossAtAck, Accounted, MarkerAgrees, …) and against the oracle. Nothing here calls the library.
 */
export interface History {
  readonly oracle: Oracle
  readonly topic: SimTopic
  /** Records there are at the end, by partition. */
  readonly produced: readonly number[]
  readonly events: readonly Event[]
  readonly archive: ReadonlyMap<string, Uint8Array>
  readonly staging: string
  /** Everything was read, committed and closed: nothing may be open. */
  readonly complete: boolean
}

export interface Checked {
  /** SHA-256 over all rows of all tables, in canonical text and order: equal for equal tables. */
  readonly digest: string
  readonly rows: number
  readonly late: number
  readonly windows: number
  readonly deadLetters: number
  readonly checkpoints: number
  readonly files: number
}

interface Staged {
  readonly kind: 'records' | 'advance'
  readonly from: number | null
  readonly next: number | null
  readonly watermark: number | null
  readonly records: number
  readonly deadLetters: number
  readonly late: number
  readonly missing: number
  readonly segment: string | null
}

interface Body {
  readonly n: number
  readonly watermark: number | null
  readonly sources: Record<string, Record<string, { slot: number; next: number | null; watermark: number | null }>>
  readonly state: Record<string, { object: string; minEnd: number; maxEnd: number }[]>
  readonly tables: Record<string, { uuid: string; need: number }>
  readonly intents: Record<string, { kind: string; files: { path: string }[] }[]>
}

interface CheckpointEntry {
  readonly kind: 'commit' | 'open'
  readonly body: { name: string; n: number } | null
  readonly opened: { source: string; partitions: [number, number][]; floor: number | null }[]
}

interface StagingLog {
  readonly entries: Map<number, Staged>
  tail: number
  floor: number
}

interface Table {
  location: string
  state: TableState
  marker: number
  offsets: string | undefined
}

const least = (value: number | null): number => value ?? Number.NEGATIVE_INFINITY
const sorted = (list: readonly string[]): string[] => [...list].sort()

export async function check(history: History): Promise<Checked> {
  const { oracle, topic, archive, events } = history
  const { pipeline } = oracle
  const fail = (what: string, message: string): never => {
    throw new Violation(what, message)
  }
  const reader = tableReader(archive)
  const staging = new Map<number, StagingLog>()
  const logOf = (partition: number): StagingLog => {
    let log = staging.get(partition)
    if (log === undefined) staging.set(partition, (log = { entries: new Map(), tail: 0, floor: 0 }))
    return log
  }
  const nextOf = (partition: number): number => logOf(partition).entries.get(logOf(partition).tail)?.next ?? 0
  const present = new Set<string>()
  const tables = new Map<string, Table>()
  const bodies: Body[] = []
  /** By partition: the floor it joined with. */
  const opened = new Map<number, number | null>()
  const floors = new Map<number, number>()
  const advances = new Map<number, { next: number; watermark: number }[]>()
  const advanceCalls = new Map<string, readonly number[]>()
  let incarnation: string | undefined
  const replaced = new Set<string>()
  let checkpointTail = 0
  let checkpointFloor = 0
  let last: Body | undefined
  let lastBodyName: string | undefined
  const markerName = `frazil.${pipeline}.marker`

  /** An operator is called like its table, unless its definition says otherwise: none here does. */
  const latenessOf = (operator: string): number =>
    oracle.aggregates.find(({ table }) => table === operator)?.allowedLatenessMs ?? fail('Checkpoint', `no operator ${operator}`)

  const mustExist = (what: string, location: string) => {
    if (!present.has(location)) fail('FilesExist', `${what} names ${location}, which does not exist`)
  }
  const recordsIn = (partition: number, from: number, next: number) =>
    topic.partitions[partition].filter((record) => record.offset >= from && record.offset < next)
  const markerOf = (state: TableState): { incarnation: string; n: number } => {
    const [name, n] = (state.properties[markerName] ?? '').split(':')
    return { incarnation: name, n: Number(n) }
  }

  const onStaged = (partition: number, slot: number, entry: Staged, by: string) => {
    const log = logOf(partition)
    if (slot !== log.tail + 1) fail('LogPrefix', `staging log ${partition} got slot ${slot} after ${log.tail}`)
    if (!opened.has(partition)) fail('OpenFirst', `partition ${partition} staged a record before it was opened`)
    const before = log.entries.get(log.tail)
    const floor = least(opened.get(partition) ?? null)
    if (before !== undefined && before.next !== null && entry.from !== before.next)
      fail('Contiguity', `partition ${partition} slot ${slot} starts at ${entry.from}, the one before ended at ${before.next}`)
    if (least(entry.watermark) < Math.max(floor, least(before?.watermark ?? null)))
      fail(
        'WmMonotone',
        `partition ${partition} slot ${slot}: watermark ${entry.watermark} falls below ${before?.watermark ?? floor}`,
      )
    if (entry.kind === 'advance') {
      const ends =
        advanceCalls.get(by) ?? fail('AdvanceProven', `${by} advanced partition ${partition} without a call to advance`)
      if (entry.from !== entry.next) fail('Contiguity', `an advance of partition ${partition} covers offsets`)
      if ((entry.next ?? 0) < ends[partition])
        fail(
          'AdvanceProven',
          `partition ${partition} was advanced at offset ${entry.next}, yet the broker had records up to ${ends[partition]} before`,
        )
      const list = advances.get(partition) ?? []
      list.push({ next: entry.next ?? 0, watermark: least(entry.watermark) })
      advances.set(partition, list)
    } else {
      if (entry.from === null || entry.next === null || entry.next <= entry.from)
        return fail('Contiguity', `partition ${partition} slot ${slot} covers [${entry.from}, ${entry.next})`)
      const records = recordsIn(partition, entry.from, entry.next)
      if (records.length !== entry.records || entry.missing !== entry.next - entry.from - records.length)
        fail(
          'Counts',
          `partition ${partition} slot ${slot}: ${entry.records} records and ${entry.missing} missing, expected ${records.length}`,
        )
      if (records.filter((record) => record.row === undefined).length !== entry.deadLetters)
        fail('Counts', `partition ${partition} slot ${slot}: ${entry.deadLetters} dead letters`)
      if (entry.segment !== null) mustExist(`staging entry ${partition}/${slot}`, history.staging + entry.segment)
    }
    log.entries.set(slot, entry)
    log.tail = slot
  }

  const onCheckpoint = (slot: number, entry: CheckpointEntry) => {
    if (slot !== checkpointTail + 1) fail('CkPrefix', `the checkpoint log got slot ${slot} after ${checkpointTail}`)
    checkpointTail = slot
    const previous = last?.watermark ?? null
    for (const { partitions, floor } of entry.opened)
      for (const [from, to] of partitions)
        for (let p = from; p <= to; p++) {
          if (opened.has(p)) continue
          if (entry.kind !== 'open') fail('OpenFirst', `checkpoint ${slot} opens partition ${p} outside an open entry`)
          if (floor !== previous) fail('OpenFloor', `partition ${p} joins with floor ${floor}, closed is ${previous}`)
          opened.set(p, floor)
          if (floor !== null) floors.set(p, floor)
        }
    if (entry.kind === 'open') {
      if ((entry.body?.name ?? undefined) !== lastBodyName)
        fail('OpenCarries', `open entry ${slot} carries body ${entry.body?.name}, last is ${lastBodyName}`)
      return
    }
    const name = entry.body?.name ?? fail('Checkpoint', `checkpoint ${slot} has no body`)
    mustExist(`checkpoint ${slot}`, history.staging + name)
    const body = JSON.parse(Buffer.from(archive.get(history.staging + name) ?? []).toString()) as Body
    if (body.n !== slot) fail('Checkpoint', `checkpoint ${slot} has the body of ${body.n}`)
    const progress = body.sources[oracle.source] ?? {}
    if (sorted(Object.keys(progress)).join() !== sorted([...opened.keys()].map(String)).join())
      fail('AllPartitions', `checkpoint ${slot} counts partitions ${Object.keys(progress)}, open are ${[...opened.keys()]}`)
    let minimum = Number.POSITIVE_INFINITY
    for (const [p, at] of Object.entries(progress)) {
      const log = logOf(Number(p))
      const before = last?.sources[oracle.source]?.[p]
      if (at.slot > log.tail || at.slot < (before?.slot ?? 0))
        fail('Accounted', `checkpoint ${slot} consumes partition ${p} to slot ${at.slot}, tail ${log.tail}`)
      const consumed = log.entries.get(at.slot)
      if (at.slot > 0 && at.next !== (consumed?.next ?? null))
        fail('Accounted', `checkpoint ${slot}: partition ${p} next ${at.next}, staged ${consumed?.next}`)
      minimum = Math.min(minimum, least(at.slot === 0 ? (opened.get(Number(p)) ?? null) : (consumed?.watermark ?? null)))
    }
    const watermark = Math.max(least(previous), minimum)
    // Below what its entries reach only where windows that those close were left open for a later checkpoint.
    const due = Object.entries(body.state).some(([operator, refs]) =>
      refs.some(({ minEnd }) => minEnd + latenessOf(operator) <= watermark),
    )
    const found = least(body.watermark)
    if (due ? found < least(previous) || found >= watermark : found !== watermark)
      fail('NoFalseLate', `checkpoint ${slot} closes up to ${body.watermark}, its entries reach ${watermark}`)
    for (const [operator, refs] of Object.entries(body.state))
      for (const { minEnd } of refs)
        if (minEnd + latenessOf(operator) <= found)
          fail(
            'ClosedTooLate',
            `checkpoint ${slot} closes up to ${body.watermark}, and leaves a window open that ends at ${minEnd}`,
          )
    for (const [table, { need }] of Object.entries(last?.tables ?? {}))
      if ((tables.get(table)?.marker ?? 0) < need)
        fail(
          'CkOnlyAfterApplied',
          `checkpoint ${slot} was appended while ${table} stood at ${tables.get(table)?.marker}, below ${need}`,
        )
    for (const [table, { need, uuid }] of Object.entries(body.tables)) {
      const files = filesOf(body, table)
      if (need !== (files.length > 0 ? slot : (last?.tables[table]?.need ?? 0)))
        fail('Need', `checkpoint ${slot} says ${table} needs ${need}`)
      if (uuid !== tables.get(table)?.state.uuid) fail('Uuid', `checkpoint ${slot} pins ${table} to ${uuid}`)
      for (const file of files) mustExist(`checkpoint ${slot}`, file)
    }
    for (const refs of Object.values(body.state))
      for (const ref of refs) mustExist(`checkpoint ${slot}`, history.staging + ref.object)
    bodies.push(body)
    last = body
    lastBodyName = name
  }

  const onTable = (name: string, location: string, created: boolean) => {
    const before = tables.get(name)
    const state = reader.state(location)
    if (replaced.has(name)) fail('Refuse', `table ${name} was replaced, yet it was written to`)
    if (created && before !== undefined) fail('Uuid', `table ${name} was created twice`)
    if (!created && before?.state.uuid !== state.uuid) fail('Uuid', `table ${name} changed its uuid`)
    for (const need of [...state.needs, ...state.files]) mustExist(`table ${name} at ${location}`, need)
    const marker = markerOf(state)
    if (marker.incarnation !== incarnation)
      fail('Marker', `table ${name} has marker ${state.properties[markerName]}, incarnation is ${incarnation}`)
    if (marker.n < (before?.marker ?? 0)) fail('MarkerUp', `table ${name} falls from marker ${before?.marker} to ${marker.n}`)
    if (marker.n > checkpointTail)
      fail('MarkerAgrees', `table ${name} has marker ${marker.n}, the last checkpoint is ${checkpointTail}`)
    const due = bodies.filter((body) => body.n <= marker.n).flatMap((body) => filesOf(body, name))
    if (sorted(due).join('\n') !== sorted(state.files).join('\n'))
      fail(
        'MarkerAgrees',
        `table ${name} at marker ${marker.n} holds ${state.files.length} files, checkpoints up to it name ${due.length}:\n${sorted(state.files).join('\n')}\nexpected\n${sorted(due).join('\n')}`,
      )
    tables.set(name, { location, state, marker: marker.n, offsets: state.properties[`frazil.${pipeline}.offsets`] })
  }

  const onDelete = (location: string) => {
    const live = (who: string, locations: readonly string[]) => {
      if (locations.includes(location)) fail('DeletedInUse', `${location} was deleted while ${who} needs it`)
    }
    for (const [name, { state }] of tables) live(`table ${name}`, [...state.needs, ...state.files])
    if (last !== undefined) {
      live('the last checkpoint', [
        history.staging + (lastBodyName ?? ''),
        ...Object.keys(last.intents).flatMap((table) => (last === undefined ? [] : filesOf(last, table))),
        ...Object.values(last.state).flatMap((refs) => refs.map((ref) => history.staging + ref.object)),
      ])
    }
    for (const [p, log] of staging) {
      const consumed = last?.sources[oracle.source]?.[p]?.slot ?? 0
      for (let slot = consumed + 1; slot <= log.tail; slot++)
        live(`staging ${p}/${slot}`, [history.staging + (log.entries.get(slot)?.segment ?? '')])
    }
    present.delete(location)
  }

  for (const event of events) {
    switch (event.at) {
      case 'put': {
        const parts = event.key.split('/')
        if (parts[0] === 'incarnation') incarnation ??= event.value
        else if (parts[0] === 'checkpoint') {
          if (event.slot > checkpointFloor) onCheckpoint(event.slot, JSON.parse(event.value) as CheckpointEntry)
        } else {
          const partition = Number(parts[parts.length - 1])
          // Below the floor it is a zombie's, read by nobody: whoever acknowledges on its strength is caught at the ack.
          if (event.slot > logOf(partition).floor) onStaged(partition, event.slot, JSON.parse(event.value) as Staged, event.by)
        }
        break
      }
      case 'trim': {
        const parts = event.key.split('/')
        if (parts[0] === 'checkpoint') {
          if (event.floor >= checkpointTail)
            fail('KeepTail', `the checkpoint log was trimmed to ${event.floor}, its tail is ${checkpointTail}`)
          checkpointFloor = Math.max(checkpointFloor, event.floor)
        } else {
          const partition = Number(parts[parts.length - 1])
          const log = logOf(partition)
          if (event.floor >= log.tail)
            fail('KeepTail', `staging log ${partition} was trimmed to ${event.floor}, its tail is ${log.tail}`)
          if (event.floor > (last?.sources[oracle.source]?.[partition]?.slot ?? 0))
            fail('StagedExist', `staging log ${partition} was trimmed to ${event.floor} before it was consumed`)
          log.floor = Math.max(log.floor, event.floor)
        }
        break
      }
      case 'object':
        present.add(event.location)
        break
      case 'delete':
        onDelete(event.location)
        break
      case 'create':
      case 'swap':
        onTable(event.table, event.location, event.at === 'create')
        break
      case 'destroy':
        present.delete(event.location)
        break
      case 'replace':
        replaced.add(event.table)
        break
      case 'advance':
        advanceCalls.set(event.by, event.ends)
        break
      case 'ack':
        for (const [partition, next] of event.next)
          if (nextOf(partition) < next)
            fail(
              'NoLossAtAck',
              `${event.by} acknowledged partition ${partition} below ${next}, its log ends at ${nextOf(partition)}`,
            )
        break
    }
  }

  // Rows in = rows out, checkpoint by checkpoint (protocol rule 28): nothing consumed was taken for empty.
  let before: Body | undefined
  for (const body of bodies) {
    let accepted = 0
    let dead = 0
    for (const [p, at] of Object.entries(body.sources[oracle.source] ?? {})) {
      const from = before?.sources[oracle.source]?.[p]?.next ?? 0
      for (const record of recordsIn(Number(p), from, at.next ?? 0)) {
        if (record.row === undefined) dead++
        else if (oracle.rows[0].keep(record.row)) accepted++
      }
    }
    const rowsOf = async (table: string) =>
      (await Promise.all(filesOf(body, table).map((file) => reader.rows(file)))).flat().length
    const found = [await rowsOf(oracle.rows[0].table), await rowsOf(oracle.deadLetters)]
    if (found[0] !== accepted || found[1] !== dead)
      fail(
        'Accounted',
        `checkpoint ${body.n} consumes ${accepted} rows and ${dead} dead letters, its files hold ${found[0]} and ${found[1]}`,
      )
    before = body
  }

  const recorded: Recorded = { floors, advances }
  const staged = topic.partitions.map((records, p) => records.filter((record) => record.offset < nextOf(p)))
  const expected = expect(oracle, staged, recorded)
  for (const [p, log] of staging)
    for (const [slot, entry] of log.entries) {
      if (entry.kind !== 'records' || entry.next === null || entry.from === null) continue
      if (least(entry.watermark) !== expected.watermarkAt(p, entry.next))
        fail(
          'Watermark',
          `partition ${p} slot ${slot}: watermark ${entry.watermark}, expected ${expected.watermarkAt(p, entry.next)}`,
        )
      if (entry.late !== expected.lateBetween(p, entry.from, entry.next))
        fail(
          'Counts',
          `partition ${p} slot ${slot}: ${entry.late} late rows, expected ${expected.lateBetween(p, entry.from, entry.next)}`,
        )
    }
  for (const { table, allowedLatenessMs } of oracle.aggregates)
    for (const body of bodies)
      for (const file of filesOf(body, table))
        for (const row of await reader.rows(file))
          if (Number(row.window_end) / 1000 + allowedLatenessMs > least(body.watermark))
            fail(
              'ClosedTooSoon',
              `checkpoint ${body.n} emits a window that ends at ${row.window_end}, its watermark is ${body.watermark}`,
            )

  if (history.complete) {
    for (const [p, records] of topic.partitions.entries()) {
      const end = history.produced[p] === 0 ? 0 : records[history.produced[p] - 1].offset + 1
      if (nextOf(p) < end) fail('AllStaged', `partition ${p} is staged to ${nextOf(p)}, produced to ${end}`)
      const consumed = last?.sources[oracle.source]?.[p]?.slot ?? 0
      if (consumed !== logOf(p).tail)
        fail('AllConsumed', `partition ${p} is consumed to slot ${consumed}, its tail is ${logOf(p).tail}`)
    }
    for (const [table, { need }] of Object.entries(last?.tables ?? {}))
      if ((tables.get(table)?.marker ?? 0) < need)
        fail('AllApplied', `${table} stands at ${tables.get(table)?.marker}, below ${need}`)
    for (const [operator, refs] of Object.entries(last?.state ?? {}))
      if (refs.length > 0) fail('AllClosed', `operator ${operator} still has open windows`)
  }

  const counts: Record<string, number> = {}
  const hash = createHash('sha256')
  for (const [name, wanted] of expected.tables) {
    const table = tables.get(name)
    if (table === undefined) {
      if (history.complete || wanted.length > 0) fail('Tables', `table ${name} does not exist`)
      continue
    }
    const found: Canonical[] = []
    for (const file of table.state.files) found.push(...(await reader.rows(file)))
    counts[name] = found.length
    const all = found.length === 0 ? [] : Object.keys(found[0]).sort()
    hash.update(name)
    for (const line of sorted(found.map((row) => lineOf(row, all)))) hash.update(line)
    if (!history.complete) continue
    // Why a dead letter is one is told in words that the oracle does not know.
    const columns = all.filter((column) => name !== oracle.deadLetters || (column !== 'reason' && column !== 'detail'))
    if (wanted.length > 0)
      for (const column of columns)
        if (!(column in wanted[0])) fail('Columns', `table ${name} has a column ${column} nobody asked for`)
    compareRows(name, sorted(found.map((row) => lineOf(row, columns))), sorted(wanted.map((row) => lineOf(row, columns))), fail)
  }
  return {
    digest: hash.digest('hex'),
    rows: oracle.rows.reduce((sum, { table }) => sum + (counts[table] ?? 0), 0),
    late: oracle.aggregates.reduce((sum, { lateTable }) => sum + (counts[lateTable] ?? 0), 0),
    windows: oracle.aggregates.reduce((sum, { table }) => sum + (counts[table] ?? 0), 0),
    deadLetters: counts[oracle.deadLetters] ?? 0,
    checkpoints: checkpointTail,
    files: [...tables.values()].reduce((sum, { state }) => sum + state.files.length, 0),
  }
}

function filesOf(body: Body, table: string): string[] {
  return (body.intents[table] ?? []).flatMap((intent) => intent.files.map((file) => file.path))
}

/** Multisets of lines must be equal; says what is missing and what is too much. */
function compareRows(
  table: string,
  found: readonly string[],
  wanted: readonly string[],
  fail: (what: string, message: string) => never,
): void {
  const balance = new Map<string, number>()
  for (const line of wanted) balance.set(line, (balance.get(line) ?? 0) + 1)
  for (const line of found) balance.set(line, (balance.get(line) ?? 0) - 1)
  const missing = [...balance].filter(([, n]) => n > 0).map(([line, n]) => `\n  missing ${n}: ${line}`)
  const extra = [...balance].filter(([, n]) => n < 0).map(([line, n]) => `\n  too many ${-n}: ${line}`)
  if (missing.length + extra.length === 0) return
  fail(
    'Rows',
    `${table} holds ${found.length} rows, expected ${wanted.length}${[...missing.slice(0, 5), ...extra.slice(0, 5)].join('')}`,
  )
}
