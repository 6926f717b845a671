import { commitUnknown, unavailable } from '../../lib/errors.ts'
import type { Broker } from '../../lib/ports/broker.ts'
import type { Catalog } from '../../lib/ports/catalog.ts'
import type { Log } from '../../lib/ports/log.ts'
import type { ObjectInfo, Objects } from '../../lib/ports/objects.ts'
import type { Clock, Random } from '../../lib/ports/time.ts'
import type { Actor, Kernel } from './kernel.ts'

/** Everything that took effect in the stores, in the order it did. The checkers replay it. */
export type Event =
  | { readonly at: 'put'; readonly by: string; readonly key: string; readonly slot: number; readonly value: string }
  | { readonly at: 'trim'; readonly by: string; readonly key: string; readonly floor: number }
  | { readonly at: 'create' | 'swap'; readonly by: string; readonly table: string; readonly location: string }
  /** A disaster: from here on the table is not ours to write. */
  | { readonly at: 'replace'; readonly by: string; readonly table: string; readonly location: string }
  | { readonly at: 'object'; readonly by: string; readonly location: string }
  /** A disaster: an object is lost. */
  | { readonly at: 'destroy'; readonly by: string; readonly location: string }
  | { readonly at: 'delete'; readonly by: string; readonly location: string }
  /** A call of `advance` begins: the offset after the last record there was on each partition. */
  | { readonly at: 'advance'; readonly by: string; readonly source: string; readonly ends: readonly number[] }
  /** An ingest call reported success: these partitions are acknowledged below these offsets. */
  | { readonly at: 'ack'; readonly by: string; readonly topic: string; readonly next: ReadonlyMap<number, number> }

/** The stores as they are, below all faults. */
export interface Stores {
  readonly log: Log
  readonly objects: Objects
  readonly catalog: Catalog
  readonly broker: Broker
  readonly events: Event[]
  /** Every object ever written, also those deleted since. */
  readonly archive: Map<string, Uint8Array>
  /** Called right after a checkpoint was appended, before anyone can act on it. */
  afterCheckpoint: (() => Promise<void>) | undefined
  /** Looks at each event of tables and objects, and of logs, as it takes effect. */
  readonly watch?: (event: Event) => Promise<void>
}

/** Who makes a call. One container (a warm function) serves one actor after another. */
export interface Holder {
  actor: Actor
}

const never = () => new Promise<never>(() => {})

