import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildSync, type Metafile } from 'esbuild'
import { loadPipeline } from '../lib/cli/load-pipeline.ts'
import { FrazilError, messageOf, usage } from '../lib/errors.ts'
import { makeDirectories } from '../lib/local/directories.ts'
import type { Plan } from '../lib/pipeline/plan.ts'
import { assertEntriesFit } from '../lib/runtime/entry-size.ts'

export interface BundleOptions {
  /** The user's pipeline file. */
  readonly pipeline: string
  /**
   * Gets a folder for each function, to be zipped: `ingest/index.mjs`, `ingest/plan.mjs` and so on; source maps beside the
   * folders.
   */
  readonly outDir: string
}

export interface Bundle {
  readonly file: string
  readonly bytes: number
  /** Of these, what comes from no package: all but the AWS SDK, Powertools and what they bring along. */
  readonly ownBytes: number
  /** The files whose code is in the bundle, from the repository's root, and their bytes in it. */
  readonly inputs: Readonly<Record<string, number>>
}

export const FUNCTIONS = ['ingest', 'commit', 'provision', 'compact', 'expire', 'orphans', 'trim'] as const
export type FunctionName = (typeof FUNCTIONS)[number]
export type Bundles = Readonly<Record<FunctionName, Bundle>>

/** Where this very file stands: sources in a checkout, JavaScript in the package. */
const extension = import.meta.filename.endsWith('.ts') ? 'ts' : 'js'
const root = fileURLToPath(new URL('..', import.meta.url))

/** A package may be CommonJS, and count on what modules lack. */
const BANNER =
  "import{createRequire as $createRequire}from'node:module';const require=$createRequire(import.meta.url),__filename=import.meta.filename,__dirname=import.meta.dirname;"

/**
 * Makes the functions of a pipeline, the AWS SDK included: it starts faster than the one Lambda has, and is the one that was
 * tested. A pipeline is data, so its plan lies beside the code and the code is that of any pipeline. Throws what `loadPipeline`
 * and `planOf` throw for a file that cannot run: here, and not when the functions start.
 */
export async function bundle({ pipeline, outDir }: BundleOptions): Promise<Bundles> {
  const plan = await loadPipeline(pipeline)
  return Object.fromEntries(FUNCTIONS.map((name) => [name, writeFunction(name, plan, join(resolve(outDir), name))])) as Bundles
}

/** Puts one function of a plan into `dir`, which becomes its zip. Throws `InvalidPipeline` for a plan that fits no log entry. */
export function writeFunction(name: FunctionName, plan: Plan, dir: string): Bundle {
  assertEntriesFit(plan)
  const { code, map, ...contents } = buildOne(name)
  try {
    makeDirectories(dir)
    writeFileSync(join(dir, 'index.mjs'), code)
    writeFileSync(join(dir, 'plan.mjs'), planModule(plan))
    writeFileSync(`${dir}.mjs.map`, map)
  } catch (cause) {
    throw usage(`Cannot bundle into ${dir}: ${messageOf(cause)}. Name a directory that can be written.`, { cause })
  }
  return { file: join(dir, 'index.mjs'), ...contents }
}

/** A plan as a module of JavaScript: what JSON cannot say (-0, NaN) is said there. */
export function planModule(plan: Plan): string {
  return `export default ${literalOf(plan)}\n`
}

function literalOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literalOf).join(',')}]`
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
  if (typeof value !== 'object' || value === null) return value === undefined ? 'undefined' : JSON.stringify(value)
  // In brackets a name is a name like any other, __proto__ too.
  return `{${Object.entries(value)
    .map(([name, of]) => `[${JSON.stringify(name)}]:${literalOf(of)}`)
    .join(',')}}`
}

type Built = Omit<Bundle, 'file'> & { readonly code: Uint8Array; readonly map: Uint8Array }

/** The code is that of any pipeline: a process that deploys many builds it once. */
const built = new Map<FunctionName, Built>()

function buildOne(name: FunctionName): Built {
  const before = built.get(name)
  if (before !== undefined) return before
  const { outputFiles, metafile } = buildSync({
    stdin: {
      contents: `import plan from './plan.mjs'
import { ${name}Function } from './functions/${name}.${extension}'
export const handler = ${name}Function(plan)`,
      resolveDir: root,
      sourcefile: `${name}.mjs`,
    },
    external: ['./plan.mjs'],
    outfile: join(root, 'index.mjs'),
    absWorkingDir: root,
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    // Modules before CommonJS: what is not used of them is left out.
    mainFields: ['module', 'main'],
    banner: { js: BANNER },
    // Identifiers stay as they are: a stack trace in the logs is read without a source map.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    sourcemap: 'external',
    logLevel: 'silent',
  })
  const [map, code] = [...outputFiles].sort((a, b) => Number(b.path.endsWith('.map')) - Number(a.path.endsWith('.map')))
  const { bytes, inputs } = contentsOf(metafile)
  const packages = Object.entries(inputs).filter(([path]) => /(?:^|\/)node_modules\//.test(path))
  const ownBytes = bytes - packages.reduce((sum, [, size]) => sum + size, 0)
  const made = { code: code.contents, map: map.contents, bytes, ownBytes, inputs }
  built.set(name, made)
  return made
}

function contentsOf({ outputs }: Metafile): { bytes: number; inputs: Record<string, number> } {
  const output = Object.values(outputs).find(({ entryPoint }) => entryPoint !== undefined)
  if (output === undefined) return { bytes: 0, inputs: {} }
  const inputs = Object.entries(output.inputs).map(([path, { bytesInOutput }]) => [path, bytesInOutput] as const)
  return { bytes: output.bytes, inputs: Object.fromEntries(inputs) }
}

/** npm run bundle -- PIPELINE.ts [--out DIR]: sizes on stdout as JSON. */
async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { out: { type: 'string', default: 'dist-functions' } },
    allowPositionals: true,
  })
  const [pipeline] = positionals
  if (pipeline === undefined || positionals.length > 1)
    throw usage('Cannot bundle: expected one pipeline file, and perhaps --out DIR. Write npm run bundle -- pipelines/trades.ts.')
  const bundles = Object.entries(await bundle({ pipeline, outDir: values.out }))
  const shown = bundles.map(([name, { file, bytes, ownBytes }]) => [name, { file, bytes, ownBytes }])
  console.log(JSON.stringify(Object.fromEntries(shown), null, 2))
}

// Without await: a project of CommonJS cannot load a module that waits at its top.
if (import.meta.main)
  void main().catch((error) => {
    console.error(error instanceof FrazilError ? error.message : error)
    process.exitCode = 2
  })
