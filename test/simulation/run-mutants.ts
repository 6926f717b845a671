import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { MUTANTS, type Mutant } from './mutants.ts'

/**
 * `npx node test/simulation/run-mutants.ts` runs every mutant on its named seeds; `--hunt 3000` looks for seeds that kill
 * it, from seed 1 on. Exits 1 when a mutant lives.
 */
export interface Killing {
  readonly mutant: Mutant
  /** Undefined: it lived. */
  readonly seed: number | undefined
  readonly check: string
  readonly ran: number
}

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** Files and texts that an edit names must be there, once. Returns what is wrong. */
export function misplaced(mutant: Mutant): string[] {
  return mutant.edits.flatMap(({ file, find }) => {
    const count = readFileSync(here(`../../${file}`), 'utf8').split(find).length - 1
    return count === 1 ? [] : [`${mutant.name}: expected its text once in ${file}, found it ${count} times: ${find}`]
  })
}

function runSeeds(mutant: Mutant, from: number, seeds: number): Promise<Killing> {
  const args = [
    '--import',
    here('./mutant-hook.ts'),
    here('./run.ts'),
    '--from',
    String(from),
    '--seeds',
    String(seeds),
    '--workers',
    '1',
    '--json',
    ...(mutant.maintenance === true ? ['--maintenance'] : []),
  ]
  return new Promise((resolve, reject) => {
    const env = { ...process.env, FRAZIL_MUTANT: mutant.name }
    execFile(process.execPath, args, { env, maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      const line = stdout.trim().split('\n').at(-1) ?? ''
      if (!line.startsWith('{')) return reject(new Error(`${mutant.name}: ${stderr || String(error)}`))
      const result = JSON.parse(line) as { seeds: number; failures: { seed: number; check: string; message: string }[] }
      const [failure] = result.failures
      resolve({ mutant, seed: failure?.seed, check: failure?.check ?? '', ran: result.seeds })
    })
  })
}

/** The first seed in [from, from + seeds) that notices the mutant. */
export const hunt = (mutant: Mutant, from: number, seeds: number): Promise<Killing> => runSeeds(mutant, from, seeds)

/** Runs a mutant on its own seeds; the first one that notices is enough. */
export async function runNamed(mutant: Mutant): Promise<Killing> {
  let killing: Killing = { mutant, seed: undefined, check: '', ran: 0 }
  for (const seed of mutant.seeds) {
    killing = await runSeeds(mutant, seed, 1)
    if (killing.seed !== undefined) break
  }
  return killing
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { hunt: { type: 'string' }, from: { type: 'string', default: '1' }, only: { type: 'string' } },
  })
  const waiting = MUTANTS.filter(({ name }) => values.only === undefined || name === values.only)
  let lived = 0
  const worker = async () => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const wrong = misplaced(mutant)
      if (wrong.length > 0) {
        lived++
        console.log(wrong.join('\n'))
        continue
      }
      const killing =
        values.hunt === undefined ? await runNamed(mutant) : await hunt(mutant, Number(values.from), Number(values.hunt))
      if (killing.seed === undefined) lived++
      const fate =
        killing.seed === undefined ? `LIVES after ${killing.ran} seeds` : `killed by seed ${killing.seed} (${killing.check})`
      console.log(`${mutant.name} (rule ${mutant.rule}): ${fate}`)
    }
  }
  await Promise.all([worker(), worker()])
  return lived > 0 ? 1 : 0
}

if (import.meta.main) process.exitCode = await main()
