import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const REPO = join(import.meta.dirname, '../..')

/** Every page that readers see. */
export const PAGES = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/**/*.md', { cwd: REPO }).sort()]

const INDEX = 'docs/README.md'

/** Pages as a newcomer reads them: the index, and all it links in its order, the tutorial first. */
export const READING_ORDER: readonly string[] = [
  'README.md',
  INDEX,
  ...new Set([...pageText(INDEX).matchAll(/\]\(([^)#:]+\.md)\)/g)].map(([, page]) => `docs/${page}`)),
]

/** A fenced block. `info` is what stands after the fence: `sh`, `sh not-run`, `sh smoke`, `sh aws`, `ts file=my/x.ts`, `output`. */
export interface Block {
  readonly info: string
  readonly text: string
  readonly line: number
}

export function pageText(page: string): string {
  return readFileSync(join(REPO, page), 'utf8')
}

export function blocksOf(page: string): readonly Block[] {
  const blocks: { info: string; text: string; line: number }[] = []
  let open: { info: string; text: string; line: number } | undefined
  for (const [i, line] of pageText(page).split('\n').entries()) {
    if (open === undefined && line.startsWith('```')) open = { info: line.slice(3).trim(), text: '', line: i + 1 }
    else if (open !== undefined && line === '```') {
      blocks.push(open)
      open = undefined
    } else if (open !== undefined) open.text += `${line}\n`
  }
  return blocks
}

/** The file that a block is the text of: `ts file=my/x.ts`. */
export const fileOf = (info: string): string | undefined => /^(?:ts|json) file=(\S+)$/.exec(info)?.[1]
