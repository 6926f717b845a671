import { expect, test } from 'vitest'
import { column, kafka, minutes, pipeline, planOf, seconds, timestampMillis, tumbling } from '../../lib/index.ts'
import { commit } from '../../lib/runtime/commit.ts'
import { ingest } from '../../lib/runtime/ingest.ts'
import { provision } from '../../lib/runtime/provision.ts'
import { assertStagedIsKnown } from '../../lib/runtime/staged.ts'
import { batch, world } from './world.ts'

const clicks = kafka('trades', {
  schema: { ts: column.long(), page: column.string() },
  computed: { at: (c) => timestampMillis(c.ts) },
  eventTime: 'at',
  watermark: { delay: seconds(1) },
})
const perMinute = clicks
  .keyBy('page')
  .window(tumbling(minutes(1)))
  .aggregate((a) => ({ clicks: a.count() }))
type Sinks = Parameters<typeof pipeline>[1]['sinks']
const definition = (...sinks: Sinks) => planOf(pipeline('clicks', { sinks }))
const raw = clicks.appendTo('raw')
const other = clicks.appendTo('other')
const counts = perMinute.appendTo('counts')

const record = JSON.stringify({ ts: 60_000, page: '/' })

test.each([
  ['a table of rows', definition(raw), 'table:other'],
  ['a table of windows', definition(raw, other), 'state:counts'],
])('rows that wait for %s that is gone are told, and no more once they are committed', async (_, without, target) => {
  const { runtime, again } = world({ plan: definition(raw, other, counts) })
  await provision(runtime, { trades: [0] })
  await ingest(runtime, [batch(0, 0, [record])])
  const changed = again({ plan: without })
  await expect(assertStagedIsKnown(changed)).rejects.toMatchObject({
    kind: 'Refused',
    message: expect.stringContaining(`found ${target}. Disable the event source mapping, let commit finish`),
  })
  await expect(assertStagedIsKnown(runtime)).resolves.toBeUndefined()
  await commit(runtime)
  // Of a window that is open the checkpoint itself tells.
  if (target.startsWith('table:'))
    await expect(assertStagedIsKnown(again({ plan: definition(raw, counts) }))).resolves.toBeUndefined()
  else
    await expect(assertStagedIsKnown(changed)).rejects.toMatchObject({
      kind: 'Refused',
      message: expect.stringContaining('window'),
    })
})

test('nothing waits before the first record', async () => {
  const { runtime } = world({ plan: definition(raw) })
  await expect(assertStagedIsKnown(runtime)).resolves.toBeUndefined()
  await provision(runtime, { trades: [0] })
  await expect(assertStagedIsKnown(runtime)).resolves.toBeUndefined()
})
