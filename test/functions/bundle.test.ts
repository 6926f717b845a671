import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Bundles, bundle, FUNCTIONS, type FunctionName, planModule } from '../../functions/bundle.ts'
import { planOf } from '../../lib/index.ts'
import trades from '../../pipelines/trades.ts'

const dir = mkdtempSync(join(tmpdir(), 'frazil-bundle-'))
const pipeline = join(import.meta.dirname, 'trades.ts')
const run = promisify(execFile)
const MB = 1024 * 1024

let bundles: Bundles
beforeAll(async () => {
  bundles = await bundle({ pipeline, outDir: join(dir, 'first') })
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('ingest is small, and has no code that only commit or a command needs', () => {
  const { bytes, ownBytes, inputs } = bundles.ingest
  expect(ownBytes).toBeLessThan(1 * MB)
  expect(bytes).toBeLessThan(2 * MB)
  const used = Object.keys(inputs).filter((path) => inputs[path] > 0)
  expect(used).toContain('functions/ingest-handler.ts')
  expect(used.filter((path) => /glue|duckdb|kafkajs|parquet|iceberg|lib\/(?:cli|maintenance)\/|commit-until/.test(path))).toEqual(
    [],
  )
  expect(used.filter((path) => path.startsWith('lib/local/'))).toEqual(['lib/local/system.ts'])
})

test('commit has no query engine and no Kafka client in it', () => {
  const used = Object.keys(bundles.commit.inputs)
  expect(used).toContain('lib/aws/glue-catalog.ts')
  expect(used.filter((path) => /duckdb|kafkajs|lib\/cli\//.test(path))).toEqual([])
})

test('what keeps tables well has only what it speaks to in it, and is no larger than commit', () => {
  const used = (name: FunctionName) => Object.keys(bundles[name].inputs).join('\n')
  for (const name of ['compact', 'expire', 'orphans', 'trim'] as const) {
    expect(used(name)).not.toMatch(/duckdb|kafkajs|lib\/cli\/|functions\/(?:ingest|commit)/)
    expect(bundles[name].bytes).toBeLessThan(bundles.commit.bytes)
  }
  for (const name of ['compact', 'expire'] as const) expect(used(name)).not.toMatch(/client-dynamodb|lib\/aws\/dynamo/)
  expect(used('trim')).not.toMatch(/client-glue|lib\/aws\/glue|lib\/parquet\//)
  expect(used('expire')).not.toMatch(/lib\/parquet\/writer/)
})

test('packages in a bundle are the AWS SDK, Powertools and what they bring along', () => {
  const KNOWN = /^node_modules\/(?:@aws-sdk|@aws-crypto|@aws|@smithy|@aws-lambda-powertools|bowser|mnemonist|obliterator|tslib)\//
  for (const { inputs, ownBytes } of Object.values(bundles)) {
    const packages = Object.keys(inputs).filter((path) => path.includes('node_modules/'))
    expect(packages.filter((path) => !KNOWN.test(path))).toEqual([])
    const own = Object.entries(inputs).filter(([path]) => !path.includes('node_modules/'))
    const listed = own.reduce((sum, [, bytes]) => sum + bytes, 0)
    // What esbuild adds itself: the banner and a few helpers.
    expect(ownBytes - listed).toBeLessThan(5000)
    expect(listed).toBeGreaterThan(50_000)
  }
})

test('the same pipeline gives the same bytes, wherever they are written', async () => {
  const again = await bundle({ pipeline, outDir: join(dir, 'elsewhere/second') })
  for (const name of FUNCTIONS)
    for (const file of ['index.mjs', 'plan.mjs'])
      expect(readFileSync(join(dir, 'elsewhere/second', name, file)).equals(readFileSync(join(dir, 'first', name, file)))).toBe(
        true,
      )
  expect(again.ingest.bytes).toBe(bundles.ingest.bytes)
})

test('a function is its code and its plan in a folder of its own, its source map beside the folder', () => {
  expect(readdirSync(join(dir, 'first')).sort()).toEqual(FUNCTIONS.flatMap((name) => [name, `${name}.mjs.map`]).sort())
  for (const name of FUNCTIONS) expect(readdirSync(join(dir, 'first', name)).sort()).toEqual(['index.mjs', 'plan.mjs'])
})

/** Imports a bundle in a process of its own, and tells what it exports or says. */
async function importing(file: string, env: Record<string, string>): Promise<string> {
  const code = `import(${JSON.stringify(pathToFileURL(file).href)}).then((m) => console.log(Object.keys(m), typeof m.handler), (e) => console.log(e.message))`
  const { stdout } = await run(process.execPath, ['--eval', code], { env })
  return stdout.trim()
}

test('a bundle runs with nothing beside it, and says in one line what its environment lacks', async () => {
  const env = {
    FRAZIL_LOG_TABLE: 'logs',
    FRAZIL_STAGING: 's3://lake/staging/',
    FRAZIL_PARTITIONS: 'trades=4',
    AWS_REGION: 'us-east-1',
  }
  expect(await importing(bundles.ingest.file, env)).toBe("[ 'handler' ] function")
  expect(await importing(bundles.commit.file, { ...env, FRAZIL_WAREHOUSE: 's3://lake/' })).toBe("[ 'handler' ] function")
  const { FRAZIL_PARTITIONS: _, ...logs } = env
  for (const name of ['orphans', 'trim'] as const)
    expect(await importing(bundles[name].file, logs)).toBe("[ 'handler' ] function")
  const bare = { AWS_REGION: env.AWS_REGION, AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '2048' }
  for (const name of ['compact', 'expire'] as const)
    expect(await importing(bundles[name].file, bare)).toBe("[ 'handler' ] function")
  expect(await importing(bundles.compact.file, env)).toBe(
    "Cannot start compact: expected of Frazil's variables none, found FRAZIL_LOG_TABLE. Remove it.",
  )
  expect(await importing(bundles.commit.file, env)).toBe(
    'Cannot start commit: expected variable FRAZIL_WAREHOUSE, found none. Set it.',
  )
})

test('a pipeline outside the repository may import frazil, and other files of its own', async () => {
  const home = join(dir, 'user')
  mkdirSync(home)
  writeFileSync(join(home, 'names.ts'), "export const topic: string = 'orders'\n")
  writeFileSync(
    join(home, 'orders.ts'),
    `import { column, kafka, pipeline, seconds, timestampMillis } from 'frazil'
import { topic } from './names.ts'
const orders = kafka(topic, {
  partitions: 1,
  schema: { id: column.string(), ts: column.long() },
  computed: { at: (c) => timestampMillis(c.ts) },
  eventTime: 'at',
  watermark: { delay: seconds(1) },
})
export default pipeline('orders', { sinks: [orders.appendTo('raw_orders')] })
`,
  )
  // By the command, in a process of its own: vitest resolves imports its own way.
  const command = join(import.meta.dirname, '../../functions/bundle.ts')
  const { stdout } = await run(process.execPath, [command, join(home, 'orders.ts'), '--out', join(dir, 'orders')])
  const { ingest } = JSON.parse(stdout) as Bundles
  const env = {
    FRAZIL_LOG_TABLE: 'logs',
    FRAZIL_STAGING: 's3://lake/staging/',
    AWS_REGION: 'us-east-1',
  }
  expect(await importing(ingest.file, env)).toBe("[ 'handler' ] function")
})

test.each([
  ['is not there', undefined, 'Usage', /expected .* to exist|expected a file/],
  ['does not parse', 'export default pipeline(', 'InvalidPipeline', /does-not-parse\.ts/],
  ['exports nothing as default', 'export const a = 1', 'InvalidPipeline', /expected a default export made by pipeline\(\)/],
  ['imports what is not there', "import './nowhere.ts'\nexport default 1", 'InvalidPipeline', /nowhere\.ts/],
])('of a pipeline file that %s nothing is bundled', async (name, text, kind, message) => {
  // A module is loaded once: a name of its own each.
  const file = join(dir, `${name.replaceAll(' ', '-')}.ts`)
  if (text !== undefined) writeFileSync(file, text)
  const out = join(dir, 'broken')
  await expect(bundle({ pipeline: file, outDir: out })).rejects.toMatchObject({ kind, message: expect.stringMatching(message) })
  expect(existsSync(out)).toBe(false)
})

test('a plan comes back from its module as it went in, with what JSON cannot say', async () => {
  const values = {
    zero: -0,
    none: undefined,
    nan: Number.NaN,
    list: [1, 'a"\u2028', null, true],
    deep: { far: Infinity },
  }
  const odd = { ...planOf(trades), ...values }
  const file = join(dir, 'odd.mjs')
  writeFileSync(file, planModule(odd))
  const { default: read } = await import(pathToFileURL(file).href)
  expect(read).toStrictEqual(odd)
  expect(Object.is(read.zero, -0)).toBe(true)
})

test('the command prints sizes as JSON, and fails with 2 when it cannot run', async () => {
  const command = join(import.meta.dirname, '../../functions/bundle.ts')
  const { stdout } = await run(process.execPath, [command, pipeline, '--out', join(dir, 'command')])
  const { bytes, ownBytes } = bundles.ingest
  expect(JSON.parse(stdout).ingest).toEqual({ file: join(dir, 'command/ingest/index.mjs'), bytes, ownBytes })
  await expect(run(process.execPath, [command])).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^Cannot bundle: expected one pipeline file/),
  })
})
