import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FunctionName, planModule, writeFunction } from '../../functions/bundle.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'

/** Folders of this process by function and plan: esbuild takes a second for each, and a test makes many stacks. */
const folders = new Map<string, string>()
let root: string | undefined

/**
 * The folder that becomes the zip of a function. It lies in a temporary directory, which is gone with the process: CDK copies
 * an asset into `cdk.out` as soon as it is named, under a hash of what is in it and nothing else.
 */
export function functionFolder(name: FunctionName, plan: Plan): string {
  const key = `${name} ${digestOf(planModule(plan))}`
  const made = folders.get(key)
  if (made !== undefined) return made
  const folder = join(temporaryRoot(), `${folders.size}`, name)
  writeFunction(name, plan, folder)
  folders.set(key, folder)
  return folder
}

/** SHA-256, hex, as far as a template needs it to tell contents apart. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

function temporaryRoot(): string {
  if (root !== undefined) return root
  const made = mkdtempSync(join(tmpdir(), 'frazil-functions-'))
  process.once('exit', () => rmSync(made, { recursive: true, force: true }))
  root = made
  return made
}
