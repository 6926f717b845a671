import type { Catalog, TableId } from '../../lib/ports/catalog.ts'
import type { Objects } from '../../lib/ports/objects.ts'
import type { Clock, Random } from '../../lib/ports/time.ts'
import type { Stores } from './ports.ts'
import type { Replacement } from './scenario.ts'

/** JSON with its 63-bit numbers kept digit by digit. */
function parseExact(text: string): Record<string, unknown> {
  return JSON.parse(text, ((_: string, value: unknown, context: { source?: string }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && context.source !== undefined
      ? (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(context.source)
      : value) as (key: string, value: unknown) => unknown) as Record<string, unknown>
}

/**
 * A commit by somebody else, as any Iceberg writer may make: a property of theirs, our properties and snapshots kept, the
 * replaced metadata in the metadata log (Iceberg specification, "Table Metadata Fields").
 */
export async function touchTable(
  ports: { catalog: Catalog; objects: Objects; clock: Clock; random: Random },
  id: TableId,
): Promise<void> {
  const pointer = await ports.catalog.load(id)
  if (pointer === undefined) return
  const bytes = await ports.objects.get(pointer.metadataLocation)
  if (bytes === undefined) return
  const metadata = parseExact(Buffer.from(bytes).toString())
  const nowMs = Math.max(ports.clock.now(), Number(metadata['last-updated-ms']))
  const uuid = ports.random.uuid()
  const next = {
    ...metadata,
    'last-updated-ms': nowMs,
    properties: { ...(metadata.properties as Record<string, string>), 'other.writer': uuid },
    'metadata-log': [
      ...((metadata['metadata-log'] ?? []) as unknown[]),
      { 'timestamp-ms': metadata['last-updated-ms'], 'metadata-file': pointer.metadataLocation },
    ],
  }
  const location = `${String(metadata.location)}/metadata/other-${uuid}.metadata.json`
  await ports.objects.put(location, [Buffer.from(JSON.stringify(next))])
  await ports.catalog.swap(id, pointer, location)
}

/** Replaces a table behind everybody's back, at once and below all faults; returns the location of its new metadata. */
export async function replaceTable(stores: Stores, id: TableId, kind: Replacement, marker: string): Promise<string | undefined> {
  const pointer = await stores.catalog.load(id)
  const bytes = pointer === undefined ? undefined : await stores.objects.get(pointer.metadataLocation)
  if (pointer === undefined || bytes === undefined) return undefined
  const metadata = parseExact(Buffer.from(bytes).toString())
  const properties = { ...(metadata.properties as Record<string, string>) }
  const change: Record<string, unknown> = { properties }
  if (kind === 'uuid') change['table-uuid'] = '00000000-0000-4000-8000-00000000beef'
  if (kind === 'incarnation') properties[marker] = `other:${properties[marker].split(':')[1]}`
  if (kind === 'marker') delete properties[marker]
  if (kind === 'rollback') {
    const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)
    const snapshots = (metadata.snapshots ?? []) as Record<string, unknown>[]
    const current = snapshots.find((snapshot) => same(snapshot['snapshot-id'], metadata['current-snapshot-id']))
    const parent = snapshots.find((snapshot) => same(snapshot['snapshot-id'], current?.['parent-snapshot-id']))
    // CREATE OR REPLACE keeps uuid and properties and leaves no current snapshot.
    change['current-snapshot-id'] = parent === undefined ? -1 : parent['snapshot-id']
    change.refs = parent === undefined ? {} : { main: { 'snapshot-id': parent['snapshot-id'], type: 'branch' } }
  }
  const location = `${String(metadata.location)}/metadata/replaced.metadata.json`
  const content = Buffer.from(JSON.stringify({ ...metadata, ...change }))
  await stores.objects.put(location, [content])
  stores.archive.set(location, content)
  return (await stores.catalog.swap(id, pointer, location)) ? location : undefined
}
