/**
 * A table's marker: which checkpoint it holds, written in the same swap as the files of that checkpoint. It lives in table
 * properties, which never expire, and in the summary of the snapshot that set it.
 */
export interface Marker {
  readonly incarnation: string
  readonly n: number
}

export const markerProperty = (pipeline: string): string => `frazil.${pipeline}.marker`
export const offsetsProperty = (pipeline: string): string => `frazil.${pipeline}.offsets`
export const watermarkProperty = (pipeline: string): string => `frazil.${pipeline}.watermark`

export function formatMarker(marker: Marker): string {
  return `${marker.incarnation}:${marker.n}`
}

export function parseMarker(text: string): Marker | undefined {
  const at = text.lastIndexOf(':')
  const n = Number(text.slice(at + 1))
  return at > 0 && Number.isSafeInteger(n) && n >= 0 ? { incarnation: text.slice(0, at), n } : undefined
}

/** Last checkpoint applied to a table, by pipeline, from the table's properties. */
export function markersOf(properties: Readonly<Record<string, string>>): Readonly<Record<string, Marker>> {
  const markers: Record<string, Marker> = {}
  for (const [key, value] of Object.entries(properties)) {
    const pipeline = /^frazil\.(.+)\.marker$/.exec(key)?.[1]
    const marker = parseMarker(value)
    if (pipeline !== undefined && marker !== undefined) markers[pipeline] = marker
  }
  return markers
}

/** Why a table that exists is not this pipeline's in this incarnation; undefined when it is (protocol rule 15). */
export function foreignTable(
  properties: Readonly<Record<string, string>>,
  pipeline: string,
  incarnation: string,
): string | undefined {
  const markers = markersOf(properties)
  if (!Object.hasOwn(markers, pipeline)) {
    const others = Object.keys(markers).map((other) => `pipeline ${other}`)
    return `expected a table made by pipeline ${pipeline}, found one made by ${others.join(' and ') || 'another program'}`
  }
  if (markers[pipeline].incarnation === incarnation) return undefined
  return `expected one written from these logs (incarnation ${incarnation}), found ${markers[pipeline].incarnation}: the logs were removed or replaced`
}

/** A snapshot as far as the protocol looks at it. */
export interface SnapshotView {
  readonly id: bigint
  readonly parent: bigint | undefined
  readonly marker: Marker | undefined
}

/** A table's base as far as the protocol looks at it: the very metadata that a swap would replace. */
export interface TableView {
  readonly uuid: string
  readonly marker: Marker | undefined
  readonly current: bigint | undefined
  snapshot(id: bigint): SnapshotView | undefined
}

export type ApplyVerdict =
  | { readonly verdict: 'Done' }
  | { readonly verdict: 'Apply' }
  | { readonly verdict: 'Refuse'; readonly why: string }

/** What the last checkpoint says of a table. */
export interface ExpectedTable {
  /** Undefined before a checkpoint pinned it. */
  readonly uuid: string | undefined
  readonly incarnation: string
  readonly need: number
  readonly base: number
  /** The checkpoint whose intents are at hand; an older need was applied before that one could be appended. */
  readonly body: number
  readonly last: number
}

/**
 * Decides what a table needs, from the base that the swap will replace (protocol rules 10, 12, 15). Its marker must be just
 * where the logs say: at its need, or one need before while the last checkpoint is being applied. Anything else means that
 * the table or the logs were rolled back, restored or replaced.
 */
export function decideApply(table: TableView, expected: ExpectedTable): ApplyVerdict {
  const { need, base } = expected
  if (expected.uuid !== undefined && table.uuid !== expected.uuid)
    return {
      verdict: 'Refuse',
      why: `expected the table with uuid ${expected.uuid}, found ${table.uuid}: it was dropped and created again`,
    }
  if (table.marker === undefined)
    return { verdict: 'Refuse', why: 'its marker is gone: it was replaced or its properties were removed' }
  if (table.marker.incarnation !== expected.incarnation)
    return {
      verdict: 'Refuse',
      why: `its marker belongs to incarnation ${table.marker.incarnation}, this run is ${expected.incarnation}`,
    }
  if (table.marker.n > expected.last)
    return {
      verdict: 'Refuse',
      why: `its marker ${table.marker.n} is ahead of the last checkpoint ${expected.last}: the logs are not this table's`,
    }
  const why = rolledBack(table, table.marker)
  if (why !== undefined) return { verdict: 'Refuse', why }
  if (table.marker.n === need) return { verdict: 'Done' }
  if (table.marker.n > need)
    return {
      verdict: 'Refuse',
      why: `its marker ${table.marker.n} is ahead of ${need}, its last checkpoint in the logs: the logs are older than the table`,
    }
  if (need !== expected.body || table.marker.n !== base)
    return {
      verdict: 'Refuse',
      why: `its marker ${table.marker.n} is below ${need === expected.body ? base : need}, which was applied before: it was rolled back`,
    }
  return { verdict: 'Apply' }
}

/**
 * Walks from the current snapshot to the newest of ours. A rollback leaves the property as it was and the snapshots behind
 * it; a parent that is missing through expiry proves nothing.
 */
function rolledBack(table: TableView, marker: Marker): string | undefined {
  if (marker.n === 0) return undefined
  let id = table.current
  if (id === undefined) return `its marker is ${marker.n} but it has no snapshot: it was rolled back or replaced`
  for (;;) {
    const snapshot = table.snapshot(id)
    if (snapshot === undefined) return undefined
    if (snapshot.marker !== undefined) {
      if (snapshot.marker.incarnation === marker.incarnation && snapshot.marker.n === marker.n) return undefined
      return `its marker is ${marker.n} but its newest snapshot of ours holds ${formatMarker(snapshot.marker)}: it was rolled back`
    }
    if (snapshot.parent === undefined) return `its marker is ${marker.n} but none of its snapshots is ours: it was replaced`
    id = snapshot.parent
  }
}
