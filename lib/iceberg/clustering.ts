import { DATA_MANIFEST } from './manifest.ts'
import type { ManifestFile } from './manifest-list.ts'
import type { TableMetadata } from './types.ts'

/** More than so many manifests that hold files of one partition and of others: a reader of that partition opens them all. */
const MAX_WIDE_DEPTH = 10

/**
 * Data manifests that cover more than one value of their first partition field, where its values are whole numbers: days,
 * buckets.
 */
export function wideManifests(metadata: TableMetadata, manifests: readonly ManifestFile[]): readonly ManifestFile[] {
  return manifests.filter((manifest) => {
    const range = rangeOf(metadata, manifest)
    return range !== undefined && range[0] < range[1]
  })
}

/**
 * True when so many wide manifests overlap that they are worth writing anew in order of partitions. Afterwards each value has
 * at most two: one that ends in it and one that begins there. So it never asks for the same again.
 */
export function badlyClustered(metadata: TableMetadata, manifests: readonly ManifestFile[]): boolean {
  const bySpec = new Map<number, [at: number, change: number][]>()
  for (const manifest of wideManifests(metadata, manifests)) {
    const range = rangeOf(metadata, manifest)
    if (range === undefined) continue
    const edges = bySpec.get(manifest.specId) ?? []
    edges.push([range[0], 1], [range[1] + 1, -1])
    bySpec.set(manifest.specId, edges)
  }
  for (const edges of bySpec.values()) {
    let depth = 0
    for (const [, change] of edges.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
      depth += change
      if (depth > MAX_WIDE_DEPTH) return true
    }
  }
  return false
}

/** Least and greatest value; undefined for a manifest that does not tell, or of another kind of value. */
function rangeOf(metadata: TableMetadata, { content, partitions, specId }: ManifestFile): readonly [number, number] | undefined {
  const { lower, upper } = partitions?.[0] ?? {}
  const transform = metadata['partition-specs'].find((spec) => spec['spec-id'] === specId)?.fields[0]?.transform ?? ''
  if (content !== DATA_MANIFEST || lower?.length !== 4 || upper?.length !== 4 || !WHOLE.test(transform)) return undefined
  return [int(lower), int(upper)]
}

/** Transforms whose values are whole numbers, whatever they are made from (spec, "Partition Transforms"). */
const WHOLE = /^(?:year|month|day|hour|bucket\[\d+\])$/

/** Spec, appendix D: a date or an int is four bytes, little endian. */
const int = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true)
