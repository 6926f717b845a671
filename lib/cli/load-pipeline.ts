import { registerHooks } from 'node:module'
import { relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { FrazilError, invalidPipeline, messageOf, usage } from '../errors.ts'
import type { Pipeline } from '../pipeline/pipeline.ts'
import type { Plan } from '../pipeline/plan.ts'
import { planOf } from '../pipeline/plan-of.ts'
import { existingFile } from './arguments.ts'
import { loadHint } from './load-hints.ts'

/**
 * The plan of a pipeline file: its default export, made by `pipeline()`. Throws `Usage` when the file cannot be read,
 * `InvalidPipeline` when it cannot be loaded or defines nothing that can run.
 */
export async function loadPipeline(path: string): Promise<Plan> {
  const file = existingFile('the pipeline', path, namesTable(path) ? NOT_A_TABLE : undefined)
  const url = pathToFileURL(file).href
  const shown = shownPath(file)
  if (!/\.[mc]?[jt]s$/.test(file)) throw usage(`Cannot read the pipeline: expected a .ts or .js file, found ${shown}.`)
  resolveFrazilToUs()
  let module: Readonly<Record<string, unknown>>
  try {
    module = await import(url)
  } catch (cause) {
    const exported = Object.keys(await import(FRAZIL)).sort()
    throw loadFailure(cause, shown, url, exported)
  }
  const made = module.default
  if ((made as Partial<Pipeline> | null | undefined)?.kind !== 'pipeline') throw notAPipeline(shown, module)
  try {
    return planOf(made as Pipeline)
  } catch (cause) {
    if (cause instanceof FrazilError) throw cause
    throw invalidPipeline(
      `Cannot run ${shown}: expected a pipeline made by this version of frazil, found another (${messageOf(cause)}).`,
      { cause },
    )
  }
}

/** `namespace.table`, as other commands take it. */
const namesTable = (path: string) => /^[\w-]+\.[\w-]+$/.test(path) && !/\.[mc]?[jt]s$/.test(path)
const NOT_A_TABLE = "This command takes a pipeline's file, not a table."

/** The file that 'frazil' means. */
const FRAZIL = new URL(import.meta.url.endsWith('.ts') ? '../index.ts' : '../index.js', import.meta.url).href

let hooked = false

/**
 * `import … from 'frazil'` means this very copy, wherever the pipeline file lies: nothing need be installed beside it, and its
 * values are made by the code that runs them. Its TypeScript is loaded as a module whatever the nearest package.json says
 * ("type": "commonjs" is what npm init writes).
 */
function resolveFrazilToUs(): void {
  if (hooked) return
  hooked = true
  registerHooks({
    resolve(specifier, context, next) {
      if (specifier === 'frazil') return { url: FRAZIL, shortCircuit: true }
      const resolved = next(specifier, context)
      const isUserTypeScript = resolved.url.endsWith('.ts') && !resolved.url.includes('/node_modules/')
      return isUserTypeScript ? { ...resolved, format: 'module-typescript' } : resolved
    },
  })
}

function notAPipeline(shown: string, module: Readonly<Record<string, unknown>>): FrazilError {
  const names = Object.keys(module).filter((name) => name !== 'default')
  const found =
    'default' in module
      ? `a default export that is ${described(module.default)}`
      : `exports named ${names.join(', ') || 'nothing'}`
  return invalidPipeline(
    `Cannot run ${shown}: expected a default export made by pipeline(), found ${found}. Write "export default pipeline('name', { … })".`,
  )
}

function described(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'object' && 'node' in value) return 'a stream or sink'
  return typeof value === 'object' ? 'another object' : `a ${typeof value}`
}

function loadFailure(cause: unknown, shown: string, url: string, exported: readonly string[]): FrazilError {
  const at = placeIn(cause, url)
  const where = at === undefined ? shown : `${shown}:${at}`
  // A definition's own error says what is wrong; the place is what it cannot know.
  if (cause instanceof FrazilError) return new FrazilError(cause.kind, `${cause.message}\n  at ${where}`, { cause })
  const hint = loadHint(cause, exported)
  if (hint !== undefined) return invalidPipeline(`Cannot run ${shown}: ${hint}\n  at ${where}`, { cause })
  const what = cause instanceof SyntaxError ? 'valid TypeScript' : 'it to load'
  return invalidPipeline(`Cannot run ${shown}: expected ${what}, found "${firstLine(messageOf(cause))}".\n  at ${where}`, {
    cause,
  })
}

/** `line` or `line:column` of the pipeline file in a stack; a syntax error's stack begins with `url:line`. */
function placeIn(cause: unknown, url: string): string | undefined {
  const stack = cause instanceof Error ? (cause.stack ?? '') : ''
  for (const name of [url, fileURLToPath(url)]) {
    const from = stack.indexOf(`${name}:`)
    if (from >= 0) return /^\d+(?::\d+)?/.exec(stack.slice(from + name.length + 1))?.[0]
  }
  return undefined
}

const firstLine = (text: string) => text.trim().split('\n')[0]

function shownPath(file: string): string {
  const path = relative('.', file)
  return path.startsWith('..') ? file : path
}
