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

/**
 * Decides what a table needs, from the base that the swap will replace (PROTOCOL-REVIEW 10, 12, 15). `body` is the
 * checkpoint whose intents are at hand; an older need was applied before that checkpoint could be appended.
 */
export function decideApply(
  table: TableView,
  expected: { uuid: string; incarnation: string; need: number; body: number; last: number },
): ApplyVerdict {
  const { need } = expected
  if (table.uuid !== expected.uuid)
    return {
      verdict: 'Refuse',
      why: `expected the table with uuid ${expected.uuid}, found ${table.uuid}: it was dropped and made anew`,
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
  if (table.marker.n >= need) return { verdict: 'Done' }
  if (need !== expected.body)
    return {
      verdict: 'Refuse',
      why: `its marker ${table.marker.n} is below ${need}, which was applied before: it was rolled back`,
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
