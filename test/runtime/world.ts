import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { recordsFromValues } from '../../lib/columns/event.ts'
import type { Records } from '../../lib/columns/records.ts'
import { loadTable, planFiles } from '../../lib/iceberg/scan.ts'
import { planOf } from '../../lib/index.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import type { Broker } from '../../lib/ports/broker.ts'
import { memoryCatalog } from '../../lib/ports/memory/catalog.ts'
import { memoryLog } from '../../lib/ports/memory/log.ts'
import { memoryObjects } from '../../lib/ports/memory/objects.ts'
import { createRuntime, type Limits, type Ports, type Runtime, tableId } from '../../lib/runtime/runtime.ts'
import trades from '../../pipelines/trades.ts'

let worlds = 0

export interface World {
  readonly runtime: Runtime
  readonly ports: Ports
  /** Another process on the same stores, with another definition or other bounds. */
  again(options: { plan?: Plan; limits?: Partial<Limits>; ports?: Partial<Ports>; incarnation?: string }): Runtime
  rows(table: string): Promise<Record<string, unknown>[]>
  files(table: string): Promise<string[]>
}

/** A pipeline on memory stores: names by a counter, time by hand. Everything counts as read unless `broker` says otherwise. */
export function world(options: { plan?: Plan; limits?: Partial<Limits>; broker?: Broker } = {}): World {
  let names = 0
  const prefix = String(++worlds).padStart(8, '0')
  const ports: Ports = {
    log: memoryLog(),
    objects: memoryObjects(),
    catalog: memoryCatalog(),
    clock: { now: () => 1_000_000, sleep: async () => {} },
    random: { uuid: () => `${prefix}-0000-4000-8000-${String(++names).padStart(12, '0')}` },
    broker: options.broker ?? { partitions: async () => [0, 1], nothingUnread: async () => true },
  }
  const plan = options.plan ?? planOf(trades)
  const base = { plan, ports, staging: 'memory://staging/', warehouse: 'memory://warehouse/', incarnation: 'i1' }
  const runtime = createRuntime({ ...base, ...(options.limits && { limits: options.limits }) })
  const files = async (name: string) => {
    const table = await loadTable(ports.catalog, ports.objects, tableId(runtime, name))
    return table === undefined ? [] : (await planFiles(ports.objects, table.metadata)).map(({ file }) => file.filePath)
  }
  return {
    runtime,
    ports,
    again: (change) =>
      createRuntime({
        ...base,
        ...(change.plan && { plan: change.plan }),
        ...(change.limits && { limits: change.limits }),
        ...(change.incarnation && { incarnation: change.incarnation }),
        ports: { ...ports, ...change.ports },
      }),
    files,
    async rows(name) {
      const rows: Record<string, unknown>[] = []
      for (const path of await files(name)) {
        const bytes = await ports.objects.get(path)
        if (bytes === undefined) throw new Error(`no file ${path}`)
        const file = new Uint8Array(bytes).buffer
        rows.push(...(await parquetReadObjects({ file, compressors })))
      }
      return rows.sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1))
    },
  }
}

/** A stable order for rows of any of the tables: window, key, partition, offset. */
function orderOf(row: Record<string, unknown>): string {
  const time = row.window_start instanceof Date ? row.window_start.getTime() : 0
  return [time, row.symbol, row.kafka_partition, row.kafka_offset].map((part) => String(part ?? '').padStart(16)).join(' ')
}

/** One trade at a time, its values as text; `seconds` is event time since the epoch. */
export function trade(symbol: string, seconds: number, price: number, qty = 1): string {
  return JSON.stringify({ symbol, ts: seconds * 1000, price, qty })
}

/** A batch of one partition of topic trades, from `offset` on. */
export function batch(partition: number, offset: number, values: (string | null)[], timestamps?: number[]): Records {
  return recordsFromValues({
    topic: 'trades',
    partition,
    firstOffset: offset,
    values: values.map((value) => (value === null ? null : Buffer.from(value))),
    ...(timestamps && { timestamps }),
  })
}
