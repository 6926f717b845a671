import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, describe, expect, test } from 'vitest'
import { blocksOf, PAGES, pageText, REPO } from './blocks.ts'

/** Commands that cannot run here: they install, need a broker, or are tests themselves. All others do run. */
const NOT_RUN = [
  'CONTRIBUTING.md: npm ci              # everything, Node 24 among it',
  'README.md: frazil run my/trades.ts --brokers localhost:9092 --warehouse my/warehouse',
  'README.md: npm ci && npm run demo',
  'README.md: npm ci && npm test',
  'README.md: npm rebuild node --ignore-scripts=false',
  'docs/how-to/read-from-kafka.md: frazil run my/trades.ts --brokers broker-1:9092,broker-2:9092 --warehouse warehouse',
  'docs/how-to/read-from-kafka.md: frazil run my/trades.ts --brokers localhost:9092 --warehouse warehouse --until-end',
]
const INFOS = ['', 'sh', 'sh not-run', 'output', 'json', 'python']
const MARK = '\u0001'

/** A checkout of its own for each page, its packages shared. */
function checkout(): string {
  const dir = mkdtempSync(join(tmpdir(), 'frazil-docs-'))
  afterAll(() => rmSync(dir, { recursive: true, force: true }))
  for (const name of ['package.json', 'lib', 'pipelines', 'bench']) cpSync(join(REPO, name), join(dir, name), { recursive: true })
  symlinkSync(join(REPO, 'node_modules'), join(dir, 'node_modules'))
  return dir
}

/** Runs a page's blocks as one shell session and gives what each wrote to stdout. */
async function session(dir: string, blocks: readonly string[]): Promise<string[]> {
  const script = blocks.map((block) => `${block}\nprintf '${MARK}'`).join('\n')
  const { FORCE_COLOR: _, ...env } = process.env
  const PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], { cwd: dir, env: { ...env, PATH, NO_COLOR: '1' } })
  const code = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  if ((await code) !== 0) throw new Error(`A block failed:\n${stdout}${stderr}`)
  return stdout.split(MARK)
}

describe('documentation', () => {
  const runnable = PAGES.filter((page) => blocksOf(page).some(({ info }) => info === 'sh'))

  test.concurrent.each(runnable)('the commands of %s run, and print what it says', async (page) => {
    const blocks = blocksOf(page)
    const dir = checkout()
    for (const { info, text: content } of blocks) {
      const file = /^ts file=(\S+)$/.exec(info)?.[1]
      if (file === undefined) continue
      mkdirSync(dirname(join(dir, file)), { recursive: true })
      writeFileSync(join(dir, file), content)
    }
    const commands = blocks.filter(({ info }) => info === 'sh')
    const outputs = await session(
      dir,
      commands.map((block) => block.text),
    )
    for (const [i, block] of blocks.entries()) {
      if (block.info !== 'output') continue
      const before = blocks[i - 1]
      expect(before?.info, `${page}:${block.line} follows a command`).toBe('sh')
      expect(outputs[commands.indexOf(before)], `${page}:${block.line}`).toBe(block.text)
    }
  })

  test('what does not run is listed, and every block is of a known kind', () => {
    const notRun = PAGES.flatMap((page) =>
      blocksOf(page)
        .filter(({ info }) => info === 'sh not-run')
        .map(({ text: content }) => `${page}: ${content.split('\n')[0]}`),
    )
    expect(notRun.sort()).toEqual(NOT_RUN)
    const unknown = PAGES.flatMap((page) => blocksOf(page).map(({ info }) => info)).filter(
      (info) => !INFOS.includes(info) && !/^ts file=\S+$/.test(info),
    )
    expect(unknown).toEqual([])
  })

  test('the pipelines it shows pass the type checker', async () => {
    const dir = checkout()
    const files: string[] = []
    for (const page of PAGES)
      for (const { info, text: content, line } of blocksOf(page)) {
        if (!info.startsWith('ts ')) continue
        const file = `${page.replaceAll(/[/.]/g, '_')}_${line}.ts`
        writeFileSync(join(dir, file), content)
        files.push(file)
      }
    expect(files.length).toBeGreaterThan(2)
    const compilerOptions = {
      extends: join(REPO, 'tsconfig.json'),
      compilerOptions: { paths: { frazil: [join(dir, 'lib/index.ts')] } },
      include: [],
      files,
    }
    writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify(compilerOptions))
    const [said] = await session(dir, ['npx --no-install tsc -p tsconfig.json || true'])
    expect(said).toBe('')
  })

  test('links within the documentation lead to files that are there', () => {
    const broken: string[] = []
    for (const page of PAGES)
      for (const [, target] of pageText(page).matchAll(/\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)/g))
        if (!existsSync(join(REPO, dirname(page), target))) broken.push(`${page}: ${target}`)
    expect(broken).toEqual([])
  })

  test('every page of a folder is linked from the index, and files named in code exist', () => {
    const index = pageText('docs/README.md')
    const lost = PAGES.filter(
      (page) => /^docs\/(tutorial|how-to|reference|explanation)\//.test(page) && !index.includes(page.replace('docs/', '')),
    )
    expect(lost).toEqual([])
    const named = PAGES.flatMap((page) =>
      [...pageText(page).matchAll(/`((?:lib|test|docs|bench|pipelines)\/[\w./-]+)`/g)].map(([, path]) => path),
    )
    expect(
      named.filter((path) => !existsSync(join(REPO, path)) || (path.endsWith('/') && !statSync(join(REPO, path)).isDirectory())),
    ).toEqual([])
  })
})
