import type { Finding } from './audit-findings.ts'

/** Next offsets by partition that a marker stands for. */
export interface MarkedOffsets {
  readonly table: string
  /** The checkpoint of its marker. */
  readonly n: number
  readonly next: ReadonlyMap<string, number | null>
}

/**
 * Offsets grow with checkpoints: of two tables the one with the later marker is nowhere behind, two at one checkpoint say the
 * same, and none that is not ahead of the last checkpoint says more than it (protocol rule 28).
 *
 * @param logged what checkpoint `last` says; undefined `last`: it cannot be read
 */
export function judgeOffsets(
  tables: readonly MarkedOffsets[],
  logged: ReadonlyMap<string, number | null>,
  last: number | undefined,
): readonly Finding[] {
  const marked = tables.filter(({ n }) => n > 0).sort((a, b) => a.n - b.n)
  const all = marked.map(({ table, n, next }) => ({ name: `Table ${table}, at checkpoint ${n},`, table, n, next }))
  const behind = last === undefined ? [] : all.filter(({ n }) => n <= last)
  const pairs = all.slice(1).map((later, i) => [all[i], later] as const)
  const newest = behind.at(-1)
  const checkpoint = { name: `The last checkpoint, ${last},`, table: null, n: Number.POSITIVE_INFINITY, next: logged }
  return [...pairs, ...(newest === undefined ? [] : [[newest, checkpoint] as const])].flatMap(([earlier, later]) => {
    const found: Finding[] = []
    for (const [partition, next] of earlier.next) {
      const then = later.next.get(partition) ?? null
      const isBehind = (then ?? 0) < (next ?? 0)
      if (!isBehind && !(earlier.n === later.n && then !== next)) continue
      const message = `${later.name} stands at offset ${then} of ${partition}, ${earlier.name.replace(/^T/, 't')} at ${next}: expected ${earlier.n === later.n ? 'the same' : 'no less'}.`
      found.push({ kind: 'regression', table: later.table ?? earlier.table, partition, message })
    }
    return found
  })
}
