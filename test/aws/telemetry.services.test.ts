import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { type Bundles, bundle } from '../../functions/bundle.ts'
import { COMMIT_METRICS, INGEST_METRICS } from '../../functions/metrics.ts'
import { FORMS, misshapenEvents, secretEvent } from '../functions/secrets.ts'
import { eventsOf, failed, succeeded } from '../functions/support.ts'
import { outputOf } from '../functions/telling.ts'
import { type Deployment, deploy } from '../lambda/deployment.ts'
import { ministack } from './services.ts'

const dir = mkdtempSync(join(tmpdir(), 'frazil-telemetry-'))
let bundles: Bundles
let deployment: Deployment
beforeAll(async () => {
  bundles = await bundle({ pipeline: join(import.meta.dirname, '../functions/trades.ts'), outDir: dir })
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))
beforeEach(async () => {
  deployment = await deploy({ ingest: bundles.ingest.file, commit: bundles.commit.file }, ministack())
  return () => deployment.close()
})

/** As Lambda has it in a process that was not started beforehand. */
const ON_DEMAND = { AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand' }

test('a bundled function prints one line of counts and one of metrics a call, all that its page promises', async () => {
  const [ingest, commit] = [
    deployment.start('ingest', { environment: ON_DEMAND }),
    deployment.start('commit', { environment: ON_DEMAND }),
  ]
  const events = eventsOf(1000)
  for (const event of events) succeeded(await ingest.invoke(event))
  succeeded(await commit.invoke('{}'))
  for (const [{ log }, name, message, metrics] of [
    [ingest, 'ingest', 'staged', INGEST_METRICS],
    [commit, 'commit', 'committed', COMMIT_METRICS],
  ] as const) {
    // Its output may come after its answer.
    const printed = await vi.waitFor(() => {
      const told = outputOf(log)
      expect(told.metrics.length).toBe(name === 'ingest' ? events.length : 1)
      return told
    })
    expect(printed.lines.length).toBe(printed.metrics.length)
    for (const [i, line] of printed.lines.entries())
      expect(line).toMatchObject({ level: 'INFO', message, pipeline: 'trades', function: name, cold_start: i === 0 })
    const [{ _aws, pipeline, function: of }] = printed.metrics
    expect([pipeline, of]).toEqual(['trades', name])
    expect(Object.fromEntries(_aws.CloudWatchMetrics[0].Metrics.map(({ Name, Unit }) => [Name, Unit]))).toEqual(metrics)
  }
})

test('what bundled functions print holds no value of a record, though Powertools is told to log events', async () => {
  const environment = { POWERTOOLS_LOGGER_LOG_EVENT: 'true', POWERTOOLS_LOG_LEVEL: 'TRACE' }
  const [ingest, commit] = [deployment.start('ingest', { environment }), deployment.start('commit', { environment })]
  // First, since nobody looks at what is staged already.
  for (const event of misshapenEvents()) {
    // What a function throws is printed, too: by Lambda.
    const { errorMessage } = failed(await ingest.invoke(JSON.stringify(event)))
    for (const form of FORMS) expect(errorMessage).not.toContain(form)
  }
  succeeded(await ingest.invoke(JSON.stringify(secretEvent())))
  succeeded(await commit.invoke('{}'))
  const kinds = [...misshapenEvents().map(() => 'Usage'), undefined, undefined]
  const all = () => [...ingest.log, ...commit.log]
  await vi.waitFor(() => expect(outputOf(all()).lines.map(({ kind }) => kind)).toEqual(kinds))
  const text = all().join('\n')
  for (const form of FORMS) expect(text).not.toContain(form)
})
