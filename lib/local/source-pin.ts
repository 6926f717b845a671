import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { corrupt } from '../errors.ts'

/** What a warehouse has read from, so that another file is never taken for the one whose offsets it knows. */
export type SourcePin = InputPin | { readonly kind: 'kafka' }

export interface InputPin {
  readonly kind: 'input'
  /** File name, without its directory: a warehouse may move with its input. */
  readonly file: string
  readonly partitions: number
  /** Bytes from the start of the file that have been read, and their digest. */
  readonly bytes: number
  readonly sha256: string
}

const pinFile = (privateDir: string): string => join(privateDir, 'source.json')

export async function readPin(privateDir: string): Promise<SourcePin | undefined> {
  let text: string
  try {
    text = await readFile(pinFile(privateDir), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    return JSON.parse(text) as SourcePin
  } catch (cause) {
    throw corrupt(`Cannot read ${pinFile(privateDir)}: expected JSON. Use a new --warehouse.`, { cause })
  }
}

/** Replaces the pin as a whole. */
export async function writePin(privateDir: string, pin: SourcePin): Promise<void> {
  const path = pinFile(privateDir)
  await writeFile(`${path}.new`, JSON.stringify(pin))
  await rename(`${path}.new`, path)
}
