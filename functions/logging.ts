import { FrazilError, messageOf } from '../lib/errors.ts'
import type { Clock } from '../lib/ports/time.ts'

/** What a handler takes of Lambda's context. */
export interface Context {
  readonly awsRequestId: string
  getRemainingTimeInMillis(): number
}

/** What a function prints to, and when. */
export interface Printing {
  readonly clock: Clock
  /** One line, without its newline. */
  print(line: string): void
}

/** What is told of a call that went well: counts and times, never values. */
export type Facts = Readonly<Record<string, number | string | boolean | null | Readonly<Record<string, number>>>>

/** A line's first fields are those by which Lambda's JSON logs are filtered. */
export function info(out: Printing, context: Context, message: string, facts: Facts): void {
  out.print(JSON.stringify({ ...head(out, 'INFO', context, message), ...facts }))
}

/** `kind` is one of ours, or `Bug` for what we did not foresee; only that has a stack. */
export function fail(out: Printing, context: Context, error: unknown, facts: Facts = {}): void {
  const known = error instanceof FrazilError
  const more = known ? { kind: error.kind } : { kind: 'Bug', stack: error instanceof Error ? error.stack : undefined }
  out.print(JSON.stringify({ ...head(out, 'ERROR', context, messageOf(error)), ...more, ...facts }))
}

function head({ clock }: Printing, level: string, { awsRequestId: requestId }: Context, message: string) {
  return { timestamp: new Date(clock.now()).toISOString(), level, message, requestId }
}

/** Past `console`, which Lambda makes write its own prefix before each line. */
export const printToStdout = (line: string): void => void process.stdout.write(`${line}\n`)
