import { corrupt } from './errors.ts'

/** The entry of a map by id; a missing one is a defect or a damaged log, never a user's error. */
export function lookup<T>(map: Readonly<Record<string, T>>, id: string, what: string): T {
  if (!Object.hasOwn(map, id))
    throw corrupt(`Cannot find ${what} ${id}: expected one of ${Object.keys(map).join(', ') || 'none'}.`)
  return map[id]
}
