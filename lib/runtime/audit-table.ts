import type { DataFileJson } from '../iceberg/data-file.ts'
import { ancestors } from '../iceberg/expire.ts'
import { currentSnapshot } from '../iceberg/metadata.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import type { Snapshot } from '../iceberg/types.ts'
import { DROPPED_ROWS_PROPERTY } from '../maintenance/retention.ts'
import {
  decideApply,
  type Marker,
  markerProperty,
  offsetsProperty,
  parseMarker,
  type TableView,
  watermarkProperty,
} from '../protocol/marker.ts'
import { viewOf } from './apply.ts'
import type { Finding, FindingKind } from './audit-findings.ts'
import type { Last } from './checkpoints.ts'

/** A table as it was loaded, judged by its own history and by the logs. */
export interface JudgedTable {
  readonly marker: Marker | undefined
  /** True when it holds more than the checkpoint that was read: a run commits meanwhile. */
  readonly ahead: boolean
  /** Files of the last checkpoint that are still to be put into it. Its rows count as there: the next commit adds them. */
  readonly pending: readonly DataFileJson[]
  /** Closed watermark of what it holds, milliseconds; null: none yet; undefined: no snapshot tells any more. */
  readonly watermark: number | null | undefined
  readonly droppedRows: number
  /** Next offsets by partition, as JSON, or the name of a checkpoint's body. */
  readonly offsets: string | undefined
  readonly findings: readonly Finding[]
}

export interface AuditedCheckpoint {
  readonly pipeline: string
  /** Undefined when the logs are lost: the table is judged by its own history alone. */
  readonly incarnation: string | undefined
  readonly last: Last | undefined
  /** Number of the last checkpoint after the table was loaded. */
  readonly newest: number
}

/** Judges a table by itself and by a checkpoint that was read before it was loaded. `name` is for people. */
export function judgeTable(name: string, table: LoadedTable, at: AuditedCheckpoint): JudgedTable {
  const { metadata, id } = table
  const { pipeline, last } = at
  const findings: Finding[] = []
  const add = (kind: FindingKind, message: string) => findings.push({ kind, table: name, partition: null, message })
  const head = currentSnapshot(metadata)
  const chain = head === undefined ? [] : [...ancestors(metadata, head)]
  const text: string | undefined = metadata.properties[markerProperty(pipeline)]
  const marker = text === undefined ? undefined : parseMarker(text)
  const droppedRows = Number(metadata.properties[DROPPED_ROWS_PROPERTY] ?? 0)

  const { verdict, ahead } = judgeMarker(id.name, viewOf(pipeline, metadata), at)
  if (verdict.verdict === 'Refuse') add('marker', `Table ${name} is not as the logs left it: ${verdict.why}.`)
  for (const message of regressions(chain, pipeline)) add('regression', `Table ${name}: ${message}`)
  for (const message of foreignChanges(chain, pipeline, droppedRows)) add('foreign', `Table ${name}: ${message}`)

  const isDue = verdict.verdict === 'Apply'
  const pending = isDue ? (last?.body?.intents[id.name] ?? []).flatMap(({ files }) => files) : []
  const watermark = isDue ? (last?.watermark ?? null) : watermarkOf(chain, pipeline)
  return { marker, ahead, pending, watermark, droppedRows, offsets: metadata.properties[offsetsProperty(pipeline)], findings }
}

function judgeMarker(name: string, view: TableView, { incarnation, last, newest }: AuditedCheckpoint) {
  const done = { verdict: 'Done' } as const
  if (incarnation === undefined || last === undefined) return { verdict: done, ahead: false }
  const { uuid, need, base } = last.body?.tables[name] ?? { uuid: undefined, need: 0, base: 0 }
  const n = view.marker?.n ?? 0
  const ahead = n > last.n && n <= newest
  // Committed since the checkpoint was read: where it stands now is its need of now.
  const expected = ahead ? { need: n, base: need, body: n, last: newest } : { need, base, body: last.body?.n ?? 0, last: last.n }
  return { verdict: decideApply(view, { uuid, incarnation, ...expected }), ahead }
}

function ours(chain: readonly Snapshot[], pipeline: string) {
  return chain.flatMap(({ summary, 'snapshot-id': id }) => {
    const text: string | undefined = summary[markerProperty(pipeline)]
    const marker = text === undefined ? undefined : parseMarker(text)
    if (marker === undefined) return []
    const watermark: string | undefined = summary[watermarkProperty(pipeline)]
    return [{ id, marker, watermark: watermark === undefined || watermark === '' ? null : Number(watermark) }]
  })
}

/** Newest first: each marker is above the one before it, and no watermark falls. */
function regressions(chain: readonly Snapshot[], pipeline: string): readonly string[] {
  const links = ours(chain, pipeline)
  return links.slice(1).flatMap((older, i) => {
    const newer = links[i]
    const found: string[] = []
    if (newer.marker.incarnation === older.marker.incarnation && newer.marker.n <= older.marker.n)
      found.push(`its snapshot ${newer.id} holds checkpoint ${newer.marker.n} after ${older.marker.n} in snapshot ${older.id}.`)
    if (older.watermark !== null && (newer.watermark === null || newer.watermark < older.watermark))
      found.push(`its snapshot ${newer.id} holds watermark ${newer.watermark} after ${older.watermark} in snapshot ${older.id}.`)
    return found
  })
}

/**
 * Snapshots may rewrite rows as they are (`replace`) and drop what retention counts (`delete`); others that are not ours may
 * change none. `chain` is newest first.
 */
function foreignChanges(chain: readonly Snapshot[], pipeline: string, droppedRows: number): readonly string[] {
  const found: string[] = []
  let deleted = 0
  for (const [i, { summary, 'snapshot-id': id }] of chain.entries()) {
    const { operation } = summary
    const mine = operation !== 'replace' && summary[markerProperty(pipeline)] !== undefined
    const change = changeOf(summary)
    if (operation === 'delete') deleted -= change
    else if (!mine && change !== 0)
      found.push(
        `snapshot ${id} (${operation}), which is not of this pipeline, ${change > 0 ? 'added' : 'removed'} ${rowsText(Math.abs(change))}.`,
      )
    const total = totalOf(summary)
    const before = totalOf(chain[i + 1]?.summary)
    if (total !== undefined && before !== undefined && total !== before + change)
      found.push(
        `snapshot ${id} (${operation}) counts ${rowsText(total)} after ${before}, though it ${change < 0 ? 'removed' : 'added'} ${Math.abs(change)}.`,
      )
  }
  // Where the first snapshot is still there, so are all that dropped rows.
  const whole = chain.at(-1)?.['parent-snapshot-id'] === undefined
  if (deleted > droppedRows || (whole && deleted < droppedRows))
    found.push(`its snapshots deleted ${rowsText(deleted)}, retention accounts for ${droppedRows} (${DROPPED_ROWS_PROPERTY}).`)
  return found
}

function changeOf(summary: Snapshot['summary']): number {
  const count = (key: string) => Number(summary[key] ?? 0)
  return count('added-records') - count('deleted-records')
}

const totalOf = (summary: Snapshot['summary'] | undefined): number | undefined =>
  summary?.['total-records'] === undefined ? undefined : Number(summary['total-records'])

const rowsText = (rows: number): string => `${rows} ${rows === 1 ? 'row' : 'rows'}`

function watermarkOf(chain: readonly Snapshot[], pipeline: string): number | null | undefined {
  const [newest] = ours(chain, pipeline)
  if (newest !== undefined) return newest.watermark
  return chain.length === 0 ? null : undefined
}