/** The ports of one process: the shared stores behind gates and faults. */
export function simulatedPorts(kernel: Kernel, stores: Stores, holder: Holder) {
  const { events } = stores
  const happened = async (event: Event): Promise<void> => {
    events.push(event)
    if (stores.watch !== undefined) await stores.watch(event)
  }
  /**
   * One port call: gate, fault, effect, and now and then a gate after it, so that others can act between an effect and what
   * its caller does next.
   */
  const call = async <T>(
    label: string,
    write: boolean,
    perform: (by: string) => Promise<T>,
    unknown = unavailable,
  ): Promise<T> => {
    const actor = holder.actor
    await kernel.gate(actor, label)
    let fault = kernel.drawFault(actor, write, label.startsWith('log.put staging'))
    if (fault === 'freeze') {
      await kernel.gate(actor, `${label} FROZEN`)
      fault = 'none'
    }
    if (fault === 'crashBefore') {
      kernel.crash(actor)
      return never()
    }
    if (fault === 'failBefore') {
      kernel.note(`${actor.name} ${label} FAIL-BEFORE`)
      throw unavailable(`Cannot ${label}: expected an answer, found a simulated outage.`)
    }
    if (fault === 'late') {
      kernel.note(`${actor.name} ${label} LATE`)
      kernel.defer(`${label} LANDS for ${actor.name}`, kernel.rng.between(1, 150), () => perform(actor.name))
      throw unknown(`Cannot ${label}: expected an answer, found a simulated timeout.`)
    }
    const result = await perform(actor.name)
    if (fault === 'failAfter') {
      kernel.note(`${actor.name} ${label} FAIL-AFTER`)
      throw unknown(`Cannot ${label}: expected an answer, found a simulated timeout.`)
    }
    if (fault === 'crashAfter') {
      kernel.crash(actor)
      return never()
    }
    if (write && kernel.rng.chance(0.5)) await kernel.gate(actor, `${label} done`)
    return result
  }

  const log: Log = {
    tail: (key) => call(`log.tail ${key}`, false, () => stores.log.tail(key)),
    put: (key, slot, value) =>
      call(`log.put ${key} #${slot}`, true, async (by) => {
        const result = await stores.log.put(key, slot, value)
        if (result.won) {
          await happened({ at: 'put', by, key, slot, value })
          if (key.startsWith('checkpoint/')) await stores.afterCheckpoint?.()
        }
        return result
      }),
    read: (key, after, maxItems) => call(`log.read ${key} >${after}`, false, () => stores.log.read(key, after, maxItems)),
    floors: (keys) => call('log.floors', false, () => stores.log.floors(keys)),
    trim: (key, floor) =>
      call(`log.trim ${key} <=${floor}`, true, async (by) => {
        await stores.log.trim(key, floor)
        await happened({ at: 'trim', by, key, floor })
        // The moment that those who slept through it should wake.
        if (kernel.rng.chance(0.5)) kernel.thaw()
      }),
  }
  const objects: Objects = {
    put: (location, parts) => {
      const copy = Uint8Array.from(Buffer.concat(parts))
      return call(`objects.put ${location}`, true, async (by) => {
        await stores.objects.put(location, [copy])
        stores.archive.set(location, copy)
        await happened({ at: 'object', by, location })
      })
    },
    get: (location, range) => call(`objects.get ${location}`, false, () => stores.objects.get(location, range)),
    size: (location) => call(`objects.size ${location}`, false, () => stores.objects.size(location)),
    delete: (location) =>
      call(`objects.delete ${location}`, true, async (by) => {
        await stores.objects.delete(location)
        await happened({ at: 'delete', by, location })
      }),
    async *list(prefix) {
      yield* await call(`objects.list ${prefix}`, false, async () => {
        const all: ObjectInfo[] = []
        for await (const info of stores.objects.list(prefix)) all.push(info)
        return all
      })
    },
  }
  const catalog: Catalog = {
    load: (table) => call(`catalog.load ${table.name}`, false, () => stores.catalog.load(table)),
    create: (table, location, description) =>
      call(`catalog.create ${table.name}`, true, async (by) => {
        const created = await stores.catalog.create(table, location, description)
        if (created) await happened({ at: 'create', by, table: table.name, location })
        return created
      }),
    swap: (table, expected, location) =>
      call(
        `catalog.swap ${table.name}`,
        true,
        async (by) => {
          const swapped = await stores.catalog.swap(table, expected, location)
          if (swapped) await happened({ at: 'swap', by, table: table.name, location })
          return swapped
        },
        kernel.rng.chance(0.5) ? commitUnknown : unavailable,
      ),
    list: () => call('catalog.list', false, () => stores.catalog.list()),
  }
  const broker: Broker = {
    partitions: (topic) => call('broker.partitions', false, () => stores.broker.partitions(topic)),
    nothingUnread: (topic, partition, offset) =>
      call(`broker.nothingUnread ${partition} ${offset}`, false, () => stores.broker.nothingUnread(topic, partition, offset)),
  }
  const clock: Clock = { now: () => kernel.now(), sleep: (ms) => kernel.sleep(holder.actor, ms) }
  let names = 0
  const random: Random = {
    uuid: () => {
      names++
      const hex = () => kernel.rng.int(0x1_0000_0000).toString(16).padStart(8, '0')
      const [a, b, c, d] = [hex(), hex(), hex(), hex()]
      return `${a}-${b.slice(0, 4)}-4${b.slice(5)}-8${c.slice(1, 4)}-${c.slice(4)}${d}`
    },
  }
  return { log, objects, catalog, broker, clock, random, uuids: () => names }
}
