import { test } from 'vitest'
import { world, trade, batch } from './runtime/world.ts'
import { provision } from '../lib/runtime/provision.ts'
import { ingest } from '../lib/runtime/ingest.ts'
import { stagingLogKey } from '../lib/protocol/names.ts'
test('x', async () => {
  const w = world()
  await provision(w.runtime, { trades: [0, 1] })
  await ingest(w.runtime, [batch(0, 0, [trade('A', 10, 1)])])
  const key = stagingLogKey('trades', 'trades', 'i1', 'trades', 0)
  console.log('tail', (await w.ports.log.tail(key))?.slot)
  await w.ports.log.trim(key, 1_000_000).catch((e) => console.log('trim', String(e)))
  await ingest(w.runtime, [batch(0, 1, [trade('A', 11, 1)])]).then((r) => console.log('ACKED', r.records), (e) => console.log('REJECTED', String(e)))
})
