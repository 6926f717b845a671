import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { commitHandler } from '../../functions/commit-handler.ts'
import type { Answer } from '../../functions/custom-resource.ts'
import { ingestHandler } from '../../functions/ingest-handler.ts'
import { provisionHandler } from '../../functions/provision-handler.ts'
import { openTelemetry } from '../../functions/telemetry.ts'
import { withoutValues } from '../../functions/values.ts'
import { corrupt, FrazilError, refused, unavailable } from '../../lib/errors.ts'
import { column, kafka, pipeline, planOf, seconds, timestampMillis } from '../../lib/index.ts'
import type { Objects } from '../../lib/ports/objects.ts'
import type { Ports } from '../../lib/runtime/runtime.ts'
import { world } from '../runtime/world.ts'
import { eventOf, FORMS, SECRET } from './secrets.ts'
import { type Captured, capture } from './telling.ts'

const visits = kafka('trades', {
  partitions: 1,
  schema: { ts: column.long(), email: column.string() },
  computed: { at: (c) => timestampMillis(c.ts) },
  eventTime: 'at',
  watermark: { delay: seconds(1) },
})
/** A folder of its data files has an address in its name. */
const plan = planOf(pipeline('visits', { sinks: [visits.appendTo('raw', { partitionBy: ['email', 'day(at)'] })] }))
const VISIT = eventOf({ 0: { values: [JSON.stringify({ ts: 1000, email: `${SECRET}@example.com` })] } })
const FOLDER = `email=${SECRET}%40example.com`

let output: Captured
beforeEach(() => {
  output = capture()
})
afterEach(() => output.end())

/** The functions on memory stores, with something between them and the stores of commit and provision. */
function functions(change: (ports: Ports) => Partial<Ports>) {
  const { ports } = world({ plan })
  const config = { logTable: 'logs', staging: 'memory://staging/', partitions: {}, warehouse: 'memory://warehouse/' }
  const changed = { ...ports, ...change(ports), broker: undefined }
  const told = (name: 'ingest' | 'commit' | 'provision') => ({ telemetry: openTelemetry(name, plan.name) })
  const context = { awsRequestId: 'request-1', getRemainingTimeInMillis: () => 60_000 }
  const answers: Answer[] = []
  const ingestWith = (of: Ports, partialResponses: boolean) =>
    ingestHandler(plan, { ...of, ...told('ingest') }, { ...config, partialResponses })
  const commit = commitHandler(plan, { ...changed, ...told('commit') }, { ...config, maxCheckpointBytes: 1e6 })
  const provision = provisionHandler(plan, { ...changed, ...told('provision') }, config, async (_, answer) => {
    answers.push(answer)
  })
  return {
    answers,
    staged: () => ingestWith(ports, false)(VISIT, context),
    ingest: (event: unknown, partialResponses: boolean) => ingestWith(changed, partialResponses)(event, context),
    commit: () => commit({}, context),
    provision: (event: object) => provision(event, context),
  }
}

const objectsWith = (change: (objects: Objects) => Partial<Objects>) => (ports: Ports) => ({
  objects: { ...ports.objects, ...change(ports.objects) },
})
const isDataFile = (location: string) => location.includes('/data/')
/** Data files cannot be put, for an error that names them. */
const putFails = (error: (location: string) => Error) =>
  objectsWith(({ put }) => ({
    put: async (location, parts) => {
      if (isDataFile(location)) throw error(location)
      return put(location, parts)
    },
  }))
/** Nothing can be read from the logs. */
const logFails = (error: Error) => (ports: Ports) => ({ log: { ...ports.log, tail: () => Promise.reject(error) } })

/** What was thrown, after a look at all that anybody could print of it. */
async function thrownBy(call: () => Promise<unknown>): Promise<Error> {
  const error: unknown = await call().then(
    () => undefined,
    (thrown) => thrown,
  )
  if (!(error instanceof Error)) throw new Error('expected an error to be thrown')
  expectNoValues(`${error.message} ${error.stack} ${JSON.stringify(error, Object.getOwnPropertyNames(error))}`)
  expect(error.cause).toBeUndefined()
  return error
}

function expectNoValues(text: string): void {
  for (const form of FORMS) expect(text).not.toContain(form)
}

/** Lines of errors that were printed, after a look for values in all that was. */
function printedErrors() {
  const { text, lines } = output.take()
  expectNoValues(text)
  return lines.filter(({ level }) => level === 'ERROR')
}

