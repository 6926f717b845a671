import { invalidPipeline } from '../errors.ts'
import { shown } from './check.ts'

/**
 * Iceberg's table properties, as its documentation names them (iceberg.apache.org/docs/latest/configuration). Those that say
 * how files are written are heeded, each commit anew; all others are kept for other engines.
 */
export type TableProperties = Readonly<Record<string, string>> & {
  readonly 'write.parquet.compression-codec'?: 'zstd' | 'gzip' | 'snappy' | 'uncompressed'
}

/** What a table's properties ask of its files; undefined where they are silent. Sizes in bytes. */
export interface WriteProperties {
  readonly codec: 'zstd' | 'gzip' | 'snappy' | 'none'
  /** For zstd and gzip; the others have no levels, and ignore one as Iceberg does. */
  readonly level: number | undefined
  readonly rowGroupBytes: number | undefined
  readonly pageBytes: number | undefined
  readonly pageRows: number | undefined
  readonly dictionaryBytes: number | undefined
  readonly targetFileBytes: number | undefined
}

/** `why` names the property, what is allowed and what was found: "expected property x to be a or b, found c". */
export type WritePropertiesVerdict =
  | { readonly verdict: 'Read'; readonly properties: WriteProperties }
  | { readonly verdict: 'Wrong'; readonly why: string }

const CODEC = 'write.parquet.compression-codec'
const LEVEL = 'write.parquet.compression-level'

/** By Iceberg's names, which it takes in any case. */
const CODECS: ReadonlyMap<string, WriteProperties['codec']> = new Map([
  ['zstd', 'zstd'],
  ['gzip', 'gzip'],
  ['snappy', 'snappy'],
  ['uncompressed', 'none'],
])
const LEVELS = { zstd: { least: 1, most: 22 }, gzip: { least: 0, most: 9 } } as const

/** Iceberg reads these as Java's int, the target file size as a long. */
const MAX_INT = 2 ** 31 - 1

/** Reads what a table's properties say of its files. Pure: whoever asks knows whose mistake a wrong one is. */
export function readWriteProperties(properties: Readonly<Record<string, string>>): WritePropertiesVerdict {
  const wrong: string[] = []

  function found(property: string, allowed: string): void {
    wrong.push(`expected property ${property} to be ${allowed}, found ${shown(properties[property])}`)
  }
  function whole(property: string, least: number, most: number): number | undefined {
    const text = properties[property]
    if (text === undefined) return undefined
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= least && value <= most)) found(property, `a whole number from ${least} to ${most}`)
    return value
  }

  const codec = CODECS.get((properties[CODEC] ?? 'zstd').toLowerCase())
  if (codec === undefined) found(CODEC, [...CODECS.keys()].join(', ').replace(/, (?!.*,)/, ' or '))
  const levels = codec === 'zstd' || codec === 'gzip' ? LEVELS[codec] : undefined
  const read: WriteProperties = {
    codec: codec ?? 'zstd',
    level: levels && whole(LEVEL, levels.least, levels.most),
    rowGroupBytes: whole('write.parquet.row-group-size-bytes', 1, MAX_INT),
    pageBytes: whole('write.parquet.page-size-bytes', 1, MAX_INT),
    pageRows: whole('write.parquet.page-row-limit', 1, MAX_INT),
    dictionaryBytes: whole('write.parquet.dict-size-bytes', 0, MAX_INT),
    targetFileBytes: whole('write.target-file-size-bytes', 1, Number.MAX_SAFE_INTEGER),
  }
  return wrong.length > 0 ? { verdict: 'Wrong', why: wrong.join('; ') } : { verdict: 'Read', properties: read }
}

/** Names that Iceberg takes as instructions to a catalog and never stores (`TableProperties.RESERVED_PROPERTIES`). */
const RESERVED: readonly string[] = [
  'format-version',
  'uuid',
  'snapshot-count',
  'current-snapshot-id',
  'current-snapshot-summary',
  'current-snapshot-timestamp-ms',
  'current-schema',
  'default-partition-spec',
  'default-sort-order',
]

/** The properties that a definition gives a table, checked. Throws `InvalidPipeline`. */
export function propertiesOf(table: string, properties: unknown): Readonly<Record<string, string>> {
  const what = `set properties of table ${table}`
  if (properties === undefined) return {}
  if (typeof properties !== 'object' || properties === null || Array.isArray(properties))
    throw invalidPipeline(
      `Cannot ${what}: expected an object such as { 'write.parquet.compression-codec': 'snappy' }, found ${shown(properties)}.`,
    )
  const checked: [string, string][] = []
  for (const [name, value] of Object.entries(properties) as [string, unknown][]) {
    if (name.startsWith('frazil.'))
      throw invalidPipeline(`Cannot ${what}: ${name} is one of Frazil's own, which say what the table holds. Remove it.`)
    if (RESERVED.includes(name))
      throw invalidPipeline(`Cannot ${what}: Iceberg reserves ${name} and would not keep it. Remove it.`)
    if (typeof value !== 'string')
      throw invalidPipeline(`Cannot ${what}: expected ${name} to be a string, found ${shown(value)}. Iceberg's are all strings.`)
    checked.push([name, value])
  }
  const known = Object.fromEntries(checked)
  const read = readWriteProperties(known)
  if (read.verdict === 'Wrong') throw invalidPipeline(`Cannot ${what}: ${read.why}.`)
  return known
}
