import { globSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'

/** Upper rooms first, as CONTRIBUTING has them: a room imports only from itself and from rooms after it. */
const ROOMS = [
  'cli',
  'cost',
  'local',
  'aws',
  'runtime',
  'maintenance',
  'protocol',
  'stream',
  'iceberg',
  'parquet',
  'pipeline',
  'columns',
  'ports',
]
/** What every room may use. `index.ts` is the public interface: it may name what users need, and no room imports it. */
const SHARED = ['lib/errors.ts', 'lib/lookup.ts']
const INDEX = 'lib/index.ts'
const INDEX_NAMES = ['pipeline', ...SHARED]

/** Rooms that stand at the edge: the machine's time, chance and timers are theirs alone. */
const EDGE = ['cli', 'local', 'aws']
const MAX_LINES = 400

const repo = join(import.meta.dirname, '../..')
const files = globSync('lib/**/*.ts', { cwd: repo })
  .map((file) => file.replaceAll('\\', '/'))
  .sort()
const sourceOf = (file: string) => readFileSync(join(repo, file), 'utf8')
const roomOf = (file: string): string => (SHARED.includes(file) || file === INDEX ? file : file.split('/')[1])

/** Paths of all relative imports, types and dynamic ones too. */
function importsOf(file: string): string[] {
  const specifiers = sourceOf(file).matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'(\.[^']*)'/g)
  return [...specifiers].map(([, specifier]) => normalize(join(dirname(file), specifier)).replaceAll('\\', '/'))
}

