import { refused } from '../errors.ts'
import type { LoadedTable } from '../iceberg/scan.ts'
import { DEFAULT_MAINTENANCE, type ExpirePolicy } from '../pipeline/maintenance.ts'

/** What Iceberg calls `older-than` and `retain-last` in a table's own properties. */
const MAX_AGE_PROPERTY = 'history.expire.max-snapshot-age-ms'
const MIN_KEPT_PROPERTY = 'history.expire.min-snapshots-to-keep'

/** What somebody asks for who has no definition at hand: undefined where a table or the defaults decide. */
export interface WantedExpiry {
  readonly keepMs?: number | undefined
  readonly retainLast?: number | undefined
  /** `false`: all stay. */
  readonly thinAfterMs?: number | false | undefined
}

/**
 * Which snapshots of a table stay where no definition says so: what is asked for, else what the table's own Iceberg properties
 * say, else the defaults. Whoever gave a table an age of its own meant all of its snapshots, so they are not thinned out.
 * Throws `Refused` for a property that cannot be read: what deletes is not guessed.
 */
export function expiryOf(table: Pick<LoadedTable, 'id' | 'metadata'>, wanted: WantedExpiry = {}): ExpirePolicy {
  const { keepMs, retainLast, thinAfterMs } = wanted
  const defaults = DEFAULT_MAINTENANCE.expire
  const itsAge = keepMs === undefined ? wholeProperty(table, MAX_AGE_PROPERTY, '--older-than') : undefined
  const itsLeast = retainLast === undefined ? wholeProperty(table, MIN_KEPT_PROPERTY, '--retain-last') : undefined
  const thinByDefault = itsAge === undefined ? defaults.thinAfterMs : undefined
  return {
    keepMs: keepMs ?? itsAge ?? defaults.keepMs,
    retainLast: retainLast ?? itsLeast ?? defaults.retainLast,
    thinAfterMs: thinAfterMs === false ? undefined : (thinAfterMs ?? thinByDefault),
  }
}

function wholeProperty({ id, metadata }: Pick<LoadedTable, 'id' | 'metadata'>, key: string, option: string): number | undefined {
  const text = metadata.properties[key]
  if (text === undefined) return undefined
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (value >= 1) return value
  throw refused(
    `Cannot expire snapshots of table ${id.namespace}.${id.name}: expected its property ${key} to be a whole number from 1, found '${text}'. Set it right, or give ${option}.`,
  )
}
