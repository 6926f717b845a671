import { once } from 'node:events'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { styleText } from 'node:util'
import { type ErrorKind, FrazilError, messageOf, unavailable } from '../errors.ts'

/** What scripts rely on (docs/reference/cli.md). */
export const EXIT = { fine: 0, finding: 1, couldNotRun: 2, interrupted: 130 } as const

/** How a command speaks: data to stdout, all else to stderr. */
export interface Output {
  readonly json: boolean
  /** Waits while the reader is slow. */
  data(text: string): Promise<void>
  /** For people: silent under `--json`, so that stderr then holds one error object or nothing. */
  note(text: string): void
}

export function outputOf(json: boolean): Output {
  return {
    json,
    data: (text) => written(process.stdout, text),
    note(text) {
      if (!json) process.stderr.write(`${text}\n`)
    },
  }
}

/** How to call us again, from where the user stands: by a script of the checkout, as an installed command, or by our file. */
export const COMMAND = howToCall()

function howToCall(): string {
  const { npm_lifecycle_event: script, npm_command: command } = process.env
  if (!import.meta.url.endsWith('.ts')) return command === undefined ? 'frazil' : 'npx frazil'
  const inCheckout = !/^\.\.(?:[/\\]|$)/.test(relative(fileURLToPath(new URL('../..', import.meta.url)), process.cwd()))
  return script === 'frazil' || inCheckout ? 'npm run --silent frazil --' : `${process.argv0} ${process.argv[1]}`
}

/** How wide a table may be: as the terminal, or undefined for any width. */
export const tableWidth = (): number | undefined => (process.stdout.isTTY ? process.stdout.columns || undefined : undefined)

async function written(stream: NodeJS.WriteStream, text: string): Promise<void> {
  if (!stream.write(text)) await once(stream, 'drain')
}

/** Resolves once all that was written has left the process: a pipe is slower than `process.exit`. */
export async function flushed(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) await new Promise<void>((done) => stream.write('', () => done()))
}

/** A reader that has seen enough (`frazil query … | head`) ends the command, and that is no failure; a full disk is one. */
export function endWithoutReader(json: boolean): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.fine)
    process.exit(reportFailure(unavailable(`Cannot write the output: ${error.message}. Check where it goes.`), json))
  })
  process.stderr.on('error', () => {})
}

const EXIT_OF_KIND: Readonly<Record<ErrorKind, number>> = {
  Usage: EXIT.couldNotRun,
  InvalidPipeline: EXIT.couldNotRun,
  Unavailable: EXIT.couldNotRun,
  CommitUnknown: EXIT.couldNotRun,
  Refused: EXIT.finding,
  Corrupt: EXIT.finding,
}

/** Says on stderr what went wrong and returns the exit code. `help` is a line for people only. */
export function reportFailure(error: unknown, json: boolean, help?: string): number {
  const kind = error instanceof FrazilError ? error.kind : 'Bug'
  const message = kind === 'Bug' ? `Cannot go on: found a defect in frazil: ${messageOf(error)}` : messageOf(error)
  if (json) process.stderr.write(`${JSON.stringify({ error: { kind, message } })}\n`)
  else {
    process.stderr.write(`${red('error:')} ${message}\n`)
    if (kind === 'Bug' && !debugging()) process.stderr.write('help: set FRAZIL_DEBUG=1 to see where, and please report it.\n')
    else if (help !== undefined) process.stderr.write(`help: ${help}\n`)
  }
  if (debugging() && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  return error instanceof FrazilError ? EXIT_OF_KIND[error.kind] : EXIT.couldNotRun
}

const debugging = () => (process.env.FRAZIL_DEBUG ?? '') !== ''

const red = (text: string) => styleText(['red', 'bold'], text, { stream: process.stderr })
