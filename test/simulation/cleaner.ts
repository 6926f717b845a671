import type { Stores } from './ports.ts'

/**
 * What cleaning may delete, decided from the logs alone (PROTOCOL-REVIEW 6, 7, 13): segments each of whose slots is consumed,
 * bodies and state that the last checkpoint does not name and that no other checkpoint can name any more. Written for the
 * simulation, so that readers meet objects that are gone.
 */
export async function deadObjects(stores: Stores, staging: string): Promise<string[]> {
  const checkpoint = [...stores.events].reverse().find((event) => event.at === 'put' && event.key.startsWith('checkpoint/'))
  if (checkpoint?.at !== 'put') return []
  const { body: ref } = JSON.parse(checkpoint.value) as { body: { name: string } | null }
  if (ref === null) return []
  const bytes = await stores.objects.get(staging + ref.name)
  if (bytes === undefined) return []
  const body = JSON.parse(Buffer.from(bytes).toString()) as {
    n: number
    sources: Record<string, Record<string, { slot: number }>>
    state: Record<string, { object: string }[]>
  }
  const live = new Set([ref.name, ...Object.values(body.state).flatMap((refs) => refs.map((state) => state.object))])
  const dead: string[] = []
  for await (const { location } of stores.objects.list(staging)) {
    const name = location.slice(staging.length)
    if (live.has(name)) continue
    const n = Number.parseInt(name.slice(name.lastIndexOf('/') + 1), 10)
    if (name.includes('/checkpoints/') || name.includes('/state/')) {
      if (n <= body.n) dead.push(location)
    } else if (name.includes('/segments/')) {
      const segment = Buffer.from((await stores.objects.get(location)) ?? [])
      const end = segment.length - 8
      const footer = JSON.parse(segment.toString('utf8', end - segment.readUInt32LE(end), end)) as {
        pairs: { log: string; slot: number }[]
      }
      const consumed = ({ log, slot }: { log: string; slot: number }) => {
        const [, , source, , , partition] = log.split('/')
        return slot <= (body.sources[source]?.[partition]?.slot ?? 0)
      }
      if (footer.pairs.length > 0 && footer.pairs.every(consumed)) dead.push(location)
    }
  }
  return dead
}