/** Code without comments, types and the content of strings. */
function codeOf(file: string): string {
  return stripTypeScriptTypes(sourceOf(file))
    .replace(/'(?:[^'\\\n]|\\.)*'|`(?:[^`\\$]|\\.)*`/g, "''")
    .replace(/\/\*[\s\S]*?\*\/|(?<![:'"])\/\/[^\n]*/g, '')
}

describe('the house', () => {
  test('every file in lib stands in a room that CONTRIBUTING names', () => {
    const homeless = files.filter((file) => !SHARED.includes(file) && file !== INDEX && !ROOMS.includes(roomOf(file)))
    expect(homeless).toEqual([])
    expect(files.length).toBeGreaterThan(50)
  })

  test('a room imports only from rooms below it', () => {
    const wrong: string[] = []
    for (const file of files)
      for (const imported of importsOf(file)) {
        const [from, to] = [roomOf(file), roomOf(imported)]
        const allowed =
          from === INDEX ? INDEX_NAMES.includes(to) : SHARED.includes(to) || ROOMS.indexOf(to) >= ROOMS.indexOf(from)
        if (!allowed || (SHARED.includes(from) && !SHARED.includes(to))) wrong.push(`${file} imports ${imported}`)
      }
    expect(wrong).toEqual([])
  })

  test('every relative import names a file that is there, with its suffix', () => {
    const missing = files.flatMap((file) =>
      importsOf(file)
        .filter((path) => path.startsWith('lib/') && !files.includes(path))
        .map((path) => `${file} -> ${path}`),
    )
    expect(missing).toEqual([])
    expect(files.flatMap(importsOf).length).toBeGreaterThan(100)
  })

  test('files in lib import nothing of tests, benches, scripts or pipelines', () => {
    expect(files.filter((file) => importsOf(file).some((path) => !path.startsWith('lib/')))).toEqual([])
  })

  test('files do not import one another in a circle', () => {
    const state = new Map<string, 'open' | 'done'>()
    const circles: string[] = []
    const visit = (file: string, path: readonly string[]) => {
      if (state.get(file) === 'done') return
      if (state.get(file) === 'open') {
        circles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
        return
      }
      state.set(file, 'open')
      for (const next of valueImportsOf(file)) visit(next, [...path, file])
      state.set(file, 'done')
    }
    for (const file of files) visit(file, [])
    expect(circles).toEqual([])
  })

  test(`files keep to about ${MAX_LINES} lines`, () => {
    const long = files
      .map((file) => [file, sourceOf(file).split('\n').length - 1] as const)
      .filter(([, lines]) => lines > MAX_LINES)
    expect(long).toEqual([])
  })
})

describe('what is built on the house', () => {
  /** What a directory beside lib may import of this repository. */
  const ABOVE: Readonly<Record<string, readonly string[]>> = {
    functions: ['functions/', 'lib/'],
    cdk: ['cdk/', 'functions/', 'lib/'],
  }
  const filesOf = (directory: string) => globSync(`${directory}/**/*.ts`, { cwd: repo }).map((file) => file.replaceAll('\\', '/'))

  test.each(Object.entries(ABOVE))('%s imports only what is below it', (directory, below) => {
    const found = filesOf(directory)
    const wrong = found.flatMap((file) =>
      importsOf(file)
        // The app is where pipelines and constructs meet.
        .filter(
          (path) => !below.some((part) => path.startsWith(part)) && !(file === 'cdk/app.ts' && path.startsWith('pipelines/')),
        )
        .map((path) => `${file} imports ${path}`),
    )
    expect(wrong).toEqual([])
    expect(found.flatMap(importsOf).length).toBeGreaterThan(20)
  })

  test.each(Object.keys(ABOVE))(`files in %s keep to about ${MAX_LINES} lines`, (directory) => {
    expect(filesOf(directory).filter((file) => sourceOf(file).split('\n').length - 1 > MAX_LINES)).toEqual([])
  })
})

/** Imports that are left at run time. */
function valueImportsOf(file: string): string[] {
  const specifiers = stripTypeScriptTypes(sourceOf(file)).matchAll(/\bfrom\s*'(\.[^']*)'/g)
  return [...specifiers].map(([, specifier]) => normalize(join(dirname(file), specifier)).replaceAll('\\', '/'))
}

describe('what is kept out of the house', () => {
  const inner = files.filter((file) => !EDGE.includes(roomOf(file)))

  /** What it is, how it looks, and code that has it: a pattern that finds nothing anywhere would prove nothing. */
  const KEPT_OUT: readonly (readonly [string, RegExp, string])[] = [
    ["the machine's time", /\bDate\.now\b|\bnew Date\(\s*\)|\bperformance\.now\b|\bhrtime\b/, 'const a = new Date()'],
    ['chance', /\bMath\.random\b|\brandomUUID\b|\brandomBytes\b|\bgetRandomValues\b|\brandomInt\b/, 'crypto.randomUUID()'],
    ['timers', /\bset(?:Timeout|Interval|Immediate)\b|node:timers/, 'setTimeout(f, 1)'],
    [
      'disk, network and processes',
      /'node:(?:fs|net|https?|child_process|sqlite|worker_threads)\b/,
      "import x from 'node:fs/promises'",
    ],
  ]
  test.each(KEPT_OUT)('%s stay at the edge', (_, pattern, example) => {
    expect(pattern.test(example)).toBe(true)
    const text = (file: string) => (pattern.source.startsWith("'") ? sourceOf(file) : codeOf(file))
    expect(inner.filter((file) => pattern.test(text(file)))).toEqual([])
    expect(files.some((file) => pattern.test(text(file)))).toBe(true)
  })

  test('default exports live in pipelines/ alone', () => {
    expect(files.filter((file) => /^export default\b/m.test(codeOf(file)))).toEqual([])
  })

  test('there is no any, no enum, and types are not silenced', () => {
    const silenced = /:\s*any\b|\bas any\b|<any>|\bany\[\]|@ts-ignore|@ts-nocheck|@ts-expect-error|\benum\s+\w+\s*\{/
    expect(files.filter((file) => silenced.test(sourceOf(file).replace(/^\s*(?:\*|\/\*\*|\/\/).*$/gm, '')))).toEqual([])
  })
})
