import { incarnationLogKey } from '../../lib/protocol/names.ts'
import { cleanStaging } from '../../lib/runtime/clean-staging.ts'
import { Violation } from './kernel.ts'
import type { Event, Stores } from './ports.ts'

interface Body {
  readonly n: number
  readonly sources: Record<string, Record<string, { slot: number }>>
  readonly state: Record<string, { object: string }[]>
  readonly intents: Record<string, { files: { path: string }[] }[]>
}

interface LastCheckpoint {
  readonly name: string
  readonly body: Body
  /** What took effect since its body was appended, `open` entries among it. */
  readonly since: readonly Event[]
}

async function lastCheckpoint({ events, archive }: Stores, staging: string): Promise<LastCheckpoint | undefined> {
  // A zombie's entry in a trimmed slot is no checkpoint: the highest slot holds the last one.
  let highest = 0
  let name: string | undefined
  let appended = 0
  for (const [i, event] of events.entries()) {
    if (event.at !== 'put' || !event.key.startsWith('checkpoint/') || event.slot <= highest) continue
    highest = event.slot
    const { body } = JSON.parse(event.value) as { body: { name: string } | null }
    if (body === null || body.name === name) continue
    name = body.name
    appended = i
  }
  const bytes = name === undefined ? undefined : archive.get(staging + name)
  if (name === undefined || bytes === undefined) return undefined
  return { name, body: JSON.parse(Buffer.from(bytes).toString()) as Body, since: events.slice(appended + 1) }
}

const consumedSlot = (body: Body | undefined, logKey: string): number => {
  const [, , source, , , partition] = logKey.split('/')
  return body?.sources[source]?.[partition]?.slot ?? 0
}

/**
 * What is deleted in the simulation, so that readers meet objects that are gone; told by the rules below, and seen to be what
 * `cleanStaging` deletes at this moment. That one may go further: `open` entries have taken slots above the last body's.
 */
export async function deadObjects(stores: Stores, staging: string, pipeline: string): Promise<string[]> {
  const expected = await deadByRule(stores, staging)
  const found = await deadByCode(stores, staging, pipeline)
  const spared = expected.filter((location) => !found.has(location))
  if (spared.length > 0) throw new Violation('Cleaning', `cleanStaging leaves what is dead: ${spared.join(', ')}`)
  const bodyN = (await lastCheckpoint(stores, staging))?.body.n ?? 0
  const slots = stores.events.map((event) => (event.at === 'put' && event.key.startsWith('checkpoint/') ? event.slot : 0))
  const tail = Math.max(0, ...slots)
  for (const location of found) {
    const n = numberIn(location)
    const overtaken = !location.includes('/segments/') && n > bodyN && n <= tail
    if (!overtaken && !expected.includes(location))
      throw new Violation('Cleaning', `cleanStaging deletes ${location}, which is not proved dead`)
  }
  return expected
}

/** The number that the name of a body or a state object begins with. */
const numberIn = (location: string) => Number.parseInt(location.slice(location.lastIndexOf('/') + 1), 10)

async function deadByCode({ log, objects }: Stores, staging: string, pipeline: string): Promise<ReadonlySet<string>> {
  const incarnation = (await log.tail(incarnationLogKey(pipeline)))?.value
  const found = new Set<string>()
  if (incarnation === undefined) return found
  const noting = { ...objects, delete: async (location: string) => void found.add(location) }
  const access = { log, objects: noting, staging, pipeline, incarnation }
  await cleanStaging(access, { nowMs: 0, olderThanMs: 0, apply: true })
  return found
}

/**
 * What may be deleted by the logs alone (protocol rules 6, 7, 13): segments each of whose slots is consumed, bodies and state that
 * the last checkpoint does not name and that no other checkpoint can name any more. Written apart from the code.
 */
async function deadByRule(stores: Stores, staging: string): Promise<string[]> {
  const last = await lastCheckpoint(stores, staging)
  if (last === undefined) return []
  const { body, name } = last
  const live = new Set([name, ...Object.values(body.state).flatMap((refs) => refs.map((state) => state.object))])
  const dead: string[] = []
  for await (const { location } of stores.objects.list(staging)) {
    const object = location.slice(staging.length)
    if (live.has(object)) continue
    if (object.includes('/checkpoints/') || object.includes('/state/')) {
      if (numberIn(object) <= body.n) dead.push(location)
    } else if (object.includes('/segments/')) {
      const segment = Buffer.from(stores.archive.get(location) ?? [])
      const end = segment.length - 8
      const footer = JSON.parse(segment.toString('utf8', end - segment.readUInt32LE(end), end)) as {
        pairs: { log: string; slot: number }[]
      }
      if (footer.pairs.length > 0 && footer.pairs.every(({ log, slot }) => slot <= consumedSlot(body, log))) dead.push(location)
    }
  }
  return dead
}

/** Segments that an entry names which no checkpoint has consumed. */
export async function unconsumedSegments(stores: Stores, staging: string): Promise<string[]> {
  const body = (await lastCheckpoint(stores, staging))?.body
  return stores.events.flatMap((event) => {
    if (event.at !== 'put' || !event.key.startsWith('staging/') || event.slot <= consumedSlot(body, event.key)) return []
    const { segment } = JSON.parse(event.value) as { segment: string | null }
    return segment === null ? [] : [staging + segment]
  })
}

/** Data files of a checkpoint that was appended this very moment, so that nobody can have looked at them. */
export async function unappliedFiles(stores: Stores, staging: string): Promise<string[]> {
  const last = await lastCheckpoint(stores, staging)
  if (last === undefined || last.since.length > 0) return []
  return Object.values(last.body.intents).flatMap((intents) => intents.flatMap((intent) => intent.files.map((file) => file.path)))
}
