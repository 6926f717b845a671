import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { frazil, tempDir, tradesFile } from './frazil.ts'

const dir = tempDir()
const input = tradesFile(dir, 200)
// What npm init writes: a user's TypeScript must run all the same.
writeFileSync(join(dir, 'package.json'), '{ "name": "user", "type": "commonjs" }')

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
    ['a name that frazil does not have', "import { nope } from 'frazil'\nnope()\n", /does not provide an export named 'nope'/],
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
