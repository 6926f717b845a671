import { spawn } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { unavailable, usage } from '../lib/errors.ts'

const repo = join(import.meta.dirname, '..')
/** Emulators take any credentials; the access key is the account where it has 12 digits. */
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }
export const REGION = 'us-east-1'
/** Lines of a command that failed which are shown. */
const SHOWN_LINES = 30

/** What a client of an emulator is told by its environment. */
export const clientVariables = (endpoint: string): Readonly<Record<string, string>> => ({
  AWS_ENDPOINT_URL: endpoint,
  AWS_REGION: REGION,
  ...CREDENTIALS,
})

/**
 * The environment of whatever deals with the emulator: with nothing in it of a real account, so that neither a profile nor a
 * token of the shell's can make a command mean that.
 */
export function emulatorEnvironment(endpoint: string): NodeJS.ProcessEnv {
  const { PATH = '', ...others } = process.env
  const kept = Object.entries(others).filter(([name]) => !/^(?:AWS|CDK)_/.test(name))
  return {
    ...Object.fromEntries(kept),
    ...clientVariables(endpoint),
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    CDK_DISABLE_CLI_TELEMETRY: '1',
    // What cdk runs as `node` is the Node of this process.
    PATH: `${dirname(process.execPath)}:${PATH}`,
  }
}

export interface Output {
  readonly code: number | null
  /** stdout and stderr together. */
  readonly text: string
}

export interface CdkOptions {
  readonly env: NodeJS.ProcessEnv
  /** Gets the cloud assembly. */
  readonly assembly: string
}

export interface SynthOptions extends CdkOptions {
  /** @default what cdk.json says */
  readonly app?: string
  readonly context: Readonly<Record<string, string>>
}

/** Makes the cloud assembly. Throws `Unavailable` with what the app said. */
export async function synthesize({ app, context, assembly, env }: SynthOptions): Promise<void> {
  rmSync(assembly, { recursive: true, force: true })
  const pairs = Object.entries(context).flatMap(([name, value]) => ['--context', `${name}=${value}`])
  await expectCdk(['synth', '--quiet', '--output', assembly, ...(app === undefined ? [] : ['--app', app]), ...pairs], env)
}

/** Makes the account ready for cdk. May be called again. */
export async function bootstrap({ assembly, env }: CdkOptions): Promise<void> {
  await expectCdk(['bootstrap', '--app', assembly], env)
}

/** Outputs by name, of all stacks together. Throws `Unavailable` with the end of cdk's output for a deployment that fails. */
export async function deploy(options: CdkOptions): Promise<Readonly<Record<string, string>>> {
  const { code, text } = await tryDeploy(options)
  if (code !== 0) throw failed(['deploy'], { code, text })
  const stacks: Record<string, Record<string, string>> = JSON.parse(readFileSync(outputsFile(options), 'utf8'))
  return Object.assign({}, ...Object.values(stacks))
}

/** A deployment that may fail. */
export function tryDeploy(options: CdkOptions): Promise<Output> {
  const { assembly, env } = options
  const how = ['--require-approval', 'never', '--progress', 'events', '--outputs-file', outputsFile(options)]
  return cdk(['deploy', '--all', '--app', assembly, ...how], env)
}

/** What is retained stays. */
export async function destroy({ assembly, env }: CdkOptions): Promise<string> {
  return (await expectCdk(['destroy', '--all', '--force', '--app', assembly], env)).text
}

const outputsFile = ({ assembly }: CdkOptions): string => `${assembly}.outputs.json`

/** The output whose name begins so: cdk appends a digest. Throws `Usage` where there is none. */
export function outputOf(outputs: Readonly<Record<string, string>>, name: string): string {
  const found = Object.entries(outputs).find(([key]) => key.startsWith(name))
  if (found === undefined)
    throw usage(`Cannot find output ${name}: expected the stack to have it, found ${Object.keys(outputs)}.`)
  return found[1]
}

async function expectCdk(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Output> {
  const output = await cdk(args, env)
  if (output.code !== 0) throw failed(args, output)
  return output
}

function failed([verb]: readonly string[], { code, text }: Output): Error {
  const end = text.trimEnd().split('\n').slice(-SHOWN_LINES).join('\n')
  return unavailable(`Cannot ${verb}: expected cdk to exit 0, found ${code}. What it said last:\n${end}`)
}

function cdk(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Output> {
  const home = dirname(createRequire(import.meta.url).resolve('aws-cdk/package.json'))
  const child = spawn(process.execPath, [join(home, 'bin/cdk'), '--no-notices', '--no-color', ...args], {
    cwd: repo,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part: string) => (text += part))
  return new Promise((resolve, reject) => child.on('close', (code) => resolve({ code, text })).on('error', reject))
}
