/**
 * Every error Frazil throws on purpose, in one file. A message says what could not be done, what was expected, what was
 * found and what to do: "Cannot X: expected A, found B. Do C."
 */

/** The kinds, and what a caller may conclude from each. */
export type ErrorKind =
  /** A commit may or may not have happened: load and look at the marker. */
  | 'CommitUnknown'
  /** A store or broker did not answer as it should; a write may have happened. Retry later. */
  | 'Unavailable'
  /** A definition that cannot work. Fails before anything runs. */
  | 'InvalidPipeline'
  /** Going on would lose or double data: a foreign table, a topic created again, an unknown fingerprint. */
  | 'Refused'
  /** Something we wrote is not as we wrote it. */
  | 'Corrupt'
  /** Arguments, files or a broker that make the command impossible to run. */
  | 'Usage'

export class FrazilError extends Error {
  readonly kind: ErrorKind
  constructor(kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = kind
    this.kind = kind
  }
}

export const commitUnknown = (message: string, options?: ErrorOptions) => new FrazilError('CommitUnknown', message, options)
export const unavailable = (message: string, options?: ErrorOptions) => new FrazilError('Unavailable', message, options)
export const invalidPipeline = (message: string, options?: ErrorOptions) => new FrazilError('InvalidPipeline', message, options)
export const refused = (message: string, options?: ErrorOptions) => new FrazilError('Refused', message, options)
export const corrupt = (message: string, options?: ErrorOptions) => new FrazilError('Corrupt', message, options)
export const usage = (message: string, options?: ErrorOptions) => new FrazilError('Usage', message, options)

/** True when `error` is ours and of one of `kinds`. */
export function isKind(error: unknown, ...kinds: ErrorKind[]): error is FrazilError {
  return error instanceof FrazilError && kinds.includes(error.kind)
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
