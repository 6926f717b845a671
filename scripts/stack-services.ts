import { spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { unavailable, usage } from '../lib/errors.ts'

const repo = join(import.meta.dirname, '..')
/** A poller ends after the calls under way. */
const POLLER_STOP_MS = 90_000
const LOOK_EVERY_MS = 50

/** Where the services are and what belongs to them lies. */
export interface Places {
  readonly dir: string
  readonly endpoint: string
  readonly brokers: string
}

/** From FRAZIL_STACK_DIR, FRAZIL_MINISTACK_PORT and FRAZIL_KAFKA_PORT, which all have defaults. */
export function placesOf(env: NodeJS.ProcessEnv): Places {
  return {
    dir: env.FRAZIL_STACK_DIR ?? join(env.FRAZIL_SERVICES ?? join(repo, '.frazil-services'), 'stack'),
    endpoint: `http://127.0.0.1:${env.FRAZIL_MINISTACK_PORT ?? 4566}`,
    brokers: `127.0.0.1:${env.FRAZIL_KAFKA_PORT ?? 9092}`,
  }
}

/** Says that a directory is the stack's. What lies beside it may be deleted, and nothing where it is not. */
const markerFile = ({ dir }: Places): string => join(dir, '.frazil-stack')

/** Makes the directory the stack's. Throws `Usage` for one that somebody else has something in. */
export function claim(places: Places): void {
  if (isClaimed(places)) return
  mkdirSync(places.dir, { recursive: true })
  writeFileSync(markerFile(places), 'Made by npm run stack. npm run stack:stop deletes what npm run stack made here.\n')
}

/** False: nothing is there that a stack could have left. Throws `Usage` as `claim` does. */
export function isClaimed(places: Places): boolean {
  if (existsSync(markerFile(places))) return true
  if (existsSync(places.dir) && readdirSync(places.dir).length > 0)
    throw usage(
      `Cannot use ${places.dir} for the stack: expected an empty directory, or one that npm run stack made, found other files in it. Set FRAZIL_STACK_DIR to another, or delete it.`,
    )
  return false
}

/** The directory is anybody's again. */
export function release(places: Places): void {
  rmSync(markerFile(places), { force: true })
}

export type Service = 'ministack' | 'kafka'
export const SERVICES: readonly Service[] = ['ministack', 'kafka']

/** Runs a verb of a service's script, its output on stderr. Throws `Unavailable` after what the script said went wrong. */
export function service(places: Places, name: Service, verb: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync('bash', [script(name), verb, ...args], { env: variables(places), stdio: ['ignore', 2, 2] })
  if (error !== undefined) throw unavailable(`Cannot ${verb} ${name}: ${error.message}. Install bash.`)
  if (status !== 0) throw unavailable(`Cannot ${verb} ${name}: see above.`)
}

export function isUp(places: Places, name: Service): boolean {
  return spawnSync('bash', [script(name), 'status'], { env: variables(places), stdio: 'ignore' }).status === 0
}

const script = (name: Service): string => join(repo, `test/services/${name}.sh`)

/** The services get no AWS variables of the shell's: functions would inherit them. */
function variables({ dir, endpoint, brokers }: Places): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('AWS_'))
  return {
    ...Object.fromEntries(kept),
    FRAZIL_MINISTACK_DIR: join(dir, 'ministack'),
    FRAZIL_MINISTACK_PORT: new URL(endpoint).port,
    FRAZIL_KAFKA_DIR: join(dir, 'kafka'),
    FRAZIL_KAFKA_PORT: brokers.split(':')[1],
  }
}

const pollerPid = ({ dir }: Places): string => join(dir, 'poller.pid')
export const pollerLog = ({ dir }: Places): string => join(dir, 'poller.log')

/** Starts the poller in the background; `stopPoller` ends it, from another process too. */
export function startPoller(places: Places, args: readonly string[], env: NodeJS.ProcessEnv): void {
  mkdirSync(places.dir, { recursive: true })
  const log = openSync(pollerLog(places), 'w')
  const child = spawn(process.execPath, [join(repo, 'localstack/poller.ts'), ...args], {
    env,
    detached: true,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  child.unref()
  if (child.pid !== undefined) writeFileSync(pollerPid(places), `${child.pid}\n${startedAt(child.pid)}\n`)
}

/** Undefined: there is none, or its pid is another process by now. */
export function runningPoller(places: Places): number | undefined {
  const [pid, started] = readText(pollerPid(places)).split('\n')
  const now = pid === undefined || pid === '' ? '' : startedAt(Number(pid))
  return now !== '' && now === started ? Number(pid) : undefined
}

export async function stopPoller(places: Places): Promise<void> {
  const pid = runningPoller(places)
  if (pid !== undefined) {
    process.kill(pid, 'SIGTERM')
    const began = performance.now()
    while (runningPoller(places) !== undefined && performance.now() - began < POLLER_STOP_MS) await delay(LOOK_EVERY_MS)
    if (runningPoller(places) !== undefined) process.kill(pid, 'SIGKILL')
  }
  rmSync(pollerPid(places), { force: true })
}

const startedAt = (pid: number): string =>
  spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim()

export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
