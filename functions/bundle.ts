import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type BuildFailure, build, type Metafile, type Plugin } from 'esbuild'
import { loadPipeline } from '../lib/cli/load-pipeline.ts'
import { FrazilError, messageOf, usage } from '../lib/errors.ts'
import { makeDirectories } from '../lib/local/directories.ts'
import { assertEntriesFit } from '../lib/runtime/entry-size.ts'

export interface BundleOptions {
  /** The user's pipeline file. */
  readonly pipeline: string
  /** Gets `ingest/index.mjs` and `commit/index.mjs`, a folder each to be zipped, and their source maps beside the folders. */
  readonly outDir: string
}

export interface Bundle {
  readonly file: string
  readonly bytes: number
  /** Of these, what is neither AWS SDK nor below it. */
  readonly bytesWithoutSdk: number
  /** The files whose code is in the bundle, from the repository's root, and their bytes in it. */
  readonly inputs: Readonly<Record<string, number>>
}

const FUNCTIONS = ['ingest', 'commit'] as const
export type Bundles = Readonly<Record<(typeof FUNCTIONS)[number], Bundle>>

const root = fileURLToPath(new URL('..', import.meta.url))
const library = join(root, 'lib/index.ts')

/** The SDK's packages, and what only they bring along. */
const SDK = /(?:^|\/)node_modules\/(?:@aws-sdk|@aws-crypto|@aws|@smithy|bowser|mnemonist|obliterator|tslib)\//

/** A package that a pipeline imports may be CommonJS, and count on what modules lack. */
const BANNER =
  "import{createRequire as $createRequire}from'node:module';const require=$createRequire(import.meta.url),__filename=import.meta.filename,__dirname=import.meta.dirname;"

/**
 * Bundles both functions with a pipeline into one file each, the AWS SDK included: it starts faster than the one Lambda has, and
 * is the one that was tested. The same files in the same places give the same bytes. Throws `Usage` when the pipeline
 * cannot be bundled, `InvalidPipeline` when it defines nothing that can run: here, and not when the functions start.
 */
export async function bundle({ pipeline, outDir }: BundleOptions): Promise<Bundles> {
  const file = resolve(pipeline)
  if (!existsSync(file)) throw usage(`Cannot bundle ${pipeline}: expected a pipeline file, found none. Name one that exists.`)
  const built = await Promise.all(FUNCTIONS.map((name) => buildOne(name, file, resolve(outDir))))
  // What does not parse is told by now; what the definition itself says wrong is told here, and not when a function starts.
  assertEntriesFit(await loadPipeline(file))
  const [ingest, commit] = await Promise.all(built.map((one) => one.write()))
  return { ingest, commit }
}

async function buildOne(name: string, pipeline: string, outDir: string): Promise<{ write(): Promise<Bundle> }> {
  const file = join(outDir, name, 'index.mjs')
  const result = await build({
    entryPoints: [join(root, 'functions', `${name}.ts`)],
    outfile: file,
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
    plugins: [pipelinePlugin(pipeline)],
  }).catch((cause) => {
    throw usage(`Cannot bundle ${pipeline}: ${reason(cause)}. Set it right and bundle again.`, { cause })
  })
  const { bytes, inputs } = contentsOf(result.metafile)
  const sdk = Object.entries(inputs).filter(([path]) => SDK.test(path))
  const bytesWithoutSdk = bytes - sdk.reduce((sum, [, size]) => sum + size, 0)
  return {
    async write() {
      try {
        makeDirectories(join(outDir, name))
        for (const output of result.outputFiles)
          await writeFile(output.path.endsWith('.map') ? join(outDir, `${name}.mjs.map`) : file, output.contents)
      } catch (cause) {
        throw usage(`Cannot bundle into ${outDir}: ${messageOf(cause)}. Name a directory that can be written.`, { cause })
      }
      return { file, bytes, bytesWithoutSdk, inputs }
    },
  }
}

/** `#pipeline` is the user's file, and `frazil` this very library: nothing need be installed beside the file. */
function pipelinePlugin(pipeline: string): Plugin {
  return {
    name: 'frazil-pipeline',
    setup({ onResolve }) {
      onResolve({ filter: /^#pipeline$/ }, () => ({ path: pipeline }))
      onResolve({ filter: /^frazil$/ }, () => ({ path: library, sideEffects: false }))
    },
  }
}

function contentsOf({ outputs }: Metafile): { bytes: number; inputs: Record<string, number> } {
  const output = Object.values(outputs).find(({ entryPoint }) => entryPoint !== undefined)
  if (output === undefined) return { bytes: 0, inputs: {} }
  const inputs = Object.entries(output.inputs).map(([path, { bytesInOutput }]) => [path, bytesInOutput] as const)
  return { bytes: output.bytes, inputs: Object.fromEntries(inputs) }
}

/** The first of esbuild's errors, with its place. */
function reason(cause: unknown): string {
  const [first] = (cause as Partial<BuildFailure>).errors ?? []
  if (first === undefined) return messageOf(cause).split('\n')[0]
  const { text, location } = first
  return location === null ? text : `${text} at ${location.file}:${location.line}:${location.column}`
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
  const { ingest, commit } = await bundle({ pipeline, outDir: values.out })
  const shown = ({ file, bytes, bytesWithoutSdk }: Bundle) => ({ file, bytes, bytesWithoutSdk })
  console.log(JSON.stringify({ ingest: shown(ingest), commit: shown(commit) }, null, 2))
}

if (import.meta.main)
  await main().catch((error) => {
    console.error(error instanceof FrazilError ? error.message : error)
    process.exitCode = 2
  })
