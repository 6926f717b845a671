import { FrazilError, messageOf } from '../lib/errors.ts'

/**
 * The folder of a partition in a data file's path, `/email=jane%40x/`: its value is a record's. Its sign may be percent-encoded
 * once more, by whoever made an address of the path.
 */
const PARTITION_FOLDER = /(\/[^/\s=]*?(?:=|%3D))[^/\s]*(?=\/)/gi

/**
 * The same error to be logged or thrown: of its class, kind and stack, and nothing that a record held. Values of partition
 * folders are cut out, and what else it carried is left behind, its causes above all: Lambda prints what is thrown.
 */
export function withoutValues(error: unknown): Error {
  const message = cut(messageOf(error))
  if (!(error instanceof Error)) return new Error(message)
  const told =
    error instanceof FrazilError
      ? new FrazilError(error.kind, message)
      : (Object.setPrototypeOf(new Error(message), Object.getPrototypeOf(error)) as Error)
  told.name = error.name
  told.stack = cut(error.stack ?? `${error.name}: ${message}`)
  return told
}

const cut = (text: string): string => text.replace(PARTITION_FOLDER, '$1…')