describe('values of partition folders are neither printed nor thrown', () => {
  test('when a data file cannot be written', async () => {
    const fails = (path: string) => unavailable(`Cannot write ${path}: SlowDown. Try again.`, { cause: new Error(path) })
    const { staged, commit } = functions(putFails(fails))
    await staged()
    const error = await thrownBy(commit)
    const written =
      /^Cannot write memory:\/\/warehouse\/visits\/raw\/data\/email=…\/at_day=…\/[^/]+\.parquet: SlowDown\. Try again\.$/
    expect(error).toMatchObject({ kind: 'Unavailable', name: 'Unavailable', message: expect.stringMatching(written) })
    expect(printedErrors()).toMatchObject([{ kind: 'Unavailable', message: error.message }])
  })

  test('when a data file that was written is gone', async () => {
    const gone = objectsWith(({ size }) => ({ size: async (at) => (isDataFile(at) ? undefined : size(at)) }))
    const { staged, commit } = functions(gone)
    await staged()
    const error = await thrownBy(commit)
    expect(error).toBeInstanceOf(FrazilError)
    expect(error).toMatchObject({ kind: 'Corrupt', message: expect.stringMatching(/^Cannot commit data file .*\/email=…\//) })
    expect(printedErrors()).toMatchObject([{ kind: 'Corrupt', message: error.message }])
  })

  test('when something fails that nobody foresaw, and its stack is kept', async () => {
    const fails = (path: string) => Object.assign(new TypeError(`Cannot read ${path}`, { cause: path }), { path })
    const { staged, commit } = functions(putFails(fails))
    await staged()
    const error = await thrownBy(commit)
    expect(error).toBeInstanceOf(TypeError)
    expect(error.stack).toContain('values.test.ts')
    expect(printedErrors()).toMatchObject([{ kind: 'Bug', stack: expect.stringContaining('values.test.ts') }])
  })

  test('when ingest fails, in whole or in part', async () => {
    const error = corrupt(`Cannot read s3://lake/${FOLDER}/a.parquet: it is gone.`)
    await thrownBy(() => functions(logFails(error)).ingest(VISIT, false))
    expect(printedErrors()).toMatchObject([{ kind: 'Corrupt' }])

    const part = functions(({ log }) => ({
      log: { ...log, tail: async (key) => (key.endsWith('/trades/0') ? Promise.reject(error) : log.tail(key)) },
    }))
    const record = [JSON.stringify({ ts: 1000, email: 'a' })]
    const both = { ...VISIT, records: { ...VISIT.records, ...eventOf({ 1: { values: record } }).records } }
    expect(await part.ingest(both, true)).toMatchObject({ batchItemFailures: [{ itemIdentifier: { partition: 'trades-0' } }] })
    expect(printedErrors()).toMatchObject([{ kind: 'Corrupt', partition: 'trades-0' }])
  })

  test.each([
    ['foreseen', refused(`Cannot use s3://lake/${FOLDER}/a.parquet.`), /^Cannot use s3:\/\/lake\/email=…\/a\.parquet\.$/],
    ['unforeseen', new RangeError(`bad /${FOLDER}/a`), /^Bug: bad \/email=…\/a$/],
  ])('when a deployment fails for something %s', async (_, failure, reason) => {
    const { provision, answers } = functions(logFails(failure))
    await provision({ RequestType: 'Update', ResponseURL: 'https://bucket/' })
    expect(answers).toMatchObject([{ Status: 'FAILED', Reason: expect.stringMatching(reason) }])
    expectNoValues(JSON.stringify(answers))
    await thrownBy(() => provision({}))
    expect(printedErrors().length).toBe(2)
  })
})

describe('an error without values', () => {
  test.each([
    ['one folder', 's3://b/data/email=jane%40x/f.parquet: gone', 's3://b/data/email=…/f.parquet: gone'],
    ['folders of several columns', '/data/a=1/b%2Fc=2/f', '/data/a=…/b%2Fc=…/f'],
    ['a folder that is encoded once more', '/data/email%3Djane%2540x/f', '/data/email%3D…/f'],
    ['an empty value', '/data/a=/f', '/data/a=…/f'],
    ['two paths', '/a=1/f, /a=2/g', '/a=…/f, /a=…/g'],
  ])('has %s cut out', (_, text, expected) => {
    expect(withoutValues(refused(text)).message).toBe(expected)
  })

  test.each([
    'expected FRAZIL_PARTITIONS to be trades=4,orders=8, found trades=0. Set it right.',
    'Cannot read s3://lake/staging/trades/3: expected offset=4 or more, found 2/3.',
  ])('says all else as it was: %s', (text) => {
    const error = refused(text)
    expect(withoutValues(error)).toMatchObject({ kind: 'Refused', message: text, stack: error.stack })
  })

  test('is an error whatever was thrown', () => {
    expect(withoutValues('/a=1/f')).toEqual(new Error('/a=…/f'))
    expect(withoutValues(undefined)).toEqual(new Error('undefined'))
  })
})
