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
const countsOver = (size: ReturnType<typeof minutes>) =>
  clicks
    .keyBy('page')
    .window(tumbling(size))
    .aggregate((a) => ({ clicks: a.count() }))
    .appendTo('counts')
type Sinks = Parameters<typeof pipeline>[1]['sinks']
const definition = (...sinks: Sinks) => planOf(pipeline('clicks', { sinks }))
const raw = clicks.appendTo('raw')
const other = clicks.appendTo('other', { partitionBy: ['page'], sortBy: ['page', 'ts desc'] })
const counts = countsOver(minutes(1))

const record = (page: string, seconds = 60) => JSON.stringify({ ts: seconds * 1000, page })
const PARTITIONS = { trades: [0] }

test.each([
  ['windows that are gone', definition(raw), 'windows of counts, which it does not have'],
  ['windows of another size', definition(raw, countsOver(minutes(2))), 'windows of counts of another meaning'],
])('%s stand in the way of a deployment, whether staged or open', async (_, changed, found) => {
  const { runtime, again } = world({ plan: definition(raw, counts) })
  await provision(runtime, PARTITIONS)
  await ingest(runtime, [batch(0, 0, [record('/')])])
  await expect(assertStagedIsKnown(again({ plan: changed }))).rejects.toMatchObject({
    kind: 'Refused',
    message: expect.stringContaining(`found ${found}. Disable the event source mapping`),
  })
  await expect(assertStagedIsKnown(runtime)).resolves.toBeUndefined()
  await commit(runtime)
  // Of a window that is open the checkpoint itself tells.
  await expect(assertStagedIsKnown(again({ plan: changed }))).rejects.toMatchObject({ kind: 'Refused' })
})

test('rows of a table that the definition dropped are committed to it all the same, sorted and partitioned as it is', async () => {
  const { runtime, again, rows, files } = world({ plan: definition(raw, other) })
  await provision(runtime, PARTITIONS)
  await ingest(runtime, [batch(0, 0, [record('/a'), record('/b', 61), record('/a', 62)])])
  const without = again({ plan: definition(raw) })
  await expect(assertStagedIsKnown(without)).resolves.toBeUndefined()
  await provision(without, PARTITIONS)
  expect((await commit(without)).files).toBe(3)
  expect((await rows('other')).map(({ page, ts }) => [page, Number(ts)]).sort()).toEqual([
    ['/a', 60_000],
    ['/a', 62_000],
    ['/b', 61_000],
  ])
  expect((await files('other')).map((file) => /page=[^/]*/.exec(file)?.[0]).sort()).toEqual(['page=%2Fa', 'page=%2Fb'])
  // And the definition may come back.
  await provision(runtime, PARTITIONS)
  await ingest(runtime, [batch(0, 3, [record('/c', 63)])])
  await commit(runtime)
  expect(await rows('other')).toHaveLength(4)
  expect(await rows('raw')).toHaveLength(4)
})

test('an older commit takes rows of a table that only the newer definition has: a deployment is on its way', async () => {
  const { runtime, again, rows } = world({ plan: definition(raw) })
  await provision(runtime, PARTITIONS)
  const newer = again({ plan: definition(raw, other) })
  await provision(newer, PARTITIONS)
  await ingest(newer, [batch(0, 0, [record('/a')])])
  await commit(runtime)
  await ingest(newer, [batch(0, 1, [record('/b', 61)])])
  await commit(newer)
  expect(await rows('other')).toHaveLength(2)
  expect(await rows('raw')).toHaveLength(2)
})

test('rows of a table that nobody has made are refused', async () => {
  const { runtime, again } = world({ plan: definition(raw) })
  await provision(runtime, PARTITIONS)
  await ingest(again({ plan: definition(raw, other) }), [batch(0, 0, [record('/a')])])
  await expect(assertStagedIsKnown(runtime)).rejects.toMatchObject({ message: expect.stringContaining('rows of table other') })
  await expect(commit(runtime)).rejects.toMatchObject({ kind: 'Refused', message: expect.stringContaining('table other') })
})

test('nothing waits before the first record', async () => {
  const { runtime } = world({ plan: definition(raw) })
  await expect(assertStagedIsKnown(runtime)).resolves.toBeUndefined()
  await provision(runtime, PARTITIONS)
  await expect(assertStagedIsKnown(runtime)).resolves.toBeUndefined()
})
