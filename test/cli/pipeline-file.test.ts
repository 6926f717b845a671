import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { frazil, rowsOf, tempDir, tradesFile } from './frazil.ts'

const dir = tempDir()
const input = tradesFile(dir, 200)
// What npm init writes: a user's TypeScript must run all the same.
writeFileSync(join(dir, 'package.json'), '{ "name": "user", "type": "commonjs" }')

const STREAM = `import { column, kafka, seconds, timestampMillis } from 'frazil'
const ticks = kafka('ticks', {
  key: 'symbol',
  schema: { symbol: column.string(), ts: column.long() },
  computed: { at: (c) => timestampMillis(c.ts) },
  eventTime: 'at',
  watermark: { delay: seconds(5) },
})
`

const PIPELINE = `import { column, kafka, pipeline, seconds, timestampMillis } from 'frazil'
import { DELAY_S } from './delay.ts'
const ticks = kafka('ticks', {
  key: 'symbol',
  schema: { symbol: column.string(), ts: column.long() },
  computed: { at: (c) => timestampMillis(c.ts) },
  eventTime: 'at',
  watermark: { delay: seconds(DELAY_S) },
})
export default pipeline('ticks', { sinks: [ticks.select('symbol', 'at').appendTo('all_ticks')] })
`

function file(name: string, text: string): string {
  const path = join(dir, name)
  writeFileSync(path, text)
  return path
}

const run = (path: string, warehouse: string) =>
  frazil('run', path, '--input', input, '--warehouse', join(dir, warehouse), '--until-end', '--json')

test('a pipeline outside the checkout imports frazil without installing it', async () => {
  file('delay.ts', 'export const DELAY_S: number = 5\n')
  const { code, stdout, stderr } = await run(file('ticks.ts', PIPELINE), 'ticks')
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ pipeline: 'ticks', records: 200 })
})

test('a copy of frazil beside the pipeline is not mistaken for the one that runs it', async () => {
  const copy = join(dir, 'node_modules/frazil')
  mkdirSync(copy, { recursive: true })
  writeFileSync(join(copy, 'package.json'), '{ "name": "frazil", "version": "0.0.0", "type": "module", "exports": "./index.js" }')
  writeFileSync(join(copy, 'index.js'), 'throw new Error("another copy was loaded")')
  file('delay.ts', 'export const DELAY_S: number = 5\n')
  expect(await run(file('again.ts', PIPELINE), 'again')).toMatchObject({ code: 0, stderr: '' })
})

test('keys that JSON writes in camel case are read, and --input spreads by the column that is read from one', async () => {
  const camel = join(dir, 'camel.ndjson')
  writeFileSync(camel, readFileSync(input, 'utf8').replaceAll('"symbol":', '"tickSymbol":'))
  file('delay.ts', 'export const DELAY_S: number = 5\n')
  const all = PIPELINE.replace("ticks.select('symbol', 'at')", 'ticks')
  const path = file('camel.ts', all.replace('symbol: column.string()', "symbol: column.string().from('tickSymbol')"))
  const { stderr } = await frazil('run', path, '--input', camel, '--warehouse', join(dir, 'camel'), '--until-end', '--json')
  expect(stderr).toBe('')
  const perPartition = 'SELECT kafka_partition, symbol, count(*) AS n FROM all_ticks GROUP BY ALL ORDER BY ALL'
  await run(file('plain.ts', all), 'plain')
  expect(await rowsOf(perPartition, join(dir, 'camel'))).toEqual(await rowsOf(perPartition, join(dir, 'plain')))
})

describe('a pipeline file that cannot work exits 2 and says where', () => {
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ['no default export', 'export const x = 1\n', /expected a default export made by pipeline\(\), found exports named x/],
    ['nothing at all', '\n', /found exports named nothing/],
    ['another default export', 'export default { kind: "other" }\n', /found a default export that is another object/],
    ['a function as default export', 'export default () => 1\n', /found a default export that is a function/],
    [
      'a definition that cannot work',
      "import { pipeline } from 'frazil'\nexport default pipeline('Bad Name', { sinks: [] })\n",
      /Cannot define a pipeline: .*Bad Name[\s\S]*wrong\d+\.ts:2/,
    ],
    ['a syntax error', 'const a = 1\nconst b = {{\n', /expected valid TypeScript[\s\S]*wrong\d+\.ts:2/],
    ['syntax that stripping cannot remove', 'enum A { b }\n', /enum is not supported/],
    ['an import that is not there', "import 'not-there'\n", /Cannot find package 'not-there'/],
    [
      'a name that frazil does not have',
      "import { slidng } from 'frazil'\nslidng()\n",
      /expected frazil to export slidng, found no such value\. There are .*minutes, pipeline, .*tumbling/,
    ],
    [
      'a name that frazil nearly has',
      "import { tumblng } from 'frazil'\ntumblng()\n",
      /found no such value\. Did you mean tumbling\?\n {2}at .*wrong\d+\.ts/,
    ],
    ['a type imported as a value', "import { Row } from 'frazil'\nlet a: Row<1>\n", /write import type \{ Row \}/],
    [
      'a name that another file does not have',
      "import { nope } from './delay.ts'\nnope()\n",
      /expected \.\/delay\.ts to export nope/,
    ],
    [
      'a method of a later step',
      `${STREAM}ticks.keyBy('symbol').appendTo('t')\n`,
      /a stream with keys has \.window\(\), found \.appendTo\(\)\. Call \.appendTo\(\) on a stream or a result of aggregate\.\n {2}at .*:9:/,
    ],
    [
      'a method of a later step, on a constant',
      `${STREAM}const keyed = ticks.keyBy('symbol')\nkeyed.aggregate(() => 1)\n`,
      /found "keyed\.aggregate is not a function"\. Call \.aggregate\(\) on a stream cut into windows/,
    ],
    [
      'a type of column that there is not',
      `${STREAM}column.decimal(9, 2)\n`,
      /column has \.boolean\(\), \.int\(\), \.long\(\), \.double\(\), \.string\(\), found \.decimal\(\)/,
    ],
    ['a misspelt method', `${STREAM}ticks.fliter((c) => c.ts.gt(0))\n`, /Did you mean \.filter\(\)\?/],
    ['a method of SQL', `${STREAM}ticks.groupBy('symbol')\n`, /In frazil a stream has \.filter\(\).* \.keyBy\(\)/],
    [
      'a method that no expression has',
      `${STREAM}ticks.filter((c) => c.ts.greaterThan(0))\n`,
      /In frazil an expression has .*\.gt\(\).*\n {2}at .*:9:/,
    ],
    ['a method that JavaScript does not have', 'JSON.parze("1")\n', /expected it to load, found "JSON\.parze is not a function"/],
    [
      'an exception',
      'const f = () => {\n  throw new Error("my own")\n}\nf()\n',
      /expected it to load, found "my own"[\s\S]*wrong\d+\.ts:2/,
    ],
    ['something thrown that is no error', 'throw "text"\n', /found "text"/],
    ['an await without end', 'await new Promise(() => {})\n', /awaits what will never come/],
  ]
  test.concurrent.each(wrong.map((each, i) => [...each, i] as const))('%s', async (_, text, message, i) => {
    const { code, stdout, stderr } = await run(file(`wrong${i}.ts`, text), `wrong${i}`)
    const { error } = JSON.parse(stderr) as { error: { kind: string; message: string } }
    expect(error.message).toMatch(message)
    expect(error.kind).toBe('InvalidPipeline')
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })
})
